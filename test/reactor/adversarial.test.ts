import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { compileSls } from '../../src/reactor/compile.js'
import { masterCompiler } from '../../src/reactor/master.js'
import { packageRoot } from '../../src/shared/paths.js'

interface Case {
  name: string
  sls: string
  event: { tag: string; data: Record<string, unknown> }
  calls?: Record<string, unknown>[]
  /** The kind of error. */
  error?: string
}

const { cases, files }: { cases: Case[]; files: Record<string, string> } = JSON.parse(
  readFileSync(join(packageRoot(), 'test/fixtures/reactor/adversarial.json'), 'utf8')
)
const include = (file: string) => (Object.hasOwn(files, file) ? { file, text: files[file]! } : null)
const options = masterCompiler({ include }, { fileRoots: {} })

function compiled({ sls, event: { tag, data } }: Case) {
  return compileSls({ file: '/srv/reactor/r.sls', text: sls }, { tag, json: JSON.stringify(data) }, options)
}

t.test('no event makes another call of an SLS than the one that its author wrote, with the values where he wants them', async t => {
  for (const each of cases.filter(({ calls }) => calls !== undefined)) {
    const { reactions, error } = compiled(each)
    const calls = reactions.map(({ section, call }) => {
      const { order: _, tgt_type: __, ...rest } = call
      return { section, ...rest }
    })
    t.equal(error, null, each.name)
    t.strictSame(JSON.parse(JSON.stringify(calls)), each.calls, each.name)
  }
})

t.test('what reaches out, or for too much, is an error of its file and makes no call', async t => {
  for (const each of cases.filter(({ error }) => error !== undefined)) {
    const { reactions, fault } = compiled(each)
    t.equal(fault?.kind, each.error, `${each.name}: ${fault?.message}`)
    t.strictSame(reactions, [], each.name)
  }
})

t.test('there are more than 150 cases, each with a name of its own', async t => {
  t.ok(cases.length >= 150)
  t.equal(new Set(cases.map(({ name }) => name)).size, cases.length)
})

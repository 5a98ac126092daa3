import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { GrainLists, IdList } from '../../src/keys/autosign.js'

function setUp(t: Test) {
  const dir = t.testdir()
  const warned: string[] = []
  const log = { warn: (_: object, text: string) => warned.push(text) }
  const write = (name: string, text: string) => {
    const file = join(dir, name)
    writeFileSync(file, text)
    chmodSync(file, 0o644)
    return file
  }
  return { dir, log, warned, write }
}

t.test('an autosign file has ids, globs and expressions for the whole id; comments and blank lines are none', async t => {
  const { log, write } = setUp(t)
  const list = new IdList(write('autosign', '# the web\nweb*\n\n  db1  \ncache\\d+\n#hidden*\n[\n'), log)
  for (const id of ['web1', 'web', 'db1', 'cache12', '[']) t.ok(await list.has(id), id)
  for (const id of ['xweb1', 'db12', 'cache', 'cache12x', 'hidden1', '# the web', '']) t.notOk(await list.has(id), id)
})

t.test('an autosign file is read anew when it changes, and a missing one lets nobody in', async t => {
  const { dir, log, write, warned } = setUp(t)
  const list = new IdList(join(dir, 'autosign'), log)
  t.notOk(await list.has('web1'))
  write('autosign', 'web1\n')
  t.ok(await list.has('web1'))
  write('autosign', 'other and longer\n')
  t.notOk(await list.has('web1'))
  t.same(warned, [])
})

t.test('a file that others may write decides nothing, and the log says so once', async t => {
  const { log, write, warned } = setUp(t)
  const file = write('autosign', '*\n')
  const list = new IdList(file, log)
  t.ok(await list.has('web1'))
  for (const mode of [0o664, 0o646]) {
    chmodSync(file, mode)
    t.notOk(await list.has('web1'))
  }
  t.equal(warned.length, 1)
  chmodSync(file, 0o600)
  t.ok(await list.has('web1'))
})

t.test('an expression that would take for ever lets nobody in', async t => {
  const { log, write } = setUp(t)
  const list = new IdList(write('autosign', '(a|a)*b?(a|a)*c\n'), log)
  t.notOk(await list.has('a'.repeat(200)))
})

t.test('grains let in by one value that stands in the file of their name', async t => {
  const { dir, log } = setUp(t)
  mkdirSync(join(dir, 'grains'))
  writeFileSync(join(dir, 'grains', 'uuid'), '# machines\n1234-abcd\n42\n', { mode: 0o644 })
  writeFileSync(join(dir, 'secret'), 'x\n', { mode: 0o644 })
  const lists = new GrainLists(join(dir, 'grains'), log)
  t.ok(await lists.admit({ uuid: '1234-abcd' }))
  t.ok(await lists.admit({ other: 'x', uuid: 42 }))
  t.ok(await lists.admit({ uuid: ['x', '1234-abcd'] }))
  for (const grains of [{}, { uuid: '1234' }, { uuid: null }, { uuid: {} }, { uuid: '# machines' }, { '../secret': 'x' }, { '.': 'x' }])
    t.notOk(await lists.admit(grains), JSON.stringify(grains))
})

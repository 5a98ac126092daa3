import t, { type Test } from 'tap'
import type { CompiledSls } from '../../src/reactor/compiled.js'
import { Compiler } from '../../src/reactor/compiler.js'
import { masterCompiler } from '../../src/reactor/master.js'
import { SlsFiles } from '../../src/reactor/sources.js'

const HOSTILE = "{% for i in range(99999) %}{% for j in range(99999) %}{{ 'x' * 9 }}{% endfor %}{% endfor %}"
const QUICK = "ping:\n  local.test.ping:\n    - tgt: {{ data['id'] }}\n"
const event = { tag: 'a/b', json: '{"id": "web1"}' }
const source = (text: string) => ({ file: '/srv/reactor/r.sls', text })

function compilerFor(t: Test, settings: { now?: () => number; hereMs?: number } = {}): Compiler {
  const facts = { fileRoots: {} }
  const here = masterCompiler(new SlsFiles(facts), facts)
  const compiler = new Compiler({ here, facts, ...settings })
  t.teardown(() => compiler.stop())
  return compiler
}

t.test('what is quick is compiled at once; what is slow in a thread, while others go on', async t => {
  const compiler = compilerFor(t)
  const slow = compiler.compile(source(HOSTILE), event)
  t.ok(slow instanceof Promise)
  const quick = compiler.compile(source(QUICK), event) as CompiledSls
  t.match(quick.reactions, [{ section: 'ping', call: { client: 'local', fun: 'test.ping', tgt: 'web1' } }])
  t.equal(compiler.waiting, 1)
  t.match(await slow, { error: /takes (?:longer|more) than|gave no answer within/, fault: { kind: 'limit' }, reactions: [] })
})

t.test('a template that needs more time than the process gives has it in the thread', async t => {
  const compiler = compilerFor(t, { hereMs: 0 })
  const text = `{% set n = namespace(sum=0) %}{% for i in range(1000) %}{% set n.sum = n.sum + i %}{% endfor %}${QUICK}    - arg: [{{ n.sum }}, {{ salt['config.get']('saltenv') }}]\n`
  const compiled = compiler.compile(source(text), event)
  t.ok(compiled instanceof Promise)
  t.match((await compiled).reactions, [{ call: { tgt: 'web1', arg: [499500, 'base'] } }])
})

t.test('a template that was stopped three times rests', async t => {
  const compiler = compilerFor(t, { now: () => 0 })
  for (let i = 0; i < 3; i++)
    t.match(await compiler.compile(source(HOSTILE), event), { error: /takes (?:longer|more) than|gave no answer within/ })
  t.match(compiler.compile(source(HOSTILE), event), { error: /quarantined/ })
})

t.test('a stop refuses what waits and leaves no thread behind', async t => {
  const compiler = compilerFor(t)
  const waiting = [compiler.compile(source(HOSTILE), event), compiler.compile(source(HOSTILE), event)]
  const refused = Promise.all(waiting.map(each => t.rejects(Promise.resolve(each), { code: 'SHUTTING_DOWN' })))
  await compiler.stop()
  await refused
  await t.rejects(Promise.resolve(compiler.compile(source(HOSTILE), event)), { code: 'SHUTTING_DOWN' })
})

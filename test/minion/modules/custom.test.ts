import { mkdir, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { siteSignature } from '../../../src/minion/modules/custom.js'
import { executorTest, kw } from '../../helpers/executor.js'

const SHOP = `
export function greet(name, greeting = 'hello') { return greeting + ' ' + name }
greet.doc = 'Greets somebody.'
export async function through(...args) { return __salt__['test.arg'](...args, { __kwarg__: true, os: __grains__.id }) }
export const all = (first, kwargs = {}) => ({ first, kwargs })
export function _hidden() {}
export function list_(items = [1, 2]) { return items }
`

t.test('modules of file_roots/_modules are functions like any other once they are synced, with documentation and errors', async t => {
  const { execute } = await executorTest(t, { files: { '_modules/shop.js': SHOP, '_modules/old.py': 'x', '_modules/sub/x.js': '' } })
  t.equal((await execute('shop.greet', 'Ada'))?.return, "'shop.greet' is not available.")
  t.same((await execute('saltutil.sync_modules'))?.return, ['modules.shop'])
  t.same((await execute('saltutil.sync_modules'))?.return, [], 'nothing was changed')
  t.equal((await execute('shop.greet', 'Ada'))?.return, 'hello Ada')
  t.equal((await execute('shop.greet', 'Ada', kw({ greeting: 'good morning' })))?.return, 'good morning Ada')
  t.same((await execute('shop.through', 1, 'b'))?.return, { args: [1, 'b'], kwargs: { os: 'web1' } })
  t.same((await execute('shop.all', 1, kw({ a: 2 })))?.return, { first: 1, kwargs: { a: 2 } })
  t.same((await execute('shop.list'))?.return, [1, 2])
  t.match(
    (await execute('shop.greet'))?.return,
    /^Passed invalid arguments to shop\.greet: greet\(\) missing 1 required positional argument: 'name'\n\n {4}Greets/
  )
  t.same((await execute('sys.list_functions', 'shop'))?.return, ['shop.all', 'shop.greet', 'shop.list', 'shop.through'])
  t.same((await execute('sys.doc', 'shop.greet'))?.return, { 'shop.greet': 'Greets somebody.' })
  t.equal((await execute('shop._hidden'))?.retcode, 1)
})

t.test(
  'a changed module counts from the next sync on, one that is gone is gone, one that does not load takes nothing else with it',
  async t => {
    const { dir, execute } = await executorTest(t, {
      files: { '_modules/a.js': 'export const f = () => 1', '_modules/b.mjs': 'export const f = () => 2' }
    })
    const roots = join(dir, 'roots/_modules')
    t.same((await execute('saltutil.sync_all'))?.return, { ...(await empty(execute)), modules: ['modules.a', 'modules.b'] })
    t.equal((await execute('a.f'))?.return, 1)
    await writeFile(join(roots, 'a.js'), 'export const f = () => 10')
    await utimes(join(roots, 'a.js'), 1, 1)
    await rm(join(roots, 'b.mjs'))
    await writeFile(join(roots, 'c.js'), 'export const f = (')
    t.same((await execute('saltutil.sync_modules'))?.return, ['modules.a', 'modules.c', 'modules.b'])
    t.equal((await execute('a.f'))?.return, 10)
    t.equal((await execute('b.f'))?.return, "'b.f' is not available.")
    t.equal((await execute('c.f'))?.return, "'c.f' is not available.")
  }
)

async function empty(execute: (fun: string) => Promise<{ return: unknown } | null>): Promise<Record<string, unknown>> {
  return (await execute('saltutil.sync_all'))?.return as Record<string, unknown>
}

t.test('__virtual__ leaves a module out or names it, and __virtualname__ names it', async t => {
  const { dir, execute } = await executorTest(t)
  const extmods = join(dir, 'cache/extmods')
  await mkdir(join(extmods, 'modules'), { recursive: true })
  await writeFile(join(extmods, 'package.json'), '{"type":"module"}')
  await writeFile(join(extmods, 'modules/a.js'), 'export const __virtual__ = () => [false, "no"]; export const f = () => 1')
  await writeFile(join(extmods, 'modules/b.js'), 'export const __virtual__ = () => "shop"; export const f = () => 2')
  await writeFile(join(extmods, 'modules/c.js'), 'export const __virtualname__ = "test"; export const ping = () => "mine"')
  t.equal((await execute('a.f'))?.retcode, 1)
  t.equal((await execute('shop.f'))?.return, 2)
})

t.test('signatures are read from the text of a function', t => {
  const same = (source: string, params: unknown, more: object = {}) =>
    t.same(siteSignature('f', source), { pythonName: 'f', params, ...more }, source)
  same('function f(a, b = "x, (y)", c = [1, {"d": 2}]) {}', [
    { name: 'a' },
    { name: 'b', default: 'x, (y)' },
    { name: 'c', default: [1, { d: 2 }] }
  ])
  same('async (a = null, ...rest) => a', [{ name: 'a', default: null }], { varargs: 'rest' })
  same('a => a', [{ name: 'a' }])
  same('() => 1', [])
  same('function (when = Date.now() /* now, or later */) {}', [{ name: 'when', default: undefined }])
  t.throws(() => siteSignature('f', '({ a }) => a'), /no plain name/)
  t.end()
})

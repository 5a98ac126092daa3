import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type AppBench, appBench } from '../helpers/app.js'

async function roots(t: Test): Promise<AppBench & { root: string; second: string; outside: string }> {
  const dir = t.testdir({
    root: { 'top.sls': 'base: {}\n', web: { 'init.sls': 'é: 1\n', 'logo.png': Buffer.from([137, 80, 0, 1]) }, empty: {} },
    second: { 'top.sls': 'other: {}\n' },
    outside: { 'secret.txt': 'secret' },
    pillar: { 'top.sls': 'password: hunter2\n' }
  })
  const [root, second, outside] = ['root', 'second', 'outside'].map(name => join(dir, name)) as [string, string, string]
  symlinkSync(outside, join(root, 'away'))
  symlinkSync(join(outside, 'secret.txt'), join(root, 'leak.sls'))
  symlinkSync('web', join(root, 'same'))
  symlinkSync('..', join(root, 'web', 'up'))
  const made = await appBench(t, { file_roots: { base: [root, second] }, pillar_roots: { base: [join(dir, 'pillar')] } })
  return { ...made, root, second, outside }
}

t.test('the roots are listed as they are; links that lead out of them are not there, and circles end', async t => {
  const { wheel, root, second } = await roots(t)
  const web = { 'init.sls': 'f', 'logo.png': 'f' }
  const listed = { [root]: { empty: {}, same: web, 'top.sls': 'f', web }, [second]: { 'top.sls': 'f' } }
  t.strictSame(await wheel('file_roots.list_env'), listed)
  t.strictSame(await wheel('file_roots.list_roots'), { base: Object.entries(listed).map(([path, tree]) => ({ [path]: tree })) })
  t.strictSame(await wheel('file_roots.list_env', { saltenv: 'dev' }), {})
})

t.test('a file is found and read in every root that has it, text alone', async t => {
  const { wheel, root, second } = await roots(t)
  t.strictSame(await wheel('file_roots.find', { path: 'top.sls' }), [
    { [join(root, 'top.sls')]: 'txt' },
    { [join(second, 'top.sls')]: 'txt' }
  ])
  t.strictSame(await wheel('file_roots.find', { path: 'web/logo.png' }), [{ [join(root, 'web/logo.png')]: 'bin' }])
  t.strictSame(await wheel('file_roots.read', { path: 'web/init.sls' }), [{ [join(root, 'web/init.sls')]: 'é: 1\n' }])
  t.strictSame(await wheel('file_roots.read', { path: 'web/logo.png' }), [])
  t.strictSame(await wheel('file_roots.read', { path: 'same/init.sls' }), [{ [join(root, 'same/init.sls')]: 'é: 1\n' }])
})

t.test('nothing outside of the roots is read or found', async t => {
  const { wheel, root, outside } = await roots(t)
  const paths = [
    '../outside/secret.txt',
    'web/../../outside/secret.txt',
    join(outside, 'secret.txt'),
    'leak.sls',
    'away/secret.txt',
    '',
    '.',
    'web',
    'a\0b'
  ]
  for (const path of paths) {
    t.strictSame(await wheel('file_roots.read', { path }), [], path)
    t.strictSame(await wheel('file_roots.find', { path }), [], path)
  }
  t.ok(existsSync(join(root, 'leak.sls')))
})

t.test('a file is written below a root; what is there keeps its mode, and nothing half written is seen', async t => {
  const { wheel, root, second } = await roots(t)
  t.equal(await wheel('file_roots.write', { path: 'new/deep/w.sls', data: 'a: b\n' }), `Wrote data to file ${join(root, 'new/deep/w.sls')}`)
  t.equal(readFileSync(join(root, 'new/deep/w.sls'), 'utf8'), 'a: b\n')
  writeFileSync(join(second, 'x.sls'), 'old', { mode: 0o640 })
  t.equal(await wheel('file_roots.write', { path: 'x.sls', data: 'fresh', index: 1 }), `Wrote data to file ${join(second, 'x.sls')}`)
  t.equal(readFileSync(join(second, 'x.sls'), 'utf8'), 'fresh')
  t.equal(statSync(join(second, 'x.sls')).mode & 0o777, 0o640)
})

t.test('nothing is written outside of the roots, nor through a link', async t => {
  const { wheel, root, outside } = await roots(t)
  const refused: [object, string][] = [
    [{ path: '/etc/x' }, 'The path passed in /etc/x is not relative to the environment base'],
    [{ path: '../outside/x' }, 'Invalid path: ../outside/x'],
    [{ path: 'away/x' }, 'Invalid path: away/x'],
    [{ path: 'leak.sls' }, 'Invalid path: leak.sls'],
    [{ path: 'web' }, 'Invalid path: web'],
    [{ path: 'x', saltenv: 'dev' }, 'Named environment dev is not present'],
    [{ path: 'x', index: 7 }, 'Specified index 7 in environment base is not present']
  ]
  for (const [fields, text] of refused) t.equal(await wheel('file_roots.write', { data: 'evil', ...fields }), text)
  t.equal(readFileSync(join(outside, 'secret.txt'), 'utf8'), 'secret')
  t.notOk(existsSync(join(outside, 'x')))
  mkdirSync(join(root, 'plain'))
  writeFileSync(join(root, 'plain/file'), '')
  t.match(await wheel('file_roots.write', { data: 'x', path: 'plain/file/x' }), 'Invalid path: plain/file/x')
})

t.test('files of more than some megabytes are neither read nor written', async t => {
  const { wheel, root } = await roots(t)
  const large = 'x'.repeat(4 * 1024 * 1024 + 1)
  writeFileSync(join(root, 'large.txt'), large)
  t.match(await wheel('file_roots.read', { path: 'large.txt' }), /Exception occurred in wheel file_roots\.read: .*more than/)
  t.match(await wheel('file_roots.write', { path: 'l.txt', data: large }), /Exception occurred in wheel file_roots\.write: .*more than/)
})

t.test('what pillar files hold stays out of the events', async t => {
  const { wheel, log } = await roots(t)
  t.match(JSON.stringify(await wheel('pillar_roots.read', { path: 'top.sls' })), /hunter2/)
  t.match(await wheel('pillar_roots.write', { path: 'a.sls', data: 'token: abc123' }), /^Wrote data to file /)
  t.notMatch(JSON.stringify(await log()), /hunter2|abc123/)
  t.match(await log(), [{}, { data: { return: [Object] } }], 'the calls themselves are told')
})

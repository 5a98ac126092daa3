import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { gunzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { FileRoots } from '../../src/fileserver/roots.js'
import { makeKey } from '../helpers/keypairs.js'
import { FakeMinion, linkServer } from '../helpers/link.js'

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

function tree(t: Test) {
  const dir = t.testdir({
    secret: 'not for minions',
    base: { 'top.sls': 'base:', 'both.txt': 'first', web: { 'init.sls': 'x: 1', 'empty.txt': '' }, 'ü ñ.txt': 'name' },
    second: { 'both.txt': 'second', 'only.txt': 'only here' },
    dev: { 'dev.txt': 'dev' }
  })
  symlinkSync(join(dir, 'secret'), join(dir, 'base/leak'))
  symlinkSync(dir, join(dir, 'base/leakdir'))
  symlinkSync('web/init.sls', join(dir, 'base/inside'))
  symlinkSync('..', join(dir, 'base/web/loop'))
  symlinkSync('nowhere', join(dir, 'base/broken'))
  execFileSync('mkfifo', [join(dir, 'base/fifo')])
  const roots = new FileRoots({ base: [join(dir, 'base'), join(dir, 'missing'), join(dir, 'second')], dev: [join(dir, 'dev')] })
  return { dir, roots }
}

t.test('the first root that has a file wins, in its environment alone', async t => {
  const { roots } = tree(t)
  const read = async (path: string, env = 'base') => {
    const file = await roots.open(path, env)
    if (file === null) return null
    const text = (await buffer(file.content())).toString()
    t.equal(file.hash, sha256(text))
    t.equal(file.size, Buffer.byteLength(text))
    return text
  }
  t.equal(await read('both.txt'), 'first')
  t.equal(await read('only.txt'), 'only here')
  t.equal(await read('web//./init.sls'), 'x: 1')
  t.equal(await read('web/empty.txt'), '')
  t.equal(await read('ü ñ.txt'), 'name')
  t.equal(await read('inside'), 'x: 1', 'a link inside of the root')
  t.equal(await read('dev.txt'), null)
  t.equal(await read('dev.txt', 'dev'), 'dev')
  t.equal(await read('x', 'constructor'), null)
  t.same(roots.environments(), ['base', 'dev'])
})

t.test('nothing outside of the roots can be read', async t => {
  const { roots, dir } = tree(t)
  for (const path of ['../secret', 'web/../../secret', '..', '', '/', join(dir, 'secret'), 'a\0b', '.']) {
    await t.rejects(roots.open(path, 'base'), { code: 'FIELD_INVALID' }, JSON.stringify(path))
  }
  for (const path of ['leak', 'leakdir/secret', 'leakdir/dev/dev.txt', 'broken', 'web', 'fifo', 'top.sls/x', 'x'.repeat(300)]) {
    t.equal(await roots.open(path, 'base'), null, path.slice(0, 20))
  }
})

t.test('all files of an environment are listed once, without what links lead out to or in circles', async t => {
  const { roots } = tree(t)
  t.same(await roots.list('base'), ['both.txt', 'inside', 'only.txt', 'top.sls', 'web/empty.txt', 'web/init.sls', 'ü ñ.txt'])
  t.same(await roots.list('nothing'), [])
})

t.test('directories, empty ones too, and links that stay inside are listed beside the files', async t => {
  const dir = t.testdir({ one: { a: { f: '' }, empty: { deep: {} } }, two: { a: { g: '' }, more: {} }, secret: '' })
  symlinkSync('a', join(dir, 'one', 'link'))
  symlinkSync('../secret', join(dir, 'one', 'leak'))
  symlinkSync('nothing', join(dir, 'one', 'dangling'))
  t.strictSame(await new FileRoots({ base: [join(dir, 'one'), join(dir, 'two')] }).tree('base'), {
    files: ['a/f', 'a/g', 'link/f'],
    directories: ['a', 'empty', 'empty/deep', 'link', 'more'],
    links: { link: 'a' }
  })
})

t.test('a changed file has a new hash', async t => {
  const { roots, dir } = tree(t)
  const path = join(dir, 'base/top.sls')
  const before = await roots.open('top.sls', 'base')
  await before!.close()
  writeFileSync(path, 'BASE:')
  utimesSync(path, 1, 1)
  const after = await roots.open('top.sls', 'base')
  await after!.close()
  t.equal(before!.hash, sha256('base:'))
  t.equal(after!.hash, sha256('BASE:'))
})

t.test('minions get files over HTTP: by hash when they have them already, and never what is outside of the roots', async t => {
  const { dir } = tree(t)
  mkdirSync(join(dir, 'more'))
  const server = await linkServer(t, { config: { file_roots: { base: [join(dir, 'base')], dev: [join(dir, 'dev')] } } })
  const key = makeKey()
  await server.keys.vouch('web1', key.pub)
  const minion = await new FakeMinion(server.url, 'web1', key).authenticate()
  const file = await minion.get('/minion/file?path=web/init.sls')
  t.equal(file.status, 200)
  t.equal(await file.text(), 'x: 1')
  t.equal(file.headers.get('etag'), `"${sha256('x: 1')}"`)
  t.equal((await minion.get('/minion/file?path=web/init.sls', { 'if-none-match': `"${sha256('x: 1')}"` })).status, 304)
  const part = (range: string, more: Record<string, string> = {}) => minion.get('/minion/file?path=web/init.sls', { range, ...more })
  for (const [range, text] of [
    ['bytes=2-', ' 1'],
    ['bytes=0-0', 'x'],
    ['bytes=1-100', ': 1'],
    ['bytes=-2', ' 1'],
    ['bytes=-100', 'x: 1']
  ] as const) {
    const answer = await part(range)
    t.equal(answer.status, 206, range)
    t.equal(await answer.text(), text, range)
  }
  t.equal((await part('bytes=1-2')).headers.get('content-range'), 'bytes 1-2/4')
  t.equal((await part('bytes=4-')).status, 416, 'beyond the end')
  for (const range of ['bytes=3-2', 'bytes=-', 'lines=1-', 'bytes=0-1,3-']) t.equal((await part(range)).status, 200, range)
  t.equal((await part('bytes=2-', { 'if-range': `"${sha256('x: 1')}"` })).status, 206)
  t.equal((await part('bytes=2-', { 'if-range': '"another"' })).status, 200, 'the file is another one by now')
  t.equal((await (await minion.get('/minion/file?path=web/empty.txt')).arrayBuffer()).byteLength, 0)
  t.equal(await (await minion.get('/minion/file?path=dev.txt&saltenv=dev')).text(), 'dev')
  for (const path of ['leak', 'nothing', 'leakdir/secret']) t.equal((await minion.get(`/minion/file?path=${path}`)).status, 404, path)
  for (const path of ['../secret', '%2e%2e/secret', '/etc/passwd', 'web/..%2f../secret']) {
    t.equal((await minion.get(`/minion/file?path=${path}`)).status, 400, path)
  }
  t.strictSame(await (await minion.get('/minion/files?saltenv=dev')).json(), { files: ['dev.txt'], directories: [], links: {} })
  t.match(await (await minion.get('/minion/environments')).json(), { environments: ['base', 'dev'] })
})

t.test('what is large comes packed to a minion that takes it so: files that get smaller, lists and pillars', async t => {
  const { dir } = tree(t)
  const text = 'a line of text\n'.repeat(1000)
  for (const name of ['large.txt', 'large.tar.gz']) writeFileSync(join(dir, 'base', name), text)
  for (let i = 0; i < 100; i++) writeFileSync(join(dir, 'base', `a-file-of-the-list-${i}.sls`), '')
  mkdirSync(join(dir, 'pillar'))
  writeFileSync(join(dir, 'pillar', 'top.sls'), "base: {'*': [large]}")
  writeFileSync(join(dir, 'pillar', 'large.sls'), `text: "${'x'.repeat(5000)}"`)
  const config = { file_roots: { base: [join(dir, 'base')] }, pillar_roots: { base: [join(dir, 'pillar')] } }
  const server = await linkServer(t, { config })
  const key = makeKey()
  await server.keys.vouch('web1', key.pub)
  const minion = await new FakeMinion(server.url, 'web1', key).authenticate()
  const ask = async (path: string, { accept = 'gzip', body }: { accept?: string; body?: string } = {}) => {
    const headers = { authorization: `Bearer ${minion.token}`, 'accept-encoding': accept, 'content-type': 'application/json' }
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = httpRequest(`${server.url}${path}`, { method: body === undefined ? 'GET' : 'POST', headers, agent: false }, resolve)
      request.once('error', reject).end(body)
    })
    return { headers: answer.headers, bytes: await buffer(answer) }
  }
  const large = await ask('/minion/file?path=large.txt')
  t.match(large.headers, { 'content-encoding': 'gzip', 'x-file-size': String(text.length), etag: `"${sha256(text)}"` })
  t.ok(large.bytes.length < text.length / 10)
  t.equal(gunzipSync(large.bytes).toString(), text)
  for (const plain of [await ask('/minion/file?path=large.tar.gz'), await ask('/minion/file?path=large.txt', { accept: 'gzip;q=0' })]) {
    t.notOk(plain.headers['content-encoding'])
    t.equal(plain.headers['content-length'], String(text.length))
    t.equal(plain.bytes.toString(), text)
  }
  t.notOk((await ask('/minion/file?path=web/init.sls')).headers['content-encoding'], 'a small one is not worth it')
  const list = await ask('/minion/files')
  t.equal(list.headers['content-encoding'], 'gzip')
  t.match(JSON.parse(gunzipSync(list.bytes).toString()).files, ['a-file-of-the-list-0.sls'])
  const pillar = await ask('/minion/pillar', { body: '{}' })
  t.equal(pillar.headers['content-encoding'], 'gzip')
  t.match(JSON.parse(gunzipSync(pillar.bytes).toString()), { pillar: { text: /^x{5000}$/ } })
  t.match(JSON.parse((await ask('/minion/pillar', { body: '{}', accept: 'identity' })).bytes.toString()), { pillar: { text: /^x{5000}$/ } })
})

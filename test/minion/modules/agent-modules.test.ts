import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { MineAsk } from '../../../src/minion/master.js'
import { mineCall } from '../../../src/minion/modules/mine.js'
import { kw, minionTest } from '../../helpers/executor.js'

/** A web server that says what it was asked. */
async function web(t: Test): Promise<string> {
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', chunk => {
      body += chunk
    })
    request.on('end', () => {
      if (request.url === '/missing') response.writeHead(404)
      else if (request.url === '/yaml') response.setHeader('content-type', 'application/yaml')
      else response.setHeader('content-type', 'application/json')
      const { method, url, headers } = request
      response.end(
        url === '/yaml'
          ? 'a: [1, yes]\n'
          : JSON.stringify({ method, url, body, type: headers['content-type'], auth: headers.authorization, key: headers['x-key'] })
      )
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** An address where nobody listens any more. */
async function nobody(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return `http://127.0.0.1:${port}/`
}

t.test('http.query asks as it is told and answers with body, text, status, headers and what it decoded', async t => {
  const url = await web(t)
  const { value } = await minionTest(t)
  const query = (path: string, options: object = {}) =>
    value('http.query', url + path, kw(options as never)) as Promise<Record<string, never>>
  const plain = await query('/a')
  t.same(Object.keys(plain).sort(), ['body', 'text'])
  t.match(JSON.parse(plain.body!), { method: 'GET', url: '/a' })
  const asked = await query('/b?x=1', {
    ...{ method: 'post', params: { y: 'a b' }, data: { one: 1 }, username: 'u', password: 'p', header_dict: { 'X-Key': 'k' } },
    ...{ decode: true, status: true, headers: true }
  })
  t.match(asked, { status: 200, headers: { 'content-type': 'application/json' } })
  const auth = `Basic ${Buffer.from('u:p').toString('base64')}`
  t.same(asked.dict, { method: 'POST', url: '/b?x=1&y=a+b', body: 'one=1', type: 'application/x-www-form-urlencoded', auth, key: 'k' })
  t.match(await query('/c', { method: 'PUT', data: { one: 1 }, header_dict: { 'Content-Type': 'application/json' }, decode: true }), {
    dict: { body: '{"one":1}', type: 'application/json' }
  })
  t.same((await query('/yaml', { decode: true })).dict, { a: [1, true] })
  t.match(await query('/missing'), { status: 404, error: 'HTTP 404: Not Found' })
  t.match(await value('http.query', await nobody(), kw({ status: true })), { status: 0, error: /ECONNREFUSED/ })
  t.match(await value('http.query', 'ftp://x/'), /'ftp:\/\/x\/' is no http or https URL/)
})

t.test('files come from the web too, are kept in the cache, and a hash that does not fit is refused', async t => {
  const url = await web(t)
  const { value, dir, read } = await minionTest(t)
  const path = join(dir, 'cache/extrn_files/base', url.slice('http://'.length), 'x/yaml')
  t.equal(await value('cp.cache_dest', `${url}/x/yaml`), path)
  t.match(await value('cp.cache_file', `${url}/x/yaml`), path)
  t.equal(
    await value('cp.get_url', `${url}/yaml`, join(dir, 'got'), kw({ source_hash: `md5=${'0'.repeat(32)}` }))
      .then(String)
      .then(text => /^ERROR: the hash of the file is md5/.test(text)),
    true
  )
  t.equal(await value('cp.get_url', `${url}/yaml`, join(dir, 'got')), join(dir, 'got'))
  t.equal(await read('got'), 'a: [1, yes]\n')
  t.equal(await value('cp.get_url', `${url}/missing`, join(dir, 'none')), false)
  t.match(await value('cp.cache_file', 'http://127.0.0.1:1/x'), /^ERROR: Failed to fetch/)
})

t.test('cp: files of the server and of this machine', async t => {
  const { value, dir, write } = await minionTest(t, { files: { 'a/b.txt': 'B', 'top.sls': '{}' } })
  t.match(await value('cp.cache_master'), [/a\/b\.txt$/, /top\.sls$/])
  const file = await write('local.txt', 'L')
  t.equal(await value('cp.cache_local_file', file), join(dir, 'cache/localfiles', file))
  t.equal(await value('cp.cache_local_file', '/no/such'), '')
  t.match(await value('cp.hash_file_str', 'salt://a/b.txt'), /^[0-9a-f]{64}$/)
  t.match(await value('cp.stat_file', 'salt://a/b.txt'), /^06\d\d$/)
  t.same(await value('cp.list_master_symlinks'), {})
  t.same(await value('cp.recv', { 'x/y': 'text' }, dir), { [join(dir, 'x/y')]: true })
  t.match(await value('cp.recv', { '../y': 'text' }, dir), /no path below/)
})

t.test('pillar: merge, filter_by, and one asker’s own values', async t => {
  const { value } = await minionTest(t, { options: { pillar: { app: { ports: [80], tls: { on: true } }, role: 'web1' } } })
  t.same(await value('pillar.get', 'app', kw({ default: { ports: [1], tls: { on: false, cert: 'x' } }, merge: true })), {
    ports: [1, 80],
    tls: { on: true, cert: 'x' }
  })
  t.equal(await value('pillar.get', 'app:tls:none', 'd'), 'd')
  t.same(await value('pillar.items', 'role'), { role: 'web1' })
  t.match(await value('pillar.items', kw({ pillar: { extra: 1 } })), { role: 'web1', extra: 1 })
  t.same(await value('pillar.filter_by', { 'web*': { a: 1 }, default: { a: 2 } }, 'role', kw({ merge: { b: 3 } })), { a: 1, b: 3 })
  t.same(await value('pillar.filter_by', { x: { a: 1 }, default: { a: 2 } }, 'role'), { a: 2 })
})

t.test('config: merging, options by name, and what a call leaves out', async t => {
  const { value } = await minionTest(t, {
    options: {
      pillar: { app: { a: 1, in: { x: 1 } }, list: [2], 'mail.host': 'm' },
      grains: { app: { b: 2, in: { y: 2 } } },
      settings: { list: [1], 'mail.port': 25 }
    }
  })
  t.same(await value('config.get', 'app', kw({ merge: 'recurse' })), { a: 1, b: 2, in: { x: 1, y: 2 } })
  t.same(await value('config.get', 'app', kw({ merge: 'overwrite' })), { a: 1, b: 2, in: { y: 2 } })
  t.same(await value('config.get', 'app:in'), { y: 2 })
  t.same(await value('config.get', 'app', kw({ omit_grains: true })), { a: 1, in: { x: 1 } })
  t.same(await value('config.merge', 'list'), [1, 2])
  t.same(await value('config.dot_vals', 'mail'), { 'mail.host': 'm', 'mail.port': 25 })
  t.same(await value('config.option', 'mail.*', kw({ wildcard: true })), { 'mail.host': 'm', 'mail.port': 25 })
  t.equal(await value('config.option', 'none'), '')
  t.equal(await value('config.backup_mode'), '')
})

t.test('mine.update sends what the functions of configuration and pillar return; a broken one is left out', async t => {
  const asked: MineAsk[] = []
  const mine = async (ask: MineAsk) => {
    asked.push(ask)
    return ask.kind === 'get' ? { web1: 1, db1: 2 } : true
  }
  const { value } = await minionTest(t, {
    mine,
    options: {
      mine_functions: { 'test.echo': ['hi'], alias: [{ mine_function: 'grains.get' }, 'id'], 'no.such': [] },
      pillar: { mine_functions: { secret: { mine_function: 'test.echo', text: 's', allow_tgt: 'db*' } } }
    }
  })
  t.equal(await value('mine.update'), true)
  t.same(asked[0], {
    kind: 'send',
    clear: false,
    data: { secret: { __data__: 's', __saltmine_acl__: 1, allow_tgt: 'db*' }, 'test.echo': 'hi', alias: 'web1' }
  })
  t.equal(await value('mine.send', 'test.echo', 'x'), true)
  t.same(asked[1], { kind: 'send', data: { 'test.echo': 'x' } })
  t.equal(await value('mine.send', 'no.such'), false)
  t.same(await value('mine.get', '*', 'x', kw({ exclude_minion: true })), { db1: 2 })
  t.same(asked[2], { kind: 'get', tgt: '*', tgt_type: 'glob', fun: 'x' })
  t.same(await value('mine.valid'), { secret: { 'test.echo': [{ text: 's' }] }, 'test.echo': ['hi'], alias: { 'grains.get': ['id'] } })
  t.equal(await value('mine.flush'), true)
  t.equal(await value('mine.delete', 'x'), true)
  t.same(mineCall('a', { b: 1 }), { fun: 'a', args: [], kwargs: { b: 1 }, allow: {} })
})

t.test('saltutil: signals have numbers and names, the cache is cleared, keys are made anew at the next start', async t => {
  const { value, write, read } = await minionTest(t)
  await write('cache/files/base/x', 'x')
  await write('conf/pki/minion.pem', 'key')
  t.equal(await value('saltutil.clear_cache', kw({ days: 1 })), true)
  t.equal(await read('cache/files/base/x'), 'x')
  t.equal(await value('saltutil.clear_cache'), true)
  await t.rejects(read('cache/files/base/x'), { code: 'ENOENT' })
  t.equal(await value('saltutil.regen_keys'), null)
  await t.rejects(read('conf/pki/minion.pem'), { code: 'ENOENT' })
  t.equal(await value('saltutil.mmodule', 'base', 'test.echo', 'hi'), 'hi')
  t.same(await value('saltutil.sync_states'), [])
  t.match(await value('saltutil.signal_job', '20260101000000000000', 'NOSUCH'), /must be a number/)
})

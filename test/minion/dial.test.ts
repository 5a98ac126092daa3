import { execFileSync, spawnSync } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer as createHttp, type IncomingMessage, type Server } from 'node:http'
import { createServer as createHttps } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { isExempt, type ProxySettings, pinFits, proxyOfEnvironment } from '../../src/minion/dial.js'
import { ServerHttp } from '../../src/minion/http.js'

interface Pair {
  readonly key: string
  readonly cert: string
}

/** A certificate for 127.0.0.1, signed by itself. */
function certificate(dir: string, name: string): Pair {
  const [key, cert] = [join(dir, `${name}.key`), join(dir, `${name}.crt`)]
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1']
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', cert, ...subject], {
    stdio: 'ignore'
  })
  return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') }
}

const skip = spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed'

async function listening(t: Test, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

/** Answers `{"path": …}` and notes what came. */
function answering(seen: IncomingMessage[]) {
  return (request: IncomingMessage, response: import('node:http').ServerResponse) => {
    seen.push(request)
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ path: request.url }))
  }
}

async function tlsServer(t: Test, pair: Pair) {
  const seen: IncomingMessage[] = []
  const port = await listening(t, createHttps(pair, answering(seen)))
  return { seen, url: `https://127.0.0.1:${port}` }
}

/** A forwarding proxy: tunnels CONNECT and passes on absolute URLs. */
async function proxyServer(t: Test, refuse = 0) {
  const asked: { method: string; url: string; auth: string | undefined }[] = []
  const sockets = new Set<Socket>()
  const server = createHttp(async (request, response) => {
    asked.push({ method: request.method!, url: request.url!, auth: request.headers['proxy-authorization'] })
    const answer = await fetch(request.url!)
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text())
  })
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    asked.push({ method: 'CONNECT', url: request.url!, auth: request.headers['proxy-authorization'] })
    if (refuse > 0) {
      socket.end(`HTTP/1.1 ${refuse} No\r\n\r\n`)
      return
    }
    const port = Number(request.url!.split(':')[1])
    const there = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      socket.pipe(there).pipe(socket)
    })
    for (const end of [socket, there]) {
      sockets.add(end)
      end.on('error', () => {})
    }
  })
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  const port = await listening(t, server)
  return { asked, port }
}

const proxyAt = (port: number, more: Partial<ProxySettings> = {}): ProxySettings => ({
  ...{ host: '127.0.0.1', port, username: '', password: '', except: [] },
  ...more
})

function ask(t: Test, url: string, way: ConstructorParameters<typeof ServerHttp>[1]): Promise<{ path: string }> {
  const server = new ServerHttp(url, way)
  t.teardown(() => server.close())
  return server.json({ method: 'GET', path: '/x?y=1' })
}

t.test('TLS: an authority of the site, or a fingerprint, lets the server count, and nothing else does', { skip }, async t => {
  const dir = t.testdir()
  const [right, wrong] = [certificate(dir, 'right'), certificate(dir, 'wrong')]
  const server = await tlsServer(t, right)
  const sha = (data: Buffer | string) => createHash('sha256').update(data).digest('hex')
  const cert = new X509Certificate(right.cert)
  const finger = cert.fingerprint256
  const path = '/x?y=1'

  t.same(await ask(t, server.url, { ca: right.cert }), { path })
  t.same(await ask(t, server.url, { finger }), { path })
  t.same(await ask(t, server.url, { finger: finger.replaceAll(':', '').toLowerCase() }), { path })
  t.same(await ask(t, server.url, { finger: sha(cert.publicKey.export({ type: 'spki', format: 'der' })) }), { path }, 'of the public key')
  t.same(await ask(t, server.url, { ca: right.cert, finger }), { path })
  t.equal(server.seen.length, 5)

  const refused = { name: 'Unreachable' }
  const other = new X509Certificate(wrong.cert).fingerprint256
  await t.rejects(ask(t, server.url, {}), refused, 'nobody has signed it')
  await t.rejects(ask(t, server.url, { ca: wrong.cert }), refused)
  await t.rejects(ask(t, server.url, { finger: other }), { ...refused, message: /master_finger/ })
  await t.rejects(ask(t, server.url, { ca: right.cert, finger: other }), refused)
  await t.rejects(ask(t, server.url, { ca: wrong.cert, finger }), refused)
  t.equal(server.seen.length, 5, 'not a byte of a request came')
})

t.test("a fingerprint may be Salt's: of the lines of the public key's PEM", { skip }, async t => {
  const cert = new X509Certificate(certificate(t.testdir(), 'one').cert)
  const lines = String(cert.publicKey.export({ type: 'spki', format: 'pem' }))
    .trim()
    .split('\n')
    .slice(1, -1)
  const salt = createHash('sha256')
    .update(`${lines.join('\n')}\n`)
    .digest('hex')
  t.ok(pinFits(salt.match(/../g)!.join(':'), cert.raw))
  t.notOk(pinFits('00'.repeat(32), cert.raw))
})

t.test('https goes through a proxy by CONNECT, and the certificate is checked behind it', { skip }, async t => {
  const dir = t.testdir()
  const pair = certificate(dir, 'one')
  const server = await tlsServer(t, pair)
  const proxy = await proxyServer(t)
  // The name is the proxy's to find: to this machine itself no proxy is asked.
  const url = server.url.replace('127.0.0.1', 'brine.example')
  const finger = new X509Certificate(pair.cert).fingerprint256
  const way = { finger, proxy: proxyAt(proxy.port, { username: 'ann', password: 'pw' }) }
  t.same(await ask(t, url, way), { path: '/x?y=1' })
  t.same(proxy.asked, [{ method: 'CONNECT', url: new URL(url).host, auth: `Basic ${btoa('ann:pw')}` }])
  t.equal(server.seen[0]!.headers['proxy-authorization'], undefined, 'the password stays with the proxy')
  await t.rejects(ask(t, url, { ...way, finger: '00'.repeat(32) }), { name: 'Unreachable' })
  await t.rejects(ask(t, url, { ca: pair.cert, proxy: proxyAt(proxy.port) }), { name: 'Unreachable' }, 'another name')
})

t.test('a proxy that refuses, or is not there, makes the server unreachable', async t => {
  const proxy = await proxyServer(t, 407)
  await t.rejects(ask(t, 'https://brine.example', { proxy: proxyAt(proxy.port) }), { name: 'Unreachable', message: /status 407/ })
  const dead = createHttp()
  const port = await listening(t, dead)
  dead.close()
  await once(dead, 'close')
  await t.rejects(ask(t, 'https://brine.example', { proxy: proxyAt(port) }), { name: 'Unreachable', message: /ECONNREFUSED/ })
})

t.test('plain http goes through a proxy with the whole address', async t => {
  const proxy = await proxyServer(t)
  const seen: IncomingMessage[] = []
  const port = await listening(t, createHttp(answering(seen)))
  const way = { proxy: proxyAt(proxy.port, { username: 'ann', password: 'pw' }) }
  // 127.0.0.1 would be asked directly; the fake proxy resolves this name as everybody does.
  await t.rejects(ask(t, 'http://127.0.0.1:1', way), { message: /ECONNREFUSED/ })
  const server = new ServerHttp(`http://0.0.0.0:${port}/below`, way)
  t.teardown(() => server.close())
  t.same(await server.json({ method: 'GET', path: '/x' }), { path: '/below/x' })
  t.same(proxy.asked, [{ method: 'GET', url: `http://0.0.0.0:${port}/below/x`, auth: `Basic ${btoa('ann:pw')}` }])
})

t.test('hosts of no_proxy, and this machine, are reached without the proxy', async t => {
  const exempt = (url: string, ...except: string[]) => isExempt(new URL(url), except)
  for (const url of ['http://localhost:8000', 'http://127.0.0.1', 'http://127.8.8.8', 'http://[::1]:8000']) t.ok(exempt(url), url)
  t.ok(exempt('https://a.example', 'a.example'))
  t.ok(exempt('https://b.a.example', '.a.example'))
  t.ok(exempt('https://b.a.example', '*.a.example'))
  t.ok(exempt('https://b.a.example', 'A.example'))
  t.ok(exempt('https://x', '*'))
  t.ok(exempt('https://x', 'x:443'))
  t.ok(exempt('http://10.0.0.1:8000', '10.0.0.1'))
  t.notOk(exempt('https://x:8443', 'x:443'))
  t.notOk(exempt('https://ba.example', 'a.example'))
  t.notOk(exempt('https://b.example', 'a.example'))
  t.notOk(exempt('https://x'))
})

t.test('the environment names a proxy by the kind of address', async t => {
  const of = (url: string, env: Record<string, string>) => proxyOfEnvironment(new URL(url), env)
  t.same(of('https://x', { https_proxy: 'http://ann:p%40ss@proxy:3128', no_proxy: 'a, .b' }), {
    host: 'proxy',
    port: 3128,
    username: 'ann',
    password: 'p@ss',
    except: ['a', '.b']
  })
  t.match(of('http://x', { http_proxy: 'proxy:1' }), { host: 'proxy', port: 1 })
  t.match(of('https://x', { HTTPS_PROXY: 'http://proxy' }), { host: 'proxy', port: 80 })
  t.equal(of('http://x', { HTTP_PROXY: 'http://proxy', https_proxy: 'http://proxy' }), null)
  t.equal(of('https://x', { https_proxy: 'socks5://proxy:1' }), null)
  t.equal(of('https://x', { https_proxy: 'http://:::' }), null)
})

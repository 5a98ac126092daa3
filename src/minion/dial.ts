/**
 * How a connection to the server is made: straight or through an HTTP proxy, with TLS checked against the system's authorities, one of the
 * site's own, or a fingerprint. A connection that does not pass is never written to.
 */
import { createHash, X509Certificate } from 'node:crypto'
import http from 'node:http'
import https from 'node:https'
import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'

/** Until a connection stands, proxy and TLS included. */
const CONNECT_MS = 20_000

/** What the configuration says about the way to the server. */
export interface Way {
  /** PEM with the authorities that may sign the server's certificate, instead of the system's. */
  readonly ca?: string | null
  /** SHA-256 of the server's certificate or public key; see `pinFits`. With it, and no `ca`, nobody needs to have signed the certificate. */
  readonly finger?: string | null
  readonly proxy?: ProxySettings | null
}

export interface ProxySettings {
  readonly host: string
  readonly port: number
  readonly username: string
  readonly password: string
  /** Hosts that are reached without it: names, `.domain`, `*`, with or without a port. */
  readonly except: readonly string[]
}

/** What `ServerHttp` needs to know: agents for its requests, and whether requests are written to a proxy (absolute URLs, its password). */
export interface Dialer {
  /** Of so many connections, which are kept. */
  agent(maxSockets: number): http.Agent
  /** Headers that go to the proxy with each request; null: the request goes to the server itself. */
  readonly forward: Readonly<Record<string, string>> | null
}

/** The way to one server. */
export function dialer(base: URL, way: Way): Dialer {
  const proxy = way.proxy && !isExempt(base, way.proxy.except) ? way.proxy : null
  const secure = base.protocol === 'https:'
  const open = async (): Promise<Socket> => {
    const socket = await openSocket(base, proxy, secure)
    return secure ? secured(socket, base.hostname, way) : socket
  }
  return {
    agent: maxSockets => agentOf(secure, maxSockets, open),
    forward: proxy !== null && !secure ? proxyHeaders(proxy) : null
  }
}

/** `HTTP_PROXY` and its like, for settings that name no proxy: of the kind that this URL needs; null when there is none, or none that parses. */
export function proxyOfEnvironment(base: URL, env: Readonly<Record<string, string | undefined>>): ProxySettings | null {
  const name = base.protocol === 'https:' ? 'https_proxy' : 'http_proxy'
  // Not HTTP_PROXY in capitals: in a CGI environment that is a header of whoever sent the request.
  const given = env[name] ?? (name === 'https_proxy' ? env.HTTPS_PROXY : undefined)
  if (!given) return null
  const whole = /^[a-z][a-z0-9+.-]*:\/\//.test(given) ? given : `http://${given}`
  if (!URL.canParse(whole)) return null
  const url = new URL(whole)
  if (url.protocol !== 'http:') return null
  const except = (env.no_proxy ?? env.NO_PROXY ?? '').split(/[\s,]+/).filter(Boolean)
  const [username, password] = [decodeURIComponent(url.username), decodeURIComponent(url.password)]
  return { host: url.hostname, port: Number(url.port || 80), username, password, except }
}

/** True for hosts that are never asked for at a proxy: this machine itself, and those of the list. */
export function isExempt(base: URL, except: readonly string[]): boolean {
  const host = base.hostname.replace(/^\[|\]$/g, '').toLowerCase()
  if (host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))) return true
  const port = base.port || (base.protocol === 'https:' ? '443' : '80')
  return except.some(each => {
    const [, name = '', only] = /^(.*?)(?::(\d+))?$/.exec(each.toLowerCase())!
    if (only !== undefined && only !== port) return false
    const domain = name.replace(/^\*?\./, '')
    return name === '*' || host === domain || (isIP(host) === 0 && host.endsWith(`.${domain}`))
  })
}

/**
 * Whether a fingerprint is this certificate's: SHA-256 in hex, with or without colons, of the certificate (as `openssl x509 -fingerprint -sha256`
 * prints it), of its public key in DER, or of the public key as Salt counts it (the body lines of the PEM).
 */
export function pinFits(finger: string, certificate: Buffer): boolean {
  const wanted = finger.replaceAll(':', '').toLowerCase()
  const key = new X509Certificate(certificate).publicKey
  const der = key.export({ type: 'spki', format: 'der' })
  const body = String(key.export({ type: 'spki', format: 'pem' }))
    .trim()
    .split('\n')
    .slice(1, -1)
    .map(line => `${line}\n`)
    .join('')
  return [certificate, der, body].some(each => createHash('sha256').update(each).digest('hex') === wanted)
}

function agentOf(secure: boolean, maxSockets: number, open: () => Promise<Socket>): http.Agent {
  const agent = new (secure ? https : http).Agent({ keepAlive: Number.isFinite(maxSockets), maxSockets })
  const createConnection = (_options: unknown, done: (error: Error | null, socket?: Socket) => void): undefined => {
    open().then(
      socket => done(null, socket),
      error => done(error as Error)
    )
  }
  return Object.assign(agent, { createConnection })
}

async function openSocket(base: URL, proxy: ProxySettings | null, secure: boolean): Promise<Socket> {
  const host = base.hostname.replace(/^\[|\]$/g, '')
  const port = Number(base.port || (secure ? 443 : 80))
  if (proxy === null) return connected(connect({ host, port }))
  return secure ? tunnel(proxy, `${base.hostname}:${port}`) : connected(connect({ host: proxy.host, port: proxy.port }))
}

function connected(socket: Socket): Promise<Socket> {
  return settled(socket, 'connect', () => socket)
}

/** A connection to the server through the proxy (RFC 9110 section 9.3.6). */
function tunnel(proxy: ProxySettings, target: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const headers = { host: target, ...proxyHeaders(proxy) }
    const request = http.request({ ...{ host: proxy.host, port: proxy.port, method: 'CONNECT', path: target }, headers, agent: false })
    const timer = setTimeout(() => request.destroy(new Error('the proxy does not answer')), CONNECT_MS)
    const refuse = (status: number | undefined) => reject(new Error(`the proxy ${proxy.host}:${proxy.port} answered with status ${status}`))
    request.once('connect', ({ statusCode }, socket) => {
      clearTimeout(timer)
      if (statusCode === 200) resolve(socket as Socket)
      else {
        socket.destroy()
        refuse(statusCode)
      }
    })
    request.once('response', response => {
      response.resume()
      refuse(response.statusCode)
    })
    request.once('error', error => {
      clearTimeout(timer)
      reject(error)
    })
    request.end()
  })
}

function proxyHeaders({ username, password }: ProxySettings): Record<string, string> {
  if (username === '') return {}
  return { 'proxy-authorization': `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` }
}

function secured(socket: Socket, hostname: string, { ca, finger }: Way): Promise<Socket> {
  const host = hostname.replace(/^\[|\]$/g, '')
  const pinned = Boolean(finger)
  const tls = connectTls({
    socket,
    // What a fingerprint says is more than what an authority says; with an authority of the site's own both must hold.
    rejectUnauthorized: !pinned || Boolean(ca),
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(ca ? { ca } : {}),
    // A fingerprint names the machine; its certificate need not have the name under which it is reached.
    ...(pinned ? { checkServerIdentity: () => undefined } : { host })
  })
  return settled(tls, 'secureConnect', () => {
    if (finger && !pinFits(finger, certificateOf(tls))) throw new Error('the fingerprint of the server is not the one of master_finger')
    return tls
  })
}

function certificateOf(tls: TLSSocket): Buffer {
  const { raw } = tls.getPeerCertificate()
  if (!raw) throw new Error('the server shows no certificate')
  return raw
}

/** Resolves when the socket is ready; a socket that fails, or takes too long, is destroyed. */
function settled(socket: Socket, ready: 'connect' | 'secureConnect', check: () => Socket): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => socket.destroy(Object.assign(new Error('it takes too long'), { code: 'ETIMEDOUT' })), CONNECT_MS)
    const fail = (error: Error) => {
      clearTimeout(timer)
      reject(error)
    }
    socket.once('error', fail)
    socket.once('close', () => fail(new Error('the connection was closed')))
    socket.once(ready, () => {
      clearTimeout(timer)
      try {
        resolve(check())
      } catch (error) {
        socket.destroy()
        reject(error)
      }
    })
  })
}

import { mkdirSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { relative } from 'node:path'
import type { Logger } from 'pino'
import { type App, type ConfigSource, createApp } from '../app.js'
import { ensureAdminToken } from '../auth/admin-token.js'
import { writePrivateFile } from '../auth/private-file.js'
import type { Config } from '../config/schema.js'
import { brineError } from '../errors.js'
import type { EmbeddedMinion } from '../minion/embedded.js'
import { BRINE_VERSION } from '../minion/version.js'
import { dataFiles } from '../shared/data-dir.js'
import { createLog } from '../shared/log.js'

export interface RunningServer {
  readonly url: string
  /** Ends streams, minion and server; what was accepted is on disk then. May be called twice. */
  stop(): Promise<void>
}

export interface ServeOptions {
  /** Where lines for people go, one per call. The first one names the URL. */
  readonly print: (line: string) => void
  readonly log?: Logger
  /** The files behind the configuration: what may change while the server runs is read from them anew. */
  readonly source?: ConfigSource
}

/** So long does the first line wait for the embedded minion, so that whoever reads it can use the minion. It goes on connecting after that. */
const MINION_WAIT_MS = 5000

/**
 * Starts a server: opens the log, listens, starts the embedded minion, and prints where it is and what to try.
 * Throws STORE_LOCKED, STORE_CORRUPT, STORE_NEWER; ADDRESS_UNUSABLE when it cannot listen.
 */
export async function startServer(
  config: Config,
  { print, log = createLog({ level: config.log_level }), source }: ServeOptions
): Promise<RunningServer> {
  mkdirSync(config.data_dir, { recursive: true, mode: 0o700 })
  const app = await createApp(config, log, source)
  let minion: EmbeddedMinion | null = null
  let stopping: Promise<unknown> | null = null
  // Side by side: the minion's stream ends with the server's, and neither waits for the other.
  const stop = async () => {
    stopping ??= Promise.all([minion?.stop(), app.close()])
    await stopping
  }
  try {
    const files = dataFiles(config.data_dir)
    const admin = await ensureAdminToken(app.services.auth, files.adminToken, app.services.clock)
    const url = await listen(app, config)
    writePrivateFile(files.url, `${url}\n`)
    if (config.embedded_minion) {
      const { EmbeddedMinion } = await import('../minion/embedded.js')
      minion = new EmbeddedMinion({ config, url, keys: app.services.keys, link: app.services.link, log: log.child({ part: 'minion' }) })
      await minion.start()
    }
    print(await banner(app, config, url, minion))
    for (const line of tour(config, url, files.adminToken, admin.expiresUs)) print(line)
    return { url, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function listen(app: App, config: Config): Promise<string> {
  try {
    // A fleet comes back at once; what the kernel may not hold (net.core.somaxconn) tries again.
    await app.http.listen({ host: config.host, port: config.port, backlog: 4096 })
  } catch (error) {
    throw brineError('ADDRESS_UNUSABLE', `${config.host}:${config.port}`, (error as Error).message)
  }
  const { address, family, port } = app.http.server.address() as AddressInfo
  // A wildcard address is no address to go to; this machine is.
  const host = { '0.0.0.0': '127.0.0.1', '::': '[::1]' }[address] ?? (family === 'IPv6' ? `[${address}]` : address)
  return `http://${host}:${port}`
}

async function banner(app: App, config: Config, url: string, minion: EmbeddedMinion | null): Promise<string> {
  const { store } = app.services
  const count = await store.events.count()
  const log = `log: ${shortest(store.location)} (epoch ${store.events.epoch}, ${count.toLocaleString('en')} ${count === 1 ? 'event' : 'events'})`
  return [`brine ${BRINE_VERSION}`, url, log, ...(minion ? [await minionState(minion, config)] : [])].join(' · ')
}

async function minionState(minion: EmbeddedMinion, config: Config): Promise<string> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'connecting'>(resolve => {
    timer = setTimeout(() => resolve('connecting'), MINION_WAIT_MS)
  })
  const state = await Promise.race([minion.ready.then(() => 'connected' as const), late])
  clearTimeout(timer)
  return `minion '${config.embedded_minion_id}' ${state}`
}

/** What a new user can type next. */
function tour(config: Config, url: string, tokenFile: string, expiresUs: number): string[] {
  const file = shortest(tokenFile)
  const token = `$(cat ${file})`
  const lines = [
    `admin token in ${file} (expires ${new Date(expiresUs / 1000).toISOString().slice(0, 10)}); try:`,
    `  curl -N "${url}/events?token=${token}"`,
    `  curl ${url}/hook/ci/build -H "X-Auth-Token: ${token}" -d status=ok`
  ]
  return config.embedded_minion
    ? [...lines, `  curl ${url}/hook/motd -H "X-Auth-Token: ${token}" -d text=hello   # then: cat /tmp/brine-motd`]
    : lines
}

/** As a path from here, when that is shorter than the whole one. */
function shortest(path: string): string {
  const here = relative(process.cwd(), path)
  return here.length < path.length && !here.startsWith('..') ? here : path
}

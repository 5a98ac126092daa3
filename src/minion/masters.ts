/**
 * The servers of a minion: which there are, how each is reached, and which one comes next when one does not answer.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Config } from '../config/schema.js'
import { brineError } from '../errors.js'
import { serverUrls } from './address.js'
import { type ProxySettings, proxyOfEnvironment, type Way } from './dial.js'
import { ServerHttp } from './http.js'

/** What lets a new minion in without people: sent with its key until that is accepted. */
export interface Credentials {
  readonly autosign_grains?: Readonly<Record<string, unknown>>
  readonly enrolment_token?: string
}

export interface MastersOptions {
  /** In order of preference, one at least. */
  readonly urls: readonly string[]
  readonly way?: (url: URL) => Way
  /** How often a preferred server that was away is asked for again; null: never. */
  readonly failbackMs?: number | null
}

export class Masters {
  /** In order of preference. */
  readonly servers: readonly ServerHttp[]
  readonly #failbackMs: number | null
  #at = 0

  constructor({ urls, way = () => ({}), failbackMs = null }: MastersOptions) {
    this.servers = urls.map(url => new ServerHttp(url, way(new URL(url))))
    this.#failbackMs = failbackMs
  }

  get current(): ServerHttp {
    return this.servers[this.#at]!
  }

  get isOnlyOne(): boolean {
    return this.servers.length === 1
  }

  /** Takes the next one; false when all have been tried and it begins anew. */
  next(): boolean {
    this.#at = (this.#at + 1) % this.servers.length
    return this.#at !== 0
  }

  /** Milliseconds between two looks for the preferred server; null when it is the one that is talked to, or nobody wants to go back. */
  get failbackMs(): number | null {
    return this.#at === 0 ? null : this.#failbackMs
  }

  /** Whether the preferred server is there and takes work. */
  async preferredAnswers(): Promise<boolean> {
    try {
      const answer = await this.servers[0]!.send({ method: 'GET', path: '/readyz' })
      answer.body.resume()
      return answer.status === 200
    } catch {
      return false
    }
  }

  goBack(): void {
    this.#at = 0
  }

  close(): void {
    for (const server of this.servers) server.close()
  }
}

type MasterSettings = Pick<
  Config,
  | 'master'
  | 'master_type'
  | 'random_master'
  | 'master_failback'
  | 'master_failback_interval'
  | 'master_ca'
  | 'master_finger'
  | 'proxy_host'
  | 'proxy_port'
  | 'proxy_username'
  | 'proxy_password'
  | 'no_proxy'
>

/** True when the configuration says that there is no server. */
export function isMasterless({ master, master_type }: Pick<Config, 'master' | 'master_type'>): boolean {
  return master === '' || master === 'disable' || master_type === 'disable'
}

/**
 * The servers that the configuration names (`master` may be another text than the configuration's).
 * Throws CONFIG_INVALID for an address that is none, a certificate file that cannot be read, and a fingerprint that nothing would be compared with.
 */
export function mastersOf(
  config: MasterSettings,
  { id, master = config.master, env = process.env, random = Math.random }: MastersContext
): Masters {
  const urls = arranged(serverUrls(master), config, id, random)
  const finger = readFinger(config.master_finger, urls)
  const ca = config.master_ca === null ? null : readCertificates(config.master_ca)
  const own = proxyOf(config)
  return new Masters({
    urls,
    way: url => ({ ca, finger, proxy: own ?? proxyOfEnvironment(url, env) }),
    failbackMs: config.master_failback ? config.master_failback_interval * 1000 : null
  })
}

export interface MastersContext {
  readonly id: string
  readonly master?: string
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly random?: () => number
}

/** `random_master` shuffles; `master_type: distributed` begins with one that the id chooses, so that a fleet is spread and each stays where it is. */
function arranged(
  urls: readonly string[],
  { master_type, random_master }: Pick<Config, 'master_type' | 'random_master'>,
  id: string,
  random: () => number
): string[] {
  const first = createHash('sha256').update(id).digest().readUInt32BE() % urls.length
  const list = master_type === 'distributed' ? [...urls.slice(first), ...urls.slice(0, first)] : [...urls]
  if (!random_master) return list
  for (let i = list.length - 1; i > 0; i--) {
    const k = Math.floor(random() * (i + 1))
    ;[list[i], list[k]] = [list[k]!, list[i]!]
  }
  return list
}

/** Without TLS there is nothing that the fingerprint could be compared with, and whoever set it believes that it is. */
function readFinger(finger: string, urls: readonly string[]): string | null {
  const hex = finger.replaceAll(':', '')
  if (hex === '') return null
  if (!/^[0-9a-f]{64}$/i.test(hex)) throw invalid('master_finger', 'is no SHA-256 fingerprint (64 hex digits, with or without colons)')
  const open = urls.find(url => !url.startsWith('https:'))
  if (open !== undefined) throw invalid('master_finger', `needs https, and ${open} is not`)
  return finger
}

function readCertificates(file: string): string {
  try {
    const pem = readFileSync(file, 'utf8')
    if (pem.includes('-----BEGIN CERTIFICATE-----')) return pem
  } catch (error) {
    throw invalid('master_ca', (error as Error).message)
  }
  throw invalid('master_ca', `${file} holds no certificate in PEM`)
}

function proxyOf({ proxy_host, proxy_port, proxy_username, proxy_password, no_proxy }: MasterSettings): ProxySettings | null {
  if (proxy_host === '') return null
  return { host: proxy_host, port: proxy_port, username: proxy_username, password: proxy_password ?? '', except: no_proxy }
}

function invalid(setting: string, text: string): Error {
  return brineError('CONFIG_INVALID', 'a mistake', `  ${setting}: ${text}`)
}

import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { Agent, type IncomingMessage, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { challengeText, type EnrollAnswer, type TokenAnswer } from '../../../src/protocol/messages.js'
import { PROTOCOL } from '../../../src/protocol/version.js'
import { gauges, serve } from '../processes.js'

/** Pauses before a lost stream is opened again, as the agent's settings have them: full jitter, doubling. */
const RECON_MS = 1000
const RECON_MAX_MS = 10_000
/** Connections for what goes up. An agent has one of its own; here they are shared, so that this process is not what is measured. */
const agent = new Agent({ keepAlive: true, maxSockets: 32 })

interface Fleet {
  readonly url: string
  readonly from: number
  readonly count: number
  /** False: the reference, which checks nobody. */
  readonly keys: boolean
}

let url = ''
let stopped = false
let ups = 0
const errors: string[] = []
const minions: Minion[] = []
/** One key for all: making ten thousand takes longer than everything else here. */
let key: { pub: string; privateKey: KeyObject } | null = null

class Minion {
  readonly id: string
  token = ''
  connected = false
  #socket: Socket | null = null
  #sent = 0
  #attempts = 0

  constructor(id: string) {
    this.id = id
  }

  /** Resolves when the server has a stream of this minion. */
  async open(): Promise<void> {
    if (key !== null && this.token === '') await this.#authenticate()
    await new Promise<void>((resolve, reject) => {
      const { hostname, port } = new URL(url)
      const socket = connect(Number(port), hostname)
      this.#socket = socket
      socket.setNoDelay(true)
      socket.on('connect', () =>
        socket.write(
          `GET /minion/stream HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer ${this.token === '' ? 'none' : this.token}\r\n\r\n`
        )
      )
      socket.on('error', reject)
      socket.on('close', () => {
        reject(new Error('closed'))
        this.#lost()
      })
      socket.on('data', chunk => {
        this.#read(chunk.toString('latin1'))
        if (this.connected) resolve()
      })
    })
  }

  #read(lines: string): void {
    if (!this.connected) {
      const status = /^HTTP\/1\.1 (\d+)/.exec(lines)?.[1]
      if (status !== undefined && status !== '200') errors.push(`stream ${status}`)
      if (lines.includes('"hello"')) {
        this.connected = true
        this.#attempts = 0
        if (/"grains": ?true/.test(lines)) void this.#up({ items: [], acks: [], grains: { id: this.id, os: 'Debian', role: 'bench' } })
      }
    }
    for (const [, jid] of lines.matchAll(/"jid": ?"(\d{20})"/g)) {
      const ret = { jid, id: this.id, fun: 'test.ping', fun_args: [], return: true, retcode: 0, success: true }
      // As the agent does: a return says that the job arrived.
      void this.#up({ items: [{ kind: 'return', n: ++this.#sent, return: ret }], acks: [] })
    }
  }

  async #up(body: object): Promise<void> {
    try {
      await post('/minion/up', { spool: '00000001', ...body }, this.token)
      ups++
    } catch (error) {
      errors.push(`up: ${(error as Error).message}`)
    }
  }

  async #authenticate(): Promise<void> {
    const who = { protocol: PROTOCOL, id: this.id, pub: key!.pub }
    const enrolled = await post<EnrollAnswer>('/minion/enroll', who)
    if (enrolled.state !== 'accepted') throw new Error(enrolled.state)
    const signature = sign('sha256', Buffer.from(challengeText(this.id, enrolled.nonce)), key!.privateKey).toString('base64')
    this.token = (await post<TokenAnswer>('/minion/token', { ...who, nonce: enrolled.nonce, signature, renewal: false })).token
  }

  #lost(): void {
    this.connected = false
    if (stopped) return
    const pause = Math.random() * Math.min(RECON_MAX_MS, RECON_MS * 2 ** this.#attempts++)
    setTimeout(() => void this.open().catch(() => {}), pause)
  }

  close(): void {
    this.#socket?.destroy()
  }
}

/** @throws for anything but 2xx */
async function post<T>(path: string, body: unknown, token = ''): Promise<T> {
  const json = JSON.stringify(body)
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(json), authorization: `Bearer ${token}` }
    request(`${url}${path}`, { method: 'POST', agent, headers }, resolve).on('error', reject).end(json)
  })
  const read = await text(answer)
  if (answer.statusCode! > 299) {
    errors.push(`${path} ${answer.statusCode}`)
    throw new Error(`${answer.statusCode} ${read}`)
  }
  return JSON.parse(read) as T
}

/** Connects so many minions, a few at a time. */
async function start({ url: at, from, count, keys }: Fleet): Promise<void> {
  url = at
  if (keys && key === null) {
    const pair = generateKeyPairSync('rsa', { modulusLength: 2048 })
    key = { pub: String(pair.publicKey.export({ type: 'spki', format: 'pem' })).trim(), privateKey: pair.privateKey }
  }
  const come = Array.from({ length: count }, (_, i) => new Minion(`minion${String(from + i).padStart(5, '0')}`))
  minions.push(...come)
  const waiting = come.values()
  const worker = async () => {
    for (const minion of waiting) await minion.open()
  }
  await Promise.all(Array.from({ length: 32 }, worker))
}

serve({
  ...gauges,
  start,
  connected: () => minions.filter(minion => minion.connected).length,
  ups: () => ups,
  errors: () => errors.splice(0),
  stop: () => {
    stopped = true
    for (const minion of minions) minion.close()
    agent.destroy()
  }
})

/**
 * The agent's own door on its machine: a Unix socket in the minion's directory (which only its owner may enter), by which `brine call` reaches the
 * agent that runs: its bus, its schedule, its jobs. One JSON message per line; the first says who calls, the next ones are those of a job's process.
 */
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import net from 'node:net'
import { join } from 'node:path'
import type { MinionLog } from './context.js'
import type { AnswerMessage, CallMessage, Services } from './ipc.js'
import { SERVICE_METHODS } from './ipc.js'
import type { Job } from './job.js'
import { CommandExecutionError, messageOf } from './modules/errors.js'

/** A job of another process, while the agent knows of it. */
export interface Guest {
  readonly services: Omit<Services, 'files'>
  leave(): void
}

/** Characters of a line; a job with its arguments, or a schedule. */
const MAX_LINE = 4 * 1024 * 1024
/** Calls at a time; whoever loops over `brine call` meets this, not the agent's memory. */
const MAX_GUESTS = 64
/** What the system takes as the path of a socket, with its final zero. */
const MAX_PATH = 107

const METHODS: Readonly<Record<string, readonly string[]>> = { agent: SERVICE_METHODS.agent, events: ['fireLocal'] }

function socketPath(dir: string): string {
  return join(dir, 'agent.sock')
}

export class ControlServer {
  readonly #server: net.Server
  readonly #path: string
  readonly #log: MinionLog
  readonly #sockets = new Set<net.Socket>()

  private constructor(dir: string, welcome: (job: Job, pid: number) => Guest, log: MinionLog) {
    this.#path = socketPath(dir)
    this.#log = log
    this.#server = net.createServer(socket => {
      if (this.#sockets.size >= MAX_GUESTS) return void socket.destroy()
      this.#sockets.add(socket)
      socket.on('error', () => {}) // `close` follows
      void serve(socket, welcome).finally(() => {
        this.#sockets.delete(socket)
        socket.destroy()
      })
    })
    this.#server.on('error', error => this.#log.warn({ error: messageOf(error) }, 'the control socket failed'))
  }

  /** Listens. The directory's lock is held, so a socket that lies there is left over. null: the path is too long for a socket. */
  static async open(dir: string, welcome: (job: Job, pid: number) => Guest, log: MinionLog): Promise<ControlServer | null> {
    const path = socketPath(dir)
    if (Buffer.byteLength(path) > MAX_PATH) {
      log.warn({ path }, 'no control socket: its path is too long; `brine call` will not reach this agent')
      return null
    }
    await rm(path, { force: true })
    const control = new ControlServer(dir, welcome, log)
    control.#server.listen(path)
    await once(control.#server, 'listening')
    return control
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    if (!this.#server.listening) return
    const closed = once(this.#server, 'close')
    this.#server.close()
    await closed
    await rm(this.#path, { force: true })
  }
}

/** One caller, to its end. */
async function serve(socket: net.Socket, welcome: (job: Job, pid: number) => Guest): Promise<void> {
  let guest: Guest | null = null
  try {
    for await (const line of linesOf(socket)) {
      const message = JSON.parse(line) as CallMessage | { type: 'hello'; job: Job; pid: number }
      if (message.type === 'hello') guest ??= welcome(message.job, message.pid)
      else if (guest) void answer(socket, guest, message)
    }
  } catch {
    // What is no message ends the connection.
  } finally {
    guest?.leave()
  }
}

async function answer(socket: net.Socket, guest: Guest, { call, service, method, args }: CallMessage): Promise<void> {
  let message: AnswerMessage
  try {
    if (!METHODS[service]?.includes(method)) throw new Error(`${service}.${method} is no service of the agent`)
    const target = guest.services[service as 'agent' | 'events'] as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>
    message = { type: 'answer', call, value: await target[method]!(...args) }
  } catch (error) {
    message = { type: 'answer', call, error: messageOf(error) }
  }
  if (!socket.destroyed) socket.write(`${JSON.stringify(message)}\n`)
}

async function* linesOf(socket: net.Socket): AsyncGenerator<string> {
  let rest = ''
  socket.setEncoding('utf8')
  for await (const chunk of socket as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop()!
    if (rest.length > MAX_LINE) throw new Error('a line is too long')
    yield* lines
  }
}

/** The other end: the services of an agent that runs. */
export class ControlClient {
  readonly services: Omit<Services, 'files'>
  readonly #socket: net.Socket
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  #calls = 0

  private constructor(socket: net.Socket, job: Job) {
    this.#socket = socket
    this.services = { agent: this.#proxy('agent'), events: this.#proxy('events') } as unknown as Omit<Services, 'files'>
    this.#send({ type: 'hello', job, pid: process.pid })
    void this.#read()
  }

  /** null: no agent runs in this directory. */
  static async connect(dir: string, job: Job): Promise<ControlClient | null> {
    const path = socketPath(dir)
    if (Buffer.byteLength(path) > MAX_PATH) return null
    const socket = net.connect(path)
    try {
      await once(socket, 'connect')
    } catch {
      return null
    }
    socket.on('error', () => {}) // the reader ends
    return new ControlClient(socket, job)
  }

  close(): void {
    this.#socket.destroy()
  }

  #proxy(service: 'agent' | 'events'): Record<string, unknown> {
    return Object.fromEntries(METHODS[service]!.map(method => [method, (...args: unknown[]) => this.#ask(service, method, args)]))
  }

  #ask(service: string, method: string, args: readonly unknown[]): Promise<unknown> {
    const call = ++this.#calls
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(new CommandExecutionError('the agent has ended'))
      this.#waiting.set(call, { resolve, reject })
      this.#send({ type: 'call', call, service, method, args })
    })
  }

  #send(message: object): void {
    this.#socket.write(`${JSON.stringify(message)}\n`)
  }

  async #read(): Promise<void> {
    try {
      for await (const line of linesOf(this.#socket)) {
        const { call, value, error } = JSON.parse(line) as AnswerMessage
        const waiting = this.#waiting.get(call)
        this.#waiting.delete(call)
        if (error === undefined) waiting?.resolve(value)
        else waiting?.reject(new CommandExecutionError(error))
      }
    } catch {
      // The connection broke: what follows.
    }
    for (const { reject } of this.#waiting.values()) reject(new CommandExecutionError('the agent has ended'))
  }
}

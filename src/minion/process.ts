/**
 * Runs programs for functions and states: each in a process group of its own, so that a time limit ends all that it started; output bounded.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync } from 'node:fs'
import type { Socket } from 'node:net'
import { constants } from 'node:os'
import { StringDecoder } from 'node:string_decoder'
import type { ProcessTracker } from './context.js'
import { CommandExecutionError } from './modules/errors.js'
import { readingEnd, takePipe, writingEnd } from './pipes.js'

export interface ProcessSpec {
  readonly argv: readonly string[]
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  readonly stdin?: string
  /** Standard error goes into standard output, in the order in which it was written. */
  readonly mergeStderr: boolean
  /** Octal text. */
  readonly umask?: string
  readonly timeoutMs?: number
  /** Bytes kept of each stream. */
  readonly maxBytes: number
  readonly signal?: AbortSignal
  readonly processes?: ProcessTracker
}

export interface ProcessResult {
  readonly pid: number
  /** Negative: ended by that signal, as Python counts. */
  readonly retcode: number
  readonly stdout: string
  readonly stderr: string
  readonly timedOut: boolean
}

/** A group that was asked to end and has not after so long is killed: long enough for a program to remove its lock files. */
const KILL_AFTER_MS = 2000

/** Waits until the program has ended and its output is closed. Throws when it cannot be started. */
export async function runProcess(spec: ProcessSpec): Promise<ProcessResult> {
  const { child, stdout, stderr } = await startWithPipes(spec)
  const pid = child.pid!
  spec.processes?.started(pid)
  const texts = [stdout, stderr].map(stream => (stream === null ? null : new BoundedText(stream, spec.maxBytes)))
  const end = new GroupEnd(child, [stdout, stderr], spec)
  try {
    const [retcode] = await Promise.all([exited(child), ...[stdout, stderr].map(closed)])
    return { pid, retcode, stdout: texts[0]?.text() ?? '', stderr: texts[1]?.text() ?? '', timedOut: end.timedOut }
  } finally {
    end.stop()
    spec.processes?.ended(pid)
  }
}

interface Started {
  readonly child: ChildProcess
  readonly stdout: Socket
  /** null: it goes into standard output. */
  readonly stderr: Socket | null
}

async function startWithPipes(spec: ProcessSpec): Promise<Started> {
  const out = await takePipe()
  const err = spec.mergeStderr ? null : await takePipe()
  const input = spec.stdin === undefined ? null : await takePipe()
  const theirs = [out.write, ...(err ? [err.write] : []), ...(input ? [input.read] : [])]
  try {
    const child = await start(spec, [input?.read ?? 'ignore', out.write, (err ?? out).write])
    if (input) feed(writingEnd(input), spec.stdin ?? '')
    return { child, stdout: readingEnd(out), stderr: err ? readingEnd(err) : null }
  } catch (error) {
    for (const fd of [out.read, ...(err ? [err.read] : []), ...(input ? [input.write] : [])]) closeSync(fd)
    throw error
  } finally {
    for (const fd of theirs) closeSync(fd)
  }
}

function feed(stream: Socket, text: string): void {
  stream.on('error', () => {}) // the program may end without reading its input
  stream.end(text)
}

/** Starts a program that nobody waits for; its process id. It survives the job. */
export async function startProcess(spec: ProcessSpec): Promise<number> {
  const child = await start(spec, ['ignore', 'ignore', 'ignore'])
  child.unref()
  return child.pid!
}

/** Signals a process group; false when it is gone. */
export function signalGroup(group: number, signal: NodeJS.Signals | number): boolean {
  try {
    return process.kill(-group, signal)
  } catch {
    return false
  }
}

function start(spec: ProcessSpec, stdio: readonly (number | 'ignore')[]): Promise<ChildProcess> {
  const [file, ...args] = wrapped(spec)
  const child = spawn(file!, args, { cwd: spec.cwd, env: spec.env, stdio: [...stdio], detached: true })
  return new Promise((resolve, reject) => {
    child.once('spawn', () => resolve(child))
    child.once('error', error => reject(new CommandExecutionError(error.message)))
  })
}

/** What spawn cannot do is done by a shell that then becomes the program (same process id). */
function wrapped(spec: ProcessSpec): readonly string[] {
  return spec.umask === undefined ? spec.argv : ['/bin/sh', '-c', `umask ${spec.umask}; exec "$0" "$@"`, ...spec.argv]
}

function exited(child: ChildProcess): Promise<number> {
  return new Promise(resolve => child.once('exit', (code, signal) => resolve(code ?? -signalNumber(signal))))
}

function closed(stream: Socket | null): Promise<void> {
  return new Promise(resolve => (stream === null || stream.closed ? resolve() : stream.once('close', () => resolve())))
}

/**
 * Ends the group at the time limit or when the job is to end: asked first, then killed. The streams are closed too then, because a process that
 * has left the group may hold them open for ever.
 */
class GroupEnd {
  timedOut = false
  #ending = false
  readonly #child: ChildProcess
  readonly #streams: readonly (Socket | null)[]
  readonly #timers: NodeJS.Timeout[] = []
  readonly #undo: () => void

  constructor(child: ChildProcess, streams: readonly (Socket | null)[], { timeoutMs, signal }: ProcessSpec) {
    this.#child = child
    this.#streams = streams
    const abort = (): void => this.#end()
    if (timeoutMs !== undefined) {
      const expire = (): void => {
        this.timedOut = true
        this.#end()
      }
      this.#timers.push(setTimeout(expire, timeoutMs))
    }
    signal?.addEventListener('abort', abort, { once: true })
    if (signal?.aborted) abort()
    this.#undo = () => signal?.removeEventListener('abort', abort)
  }

  stop(): void {
    this.#undo()
    for (const timer of this.#timers) clearTimeout(timer)
    if (this.#ending) signalGroup(this.#child.pid!, 'SIGKILL') // what ignored the first signal and closed its output
  }

  #end(): void {
    this.#ending = true
    signalGroup(this.#child.pid!, 'SIGTERM')
    const kill = (): void => {
      signalGroup(this.#child.pid!, 'SIGKILL')
      for (const stream of this.#streams) stream?.destroy()
    }
    this.#timers.push(setTimeout(kill, KILL_AFTER_MS))
  }
}

/** Collects the head of a stream as text and drops the rest, so that the program never waits for a reader and memory has a bound. */
class BoundedText {
  readonly #decoder = new StringDecoder('utf8')
  readonly #maxBytes: number
  #text = ''
  #kept = 0
  #dropped = 0

  constructor(stream: NodeJS.ReadableStream, maxBytes: number) {
    this.#maxBytes = maxBytes
    stream.on('data', (chunk: Buffer) => this.#add(chunk))
    stream.on('error', () => {}) // the end of the process is told by its exit
  }

  #add(chunk: Buffer): void {
    const head = chunk.subarray(0, Math.max(0, this.#maxBytes - this.#kept))
    this.#kept += head.length
    this.#dropped += chunk.length - head.length
    if (head.length > 0) this.#text += this.#decoder.write(head)
  }

  text(): string {
    const text = this.#text + this.#decoder.end()
    return this.#dropped === 0 ? text : `${text}\n[${this.#dropped} further bytes of output were dropped; the limit is ${this.#maxBytes}]`
  }
}

function signalNumber(signal: NodeJS.Signals | null): number {
  return signal === null ? 0 : constants.signals[signal]
}

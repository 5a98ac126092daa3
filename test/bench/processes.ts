import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

/** Functions that a child process offers; arguments and results travel as JSON. */
export type Functions = Record<string, (args: never) => unknown>

interface Call {
  readonly call: number
  readonly name: string
  readonly args: unknown
}
interface Answer {
  readonly call: number
  readonly value?: unknown
  readonly error?: string
}

/** In a child: answers its parent's calls until it is ended. */
export function serve(functions: Functions): void {
  process.on('message', async ({ call, name, args }: Call) => {
    try {
      process.send!({ call, value: await functions[name]!(args as never) })
    } catch (error) {
      process.send!({ call, error: (error as Error).stack ?? String(error) })
    }
  })
  process.on('disconnect', () => process.exit())
}

/** A measured process of its own, so that nobody's work is counted as somebody else's. */
export class Child {
  readonly process: ChildProcess
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #calls = 0

  /** `module`: relative to this folder, without extension. */
  constructor(module: string) {
    this.process = fork(new URL(`./${module}.js`, import.meta.url), { execArgv: ['--expose-gc'] })
    this.process.on('message', (answer: Answer) => this.#waiting.get(answer.call)?.(answer))
    this.process.on('exit', code => {
      for (const [call, done] of this.#waiting) done({ call, error: `${module} ended with ${code}` })
    })
  }

  async call<T>(name: string, args: unknown = null): Promise<T> {
    const call = ++this.#calls
    const answer = await new Promise<Answer>(resolve => {
      this.#waiting.set(call, resolve)
      this.process.send({ call, name, args })
    })
    this.#waiting.delete(call)
    if (answer.error !== undefined) throw new Error(answer.error)
    return answer.value as T
  }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    this.process.kill('SIGKILL')
    await once(this.process, 'exit')
  }
}

/** What a measured process says of itself. `cpuUs`: user and system time since the last look, all threads. */
export const gauges = {
  cpu: () => {
    const { user, system } = process.cpuUsage()
    return user + system
  },
  rss: async () => {
    for (let i = 0; i < 3; i++) {
      globalThis.gc?.()
      await new Promise(resolve => setTimeout(resolve, 100))
    }
    return process.memoryUsage().rss
  }
}

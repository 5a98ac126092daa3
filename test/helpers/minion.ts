import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type BrineProcess, CLI } from './server.js'

export interface MinionProcess {
  readonly id: string
  readonly dir: string
  readonly child: ChildProcess
  readonly output: readonly string[]
  /** Ends it as its service manager does. */
  stop(): Promise<void>
  /** Ends it as a power cut does, with the processes of its jobs. */
  crash(): Promise<void>
}

interface Test {
  teardown(undo: () => unknown): void
}

/** Starts `brine minion` in a directory of its own. Ended with the test. */
export function startMinion(t: Test, options: { id: string; master: string; dir: string; config?: string }): MinionProcess {
  const { id, master, dir, config } = options
  const args = ['minion', '--id', id, '--master', master, '--dir', dir, ...(config === undefined ? [] : ['--config', config])]
  const child = spawn(process.execPath, ['--enable-source-maps', CLI, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: { ...process.env, BRINE_ACCEPTANCE_WAIT_TIME: '0.2', BRINE_RECON_DEFAULT: '100', BRINE_RECON_MAX: '500' }
  })
  const output: string[] = []
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', chunk => output.push(String(chunk)))
  const ended = once(child, 'exit')
  const minion: MinionProcess = {
    id,
    dir,
    child,
    output,
    async stop() {
      child.kill('SIGTERM')
      await ended
    },
    async crash() {
      if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, 'SIGKILL')
      await ended
    }
  }
  t.teardown(() => minion.crash())
  return minion
}

/** Runs a chunk of Salt's lowstate and gives its entry of `return`. */
export async function lowstate<T>(brine: BrineProcess, chunk: Record<string, unknown>): Promise<T> {
  const answer = await brine.fetch('/', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify([chunk]) })
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`)
  return ((await answer.json()) as { return: [T] }).return[0]
}

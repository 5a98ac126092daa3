import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CLI } from '../helpers/server.js'
import { absolute, type Bench, percentile } from './figures.js'
import { Child } from './processes.js'

const STARTS = 5
const FILES = 200

interface Place {
  readonly url: string
  readonly token: string
}

/** What an agent costs: memory while it waits, time to be there, and a state run that finds nothing to do. */
export const bench: Bench = async () => {
  const dir = mkdtempSync(join(tmpdir(), 'brine-bench-agent-'))
  const roots = join(dir, 'roots')
  mkdirSync(roots)
  writeFileSync(join(roots, 'many.sls'), manyFiles(join(dir, 'managed')))
  const brine = new Child('servers/brine')
  let minion: ChildProcess | null = null
  try {
    const config = { auto_accept: true, file_roots: { base: [roots] } }
    const at = await brine.call<Place>('start', { config })
    const starts: number[] = []
    // The first start makes a key and is let in; an agent that starts again has both.
    for (let round = 0; round <= STARTS; round++) {
      if (minion) await end(minion)
      await until(at, ids => !ids.includes('bench'))
      const from = performance.now()
      minion = spawn(process.execPath, [CLI, 'minion', '--id', 'bench', '--master', at.url, '--dir', join(dir, 'minion')], {
        stdio: 'ignore'
      })
      await until(at, ids => ids.includes('bench'))
      if (round > 0) starts.push((performance.now() - from) / 1000)
    }
    await command(at, { fun: 'test.ping' })
    // Long enough for what a start leaves behind to be collected.
    await new Promise(resolve => setTimeout(resolve, 5000))
    const rss = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${minion!.pid}/status`, 'utf8'))![1]) / 1024
    const apply = { fun: 'state.apply', arg: ['many'], timeout: 120 }
    await command(at, apply)
    const runs: number[] = []
    for (let round = 0; round < 3; round++) {
      const from = performance.now()
      const answer = await command<Record<string, { result: boolean; changes: object }>>(at, apply)
      runs.push((performance.now() - from) / 1000)
      const changed = Object.values(answer).filter(({ result, changes }) => !result || Object.keys(changes).length > 0)
      if (Object.keys(answer).length !== FILES || changed.length > 0) throw new Error('the state run was not the one to be measured')
    }
    return [
      absolute('agent, waiting', rss, { atMost: 70 }, 'MB RSS'),
      absolute('agent, from its start to its stream', percentile(starts, 0.5), { atMost: 0.7 }, 's'),
      absolute(`state.apply of ${FILES} file.managed with nothing to change`, percentile(runs, 0.5), { atMost: 1 }, 's')
    ]
  } finally {
    if (minion) await end(minion)
    await brine.call('remove').catch(() => {})
    await brine.stop()
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  }
}

function manyFiles(dir: string): string {
  const one = (i: number) => `${dir}/${i}.conf:\n  file.managed:\n    - makedirs: True\n    - contents: "setting ${i}"\n`
  return Array.from({ length: FILES }, (_, i) => one(i)).join('')
}

async function command<T>(at: Place, chunk: object): Promise<T> {
  const [answer] = await lowstate<[Record<string, T>]>(at, { client: 'local', tgt: 'bench', ...chunk })
  return answer.bench!
}

async function until(at: Place, right: (ids: string[]) => boolean): Promise<void> {
  for (let tries = 0; tries < 3000; tries++) {
    if (right((await lowstate<[string[]]>(at, { client: 'runner', fun: 'manage.present' }))[0])) return
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  throw new Error('the minion did not come or go')
}

async function lowstate<T>({ url, token }: Place, chunk: object): Promise<T> {
  const headers = { 'x-auth-token': token, 'content-type': 'application/json' }
  const answer = await fetch(`${url}/`, { method: 'POST', headers, body: JSON.stringify([chunk]) })
  return ((await answer.json()) as { return: T }).return
}

async function end(minion: ChildProcess): Promise<void> {
  if (minion.exitCode !== null || minion.signalCode !== null) return
  minion.kill('SIGKILL')
  await once(minion, 'exit')
}

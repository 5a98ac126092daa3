import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CLI } from '../helpers/server.js'
import { absolute, type Bench, compare, percentile, short } from './figures.js'
import { BODY } from './ingest.js'
import { Child } from './processes.js'

const CONNECTIONS = 32
const SECONDS = 2
const ROUNDS = 3
const PING = JSON.stringify([{ client: 'local', tgt: 'bench', fun: 'test.ping' }])

interface Measured {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly failed: number
}

/** `POST /` with `local` `test.ping` to one connected minion: the job and its return are durable before the answer. */
export const bench: Bench = async () => {
  const dir = mkdtempSync(join(tmpdir(), 'brine-bench-api-'))
  const client = new Child('clients/load')
  const brine = new Child('servers/brine')
  const bare = new Child('servers/bare-hook')
  const at = await brine.call<{ url: string; token: string }>('start', { config: { auto_accept: true } })
  const minion = spawn(process.execPath, [CLI, 'minion', '--id', 'bench', '--master', at.url, '--dir', dir], { stdio: 'ignore' })
  try {
    const reference = await bare.call<{ url: string; token: string }>('start', { commitEach: true })
    await connected(at)
    const run = (place: typeof at, path: string, body: string, seconds = SECONDS) =>
      client.call<Measured>('run', { ...place, path, body, connections: CONNECTIONS, seconds })
    await run(at, '/', PING, 1)
    const pings: Measured[] = []
    const commits: Measured[] = []
    for (let round = 0; round < ROUNDS; round++) {
      pings.push(await run(at, '/', PING))
      commits.push(await run(reference, '/hook/x', BODY))
    }
    if (pings.some(({ failed }) => failed > 0)) throw new Error('a request was not answered with 200')
    const middle = (of: Measured[], what: keyof Measured) =>
      percentile(
        of.map(each => each[what]),
        0.5
      )
    const note = `p50 ${short(middle(pings, 'p50Ms'))} ms, p99 ${short(middle(pings, 'p99Ms'))} ms`
    return [
      compare(
        `POST / local test.ping, ${CONNECTIONS} connections, one minion (${note})`,
        middle(pings, 'perSecond'),
        middle(commits, 'perSecond'),
        { atLeast: 0.3 },
        'requests/s',
        'a bare route with one commit per request'
      ),
      absolute('the same, middle answer', middle(pings, 'p50Ms'), { atMost: 60 }, 'ms')
    ]
  } finally {
    minion.kill('SIGKILL')
    for (const server of [brine, bare]) {
      await server.call('remove').catch(() => {})
      await server.stop()
    }
    await client.stop()
    if (minion.exitCode === null && minion.signalCode === null) await once(minion, 'exit')
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  }
}

async function connected({ url, token }: { url: string; token: string }): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    const body = JSON.stringify([{ client: 'runner', fun: 'manage.present' }])
    const answer = await fetch(`${url}/`, { method: 'POST', headers: { 'x-auth-token': token, 'content-type': 'application/json' }, body })
    if (((await answer.json()) as { return: [string[]] }).return[0].includes('bench')) return
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  throw new Error('the minion did not connect')
}

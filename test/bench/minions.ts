import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { absolute, type Bench, compare, percentile, short } from './figures.js'
import { Child } from './processes.js'

const MINIONS = Number(process.env.BRINE_BENCH_MINIONS ?? 10_000)
/** Processes that play the minions. */
const PROCESSES = 2
/** What the first ones bring into memory (code, caches) is not theirs. */
const WARM = 300
const ROUNDS = 3

interface Place {
  readonly url: string
  readonly token: string
}

/** Ten thousand minions on one server: memory of each, a job that all return, and what a restart of the server does to them. */
export const bench: Bench = async () => {
  const dir = mkdtempSync(join(tmpdir(), 'brine-bench-minions-'))
  const reference = await bareSeconds()
  const fleet = Array.from({ length: PROCESSES }, () => new Child('clients/minions'))
  let brine = new Child('servers/brine')
  try {
    const options = {
      dir,
      port: await freePort(),
      config: { auto_accept: true, timeout: 60, gather_job_timeout: 30, max_subscribers: 100 }
    }
    const at = await brine.call<Place>('start', options)
    await gather(fleet, at.url, { from: 0, count: WARM }, true)
    const before = await brine.call<number>('rss')
    await gather(fleet, at.url, { from: WARM, count: MINIONS - WARM }, true)
    const perMinion = ((await brine.call<number>('rss')) - before) / (MINIONS - WARM) / 1024
    const seconds: number[] = []
    for (let round = 0; round < ROUNDS; round++) seconds.push(await ping(at))
    const jobs = await errorsOf(fleet)
    if (jobs.length > 0) throw new Error(`errors were answered: ${jobs.slice(0, 5).join(', ')} (${jobs.length})`)

    await brine.call('close')
    await brine.stop()
    brine = new Child('servers/brine')
    const from = performance.now()
    await brine.call<Place>('start', options)
    while ((await connected(fleet)) < MINIONS && performance.now() - from < 120_000) await new Promise(resolve => setTimeout(resolve, 100))
    const back = (performance.now() - from) / 1000
    const refused = await errorsOf(fleet)
    const middle = percentile(seconds, 0.5)
    const count = MINIONS.toLocaleString('en')
    return [
      absolute(`${count} minions, each`, perMinion, { atMost: 12 }, 'KB RSS of the server'),
      absolute(`test.ping to all of them, until all have returned`, middle, { atMost: 6 }, 's', `rounds ${seconds.map(short).join(', ')}`),
      compare('the same, each', (middle / MINIONS) * 1e6, (reference / MINIONS) * 1e6, { atMost: 2.5 }, 'us', 'bare Fastify and streams'),
      absolute('after a restart of the server, until all are back', back, { atMost: 30 }, 's'),
      absolute('the same, errors answered', refused.length, { atMost: 0 }, 'errors', [...new Set(refused)].slice(0, 3).join(', '))
    ]
  } finally {
    for (const client of fleet) await client.stop()
    await brine.call('remove').catch(() => {})
    await brine.stop()
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** The same job with the same clients on a server that does nothing else. */
async function bareSeconds(): Promise<number> {
  const bare = new Child('servers/bare-minions')
  const fleet = Array.from({ length: PROCESSES }, () => new Child('clients/minions'))
  try {
    const { url } = await bare.call<Place>('start')
    await gather(fleet, url, { from: 0, count: MINIONS }, false)
    const seconds: number[] = []
    for (let round = 0; round < ROUNDS; round++) seconds.push(await bare.call<number>('ping', { jid: `2026112219014500000${round}` }))
    return percentile(seconds, 0.5)
  } finally {
    for (const client of fleet) await client.stop()
    await bare.stop()
  }
}

async function gather(
  fleet: readonly Child[],
  url: string,
  { from, count }: { from: number; count: number },
  keys: boolean
): Promise<void> {
  const each = Math.ceil(count / fleet.length)
  const part = (i: number) => ({ from: from + i * each, count: Math.min(each, count - i * each) })
  await Promise.all(fleet.map((client, i) => client.call('start', { url, ...part(i), keys })))
}

async function ping({ url, token }: Place): Promise<number> {
  const headers = { 'x-auth-token': token, 'content-type': 'application/json' }
  const body = JSON.stringify([{ client: 'local', tgt: '*', fun: 'test.ping' }])
  const from = performance.now()
  const answer = (await (await fetch(`${url}/`, { method: 'POST', headers, body })).json()) as { return: [Record<string, unknown>] }
  const seconds = (performance.now() - from) / 1000
  const returned = Object.values(answer.return[0]).filter(value => value === true).length
  if (returned !== MINIONS) throw new Error(`${returned} of ${MINIONS} returned`)
  return seconds
}

async function connected(fleet: readonly Child[]): Promise<number> {
  return (await Promise.all(fleet.map(client => client.call<number>('connected')))).reduce((sum, each) => sum + each, 0)
}

async function errorsOf(fleet: readonly Child[]): Promise<string[]> {
  return (await Promise.all(fleet.map(client => client.call<string[]>('errors')))).flat()
}

function freePort(): Promise<number> {
  return new Promise(resolve => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => resolve(port))
    })
  })
}

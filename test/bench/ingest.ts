import { type Bench, compare, percentile, short } from './figures.js'
import { Child } from './processes.js'

/** About 300 B, as a webhook sends it. */
export const BODY = JSON.stringify({
  action: 'completed',
  status: 'success',
  repository: { id: 1296269, full_name: 'octo/hello-world', private: false },
  commit: { id: '7fd1a60b01f91b314f59955a4e4d4e80d8edf11d', message: 'Fix all the bugs', author: 'octocat' },
  run: { id: 30433642, number: 562, attempt: 1, url: 'https://ci.example/octo/hello-world/runs/30433642' }
})

const CONNECTIONS = 64
const SECONDS = 2
/** The servers take turns, so that a machine that is busy for a while is not held against one of them. */
const ROUNDS = 5

interface Measured {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly failed: number
}

/** Durable ingest of hooks: against one commit per request, and against a route that stores nothing. */
export const bench: Bench = async () => {
  const client = new Child('clients/load')
  const servers = {
    brine: new Child('servers/brine'),
    each: new Child('servers/bare-hook'),
    bare: new Child('servers/bare-hook')
  }
  try {
    const at = {
      brine: await servers.brine.call<{ url: string; token: string }>('start', {}),
      each: await servers.each.call<{ url: string; token: string }>('start', { commitEach: true }),
      bare: await servers.bare.call<{ url: string; token: string }>('start', { commitEach: false })
    }
    const run = (name: keyof typeof at, seconds: number) =>
      client.call<Measured>('run', { ...at[name], path: '/hook/ci/build', body: BODY, connections: CONNECTIONS, seconds })
    const results: Record<keyof typeof at, Measured[]> = { brine: [], each: [], bare: [] }
    for (const name of ['brine', 'each', 'bare'] as const) await run(name, 1)
    for (let round = 0; round < ROUNDS; round++) {
      for (const name of ['brine', 'each', 'bare'] as const) results[name].push(await run(name, SECONDS))
    }
    const failed = Object.values(results)
      .flat()
      .reduce((sum, each) => sum + each.failed, 0)
    if (failed > 0) throw new Error(`${failed} requests were not answered with 200`)
    const rate = (name: keyof typeof at) =>
      percentile(
        results[name].map(each => each.perSecond),
        0.5
      )
    const { p50Ms, p99Ms } = results.brine[0]!
    const note = `p50 ${short(p50Ms)} ms, p99 ${short(p99Ms)} ms`
    return [
      compare(
        `durable hook ingest, ${CONNECTIONS} connections (${note})`,
        rate('brine'),
        rate('each'),
        { atLeast: 3.5 },
        'requests/s',
        'one commit per request'
      ),
      compare('the same', rate('brine'), rate('bare'), { atLeast: 0.5 }, 'requests/s', 'bare route that stores nothing')
    ]
  } finally {
    for (const server of Object.values(servers)) {
      await server.call('remove').catch(() => {})
      await server.stop()
    }
    await client.stop()
  }
}

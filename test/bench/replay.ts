import { absolute, type Bench, percentile, short } from './figures.js'
import { Child } from './processes.js'

const EVENTS = 600_000
const ROUNDS = 3
const DATA = { status: 'success', repository: 'octo/hello-world', text: 'x'.repeat(100) }
/** How often the live reader gets an event while the other one catches up. */
const PACE_MS = 10

interface Place {
  readonly url: string
  readonly token: string
}

/** Replay of a long history to one reader, and what a live reader notices of it. */
export const bench: Bench = async () => {
  const server = new Child('servers/brine')
  const replay = new Child('clients/readers')
  const live = new Child('clients/latency')
  try {
    const at = await server.call<Place>('start', { config: {} })
    await server.call('fill', { count: EVENTS, tag: 'old/event', data: DATA })
    await live.call('open', { ...at, path: '/events?tag=live/*' })
    const rates: number[] = []
    const alone = await live.call<number[]>('measure', { ...at, times: 100, paceMs: PACE_MS })
    const meanwhile: number[] = []
    for (let round = 1; round <= ROUNDS; round++) {
      const arrived = replay.call('expect', { frames: round * (EVENTS + 1) })
      const from = performance.now()
      let done = false
      // The last frame says that the stream has ended.
      await replay.call('open', { ...at, path: `/events?tag=old/*&since=earliest&count=${EVENTS}`, count: 1 })
      const measuring = (async () => {
        while (!done) meanwhile.push(...(await live.call<number[]>('measure', { ...at, times: 10, paceMs: PACE_MS })))
      })()
      await arrived
      rates.push(EVENTS / ((performance.now() - from) / 1000))
      done = true
      await measuring
    }
    const worst = percentile(meanwhile, 0.99)
    const note = `p50 ${short(percentile(meanwhile, 0.5))} ms; without replay p99 ${short(percentile(alone, 0.99))} ms`
    return [
      absolute(
        'replay of a log into one subscriber',
        percentile(rates, 0.5),
        { atLeast: 200_000 },
        'events/s',
        `${EVENTS.toLocaleString('en')} events`
      ),
      absolute('latency of a live subscriber meanwhile, p99, from POST to frame', worst, { atMost: 50 }, 'ms', note)
    ]
  } finally {
    await server.call('remove').catch(() => {})
    for (const child of [server, replay, live]) await child.stop()
  }
}

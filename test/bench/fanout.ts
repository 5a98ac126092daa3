import { type Bench, compare, type Figure, percentile, short } from './figures.js'
import { Child } from './processes.js'

const SUBSCRIBERS = 1000
const EVENTS = 25
const BURST = 20
const BURSTS = 4
const ROUNDS = 5
/** Events before anything is measured. */
const WARM_UP = 4000

/**
 * Both sides get their events at the same pace, because how long a processor was idle changes what the same writes cost by half (caches,
 * waking up the readers).
 */
const PACE_MS = { single: 40, burst: 250 }
const DATA = {
  status: 'success',
  repository: 'octo/hello-world',
  commit: '7fd1a60b01f91b314f59955a4e4d4e80d8edf11d',
  run: 562,
  text: 'x'.repeat(120)
}

interface Place {
  readonly url: string
  readonly token: string
}

/**
 * Server CPU per delivered frame, all threads, ingest and commit included: against a bare `http` loop that writes the same bytes once per event.
 * The note has the same loop over raw sockets, which is as little as a frame can cost.
 */
export const bench: Bench = async () => {
  const brine = await Side.open('servers/brine', 'brine')
  const bare = await Side.open('servers/bare-fanout', 'bare')
  try {
    const frame = await brine.firstFrame()
    const figures: Figure[] = []
    for (const [kind, times, burst, atMost] of [
      ['single', EVENTS, 1, 1.2],
      ['burst', BURSTS, BURST, 0.3]
    ] as const) {
      const costs = { brine: [] as number[], bare: [] as number[], raw: [] as number[] }
      for (let round = 0; round < ROUNDS; round++) {
        for (const way of ['bare', 'raw'] as const) {
          await bare.setRaw(way === 'raw')
          costs[way].push(await bare.cost(times, burst, PACE_MS[kind], frame))
        }
        costs.brine.push(await brine.cost(times, burst, PACE_MS[kind], frame))
      }
      const name = `fan-out to ${SUBSCRIBERS}, ${burst === 1 ? 'events one by one' : `bursts of ${burst}`}, server CPU`
      const note = `bare http loop; raw sockets ${short(percentile(costs.raw, 0.5))}`
      figures.push(compare(name, percentile(costs.brine, 0.5), percentile(costs.bare, 0.5), { atMost }, 'µs/frame', note))
    }
    return figures
  } finally {
    await brine.close()
    await bare.close()
  }
}

/** One server with its subscribers. */
class Side {
  readonly #server: Child
  readonly #readers: Child
  readonly #kind: 'brine' | 'bare'
  readonly #at: Place
  #frames = 0

  private constructor(server: Child, readers: Child, kind: 'brine' | 'bare', at: Place) {
    this.#server = server
    this.#readers = readers
    this.#kind = kind
    this.#at = at
  }

  static async open(module: string, kind: 'brine' | 'bare'): Promise<Side> {
    const server = new Child(module)
    const readers = new Child('clients/readers')
    const at = await server.call<Place>('start', { config: {} })
    await warmUp(at, kind)
    await readers.call('open', { ...at, path: '/events', count: SUBSCRIBERS })
    while ((await server.call<number>('live')) < SUBSCRIBERS) await pause(20)
    return new Side(server, readers, kind, at)
  }

  async setRaw(raw: boolean): Promise<void> {
    await this.#server.call('setRaw', raw)
  }

  /** Fires one event and returns its frame as it came. */
  async firstFrame(): Promise<string> {
    await this.#deliver(1, '')
    const text = await this.#readers.call<string>('sample')
    const from = text.indexOf('id: ')
    return text.slice(from, text.indexOf('\n\n', from) + 2)
  }

  /** Microseconds of the server's CPU per frame that arrived. */
  async cost(times: number, burst: number, paceMs: number, frame: string): Promise<number> {
    await this.#deliver(burst, frame)
    const from = await this.#server.call<number>('cpu')
    for (let i = 0; i < times; i++) await Promise.all([this.#deliver(burst, frame), pause(paceMs)])
    return ((await this.#server.call<number>('cpu')) - from) / (times * burst * SUBSCRIBERS)
  }

  async #deliver(count: number, frame: string): Promise<void> {
    this.#frames += count * SUBSCRIBERS
    const arrived = this.#readers.call('expect', { frames: this.#frames })
    const body = this.#kind === 'bare' ? frame : JSON.stringify({ tag: 'bench/fanout', data: DATA })
    await Promise.all(Array.from({ length: count }, () => post(this.#at, body)))
    await arrived
  }

  async close(): Promise<void> {
    await this.#server.call('remove').catch(() => {})
    await this.#readers.stop()
    await this.#server.stop()
  }
}

async function post({ url, token }: Place, body: string): Promise<void> {
  const response = await fetch(`${url}/events`, {
    method: 'POST',
    headers: { 'x-auth-token': token, 'content-type': 'application/json' },
    body
  })
  if (response.status !== 200) throw new Error(await response.text())
  await response.arrayBuffer()
}

/** Posts to nobody until the code that takes events is compiled on either side: a server that has run for a minute is what is measured. */
async function warmUp(at: Place, kind: 'brine' | 'bare'): Promise<void> {
  const body = kind === 'bare' ? JSON.stringify(DATA) : JSON.stringify({ tag: 'bench/warm', data: DATA })
  for (let i = 0; i < WARM_UP; i += BURST) await Promise.all(Array.from({ length: BURST }, () => post(at, body)))
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}

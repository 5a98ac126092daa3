import { absolute, type Bench } from './figures.js'
import { Child } from './processes.js'

const SUBSCRIBERS = 5000
const WARM = 200

/** What an open stream on which nothing happens costs, with so many held. */
export const bench: Bench = async () => {
  const server = new Child('servers/brine')
  const readers = new Child('clients/readers')
  try {
    const at = await server.call<{ url: string; token: string }>('start', { config: {} })
    const path = '/events?tag=nothing/*'
    // What the first streams bring into memory (code, caches) is not theirs.
    await readers.call('open', { ...at, path, count: WARM })
    const before = await server.call<number>('rss')
    await readers.call('open', { ...at, path, count: SUBSCRIBERS - WARM })
    const perStream = ((await server.call<number>('rss')) - before) / (SUBSCRIBERS - WARM) / 1024
    const held = await server.call<number>('live')
    return [
      absolute('RSS of the server per idle subscriber', perStream, { atMost: 20 }, 'KB', `with ${SUBSCRIBERS.toLocaleString('en')}`),
      absolute('subscribers held', held, { atLeast: SUBSCRIBERS }, 'streams')
    ]
  } finally {
    await server.call('remove').catch(() => {})
    await readers.stop()
    await server.stop()
  }
}

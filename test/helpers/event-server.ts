import { type HttpTest, type HttpTestOptions, httpServer } from './http.js'
import { newEvent } from './store.js'
import { StreamClient } from './stream.js'

interface Test {
  teardown(handler: () => unknown): unknown
}

/** A server that listens, with what a stream test needs. */
export async function eventServer(t: Test, options: HttpTestOptions = {}) {
  const s = await httpServer(t, options)
  const url = await s.listen()
  return {
    ...s,
    url,
    fire: (...tags: string[]) => s.store.events.append(tags.map(tag => newEvent(tag))),
    async open(query = '', headers: Record<string, string> = {}) {
      const stream = await StreamClient.open(`${url}/events${query}`, { 'x-auth-token': s.token, ...headers })
      t.teardown(() => stream.close())
      return stream
    },
    async ask(query: string, headers: Record<string, string> = {}) {
      return await fetch(`${url}/events${query}`, { headers: { 'x-auth-token': s.token, ...headers } })
    }
  }
}

/** Resolves when the server counts so many live streams. */
export async function live(s: HttpTest, count: number) {
  while (s.hub.live < count) await new Promise(resolve => setImmediate(resolve))
}

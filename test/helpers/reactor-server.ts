import { httpServer } from './http.js'
import { reactorBench } from './reactor.js'

export type Answer = { status: number; headers: Record<string, unknown>; body: Record<string, unknown> }

/** An HTTP server over a reactor that works, and a way to ask it. */
export async function reactorServer(t: Parameters<typeof reactorBench>[0], options: Parameters<typeof reactorBench>[1] = {}) {
  const bench = await reactorBench(t, options)
  const http = await httpServer(t, {
    users: { looker: ['@wheel'], watcher: [{ '@events': ['myco/*'] }, { '@wheel': ['reactor.list'] }], nobody: ['test.*'] },
    clock: bench.clock,
    services: { store: bench.store, events: bench.events, reactor: bench.reactor }
  })
  const ask = async (
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    url: string,
    body?: object,
    headers: Record<string, string> = {}
  ) => {
    const token = headers['x-auth-token'] ?? http.token
    const answer = await http.app.inject({
      method,
      url,
      headers: { ...headers, 'x-auth-token': token },
      ...(body ? { payload: body } : {})
    })
    return { status: answer.statusCode, headers: answer.headers, body: answer.json() } as Answer
  }
  return { bench, http, ask }
}

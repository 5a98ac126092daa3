import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type App, createApp } from '../../../src/app.js'
import { type Config, defaultConfig } from '../../../src/config/schema.js'
import { createLog } from '../../../src/shared/log.js'
import { gauges, serve } from '../processes.js'

let app: App
let data: string

/** The whole server, without its embedded minion. */
async function start({
  config = {},
  dir,
  port = 0
}: {
  config?: Partial<Config>
  dir?: string
  port?: number
}): Promise<{ url: string; token: string }> {
  data = dir ?? join(tmpdir(), `brine-bench-${process.pid}`)
  // Heartbeats would be counted as frames.
  const quiet = { event_retention_count: 0, embedded_minion: false, file_roots: {}, pillar_roots: {}, sse_heartbeat_seconds: 3600 }
  app = await createApp(defaultConfig({ ...quiet, data_dir: data, ...config }), createLog({ level: 'warn' }))
  const url = await app.http.listen({ host: '127.0.0.1', port })
  const { token } = await app.services.auth.issue({ user: 'admin', eauth: 'admin', label: 'bench', expiresSeconds: 3600 })
  return { url, token }
}

serve({
  ...gauges,
  start,
  subscribers: () => app.services.hub.subscribers,
  backlog: () => app.services.reactor.backlog(),
  live: () => app.services.hub.live,
  /** Fires events as the server itself does, in one transaction. */
  fire: async ({ count, tag, data }: { count: number; tag: string; data: Record<string, unknown> }) => {
    await app.services.events.fireMany(
      Array.from({ length: count }, () => ({ tag, data })),
      { source: 'server' }
    )
  },
  /** Fills the log quickly, in large transactions. */
  fill: async ({ count, tag, data }: { count: number; tag: string; data: Record<string, unknown> }) => {
    const { events } = app.services
    for (let left = count; left > 0; left -= 2000) {
      await events.fireMany(
        Array.from({ length: Math.min(left, 2000) }, (_, i) => ({ tag: `${tag}/${i % 10}`, data: { n: left - i, ...data } })),
        { source: 'server' }
      )
    }
    return await app.services.store.events.count()
  },
  close: async () => await app.close(),
  remove: () => rmSync(data, { recursive: true, force: true })
})

import fp from 'fastify-plugin'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Services } from '../services.js'

declare module 'fastify' {
  interface FastifyInstance {
    readonly metrics: Registry
  }
}

/** Figures for Prometheus. Labels are route patterns, methods and status codes: nothing that a client can make up, no tags, no names. */
export default fp(
  async app => {
    const metrics = new Registry()
    collectDefaultMetrics({ register: metrics })
    measureServices(metrics, app.services)
    const seconds = new Histogram({
      name: 'brine_http_request_duration_seconds',
      help: 'From a request to the end of its answer; streams of events and jobs are not among them.',
      labelNames: ['method', 'route', 'status'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers: [metrics]
    })
    app.decorate('metrics', metrics)
    app.addHook('onResponse', (request, reply, done) => {
      const isStream =
        request.routeOptions.url === '/minion/stream' || String(reply.getHeader('content-type')).startsWith('text/event-stream')
      if (isStream) return done()
      seconds.observe(
        { method: request.method, route: request.routeOptions.url ?? 'none', status: reply.statusCode },
        reply.elapsedTime / 1000
      )
      done()
    })
  },
  { name: 'metrics' }
)

/** Values that the services keep themselves are read when somebody asks. */
function measureServices(metrics: Registry, { store, hub, reactor }: Services): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers: [metrics],
      collect() {
        this.set(read())
      }
    })
  const counter = (name: string, help: string, read: () => number) =>
    new Counter({
      name,
      help,
      registers: [metrics],
      collect() {
        this.reset()
        this.inc(read())
      }
    })
  counter('brine_events_appended_total', 'Events committed by this process.', () => store.stats().committedEvents)
  counter('brine_store_commits_total', 'Transactions committed.', () => store.stats().commits)
  gauge('brine_store_waiting', 'Writes accepted and not yet committed.', () => store.stats().waiting)
  gauge('brine_store_failing', '1 while the store refuses writes (disk full).', () => (store.stats().failing === null ? 0 : 1))
  gauge('brine_reactor_lag', 'Events not matched yet.', () => reactor.backlog().lag)
  gauge('brine_reactor_open', 'Plans not worked on yet.', () => reactor.backlog().open)
  gauge('brine_log_head', 'Seq of the newest event that was delivered.', () => hub.head)
  counter('brine_events_delivered_total', 'Events that the hub has handed on.', () => hub.counters.delivered)
  gauge('brine_subscribers', 'Open event streams.', () => hub.subscribers)
  gauge('brine_filters', 'Distinct filters among streams and listeners.', () => hub.filters)
  counter('brine_subscribers_cut_total', 'Streams that were cut because their readers were too slow.', () => hub.counters.cut)
}

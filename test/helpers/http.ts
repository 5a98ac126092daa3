import { join } from 'node:path'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { routes } from '../../routes/index.js'
import { Authenticator } from '../../src/auth/authenticator.js'
import { readExternalAuth } from '../../src/auth/external-auth.js'
import { readOrCreateKey } from '../../src/auth/jwt.js'
import { Users } from '../../src/auth/users.js'
import { type Config, defaultConfig } from '../../src/config/schema.js'
import { EventLog } from '../../src/events/log.js'
import { Hub } from '../../src/hub/hub.js'
import { buildHttp } from '../../src/plugins/http.js'
import { createTokenCodec } from '../../src/plugins/jwt.js'
import type { Services } from '../../src/services.js'
import { type Clock, SystemClock } from '../../src/shared/clock.js'
import { createLog } from '../../src/shared/log.js'
import { openSqliteStore } from '../../src/store/sqlite/open.js'
import type { Store } from '../../src/store/store.js'
import { tempFolder } from './store.js'

interface Test {
  teardown(handler: () => unknown): unknown
}

export interface HttpTestOptions {
  readonly config?: Partial<Config>
  /** Permissions as `external_auth` has them, by user: `tokenOf` makes tokens for these users. */
  readonly users?: Readonly<Record<string, readonly unknown[]>>
  readonly clock?: Clock
  /** An existing data directory. */
  readonly data?: string
  /** Laid over the real services; or made of them. */
  readonly services?: Partial<Services> | ((base: Services) => Partial<Services>)
  readonly store?: (store: Store) => Store
  readonly logLevel?: string
}

export interface HttpTest {
  readonly app: FastifyInstance
  readonly services: Services
  readonly store: Store
  readonly hub: Hub
  readonly auth: Authenticator
  readonly clock: Clock
  readonly data: string
  /** The administrator's. */
  readonly token: string
  /** Every line that was logged. */
  readonly logged: readonly string[]
  tokenOf(user: string): Promise<string>
  /** Listens on a free port. */
  listen(): Promise<string>
  close(): Promise<void>
}

/** The HTTP server over a real store, log, hub and authenticator; what lies beyond (jobs, minions, reactor) is not there unless it is given. */
export async function httpServer(t: Test, options: HttpTestOptions = {}): Promise<HttpTest> {
  const data = options.data ?? (await tempFolder(t as { teardown(handler: () => Promise<void>): unknown }))
  const clock = options.clock ?? new SystemClock()
  const logged: string[] = []
  const log = createLog({ level: options.logLevel ?? 'debug', destination: { write: line => void logged.push(line) } })
  const config = defaultConfig({ data_dir: data, external_auth: { token: permissionsOf(options.users ?? {}) }, ...options.config })
  const opened = await openSqliteStore({ file: join(data, 'brine.db'), clock, maxWaiting: config.max_waiting_writes })
  const store = options.store?.(opened) ?? opened
  const events = new EventLog({ store, clock, maxEventSize: config.max_event_size })
  const hub = new Hub({
    events: store.events,
    log,
    clock,
    maxSubscribers: config.max_subscribers,
    bufferBytes: config.subscriber_buffer_bytes,
    heartbeatSeconds: config.sse_heartbeat_seconds
  })
  await hub.start()
  const users = new Users({ file: join(data, 'users.yaml'), clock })
  const codec = await createTokenCodec(readOrCreateKey(join(data, 'jwt.key')))
  const cost = { N: 1024, r: 1, p: 1 }
  const auth = new Authenticator({ config, store: store.tokens, clock, users, codec, minionsMatching: () => [], log, cost })
  await auth.start()
  const reactor = { overloaded: () => false, backlog: () => ({ lag: 0, open: 0, running: 0 }) }
  const base = { config, log, clock, store, events, hub, auth, reactor } as unknown as Services
  const services = { ...base, ...(typeof options.services === 'function' ? options.services(base) : options.services) }
  const end = async () => {
    hub.stop()
    auth.stop()
    await store.close()
  }
  const app = askingForAnything(
    await buildHttp(services, { routes }).catch(async error => {
      await end()
      throw error
    })
  )
  const { token } = await auth.issue({ user: 'admin', eauth: 'admin', label: 'test', expiresSeconds: 3600 })
  let closing: Promise<void> | null = null
  const close = async () => {
    await app.close()
    await end()
  }
  const test: HttpTest = {
    ...{ app, services, store, hub, auth, clock, data, token, logged },
    tokenOf: async user => (await auth.issue({ user, eauth: 'token', label: 'test', expiresSeconds: 3600 })).token,
    listen: () => app.listen({ host: '127.0.0.1', port: 0 }),
    close: () => (closing ??= close())
  }
  t.teardown(() => test.close())
  return test
}

/** As fetch and curl ask, for any type, where a test does not say otherwise: who asks for nothing gets salt-api's pages for errors. */
function askingForAnything(app: FastifyInstance): FastifyInstance {
  const inject = app.inject.bind(app)
  const wrapped = (asked: InjectOptions | string) => {
    const options = typeof asked === 'string' ? { url: asked } : asked
    return inject({ ...options, headers: { accept: '*/*', ...options.headers } })
  }
  return Object.assign(app, { inject: wrapped as FastifyInstance['inject'] })
}

function permissionsOf(users: Readonly<Record<string, readonly unknown[]>>) {
  const read = readExternalAuth({ file: users })
  if (!('value' in read)) throw new Error(JSON.stringify(read.faults))
  return read.value.file ?? {}
}

/** The object with some of its methods replaced; the others work on the object itself. */
export function changed<T extends object>(target: T, changes: Partial<T>): T {
  return new Proxy(target, {
    get(_, name) {
      if (name in changes) return changes[name as keyof T]
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    }
  })
}

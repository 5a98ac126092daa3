import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { routes } from '../routes/index.js'
import { Authenticator } from './auth/authenticator.js'
import { readOrCreateKey } from './auth/jwt.js'
import { Users } from './auth/users.js'
import type { Loaded } from './config/load.js'
import type { Config } from './config/schema.js'
import { EventLog } from './events/log.js'
import { Retention } from './events/retention.js'
import { Hub } from './hub/hub.js'
import { JidSource } from './jobs/jid.js'
import { Jobs } from './jobs/jobs.js'
import { Commands } from './jobs/lowstate.js'
import { meantMinions } from './jobs/target.js'
import { Keys } from './keys/keys.js'
import { HttpLink } from './link/http.js'
import { Presence } from './link/presence.js'
import { Mine } from './mine/mine.js'
import { Pillars } from './pillar/pillars.js'
import { buildHttp } from './plugins/http.js'
import { createTokenCodec } from './plugins/jwt.js'
import { Reactor } from './reactor/reactor.js'
import type { Services } from './services.js'
import { SystemClock } from './shared/clock.js'
import { dataFiles } from './shared/data-dir.js'
import { openStore } from './store/open.js'

export interface App {
  readonly services: Services
  readonly http: FastifyInstance
  /** Ends what runs, in the reverse order of its start: no new requests, streams end, work settles, the log closes. May be called twice. */
  close(): Promise<void>
}

/** The files behind a configuration: what was read, and how to read it again. */
export interface ConfigSource {
  readonly loaded: Pick<Loaded, 'watched'>
  /** Throws CONFIG_INVALID. */
  reload(): Pick<Loaded, 'config' | 'watched'>
}

/**
 * The one place where things are constructed and joined. What it returns is started and ready to `http.listen`.
 * Throws STORE_LOCKED, STORE_CORRUPT, STORE_NEWER, STORE_FULL.
 */
export async function createApp(config: Config, log: Logger, source?: ConfigSource): Promise<App> {
  const clock = new SystemClock()
  const store = await openStore(config, { clock, log: log.child({ part: 'store' }) })
  const undo: (() => unknown)[] = [() => store.close()]
  const close = once(async () => {
    for (const end of undo.reverse()) await end()
  })
  try {
    const events = new EventLog({ store, clock, maxEventSize: config.max_event_size })
    const hub = new Hub({
      events: store.events,
      log: log.child({ part: 'hub' }),
      clock,
      maxSubscribers: config.max_subscribers,
      bufferBytes: config.subscriber_buffer_bytes,
      heartbeatSeconds: config.sse_heartbeat_seconds
    })
    await hub.start()
    undo.push(() => hub.stop())

    const keys = new Keys({ store, events, clock, config, log: log.child({ part: 'keys' }) })
    await keys.start()
    const pillars = new Pillars({ config, keys, events, log: log.child({ part: 'pillar' }) })
    undo.push(() => pillars.stop())
    void pillars.warm()
    const mine = new Mine({ store, keys, pillars, config })
    const minionsMatching = (tgt: unknown, tgtType: string) =>
      meantMinions(tgt, tgtType, { keys, pillars, nodegroups: config.nodegroups }).minions

    const files = dataFiles(config.data_dir)
    const users = new Users({ file: files.users, clock })
    const codec = await createTokenCodec(readOrCreateKey(files.jwtKey))
    const auth = new Authenticator({ config, store: store.tokens, clock, users, codec, minionsMatching, log: log.child({ part: 'auth' }) })
    await auth.start()
    undo.push(() => auth.stop())

    const jids = new JidSource(clock)
    const link = new HttpLink({ store, keys, events, auth, clock, config, log: log.child({ part: 'link' }) })
    const jobs = new Jobs({ store, events, hub, keys, pillars, link, jids, clock, config, log: log.child({ part: 'jobs' }) })
    link.returns = jobs
    jobs.start()
    const commands = new Commands({
      config,
      store,
      events,
      auth,
      keys,
      pillars,
      mine,
      link,
      jobs,
      jids,
      clock,
      log: log.child({ part: 'commands' })
    })
    const reactor = new Reactor({
      ...{ config, store, events, hub, commands, jids, clock },
      ...(source && { source }),
      log: log.child({ part: 'reactor' })
    })
    commands.reactor = reactor
    await reactor.start()
    const retention = new Retention({ store, clock, settings: config, log: log.child({ part: 'retention' }) })
    retention.start()
    undo.push(() => retention.stop())
    const presence = new Presence({ link, events, config, log: log.child({ part: 'presence' }) })
    presence.start()
    undo.push(() => presence.stop())

    let http: FastifyInstance | null = null
    // Backwards from here: no new reactions, whoever waits for minions is told so, their streams end, and then nothing holds the server open.
    undo.push(
      () => http?.close(),
      () => link.stop(),
      () => jobs.stop(),
      // Together: the reactor waits for the functions that it called, and these end when the commands do.
      () => Promise.all([reactor.stop(), commands.stop()])
    )
    const services: Services = { config, log, clock, store, events, hub, auth, keys, pillars, mine, link, jobs, commands, reactor }
    http = await buildHttp(services, { routes })
    return { services, http, close }
  } catch (error) {
    await close()
    throw error
  }
}

function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | null = null
  return () => {
    done ??= work()
    return done
  }
}

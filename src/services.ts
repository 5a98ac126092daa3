import type { Logger } from 'pino'
import type { Authenticator } from './auth/authenticator.js'
import type { Config } from './config/schema.js'
import type { EventLog } from './events/log.js'
import type { Hub } from './hub/hub.js'
import type { Jobs } from './jobs/jobs.js'
import type { Commands } from './jobs/lowstate.js'
import type { Keys } from './keys/keys.js'
import type { HttpLink } from './link/http.js'
import type { Mine } from './mine/mine.js'
import type { Pillars } from './pillar/pillars.js'
import type { Reactor } from './reactor/reactor.js'
import type { Clock } from './shared/clock.js'
import type { Store } from './store/store.js'

/** Everything that is constructed in `app.ts`; routes find it as `app.services`. */
export interface Services {
  readonly config: Config
  readonly log: Logger
  readonly clock: Clock
  readonly store: Store
  readonly events: EventLog
  readonly hub: Hub
  readonly auth: Authenticator
  readonly keys: Keys
  readonly pillars: Pillars
  readonly mine: Mine
  readonly link: HttpLink
  readonly jobs: Jobs
  readonly commands: Commands
  readonly reactor: Reactor
}

declare module 'fastify' {
  interface FastifyInstance {
    readonly services: Services
  }
  interface FastifyRequest {
    /** Set by the authentication hook of the guarded part of the route map (`routes/index.ts`). */
    caller: import('./auth/caller.js').Caller
  }
}

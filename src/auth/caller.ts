import type { Source } from '../events/event.js'
import type { TagFilter } from '../store/store.js'

/** What a caller wants to do. Every door (HTTP, hooks, WebSocket, reactor, minions, CLI) asks about one of these. */
export type Action =
  /** Run execution functions on minions. `args`/`kwargs` for per-argument conditions. `minions`: whom the target means now. */
  | {
      readonly kind: 'local'
      readonly fun: string
      readonly args: readonly unknown[]
      readonly kwargs: Readonly<Record<string, unknown>>
      readonly tgt: unknown
      readonly tgtType: string
    }
  | {
      readonly kind: 'runner' | 'wheel'
      readonly fun: string
      readonly args: readonly unknown[]
      readonly kwargs: Readonly<Record<string, unknown>>
    }
  /** Look at jobs (`@jobs`). */
  | { readonly kind: 'jobs' }
  /** Fire an event with this tag. */
  | { readonly kind: 'fire'; readonly tag: string }
  /** Read events; what may be seen is in `Caller.readable`. */
  | { readonly kind: 'read' }
  /** Manage rules (`@wheel`, as files of the master are managed there). */
  | { readonly kind: 'rules'; readonly write: boolean }

/** Who is calling, as established by `Authenticator`. Made once per token and shared by its requests. */
export interface Caller {
  /** `admin`, `web1`, `Reactor`. */
  readonly user: string
  readonly source: Source
  readonly kind: 'user' | 'minion' | 'reactor' | 'server'
  readonly eauth: string
  /** Token id; null for callers without a token. */
  readonly jti: string | null
  /** Microseconds since 1970 UTC; Infinity without a token. */
  readonly expiresUs: number
  /** `stream`: a ticket, good for GET /events and nothing else. */
  readonly scope: 'full' | 'stream'
  /** Salt's `perms`, as /login shows them. */
  readonly perms: readonly unknown[]
  /** Tags this caller may read; null: none at all. Applied live and to history. */
  readonly readable: TagFilter | null
  /** True when permitted. The one authorisation function. */
  may(action: Action): boolean
}

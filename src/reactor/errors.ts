import { eventId, type NewEvent, type StoredEvent } from '../events/event.js'
import type { EventLog } from '../events/log.js'
import { reactorError } from '../tags/tags.js'
import { isReactorError } from './scope.js'

/** A mistake in an SLS, or a reaction that is not made. */
export interface ReactorError {
  readonly rule: string
  readonly sls: string
  readonly section?: string
  /** `failed`: it is tried again; `dead`: it is a dead letter. */
  readonly state: 'failed' | 'dead'
  readonly attempts: number
  readonly error: string
}

/**
 * Tells of the reactor's errors on the log: `salt/reactor/<rule>/error {rule, sls[, section], state, attempts, error, event, tag, user}`, where
 * `event` and `tag` are those that were reacted to. Salt only has log lines for them.
 */
export class ReactorErrors {
  constructor(
    readonly events: Pick<EventLog, 'prepare'>,
    readonly epoch: string
  ) {}

  /** The event to be written with the error; none about events that are such errors themselves. */
  about(error: ReactorError, event: Pick<StoredEvent, 'seq' | 'tag' | 'cause'>): NewEvent[] {
    if (isReactorError(event)) return []
    const data = { ...error, event: eventId(this.epoch, event.seq), tag: event.tag, user: 'Reactor' }
    const cause = { seq: event.seq, depth: (event.cause?.depth ?? 0) + 1 }
    return [this.events.prepare(reactorError(error.rule), data, { source: 'reactor', cause })]
  }
}

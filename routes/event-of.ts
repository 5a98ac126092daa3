import type { Caller } from '../src/auth/caller.js'
import { brineError } from '../src/errors.js'
import { parseEventId, type StoredEvent } from '../src/events/event.js'
import type { Services } from '../src/services.js'
import { compileFilter } from '../src/tags/glob.js'

/** The position that an event id names. @throws NOT_FOUND for what is no id of this log */
export function seqOf({ store }: Pick<Services, 'store'>, id: string): number {
  const parsed = parseEventId(id)
  if (parsed === null || parsed.epoch !== store.events.epoch) throw brineError('NOT_FOUND', `event ${id.slice(0, 40)}`)
  return parsed.seq
}

/** Which tags a caller may see. */
export function tagsSeenBy({ readable }: Caller): (tag: string) => boolean {
  return readable === null ? () => false : compileFilter(readable)
}

/** The event, when the caller may see it: what may not be seen is not there. @throws NOT_FOUND */
export async function visibleEvent(services: Pick<Services, 'store'>, id: string, caller: Caller): Promise<StoredEvent> {
  const event = await services.store.events.get(seqOf(services, id))
  if (event === null || !tagsSeenBy(caller)(event.tag)) throw brineError('NOT_FOUND', `event ${id.slice(0, 40)}`)
  return event
}

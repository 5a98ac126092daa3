import { brineError } from '../errors.js'
import type { EventData } from '../events/event.js'
import { saltJson } from '../events/json.js'
import { parseTime } from '../hub/position.js'
import { stampOf } from '../shared/clock.js'
import { checkTag } from '../tags/tags.js'

/** An event as somebody writes it, to be tried. Its time is that of `_stamp` in its data (ISO, UTC), or `nowUs`. @throws TAG_INVALID */
export function pastedEvent(
  { tag, data = {} }: { tag: string; data?: EventData },
  nowUs: number
): { tag: string; json: string; stampUs: number } {
  const fault = checkTag(tag)
  if (fault !== null) throw brineError('TAG_INVALID', JSON.stringify(tag.slice(0, 80)), fault)
  const stampUs = stampIn(data) ?? nowUs
  return { tag, json: saltJson('_stamp' in data ? data : { ...data, _stamp: stampOf(stampUs) }), stampUs }
}

/** Null where it is no time: data may have anything under that name. */
function stampIn({ _stamp }: EventData): number | null {
  if (typeof _stamp !== 'string' || !/^\d{4}-/.test(_stamp)) return null
  try {
    return parseTime(_stamp, 0)
  } catch {
    return null
  }
}

import { isJid, parseJidTime } from '../../src/jobs/jid.js'
import type { Check, Content } from './play.js'

interface Vector {
  value: unknown
  is_jid: boolean
  jid_to_time?: string
  jid_to_time_error?: string
}

/** jids.json: `{value, is_jid, jid_to_time | jid_to_time_error}`. */
export function jidChecks(content: Content): Check[] {
  return (content.vectors as Vector[]).flatMap(vector => [
    { name: `is_jid ${JSON.stringify(vector.value)}`, expected: vector.is_jid, got: () => isJid(vector.value) },
    {
      name: `jid_to_time ${JSON.stringify(vector.value)}`,
      expected: vector.jid_to_time_error === undefined ? vector.jid_to_time : 'error',
      got: () => timeOf(vector.value)
    }
  ])
}

function timeOf(value: unknown): string {
  try {
    return parseJidTime(value)
  } catch (error) {
    if (error instanceof RangeError) return 'error'
    throw error
  }
}

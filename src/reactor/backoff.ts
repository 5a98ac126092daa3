import { durationUs, type RuleOptions } from './options.js'

/** Pause before the first repetition, and the longest one. A file that is being written or a full disk is over soon; an hour helps nobody. */
const FIRST_MS = 1000
const LONGEST_MS = 60_000

/** Part of a pause by which it varies, so that what failed together does not come back together. */
const JITTER = 0.2

/**
 * Microseconds until attempt number `attempts + 1`: each pause `factor` (2) times the one before, give or take a part of it. A rule's own `pause`
 * may be longer than a minute; then all its pauses may.
 */
export function backoffUs(attempts: number, retry: RuleOptions['retry'] = null, random: () => number = Math.random): number {
  const { pause, factor = 2, jitter = JITTER } = retry ?? {}
  const first = pause === undefined ? FIRST_MS : durationUs(pause)! / 1000
  const ms = Math.min(Math.max(LONGEST_MS, first), first * factor ** Math.min(attempts, 20))
  return Math.round(ms * (1 - jitter + 2 * jitter * random())) * 1000
}

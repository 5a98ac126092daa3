/** Pause before the first repetition, and the longest one. A file that is being written or a full disk is over soon; an hour helps nobody. */
const FIRST_MS = 1000
const LONGEST_MS = 60_000

/**
 * Microseconds until attempt number `attempts + 1`: each pause twice the one before, give or take a fifth, so that what failed together does
 * not come back together.
 */
export function backoffUs(attempts: number, random: () => number = Math.random): number {
  const ms = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempts, 20))
  return Math.round(ms * (0.8 + 0.4 * random())) * 1000
}

/**
 * What conditions and keys of rules (`when`, `group_by`, `concurrency.key`) may cost. They run where events are planned, between the server's other
 * work, so a rule whose expressions reach their limits again and again, or take a large part of all time, rests for a while: its events are dead
 * letters meanwhile (`blocked: quarantine`), which can be driven again. It is tried again by itself after the rest, and at once when it is another.
 */
import type { StoredEvent } from '../events/event.js'
import { type GatedRule, isCostly, judge, type Verdict } from './gate.js'
import { Quarantine } from './quarantine.js'
import type { Windows } from './windows.js'

/** A rule rests; `first`: since this event, so it is to be told of. */
export interface Resting {
  readonly kind: 'resting'
  readonly first: boolean
  readonly seconds: number
  readonly why: string
}

/**
 * In each time of ten seconds a rule's expressions may take two in all, unless an event takes half a millisecond or less on average: a busy rule with an
 * honest condition takes a tenth of that.
 */
const SHARE = { withinMs: 10_000, ms: 2000, eachMs: 0.5 }

interface Usage {
  readonly sinceMs: number
  ms: number
  times: number
}

export class Conditions {
  readonly #quarantine: Quarantine
  readonly #now: () => number
  readonly #stopwatch: () => number
  readonly #usage = new Map<string, Usage>()
  /** Why rules rest that took too long, and which of those that rest have been told of. */
  readonly #reasons = new Map<string, string>()
  readonly #told = new Set<string>()

  /** `now`: the clock of rests, in milliseconds; `stopwatch`: that of work. */
  constructor(now: () => number, stopwatch: () => number = () => performance.now()) {
    this.#now = now
    this.#stopwatch = stopwatch
    this.#quarantine = new Quarantine(now)
  }

  /** What becomes of an event that a rule matches; `resting` without looking at it. */
  judge(rule: GatedRule, event: StoredEvent, windows: Windows): Verdict | Resting {
    if (!isCostly(rule)) return judge(rule, event, windows)
    const key = keyOf(rule)
    const rests = this.#rests(key)
    if (rests !== null) return rests
    const from = this.#stopwatch()
    let verdict = judge(rule, event, windows)
    // A machine that was busy with something else is not the rule's fault: that does not happen twice in a row.
    if (isLimit(verdict)) verdict = judge(rule, event, windows)
    this.#used(key, this.#stopwatch() - from)
    if (!isLimit(verdict)) return verdict
    this.#quarantine.stopped(key)
    return verdict
  }

  #rests(key: string): Resting | null {
    const seconds = this.#quarantine.rests(key)
    if (seconds === 0) {
      this.#reasons.delete(key)
      this.#told.delete(key)
      return null
    }
    const first = !this.#told.has(key)
    this.#told.add(key)
    return { kind: 'resting', first, seconds, why: this.#reasons.get(key) ?? 'its expressions reached their limits again and again' }
  }

  #used(key: string, ms: number): void {
    const now = this.#now()
    const known = this.#usage.get(key)
    const usage = known !== undefined && now < known.sinceMs + SHARE.withinMs ? known : { sinceMs: now, ms: 0, times: 0 }
    usage.ms += ms
    usage.times++
    this.#usage.set(key, usage)
    if (usage.ms <= SHARE.ms || usage.ms / usage.times <= SHARE.eachMs) return
    this.#usage.delete(key)
    this.#quarantine.rest(key)
    this.#reasons.set(key, `its expressions took ${Math.round(usage.ms)} ms for ${usage.times} events`)
  }
}

function keyOf({ id, version }: GatedRule): string {
  return `${version} ${id}`
}

function isLimit(verdict: Verdict): boolean {
  return verdict.kind === 'fault' && verdict.limit
}

import type { StoredEvent } from '../events/event.js'
import type { Rule } from './rules.js'

/** The reactor's own events (`salt/reactor/<rule>/error` and the like) begin so. */
const OWN_TAGS = 'salt/reactor/'

/**
 * Which events a rule may react to besides matching their tag; the guards against loops:
 *
 * - Runner and wheel events of reactions (`user: Reactor`) are never reacted to, as in Salt. Jobs of reactions may be, as there.
 * - The reactor's own events only reach rules that name them: a broken rule for `*` would otherwise react to its own errors.
 * - Events with so many reactions behind them as `reactor_max_depth` says are planned as dead letters: the end of the chain is on record, and
 *   may be driven on by hand (`tooDeep`).
 */
export function reactsTo(rule: Pick<Rule, 'tag'>, event: StoredEvent): boolean {
  if (event.tag.startsWith(OWN_TAGS)) return rule.tag.startsWith(OWN_TAGS)
  return !isByReactor(event)
}

/** Why `reactsTo` says no. */
export function whyNotReactsTo(event: Pick<StoredEvent, 'tag'>): string {
  return event.tag.startsWith(OWN_TAGS)
    ? "what the reactor tells of itself only reaches rules whose tag begins with 'salt/reactor/'"
    : "runner and wheel calls of reactions (user 'Reactor') are not reacted to"
}

/** Why no reaction may follow from an event that has so many behind it; null when one may. */
export function tooDeep({ cause }: Pick<StoredEvent, 'cause'>, maxDepth: number): string | null {
  return (cause?.depth ?? 0) < maxDepth ? null : `more than ${maxDepth} reactions follow from one another (reactor_max_depth)`
}

/** True for events that the reactor tells of its own errors: none is told about those. */
export function isReactorError(event: Pick<StoredEvent, 'tag'>): boolean {
  return event.tag.startsWith(OWN_TAGS) && event.tag.endsWith('/error')
}

function isByReactor(event: StoredEvent): boolean {
  // The text is looked at first: it decides nearly always, and parsing costs a hundred times as much.
  if (!event.json.includes('"user": "Reactor"') || isJobTag(event.tag)) return false
  const data: unknown = JSON.parse(event.json)
  return (data as { user?: unknown } | null)?.user === 'Reactor'
}

function isJobTag(tag: string): boolean {
  return tag.startsWith('salt/job/') || /^\d{20}$/.test(tag)
}

/** What would be done about events beside what was done, and the difference. Calls about one event belong together, whichever rules make them. */
import type { Seq } from '../events/event.js'
import { addTo } from '../shared/multimap.js'
import { packed } from './packed.js'

/** A call that was made, or planned, about an event. */
export interface DoneCall {
  readonly event: Seq
  readonly rule: string
  readonly section: string
  readonly call: unknown
  readonly state: 'planned' | 'dispatched' | 'succeeded' | 'failed' | 'dead'
  readonly error: string | null
  /** When it was planned, and when it last moved: for one that is over, its end. */
  readonly plannedUs: number
  readonly changedUs: number
}

/** A call that would be made. */
export interface WouldCall {
  readonly rule: string
  readonly section: string
  readonly call: unknown
}

export type Difference =
  | { readonly kind: 'same' }
  | { readonly kind: 'changed'; readonly section: string; readonly call: unknown; readonly was: unknown }
  | { readonly kind: 'added' | 'removed'; readonly section: string; readonly call: unknown }

export class Ledger {
  readonly #done = new Map<Seq, DoneCall[]>()
  readonly #would = new Map<Seq, WouldCall[]>()

  did(call: DoneCall): void {
    addTo(this.#done, call.event, call)
  }

  would(event: Seq, call: WouldCall): void {
    addTo(this.#would, event, call)
  }

  /** The call as it was made; null when it was not. */
  made(event: Seq, { rule, section, call }: WouldCall): DoneCall | null {
    const same = (this.#done.get(event) ?? []).filter(done => done.section === section && isSame(done.call, packed(call)))
    return same.find(done => done.rule === rule) ?? same[0] ?? null
  }

  /** Compares what is known about events that nothing more will be known of: up to here, but for those that `open` has. */
  *settle(upTo: Seq, open: ReadonlySet<Seq>): Generator<{ event: Seq; difference: Difference }> {
    const events = [...new Set([...this.#done.keys(), ...this.#would.keys()])].filter(seq => seq <= upTo && !open.has(seq))
    for (const event of events.sort((a, b) => a - b)) {
      const differences = compared(this.#would.get(event) ?? [], this.#done.get(event) ?? [])
      this.#would.delete(event)
      this.#done.delete(event)
      for (const difference of differences) yield { event, difference }
    }
  }
}

/** First the calls that are equal, so that of several under one section the right ones meet; then those of one section. */
function compared(would: readonly WouldCall[], done: readonly DoneCall[]): Difference[] {
  const left = [...done]
  const takeOut = (fits: (done: DoneCall) => boolean): DoneCall | undefined => {
    const at = left.findIndex(fits)
    return at < 0 ? undefined : left.splice(at, 1)[0]
  }
  const others = would.filter(({ section, call }) => !takeOut(each => each.section === section && isSame(each.call, packed(call))))
  const same = Array.from({ length: would.length - others.length }, (): Difference => ({ kind: 'same' }))
  const changed = others.map(({ rule, section, call }): Difference => {
    const was = takeOut(each => each.section === section && each.rule === rule) ?? takeOut(each => each.section === section)
    return was === undefined ? { kind: 'added', section, call } : { kind: 'changed', section, call, was: was.call }
  })
  return [...same, ...changed, ...left.map(({ section, call }): Difference => ({ kind: 'removed', section, call }))]
}

function isSame(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b)
}

/** JSON with sorted keys; what does not change the call is left out. */
function canonical(call: unknown): string {
  const rest = withoutOrder(call)
  return JSON.stringify(rest, (_, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value
  )
}

/** The place among the calls of an event is no part of the call. */
export function withoutOrder(call: unknown): Record<string, unknown> {
  const { order: _, ...rest } = call as Record<string, unknown>
  return rest
}

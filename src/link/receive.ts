/**
 * What minions send up: acknowledgements, grains, returns, events. All of it may come twice; everything here is recorded once.
 */
import type { Caller } from '../auth/caller.js'
import { BrineError, brineError, isBrineError } from '../errors.js'
import type { Cause, EventData } from '../events/event.js'
import type { EventLog } from '../events/log.js'
import type { Keys } from '../keys/keys.js'
import type { Up, UpAnswer, UpEvent, UpItem, UpPart, UpReturn } from '../protocol/messages.js'
import type { Clock } from '../shared/clock.js'
import type { JobStore } from '../store/store.js'
import { LEGACY_MINION_START } from '../tags/tags.js'

/** What is recorded of returns; `Jobs` does it. */
export interface Returns {
  recordReturn(minionId: string, raw: unknown): Promise<unknown>
  causeOf(jid: string): Promise<Cause | null>
}

export interface ReceiverOptions {
  readonly keys: Pick<Keys, 'putFacts'>
  readonly events: Pick<EventLog, 'fire'>
  readonly store: { readonly jobs: Pick<JobStore, 'acknowledge' | 'addPart' | 'parts' | 'dropParts'> }
  readonly clock: Clock
  readonly returns: () => Returns
  readonly config: { readonly enable_legacy_startup_events: boolean }
}

/** Bytes of a minion's grains as JSON. They are 10 KB; the server keeps those of all minions in memory. */
const MAX_GRAINS = 1024 * 1024

/** Characters of parts that wait for their last one, of all minions: sixteen of the largest returns at once, on disk. Beyond it minions wait (503). */
const MAX_PARTS_CHARS = 1024 * 1024 * 1024
/** A minion that has not come back for the rest after so long begins anew. */
const PARTS_KEPT_US = 86_400_000_000

/** Fields of the envelope: what a minion adds cannot take their place. */
const ENVELOPE = new Set(['id', 'tag', 'data', 'cmd', '_stamp'])

export class Receiver {
  readonly #o: ReceiverOptions

  constructor(options: ReceiverOptions) {
    this.#o = options
  }

  /**
   * Records what one request brought. When it resolves, each item is in the log or refused for good; when it throws, the whole request may be
   * repeated, and what was recorded already stays as it is.
   */
  async receive(minion: Caller, up: Up): Promise<UpAnswer> {
    const id = minion.user
    if (up.grains) await this.#o.keys.putFacts(id, boundedGrains(up.grains))
    if (up.part) return this.#part(minion, up.spool, up.part)
    const [, refused] = await Promise.all([
      up.acks.length > 0 ? this.#o.store.jobs.acknowledge(id, up.acks) : undefined,
      this.#items(minion, up)
    ])
    return { refused }
  }

  /** Keeps a part; with the last one the whole is an item like any other. */
  async #part(minion: Caller, spool: string, { n, at, length, text }: UpPart): Promise<UpAnswer> {
    const { store, clock } = this.#o
    if (at + text.length > length) throw brineError('FIELD_INVALID', 'part', 'is longer than the whole')
    const nowUs = clock.nowUs()
    const part = { minion: minion.user, spool, n, at, text, stampUs: nowUs }
    const added = await store.jobs.addPart(part, { chars: MAX_PARTS_CHARS, beforeUs: nowUs - PARTS_KEPT_US })
    if (added === 'full') throw new BrineError('TOO_MANY', ['parts of returns wait for their end'], { retryAfter: 30 })
    if (added.have < length) return { refused: [], have: added.have }
    const item = returnIn(await store.jobs.parts(minion.user, spool, n), n)
    const refused =
      item === null
        ? [{ n, code: 'FIELD_INVALID', error: 'the parts together are no return' }]
        : await this.#items(minion, { spool, items: [item], acks: [] })
    await store.jobs.dropParts(minion.user, spool, n)
    return { refused }
  }

  /** In order: the returns of a row may overtake each other, but no event a return or the other way round. */
  async #items(minion: Caller, { spool, items }: Up): Promise<UpAnswer['refused']> {
    const causes = await this.#causes(items)
    const refused: UpAnswer['refused'][number][] = []
    for (const row of rowsOfAKind(items)) {
      const work = row.map(item => (item.kind === 'event' ? this.#fire(minion, spool, item, causes) : this.#record(minion, item)))
      const outcomes = await Promise.allSettled(work)
      for (const [i, outcome] of outcomes.entries()) {
        if (outcome.status === 'rejected') refused.push(refusal(row[i]!.n, outcome.reason))
      }
    }
    return refused
  }

  async #fire(minion: Caller, spool: string, item: UpEvent, causes: ReadonlyMap<string, Cause>): Promise<void> {
    const { tag, n } = item
    if (tag === LEGACY_MINION_START && !this.#o.config.enable_legacy_startup_events) return
    if (!minion.may({ kind: 'fire', tag })) throw brineError('NOT_PERMITTED', minion.user, `fire events with the tag '${tag.slice(0, 80)}'`)
    const from = { source: minion.source, cause: causes.get(item.jid ?? '') ?? null }
    const data = beaconData(minion.user, item) ?? envelope(minion.user, item)
    await this.#o.events.fire(tag, data, from, { idempotencyKey: `minion:${minion.user}:${spool}:${n}` })
  }

  async #record(minion: Caller, item: UpReturn): Promise<void> {
    await this.#o.returns().recordReturn(minion.user, item.return)
  }

  async #causes(items: readonly UpItem[]): Promise<Map<string, Cause>> {
    const causes = new Map<string, Cause>()
    for (const jid of new Set(items.flatMap(item => (item.kind === 'event' && item.jid !== undefined ? [item.jid] : [])))) {
      const cause = await this.#o.returns().causeOf(jid)
      if (cause) causes.set(jid, cause)
    }
    return causes
  }
}

function returnIn(text: string, n: number): UpReturn | null {
  try {
    const item = JSON.parse(text) as UpReturn | null
    const isReturn = item?.kind === 'return' && item.n === n && typeof item.return === 'object' && item.return !== null
    return isReturn ? item : null
  } catch {
    return null
  }
}

function boundedGrains(grains: Readonly<Record<string, unknown>>): Record<string, unknown> {
  if (JSON.stringify(grains).length > MAX_GRAINS) throw brineError('FIELD_INVALID', 'grains', `must not be larger than ${MAX_GRAINS} bytes`)
  return grains
}

/** What a beacon tells stands in its event as it is; the tag says whose it is. Null: it is no beacon's. */
function beaconData(id: string, { tag, data, flat }: UpEvent): EventData | null {
  const isMapping = typeof data === 'object' && data !== null && !Array.isArray(data)
  return flat === true && isMapping && tag.startsWith(`salt/beacon/${id}/`) ? { ...data } : null
}

/** Salt's envelope of an event from a minion, in the order in which Salt prints it (golden/README section 1). */
function envelope(id: string, { tag, data, preload }: UpEvent): EventData {
  if (preload === undefined) return { id, cmd: '_minion_event', pretag: null, data, tag }
  const more = Object.entries(preload).filter(([name]) => !ENVELOPE.has(name))
  return { id, tag, data, cmd: '_minion_event', ...Object.fromEntries(more) }
}

function* rowsOfAKind(items: readonly UpItem[]): Generator<readonly UpItem[]> {
  let row: UpItem[] = []
  for (const item of items) {
    if (row.length > 0 && row[0]!.kind !== item.kind) {
      yield row
      row = []
    }
    row.push(item)
  }
  if (row.length > 0) yield row
}

/** What will never be taken is refused, so that it does not stand in the way of the rest; anything that may pass is thrown, so that it is repeated. */
function refusal(n: number, error: unknown): UpAnswer['refused'][number] {
  if (!isBrineError(error) || !isFinal(error)) throw error
  return { n, code: error.code, error: error.message }
}

function isFinal({ status }: BrineError): boolean {
  return status >= 400 && status < 500 && status !== 401 && status !== 429
}

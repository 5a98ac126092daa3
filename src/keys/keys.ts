/**
 * The keys of the minions: who may speak as which id.
 *
 * An id has one key in use (pending, accepted or rejected) and at most one denied beside it: somebody came with another key. Each move is
 * committed together with its event, then known here, then told to listeners.
 */
import { BrineError, brineError } from '../errors.js'
import type { EventData, NewEvent } from '../events/event.js'
import type { EventLog } from '../events/log.js'
import type { Clock } from '../shared/clock.js'
import { fingerprint } from '../shared/fingerprint.js'
import { setOwn } from '../shared/yaml.js'
import type { EventStore, KeyRecord, KeyState, KeyStore } from '../store/store.js'
import { compileGlob } from '../tags/glob.js'
import { AUTH, KEY, minionRefresh } from '../tags/tags.js'
import { Admission, type AdmissionOptions, type Credentials, type Verdict } from './admission.js'
import { type Enrolments, enrolmentId } from './enrolment.js'
import { checkMinionId } from './id.js'
import { normalPem } from './pem.js'

/**
 * The moves that people make, and from which states.
 *
 * - pending: seen, waits for a decision. It gets no jobs and may not speak.
 * - accepted: a minion. Its data (grains, deliveries) live as long as its key.
 * - rejected: refused for now; stays known so that the decision stands.
 * - denied: another key for an id that is taken. Accepting it replaces the key in use, and the old one's data go.
 */
const MOVES = {
  accept: { to: 'accepted', from: ['pending', 'rejected', 'denied'] },
  reject: { to: 'rejected', from: ['pending', 'accepted', 'denied'] },
  delete: { to: null, from: ['pending', 'accepted', 'rejected', 'denied'] }
} as const satisfies Record<string, { to: KeyState | null; from: readonly KeyState[] }>

export type KeyMove = keyof typeof MOVES

/** Salt's names for the states, as `key.list_all` has them. */
export const DIRECTORIES = {
  accepted: 'minions',
  pending: 'minions_pre',
  rejected: 'minions_rejected',
  denied: 'minions_denied'
} as const satisfies Record<KeyState, string>
export type Directory = (typeof DIRECTORIES)[KeyState]

/** Pending and denied keys that are kept at most: anybody can bring one. More than a large fleet has at its first start. */
const MAX_UNPROVEN = 20_000
/** Ids with a key at most: with auto_accept anybody can make one, and each takes memory and disk. Ten times the fleet that a server can hold. */
const MAX_IDS = 100_000
/**
 * Contacts of keys that are not accepted: anybody can make them, and each is an event on disk. So many at once (a fleet that is set up), and so
 * many per second in the long run; whoever comes beyond that is told to come back, and does.
 */
const UNPROVEN = { burst: 1000, perSecond: 100 }
/** Moves that are written at a time: as many as a commit gathers with profit, far from what the store refuses. */
const MOVES_AT_ONCE = 200

/** Salt's `salt/auth` event about a key in each state, with Salt's order of fields (golden/events/auth_*.jsonl). A rejected key has no `act`. */
const AUTH_EVENTS = {
  accepted: (id, pub) => ({ result: true, act: 'accept', id, pub }),
  pending: (id, pub) => ({ result: true, act: 'pend', id, pub }),
  denied: (id, pub) => ({ result: false, id, act: 'denied', pub }),
  rejected: (id, pub) => ({ result: false, id, pub })
} as const satisfies Record<KeyState, (id: string, pub: string) => EventData>

/** What `autoreject_file` does is told with its act (Salt's `_auth`); that the key is rejected from then on is told without. */
const AUTO_REJECTED = (id: string, pub: string): EventData => ({ result: false, act: 'reject', id, pub })

export interface KeysOptions {
  readonly store: { readonly keys: KeyStore; readonly events: Pick<EventStore, 'append'> }
  readonly events: Pick<EventLog, 'prepare'>
  readonly clock: Clock
  readonly config: AdmissionOptions['config']
  readonly log: AdmissionOptions['log'] & { info(fields: object, text: string): void; error(fields: object, text: string): void }
}

/** How a minion makes contact. `proved`: it has signed a challenge with the key; only then it can be let in. */
export interface Contact extends Credentials {
  readonly proved?: boolean
}

interface Entry {
  current: KeyRecord | null
  denied: KeyRecord | null
}

export type KeyListener = (id: string, state: KeyState | null) => void

export class Keys {
  readonly #o: KeysOptions
  readonly #admission: Admission
  readonly #entries = new Map<string, Entry>()
  readonly #grains = new Map<string, Record<string, unknown>>()
  readonly #listeners = new Set<KeyListener>()
  /** Every job asks for them; made anew after a change. */
  #accepted: readonly string[] | null = null
  /** Ids whose key is being changed, with what must come first: moves of one id never overlap. */
  readonly #turns = new Map<string, Promise<unknown>>()
  #unproven: { left: number; atUs: number }

  constructor(options: KeysOptions) {
    this.#o = options
    this.#admission = new Admission(options)
    this.#unproven = { left: UNPROVEN.burst, atUs: options.clock.nowUs() }
  }

  /** Reads what is stored. Before it has resolved, no id is known. */
  async start(): Promise<void> {
    this.#entries.clear()
    this.#grains.clear()
    this.#accepted = null
    const { keys } = this.#o.store
    for (const record of await keys.all()) this.#note(record)
    for (const { id, grains } of await keys.facts()) this.#grains.set(id, grains)
  }

  // ── asking ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  isAccepted(id: string): boolean {
    return this.#entries.get(id)?.current?.state === 'accepted'
  }

  /** Ids with an accepted key, sorted. One list for all who ask: not to be changed. */
  accepted(): readonly string[] {
    this.#accepted ??= this.#idsIn('accepted')
    return this.#accepted
  }

  /** The id's key in use (not the denied one); null when there is none. */
  get(id: string): KeyRecord | null {
    return this.#entries.get(id)?.current ?? null
  }

  /** Ids by state, under Salt's names, sorted. */
  list(): Record<Directory, string[]> {
    return {
      minions: this.#idsIn('accepted'),
      minions_pre: this.#idsIn('pending'),
      minions_rejected: this.#idsIn('rejected'),
      minions_denied: this.#idsIn('denied')
    }
  }

  /** Fingerprints of the matching keys by Salt's name of their state; states without one are left out. */
  finger(match: string | readonly string[], hashType = 'sha256'): Partial<Record<Directory, Record<string, string>>> {
    const found: Partial<Record<Directory, Record<string, string>>> = {}
    for (const record of this.#matching(match)) {
      const directory = DIRECTORIES[record.state]
      // One mapping, filled: a fleet is too long to copy for each of its minions.
      const prints = found[directory] ?? {}
      found[directory] = prints
      setOwn(prints, record.id, fingerprint(record.pub, hashType))
    }
    return found
  }

  /** The state of this key (as `normalPem` writes it) for this id, without telling anybody: `unknown` when the id was never here. */
  stateOf(id: string, pub: string): KeyState | 'unknown' {
    const current = this.get(id)
    if (current === null) return 'unknown'
    return current.state === 'rejected' || current.pub === pub ? current.state : 'denied'
  }

  /** Whether whoever proves this key may speak as this id: it is accepted, or will be at once. */
  async expects(id: string, pub: string, credentials: Credentials = {}): Promise<boolean> {
    const state = this.stateOf(id, pub)
    if (!isOpen(state)) return state === 'accepted'
    return (await this.#admission.verdict(id, credentials)).act === 'accept'
  }

  /** The one-time tokens for new minions. */
  get enrolments(): Enrolments {
    return this.#admission.enrolments
  }

  /** Cached grains of the accepted minions. */
  *facts(): Iterable<{ id: string; grains: Record<string, unknown> }> {
    for (const [id, grains] of this.#grains) if (this.isAccepted(id)) yield { id, grains }
  }

  /** Cached grains of one minion; undefined when it has sent none. */
  grainsOf(id: string): Record<string, unknown> | undefined {
    return this.#grains.get(id)
  }

  hasFacts(id: string): boolean {
    return this.#grains.has(id)
  }

  // ── changing ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * A minion authenticates: Salt's `_auth` (golden/wire section 5), with its `salt/auth` event. A key that is unknown, or waits, is accepted or
   * rejected when `Admission` says so, else it waits. The caller has checked that an accepted key is the minion's own.
   * @param pub PEM
   * @throws MINION_ID_INVALID, KEY_INVALID; TOO_MANY when too many keys are pending, or known; RATE_LIMITED
   */
  async contact(id: string, pub: string, { proved = true, ...credentials }: Contact = {}): Promise<KeyState> {
    const pem = checkIdentity(id, pub)
    return this.#inTurn(id, async () => {
      const state = this.stateOf(id, pem)
      const verdict: Verdict = isOpen(state) ? await this.#admission.verdict(id, credentials) : { act: 'pend' }
      if (verdict.act === 'accept' && proved && (await this.#admit(id, pem, verdict.enrolment))) return 'accepted'
      if (state !== 'accepted') this.#countUnproven()
      if (verdict.act === 'reject') return this.#autoReject(id, pem)
      if (state === 'unknown') return this.#welcome(id, pem)
      const event = this.#event(AUTH, AUTH_EVENTS[state](id, pem))
      if (state === 'denied') await this.#deny(id, pem, event)
      else await this.#o.store.events.append([event])
      return state
    })
  }

  /** Accepts the keys that match (glob, several separated by commas, or a list of those). Returns the ids that moved, each with a `salt/key` event. */
  accept(match: string | readonly string[], from: readonly KeyState[] = MOVES.accept.from): Promise<string[]> {
    return this.#moveAll('accept', match, from)
  }

  /** Rejects the keys that match; what they hold open ends at once. */
  reject(match: string | readonly string[], from: readonly KeyState[] = MOVES.reject.from): Promise<string[]> {
    return this.#moveAll('reject', match, from)
  }

  /** Forgets the keys that match, with the minions' data. Whoever comes back is new. */
  delete(match: string | readonly string[], from: readonly KeyState[] = MOVES.delete.from): Promise<string[]> {
    return this.#moveAll('delete', match, from)
  }

  /**
   * Makes exactly this key the accepted one of the id, without an event (as Salt's `key.gen_accept`): for keys that the server knows before
   * their minion comes. A key that is known already stays as it is, also when it was rejected. Returns its state.
   */
  async vouch(id: string, pub: string): Promise<KeyState> {
    const pem = checkIdentity(id, pub)
    return this.#inTurn(id, async () => {
      const known = this.get(id)
      if (known?.pub === pem && known.state !== 'pending') return known.state
      if (known !== null && known.pub !== pem) await this.#forget(id, [])
      await this.#put({ id, state: 'accepted', pub: pem, changedUs: this.#o.clock.nowUs() }, [])
      return 'accepted'
    })
  }

  /** Keeps the grains that an accepted minion sent, with the event `minion/refresh/<id>`. */
  async putFacts(id: string, grains: Record<string, unknown>): Promise<void> {
    await this.#inTurn(id, async () => {
      if (!this.isAccepted(id)) throw brineError('KEY_NOT_ACCEPTED', id, id)
      const event = this.#event(minionRefresh(id), { 'Minion data cache refresh': id })
      await this.#o.store.keys.putFacts({ id, grains, seenUs: this.#o.clock.nowUs() }, [event])
      this.#grains.set(id, grains)
    })
  }

  /** Called after each change with the id and the state of its key in use, null when there is none any more. Returns its undo. */
  onChange(listener: KeyListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  // ── inside ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #welcome(id: string, pub: string): Promise<KeyState> {
    if (this.#unprovenKeys() >= MAX_UNPROVEN) throw new BrineError('TOO_MANY', ['keys wait for a decision'], { retryAfter: 60 })
    await this.#put({ id, state: 'pending', pub, changedUs: this.#o.clock.nowUs() }, [this.#event(AUTH, AUTH_EVENTS.pending(id, pub))])
    return 'pending'
  }

  /** Accepts a key that has been proved, and uses up its enrolment token in the same transaction; false when somebody else was quicker with that. */
  async #admit(id: string, pub: string, enrolment?: string): Promise<boolean> {
    if (!this.#entries.has(id)) this.#checkRoom()
    const nowUs = this.#o.clock.nowUs()
    const record: KeyRecord = { id, state: 'accepted', pub, changedUs: nowUs }
    const events = [this.#event(AUTH, AUTH_EVENTS.accepted(id, pub))]
    if (enrolment === undefined) await this.#put(record, events)
    else {
      if ((await this.#o.store.keys.admit(record, enrolment, nowUs, events)) === 'spent') return false
      this.#note(record)
      this.#tell(id)
      this.#o.log.info({ id, enrolment: enrolmentId(enrolment) }, 'a key was accepted by an enrolment token')
    }
    return true
  }

  async #autoReject(id: string, pub: string): Promise<KeyState> {
    if (!this.#entries.has(id)) this.#checkRoom()
    await this.#put({ id, state: 'rejected', pub, changedUs: this.#o.clock.nowUs() }, [this.#event(AUTH, AUTO_REJECTED(id, pub))])
    return 'rejected'
  }

  #checkRoom(): void {
    if (this.#entries.size >= MAX_IDS) throw new BrineError('TOO_MANY', ['minion keys are known'], { retryAfter: 60 })
  }

  /** The first denied key stays: a stranger must not be able to push out the one that people are about to look at. */
  async #deny(id: string, pub: string, event: NewEvent): Promise<void> {
    if (this.#entries.get(id)?.denied) await this.#o.store.events.append([event])
    else await this.#put({ id, state: 'denied', pub, changedUs: this.#o.clock.nowUs() }, [event])
  }

  async #moveAll(move: KeyMove, match: string | readonly string[], from: readonly KeyState[]): Promise<string[]> {
    const ids = this.#idsMatching(match)
    const moved: string[] = []
    for (let i = 0; i < ids.length; i += MOVES_AT_ONCE) {
      const some = ids.slice(i, i + MOVES_AT_ONCE)
      const done = await Promise.all(some.map(id => this.#inTurn(id, () => this.#move(move, id, from))))
      moved.push(...some.filter((_, k) => done[k]))
    }
    return moved
  }

  /** One move of one id; false when none of its keys is where the move starts. The key in use goes before the denied one. */
  async #move(move: KeyMove, id: string, from: readonly KeyState[]): Promise<boolean> {
    const entry = this.#entries.get(id)
    const legal: readonly KeyState[] = MOVES[move].from
    const record = [entry?.current, entry?.denied].find(each => each && from.includes(each.state) && legal.includes(each.state))
    if (!record) return false
    const event = this.#event(KEY, { result: true, act: move, id })
    if (move === 'delete') await (record.state === 'denied' ? this.#dropDenied(id, event) : this.#forget(id, [event]))
    else {
      // Another key is another identity: nothing of the old one's is left for it.
      if (record.state === 'denied') await this.#forget(id, [])
      await this.#put({ ...record, state: MOVES[move].to, changedUs: this.#o.clock.nowUs() }, [event])
    }
    return true
  }

  async #dropDenied(id: string, event: NewEvent): Promise<void> {
    await this.#o.store.keys.remove(id, ['denied'], [event])
    const entry = this.#entries.get(id)
    if (entry) entry.denied = null
    if (entry?.current === null) this.#entries.delete(id)
    this.#tell(id)
  }

  /** All keys of the id go, and with them its facts and deliveries. */
  async #forget(id: string, events: readonly NewEvent[]): Promise<void> {
    await this.#o.store.keys.remove(id, ['pending', 'accepted', 'rejected', 'denied'], events)
    this.#entries.delete(id)
    this.#grains.delete(id)
    this.#tell(id)
  }

  async #put(record: KeyRecord, events: readonly NewEvent[]): Promise<void> {
    await this.#o.store.keys.put(record, events)
    this.#note(record)
    this.#tell(record.id)
  }

  #note(record: KeyRecord): void {
    const entry = this.#entries.get(record.id) ?? { current: null, denied: null }
    this.#entries.set(record.id, entry)
    if (record.state === 'denied') entry.denied = record
    else entry.current = record
  }

  #tell(id: string): void {
    this.#accepted = null
    const state = this.get(id)?.state ?? null
    for (const listener of this.#listeners) {
      try {
        listener(id, state)
      } catch (error) {
        this.#o.log.error({ err: error, id }, 'a listener for key changes failed')
      }
    }
  }

  /** Runs `work` when all earlier work on this id is done. */
  async #inTurn<T>(id: string, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(id)
    const mine = before ? before.then(work, work) : work()
    this.#turns.set(id, mine)
    try {
      return await mine
    } finally {
      if (this.#turns.get(id) === mine) this.#turns.delete(id)
    }
  }

  #event(tag: string, data: EventData): NewEvent {
    return this.#o.events.prepare(tag, data, { source: 'server' })
  }

  #countUnproven(): void {
    const nowUs = this.#o.clock.nowUs()
    const { left, atUs } = this.#unproven
    const refilled = Math.min(UNPROVEN.burst, left + ((nowUs - atUs) / 1_000_000) * UNPROVEN.perSecond)
    if (refilled < 1) throw new BrineError('RATE_LIMITED', ['10'], { retryAfter: 10 })
    this.#unproven = { left: refilled - 1, atUs: nowUs }
  }

  #unprovenKeys(): number {
    let count = 0
    for (const { current, denied } of this.#entries.values()) if (current?.state === 'pending' || denied) count++
    return count
  }

  /** Sorted by id, the key in use before the denied one. */
  #matching(match: string | readonly string[]): KeyRecord[] {
    const matches = compileMatch(match)
    return this.#records().filter(record => matches(record.id))
  }

  /** Also those that are being written this moment: whoever reacts to their event may be quicker than the writer. */
  #idsMatching(match: string | readonly string[]): string[] {
    return [...new Set([...this.#entries.keys(), ...this.#turns.keys()])].filter(compileMatch(match)).sort()
  }

  #idsIn(state: KeyState): string[] {
    return this.#records()
      .filter(record => record.state === state)
      .map(record => record.id)
  }

  #records(): KeyRecord[] {
    const records = [...this.#entries.values()].flatMap(({ current, denied }) => [current, denied].filter(each => each !== null))
    return records.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
  }
}

/** Nobody has decided about it yet. */
function isOpen(state: KeyState | 'unknown'): boolean {
  return state === 'unknown' || state === 'pending'
}

/** Globs: one, several separated by commas, or a list of those. */
function compileMatch(match: string | readonly string[]): (id: string) => boolean {
  const patterns = (typeof match === 'string' ? [match] : match).flatMap(each => each.split(',')).map(each => each.trim())
  const tests = patterns.filter(each => each !== '').map(compileGlob)
  return id => tests.some(matches => matches(id))
}

/** The key as it is kept. Throws MINION_ID_INVALID, KEY_INVALID. */
export function checkIdentity(id: string, pub: string): string {
  const reason = checkMinionId(id)
  if (reason !== null) throw brineError('MINION_ID_INVALID', JSON.stringify(id.slice(0, 100)), reason)
  const pem = normalPem(pub)
  if (pem === null) throw brineError('KEY_INVALID', id)
  return pem
}

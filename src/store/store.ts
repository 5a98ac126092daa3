/**
 * What brine keeps, as six narrow promises. Engines live in their own folders (`sqlite/`, later `postgres/`) and pass the same contract
 * tests (`test/contracts`). Nothing here assumes one process or one machine.
 *
 * Rules for every method that writes:
 * - it resolves once a crash of the machine cannot lose what it wrote (committed and synced), and not before;
 * - the events handed to it are appended in the same transaction as what they imply, so neither is ever seen without the other;
 * - `BrineError` STORE_BUSY (503) when too much waits already, STORE_FULL (503) when the disk is full; then nothing was written.
 */
import type { NewEvent, Seq, StoredEvent } from '../events/event.js'
import type { WireFormat } from '../events/wire.js'
import type { RuleOptions } from '../reactor/options.js'

export interface Store {
  readonly events: EventStore
  readonly jobs: JobStore
  readonly keys: KeyStore
  readonly tokens: TokenStore
  readonly mine: MineStore
  readonly reactions: ReactionStore
  readonly rules: RuleStore
  /** Where the data lies, for people: `data/brine.db`. */
  readonly location: string
  /** Figures for /metrics and /readyz. */
  stats(): StoreStats
  /** Waits for what was accepted, then closes. May be called twice. */
  close(): Promise<void>
}

export interface StoreStats {
  /** Operations accepted and not yet committed. */
  readonly waiting: number
  readonly commits: number
  readonly committedEvents: number
  /** Set while the engine refuses writes (disk full, writer gone). */
  readonly failing: string | null
}

// ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Which tags a reader sees. Patterns are Salt's globs (`src/tags/glob.ts`). No `include` means every tag. */
export interface TagFilter {
  readonly include?: readonly string[]
  readonly exclude?: readonly string[]
  /** A second set that must match too: what the reader's permissions allow. */
  readonly allowed?: readonly string[]
}

export interface EventQuery {
  /** Excluded. 0 reads from the beginning (of what is kept). */
  readonly after: Seq
  /** Included. */
  readonly upTo: Seq
  readonly filter?: TagFilter
  /** Stamp bounds in microseconds since 1970 UTC, both included. */
  readonly fromUs?: number
  readonly untilUs?: number
  /** `forward` (the default): oldest first; `backward`: newest first. */
  readonly direction?: 'forward' | 'backward'
  /** Stop after so many matching events. */
  readonly limit?: number
}

/** Some matching events in a row, encoded as they go to the client. */
export interface EncodedPage {
  /** `encodeEvent` of each event, one after the other. */
  readonly bytes: Uint8Array
  readonly count: number
  /** Byte offset at which each event ends, `count` long; the last one is `bytes.length`. */
  readonly ends: Uint32Array
  /** Seq of each event, `count` long. */
  readonly seqs: Float64Array
  /** Everything up to here (in reading direction) was looked at: where the next page starts. */
  readonly scannedTo: Seq
}

export interface Appended {
  /** `duplicate`: the idempotency key had been used; `seqs` are those of the first time and nothing was written. */
  readonly status: 'appended' | 'duplicate'
  readonly seqs: readonly Seq[]
}

export interface EventStore {
  /** Names this log: another value means another log. 8 hex digits. */
  readonly epoch: string
  /** Appends all, in this order and with no other writer's event between them, or none. */
  append(events: readonly NewEvent[], options?: { idempotencyKey?: string }): Promise<Appended>
  get(seq: Seq): Promise<StoredEvent | null>
  /** Events whose cause is this one, oldest first, `limit` at most. */
  causedBy(seq: Seq, limit: number): Promise<readonly StoredEvent[]>
  /** Seq of the newest committed event, 0 when there is none. Never goes back, also when events are trimmed. */
  head(): Promise<Seq>
  /** Seq of the oldest event still kept; head + 1 when there is none. */
  oldest(): Promise<Seq>
  /** Newest event with a stamp before `us`: "since <time>" starts after it. 0 when there is none. */
  seqBefore(us: number): Promise<Seq>
  /**
   * Matching events in the query's direction, in pages of bounded size, none of them empty. The consumer's pace is the reader's pace.
   * Throws EVENTS_GONE when retention overtakes a forward reader between two pages: it must not take the hole for silence.
   */
  read(query: EventQuery): AsyncIterable<readonly StoredEvent[]>
  /** The same, encoded off the API's thread: for replay of long histories. */
  readEncoded(query: EventQuery, format: WireFormat): AsyncIterable<EncodedPage>
  /** Calls `deliver` with each committed batch, in order, none left out, from any node, before the writer's promise resolves. Returns its undo. */
  watch(deliver: (events: readonly StoredEvent[]) => void): () => void
  /** Drops up to `limit` of the oldest events that are older than `beforeUs` or in excess of `keep`. Returns how many were dropped. */
  trim(what: { beforeUs?: number; keep?: number; limit: number }): Promise<number>
  /** Forgets up to `limit` idempotency keys that were used before `beforeUs`. Returns how many. */
  trimIdempotencyKeys(beforeUs: number, limit: number): Promise<number>
  count(): Promise<number>
}

// ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * The states of a job. The store makes the moves, in the transaction that causes them: running → complete, running → expired → complete.
 *
 * - running: published; some of its minions have not returned and its deadline has not passed
 * - complete: every expected minion has returned
 * - expired: the deadline passed first. Nobody waits any more; a return that still comes is recorded and may complete the job.
 */
export type JobState = 'running' | 'complete' | 'expired'

export interface NewJob {
  readonly jid: string
  readonly fun: string | readonly string[]
  /** Positional arguments; keyword arguments are the last item, marked `__kwarg__: true`, as Salt has them. */
  readonly arg: readonly unknown[]
  readonly tgt: unknown
  readonly tgtType: string
  readonly user: string
  /** Who is expected to return. */
  readonly minions: readonly string[]
  /** Ids named in a list that have no accepted key. */
  readonly missing: readonly string[]
  readonly metadata?: unknown
  readonly ret?: string
  /** When waiting for returns ends; microseconds since 1970 UTC. A return that comes later is still recorded. */
  readonly deadlineUs: number
  readonly publishedUs: number
  readonly cause: { readonly seq: Seq; readonly depth: number } | null
  /** The reaction that publishes this job: marked dispatched in the same transaction. */
  readonly reactionId?: number
}

export interface JobRecord extends Omit<NewJob, 'reactionId'> {
  readonly state: JobState
  readonly returned: number
}

export interface NewReturn {
  readonly jid: string
  readonly minion: string
  readonly fun: string | readonly string[]
  readonly funArgs: readonly unknown[]
  readonly return: unknown
  readonly retcode: number
  readonly success: boolean
  readonly out?: string
  readonly stampUs: number
}
export type ReturnRecord = NewReturn

export interface JobQuery {
  /** Jobs with a smaller jid: where the next page starts. */
  readonly before?: string
  readonly limit: number
  /** Salt globs. */
  readonly fun?: readonly string[]
  readonly tgt?: readonly string[]
  /** Bounds of the time that the job's id names, both included; microseconds since 1970 UTC. */
  readonly fromUs?: number
  readonly untilUs?: number
  readonly state?: JobState
  /** For listings: `minions` and `missing` are left empty, which makes a long list cheap whatever the jobs' targets. */
  readonly bare?: boolean
}

/** A job on its way to one minion. */
export interface Delivery {
  readonly jid: string
  readonly minion: string
  readonly fun: string | readonly string[]
  readonly arg: readonly unknown[]
  readonly tgt: unknown
  readonly tgtType: string
  readonly user: string
  readonly ret: string
  readonly metadata?: unknown
  readonly deadlineUs: number
}

/** A part of a return that is too long for one request. */
export interface ReturnPart {
  readonly minion: string
  readonly spool: string
  readonly n: number
  /** Characters before it. */
  readonly at: number
  readonly text: string
  readonly stampUs: number
}

/** `have`: so many characters are there from the beginning on, without a hole. `full`: there is no room for it, and nothing was written. */
export type PartAdded = { readonly have: number } | 'full'

export interface JobStore {
  /** Writes job, its deliveries (one per expected minion) and events. `exists`: this jid is taken; nothing was written. */
  publish(job: NewJob, events: readonly NewEvent[]): Promise<'published' | 'exists'>
  /**
   * Records a minion's return once. `duplicate`: this minion's return for this jid is known, nothing was written. A jid without a job
   * (scheduled, salt-call) gets a job record from the return. The last expected return makes the job complete.
   */
  recordReturn(ret: NewReturn, events: readonly NewEvent[]): Promise<'recorded' | 'duplicate'>
  get(jid: string): Promise<JobRecord | null>
  returns(jid: string): Promise<readonly ReturnRecord[]>
  /** Newest first. */
  list(query: JobQuery): Promise<readonly JobRecord[]>
  /** Deliveries that the minion has not acknowledged and whose job has not passed its deadline, oldest first, `limit` at most. */
  pending(minion: string, nowUs: number, limit: number): Promise<readonly Delivery[]>
  /** The minion has these jobs on its disk: they are not sent again. */
  acknowledge(minion: string, jids: readonly string[]): Promise<void>
  /** Moves running jobs past their deadline to expired; returns their jids, `limit` at most. */
  expire(nowUs: number, limit: number): Promise<readonly string[]>
  /** Deletes up to `limit` jobs, with their returns, published before `beforeUs`. */
  trim(beforeUs: number, limit: number): Promise<number>
  /**
   * Keeps a part, also when it comes again. Of a minion there are those of one return: the others go, and parts of all minions older than
   * `beforeUs`. `chars`: how many there may be of all minions together.
   */
  addPart(part: ReturnPart, limits: { readonly chars: number; readonly beforeUs: number }): Promise<PartAdded>
  /** The parts of one return, joined. */
  parts(minion: string, spool: string, n: number): Promise<string>
  dropParts(minion: string, spool: string, n: number): Promise<void>
}

// ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** `denied` stands beside an accepted, pending or rejected key of the same id: somebody came with another key. */
export type KeyState = 'pending' | 'accepted' | 'rejected' | 'denied'

export interface KeyRecord {
  readonly id: string
  readonly state: KeyState
  /** PEM, SubjectPublicKeyInfo. */
  readonly pub: string
  readonly changedUs: number
}

export interface MinionFacts {
  readonly id: string
  readonly grains: Record<string, unknown>
  readonly seenUs: number
}

/** A one-time token for a new minion. The token itself is never stored. */
export interface EnrolmentRecord {
  /** SHA-256 of the token, hex. */
  readonly hash: string
  /** Globs of the ids that it is for, separated by commas. */
  readonly tgt: string
  readonly label: string
  readonly createdBy: string
  readonly createdUs: number
  readonly expiresUs: number
  readonly usedUs: number | null
  /** The id that it let in. */
  readonly usedBy: string | null
}

export interface KeyStore {
  all(): Promise<readonly KeyRecord[]>
  /** Writes the key in its new state (an id has one denied key and one in another state at most) and appends the events. */
  put(key: KeyRecord, events: readonly NewEvent[]): Promise<void>
  /** Removes the id's keys in these states; when none is left its facts and deliveries go too. */
  remove(id: string, states: readonly KeyState[], events: readonly NewEvent[]): Promise<void>
  facts(): Promise<readonly MinionFacts[]>
  putFacts(facts: MinionFacts, events: readonly NewEvent[]): Promise<void>
  /** As `put`, and uses up the enrolment in the same transaction. `spent`: it was used, or is gone, or has expired; nothing was written. */
  admit(key: KeyRecord, hash: string, nowUs: number, events: readonly NewEvent[]): Promise<'stored' | 'spent'>
  /** Drops those that have expired when this one is made; `full`: so many are left that are not used, and nothing was written. */
  addEnrolment(enrolment: EnrolmentRecord, limit: number): Promise<'stored' | 'full'>
  enrolment(hash: string): Promise<EnrolmentRecord | null>
  /** Those that have not expired, newest first. */
  enrolments(nowUs: number): Promise<readonly EnrolmentRecord[]>
  /** False: there is none. */
  removeEnrolment(hash: string): Promise<boolean>
}

// ── the mine ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface MineEntry {
  readonly id: string
  readonly fun: string
  /** JSON-like. */
  readonly value: unknown
}

/** Of one id: entries, and bytes of their values as JSON. */
export interface MineLimits {
  readonly functions: number
  readonly bytes: number
}

/** What minions have put into the mine. An id's entries go with its last key. */
export interface MineStore {
  /** Writes an id's entries, function → value; `instead`: of all that it had. Throws FIELD_INVALID, and writes nothing, when the id would have more than the limits. */
  put(id: string, entries: ReadonlyMap<string, unknown>, instead: boolean, limits: MineLimits): Promise<void>
  /** Removes one entry, or (null) all of an id. */
  remove(id: string, fun: string | null): Promise<void>
  /** By function. */
  ofMinion(id: string): Promise<readonly MineEntry[]>
  /** By id. */
  ofFunction(fun: string): Promise<readonly MineEntry[]>
}

// ── tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface TokenRecord {
  /** The JWT's `jti`. The token itself is never stored. */
  readonly jti: string
  readonly user: string
  readonly eauth: string
  readonly issuedUs: number
  readonly expiresUs: number
  readonly revokedUs: number | null
  /** What it is for, for people: `login`, `admin`, `cli`. */
  readonly label: string
  /** The user's groups as they were at the login, where nobody can be asked for them later. */
  readonly groups?: readonly string[]
}

export interface TokenStore {
  put(token: Omit<TokenRecord, 'revokedUs'>): Promise<void>
  /** Durable at once. `unknown`: no such token. */
  revoke(jti: string, nowUs: number): Promise<'revoked' | 'unknown'>
  /** Tokens that have not expired, newest first; the revoked ones are among them. */
  live(nowUs: number): Promise<readonly TokenRecord[]>
  trim(nowUs: number): Promise<number>
  /** A secret that the server made for itself (JWT key and the like) is not kept here but in a 0600 file beside the log. */
}

// ── reactions ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** One SLS file to be rendered for one event because of one rule. Unique by (event, rule, version, sls): planned exactly once. */
export interface NewPlan {
  readonly event: Seq
  readonly rule: string
  readonly version: number
  readonly sls: string
  /** Place among the event's plans: rule order, then order of files. */
  readonly position: number
  /** It waits, and is not worked on until it is released. */
  readonly held?: Held | null
  /** A guard has stopped it: it is a dead letter from the beginning, with `error`. */
  readonly blocked?: Blocked | null
  /** Set where it is a dead letter from the beginning: why. */
  readonly error?: string | null
  /** It reacts to a window of events: the first one, which names the window; `event` is the last one. */
  readonly gathered?: Seq | null
  /** The line in which it stands: of its rule's events with this key so many are worked on at a time, reactions included. */
  readonly slot?: { readonly key: string; readonly limit: number } | null
}

/** Why a plan waits: its rule is paused, or not active now, or others of its key come first. */
export type Held = 'paused' | 'inactive' | 'concurrency'
/** The guard that stopped a plan. */
export type Blocked = 'depth' | 'rate_limit' | 'breaker' | 'quarantine'

/** Events that a rule gathers under a key. */
export interface WindowRecord {
  readonly rule: string
  readonly key: string
  /** The event that opened it; names the window. */
  readonly first: Seq
  readonly dueUs: number
  /** JSON-like; the reactor's. */
  readonly body: unknown
}

/** What is kept of a rule's guards; rule '' is the reactor itself. */
export interface RuleState {
  readonly rule: string
  readonly paused: boolean
  /** JSON-like; the reactor's. */
  readonly body: unknown
}

/** Something that a rule asked for and that failed: when, and why. */
export interface RuleFailure {
  readonly rule: string
  readonly us: number
  readonly error: string
}

/** What changes together with the plans of some events. */
export interface PlanChanges {
  readonly windows?: readonly WindowRecord[]
  /** Windows that are closed. */
  readonly closed?: readonly { readonly rule: string; readonly key: string }[]
  /** Events that join a window. */
  readonly gathered?: readonly { readonly rule: string; readonly first: Seq; readonly event: Seq }[]
  /** Events of a window that nobody needs any more: those before this one. */
  readonly forgotten?: readonly { readonly rule: string; readonly first: Seq; readonly before: Seq }[]
  readonly states?: readonly RuleState[]
  readonly events?: readonly NewEvent[]
}

/** planned → rendered (its reactions exist) | failed (will be tried again at `retryUs`) | dead (a dead letter, until it is driven again). */
export type PlanState = 'planned' | 'rendered' | 'failed' | 'dead'

export interface PlanRecord extends Omit<NewPlan, 'slot'> {
  readonly id: number
  readonly state: PlanState
  readonly held: Held | null
  readonly blocked: Blocked | null
  /** Driven again by hand: the guards let it pass. */
  readonly forced: boolean
  readonly gathered: Seq | null
  readonly error: string | null
  readonly attempts: number
  /** When it last moved; 0 before it was worked on. */
  readonly changedUs: number
}

export interface PlanQuery {
  readonly rule?: string
  readonly event?: Seq
  /** `held` and `blocked`: those that wait, and those that a guard stopped, whatever their state. */
  readonly state?: PlanState | 'held' | 'blocked'
  readonly fromUs?: number
  readonly untilUs?: number
  /** Plans with a smaller id: where the next page starts (newest first). */
  readonly before?: number
  readonly limit: number
}

/** What is to be tried again by hand: plans by id, reactions by id with the job id of their next dispatch. */
export interface Redrive {
  readonly plans: readonly number[]
  readonly reactions: readonly { readonly id: number; readonly jid: string }[]
}

/** One call that a rendered SLS asks for. */
export interface NewReaction {
  readonly section: string
  /** `{client, fun, tgt, arg, kwarg, …}`: the call as it will be made. */
  readonly call: unknown
  /** Reserved now, so that a repeated dispatch is the same job. */
  readonly jid: string
}

/** planned → dispatched (published; jid names the job) → succeeded | failed; planned → dead (was never published and will not be). */
export type ReactionState = 'planned' | 'dispatched' | 'succeeded' | 'failed' | 'dead'

export interface ReactionRecord extends NewReaction {
  readonly id: number
  readonly plan: number
  readonly event: Seq
  readonly rule: string
  readonly sls: string
  readonly state: ReactionState
  readonly error: string | null
  /** It waits: its rule is paused. */
  readonly held: Held | null
  readonly attempts: number
  readonly plannedUs: number
  readonly changedUs: number
}

export interface ReactionQuery {
  readonly rule?: string
  readonly event?: Seq
  readonly jid?: string
  readonly state?: ReactionState
  /** Planned within these times (microseconds since 1970 UTC), both included. */
  readonly fromUs?: number
  readonly untilUs?: number
  /** To events within these positions, both included. */
  readonly fromEvent?: Seq
  readonly untilEvent?: Seq
  /** Reactions with a smaller id: where the next page starts (newest first). */
  readonly before?: number
  readonly limit: number
}

export interface ReactionStore {
  /** Everything up to here has been matched and planned. */
  cursor(): Promise<Seq>
  /**
   * Writes the plans that are not there yet, what changes with them, and moves the cursor to `upTo` (never back), in one transaction. Of the plans
   * with a slot as many may go on as there is room for; the others are held.
   */
  plan(plans: readonly NewPlan[], upTo: Seq, changes?: PlanChanges): Promise<void>
  /** Open windows: all, or those of a rule by key, after this one, `limit` at most. */
  windows(query: { rule?: string; after?: string; limit: number }): Promise<readonly WindowRecord[]>
  /** The events of a window, oldest first. */
  windowEvents(rule: string, first: Seq): Promise<readonly StoredEvent[]>
  /** Windows that an event is in; `reacted`: the event at which they were reacted to, null while they are open. */
  windowsOf(event: Seq): Promise<readonly { readonly rule: string; readonly first: Seq; readonly reacted: Seq | null }[]>
  states(): Promise<readonly RuleState[]>
  /** Reactions that failed or are dead, and plans that could not be rendered, since then: the newest ones, oldest first, `limit` at most. */
  failures(afterUs: number, limit: number): Promise<readonly RuleFailure[]>
  /**
   * Keeps a rule's state, with its events. `pause`: its plans and planned reactions wait from now on; `resume`: they go on. (Pausing the reactor
   * itself, rule '', holds nothing here.)
   */
  control(state: RuleState, act: 'pause' | 'resume' | null, events: readonly NewEvent[]): Promise<void>
  /** Has the plans of a rule go on that are held because it was not active. Returns how many. */
  release(rule: string, held: 'inactive'): Promise<number>
  /** Events of a rule's line with this key: those that are worked on, and those that wait. */
  line(rule: string, key: string): Promise<{ readonly working: number; readonly waiting: number }>
  /** How many plans of a rule wait, by reason. */
  waiting(rule: string): Promise<Readonly<Partial<Record<Held, number>>>>
  /** The same of all rules; and `due`: plans that wait for their turn or another attempt, of which 100,000 at most are counted. */
  allWaiting(): Promise<Readonly<Partial<Record<Held | 'due', number>>>>
  /** Plans to work on (planned, or failed with `retryUs` reached), oldest event first. */
  openPlans(nowUs: number, limit: number): Promise<readonly PlanRecord[]>
  /** The plan is rendered: its reactions are written, once. `text` is what is kept of the SLS for the audit. A plan that is rendered already stays as it is. Returns its reactions. */
  rendered(plan: number, reactions: readonly NewReaction[], nowUs: number, text?: string): Promise<readonly ReactionRecord[]>
  /** The plan could not be rendered. With `retryUs` it is tried again then, without it is dead. Events tell of it. Returns as `settle`. */
  renderFailed(
    plan: number,
    error: string,
    retryUs: number | null,
    nowUs: number,
    events: readonly NewEvent[],
    text?: string
  ): Promise<number>
  /** Reactions planned, not held and not dispatched yet, and due (`retryUs` reached), oldest first. */
  openReactions(nowUs: number, limit: number): Promise<readonly ReactionRecord[]>
  /** Reactions of the given state, for recovery at start. */
  inState(state: ReactionState, limit: number): Promise<readonly ReactionRecord[]>
  /** Marks a planned reaction dispatched and appends the events (`salt/run/<jid>/new`). `taken`: it was not planned any more, nothing was written. */
  dispatched(id: number, nowUs: number, events: readonly NewEvent[]): Promise<'dispatched' | 'taken'>
  /** Ends a reaction, or with `retryUs` leaves it planned for another attempt then. Returns how many plans in line may go on because of it. */
  settle(
    id: number,
    outcome: { state: 'succeeded' | 'failed' | 'dead' } | { state: 'planned'; retryUs: number },
    error: string | null,
    nowUs: number,
    events: readonly NewEvent[]
  ): Promise<number>
  /**
   * Plans a dispatched reaction for another attempt at `retryUs`, under another job id, and appends the events. False: it was not dispatched any
   * more, nothing was written.
   */
  again(
    id: number,
    next: { readonly jid: string; readonly call: unknown; readonly retryUs: number },
    error: string,
    nowUs: number,
    events: readonly NewEvent[]
  ): Promise<boolean>
  list(query: ReactionQuery): Promise<readonly ReactionRecord[]>
  /** Plans of one event, with their errors: for the trace. */
  plansOf(event: Seq): Promise<readonly PlanRecord[]>
  /** Events that a rule has plans for, between these two (both excluded), newest first, `limit` at most. */
  reactedTo(rule: string, between: { readonly after: Seq; readonly before: Seq }, limit: number): Promise<readonly Seq[]>
  /** Rendered texts that are kept for the plans of an event, by plan. */
  textsOf(event: Seq): Promise<ReadonlyMap<number, string>>
  plans(query: PlanQuery): Promise<readonly PlanRecord[]>
  get(id: number): Promise<ReactionRecord | null>
  /**
   * Makes dead plans, and dead or failed reactions, planned again, as if nobody had tried them, and appends the events. What is in another
   * state by now is left alone. Returns how many there were.
   */
  redrive(what: Redrive, nowUs: number, events: readonly NewEvent[]): Promise<{ plans: number; reactions: number }>
  trim(beforeUs: number, limit: number): Promise<number>
}

// ── rules ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What the author of a rule says of it. Defaults and limits are in `src/reactor/rules.ts` and `src/reactor/options.ts`. */
export interface RuleSpec extends RuleOptions {
  readonly tag: string
  readonly match: 'glob' | 'path'
  readonly sls: readonly string[]
  readonly enabled: boolean
  /** API rules come after those of the configuration, the lower number first; rules of the same number by id. */
  readonly order: number
  readonly comment: string
  /** Free words to find rules by. */
  readonly tags: readonly string[]
  /** Who answers for the rule: a person or a team; empty for nobody in particular. */
  readonly owner: string
}

export interface RuleRecord extends RuleSpec {
  readonly id: string
  /** Grows by one with each change. */
  readonly version: number
  readonly changedBy: string
  readonly changedUs: number
}

export interface RuleStore {
  all(): Promise<readonly RuleRecord[]>
  /** `conflict`: the stored version is not `expected` (0: must not exist yet); nothing was written. */
  put(rule: RuleRecord, expected: number, events: readonly NewEvent[]): Promise<'stored' | 'conflict'>
  remove(id: string, expected: number, events: readonly NewEvent[]): Promise<'removed' | 'conflict'>
  /** Earlier versions, newest first. */
  history(id: string): Promise<readonly RuleRecord[]>
  /**
   * Keeps versions of one SLS file, in their order, with the events that tell of them. `conflict`: the newest that is stored is not `expected`
   * (0: there is none); nothing was written. Of each file some newest versions are kept.
   */
  putSls(versions: readonly SlsVersion[], expected: number, events: readonly NewEvent[]): Promise<'stored' | 'conflict'>
  /** What is kept of a file, newest first. */
  slsVersions(file: string): Promise<readonly SlsVersionInfo[]>
  slsVersion(file: string, version: number): Promise<SlsVersion | null>
}

export interface SlsVersionInfo {
  /** Absolute path. */
  readonly file: string
  readonly version: number
  /** SHA-256 of the text, hex; null where the file was removed. */
  readonly hash: string | null
  /** Empty: not through the API. */
  readonly changedBy: string
  readonly changedUs: number
}

export interface SlsVersion extends SlsVersionInfo {
  readonly text: string | null
}

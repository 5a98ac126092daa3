import { brineError } from '../../errors.js'
import type { NewEvent, Seq, StoredEvent } from '../../events/event.js'
import type { Clock } from '../../shared/clock.js'
import type {
  Blocked,
  Held,
  NewPlan,
  NewReaction,
  PlanChanges,
  PlanQuery,
  PlanRecord,
  PlanState,
  ReactionQuery,
  ReactionRecord,
  ReactionState,
  ReactionStore,
  Redrive,
  RuleFailure,
  RuleState,
  WindowRecord
} from '../store.js'
import type { Database } from './database.js'
import { type Appender, type EventRow, eventOf } from './events.js'
import type { Readers } from './readers.js'
import type { Writer } from './writer.js'

type PlanRow = [
  id: number,
  event: Seq,
  rule: string,
  version: number,
  sls: string,
  position: number,
  state: PlanState,
  error: string | null,
  attempts: number,
  changedUs: number,
  held: Held | null,
  blocked: Blocked | null,
  forced: number,
  gathered: Seq | null
]

interface ReactionRow extends Omit<ReactionRecord, 'call'> {
  /** JSON. */
  readonly call: string
}

const PLAN_COLUMNS = 'id, event, rule, version, sls, position, state, error, attempts, changed_us, held, blocked, forced, gathered'

const REACTION_COLUMNS = `id, plan, event, rule, sls, section, jid, state, error, attempts, planned_us AS plannedUs, changed_us AS changedUs,
  held, call`

// ── in the writer's thread ───────────────────────────────────────────────────────────────────────────────────────────────────────────

export function reactionWrites(db: Database, log: Appender) {
  const failPlan = db.prepare(
    `UPDATE plans SET state = ?, error = ?, attempts = attempts + 1, due_us = ?, changed_us = ?
     WHERE id = ? AND state IN ('planned', 'failed')`
  )
  const dispatched = markDispatched(db)
  const keep = textKeeper(db)
  const line = lines(db)
  return {
    'reactions.plan': planner(db, log),
    'reactions.rendered': renderedRecorder(db),
    'reactions.renderFailed': ([plan, error, retryUs, nowUs, text]: [
      plan: number,
      error: string,
      retryUs: number | null,
      nowUs: number,
      text: string | null
    ]): number => {
      if (failPlan.run(retryUs === null ? 'dead' : 'failed', error, retryUs, nowUs, plan).changes === 0) return 0
      log.append()
      keep(plan, text)
      return line.leave(plan)
    },
    'reactions.redrive': redriver(db, log),
    'reactions.dispatched': ([id, nowUs]: [id: number, nowUs: number]) => {
      if (!dispatched(id, nowUs)) return 'taken'
      log.append()
      return 'dispatched'
    },
    'reactions.settle': settler(db, log),
    'reactions.again': againPlanner(db, log),
    'reactions.control': controller(db, log),
    'reactions.release': releaser(db),
    'reactions.trim': reactionTrimmer(db)
  }
}

function planner(db: Database, log: Appender) {
  const insertPlan = db.prepare(
    `INSERT INTO plans (event, rule, version, sls, position, state, error, attempts, due_us, changed_us, held, blocked, gathered, slot, slot_limit)
     VALUES (@event, @rule, @version, @sls, @position, @state, @error, 0, @dueUs, @changedUs, @held, @blocked, @gathered, @slot, @limit)
     ON CONFLICT DO NOTHING`
  )
  const moveCursor = db.prepare('UPDATE reactor SET cursor = max(cursor, ?)')
  const putWindow = db.prepare('INSERT OR REPLACE INTO reactor_windows (rule, key, first, due_us, body) VALUES (?, ?, ?, ?, ?)')
  const dropWindow = db.prepare('DELETE FROM reactor_windows WHERE rule = ? AND key = ?')
  const gather = db.prepare(
    `INSERT OR IGNORE INTO window_events (rule, first, seq, stamp_us, tag, source, cause_seq, cause_depth, json)
     SELECT ?, ?, seq, stamp_us, tag, source, cause_seq, cause_depth, json FROM events WHERE seq = ?`
  )
  const forget = db.prepare('DELETE FROM window_events WHERE rule = ? AND first = ? AND seq < ?')
  const putState = statePutter(db)
  const line = lines(db)
  return ([plans, upTo, nowUs, changes]: [plans: readonly PlanFields[], upTo: Seq, nowUs: number, changes: ChangeFields]): void => {
    for (const [rule, first, event] of changes.gathered) gather.run(rule, first, event)
    for (const [rule, first, before] of changes.forgotten) forget.run(rule, first, before)
    for (const [rule, key] of changes.closed) dropWindow.run(rule, key)
    for (const window of changes.windows) putWindow.run(...window)
    for (const state of changes.states) putState(state)
    const slots = new Map<string, [rule: string, slot: string]>()
    for (const { dead, ...plan } of plans) {
      const waits = dead || plan.held !== null
      // What is dead already is as old as now, or it would be trimmed at once.
      insertPlan.run({ ...plan, state: dead ? 'dead' : 'planned', dueUs: waits ? null : 0, changedUs: dead ? nowUs : 0 })
      if (plan.slot !== null) slots.set(`${plan.rule}\0${plan.slot}`, [plan.rule, plan.slot])
    }
    for (const [rule, slot] of slots.values()) line.advance(rule, slot)
    log.append()
    moveCursor.run(upTo)
  }
}

/** A plan as it crosses threads. */
interface PlanFields {
  readonly event: Seq
  readonly rule: string
  readonly version: number
  readonly sls: string
  readonly position: number
  readonly error: string | null
  readonly held: Held | null
  readonly blocked: Blocked | null
  readonly gathered: Seq | null
  readonly slot: string | null
  readonly limit: number | null
  readonly dead: boolean
}

type StateFields = readonly [rule: string, paused: 0 | 1, body: string]

/** `PlanChanges` as they cross threads. */
interface ChangeFields {
  readonly windows: readonly (readonly [rule: string, key: string, first: Seq, dueUs: number, body: string])[]
  readonly closed: readonly (readonly [rule: string, key: string])[]
  readonly gathered: readonly (readonly [rule: string, first: Seq, event: Seq])[]
  readonly forgotten: readonly (readonly [rule: string, first: Seq, before: Seq])[]
  readonly states: readonly StateFields[]
}

function statePutter(db: Database): (state: StateFields) => void {
  const put = db.prepare('INSERT OR REPLACE INTO rule_states (rule, paused, body) VALUES (?, ?, ?)')
  return state => {
    put.run(...state)
  }
}

/** Lines of plans: of those with one rule and slot, the plans of so many events go on at a time, the oldest first. */
function lines(db: Database) {
  const under = db.prepare('SELECT count(DISTINCT event) FROM plans WHERE rule = ? AND slot = ? AND held IS NULL').pluck()
  const limit = db.prepare('SELECT slot_limit FROM plans WHERE rule = ? AND slot = ? ORDER BY event DESC LIMIT 1').pluck()
  const release = db.prepare(
    `UPDATE plans SET held = NULL, due_us = 0 WHERE rule = @rule AND slot = @slot AND held = 'concurrency' AND event IN
       (SELECT DISTINCT event FROM plans WHERE rule = @rule AND slot = @slot AND held = 'concurrency' ORDER BY event LIMIT @room)`
  )
  const paused = db.prepare('SELECT paused FROM rule_states WHERE rule = ?').pluck()
  const placeOf = db.prepare('SELECT rule, slot FROM plans WHERE id = ? AND slot IS NOT NULL').raw()
  const leave = db.prepare(
    `UPDATE plans SET slot = NULL WHERE id = ? AND due_us IS NULL AND held IS NULL
       AND NOT EXISTS (SELECT 1 FROM reactions WHERE plan = plans.id AND state IN ('planned', 'dispatched'))`
  )
  const advance = (rule: string, slot: string): number => {
    const room = ((limit.get(rule, slot) as number | undefined) ?? 0) - (under.get(rule, slot) as number)
    return room <= 0 || paused.get(rule) === 1 ? 0 : release.run({ rule, slot, room }).changes
  }
  return {
    advance,
    /** When nothing is left to do for a plan its place is free. Returns how many plans may go on because of it. */
    leave(plan: number): number {
      const place = placeOf.get(plan) as [rule: string, slot: string] | undefined
      return place === undefined || leave.run(plan).changes === 0 ? 0 : advance(...place)
    }
  }
}

function controller(db: Database, log: Appender) {
  const putState = statePutter(db)
  const holdPlans = db.prepare("UPDATE plans SET held = 'paused', due_us = NULL WHERE rule = ? AND due_us IS NOT NULL")
  const holdReactions = db.prepare("UPDATE reactions SET held = 'paused' WHERE rule = ? AND state = 'planned' AND held IS NULL")
  const freePlans = db.prepare(
    `UPDATE plans SET held = iif(slot IS NULL, NULL, 'concurrency'), due_us = iif(slot IS NULL, 0, NULL)
     WHERE rule = ? AND held = 'paused'`
  )
  const freeReactions = db.prepare('UPDATE reactions SET held = NULL WHERE rule = ? AND held IS NOT NULL')
  const slotsOf = db.prepare("SELECT DISTINCT slot FROM plans WHERE rule = ? AND slot IS NOT NULL AND held = 'concurrency'").pluck()
  const line = lines(db)
  return ([state, act]: [state: StateFields, act: 'pause' | 'resume' | null]): void => {
    putState(state)
    const [rule] = state
    if (act === 'pause') {
      holdPlans.run(rule)
      holdReactions.run(rule)
    }
    if (act === 'resume') {
      freePlans.run(rule)
      freeReactions.run(rule)
      for (const slot of slotsOf.all(rule)) line.advance(rule, slot as string)
    }
    log.append()
  }
}

function releaser(db: Database) {
  const slots = db.prepare('SELECT DISTINCT slot FROM plans WHERE rule = ? AND held = ? AND slot IS NOT NULL').pluck()
  const queue = db.prepare("UPDATE plans SET held = 'concurrency' WHERE rule = ? AND held = ? AND slot IS NOT NULL")
  const free = db.prepare('UPDATE plans SET held = NULL, due_us = 0 WHERE rule = ? AND held = ?')
  const line = lines(db)
  return ([rule, held]: [rule: string, held: Held]): number => {
    const waiting = slots.all(rule, held) as string[]
    const queued = queue.run(rule, held).changes
    const freed = free.run(rule, held).changes
    for (const slot of waiting) line.advance(rule, slot)
    return queued + freed
  }
}

/** Marks a planned reaction dispatched; false when it is not planned any more. `jobs.publish` does it in its own transaction. */
export function markDispatched(db: Database): (id: number, nowUs: number) => boolean {
  const mark = db.prepare(
    `UPDATE reactions SET state = 'dispatched', error = NULL, attempts = attempts + 1, changed_us = ? WHERE id = ? AND state = 'planned'`
  )
  return (id, nowUs) => mark.run(nowUs, id).changes > 0
}

/** What of a plan's rendering is kept for the audit; a later attempt replaces the text of an earlier one. */
function textKeeper(db: Database): (plan: number, text: string | null) => void {
  const keep = db.prepare(
    'INSERT INTO plan_texts (plan, rendered) VALUES (?, ?) ON CONFLICT (plan) DO UPDATE SET rendered = excluded.rendered'
  )
  return (plan, text) => {
    if (text !== null) keep.run(plan, text)
  }
}

/** Dead letters, and reactions that failed, as if nobody had tried them. */
function redriver(db: Database, log: Appender) {
  const plan = db.prepare(
    `UPDATE plans SET state = 'planned', error = NULL, attempts = 0, due_us = 0, changed_us = ?, blocked = NULL, forced = 1
     WHERE id = ? AND state = 'dead'`
  )
  const reaction = db.prepare(
    `UPDATE reactions SET state = 'planned', error = NULL, attempts = 0, due_us = 0, changed_us = ?, jid = ?
     WHERE id = ? AND state IN ('dead', 'failed')`
  )
  return ([plans, reactions, nowUs]: [
    plans: readonly number[],
    reactions: readonly (readonly [id: number, jid: string])[],
    nowUs: number
  ]): [plans: number, reactions: number] => {
    let [changedPlans, changedReactions] = [0, 0]
    for (const id of plans) changedPlans += plan.run(nowUs, id).changes
    for (const [id, jid] of reactions) changedReactions += reaction.run(nowUs, jid, id).changes
    if (changedPlans + changedReactions > 0) log.append()
    return [changedPlans, changedReactions]
  }
}

/** section, call (JSON), jid */
type ReactionFields = readonly [section: string, call: string, jid: string]

function renderedRecorder(db: Database) {
  const find = db.prepare(`SELECT ${PLAN_COLUMNS} FROM plans WHERE id = ?`).raw()
  const close = db.prepare("UPDATE plans SET state = 'rendered', error = NULL, due_us = NULL, held = NULL, changed_us = ? WHERE id = ?")
  const insert = db.prepare(
    `INSERT INTO reactions (plan, event, rule, sls, section, jid, state, attempts, due_us, planned_us, changed_us, call)
     VALUES (?, ?, ?, ?, ?, ?, 'planned', 0, 0, ?, ?, ?)`
  )
  const written = db.prepare(`SELECT ${REACTION_COLUMNS} FROM reactions WHERE plan = ? ORDER BY id`)
  const keep = textKeeper(db)
  const line = lines(db)
  return ([id, reactions, nowUs, text]: [
    id: number,
    reactions: readonly ReactionFields[],
    nowUs: number,
    text: string | null
  ]): ReactionRow[] => {
    const plan = find.get(id) as PlanRow | undefined
    if (plan === undefined) throw brineError('NOT_FOUND', `plan ${id}`)
    const [, event, rule, , sls, , state] = plan
    if (state !== 'rendered') {
      for (const [section, call, jid] of reactions) insert.run(id, event, rule, sls, section, jid, nowUs, nowUs, call)
      close.run(nowUs, id)
      keep(id, text)
      if (reactions.length === 0) line.leave(id)
    }
    return written.all(id) as ReactionRow[]
  }
}

/** Which states each outcome may follow. A reaction that has ended stays as it ended; one that was dispatched is never planned again. */
const MAY_FOLLOW = {
  planned: ['planned'],
  succeeded: ['planned', 'dispatched'],
  failed: ['planned', 'dispatched'],
  dead: ['planned', 'dispatched']
} as const satisfies Partial<Record<ReactionState, readonly ReactionState[]>>

type Outcome = keyof typeof MAY_FOLLOW

function settler(db: Database, log: Appender) {
  const prepare = (outcome: Outcome) => {
    const from = MAY_FOLLOW[outcome].map(state => `'${state}'`).join(', ')
    // A dispatch was counted when it was made; what never got that far is counted here.
    return db.prepare(
      `UPDATE reactions SET attempts = attempts + (state = 'planned'), state = '${outcome}', error = ?, due_us = ?, changed_us = ?
       WHERE id = ? AND state IN (${from})`
    )
  }
  const planOf = db.prepare('SELECT plan FROM reactions WHERE id = ?').pluck()
  const line = lines(db)
  const moves = { planned: prepare('planned'), succeeded: prepare('succeeded'), failed: prepare('failed'), dead: prepare('dead') }
  return ([id, outcome, retryUs, error, nowUs]: [
    id: number,
    outcome: Outcome,
    retryUs: number | null,
    error: string | null,
    nowUs: number
  ]): number => {
    if (moves[outcome].run(error, retryUs ?? 0, nowUs, id).changes === 0) return 0
    log.append()
    return outcome === 'planned' ? 0 : line.leave(planOf.get(id) as number)
  }
}

/** A reaction whose call was made and is to be made again. Its plan keeps its place in line. */
function againPlanner(db: Database, log: Appender) {
  const move = db.prepare(
    `UPDATE reactions SET state = 'planned', jid = ?, call = ?, due_us = ?, error = ?, changed_us = ? WHERE id = ? AND state = 'dispatched'`
  )
  return (next: [jid: string, call: string, retryUs: number, error: string, nowUs: number, id: number]): boolean => {
    if (move.run(...next).changes === 0) return false
    log.append()
    return true
  }
}

/** Plans that are over go together with their reactions, once all of those are over and old enough. */
function reactionTrimmer(db: Database) {
  const old = db
    .prepare(
      `SELECT id FROM plans WHERE due_us IS NULL AND held IS NULL AND changed_us < @beforeUs AND NOT EXISTS
         (SELECT 1 FROM reactions WHERE plan = plans.id AND (state IN ('planned', 'dispatched') OR changed_us >= @beforeUs))
       ORDER BY changed_us LIMIT @limit`
    )
    .pluck()
  const dropReactions = db.prepare('DELETE FROM reactions WHERE plan = ?')
  const dropPlan = db.prepare('DELETE FROM plans WHERE id = ?')
  const dropText = db.prepare('DELETE FROM plan_texts WHERE plan = ?')
  const dropEvents = db.prepare(
    `DELETE FROM window_events WHERE (rule, first) = (SELECT rule, gathered FROM plans WHERE id = @plan AND gathered IS NOT NULL)
       AND NOT EXISTS (SELECT 1 FROM plans other JOIN plans own ON own.id = @plan
         WHERE other.event = own.event AND other.rule = own.rule AND other.gathered = own.gathered AND other.id <> own.id)`
  )
  return ([beforeUs, limit]: [beforeUs: number, limit: number]): number => {
    const plans = old.all({ beforeUs, limit })
    for (const plan of plans) {
      dropReactions.run(plan)
      dropText.run(plan)
      dropEvents.run({ plan })
      dropPlan.run(plan)
    }
    return plans.length
  }
}

// ── in a reader's thread ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

export function reactionReads(db: Database) {
  const cursor = db.prepare('SELECT cursor FROM reactor').pluck()
  const openPlans = db
    .prepare(`SELECT ${PLAN_COLUMNS} FROM plans WHERE due_us IS NOT NULL AND due_us <= ? ORDER BY event, position LIMIT ?`)
    .raw()
  const plansOf = db.prepare(`SELECT ${PLAN_COLUMNS} FROM plans WHERE event = ? ORDER BY position`).raw()
  const reactedTo = db
    .prepare('SELECT DISTINCT event FROM plans WHERE rule = ? AND event > ? AND event < ? ORDER BY event DESC LIMIT ?')
    .pluck()
  const openReactions = db.prepare(
    `SELECT ${REACTION_COLUMNS} FROM reactions WHERE state = 'planned' AND held IS NULL AND due_us <= ? ORDER BY id LIMIT ?`
  )
  const get = db.prepare(`SELECT ${REACTION_COLUMNS} FROM reactions WHERE id = ?`)
  const texts = db.prepare('SELECT plan, rendered FROM plan_texts WHERE plan IN (SELECT id FROM plans WHERE event = ?)').raw()
  const inState = db.prepare(`SELECT ${REACTION_COLUMNS} FROM reactions WHERE state = ? ORDER BY id LIMIT ?`)
  return {
    'reactions.cursor': (_: null): Seq => cursor.get() as Seq,
    'reactions.openPlans': ([nowUs, limit]: [nowUs: number, limit: number]): PlanRow[] => openPlans.all(nowUs, limit) as PlanRow[],
    'reactions.plansOf': (event: Seq): PlanRow[] => plansOf.all(event) as PlanRow[],
    'reactions.reactedTo': (query: [rule: string, after: Seq, before: Seq, limit: number]): Seq[] => reactedTo.all(...query) as Seq[],
    'reactions.openReactions': ([nowUs, limit]: [nowUs: number, limit: number]): ReactionRow[] =>
      openReactions.all(nowUs, limit) as ReactionRow[],
    'reactions.inState': ([state, limit]: [state: ReactionState, limit: number]): ReactionRow[] =>
      inState.all(state, limit) as ReactionRow[],
    'reactions.get': (id: number): ReactionRow | null => (get.get(id) as ReactionRow | undefined) ?? null,
    'reactions.texts': (event: Seq): [plan: number, text: string][] => texts.all(event) as [number, string][],
    'reactions.plans': planSearch(db),
    'reactions.list': reactionSearch(db),
    'reactions.failures': failureSearch(db),
    ...windowReads(db)
  }
}

type WindowRow = [rule: string, key: string, first: Seq, dueUs: number, body: string]

function windowReads(db: Database) {
  const columns = 'rule, key, first, due_us, body'
  const all = db.prepare(`SELECT ${columns} FROM reactor_windows ORDER BY rule, key LIMIT ?`).raw()
  const ofRule = db.prepare(`SELECT ${columns} FROM reactor_windows WHERE rule = ? ORDER BY key LIMIT ?`).raw()
  const ofRuleAfter = db.prepare(`SELECT ${columns} FROM reactor_windows WHERE rule = ? AND key > ? ORDER BY key LIMIT ?`).raw()
  const windowsOfRule = (rule: string, after: string | undefined, limit: number) =>
    after === undefined ? ofRule.all(rule, limit) : ofRuleAfter.all(rule, after, limit)
  const events = db
    .prepare('SELECT seq, tag, json, stamp_us, source, cause_seq, cause_depth FROM window_events WHERE rule = ? AND first = ? ORDER BY seq')
    .raw()
  const windowsOf = db
    .prepare(
      `SELECT rule, first, (SELECT event FROM plans WHERE rule = w.rule AND gathered = w.first LIMIT 1)
       FROM window_events w WHERE seq = ? ORDER BY rule`
    )
    .raw()
  const states = db.prepare('SELECT rule, paused, body FROM rule_states').raw()
  const waiting = db.prepare('SELECT held, count(*) FROM plans WHERE rule = ? AND held IS NOT NULL GROUP BY held').raw()
  const allHeld = db.prepare('SELECT held, count(*) FROM plans WHERE held IS NOT NULL GROUP BY held').raw()
  const due = db.prepare('SELECT count(*) FROM (SELECT 1 FROM plans WHERE due_us IS NOT NULL LIMIT 100000)').pluck()
  const line = db
    .prepare(
      `SELECT count(DISTINCT event) FILTER (WHERE held IS NULL), count(DISTINCT event) FILTER (WHERE held IS NOT NULL)
       FROM plans WHERE rule = ? AND slot = ?`
    )
    .raw()
  return {
    'reactions.line': ([rule, slot]: [rule: string, slot: string]): [working: number, waiting: number] =>
      line.get(rule, slot) as [number, number],
    'reactions.windows': ({ rule, after, limit }: { rule?: string; after?: string; limit: number }): WindowRow[] =>
      (rule === undefined ? all.all(limit) : windowsOfRule(rule, after, limit)) as WindowRow[],
    'reactions.windowEvents': ([rule, first]: [rule: string, first: Seq]): EventRow[] => events.all(rule, first) as EventRow[],
    'reactions.windowsOf': (seq: Seq): [rule: string, first: Seq, reacted: Seq | null][] =>
      windowsOf.all(seq) as [string, Seq, Seq | null][],
    'reactions.states': (_: null): StateFields[] => states.all() as StateFields[],
    'reactions.waiting': (rule: string): [Held, number][] => waiting.all(rule) as [Held, number][],
    'reactions.allWaiting': (_: null): [Held | 'due', number][] => {
      const open = due.get() as number
      return [...(allHeld.all() as [Held, number][]), ...(open > 0 ? [['due', open] as ['due', number]] : [])]
    }
  }
}

const REACTION_CONDITIONS = {
  rule: 'rule = @rule',
  event: 'event = @event',
  jid: 'jid = @jid',
  state: 'state = @state',
  fromUs: 'planned_us >= @fromUs',
  untilUs: 'planned_us <= @untilUs',
  fromEvent: 'event >= @fromEvent',
  untilEvent: 'event <= @untilEvent',
  before: 'id < @before'
}

const PLAN_CONDITIONS = {
  rule: 'rule = @rule',
  event: 'event = @event',
  state: 'state = @state',
  held: 'held IS NOT NULL',
  blocked: 'blocked IS NOT NULL',
  fromUs: 'changed_us >= @fromUs',
  untilUs: 'changed_us <= @untilUs',
  before: 'id < @before'
}

/** One statement per combination of conditions that was asked for, so that each can use its index. */
function whereOf(conditions: Readonly<Record<string, string>>, query: object): string {
  const asked = Object.entries(conditions).filter(([name]) => (query as Record<string, unknown>)[name] !== undefined)
  return asked.length === 0 ? '' : `WHERE ${asked.map(([, condition]) => condition).join(' AND ')}`
}

function reactionSearch(db: Database) {
  return (query: ReactionQuery): ReactionRow[] => {
    const where = whereOf(REACTION_CONDITIONS, query)
    return db.prepare(`SELECT ${REACTION_COLUMNS} FROM reactions ${where} ORDER BY id DESC LIMIT @limit`).all(query) as ReactionRow[]
  }
}

/** The conditions are those of the indexes `reactions_failed` and `plans_failed`. A plan that was dead from the beginning was never attempted. */
function failureSearch(db: Database) {
  const newest = db.prepare(
    `SELECT rule, us, coalesce(error, '') AS error FROM (
       SELECT rule, changed_us AS us, error FROM reactions WHERE state IN ('failed', 'dead') AND changed_us > @afterUs
       UNION ALL
       SELECT rule, changed_us AS us, error FROM plans WHERE state = 'dead' AND attempts > 0 AND changed_us > @afterUs
     ) ORDER BY us DESC LIMIT @limit`
  )
  return ([afterUs, limit]: [afterUs: number, limit: number]): RuleFailure[] => newest.all({ afterUs, limit }).reverse() as RuleFailure[]
}

function planSearch(db: Database) {
  return (query: PlanQuery): PlanRow[] => {
    const { state } = query
    const asked = state === 'held' || state === 'blocked' ? { ...query, state: undefined, [state]: true } : query
    const where = whereOf(PLAN_CONDITIONS, asked)
    return db.prepare(`SELECT ${PLAN_COLUMNS} FROM plans ${where} ORDER BY id DESC LIMIT @limit`).raw().all(query) as PlanRow[]
  }
}

// ── in the API's thread ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

export class SqliteReactions implements ReactionStore {
  readonly #writer: Writer
  readonly #readers: Readers
  readonly #clock: Clock

  constructor(writer: Writer, readers: Readers, clock: Clock) {
    this.#writer = writer
    this.#readers = readers
    this.#clock = clock
  }

  cursor(): Promise<Seq> {
    return this.#readers.ask('reactions.cursor', null)
  }

  async plan(plans: readonly NewPlan[], upTo: Seq, changes: PlanChanges = {}): Promise<void> {
    const fields = changeFields(changes)
    const bytes = plans.length * 128 + fields.windows.reduce((sum, [, key, , , body]) => sum + key.length + body.length, 0)
    await this.#writer.run('reactions.plan', [plans.map(planFields), upTo, this.#clock.nowUs(), fields], changes.events ?? [], bytes)
  }

  async windows(query: { rule?: string; after?: string; limit: number }): Promise<readonly WindowRecord[]> {
    return (await this.#readers.ask('reactions.windows', query)).map(([rule, key, first, dueUs, body]) => {
      return { rule, key, first, dueUs, body: JSON.parse(body) as unknown }
    })
  }

  async windowEvents(rule: string, first: Seq): Promise<readonly StoredEvent[]> {
    return (await this.#readers.ask('reactions.windowEvents', [rule, first])).map(eventOf)
  }

  async line(rule: string, key: string): Promise<{ working: number; waiting: number }> {
    const [working, waiting] = await this.#readers.ask('reactions.line', [rule, key])
    return { working, waiting }
  }

  async windowsOf(event: Seq): Promise<readonly { readonly rule: string; readonly first: Seq; readonly reacted: Seq | null }[]> {
    return (await this.#readers.ask('reactions.windowsOf', event)).map(([rule, first, reacted]) => ({ rule, first, reacted }))
  }

  async states(): Promise<readonly RuleState[]> {
    return (await this.#readers.ask('reactions.states', null)).map(([rule, paused, body]) => {
      return { rule, paused: paused === 1, body: JSON.parse(body) as unknown }
    })
  }

  async failures(afterUs: number, limit: number): Promise<readonly RuleFailure[]> {
    return this.#readers.ask('reactions.failures', [afterUs, limit])
  }

  async control(state: RuleState, act: 'pause' | 'resume' | null, events: readonly NewEvent[]): Promise<void> {
    await this.#writer.run('reactions.control', [stateFields(state), act], events)
  }

  async release(rule: string, held: 'inactive'): Promise<number> {
    return (await this.#writer.run('reactions.release', [rule, held])).result
  }

  async waiting(rule: string): Promise<Readonly<Partial<Record<Held, number>>>> {
    return Object.fromEntries(await this.#readers.ask('reactions.waiting', rule))
  }

  async allWaiting(): Promise<Readonly<Partial<Record<Held | 'due', number>>>> {
    return Object.fromEntries(await this.#readers.ask('reactions.allWaiting', null))
  }

  async openPlans(nowUs: number, limit: number): Promise<readonly PlanRecord[]> {
    return (await this.#readers.ask('reactions.openPlans', [nowUs, limit])).map(planOf)
  }

  async rendered(plan: number, reactions: readonly NewReaction[], nowUs: number, text?: string): Promise<readonly ReactionRecord[]> {
    const rows = reactions.map(({ section, call, jid }): ReactionFields => [section, JSON.stringify(call) ?? 'null', jid])
    const bytes = rows.reduce((sum, [, call]) => sum + call.length, text?.length ?? 0)
    return (await this.#writer.run('reactions.rendered', [plan, rows, nowUs, text ?? null], [], bytes)).result.map(reactionOf)
  }

  async renderFailed(
    plan: number,
    error: string,
    retryUs: number | null,
    nowUs: number,
    events: readonly NewEvent[],
    text?: string
  ): Promise<number> {
    const bytes = error.length + (text?.length ?? 0)
    return (await this.#writer.run('reactions.renderFailed', [plan, error, retryUs, nowUs, text ?? null], events, bytes)).result
  }

  async openReactions(nowUs: number, limit: number): Promise<readonly ReactionRecord[]> {
    return (await this.#readers.ask('reactions.openReactions', [nowUs, limit])).map(reactionOf)
  }

  async inState(state: ReactionState, limit: number): Promise<readonly ReactionRecord[]> {
    return (await this.#readers.ask('reactions.inState', [state, limit])).map(reactionOf)
  }

  async dispatched(id: number, nowUs: number, events: readonly NewEvent[]): Promise<'dispatched' | 'taken'> {
    return (await this.#writer.run('reactions.dispatched', [id, nowUs], events)).result
  }

  async settle(
    id: number,
    outcome: { state: 'succeeded' | 'failed' | 'dead' } | { state: 'planned'; retryUs: number },
    error: string | null,
    nowUs: number,
    events: readonly NewEvent[]
  ): Promise<number> {
    const retryUs = outcome.state === 'planned' ? outcome.retryUs : null
    return (await this.#writer.run('reactions.settle', [id, outcome.state, retryUs, error, nowUs], events, error?.length ?? 0)).result
  }

  async again(
    id: number,
    { jid, call, retryUs }: { readonly jid: string; readonly call: unknown; readonly retryUs: number },
    error: string,
    nowUs: number,
    events: readonly NewEvent[]
  ): Promise<boolean> {
    const text = JSON.stringify(call)
    const bytes = text.length + error.length
    return (await this.#writer.run('reactions.again', [jid, text, retryUs, error, nowUs, id], events, bytes)).result
  }

  async list(query: ReactionQuery): Promise<readonly ReactionRecord[]> {
    return (await this.#readers.ask('reactions.list', query)).map(reactionOf)
  }

  async plansOf(event: Seq): Promise<readonly PlanRecord[]> {
    return (await this.#readers.ask('reactions.plansOf', event)).map(planOf)
  }

  async reactedTo(rule: string, { after, before }: { readonly after: Seq; readonly before: Seq }, limit: number): Promise<readonly Seq[]> {
    return this.#readers.ask('reactions.reactedTo', [rule, after, before, limit])
  }

  async textsOf(event: Seq): Promise<ReadonlyMap<number, string>> {
    return new Map(await this.#readers.ask('reactions.texts', event))
  }

  async plans(query: PlanQuery): Promise<readonly PlanRecord[]> {
    return (await this.#readers.ask('reactions.plans', query)).map(planOf)
  }

  async get(id: number): Promise<ReactionRecord | null> {
    const row = await this.#readers.ask('reactions.get', id)
    return row === null ? null : reactionOf(row)
  }

  async redrive({ plans, reactions }: Redrive, nowUs: number, events: readonly NewEvent[]): Promise<{ plans: number; reactions: number }> {
    const rows = reactions.map(({ id, jid }): [number, string] => [id, jid])
    const { result } = await this.#writer.run('reactions.redrive', [[...plans], rows, nowUs], events, rows.length * 32)
    return { plans: result[0], reactions: result[1] }
  }

  async trim(beforeUs: number, limit: number): Promise<number> {
    return (await this.#writer.run('reactions.trim', [beforeUs, limit])).result
  }
}

function planOf([id, event, rule, version, sls, position, state, error, attempts, changedUs, ...more]: PlanRow): PlanRecord {
  const [held, blocked, forced, gathered] = more
  return { id, event, rule, version, sls, position, state, error, attempts, changedUs, held, blocked, forced: forced === 1, gathered }
}

function planFields({ event, rule, version, sls, position, error, held, blocked, gathered, slot }: NewPlan): PlanFields {
  const dead = (blocked ?? null) !== null || (error ?? null) !== null
  const waits = dead ? null : (held ?? (slot ? 'concurrency' : null))
  // Dead letters stand in no line.
  const place = dead || !slot ? { slot: null, limit: null } : { slot: slot.key, limit: slot.limit }
  const about = { event, rule, version, sls, position, error: error ?? null, blocked: blocked ?? null, gathered: gathered ?? null }
  return { ...about, ...place, held: waits, dead }
}

function stateFields({ rule, paused, body }: RuleState): StateFields {
  return [rule, paused ? 1 : 0, JSON.stringify(body)]
}

function changeFields({ windows = [], closed = [], gathered = [], forgotten = [], states = [] }: PlanChanges): ChangeFields {
  return {
    windows: windows.map(({ rule, key, first, dueUs, body }) => [rule, key, first, dueUs, JSON.stringify(body)]),
    closed: closed.map(({ rule, key }) => [rule, key]),
    gathered: gathered.map(({ rule, first, event }) => [rule, first, event]),
    forgotten: forgotten.map(({ rule, first, before }) => [rule, first, before]),
    states: states.map(stateFields)
  }
}

function reactionOf(row: ReactionRow): ReactionRecord {
  return { ...row, call: JSON.parse(row.call) as unknown }
}

import { brineError } from '../../errors.js'
import type { NewEvent, Seq } from '../../events/event.js'
import type {
  NewPlan,
  NewReaction,
  PlanQuery,
  PlanRecord,
  PlanState,
  ReactionQuery,
  ReactionRecord,
  ReactionState,
  ReactionStore,
  Redrive
} from '../store.js'
import type { Database } from './database.js'
import type { Appender } from './events.js'
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
  changedUs: number
]

interface ReactionRow extends Omit<ReactionRecord, 'call'> {
  /** JSON. */
  readonly call: string
}

const PLAN_COLUMNS = 'id, event, rule, version, sls, position, state, error, attempts, changed_us'

const REACTION_COLUMNS = `id, plan, event, rule, sls, section, jid, state, error, attempts, planned_us AS plannedUs, changed_us AS changedUs,
  call`

// ── in the writer's thread ───────────────────────────────────────────────────────────────────────────────────────────────────────────

export function reactionWrites(db: Database, log: Appender) {
  const insertPlan = db.prepare(
    `INSERT INTO plans (event, rule, version, sls, position, state, attempts, due_us, changed_us)
     VALUES (?, ?, ?, ?, ?, 'planned', 0, 0, 0) ON CONFLICT DO NOTHING`
  )
  const moveCursor = db.prepare('UPDATE reactor SET cursor = max(cursor, ?)')
  const failPlan = db.prepare(
    `UPDATE plans SET state = ?, error = ?, attempts = attempts + 1, due_us = ?, changed_us = ?
     WHERE id = ? AND state IN ('planned', 'failed')`
  )
  const dispatched = markDispatched(db)
  const keep = textKeeper(db)
  return {
    'reactions.plan': ([plans, upTo]: [plans: readonly NewPlan[], upTo: Seq]): void => {
      for (const plan of plans) insertPlan.run(plan.event, plan.rule, plan.version, plan.sls, plan.position)
      moveCursor.run(upTo)
    },
    'reactions.rendered': renderedRecorder(db),
    'reactions.renderFailed': ([plan, error, retryUs, nowUs, text]: [
      plan: number,
      error: string,
      retryUs: number | null,
      nowUs: number,
      text: string | null
    ]): void => {
      if (failPlan.run(retryUs === null ? 'dead' : 'failed', error, retryUs, nowUs, plan).changes === 0) return
      log.append()
      keep(plan, text)
    },
    'reactions.redrive': redriver(db, log),
    'reactions.dispatched': ([id, nowUs]: [id: number, nowUs: number]) => {
      if (!dispatched(id, nowUs)) return 'taken'
      log.append()
      return 'dispatched'
    },
    'reactions.settle': settler(db, log),
    'reactions.trim': reactionTrimmer(db)
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
    "UPDATE plans SET state = 'planned', error = NULL, attempts = 0, due_us = 0, changed_us = ? WHERE id = ? AND state = 'dead'"
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
  const close = db.prepare("UPDATE plans SET state = 'rendered', error = NULL, due_us = NULL, changed_us = ? WHERE id = ?")
  const insert = db.prepare(
    `INSERT INTO reactions (plan, event, rule, sls, section, jid, state, attempts, due_us, planned_us, changed_us, call)
     VALUES (?, ?, ?, ?, ?, ?, 'planned', 0, 0, ?, ?, ?)`
  )
  const written = db.prepare(`SELECT ${REACTION_COLUMNS} FROM reactions WHERE plan = ? ORDER BY id`)
  const keep = textKeeper(db)
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
  const moves = { planned: prepare('planned'), succeeded: prepare('succeeded'), failed: prepare('failed'), dead: prepare('dead') }
  return ([id, outcome, retryUs, error, nowUs]: [
    id: number,
    outcome: Outcome,
    retryUs: number | null,
    error: string | null,
    nowUs: number
  ]): void => {
    if (moves[outcome].run(error, retryUs ?? 0, nowUs, id).changes > 0) log.append()
  }
}

/** Plans that are over go together with their reactions, once all of those are over and old enough. */
function reactionTrimmer(db: Database) {
  const old = db
    .prepare(
      `SELECT id FROM plans WHERE due_us IS NULL AND changed_us < @beforeUs AND NOT EXISTS
         (SELECT 1 FROM reactions WHERE plan = plans.id AND (state IN ('planned', 'dispatched') OR changed_us >= @beforeUs))
       ORDER BY changed_us LIMIT @limit`
    )
    .pluck()
  const dropReactions = db.prepare('DELETE FROM reactions WHERE plan = ?')
  const dropPlan = db.prepare('DELETE FROM plans WHERE id = ?')
  const dropText = db.prepare('DELETE FROM plan_texts WHERE plan = ?')
  return ([beforeUs, limit]: [beforeUs: number, limit: number]): number => {
    const plans = old.all({ beforeUs, limit })
    for (const plan of plans) {
      dropReactions.run(plan)
      dropText.run(plan)
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
  const openReactions = db.prepare(`SELECT ${REACTION_COLUMNS} FROM reactions WHERE state = 'planned' AND due_us <= ? ORDER BY id LIMIT ?`)
  const get = db.prepare(`SELECT ${REACTION_COLUMNS} FROM reactions WHERE id = ?`)
  const texts = db.prepare('SELECT plan, rendered FROM plan_texts WHERE plan IN (SELECT id FROM plans WHERE event = ?)').raw()
  const inState = db.prepare(`SELECT ${REACTION_COLUMNS} FROM reactions WHERE state = ? ORDER BY id LIMIT ?`)
  return {
    'reactions.cursor': (_: null): Seq => cursor.get() as Seq,
    'reactions.openPlans': ([nowUs, limit]: [nowUs: number, limit: number]): PlanRow[] => openPlans.all(nowUs, limit) as PlanRow[],
    'reactions.plansOf': (event: Seq): PlanRow[] => plansOf.all(event) as PlanRow[],
    'reactions.openReactions': ([nowUs, limit]: [nowUs: number, limit: number]): ReactionRow[] =>
      openReactions.all(nowUs, limit) as ReactionRow[],
    'reactions.inState': ([state, limit]: [state: ReactionState, limit: number]): ReactionRow[] =>
      inState.all(state, limit) as ReactionRow[],
    'reactions.get': (id: number): ReactionRow | null => (get.get(id) as ReactionRow | undefined) ?? null,
    'reactions.texts': (event: Seq): [plan: number, text: string][] => texts.all(event) as [number, string][],
    'reactions.plans': planSearch(db),
    'reactions.list': reactionSearch(db)
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

function planSearch(db: Database) {
  return (query: PlanQuery): PlanRow[] => {
    const where = whereOf(PLAN_CONDITIONS, query)
    return db.prepare(`SELECT ${PLAN_COLUMNS} FROM plans ${where} ORDER BY id DESC LIMIT @limit`).raw().all(query) as PlanRow[]
  }
}

// ── in the API's thread ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

export class SqliteReactions implements ReactionStore {
  readonly #writer: Writer
  readonly #readers: Readers

  constructor(writer: Writer, readers: Readers) {
    this.#writer = writer
    this.#readers = readers
  }

  cursor(): Promise<Seq> {
    return this.#readers.ask('reactions.cursor', null)
  }

  async plan(plans: readonly NewPlan[], upTo: Seq): Promise<void> {
    const rows = plans.map(({ event, rule, version, sls, position }) => ({ event, rule, version, sls, position }))
    await this.#writer.run('reactions.plan', [rows, upTo], [], plans.length * 128)
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
  ): Promise<void> {
    const bytes = error.length + (text?.length ?? 0)
    await this.#writer.run('reactions.renderFailed', [plan, error, retryUs, nowUs, text ?? null], events, bytes)
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
  ): Promise<void> {
    const retryUs = outcome.state === 'planned' ? outcome.retryUs : null
    await this.#writer.run('reactions.settle', [id, outcome.state, retryUs, error, nowUs], events, error?.length ?? 0)
  }

  async list(query: ReactionQuery): Promise<readonly ReactionRecord[]> {
    return (await this.#readers.ask('reactions.list', query)).map(reactionOf)
  }

  async plansOf(event: Seq): Promise<readonly PlanRecord[]> {
    return (await this.#readers.ask('reactions.plansOf', event)).map(planOf)
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

function planOf([id, event, rule, version, sls, position, state, error, attempts, changedUs]: PlanRow): PlanRecord {
  return { id, event, rule, version, sls, position, state, error, attempts, changedUs }
}

function reactionOf(row: ReactionRow): ReactionRecord {
  return { ...row, call: JSON.parse(row.call) as unknown }
}

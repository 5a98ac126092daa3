import type { NewEvent } from '../../events/event.js'
import type { EnrolmentRecord, KeyRecord, KeyState, KeyStore, MinionFacts } from '../store.js'
import type { Database } from './database.js'
import type { Appender } from './events.js'
import type { Readers } from './readers.js'
import type { Writer } from './writer.js'

type KeyRow = [id: string, state: KeyState, pub: string, changedUs: number]
type FactsRow = [id: string, grains: string, seenUs: number]

const ENROLMENT = `hash, tgt, label, created_by AS createdBy, created_us AS createdUs, expires_us AS expiresUs, used_us AS usedUs,
  used_by AS usedBy`

export function keyWrites(db: Database, log: Appender) {
  const put = db.prepare('INSERT OR REPLACE INTO minion_keys (id, denied, state, pub, changed_us) VALUES (?, ?, ?, ?, ?)')
  const remove = db.prepare('DELETE FROM minion_keys WHERE id = ? AND state = ?')
  const hasKey = db.prepare('SELECT 1 FROM minion_keys WHERE id = ?').pluck()
  const forgetFacts = db.prepare('DELETE FROM minion_facts WHERE id = ?')
  // The jobs still expect the minion; what was meant for the old key is not handed to a new one.
  const forgetDeliveries = db.prepare("UPDATE job_minions SET state = 'acknowledged' WHERE minion = ? AND state = 'pending'")
  const putFacts = db.prepare('INSERT OR REPLACE INTO minion_facts (id, grains, seen_us) VALUES (?, ?, ?)')
  const spend = db.prepare(
    'UPDATE enrolments SET used_us = @nowUs, used_by = @id WHERE hash = @hash AND used_us IS NULL AND expires_us > @nowUs'
  )
  const dropExpired = db.prepare('DELETE FROM enrolments WHERE expires_us <= ?')
  const openEnrolments = db.prepare('SELECT count(*) FROM enrolments WHERE used_us IS NULL').pluck()
  const addEnrolment = db.prepare(
    `INSERT INTO enrolments (hash, tgt, label, created_by, created_us, expires_us, used_us, used_by)
     VALUES (@hash, @tgt, @label, @createdBy, @createdUs, @expiresUs, @usedUs, @usedBy)`
  )
  const removeEnrolment = db.prepare('DELETE FROM enrolments WHERE hash = ?')
  return {
    'keys.admit': ([[id, state, pub, changedUs], hash, nowUs]: [key: KeyRow, hash: string, nowUs: number]): 'stored' | 'spent' => {
      if (spend.run({ id, hash, nowUs }).changes === 0) return 'spent'
      put.run(id, state === 'denied' ? 1 : 0, state, pub, changedUs)
      log.append()
      return 'stored'
    },
    'keys.addEnrolment': ([enrolment, limit]: [enrolment: EnrolmentRecord, limit: number]): 'stored' | 'full' => {
      dropExpired.run(enrolment.createdUs)
      if ((openEnrolments.get() as number) >= limit) return 'full'
      addEnrolment.run(enrolment)
      return 'stored'
    },
    'keys.removeEnrolment': (hash: string): boolean => removeEnrolment.run(hash).changes > 0,
    'keys.put': ([id, state, pub, changedUs]: KeyRow): void => {
      put.run(id, state === 'denied' ? 1 : 0, state, pub, changedUs)
      log.append()
    },
    'keys.remove': ([id, states]: [id: string, states: readonly KeyState[]]): void => {
      for (const state of states) remove.run(id, state)
      if (hasKey.get(id) === undefined) {
        forgetFacts.run(id)
        forgetDeliveries.run(id)
      }
      log.append()
    },
    'keys.putFacts': (row: FactsRow): void => {
      putFacts.run(...row)
      log.append()
    }
  }
}

export function keyReads(db: Database) {
  const all = db.prepare('SELECT id, state, pub, changed_us FROM minion_keys ORDER BY id, denied').raw()
  const facts = db.prepare('SELECT id, grains, seen_us FROM minion_facts ORDER BY id').raw()
  const enrolment = db.prepare(`SELECT ${ENROLMENT} FROM enrolments WHERE hash = ?`)
  const enrolments = db.prepare(`SELECT ${ENROLMENT} FROM enrolments WHERE expires_us > ? ORDER BY created_us DESC, hash`)
  return {
    'keys.enrolment': (hash: string): EnrolmentRecord | null => (enrolment.get(hash) as EnrolmentRecord | undefined) ?? null,
    'keys.enrolments': (nowUs: number): EnrolmentRecord[] => enrolments.all(nowUs) as EnrolmentRecord[],
    'keys.all': (_: null): KeyRow[] => all.all() as KeyRow[],
    'keys.facts': (_: null): FactsRow[] => facts.all() as FactsRow[]
  }
}

export class SqliteKeys implements KeyStore {
  readonly #writer: Writer
  readonly #readers: Readers

  constructor(writer: Writer, readers: Readers) {
    this.#writer = writer
    this.#readers = readers
  }

  async all(): Promise<readonly KeyRecord[]> {
    const rows = await this.#readers.ask('keys.all', null)
    return rows.map(([id, state, pub, changedUs]) => ({ id, state, pub, changedUs }))
  }

  async put({ id, state, pub, changedUs }: KeyRecord, events: readonly NewEvent[]): Promise<void> {
    await this.#writer.run('keys.put', [id, state, pub, changedUs], events, pub.length)
  }

  async remove(id: string, states: readonly KeyState[], events: readonly NewEvent[]): Promise<void> {
    await this.#writer.run('keys.remove', [id, states], events)
  }

  async facts(): Promise<readonly MinionFacts[]> {
    const rows = await this.#readers.ask('keys.facts', null)
    return rows.map(([id, grains, seenUs]) => ({ id, grains: JSON.parse(grains) as Record<string, unknown>, seenUs }))
  }

  async putFacts({ id, grains, seenUs }: MinionFacts, events: readonly NewEvent[]): Promise<void> {
    const text = JSON.stringify(grains)
    await this.#writer.run('keys.putFacts', [id, text, seenUs], events, text.length)
  }

  async admit(
    { id, state, pub, changedUs }: KeyRecord,
    hash: string,
    nowUs: number,
    events: readonly NewEvent[]
  ): Promise<'stored' | 'spent'> {
    return (await this.#writer.run('keys.admit', [[id, state, pub, changedUs], hash, nowUs], events, pub.length)).result
  }

  async addEnrolment(enrolment: EnrolmentRecord, limit: number): Promise<'stored' | 'full'> {
    return (await this.#writer.run('keys.addEnrolment', [enrolment, limit])).result
  }

  enrolment(hash: string): Promise<EnrolmentRecord | null> {
    return this.#readers.ask('keys.enrolment', hash)
  }

  async enrolments(nowUs: number): Promise<readonly EnrolmentRecord[]> {
    return this.#readers.ask('keys.enrolments', nowUs)
  }

  async removeEnrolment(hash: string): Promise<boolean> {
    return (await this.#writer.run('keys.removeEnrolment', hash)).result
  }
}

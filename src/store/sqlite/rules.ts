import type { NewEvent } from '../../events/event.js'
import type { RuleRecord, RuleStore } from '../store.js'
import type { Database } from './database.js'
import type { Appender } from './events.js'
import type { Readers } from './readers.js'
import type { Writer } from './writer.js'

/** Earlier versions kept per rule. People change rules by hand; a program that does it in a loop must not fill the disk. */
const VERSIONS_KEPT = 500

export function ruleWrites(db: Database, log: Appender) {
  const version = db.prepare('SELECT version FROM rules WHERE id = ?').pluck()
  const keepOld = db.prepare('INSERT INTO rule_history (id, body) SELECT id, body FROM rules WHERE id = ?')
  const dropOldest = db.prepare(
    `DELETE FROM rule_history WHERE id = @id AND change <=
     (SELECT change FROM rule_history WHERE id = @id ORDER BY change DESC LIMIT 1 OFFSET ${VERSIONS_KEPT})`
  )
  const put = db.prepare('INSERT OR REPLACE INTO rules (id, version, body) VALUES (?, ?, ?)')
  const remove = db.prepare('DELETE FROM rules WHERE id = ?')
  const isExpected = (id: string, expected: number): boolean => ((version.get(id) as number | undefined) ?? 0) === expected
  const archive = (id: string): void => {
    keepOld.run(id)
    dropOldest.run({ id })
  }
  return {
    'rules.put': ([id, expected, newVersion, body]: [id: string, expected: number, newVersion: number, body: string]) => {
      if (!isExpected(id, expected)) return 'conflict'
      archive(id)
      put.run(id, newVersion, body)
      log.append()
      return 'stored'
    },
    'rules.remove': ([id, expected]: [id: string, expected: number]) => {
      if (expected === 0 || !isExpected(id, expected)) return 'conflict'
      archive(id)
      remove.run(id)
      log.append()
      return 'removed'
    }
  }
}

export function ruleReads(db: Database) {
  const all = db.prepare("SELECT body FROM rules ORDER BY body ->> '$.order', id").pluck()
  const history = db.prepare('SELECT body FROM rule_history WHERE id = ? ORDER BY change DESC').pluck()
  return {
    'rules.all': (_: null): string[] => all.all() as string[],
    'rules.history': (id: string): string[] => history.all(id) as string[]
  }
}

export class SqliteRules implements RuleStore {
  readonly #writer: Writer
  readonly #readers: Readers

  constructor(writer: Writer, readers: Readers) {
    this.#writer = writer
    this.#readers = readers
  }

  async all(): Promise<readonly RuleRecord[]> {
    return (await this.#readers.ask('rules.all', null)).map(ruleOf)
  }

  async put(rule: RuleRecord, expected: number, events: readonly NewEvent[]): Promise<'stored' | 'conflict'> {
    const body = JSON.stringify(rule)
    return (await this.#writer.run('rules.put', [rule.id, expected, rule.version, body], events, body.length)).result
  }

  async remove(id: string, expected: number, events: readonly NewEvent[]): Promise<'removed' | 'conflict'> {
    return (await this.#writer.run('rules.remove', [id, expected], events)).result
  }

  async history(id: string): Promise<readonly RuleRecord[]> {
    return (await this.#readers.ask('rules.history', id)).map(ruleOf)
  }
}

function ruleOf(body: string): RuleRecord {
  return JSON.parse(body) as RuleRecord
}

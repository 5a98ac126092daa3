import type { NewEvent } from '../../events/event.js'
import type { RuleRecord, RuleStore, SlsVersion, SlsVersionInfo } from '../store.js'
import type { Database } from './database.js'
import type { Appender } from './events.js'
import type { Readers } from './readers.js'
import type { Writer } from './writer.js'

/** Earlier versions kept per rule. People change rules by hand; a program that does it in a loop must not fill the disk. */
const VERSIONS_KEPT = 500
/** The same for SLS files, which are longer: 256 KiB each at most, so that one file keeps 25 MiB at worst. */
const TEXTS_KEPT = 100

export function ruleWrites(db: Database, log: Appender) {
  const version = db.prepare('SELECT version FROM rules WHERE id = ?').pluck()
  const keepOld = db.prepare('INSERT INTO rule_history (id, body) SELECT id, body FROM rules WHERE id = ?')
  const dropOldest = db.prepare(
    `DELETE FROM rule_history WHERE id = @id AND change <=
     (SELECT change FROM rule_history WHERE id = @id ORDER BY change DESC LIMIT 1 OFFSET ${VERSIONS_KEPT})`
  )
  const put = db.prepare('INSERT OR REPLACE INTO rules (id, version, body) VALUES (?, ?, ?)')
  const remove = db.prepare('DELETE FROM rules WHERE id = ?')
  const newestText = db.prepare('SELECT max(version) FROM sls_versions WHERE file = ?').pluck()
  const putText = db.prepare('INSERT INTO sls_versions (file, version, hash, text, changed_by, changed_us) VALUES (?, ?, ?, ?, ?, ?)')
  const dropTexts = db.prepare('DELETE FROM sls_versions WHERE file = ? AND version <= ?')
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
    },
    'rules.putSls': ([versions, expected]: [versions: readonly SlsVersion[], expected: number]) => {
      const { file, version: newest } = versions.at(-1)!
      if (((newestText.get(file) as number | null) ?? 0) !== expected) return 'conflict'
      for (const { version, hash, text, changedBy, changedUs } of versions) putText.run(file, version, hash, text, changedBy, changedUs)
      dropTexts.run(file, newest - TEXTS_KEPT)
      log.append()
      return 'stored'
    }
  }
}

export function ruleReads(db: Database) {
  const all = db.prepare("SELECT body FROM rules ORDER BY body ->> '$.order', id").pluck()
  const history = db.prepare('SELECT body FROM rule_history WHERE id = ? ORDER BY change DESC').pluck()
  const about = 'file, version, hash, changed_by AS changedBy, changed_us AS changedUs'
  const versions = db.prepare(`SELECT ${about} FROM sls_versions WHERE file = ? ORDER BY version DESC`)
  const oneVersion = db.prepare(`SELECT ${about}, text FROM sls_versions WHERE file = ? AND version = ?`)
  return {
    'rules.all': (_: null): string[] => all.all() as string[],
    'rules.history': (id: string): string[] => history.all(id) as string[],
    'rules.slsVersions': (file: string): SlsVersionInfo[] => versions.all(file) as SlsVersionInfo[],
    'rules.slsVersion': ([file, version]: [file: string, version: number]): SlsVersion | null =>
      (oneVersion.get(file, version) as SlsVersion | undefined) ?? null
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

  async putSls(versions: readonly SlsVersion[], expected: number, events: readonly NewEvent[]): Promise<'stored' | 'conflict'> {
    const bytes = versions.reduce((sum, { text }) => sum + (text?.length ?? 0), 0)
    return (await this.#writer.run('rules.putSls', [versions, expected], events, bytes)).result
  }

  async slsVersions(file: string): Promise<readonly SlsVersionInfo[]> {
    return this.#readers.ask('rules.slsVersions', file)
  }

  async slsVersion(file: string, version: number): Promise<SlsVersion | null> {
    return this.#readers.ask('rules.slsVersion', [file, version])
  }
}

function ruleOf(body: string): RuleRecord {
  return JSON.parse(body) as RuleRecord
}

import { createHash, randomBytes } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { brineError } from '../errors.js'
import type { Source } from '../events/event.js'
import type { EventLog } from '../events/log.js'
import type { Clock } from '../shared/clock.js'
import { dumpYaml } from '../shared/yaml.js'
import type { RuleRecord, RuleSpec, Store } from '../store/store.js'
import { MAX_TAG_BYTES, reactorRule } from '../tags/tags.js'
import { compilePath, RuleIndex } from './match.js'
import { checkOptions, NO_OPTIONS, OPTION_NAMES, optionFault, type RuleOptions } from './options.js'
import { textDiff } from './text-diff.js'

/** A rule: events with such tags have these SLS files rendered. `source`: the configuration (read-only here) or the API. */
export interface Rule extends RuleRecord {
  readonly source: 'config' | 'api'
}

/** What a caller must say of a rule, and what has a default. */
export type RuleInput = Pick<RuleSpec, 'tag' | 'sls'> & Partial<RuleSpec>

/** What a rule has that does not say otherwise; rules that were stored before a field existed have its default, too. */
export const RULE_DEFAULTS = {
  match: 'glob',
  enabled: true,
  order: 0,
  comment: '',
  tags: [],
  owner: '',
  ...NO_OPTIONS
} as const satisfies Omit<RuleSpec, 'tag' | 'sls'>

/** The fields of an author, in the order in which they are shown. */
export const RULE_FIELDS = ['tag', 'sls', ...(Object.keys(RULE_DEFAULTS) as (keyof typeof RULE_DEFAULTS)[])] as const

/** A rule without its id and without what brine knows of it. */
export function specOf(rule: RuleSpec): RuleSpec {
  return Object.fromEntries(RULE_FIELDS.map(field => [field, rule[field]])) as unknown as RuleSpec
}

export interface RulesOptions {
  readonly store: Pick<Store, 'rules'>
  readonly events: Pick<EventLog, 'prepare'>
  readonly clock: Clock
  /** Rules of the configuration, from `readConfigRules`; `replaceConfig` changes them. */
  readonly config: readonly Rule[]
}

/** What differs between two rules: the names of the fields, and the rules as YAML, compared as patches are. */
export function ruleDiff(
  from: RuleSpec & { readonly version: number },
  to: RuleSpec & { readonly version: number }
): { fields: string[]; diff: string } {
  const fields = RULE_FIELDS.filter(field => !isDeepStrictEqual(from[field], to[field]))
  return { fields, diff: textDiff(ruleText(from), ruleText(to), `version ${from.version}`, `version ${to.version}`) }
}

/** A rule as YAML, what has its default left out. */
export function ruleText(rule: RuleSpec): string {
  const told = RULE_FIELDS.filter(field => !isDeepStrictEqual(rule[field], (RULE_DEFAULTS as Partial<RuleSpec>)[field]))
  return dumpYaml(Object.fromEntries(told.map(field => [field, rule[field]])), { sortKeys: false })
}

/** Ids of rules of the configuration. */
export interface ConfigChange {
  readonly created: readonly string[]
  readonly changed: readonly string[]
  readonly removed: readonly string[]
}

/** Who changes a rule. */
export interface Author {
  readonly user: string
  readonly source: Source
}

/** SLS files of one rule. Each is rendered for each event. */
const MAX_SLS = 100
const MAX_PATH = 4096
const MAX_COMMENT = 2000
const MAX_TAGS = 50
const MAX_WORD = 100
/** Rules kept through the API. Matching does not mind, but a program that makes rules in a loop must not fill the disk. */
const MAX_RULES = 50_000

/** The rules, in the order in which they apply: first those of the configuration as they stand there, then those of the API by `order`, then by id. */
export class Rules {
  readonly #o: RulesOptions
  readonly #rules = new Map<string, Rule>()
  readonly #ranks = new Map<Rule, number>()
  #index = new RuleIndex()
  #sorted: readonly Rule[] | null = null
  #config: readonly Rule[]
  /** From when on a rule of the configuration is known to be as it is. */
  readonly #configSince = new Map<string, number>()

  private constructor(options: RulesOptions) {
    this.#o = options
    this.#config = options.config
    for (const { id } of options.config) this.#configSince.set(id, options.clock.nowUs())
  }

  static async open(options: RulesOptions): Promise<Rules> {
    const rules = new Rules(options)
    await rules.reload()
    return rules
  }

  /** Reads the stored rules again: another node may have changed them. */
  async reload(): Promise<void> {
    const stored = await this.#o.store.rules.all()
    this.#rules.clear()
    this.#index = new RuleIndex()
    for (const rule of this.#config) this.#put(rule)
    for (const rule of stored) this.#put({ ...RULE_DEFAULTS, ...rule, source: 'api' })
  }

  /** All rules, in order. */
  all(): readonly Rule[] {
    this.#sorted ??= this.#sort()
    return this.#sorted
  }

  has(id: string): boolean {
    return this.#rules.has(id)
  }

  /** Null when there is none of this id. */
  find(id: string): Rule | null {
    return this.#rules.get(id) ?? null
  }

  /** @throws NOT_FOUND */
  get(id: string): Rule {
    const rule = this.#rules.get(id)
    if (rule === undefined) throw noRule(id)
    return rule
  }

  /** The enabled rules for a tag, in order. */
  matching(tag: string): Rule[] {
    const rules = this.#index.matching(tag)
    if (rules.length < 2) return rules
    this.all()
    return rules.sort((a, b) => this.#ranks.get(a)! - this.#ranks.get(b)!)
  }

  /**
   * Puts other rules in the place of those of the configuration, in one turn: an event is matched against the old ones or the new ones, and
   * none is left out. Returns the ids of the rules that are new, other than before, and gone.
   */
  replaceConfig(config: readonly Rule[]): ConfigChange {
    const before = new Map(this.#config.map(rule => [rule.id, rule]))
    const after = new Set(config.map(rule => rule.id))
    const removed = [...before.keys()].filter(id => !after.has(id))
    const created = config.filter(rule => !before.has(rule.id))
    const changed = config.filter(rule => before.has(rule.id) && !isDeepStrictEqual(specOf(before.get(rule.id)!), specOf(rule)))
    for (const id of removed) this.#drop(before.get(id)!)
    for (const { id } of [...created, ...changed]) this.#configSince.set(id, this.#o.clock.nowUs())
    for (const rule of config) this.#put(rule)
    this.#config = config
    const ids = (rules: readonly Rule[]) => rules.map(({ id }) => id)
    return { created: ids(created), changed: ids(changed), removed }
  }

  /** From when on the rule is known to be as it is; microseconds. One of the configuration has no history: from the last start, or the reload that changed it. */
  sameSinceUs({ id, source, changedUs }: Rule): number {
    return source === 'api' ? changedUs : (this.#configSince.get(id) ?? Number.MAX_SAFE_INTEGER)
  }

  /** All versions that are kept, newest first, the current one before the earlier ones; also of a rule that was removed. @throws NOT_FOUND */
  async versions(id: string): Promise<readonly RuleRecord[]> {
    const current = this.#rules.get(id)
    if (current?.source === 'config') return [current]
    const earlier = (await this.#o.store.rules.history(id)).map(rule => ({ ...RULE_DEFAULTS, ...rule }))
    if (current === undefined && earlier.length === 0) throw noRule(id)
    return current === undefined ? earlier : [current, ...earlier]
  }

  /** One of the versions. @throws NOT_FOUND */
  async version(id: string, version: number): Promise<RuleRecord> {
    const found = (await this.versions(id)).find(rule => rule.version === version)
    if (found === undefined) throw brineError('NOT_FOUND', `version ${version} of rule ${id.slice(0, 100)}`)
    return found
  }

  /**
   * Makes a rule what it was in an earlier version, as a new version; a rule that was removed is there again. `ifVersion`: refuse unless the rule
   * has this one now. @throws NOT_FOUND, RULE_READ_ONLY, PRECONDITION_FAILED
   */
  async restore(id: string, version: number, author: Author, ifVersion?: number): Promise<Rule> {
    const spec = specOf(await this.version(id, version))
    if (this.has(id)) return this.replace(id, spec, author, ifVersion)
    if (ifVersion !== undefined) throw brineError('PRECONDITION_FAILED', `rule ${id}`)
    return this.create({ id, ...spec }, author)
  }

  /**
   * Stores a new rule; without an id it gets one.
   * @throws FIELD_INVALID naming the field; CONFLICT when the id is taken
   */
  async create(input: RuleInput & { readonly id?: string }, author: Author): Promise<Rule> {
    const id = input.id ?? `rule-${randomBytes(5).toString('hex')}`
    checkRuleId(id)
    if (this.#rules.has(id) || id.startsWith(CONFIG_PREFIX)) throw brineError('CONFLICT', `rule '${id}' exists`)
    if (this.#rules.size >= MAX_RULES) throw brineError('CONFLICT', `there are ${MAX_RULES} rules already`)
    return this.#store(id, { ...RULE_DEFAULTS, ...input }, 0, author)
  }

  /** Puts a rule in the place of another; what is not given has its default. `version`: refuse unless the rule still has this one. */
  async replace(id: string, input: RuleInput, author: Author, version?: number): Promise<Rule> {
    const rule = this.#writable(id, version)
    return this.#store(id, { ...RULE_DEFAULTS, ...input }, rule.version, author)
  }

  /** Changes single fields of a rule. */
  async change(id: string, patch: Partial<RuleInput>, author: Author, version?: number): Promise<Rule> {
    const rule = this.#writable(id, version)
    return this.#store(id, { ...specOf(rule), ...patch }, rule.version, author)
  }

  async remove(id: string, author: Author, version?: number): Promise<void> {
    const rule = this.#writable(id, version)
    const event = this.#changeEvent('removed', rule, author)
    if ((await this.#o.store.rules.remove(id, rule.version, [event])) === 'conflict') throw await this.#conflict(id)
    this.#drop(rule)
  }

  /** @throws NOT_FOUND, RULE_READ_ONLY, PRECONDITION_FAILED */
  #writable(id: string, version?: number): Rule {
    const rule = this.get(id)
    if (rule.source === 'config') throw brineError('RULE_READ_ONLY', id)
    if (version !== undefined && version !== rule.version) throw brineError('PRECONDITION_FAILED', `rule ${id}`)
    return rule
  }

  async #store(id: string, input: RuleSpec, expected: number, author: Author): Promise<Rule> {
    checkRule(input)
    // A rule that comes back goes on counting, so that a version always means the same.
    const last = expected > 0 ? expected : ((await this.#o.store.rules.history(id))[0]?.version ?? 0)
    const about = { version: last + 1, changedBy: author.user, changedUs: this.#o.clock.nowUs() }
    const record: RuleRecord = { id, ...specOf(input), ...about }
    const event = this.#changeEvent(expected === 0 ? 'created' : 'changed', record, author)
    if ((await this.#o.store.rules.put(record, expected, [event])) === 'conflict') throw await this.#conflict(id)
    const rule: Rule = { ...record, source: 'api' }
    this.#put(rule)
    return rule
  }

  /** Somebody else changed the rule between our look and our write. */
  async #conflict(id: string): Promise<Error> {
    await this.reload()
    return brineError('PRECONDITION_FAILED', `rule ${id}`)
  }

  #changeEvent(act: 'created' | 'changed' | 'removed', rule: RuleRecord, { user, source }: Author) {
    const { id, version } = rule
    return this.#o.events.prepare(reactorRule(id), { act, id, version, user, rule: { ...specOf(rule) } }, { source })
  }

  #put(rule: Rule): void {
    const before = this.#rules.get(rule.id)
    if (before) this.#index.remove(before)
    this.#rules.set(rule.id, rule)
    this.#index.add(rule)
    this.#sorted = null
  }

  #drop(rule: Rule): void {
    this.#rules.delete(rule.id)
    this.#index.remove(rule)
    this.#sorted = null
  }

  #sort(): readonly Rule[] {
    const api = [...this.#rules.values()].filter(rule => rule.source === 'api')
    const sorted = [...this.#config, ...api.sort((a, b) => a.order - b.order || (a.id < b.id ? -1 : 1))]
    this.#ranks.clear()
    sorted.forEach((rule, rank) => {
      this.#ranks.set(rule, rank)
    })
    return sorted
  }
}

/** @throws FIELD_INVALID */
export function checkRuleId(id: string): void {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(id)) return
  throw brineError('FIELD_INVALID', 'id', 'must have 1 to 64 letters, digits, dots, dashes or underscores, a letter or digit first')
}

function noRule(id: string): Error {
  return brineError('NOT_FOUND', `rule ${id.slice(0, 100)}`)
}

/** Throws FIELD_INVALID with the name of the first field that cannot be. */
export function checkRule({ tag, sls, match, order, comment, tags, owner, ...rest }: RuleSpec): void {
  if (tag === '' || Buffer.byteLength(tag) > MAX_TAG_BYTES)
    throw brineError('FIELD_INVALID', 'tag', `must have 1 to ${MAX_TAG_BYTES} bytes`)
  if (/[\u0000-\u001f\u007f]/.test(tag)) throw brineError('FIELD_INVALID', 'tag', 'has a control character, which no tag has')
  if (match === 'path') compilePath(tag)
  if (sls.length === 0 || sls.length > MAX_SLS) throw brineError('FIELD_INVALID', 'sls', `must have 1 to ${MAX_SLS} files`)
  sls.forEach((file, i) => {
    const reason = checkReference(file)
    if (reason !== null) throw brineError('FIELD_INVALID', `sls[${i}]`, reason)
  })
  if (!Number.isSafeInteger(order)) throw brineError('FIELD_INVALID', 'order', 'must be an integer')
  if (comment.length > MAX_COMMENT) throw brineError('FIELD_INVALID', 'comment', `is longer than ${MAX_COMMENT} characters`)
  if (tags.length > MAX_TAGS) throw brineError('FIELD_INVALID', 'tags', `has more than ${MAX_TAGS} words`)
  tags.forEach((word, i) => {
    if (!isWord(word))
      throw brineError('FIELD_INVALID', `tags[${i}]`, `must have 1 to ${MAX_WORD} characters, none of them a control character`)
  })
  if (owner !== '' && !isWord(owner))
    throw brineError('FIELD_INVALID', 'owner', `must have at most ${MAX_WORD} characters, none of them a control character`)
  checkOptions(rest)
}

const isWord = (text: string) => text !== '' && text.length <= MAX_WORD && !/[\u0000-\u001f\u007f]/.test(text)

/** Null when this may name SLS files: an absolute path, with or without globs, or `salt://…`. */
function checkReference(file: string): string | null {
  if (file.length > MAX_PATH || file.includes('\0')) return 'is no path'
  if (file.startsWith('salt://')) return file.length > 7 && !file.split('/').includes('..') ? null : 'must name a file below file_roots'
  return file.startsWith('/') ? null : 'must be an absolute path or salt://…'
}

/** Ids of rules from the configuration begin so, and no others. */
const CONFIG_PREFIX = 'config-'

/**
 * The rules of the setting `reactor`: a list of `{tag glob: file or list of files}`, or of `{tag glob: {sls: files, option: …}}` where a rule has
 * options. What is no mapping with one key is left out, as in Salt; so is everything when it is no list. The id names the tag (and which of
 * several entries with that tag), the version is made from the files and options: both stay the same from start to start while the entry does.
 * @throws CONFIG_INVALID with all options that cannot be
 */
export function readConfigRules(items: unknown): Rule[] {
  if (!Array.isArray(items)) return []
  const seen = new Map<string, number>()
  const faults: string[] = []
  const rules = items.flatMap((item, i) => {
    const entry = soleEntry(item)
    if (entry === null) return []
    const [tag, value] = entry
    const nth = (seen.get(tag) ?? 0) + 1
    seen.set(tag, nth)
    const { sls, options, fault } = readEntry(value)
    if (fault !== null) faults.push(`  reactor[${i}].${tag}: ${fault}`)
    return [configRule(tag, sls, options, nth)]
  })
  if (faults.length > 0)
    throw brineError('CONFIG_INVALID', faults.length === 1 ? 'a mistake' : `${faults.length} mistakes`, faults.join('\n'))
  return rules
}

interface Entry {
  readonly sls: readonly string[]
  readonly options: Partial<RuleOptions>
  readonly fault: string | null
}

/** What stands behind a tag: files, or a mapping of files and options, which Salt does not know. */
function readEntry(value: unknown): Entry {
  const files = (list: unknown) => (Array.isArray(list) ? list : [list]).filter(isText)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { sls: files(value), options: {}, fault: null }
  const { sls: references, ...options } = value as Record<string, unknown>
  const sls = files(references)
  return { sls, options: options as Partial<RuleOptions>, fault: entryFault(sls, options) }
}

function entryFault(sls: readonly string[], options: Readonly<Record<string, unknown>>): string | null {
  if (sls.length === 0) return 'sls is missing: the files of the rule'
  const unknown = Object.keys(options).find(name => !(OPTION_NAMES as readonly string[]).includes(name))
  if (unknown !== undefined) return `${unknown} is no option; there are ${['sls', ...OPTION_NAMES].join(', ')}`
  const fault = optionFault(options)
  return fault === null ? null : `${fault.field} ${fault.reason}`
}

function configRule(tag: string, sls: readonly string[], options: Partial<RuleOptions>, nth: number): Rule {
  const id = `${CONFIG_PREFIX}${hash(tag).slice(0, 10)}${nth === 1 ? '' : `-${nth}`}`
  const content = Object.keys(options).length === 0 ? sls : { sls, options }
  // 31 bits, at least 1: an integer in every engine
  const version = Number.parseInt(hash(JSON.stringify(content)).slice(0, 8), 16) & 0x7fffffff || 1
  return { ...RULE_DEFAULTS, ...options, id, version, tag, sls, changedBy: 'config', changedUs: 0, source: 'config' }
}

function soleEntry(item: unknown): [string, unknown] | null {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return null
  const entries = Object.entries(item)
  return entries.length === 1 ? entries[0]! : null
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

import { jidToTime } from '../../src/jobs/jid.js'
import type { Case, Json } from './cases.js'

/** One place where an answer is not what was recorded. */
export interface Difference {
  /** A JSON pointer into the case: `/status`, `/headers/allow`, `/body/return/0`, `/events/1/data`. */
  readonly pointer: string
  readonly expected: unknown
  readonly got: unknown
}

/** Placeholders that stand for a kind of text; those in `BOUND` mean the same text wherever they stand in a case. */
const KINDS: Readonly<Record<string, string>> = {
  http_date: '[A-Z][a-z]{2}, \\d{2} [A-Z][a-z]{2} \\d{4} \\d{2}:\\d{2}:\\d{2} GMT',
  stamp: '\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}\\.\\d{6}',
  id: '\\d+',
  size: '\\d+',
  sha256_fingerprint: '[0-9a-f]{2}(?::[0-9a-f]{2}){31}',
  pem_public_key: '-----BEGIN (?:RSA )?PUBLIC KEY-----[\\s\\S]+-----END (?:RSA )?PUBLIC KEY-----\\s*',
  pem_private_key: '-----BEGIN (?:RSA )?PRIVATE KEY-----[\\s\\S]+-----END (?:RSA )?PRIVATE KEY-----\\s*'
}
const BOUND: Readonly<Record<string, string>> = { new_session_id: '[0-9a-f]{40}', new_eauth_token: '[0-9a-f]{64}' }
const JID = '\\d{20}'

/** Left out where the recording was made: traceback frames, help texts. */
const LEFT_OUT = /\[\.\.\.\]|\[function documentation\]|\[doc text\]/

/**
 * Compares what came with what was recorded: placeholders by kind and by consistency, volatile values by shape and by consistency within the
 * case, what depends on the host by type, what was cut when stored by what is left of it.
 */
export class Comparison {
  readonly differences: Difference[] = []
  readonly #names: Map<string, string>
  readonly #volatile: readonly { pattern: string[]; kind: '' | '(order)' | '(values)' }[]
  readonly #host: readonly string[][]
  readonly #trimmed: boolean
  /** Volatile texts that were recorded, and what stands for them here. */
  readonly #met = new Map<string, string>()

  constructor(played: Case, names: ReadonlyMap<string, string>) {
    this.#names = new Map(names)
    this.#volatile = played.volatile.map(text => {
      const [, pointer = '', kind = ''] = /^(\S+)(?: (\(order\)|\(values\)))?$/.exec(text) ?? []
      return { pattern: pointer.split('/').slice(1), kind: kind as '' | '(order)' | '(values)' }
    })
    this.#host = (played.host_specific ?? []).map(pointer => pointer.split('/').slice(1))
    this.#trimmed = played.trimmed !== undefined
  }

  /** Values of placeholders that this case has shown. */
  get names(): ReadonlyMap<string, string> {
    return this.#names
  }

  compare(pointer: string, expected: Json | undefined, got: unknown): void {
    if (expected === undefined) this.#differ(pointer, expected, got)
    else if (this.#is(pointer, '(values)')) this.#shape(pointer, expected, got)
    else if (this.#is(pointer, '')) this.#changing(pointer, expected, got)
    else if (this.#host.some(pattern => fits(pattern, pointer))) this.#sameType(pointer, expected, got)
    else if (typeof expected === 'string') this.text(pointer, expected, got)
    else if (Array.isArray(expected)) this.#list(pointer, expected, got)
    else if (typeof expected === 'object' && expected !== null) this.#mapping(pointer, expected, got)
    else if (expected !== got) this.#differ(pointer, expected, got)
  }

  /** A text with placeholders. */
  text(pointer: string, expected: string, got: unknown): void {
    if (typeof got !== 'string' || !this.#matches(expected, got)) this.#differ(pointer, this.#filled(expected), got)
  }

  #mapping(pointer: string, expected: { [key: string]: Json }, got: unknown): void {
    if (typeof got !== 'object' || got === null || Array.isArray(got)) {
      this.#differ(pointer, expected, got)
      return
    }
    const left = new Map(Object.entries(got))
    for (const [key, value] of Object.entries(expected)) {
      const found = this.#key(pointer, key, left)
      if (found === null) this.#differ(`${pointer}/${key}`, value, undefined)
      else {
        this.compare(`${pointer}/${key}`, value, left.get(found))
        left.delete(found)
      }
    }
    if (this.#trimmed && pointer !== '') return
    for (const [key, value] of left) if (!this.#varies(`${pointer}/${key}`)) this.#differ(`${pointer}/${key}`, undefined, value)
  }

  /** The key that stands for a recorded one: itself, one that its placeholders fit, or any one where the key itself varies. */
  #key(pointer: string, key: string, left: ReadonlyMap<string, unknown>): string | null {
    if (left.has(key)) return key
    const fitting = [...left.keys()].find(each => key.includes('{{') && this.#matches(key, each))
    if (fitting !== undefined) return fitting
    return this.#varies(`${pointer}/${key}`) ? ([...left.keys()][0] ?? null) : null
  }

  /** A key in braces in a volatile pointer: `/body/return/0/{minion}`. */
  #varies(pointer: string): boolean {
    return this.#volatile.some(({ pattern }) => /^\{.*\}$/.test(pattern.at(-1) ?? '') && fits(pattern, pointer))
  }

  #list(pointer: string, expected: readonly Json[], got: unknown): void {
    if (!Array.isArray(got)) this.#differ(pointer, expected, got)
    else if (this.#is(pointer, '(order)')) this.#unordered(pointer, expected, got)
    else if (this.#trimmed && pointer !== '/body/return' && got.length > expected.length) this.#unordered(pointer, expected, got)
    else if (got.length !== expected.length) this.#differ(pointer, expected, got)
    else for (const [i, item] of expected.entries()) this.compare(`${pointer}/${i}`, item, got[i])
  }

  #unordered(pointer: string, expected: readonly Json[], got: readonly unknown[]): void {
    const left = [...got]
    for (const [i, item] of expected.entries()) {
      const at = left.findIndex(each => this.#same(`${pointer}/${i}`, item, each))
      if (at < 0) this.#differ(`${pointer}/${i}`, item, 'nothing like it')
      else left.splice(at, 1)
    }
    if (left.length > 0 && !this.#trimmed) this.#differ(pointer, 'nothing more', left)
  }

  /** Whether it would be the same; nothing is learnt from it, and nothing told. */
  would(pointer: string, expected: Json, got: unknown): boolean {
    const names = new Map(this.#names)
    const met = new Map(this.#met)
    const same = this.#same(pointer, expected, got)
    restore(this.#names, names)
    restore(this.#met, met)
    return same
  }

  #same(pointer: string, expected: Json, got: unknown): boolean {
    const before = this.differences.length
    this.compare(pointer, expected, got)
    return this.differences.splice(before).length === 0
  }

  /** A value that differs by run: a text keeps its form, a text that was met before is the same again; of everything else the type counts. */
  #changing(pointer: string, expected: Json, got: unknown): void {
    if (typeof expected !== 'string' || typeof got !== 'string') {
      this.#sameType(pointer, expected, got)
      return
    }
    // a placeholder that nothing stands for yet is no form: its kind is asked for
    if (this.#filled(expected).includes('{{')) {
      this.text(pointer, expected, got)
      return
    }
    if (form(this.#filled(expected)) !== form(got)) {
      this.#differ(pointer, expected, got)
      return
    }
    const before = identifying(expected)
    const now = identifying(got)
    for (const [i, text] of before.entries()) {
      const met = this.#met.get(text)
      if (met !== undefined && met !== now[i]) {
        this.#differ(pointer, `${met}, as before`, now[i])
        return
      }
      this.#met.set(text, now[i] ?? '')
    }
  }

  #sameType(pointer: string, expected: unknown, got: unknown): void {
    if (typeOf(expected) !== typeOf(got)) this.#differ(pointer, `a value like ${JSON.stringify(expected)}`, got)
  }

  /** `(values)`: the recording has names of types in place of values, or lists of keys in place of mappings. */
  #shape(pointer: string, expected: Json, got: unknown): void {
    if (typeof expected === 'string') {
      if (!(TYPE_NAMES[expected]?.(got) ?? typeof got === 'string')) this.#differ(pointer, expected, got)
    } else if (Array.isArray(expected)) this.#keys(pointer, expected, got)
    else if (typeof expected !== 'object' || expected === null) this.#sameType(pointer, expected, got)
    else if (typeof got !== 'object' || got === null) this.#differ(pointer, expected, got)
    else this.#shapes(pointer, expected, got)
  }

  #shapes(pointer: string, expected: { [key: string]: Json }, got: object): void {
    const left = new Map(Object.entries(got))
    for (const [key, value] of Object.entries(expected)) {
      const found = this.#key(pointer, key, left)
      if (found === null) this.#differ(`${pointer}/${key}`, value, undefined)
      else this.#shape(`${pointer}/${key}`, value, left.get(found))
      left.delete(found ?? '')
    }
    for (const [key, value] of left) this.#differ(`${pointer}/${key}`, undefined, value)
  }

  #keys(pointer: string, expected: readonly Json[], got: unknown): void {
    const keys = typeof got === 'object' && got !== null ? Object.keys(got).sort() : []
    const same = keys.length === expected.length && [...expected].every((key, i) => typeof key === 'string' && this.#matches(key, keys[i]!))
    if (!same) this.#differ(pointer, expected, keys)
  }

  #is(pointer: string, kind: '' | '(order)' | '(values)'): boolean {
    return this.#volatile.some(each => each.kind === kind && !/^\{.*\}$/.test(each.pattern.at(-1) ?? '') && fits(each.pattern, pointer))
  }

  /** Whether a text is the recorded one; what its placeholders stand for is known from then on. */
  #matches(expected: string, got: string): boolean {
    if (!expected.includes('{{') && !LEFT_OUT.test(expected)) return expected === got
    const seen = new Map<string, string>()
    let source = ''
    for (const part of expected.split(/(\{\{\w+\}\}|\[\.\.\.\]|\[function documentation\]|\[doc text\])/)) {
      const name = /^\{\{(\w+)\}\}$/.exec(part)?.[1]
      if (name !== undefined) source += this.#pattern(name, seen)
      else source += LEFT_OUT.test(part) ? '[\\s\\S]*' : literal(part)
    }
    const match = new RegExp(`^${source}$`).exec(got)
    if (match === null) return false
    for (const [name, group] of seen) this.#names.set(name, match.groups?.[group] ?? '')
    return true
  }

  #pattern(name: string, seen: Map<string, string>): string {
    const known = this.#names.get(name)
    if (known !== undefined) return literal(known)
    if (name in KINDS) return `(?:${KINDS[name]})`
    if (name.endsWith('_start')) {
      const jid = this.#names.get(name.slice(0, -'_start'.length))
      return jid === undefined ? '[^"]*' : literal(jidToTime(jid))
    }
    const group = seen.get(name)
    if (group !== undefined) return `\\k<${group}>`
    seen.set(name, `g${seen.size}`)
    const kind = BOUND[name] ?? (name.startsWith('jid_') ? JID : '[0-9a-f]{40,64}')
    return `(?<g${seen.size - 1}>${kind})`
  }

  #filled(text: string): string {
    return text.replace(/\{\{(\w+)\}\}/g, (whole, name: string) => this.#names.get(name) ?? whole)
  }

  #differ(pointer: string, expected: unknown, got: unknown): void {
    this.differences.push({ pointer, expected, got })
  }
}

const TYPE_NAMES: Readonly<Record<string, (value: unknown) => boolean>> = {
  bool: value => typeof value === 'boolean',
  int: value => Number.isInteger(value),
  float: value => typeof value === 'number',
  str: value => typeof value === 'string',
  object: value => typeof value === 'object' && value !== null
}

function restore<K, V>(map: Map<K, V>, before: ReadonlyMap<K, V>): void {
  map.clear()
  for (const [key, value] of before) map.set(key, value)
}

function typeOf(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'list' : typeof value
}

/** `*` fits any segment, `{x}` too. */
function fits(pattern: readonly string[], pointer: string): boolean {
  const segments = pointer.split('/').slice(1)
  return pattern.length === segments.length && pattern.every((each, i) => each === '*' || /^\{.*\}$/.test(each) || each === segments[i])
}

const IDENTIFYING = /\d{20}|\d{4}-\d\d-\d\dT[\d:.]+|[0-9a-f]{32,}/g

/** What in a text names a thing: job ids, times, tokens. */
function identifying(text: string): string[] {
  return text.match(IDENTIFYING) ?? []
}

/** A text without its numbers, times and tokens. */
function form(text: string): string {
  return text
    .replace(/\d{20}/g, '<jid>')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+/g, '<stamp>')
    .replace(/(?:[0-9a-f]{2}:)+[0-9a-f]{2}/g, '<fingerprint>')
    .replace(/[0-9a-f]{32,}/g, '<hex>')
    .replace(/\d+(?:\.\d+)?/g, '<n>')
}

function literal(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')
}

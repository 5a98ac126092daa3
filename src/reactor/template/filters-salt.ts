/** Salt's own filters on text, lists and dicts (its networks are in filters-net.ts, data formats in filters-data.ts). */

import { createHash, createHmac, randomBytes, randomInt, timingSafeEqual } from 'node:crypto'
import { floatOf, integerOf } from '../../shared/numbers.js'
import { compileGlob } from '../../tags/glob.js'
import { methodsOf } from './attributes.js'
import { flag, integer, REQUIRED, text } from './bind.js'
import type { Env, Filter } from './env.js'
import { limitError, runtimeError } from './errors.js'
import { filterTable } from './filter-table.js'
import { bytesOf, isHashable } from './filters-data.js'
import { parsePythonFloat, parsePythonInt } from './filters-lists.js'
import { jsonQuery } from './jmespath.js'
import { readYaml } from './load.js'
import { markupMethod } from './markup.js'
import { sorted } from './methods-collections.js'
import { isSpace } from './methods-str.js'
import {
  add,
  compare,
  contains,
  defined,
  divide,
  equals,
  flat,
  isInt,
  isIterable,
  isNumber,
  itemAt,
  len,
  listOf,
  toFloat,
  truthy,
  typeName
} from './operators.js'
import { escapeRegex, matchGroups, substitute } from './regex.js'
import { strftime } from './strftime.js'
import { characters, str } from './text.js'
import { Markup, orElse, PyBytes, PyDict, PyFunction, PyList, PySet, PyTuple, Undefined, type Value } from './values.js'

const { table, filter } = filterTable()

export const saltFilters: ReadonlyMap<string, Filter> = table

// ---- truth and kinds -----------------------------------------------------------------------------------------------------------------------

filter('skip', {}, () => '')
filter('to_bool', {}, value => {
  if (value === null) return false
  if (typeof value === 'boolean') return value
  if (typeof value === 'string') return /^(?:yes|1|true)$/i.test(value)
  if (isInt(value)) return value > 0
  return isHashable(value) ? false : truthy(value)
})
filter('is_list', {}, value => value instanceof PyList)
filter('is_iter', {}, value => typeof value !== 'string' && isIterable(value))
filter('is_hex', {}, value => typeof value === 'string' && parsePythonInt(value, 16) !== null)
filter('contains_whitespace', {}, (value, _args, env) =>
  listOf(value, env.budget).some(item => isSpace(text(item, "object with attribute 'isspace'")))
)
filter('exactly_n_true', { amount: 1 }, (value, [amount], env) => trueItems(value, env) === integer(amount))
filter('exactly_one_true', {}, (value, _args, env) => trueItems(value, env) === 1)

function trueItems(value: Value, env: Env): number {
  return listOf(value, env.budget).filter(truthy).length
}

filter('sequence', {}, value => {
  const collection = value instanceof PyList || value instanceof PyTuple || value instanceof PySet || value instanceof PyDict
  return collection ? value : new PyList([value])
})

// ---- text ------------------------------------------------------------------------------------------------------------------------------------

/** Python's `shlex.quote`. */
function shellQuote(value: string): string {
  if (value === '') return "''"
  return /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", `'"'"'`)}'`
}

filter('quote', {}, value => (truthy(value) ? shellQuote(text(value, 'quoted value')) : "''"))
filter('to_camelcase', { uppercamel: false }, (value, [upper]) => {
  const [first = '', ...rest] = text(value, 'snake_input').split('_')
  const capital = (word: string) => word.slice(0, 1).toUpperCase() + word.slice(1).toLowerCase()
  return (flag(upper) ? capital(first) : first) + rest.map(capital).join('')
})
filter('to_snake_case', {}, value => snakeCase(text(value, 'camel_input')))

function snakeCase(camel: string): string {
  if (camel === '') throw runtimeError('string index out of range')
  const letters = characters(camel)
  const isUpper = (letter: string | undefined) => letter !== undefined && letter !== letter.toLowerCase()
  const isLower = (letter: string | undefined) => letter !== undefined && letter !== letter.toUpperCase()
  return letters
    .map((letter, index) => {
      if (index === 0 || !isUpper(letter)) return index === 0 ? letter.toLowerCase() : letter
      return `${isLower(letters[index - 1]) || isLower(letters[index + 1]) ? '_' : ''}${letter.toLowerCase()}`
    })
    .join('')
}

for (const name of ['to_num', 'str_to_num']) {
  filter(name, {}, value => {
    if (typeof value !== 'string') return truncate(value)
    const whole = parsePythonInt(value, 10)
    if (whole !== null) return whole
    const float = parsePythonFloat(value)
    return float === null ? value : floatOf(float)
  })
}

/** Python's `int()` of a number. */
function truncate(value: Value): Value {
  if (!isNumber(value))
    throw runtimeError(`int() argument must be a string, a bytes-like object or a real number, not '${typeName(value)}'`)
  if (typeof value === 'boolean') return Number(value)
  if (isInt(value)) return value
  if (!Number.isFinite(toFloat(value))) throw runtimeError('cannot convert float to integer')
  return integerOf(BigInt(Math.trunc(toFloat(value))))
}

filter('human_to_bytes', { default_unit: 'B', handle_metric: false }, (value, [unit, metric], env) =>
  humanToBytes(str(value, env.budget), text(unit, 'default_unit'), flag(metric))
)

function humanToBytes(size: string, defaultUnit: string, metric: boolean): Value {
  const match = /^([0-9.]*)\s*(.*)$/.exec(size.trim())
  const amount = Number(match?.[1])
  const unit = (match?.[2] === '' ? defaultUnit : (match?.[2] ?? '')).toLowerCase()
  const power = 'bkmgtpezy'.indexOf(unit[0] ?? '?')
  if (match === null || match[1] === '' || Number.isNaN(amount) || power < 0 || !/^(?:b|[kmgtpezy](?:i?b)?|[kmgtpezy]i)$/.test(unit))
    return 0
  const base = metric && unit.length === 2 && unit.endsWith('b') ? 1000 : 1024
  return Math.trunc(amount * base ** power)
}

filter('path_join', { a: null, b: null, c: null, d: null, e: null, f: null, g: null, h: null }, (value, args) => {
  const parts = [value, ...args.filter(part => part !== null)].map(part => unicodeOf(part))
  return joinPath(parts)
})

/** What Salt's functions take for text: a `str`, or `bytes` in UTF-8. */
function unicodeOf(value: Value): string {
  return value instanceof PyBytes ? value.data.toString('utf8') : text(value, 'expected str, bytes, or bytearray: it')
}

/** Salt's path join: later parts never start anew at the root; the result is normalised. */
function joinPath(parts: readonly string[]): string {
  const [root = '', ...rest] = parts
  const joined = rest
    .map(part => part.replace(/^\/+/, ''))
    .reduce((path, part) => (path === '' || path.endsWith('/') ? path + part : `${path}/${part}`), root)
  const absolute = joined.startsWith('/')
  const kept: string[] = []
  for (const step of joined.split('/')) {
    if (step === '' || step === '.') continue
    if (step !== '..' || (!absolute && (kept.length === 0 || kept.at(-1) === '..'))) kept.push(step)
    else kept.pop()
  }
  return (absolute ? '/' : '') + kept.join('/') || (absolute ? '/' : '.')
}

// ---- regular expressions -------------------------------------------------------------------------------------------------------------------------

const REGEX_FLAGS = { ignorecase: false, multiline: false }

for (const search of [false, true]) {
  filter(search ? 'regex_search' : 'regex_match', { rgx: REQUIRED, ...REGEX_FLAGS }, (value, [pattern, ignoreCase, multiline], env) => {
    const flags = { ignoreCase: flag(ignoreCase), multiline: flag(multiline) }
    const groups = matchGroups(text(value, 'expected string'), text(pattern, 'pattern'), flags, search, env.budget)
    return groups === null ? null : new PyTuple(groups)
  })
}
filter('regex_replace', { rgx: REQUIRED, val: REQUIRED, ...REGEX_FLAGS }, (value, [pattern, replacement, ignoreCase, multiline], env) => {
  const flags = { ignoreCase: flag(ignoreCase), multiline: flag(multiline) }
  return substitute(text(value, 'expected string'), text(pattern, 'pattern'), text(replacement, 'repl'), flags, env.budget)
})
filter('regex_escape', {}, value => escapeRegex(text(value, 'pattern')))

filter('check_whitelist_blacklist', { whitelist: null, blacklist: null }, (value, [whitelist, blacklist], env) => {
  const allowed = expressions(whitelist!, env)
  const denied = expressions(blacklist!, env)
  if (allowed.length === 0 && denied.length === 0) return true
  const subject = text(value, 'value')
  const matches = (list: readonly string[]) => list.some(expression => expressionMatches(subject, expression, env))
  if (denied.length > 0 && matches(denied)) return false
  return allowed.length === 0 || matches(allowed)
})

function expressions(value: Value, env: Env): string[] {
  if (value === null || value === '') return []
  return typeof value === 'string' ? [value] : listOf(value, env.budget).map(item => text(item, 'expression'))
}

/** A glob, or a regular expression for the whole text. */
function expressionMatches(subject: string, expression: string, env: Env): boolean {
  if (compileGlob(expression)(subject)) return true
  try {
    return matchGroups(subject, `(?:${expression})\\Z`, {}, false, env.budget) !== null
  } catch {
    return false
  }
}

filter('substring_in_list', { list_to_search: REQUIRED }, (value, [list], env) => {
  const wanted = text(value, 'string_to_search_for')
  return listOf(list!, env.budget).some(item => text(item, 'list item').includes(wanted))
})

// ---- lists -----------------------------------------------------------------------------------------------------------------------------------------

function unique(items: Iterable<Value>, env: Env): Value[] {
  const seen = new PyDict()
  const rest: Value[] = []
  const kept: Value[] = []
  for (const item of items) {
    env.budget.step()
    if (isHashable(flat(item))) {
      if (seen.has(item)) continue
      seen.set(item, null)
    } else {
      env.budget.step(rest.length)
      if (rest.some(other => equals(other, item))) continue
      rest.push(item)
    }
    kept.push(item)
  }
  return kept
}

filter('unique', { case_sensitive: false, attribute: null }, (value, _args, env) => {
  const items = unique(listOf(value, env.budget), env)
  // Salt makes a set of what can be hashed: texts and tuples
  return isHashable(value) ? new PySet(items) : new PyList(items)
})

/** `joins`: what is no set is put together with `+`, which takes two of a kind only. */
function setFilter(name: string, joins: boolean, combine: (a: Value[], b: Value[], env: Env) => Value[]): void {
  filter(name, { lst2: REQUIRED }, (value, [other], env) => {
    if (joins && !(isHashable(value) && isHashable(other!))) add(value, other!, env.budget)
    const [a, b] = [listOf(value, env.budget), listOf(other!, env.budget)]
    const items = unique(combine(a, b, env), env)
    return isHashable(value) && isHashable(other!) ? new PySet(items) : new PyList(items)
  })
}

function among(items: readonly Value[], env: Env): (item: Value) => boolean {
  const list = new PyList([...items])
  const hashed = items.every(item => isHashable(flat(item))) ? new PySet(items) : null
  return item => (hashed !== null && isHashable(flat(item)) ? hashed.members.has(item) : contains(list, item, env.budget))
}

setFilter('union', true, (a, b) => [...a, ...b])
setFilter('intersect', false, (a, b, env) => a.filter(among(b, env)))
setFilter('difference', false, (a, b, env) => {
  const inB = among(b, env)
  return a.filter(item => !inB(item))
})
setFilter('symmetric_difference', true, (a, b, env) => {
  const [inA, inB] = [among(a, env), among(b, env)]
  return [...a.filter(item => !inB(item)), ...b.filter(item => !inA(item))]
})

for (const [name, sign] of [
  ['min', 1],
  ['max', -1]
] as const) {
  filter(name, {}, (value, _args, env) => {
    const items = listOf(value, env.budget)
    if (items.length === 0) throw runtimeError(`${name}() arg is an empty sequence`)
    return items.reduce((best, item) => {
      env.budget.step()
      return compare(item, best, name === 'min' ? '<' : '>') * sign < 0 ? item : best
    })
  })
}
filter('avg', {}, (value, _args, env) => {
  if (isHashable(value)) return floatOf(floatArgument(value))
  const total = listOf(value, env.budget).reduce((sum, item) => add(sum, item, env.budget), 0 as Value)
  return divide(total, len(value))
})
/** Python's `float(value)`. */
function floatArgument(value: Value): number {
  if (isNumber(value)) return toFloat(value)
  if (typeof value !== 'string') throw runtimeError(`float() argument must be a string or a real number, not '${typeName(value)}'`)
  const float = parsePythonFloat(value)
  if (float === null) throw runtimeError(`could not convert string to float: '${value}'`)
  return float
}

filter('sorted_ignorecase', {}, (value, _args, env) => {
  const lower = new PyFunction('lower', ([item]) => text(item, 'item').toLowerCase())
  return new PyList(sorted(listOf(value, env.budget), lower, false, env))
})
filter(
  'flatten',
  { levels: null, preserve_nulls: false },
  (value, [levels, keepNulls], env) => new PyList(flatten(value, levels === null ? 1000 : integer(levels), flag(keepNulls), env))
)

function flatten(value: Value, levels: number, keepNulls: boolean, env: Env): Value[] {
  env.budget.enter()
  const out: Value[] = []
  for (const item of listOf(value, env.budget)) {
    if (!keepNulls && (item === null || item === 'None' || item === 'null')) continue
    if (typeof flat(item) !== 'string' && isIterable(item) && levels >= 1) out.push(...flatten(item, levels - 1, keepNulls, env))
    else out.push(item)
  }
  env.budget.leave()
  return out
}

filter('compare_lists', { new: REQUIRED }, (value, [other], env) => {
  const result = new PyDict()
  const [before, after] = [listOf(value, env.budget), listOf(other!, env.budget)]
  if (typeof value === 'string') for (const item of after) text(item, "'in <string>' left operand")
  if (typeof flat(other!) === 'string') for (const item of before) text(item, "'in <string>' left operand")
  const [inBefore, inAfter] = [among(before, env), among(after, env)]
  const added = after.filter(item => !inBefore(item))
  const removed = before.filter(item => !inAfter(item))
  if (added.length > 0) result.set('new', new PyList(added))
  if (removed.length > 0) result.set('old', new PyList(removed))
  return result
})

// ---- dicts -----------------------------------------------------------------------------------------------------------------------------------------

filter('compare_dicts', { new: REQUIRED }, (value, [other], env) => {
  const [before, after] = [dictOrNothing(value), dictOrNothing(other!)]
  const result = new PyDict()
  for (const key of unique([...before.keys(), ...after.keys()], env)) {
    const [old, now] = [before.get(key), after.get(key)]
    if (old !== undefined && now !== undefined && equals(old, now)) continue
    const pair =
      now === undefined
        ? ([
            ['new', ''],
            ['old', old!]
          ] as const)
        : ([
            ['old', orElse(old, '')],
            ['new', now]
          ] as const)
    result.set(key, PyDict.of(pair))
  }
  return result
})

/** What is empty, of whatever type, has no keys. */
function dictOrNothing(value: Value): PyDict {
  return truthy(value) ? dictOf(value) : new PyDict()
}

function dictOf(value: Value): PyDict {
  if (value instanceof PyDict) return value
  throw runtimeError(`expected a dict, not ${typeName(defined(value))}`)
}

filter('traverse', { key: REQUIRED, default: null, delimiter: ':' }, (value, [key, fallback, delimiter], env) => {
  let at: Value = value
  const steps = typeof key === 'string' ? key.split(text(delimiter, 'delimiter')) : isInt(key!) ? [key!] : listOf(key!, env.budget)
  for (const step of steps) {
    const next = traverseStep(at, step, env)
    if (next === undefined) return fallback!
    at = next
  }
  return at
})

/** The dicts in a list are looked into before its places; of texts and tuples only places are known. */
function traverseStep(value: Value, step: Value, env: Env): Value | undefined {
  if (value instanceof PyList) {
    const index = typeof step === 'string' ? parsePythonInt(step, 10) : isInt(step) ? step : null
    const wanted = index ?? step
    for (const item of value.items) {
      const found = item instanceof PyDict ? item.get(wanted) : undefined
      if (found !== undefined) return found
    }
    return index === null ? undefined : itemAt(value, Number(index))
  }
  if (value instanceof PyDict) {
    const found = value.get(step)
    return found === undefined && typeof step === 'string' ? value.get(readYaml(step, env)) : found
  }
  if (!isInt(step)) return undefined
  const found = itemAt(value, Number(step))
  if (found === undefined && isIterable(value)) throw runtimeError(`${typeName(value)} index out of range`)
  return found
}

/** Filters that change the dict they get, at a path of keys. */
function dictWriter(name: string, write: (dict: PyDict, key: string, value: Value, env: Env) => void): void {
  filter(name, { keys: REQUIRED, value: REQUIRED, delimiter: ':', ordered_dict: false }, (target, [keys, value, delimiter], env) => {
    const path = text(keys, 'keys').split(text(delimiter, 'delimiter'))
    let dict = dictOf(target)
    for (const key of path.slice(0, -1)) {
      const next = dict.get(key)
      const inner = next instanceof PyDict ? next : new PyDict()
      if (next !== inner) dict.set(key, inner)
      dict = inner
    }
    env.budget.grow(1)
    write(dict, path.at(-1)!, value!, env)
    return target
  })
}

dictWriter('set_dict_key_value', (dict, key, value) => dict.set(key, value))
dictWriter('update_dict_key_value', (dict, key, value) => {
  const target = orElse(dict.get(key), new PyDict())
  if (!(target instanceof PyDict)) throw runtimeError(`Last key contains a ${typeName(target)}, but needs to be a dict.`)
  for (const [name, item] of dictOf(value).entries()) target.set(name, item)
  dict.set(key, target)
})
dictWriter('append_dict_key_value', (dict, key, value) => {
  const target = orElse(dict.get(key), new PyList([]))
  if (!(target instanceof PyList)) throw runtimeError(`Last key contains a ${typeName(target)}, cannot append to it.`)
  target.items.push(value)
  dict.set(key, target)
})
dictWriter('extend_dict_key_value', (dict, key, value, env) => {
  const target = orElse(dict.get(key), new PyList([]))
  if (!(target instanceof PyList)) throw runtimeError(`Last key contains a ${typeName(target)}, cannot extend it.`)
  target.items.push(...listOf(value, env.budget))
  dict.set(key, target)
})

filter('json_query', { expression: REQUIRED }, (value, [expression], env) => jsonQuery(text(expression, 'expression'), value, env))

table.set('method_call', (value, args, kwargs, env) => {
  const [first, ...rest] = args
  const name = text(first, 'method name')
  const marked = value instanceof Markup ? methodsOf(value.text)?.get(name) : undefined
  if (marked !== undefined) return markupMethod(name, value as Markup, marked, rest, kwargs, env)
  const method = env.attribute(value, name)
  return method instanceof Undefined ? null : env.call(method, rest, kwargs)
})

filter('mysql_to_dict', { key: REQUIRED }, (value, [key]) => mysqlToDict(text(value, 'data'), text(key, 'key')))

/** The table that `mysql` prints, as a dict of its rows by one of the columns. */
function mysqlToDict(data: string, key: string): Value {
  const rows = data
    .split(/\r?\n/)
    .filter(line => line.startsWith('|'))
    .map(line =>
      line
        .split('|')
        .slice(1, -1)
        .map(cell => cell.trim())
    )
  const [head = [], ...body] = rows
  const result = new PyDict()
  for (const row of body) {
    const entry = PyDict.of(head.map((name, index) => [name, row[index] ?? ''] as const))
    const name = entry.get(key)
    if (name !== undefined) result.set(name, entry)
  }
  return result
}

// ---- time, chance, hashes --------------------------------------------------------------------------------------------------------------------------

for (const name of ['strftime', 'date_format']) {
  filter(name, { format: '%Y-%m-%d' }, (value, [format]) => strftime(value, text(format, 'format')))
}

filter('uuid', {}, value => uuid5(bytesOf(value)))

/** Version 5 in Salt's own namespace. */
function uuid5(name: Buffer): string {
  const namespace = Buffer.from('91633ebf1c865e33935a28061f4b480e', 'hex')
  const hash = createHash('sha1').update(namespace).update(name).digest().subarray(0, 16)
  hash[6] = (hash[6]! & 0x0f) | 0x50
  hash[8] = (hash[8]! & 0x3f) | 0x80
  return hash.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

filter('hmac', { shared_secret: REQUIRED, challenge_hmac: REQUIRED }, (value, [secret, challenge]) => {
  const expected = hmac(bytesOf(value), text(secret, 'shared_secret')).digest()
  const given = Buffer.from(text(challenge, 'challenge_hmac'), 'base64')
  return given.length === expected.length && timingSafeEqual(given, expected)
})
filter('hmac_compute', { shared_secret: REQUIRED }, (value, [secret]) => hmac(bytesOf(value), text(secret, 'shared_secret')).digest('hex'))

function hmac(message: Buffer, secret: string) {
  return createHmac('sha256', secret).update(message)
}

for (const name of ['random_hash', 'rand_str']) {
  filter(name, { hash_type: 'md5' }, (_value, [type]) => {
    const algorithm = text(type, 'hash_type')
    if (!/^(?:md5|sha1|sha224|sha256|sha384|sha512)$/.test(algorithm)) throw runtimeError(`unsupported hash type ${algorithm}`)
    return createHash(algorithm).update(randomBytes(32)).digest('hex')
  })
}
filter('random_str', { size: 32 }, (value, _args, env) => {
  const size = isInt(value) ? Number(value) : 32
  if (size > 10_000) throw limitError('a random text of more than 10000 characters')
  env.budget.grow(size)
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
  return Array.from({ length: Math.max(0, size) }, () => letters[randomInt(letters.length)]!).join('')
})

/** Shuffles by hashes of the seed, so that one seed gives one order (not Python's). */
function shuffled(items: readonly Value[], seed: Value, env: Env): Value[] {
  const salt = seed === null ? randomBytes(16).toString('hex') : str(flat(seed), env.budget)
  return items
    .map((item, index) => ({ item, key: createHash('sha1').update(`${salt}/${index}`).digest('hex') }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ item }) => item)
}

filter('random_shuffle', { seed: null }, (value, [seed], env) => new PyList(shuffled(listOf(value, env.budget), seed!, env)))
filter('random_sample', { size: REQUIRED, seed: null }, (value, [size, seed], env) => {
  const items = listOf(value, env.budget)
  const count = integer(size)
  if (count < 0 || count > items.length) throw runtimeError('Sample larger than population or is negative')
  return new PyList(shuffled(items, seed!, env).slice(0, count))
})

// ---- what a template may not reach -------------------------------------------------------------------------------------------------------------------

/** Salt's filters that look at the machine's files, users or network. A template sees its data and nothing else. */
for (const name of [
  'dns_check',
  'file_hashsum',
  'get_uid',
  'http_query',
  'is_bin_file',
  'is_empty',
  'is_text_file',
  'list_files',
  'which'
]) {
  table.set(name, () => {
    throw runtimeError(`the filter '${name}' is not available: templates cannot reach files, users or the network of this machine`)
  })
}

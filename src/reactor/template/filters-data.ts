/** Filters that write and read JSON, YAML and Python's notation. */

import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { doubleQuoted } from '../../shared/yaml-emit.js'
import { flag, text } from './bind.js'
import type { Env, Filter } from './env.js'
import { runtimeError, TemplateError } from './errors.js'
import { filterTable } from './filter-table.js'
import { dumpJson, type JsonOptions } from './json.js'
import { loadData, printYaml, readJson, readYaml } from './load.js'
import { flat, isInt, listOf, typeName } from './operators.js'
import { prettyPrint } from './pprint.js'
import { str } from './text.js'
import { Markup, PyBytes, PyDict, PyDictView, PyList, PyObject, PyRecord, PySet, RichText, type Value } from './values.js'
import { printXml } from './xml.js'

const { table, filter } = filterTable()

export const dataFilters: ReadonlyMap<string, Filter> = table

/** Text that stands for a value: in YAML it is the value itself, elsewhere the text. */
function standsFor(value: Value, text: string, env: Env): Value {
  return env.yaml ? new RichText([{ value: flat(value), text, exact: true }]) : new Markup(text)
}

function indentOf(value: Value | undefined): number | string | null {
  if (value === null || value === undefined || typeof value === 'string') return value ?? null
  if (isInt(value)) return Number(value)
  throw runtimeError(`indent must be an integer, not ${typeName(value)}`)
}

filter('json', { sort_keys: true, indent: null }, (value, [sortKeys, indent], env) => {
  const text = dumpJson(value, { sortKeys: flag(sortKeys), indent: indentOf(indent) }, env.budget)
  return standsFor(value, text, env)
})

filter('tojson', { indent: null, ensure_ascii: true, sort_keys: false, separators: null }, (value, args, env) => {
  const [indent, ascii, sortKeys, separators] = args
  const options: JsonOptions = {
    indent: indentOf(indent),
    ascii: flag(ascii),
    sortKeys: flag(sortKeys),
    separators: separators === null ? null : pairOfTexts(separators!, env)
  }
  const text = dumpJson(value, options, env.budget).replace(/[<>&']/g, unit => `\\u00${unit.charCodeAt(0).toString(16)}`)
  return env.yaml ? standsFor(value, text, env) : text
})

function pairOfTexts(value: Value, env: Env): [string, string] {
  const [item, key, ...rest] = listOf(value, env.budget)
  if (rest.length > 0) throw runtimeError('too many values to unpack (expected 2)')
  return [text(item, 'item separator'), text(key, 'key separator')]
}

filter('yaml', { flow_style: true }, (value, [flow], env) => {
  const text = printYaml(value, flag(flow), env)
  return env.yaml ? new RichText([{ literal: text, line: 0, column: 0 }]) : new Markup(text)
})

filter('python', {}, (value, _args, env) => standsFor(value, prettyPrint(value, env.budget), env))

filter('xml', {}, (value, _args, env) => new Markup(printXml(value, env)))

filter('dict_to_sls_yaml_params', { flow_style: false }, (value, [flow], env) => {
  if (!(value instanceof PyDict)) throw runtimeError(`expected a dict, not ${typeName(value)}`)
  const items = [...value.entries()].map(([key, item]) => PyDict.of([[key, item]]))
  const text = printYaml(new PyList(items), flag(flow), env)
  return env.yaml ? new RichText([{ literal: text, line: 0, column: 0 }]) : new Markup(text)
})

// ---- quoting for YAML ----------------------------------------------------------------------------------------------------------------------

function quoted(value: Value, text: string, env: Env): Value {
  return env.yaml ? new RichText([{ value, text, exact: true }]) : text
}

filter('yaml_dquote', {}, (value, _args, env) => quotedText(value, text => doubleQuoted(text, false), env))
filter('yaml_squote', {}, (value, _args, env) => quotedText(value, singleQuoted, env))

function quotedText(input: Value, quote: (text: string) => string, env: Env): Value {
  const value = flat(input)
  const text = typeof value === 'string' ? value : str(value, env.budget)
  return quoted(text, quote(text), env)
}

/** PyYAML's single quotes; what they cannot hold stands in double ones. */
function singleQuoted(text: string): string {
  if (/[^\n\x20-\x7e]| \n|\n /.test(text)) return doubleQuoted(text, false)
  return `'${text.replaceAll("'", "''").replace(/\n+/g, breaks => `\n${breaks}`)}'`
}

filter('yaml_encode', {}, (input, _args, env) => {
  if (input instanceof Markup) throw runtimeError('cannot represent an object of type Markup')
  const value = flat(input)
  if (typeof value === 'string') return quoted(value, doubleQuoted(value, false), env)
  if (value instanceof PyObject)
    throw runtimeError(`yaml_encode() only works with YAML scalar data; failed for <class '${typeName(value)}'>`)
  return quoted(value, printYaml(value, true, env), env)
})

// ---- reading ---------------------------------------------------------------------------------------------------------------------------------

filter('load_yaml', {}, (value, _args, env) => {
  if (value instanceof RichText) return loadData('yaml', value, env)
  if (value instanceof PyBytes) return readYaml(value.data.toString('utf8'), env)
  if (typeof value === 'string' || value instanceof PyRecord) return readYaml(str(value, env.budget), env)
  throw runtimeError('a string or stream input is required')
})
filter('load_json', {}, (value, _args, env) => {
  if (typeof flat(value) !== 'string' && !(value instanceof PyRecord))
    throw new TemplateError('syntax', `Unable to load json from ${str(value, env.budget)}`)
  return readJson(str(value, env.budget), env)
})
filter('load_text', {}, (value, _args, env) => (value instanceof PyRecord ? str(value, env.budget) : value))

// ---- base64 and hashes -----------------------------------------------------------------------------------------------------------------------

filter('to_bytes', {}, value => new PyBytes(bytesOf(value)))
filter('base64_encode', {}, value => bytesOf(value).toString('base64'))
filter('base64_decode', {}, value => {
  const decoded = decodeBase64(bytesOf(value).toString('latin1'))
  return isUtf8(decoded) ? decoded.toString('utf8') : new PyBytes(decoded)
})

/** As Python reads it: what is no letter of the alphabet is passed over, what follows the end of a padded group too. */
function decodeBase64(source: string): Buffer {
  let digits = ''
  let pads = 0
  for (const letter of source.replace(/[^A-Za-z0-9+/=]/g, '')) {
    if (letter !== '=') {
      digits += letter
      pads = 0
    } else if (digits.length % 4 >= 2 && (digits.length % 4) + ++pads >= 4) {
      return Buffer.from(digits, 'base64')
    }
  }
  if (digits.length % 4 === 1) throw runtimeError('Invalid base64-encoded string')
  if (digits.length % 4 > 0) throw runtimeError('Incorrect padding')
  return Buffer.from(digits, 'base64')
}

/** What is hashed and encoded: a text's UTF-8. */
export function bytesOf(value: Value): Buffer {
  return value instanceof PyBytes ? value.data : Buffer.from(text(value, 'expected bytes or str'))
}

for (const name of ['md5', 'sha1', 'sha256', 'sha512']) {
  filter(name, {}, value => createHash(name).update(bytesOf(value)).digest('hex'))
}

// ---- decoding of what is text already ------------------------------------------------------------------------------------------------------------

for (const name of ['json_decode_dict', 'json_decode_list', 'json_encode_dict', 'json_encode_list']) {
  filter(name, {}, value => value)
}

/** For the tests of truth that look at Python's hashability. */
export function isHashable(value: Value): boolean {
  if (value instanceof PyDictView) return value.typeName === 'dict_values'
  return !(value instanceof PyList || value instanceof PyDict || value instanceof PySet)
}

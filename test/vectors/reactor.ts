import { isDeepStrictEqual } from 'node:util'
import { RuleIndex } from '../../src/reactor/match.js'
import { type HighDocument, parseDocuments, publishedArguments, type ReactionCallPlan } from '../../src/reactor/parse.js'
import { compilePathGlob, hasWildcards } from '../../src/reactor/path-glob.js'
import { type HostFunction, renderSls, renderText, TemplateError } from '../../src/reactor/render.js'
import { readConfigRules } from '../../src/reactor/rules.js'
import { parseYaml, parseYamlValue, YamlError } from '../../src/shared/yaml.js'
import type { Check, Content } from './play.js'
import { saltSignature } from './signatures.js'

interface Vector {
  name: string
  reactor: unknown
  files: Record<string, string>
  event: { tag: string; data: Record<string, unknown> }
  matched: string[] | null
  chunks?: unknown[]
  calls?: object[]
  errors?: { kind: string }[]
  crash?: object
}

/** reactor.json: configuration, files and event → SLS references, chunks, calls and the kinds of errors. */
export function reactorChecks(content: Content): Check[] {
  return (content.vectors as Vector[]).map(vector => ({
    name: vector.name,
    // whether a call then succeeds (`execution`) is not the reactor's concern
    expected: outcomeOf(vector),
    got: () => react(vector, 'brine'),
    differs: () => onPurpose(vector)
  }))
}

/**
 * Why brine does not do what was recorded, for vectors of any name: Salt pastes event data into YAML text, stops at the first wrong file, dies of
 * unknown types. The first of these is proved by doing the same: with pasted text the recorded outcome comes out.
 */
function onPurpose(vector: Vector): string | null {
  if (vector.crash !== undefined) return 'Salt leaves its loop with an exception here; brine reports the reaction and goes on'
  const templates = Object.values(vector.files).join('\n')
  const expected = (vector.errors ?? []).map(error => error.kind)
  if (!('data' in vector.event.data) && expected.includes('jinja_undefined') && /data(?:\.data|\[['"]data['"]\])/.test(templates)) {
    return "data['data'] of an event without such a field is its data (DESIGN: old and new reactor files both work)"
  }
  if (expected.includes('yaml') && templates.includes('tojson')) return 'escaped surrogate pairs are read as the character that they are'
  const pasted = react(vector, 'salt')
  if (pasted.chunks.some(chunk => Array.isArray((chunk as { kwarg?: unknown }).kwarg))) return 'kwarg may be a list of mappings (CLASSIC)'
  if (sameAs(pasted, outcomeOf(vector))) return 'event data is never code (DESIGN, invariant 5), and one wrong SLS does not cancel others'
  return null
}

function sameAs(a: Outcome, b: Outcome): boolean {
  return isDeepStrictEqual(structuredClone(a), structuredClone(b))
}

function outcomeOf({ matched, chunks, calls, errors }: Vector): Outcome {
  const made = (calls ?? []).map(call => comparable({ ...call, execution: undefined }))
  return { matched, chunks: chunks ?? [], calls: made, errors: (errors ?? []).map(error => error.kind).sort() }
}

interface Outcome {
  matched: string[] | null
  chunks: unknown[]
  calls: unknown[]
  errors: string[]
}

/** `salt`: event data is pasted into the text, and any invalid document cancels all reactions. */
type Way = 'brine' | 'salt'

function react({ reactor, files, event }: Vector, way: Way): Outcome {
  const rules = typeof reactor === 'string' ? parseYaml(files[reactor] ?? '') : reactor
  const matched = matching(rules, event.tag)
  const errors: { kind: string }[] = []
  const documents: HighDocument[] = []
  for (const { file, text } of matched.flatMap(reference => filesOf(reference, files))) {
    if (text === undefined) errors.push({ kind: 'sls_missing' })
    else documents.push(...rendered(file, text, { event, files, way }, errors))
  }
  const parsed = parseDocuments(documents, saltSignature)
  const stopped = way === 'salt' && parsed.errors.some(error => /^(?:invalid_high_data|compile_exception)$/.test(error.kind))
  return {
    matched,
    chunks: stopped ? [] : parsed.chunks.map(comparable),
    calls: stopped ? [] : parsed.calls.map(call => comparable(recorded(call))),
    errors: [...errors, ...parsed.errors].map(error => error.kind).sort()
  }
}

/** References in the order of the configuration. */
function matching(rules: unknown, tag: string): string[] {
  const index = new RuleIndex()
  const all = readConfigRules(rules)
  for (const rule of all) index.add(rule)
  const found = new Set(index.matching(tag))
  return all.filter(rule => found.has(rule)).flatMap(rule => rule.sls)
}

function filesOf(reference: string, files: Record<string, string>): { file: string; text: string | undefined }[] {
  if (reference.startsWith('salt://')) {
    const below = reference.slice('salt://'.length)
    return [{ file: `/var/cache/salt/master/files/base/${below}`, text: files[`/srv/salt/${below}`] }]
  }
  if (!hasWildcards(reference)) return [{ file: reference, text: files[reference] }]
  const names = Object.keys(files).filter(compilePathGlob(reference)).sort()
  return names.length === 0 ? [{ file: reference, text: undefined }] : names.map(file => ({ file, text: files[file] }))
}

const SURROUNDINGS = {
  salt: { 'test.echo': (args => args[0]) as HostFunction },
  grains: { id: 'master1' },
  pillar: {},
  opts: { id: 'master1' },
  saltenv: 'base',
  sls: ''
}

interface Surroundings {
  event: Vector['event']
  files: Record<string, string>
  way: Way
}

function rendered(file: string, text: string, { event, files, way }: Surroundings, errors: { kind: string }[]): HighDocument[] {
  try {
    const loader = (name: string) => files[`/srv/salt/${name}`] ?? null
    if (way === 'brine') return [{ file, high: renderSls(text, { ...event, file, loader, context: SURROUNDINGS }) }]
    return [{ file, high: parseYamlValue(renderText(text, { ...SURROUNDINGS, ...event }, { loader })) }]
  } catch (error) {
    if (error instanceof YamlError) errors.push({ kind: 'yaml' })
    else if (!(error instanceof TemplateError)) throw error
    else errors.push({ kind: /^(?:yaml|unknown_renderer|limit)$/.test(error.kind) ? error.kind : `jinja_${error.kind}` })
    return []
  }
}

/** A call in the form of the recordings. */
function recorded(call: ReactionCallPlan): object {
  const { client, fun, arg, kwarg, other, ignored } = call
  const common = { client, fun, arg, kwarg, other, ignored }
  if (client === 'local')
    return { ...common, tgt: call.tgt, tgt_type: call.tgt_type, ret: call.ret, published_arg: publishedArguments(call) }
  return client === 'caller' ? common : { ...common, user: 'Reactor' }
}

/** Integers beyond 2^53 are recorded as `{__int__: text}`. */
function comparable(value: unknown): unknown {
  if (typeof value === 'bigint') return { __int__: String(value) }
  if (Array.isArray(value)) return value.map(comparable)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(([, item]) => item !== undefined)
  return Object.fromEntries(entries.map(([key, item]) => [key, comparable(item)]))
}

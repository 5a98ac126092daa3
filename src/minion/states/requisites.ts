/** Which states a state depends on, and what their results mean for it. */
import { compileGlob } from '../../tags/glob.js'
import { isMapping } from '../modules/values.js'
import { watcherOf } from './index.js'
import { type Low, REQUISITES, type Requisite, type Requisites, type RunResult, tagOf } from './state.js'

export interface Lost {
  readonly kind: Requisite
  readonly key: string
  readonly value: string
}

export interface Found {
  readonly requisites: Requisites
  /** Requisites that no state fulfils. */
  readonly lost: Lost[]
}

/** The states that a state names in its requisites. `watch` of a state that cannot react is `require`. */
export function findRequisites(low: Low, chunks: readonly Low[]): Found {
  const requisites: Record<string, Low[]> = {}
  const lost: Lost[] = []
  for (const kind of REQUISITES) {
    for (const { key, value } of declared(low[kind])) {
      const matches = matcher(key, value)
      const found = chunks.filter(matches)
      if (found.length === 0) lost.push({ kind, key, value })
      const effective = kind.startsWith('watch') && !watcherOf(low.state) ? kind.replace('watch', 'require') : kind
      for (const other of found) {
        requisites[effective] ??= []
        if (!requisites[effective].includes(other)) requisites[effective].push(other)
      }
    }
  }
  return { requisites, lost }
}

/** `- file: x`, `- x` (any state with that id or name), `- sls: x`. */
function declared(value: unknown): { key: string; value: string }[] {
  if (!Array.isArray(value)) return []
  return value.flatMap(item => {
    if (typeof item === 'string') return [{ key: 'id', value: item }]
    return isMapping(item) ? Object.entries(item).map(([key, name]) => ({ key, value: String(name) })) : []
  })
}

function matcher(key: string, value: string): (low: Low) => boolean {
  const matches = /[*?[]/.test(value) ? compileGlob(value) : (text: string) => text === value
  if (key === 'sls') return low => low.__sls__ !== null && matches(low.__sls__)
  return low =>
    (key === 'id' || low.state === key) && (low.name === value || low.__id__ === value || matches(low.name) || matches(low.__id__))
}

export function lostText(lost: readonly Lost[]): string {
  const kinds = [...new Set(lost.map(({ kind }) => kind))]
  const lines = kinds.flatMap(kind => [
    `${' '.repeat(19)}${kind}:`,
    ...lost.filter(entry => entry.kind === kind).map(({ key, value }) => `${' '.repeat(23)}${key}: ${value}`)
  ])
  return `The following requisites were not found:\n${lines.map(line => `${line}\n`).join('')}`
}

export type Decision =
  | { readonly kind: 'run' }
  /** Watched states changed. */
  | { readonly kind: 'changed' }
  | { readonly kind: 'failed'; readonly failed: readonly string[] }
  /** `ran: false` marks the state as not run, so that what requires any of several does not count it. */
  | { readonly kind: 'skip'; readonly comment: string; readonly ran: boolean }

type Results = ReadonlyMap<string, RunResult>

/** What a requisite contributes to the decision. */
type Fact = 'met' | 'fail' | 'change' | 'pre' | 'premet' | 'onfail' | 'onchanges' | 'onchangesmet'

/** All requisites have run (those of `prereq`: were predicted); what becomes of the state that has them? */
export function decide(requisites: Requisites, results: Results, predicted: Results): Decision {
  const facts = new Set<Fact>()
  for (const [kind, lows] of Object.entries(requisites)) {
    const outcomes = lows.map(low => (kind === 'prereq' ? predicted : results).get(tagOf(low))).filter(result => result !== undefined)
    for (const fact of factsOf(kind as Requisite, outcomes)) facts.add(fact)
  }
  if (facts.has('fail')) return { kind: 'failed', failed: failedNames(requisites, results, predicted) }
  if (facts.has('pre')) return facts.has('premet') ? { kind: 'run' } : { kind: 'skip', comment: 'No changes detected', ran: true }
  const met = facts.has('onchangesmet')
  if (facts.has('onchanges') && !facts.has('onfail') && !met) {
    return { kind: 'skip', comment: 'State was not run because none of the onchanges reqs changed', ran: false }
  }
  if (facts.has('onfail') && !(met && facts.has('change'))) {
    return { kind: 'skip', comment: 'State was not run because onfail req did not change', ran: false }
  }
  return { kind: facts.has('change') ? 'changed' : 'run' }
}

function factsOf(kind: Requisite, outcomes: readonly RunResult[]): Set<Fact> {
  const facts = new Set(outcomes.flatMap(outcome => factOf(kind, outcome) ?? []))
  const oneIsEnough = kind.endsWith('_any') || kind === 'onfail'
  if (oneIsEnough && (facts.has('met') || facts.has('change'))) {
    facts.delete('fail')
    facts.delete('onfail')
  }
  if (kind === 'onchanges_any' && facts.has('onchangesmet')) facts.delete('fail')
  return facts
}

/** null: a state that was not run itself fulfils nothing, and is no failure. */
function factOf(kind: Requisite, { result, changes, __state_ran__: ran = true }: RunResult): Fact | null {
  const changed = Object.keys(changes).length > 0
  const met = ran ? 'met' : null
  // In test mode a state that would change something has neither failed nor succeeded; Salt lets `onfail` run then.
  if (kind.startsWith('onfail')) return result === true ? 'onfail' : met
  if (result === false) return 'fail'
  if (kind.startsWith('onchanges')) return changed ? 'onchangesmet' : 'onchanges'
  if (kind.startsWith('watch') && changed) return 'change'
  if (kind === 'prereq') return result === null ? 'premet' : 'pre'
  return met
}

/** `sls.id` of each requisite that failed. */
function failedNames(requisites: Requisites, results: Results, predicted: Results): string[] {
  const names = Object.values(requisites)
    .flat()
    .filter(low => (predicted.get(tagOf(low)) ?? results.get(tagOf(low)))?.result === false)
    .map(low => `${low.__sls__}.${low.__id__}`)
  return [...new Set(names)]
}

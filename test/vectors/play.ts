import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot } from '../../src/shared/paths.js'
import { globChecks } from './globs.js'
import { jidChecks } from './jids.js'
import { jinjaChecks } from './jinja.js'
import { reactorChecks } from './reactor.js'
import { targetingChecks } from './targeting.js'

/** One thing that a file of vectors says: under this name, this should come out. `got` computes what does; it may throw. */
export interface Check {
  readonly name: string
  readonly expected: unknown
  readonly got: () => unknown
  /** Said when brine differs from this on purpose, whatever the vector: a rule, where `differences.json` names single vectors. */
  readonly differs?: (got: unknown) => string | null
}

export interface Result {
  readonly name: string
  readonly outcome: 'passed' | 'failed' | 'differs'
  readonly expected: unknown
  readonly got: unknown
  /** Why brine differs. */
  readonly reason?: string
}

interface Format {
  readonly format: string
  /** True for content of this format. */
  readonly recognises: (content: Content) => boolean
  readonly checks: (content: Content) => Check[]
}

/** A file in one of the golden formats, parsed. */
// biome-ignore lint/suspicious/noExplicitAny: the formats are described in golden/README; each module reads its own
export type Content = any

const FORMATS: readonly Format[] = [
  { format: 'globs', recognises: content => Array.isArray(content.fnmatch ?? content.tagmatch ?? content.match_types), checks: globChecks },
  { format: 'jids', recognises: content => 'is_jid' in firstVector(content), checks: jidChecks },
  { format: 'targeting', recognises: content => 'tgt_type' in firstVector(content), checks: targetingChecks },
  { format: 'jinja', recognises: content => 'template' in firstVector(content), checks: jinjaChecks },
  { format: 'reactor', recognises: content => 'reactor' in firstVector(content), checks: reactorChecks }
]

function firstVector(content: Content): object {
  return content.vectors?.[0] ?? {}
}

/** Vectors where brine differs from Salt on purpose, each with its reason: format → name → reason. */
export type Differences = Readonly<Record<string, Readonly<Record<string, string>>>>

export function knownDifferences(): Differences {
  return JSON.parse(readFileSync(join(packageRoot(), 'test/fixtures/golden/differences.json'), 'utf8')) as Differences
}

/** Plays all vectors of a file's content. Throws when the content has none of the golden formats. */
export function play(content: Content, differences: Differences = knownDifferences()): Result[] {
  const format = FORMATS.find(each => each.recognises(content))
  if (format === undefined) throw new Error('none of the formats globs, targeting, reactor, jinja, jids')
  const known = differences[format.format] ?? {}
  return format.checks(content).map(check => run(check, known))
}

function run(check: Check, known: Readonly<Record<string, string>>): Result {
  const { name, expected } = check
  const got = attempt(check.got)
  const same = JSON.stringify(sorted(got)) === JSON.stringify(sorted(expected))
  if (same) return { name, outcome: 'passed', expected, got }
  const reason = known[name] ?? check.differs?.(got)
  return reason ? { name, outcome: 'differs', expected, got, reason } : { name, outcome: 'failed', expected, got }
}

function attempt(compute: () => unknown): unknown {
  try {
    return compute()
  } catch (error) {
    return { threw: error instanceof Error ? `${error.name}: ${error.message}` : String(error) }
  }
}

/** Order of keys means nothing in a comparison. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, sorted(item)])
  )
}

import { RegexSyntaxError } from '../../src/shared/regex/index.js'
import { compileGlob } from '../../src/tags/glob.js'
import { compileMatchType, compileTagMatch, type MatchType } from '../../src/tags/match.js'
import type { Check, Content } from './play.js'

interface Vector {
  pattern: string
  tag: string
  match?: boolean
  match_type?: MatchType
  error?: string
}

/** globs.json: fnmatch, tagmatch and match_types, each `{pattern, tag, match}`; match_types also `match_type`, or `error` instead of match. */
export function globChecks(content: Content): Check[] {
  const check = (kind: string, got: (vector: Vector) => unknown) =>
    ((content[kind] ?? []) as Vector[]).map(vector => ({
      name: [kind, vector.match_type, JSON.stringify(vector.pattern), JSON.stringify(vector.tag)].filter(Boolean).join(' '),
      expected: vector.error ?? vector.match,
      got: () => got(vector)
    }))
  return [
    ...check('fnmatch', ({ pattern, tag }) => compileGlob(pattern)(tag)),
    ...check('tagmatch', ({ pattern, tag }) => compileTagMatch(pattern)(tag)),
    ...check('match_types', matchType)
  ]
}

/** Python's error for an expression that does not compile is called `error`. */
function matchType({ match_type, pattern, tag }: Vector): boolean | string {
  try {
    return compileMatchType(match_type!, pattern)(tag)
  } catch (error) {
    if (error instanceof RegexSyntaxError) return 'error'
    throw error
  }
}

import { PythonRegex, RegexBudget, RegexSyntaxError, RegexTooCostly } from '../shared/regex/index.js'
import { compileGlob, type TagTest } from './glob.js'

/**
 * Steps for one expression and one tag (at most 1 KiB): hundreds per character. An expression that needs more does not match; it comes
 * from whoever watches and must not slow the others.
 */
const MAX_STEPS = 200_000

/**
 * `salt-run state.event TAGMATCH`: a glob, else a regular expression with `^` and `\Z` glued to its ends (so `a|b` also matches
 * `ax`) that begins at the tag's start. An invalid expression is no error, it only matches as a glob.
 */
export function compileTagMatch(pattern: string): TagTest {
  const glob = compileGlob(pattern)
  const regex = regexTest(() => new PythonRegex(`^${pattern}\\Z`), 'match')
  return tag => glob(tag) || regex(tag)
}

export type MatchType = 'startswith' | 'endswith' | 'find' | 'regex' | 'fnmatch'

/**
 * How Salt's event library compares tags. `regex` searches with `^` glued in front.
 * @throws RegexSyntaxError for an expression that does not parse
 */
export function compileMatchType(type: MatchType, pattern: string): TagTest {
  switch (type) {
    case 'startswith':
      return tag => tag.startsWith(pattern)
    case 'endswith':
      return tag => tag.endsWith(pattern)
    case 'find':
      return tag => tag.includes(pattern)
    case 'fnmatch':
      return compileGlob(pattern)
    case 'regex': {
      const regex = new PythonRegex(`^${pattern}`)
      return regexTest(() => regex, 'search')
    }
  }
}

function regexTest(make: () => PythonRegex, how: 'match' | 'search'): TagTest {
  try {
    const regex = make()
    return tag => finds(regex, tag, how)
  } catch (error) {
    if (error instanceof RegexSyntaxError) return () => false
    throw error
  }
}

function finds(regex: PythonRegex, tag: string, how: 'match' | 'search'): boolean {
  try {
    return regex[how](tag, new RegexBudget(MAX_STEPS)) !== null
  } catch (error) {
    if (error instanceof RegexTooCostly) return false
    throw error
  }
}

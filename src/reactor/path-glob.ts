import { compileGlob } from '../tags/glob.js'

/** True for names in one folder that a segment of a path glob means. */
export type NameTest = (name: string) => boolean

/**
 * A segment of a path glob as Python's `glob` reads it: `*`, `?`, `[seq]` and `[!seq]` of its fnmatch, `**` as `*`, no braces, no escapes. A name
 * that begins with a dot is only meant by a pattern that does so, too. The cost is at most pattern length x name length, whatever the pattern.
 */
export function compileSegment(segment: string): NameTest {
  const matches = compileGlob(segment)
  return segment.startsWith('.') ? matches : name => !name.startsWith('.') && matches(name)
}

/** The same for a whole path: wildcards stay within a segment. Segments without wildcards are names, whether they begin with a dot or not. */
export function compilePathGlob(pattern: string): (path: string) => boolean {
  const tests = pattern.split('/').map((segment): NameTest => (hasWildcards(segment) ? compileSegment(segment) : name => name === segment))
  return path => {
    const names = path.split('/')
    return names.length === tests.length && tests.every((test, index) => test(names[index]!))
  }
}

/** Whether a text is a pattern and not a name: Python's `glob.has_magic`. */
export function hasWildcards(text: string): boolean {
  return /[*?[]/.test(text)
}

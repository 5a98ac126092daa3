/** Longest minion id: a file name's. */
const MAX_ID = 255

/** What an operator of compound targets would take for itself. */
const OPERATORS = new Set(['and', 'or', 'not'])

/**
 * Null when the text is a minion id, else the reason, for people. Letters, digits and `. _ : -`, beginning with a letter, digit or underscore.
 * Salt refuses slashes only; brine refuses everything that is more than a name in a target (globs, commas, blanks, `@`), in a tag or in a path,
 * because ids from events end up there: an id `*` would be every minion.
 */
export function checkMinionId(id: string): string | null {
  if (id === '') return 'it is empty'
  if (id.length > MAX_ID) return `it is longer than ${MAX_ID} characters`
  if (!/^[A-Za-z0-9_]/.test(id)) return 'it must begin with a letter, a digit or an underscore'
  const bad = /[^A-Za-z0-9._:-]/u.exec(id)
  if (bad) return `it has ${JSON.stringify(bad[0])}; letters, digits and . _ : - are allowed`
  if (OPERATORS.has(id)) return 'it is an operator of compound targets'
  return null
}

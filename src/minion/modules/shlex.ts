import { InvocationError } from './errors.js'

/** Splits a command line into words as a POSIX shell does (Python's shlex.split): quotes, backslashes, no comments, no expansion. */
export function splitWords(line: string): string[] {
  const words: string[] = []
  let word: string | null = null
  let quote: '"' | "'" | null = null
  for (let at = 0; at < line.length; at++) {
    const char = line[at]!
    if (quote === "'") {
      if (char === "'") quote = null
      else word += char
    } else if (char === '\\' && (quote === null || '"\\'.includes(line[at + 1] ?? ''))) {
      if (++at >= line.length) throw new InvocationError('No escaped character')
      word = (word ?? '') + line[at]
    } else if (quote === '"') {
      if (char === '"') quote = null
      else word += char
    } else if (char === '"' || char === "'") {
      quote = char
      word ??= ''
    } else if (/\s/.test(char)) {
      if (word !== null) words.push(word)
      word = null
    } else word = (word ?? '') + char
  }
  if (quote !== null) throw new InvocationError('No closing quotation')
  if (word !== null) words.push(word)
  return words
}

/** Quotes a text as one word of a POSIX shell. */
export function quoteWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, `'"'"'`)}'`
}

/** Jinja's `urlize`: what looks like an address in a text becomes a link. */

const HTTP =
  /^((https?:\/\/|www\.)(([\w%-]+\.)+)?([a-z]{2,63}|xn--[\w%]{2,59})|([\w%-]{2,63}\.)+(com|net|int|edu|gov|org|info|mil)|(https?:\/\/)((\d{1,3}(\.\d{1,3}){3})|(\[([\da-f]{0,4}:){2}([\da-f]{0,4}:?){1,6}\])))(?::\d{1,5})?(?:[/?#]\S*)?$/i
const EMAIL = /^\S+@\w[\w.-]*\.\w+$/
/** A longer word is no address. */
const MAX_WORD = 2048
/** `ftp:`, `irc://`. */
export const SCHEME = /^[\w.+-]{2,}:\/{0,2}$/

const BRACKETS = [
  ['(', ')'],
  ['<', '>'],
  ['&lt;', '&gt;']
] as const

export interface Links {
  /** `rel` and `target`, with a space before each. */
  readonly attributes: string
  readonly shown: (url: string) => string
  readonly schemes: readonly string[]
}

/** `html`: escaped text. */
export function urlize(html: string, links: Links): string {
  return html
    .split(/(\s+)/)
    .map(word => (word.length > MAX_WORD ? word : linked(word, links)))
    .join('')
}

function linked(word: string, links: Links): string {
  const [head, middle, tail] = balanced(word)
  return head + link(middle, links) + tail
}

/** Brackets and punctuation around an address are not part of it, unless they close what it opens. */
function balanced(word: string): [head: string, middle: string, tail: string] {
  const head = /^(?:[(<]|&lt;)+/.exec(word)?.[0] ?? ''
  let middle = word.slice(head.length)
  let tail = ''
  if (/(?:[)>.,\n]|&gt;)$/.test(middle)) {
    tail = /(?:[)>.,\n]|&gt;)+$/.exec(middle)![0]
    middle = middle.slice(0, middle.length - tail.length)
  }
  for (const [open, close] of BRACKETS) {
    const opened = count(middle, open)
    if (opened <= count(middle, close)) continue
    for (let left = Math.min(opened, count(tail, close)); left > 0; left--) {
      const end = tail.indexOf(close) + close.length
      middle += tail.slice(0, end)
      tail = tail.slice(end)
    }
  }
  return [head, middle, tail]
}

function count(text: string, part: string): number {
  return text.split(part).length - 1
}

function link(text: string, { attributes, shown, schemes }: Links): string {
  if (HTTP.test(text)) {
    const href = /^https?:\/\//.test(text) ? text : `https://${text}`
    return `<a href="${href}"${attributes}>${shown(text)}</a>`
  }
  if (text.startsWith('mailto:') && EMAIL.test(text.slice(7))) return `<a href="${text}">${text.slice(7)}</a>`
  if (text.includes('@') && !text.startsWith('www.') && !text.includes(':') && EMAIL.test(text)) {
    return `<a href="mailto:${text}">${text}</a>`
  }
  const known = schemes.some(scheme => text !== scheme && text.startsWith(scheme))
  return known ? `<a href="${text}"${attributes}>${text}</a>` : text
}

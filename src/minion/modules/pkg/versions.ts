/** Versions of packages compared as Debian (deb-version(7)) and RPM (rpmvercmp) compare them. */

interface Parts {
  readonly epoch: number
  readonly version: string
  readonly release: string
}

function parts(text: string): Parts {
  const [, epoch, rest] = /^(?:(\d+):)?(.*)$/s.exec(text)!
  const dash = rest!.lastIndexOf('-')
  return {
    epoch: Number(epoch ?? 0),
    version: dash < 0 ? rest! : rest!.slice(0, dash),
    release: dash < 0 ? '' : rest!.slice(dash + 1)
  }
}

export type Compare = (a: string, b: string, ignoreEpoch?: boolean) => -1 | 0 | 1

const sign = (value: number): -1 | 0 | 1 => (value < 0 ? -1 : value > 0 ? 1 : 0)

/** Digits of any length: without their leading zeros the longer one is greater. */
function compareDigits(a: string, b: string): number {
  const [x, y] = [a.replace(/^0+/, ''), b.replace(/^0+/, '')]
  return x.length - y.length || (x < y ? -1 : x > y ? 1 : 0)
}

export const compareDeb: Compare = (a, b, ignoreEpoch = false) => {
  const [x, y] = [parts(a), parts(b)]
  return sign((ignoreEpoch ? 0 : x.epoch - y.epoch) || debPart(x.version, y.version) || debPart(x.release || '0', y.release || '0'))
}

/** `~` sorts before the end, letters before everything else. */
function weight(letter: string | undefined): number {
  if (letter === undefined || /\d/.test(letter)) return 0
  if (letter === '~') return -1
  return /[A-Za-z]/.test(letter) ? letter.charCodeAt(0) : letter.charCodeAt(0) + 256
}

/** Runs of other letters and runs of digits take turns. */
function debPart(a: string, b: string): number {
  let [x, y] = [a, b]
  while (x !== '' || y !== '') {
    const [words, others] = [/^\D*/.exec(x)![0], /^\D*/.exec(y)![0]]
    for (let at = 0; at < Math.max(words.length, others.length); at++) {
      const difference = weight(words[at]) - weight(others[at])
      if (difference !== 0) return difference
    }
    ;[x, y] = [x.slice(words.length), y.slice(others.length)]
    const [number, other] = [/^\d*/.exec(x)![0], /^\d*/.exec(y)![0]]
    const difference = compareDigits(number, other)
    if (difference !== 0) return difference
    ;[x, y] = [x.slice(number.length), y.slice(other.length)]
  }
  return 0
}

export const compareRpm: Compare = (a, b, ignoreEpoch = false) => {
  const [x, y] = [parts(a), parts(b)]
  // A version without a release stands for all of its releases.
  const releases = x.release === '' || y.release === '' ? 0 : rpmPart(x.release, y.release)
  return sign((ignoreEpoch ? 0 : x.epoch - y.epoch) || rpmPart(x.version, y.version) || releases)
}

/** Pieces of digits and of letters, separated by anything; digits are newer than letters, `~` older than the end, `^` newer. */
function rpmPart(a: string, b: string): number {
  const pieces = (text: string): string[] => text.match(/\d+|[A-Za-z]+|~|\^/g) ?? []
  const [x, y] = [pieces(a), pieces(b)]
  for (let at = 0; at < Math.max(x.length, y.length); at++) {
    const difference = rpmPiece(x[at], y[at])
    if (difference !== 0) return difference
  }
  return 0
}

function rpmPiece(a: string | undefined, b: string | undefined): number {
  if (a === b) return 0
  if (a === '~' || b === '~') return a === '~' ? -1 : 1
  if (a === undefined || b === undefined) return a === undefined ? -1 : 1
  if (a === '^' || b === '^') return a === '^' ? -1 : 1
  const [x, y] = [/^\d/.test(a), /^\d/.test(b)]
  if (x && y) return compareDigits(a, b)
  if (x !== y) return x ? 1 : -1
  return a < b ? -1 : 1
}

const OPERATORS: Readonly<Record<string, (difference: number) => boolean>> = {
  '==': difference => difference === 0,
  '!=': difference => difference !== 0,
  '<': difference => difference < 0,
  '<=': difference => difference <= 0,
  '>': difference => difference > 0,
  '>=': difference => difference >= 0
}

interface Condition {
  readonly operator: string
  readonly version: string
}

/** `>=1.2, <2`, `1.2*` (a glob), or one version. */
export function conditions(text: string): Condition[] {
  return text
    .split(',')
    .map(part => part.trim())
    .filter(part => part !== '')
    .map(part => {
      const [, operator, version] = /^([<>=!]{0,2})\s*(.*)$/.exec(part)!
      return {
        operator: operator === '' || operator === '=' || operator === '<>' ? (operator === '<>' ? '!=' : '==') : operator!,
        version: version!
      }
    })
}

/** Whether one version is what a state asks for. An epoch that the wish does not name is not compared, unless it is about older or newer. */
export function fulfils(version: string, wish: string, compare: Compare, ignoreEpoch: boolean | null): boolean {
  return conditions(wish).every(({ operator, version: wanted }) => {
    if (operator === '==' && globOf(wanted).test(version)) return true
    const ignore = ignoreEpoch ?? (!/[<>]/.test(operator) && !wanted.includes(':'))
    return (OPERATORS[operator] ?? (() => false))(compare(version, wanted, ignore))
  })
}

function globOf(pattern: string): RegExp {
  const escaped = pattern
    .replace(/[.+^${}()|\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  return new RegExp(`^${escaped}$`)
}

/** A wish that names no single version: one has to be looked for. */
export function isOpen(wish: string): boolean {
  return /[<>!*?[,]/.test(wish) || wish.startsWith('=')
}

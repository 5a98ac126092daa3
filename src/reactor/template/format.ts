/** Python's `%` formatting, `str.format` and the format mini-language. */
import { floatRepr, type WholeFloat } from '../../shared/numbers.js'
import type { Env } from './env.js'
import { limitError, runtimeError } from './errors.js'
import type { Budget } from './limits.js'
import { defined, flat, isFloat, isNumber, toBig, toFloat, typeName } from './operators.js'
import { lengthOf, repr, reprText, str } from './text.js'
import { type Kwargs, PyDict, PyList, PyObject, PyRange, PyTuple, Undefined, type Value } from './values.js'

/** Widths and precisions beyond this make text that nobody wants. */
const MAX_WIDTH = 100_000

interface Spec {
  fill: string
  align: '<' | '>' | '^' | '=' | ''
  sign: '+' | '-' | ' ' | null
  /** `z`: what rounds to zero has no sign. */
  noNegativeZero: boolean
  alternate: boolean
  width: number
  grouping: '' | ',' | '_'
  precision: number | null
  type: string
}

function bounded(width: number): number {
  if (width > MAX_WIDTH) throw limitError(`a width of ${width} is more than ${MAX_WIDTH}`)
  return width
}

// ---- the mini-language -----------------------------------------------------------------------------------------------------------------

const SPEC = /^(?:([\s\S])?([<>=^]))?([-+ ])?(z)?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([bcdeEfFgGnosxX%])?$/u

/** `format(value, spec)`. */
export function formatValue(input: Value, specText: string, budget: Budget): string {
  const value = flat(input)
  if (specText === '') return str(value, budget)
  if (value === null || value instanceof PyObject) throw runtimeError(`unsupported format string passed to ${typeName(value)}.__format__`)
  const match = SPEC.exec(specText)
  if (match === null) throw runtimeError(`Invalid format specifier '${specText}' for object of type '${typeName(value)}'`)
  const zero = match[6] !== undefined
  if (match[4] !== undefined && !/^(?:float)$/.test(typeName(value)) && !/^[eEfFgG%]$/.test(match[10] ?? ''))
    throw runtimeError('Negative zero coercion (z) not allowed in integer format specifier')
  const spec: Spec = {
    fill: match[1] ?? (zero ? '0' : ' '),
    align: (match[2] ?? (zero && typeof value !== 'string' ? '=' : '')) as Spec['align'],
    sign: (match[3] ?? null) as Spec['sign'],
    noNegativeZero: match[4] !== undefined,
    alternate: match[5] !== undefined,
    width: bounded(Number(match[7] ?? 0)),
    grouping: (match[8] ?? '') as Spec['grouping'],
    precision: match[9] === undefined ? null : bounded(Number(match[9])),
    type: match[10] ?? ''
  }
  budget.grow(spec.width)
  if (typeof value === 'string') return formatText(value, spec)
  return formatNumber(value, spec)
}

function formatText(value: string, spec: Spec): string {
  if (spec.type !== '' && spec.type !== 's') throw runtimeError(`Unknown format code '${spec.type}' for object of type 'str'`)
  if (spec.grouping !== '') throw runtimeError(`Cannot specify '${spec.grouping}' with 's'.`)
  if (spec.sign !== null) throw runtimeError('Sign not allowed in string format specifier')
  if (spec.align === '=') throw runtimeError("'=' alignment not allowed in string format specifier")
  const text = spec.precision === null ? value : [...value].slice(0, spec.precision).join('')
  return pad(text, spec.width, spec.fill, spec.align === '' ? '<' : spec.align)
}

function pad(text: string, width: number, fill: string, align: string): string {
  const missing = width - lengthOf(text)
  if (missing <= 0) return text
  if (align === '<') return text + fill.repeat(missing)
  if (align === '>') return fill.repeat(missing) + text
  const left = Math.floor(missing / 2)
  return fill.repeat(left) + text + fill.repeat(missing - left)
}

function formatNumber(value: number | bigint | boolean | WholeFloat, spec: Spec): string {
  if (isFloat(value) && /^[bcdoxX]$/.test(spec.type)) throw runtimeError(`Unknown format code '${spec.type}' for object of type 'float'`)
  const float = isFloat(value) || /^[eEfFgG%]$/.test(spec.type)
  const { negative, digits } = float ? floatDigits(toFloat(value), spec) : intDigits(toBig(value), spec)
  const sign = negative ? '-' : spec.sign === null || spec.sign === '-' ? '' : spec.sign
  if (spec.align === '=') {
    const filled = zeroGrouped(digits, spec.width - sign.length, spec.fill, spec.grouping)
    return sign + filled
  }
  return pad(sign + digits, spec.width, spec.fill, spec.align === '' ? '>' : spec.align)
}

function zeroGrouped(digits: string, width: number, fill: string, grouping: string): string {
  if (fill !== '0' || grouping === '') return pad(digits, width, fill, '>')
  let padded = digits
  while (padded.length < width) padded = groupDigits(`0${padded.replaceAll(grouping, '')}`, grouping, 3)
  return padded
}

function intDigits(big: bigint, spec: Spec): { negative: boolean; digits: string } {
  const magnitude = big < 0n ? -big : big
  if (spec.precision !== null) throw runtimeError('Precision not allowed in integer format specifier')
  const radix = { b: 2, o: 8, x: 16, X: 16 }[spec.type]
  if (spec.type === 'c') return { negative: false, digits: characterOf(big) }
  if (radix === undefined) {
    if (spec.type === 's') throw runtimeError("Unknown format code 's' for object of type 'int'")
    return { negative: big < 0n, digits: groupDigits(String(magnitude), spec.grouping, 3) }
  }
  let digits = groupDigits(magnitude.toString(radix), spec.grouping, 4)
  if (spec.alternate) digits = `0${spec.type.toLowerCase()}${digits}`
  return { negative: big < 0n, digits: spec.type === 'X' ? digits.toUpperCase() : digits }
}

/** `%c` and `{:c}` of a number. */
function characterOf(code: bigint): string {
  if (code < 0n || code > 0x10ffffn) throw runtimeError('%c arg not in range(0x110000)')
  return String.fromCodePoint(Number(code))
}

function groupDigits(digits: string, separator: string, size: number): string {
  if (separator === '') return digits
  const [whole, ...fraction] = digits.split('.')
  const grouped = whole!.replace(new RegExp(`\\B(?=([0-9a-fA-F]{${size}})+$)`, 'g'), separator)
  return [grouped, ...fraction].join('.')
}

function floatDigits(value: number, spec: Spec): { negative: boolean; digits: string } {
  const negative = value < 0 || Object.is(value, -0)
  const magnitude = Math.abs(value)
  const upper = /^[EFG]$/.test(spec.type)
  const text = floatText(magnitude, spec)
  if (spec.noNegativeZero && !/[1-9in]/.test(text.split('e')[0]!)) return { negative: false, digits: text }
  return { negative, digits: groupDigits(upper ? text.toUpperCase() : text, spec.grouping, 3) }
}

function floatText(value: number, spec: Spec): string {
  const percent = spec.type === '%'
  if (spec.type === 's') throw runtimeError("Unknown format code 's' for object of type 'float'")
  if (!Number.isFinite(value)) return `${Number.isNaN(value) ? 'nan' : 'inf'}${percent ? '%' : ''}`
  const precision = spec.precision ?? 6
  switch (spec.type.toLowerCase()) {
    case 'f':
      return fixed(value, precision)
    case '%':
      return `${fixed(value * 100, precision)}%`
    case 'e':
      return exponential(value, precision)
    case 'g':
    case 'n':
      return general(value, precision, spec.alternate)
    default:
      if (spec.precision === null) return floatRepr(value)
      return withPoint(general(value, precision, false))
  }
}

function withPoint(text: string): string {
  return /[.e]/.test(text) ? text : `${text}.0`
}

/** Python's `%.{precision}f`: exact halves go to the even digit (JavaScript's go up). */
export function fixed(value: number, precision: number): string {
  if (Math.abs(value) >= 1e21) {
    const whole = String(BigInt(value))
    return precision === 0 ? whole : `${whole}.${'0'.repeat(precision)}`
  }
  const digits = Math.min(precision, 100)
  const text = isTie(value, digits) ? tieToEven(value, digits) : value.toFixed(digits)
  return precision > digits ? text + '0'.repeat(precision - digits) : text
}

/** Whether the value lies exactly between two texts of that many digits. */
function isTie(value: number, digits: number): boolean {
  if (digits >= 60) return false
  const longer = value.toFixed(Math.min(100, digits + 40))
  return /^50*$/.test(longer.slice(longer.indexOf('.') + 1 + digits)) && Number(longer) === value
}

function tieToEven(value: number, digits: number): string {
  const exact = Math.abs(value).toFixed(digits + 1)
  const kept = BigInt(exact.replace('.', '').slice(0, -1))
  const even = String(kept % 2n === 0n ? kept : kept + 1n).padStart(digits + 1, '0')
  const text = digits === 0 ? even : `${even.slice(0, -digits)}.${even.slice(-digits)}`
  return value < 0 ? `-${text}` : text
}

function exponential(value: number, precision: number): string {
  const [mantissa, exponent] = value.toExponential(Math.min(precision, 100)).split('e') as [string, string]
  return `${mantissa}e${exponent[0]}${exponent.slice(1).padStart(2, '0')}`
}

function general(value: number, precision: number, keepZeros: boolean): string {
  const digits = Math.min(Math.max(precision, 1), 100)
  if (value === 0) return '0'
  const exponent = Number(value.toExponential(digits - 1).split('e')[1])
  const text =
    exponent < -4 || exponent >= digits ? exponential(value, digits - 1) : value.toFixed(Math.max(0, Math.min(100, digits - 1 - exponent)))
  if (keepZeros || !text.includes('.')) return text
  return text.includes('e') ? text.replace(/\.?0+e/, 'e') : text.replace(/\.?0+$/, '')
}

// ---- % ---------------------------------------------------------------------------------------------------------------------------------

const CONVERSION = /%(?:\(([^)]*)\))?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d+))?[hlL]?([\s\S])/g

/** `'%s-%d' % values`. */
export function formatPercent(format: string, values: Value, budget: Budget): string {
  const args = values instanceof PyTuple ? values.items : [values]
  let next = 0
  let named = false
  const take = (): Value => {
    if (next >= args.length) throw runtimeError('not enough arguments for format string')
    return args[next++]!
  }
  const text = format.replace(
    CONVERSION,
    (whole, key: string | undefined, flags: string, width?: string, precision?: string, type?: string) => {
      if (type === '%') return '%'
      if (key !== undefined) named = true
      const starWidth = width === '*' ? Number(take()) : Number(width ?? 0)
      const starPrecision = precision === undefined ? null : precision === '*' ? Number(take()) : Number(precision)
      const value = key === undefined ? take() : mappedValue(values, key)
      budget.step()
      const piece = convert(value, { flags, width: bounded(starWidth), precision: starPrecision, type: type! }, whole, budget)
      budget.grow(piece.length)
      return piece
    }
  )
  checkLeftovers(format, values, args, next, named)
  return text
}

function mappedValue(values: Value, key: string): Value {
  if (values instanceof Undefined) throw values.error()
  if (!(values instanceof PyDict)) throw runtimeError('format requires a mapping')
  const value = values.get(key)
  if (value === undefined) throw runtimeError(`'${key}'`)
  return value
}

function checkLeftovers(format: string, values: Value, args: readonly Value[], used: number, named: boolean): void {
  if (/%(?:\([^)]*\))?[-+ #0]*\d*(?:\.\d*)?$/.test(format.replaceAll('%%', ''))) throw runtimeError('incomplete format')
  const open =
    values instanceof PyTuple
      ? used < args.length
      : used === 0 && !(values instanceof PyDict || values instanceof PyList || values instanceof PyRange || values instanceof Undefined)
  if (open && !named) throw runtimeError('not all arguments converted during string formatting')
}

interface Conversion {
  flags: string
  width: number
  precision: number | null
  type: string
}

function convert(input: Value, conversion: Conversion, whole: string, budget: Budget): string {
  const { flags, width, precision, type } = conversion
  const value = flat(type === 's' ? defined(input) : input)
  const left = flags.includes('-')
  const fill = flags.includes('0') && !left && !'sra'.includes(type) ? '0' : ' '
  const sign = flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '-'
  if ('sra'.includes(type)) {
    const text = type === 's' ? str(value, budget) : type === 'r' ? repr(value, budget) : ascii(value, budget)
    return pad(precision === null ? text : [...text].slice(0, precision).join(''), width, ' ', left ? '<' : '>')
  }
  if (type === 'c') {
    if (typeof value === 'string' ? lengthOf(value) !== 1 : !isNumber(value) || isFloat(value))
      throw runtimeError('%c requires int or char')
    return pad(typeof value === 'string' ? value : characterOf(toBig(numeric(value, type))), width, ' ', left ? '<' : '>')
  }
  if (!'diouxXeEfFgG'.includes(type))
    throw runtimeError(`unsupported format character '${type}' (0x${whole.charCodeAt(whole.length - 1).toString(16)})`)
  const number = numeric(value, type)
  const whole_ = 'diu'.includes(type) ? truncated(number) : number
  const spec: Spec = {
    fill,
    align: left ? '<' : fill === '0' ? '=' : '>',
    sign,
    noNegativeZero: false,
    alternate: flags.includes('#'),
    width: bounded(width),
    grouping: '',
    precision: 'diouxX'.includes(type) ? null : precision,
    type: 'diu'.includes(type) ? 'd' : type
  }
  if (precision === null || !'diouxX'.includes(type)) return formatNumber(whole_, spec)
  return withDigits(formatNumber(whole_, { ...spec, sign: null, align: '>', width: 0 }), bounded(precision), spec)
}

/** An integer with at least so many digits, of `%.3d`. */
function withDigits(text: string, digits: number, spec: Spec): string {
  const [, minus, prefix, number] = /^(-?)(0[xXo])?(.*)$/.exec(text)!
  const sign = minus || (spec.sign === '-' ? '' : (spec.sign ?? ''))
  const padded = (prefix ?? '') + number!.padStart(digits, '0')
  if (spec.align === '=') return sign + padded.padStart(spec.width - sign.length, '0')
  return pad(sign + padded, spec.width, ' ', spec.align)
}

/** Python's `ascii(value)`. */
function ascii(value: Value, budget: Budget): string {
  return repr(value, budget).replace(/[^\x00-\x7f]/gu, character => {
    const code = character.codePointAt(0)!
    const hex = code.toString(16)
    if (code <= 0xff) return `\\x${hex}`
    return code <= 0xffff ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`
  })
}

function numeric(value: Value, type: string): number | bigint | boolean | WholeFloat {
  if (!'xXoc'.includes(type)) defined(value)
  if (!isNumber(value)) {
    throw runtimeError(
      'diu'.includes(type)
        ? `%${type} format: a real number is required, not ${typeName(value)}`
        : `must be real number, not ${typeName(value)}`
    )
  }
  if ('xXoc'.includes(type) && isFloat(value)) throw runtimeError(`%${type} format: an integer is required, not float`)
  return value
}

function truncated(value: number | bigint | boolean | WholeFloat): number | bigint | boolean | WholeFloat {
  return isFloat(value) ? BigInt(Math.trunc(toFloat(value))) : value
}

// ---- str.format ------------------------------------------------------------------------------------------------------------------------

/** `'{0}-{name:>5}'.format(…)`; attributes and items go through the sandbox's lookups. */
export function formatBraces(format: string, args: readonly Value[], kwargs: Kwargs | PyDict, env: Env): string {
  return bracesOf(format, { args, kwargs, env, numbered: null, next: 0 }, 0)
}

/** The arguments of a format, and how its fields name them: by themselves in order, or with numbers, but not both. */
interface Fields {
  readonly args: readonly Value[]
  readonly kwargs: Kwargs | PyDict
  readonly env: Env
  numbered: boolean | null
  next: number
}

function bracesOf(format: string, fields: Fields, depth: number): string {
  if (depth > 1) throw runtimeError('Max string recursion exceeded')
  const { env } = fields
  let out = ''
  for (let index = 0; index < format.length; ) {
    const character = format[index]!
    if ((character === '{' || character === '}') && format[index + 1] === character) {
      out += character
      index += 2
    } else if (character === '}') {
      throw runtimeError("Single '}' encountered in format string")
    } else if (character !== '{') {
      out += character
      index++
    } else {
      const end = fieldEnd(format, index)
      const field = /^([^!:]*)(?:!([rsa]))?(?::([\s\S]*))?$/.exec(format.slice(index + 1, end))
      if (field === null) throw runtimeError("expected ':' after conversion specifier")
      const value = fieldValue(numberedName(field[1]!, fields), fields)
      const spec = field[3] !== undefined && /[{}]/.test(field[3]) ? bracesOf(field[3], fields, depth + 1) : (field[3] ?? '')
      out += formatField(value, field[2], spec, env)
      index = end + 1
    }
    env.budget.step()
  }
  env.budget.grow(out.length)
  return out
}

function fieldEnd(format: string, start: number): number {
  let depth = 0
  for (let index = start; index < format.length; index++) {
    if (format[index] === '{') depth++
    else if (format[index] === '}' && --depth === 0) return index
  }
  throw runtimeError(start === format.length - 1 ? "Single '{' encountered in format string" : "expected '}' before end of string")
}

function numberedName(name: string, fields: Fields): string {
  const automatic = name === '' || /^[.[]/.test(name)
  if (!automatic && !/^\d+(?:[.[]|$)/.test(name)) return name
  if (fields.numbered !== null && fields.numbered === automatic)
    throw runtimeError(`cannot switch between manual field specification and automatic field numbering`)
  fields.numbered = !automatic
  return automatic ? `${fields.next++}${name}` : name
}

function fieldValue(name: string, { args, kwargs, env }: Fields): Value {
  const head = /^[^.[]*/.exec(name)![0]
  let value: Value | undefined
  if (/^\d+$/.test(head)) {
    value = args[Number(head)]
    if (value === undefined) throw runtimeError(`Replacement index ${head} out of range for positional args tuple`)
  } else {
    value = kwargs.get(head)
    if (value === undefined) throw runtimeError(reprText(head))
  }
  for (const [, attribute, item] of name.slice(head.length).matchAll(/\.([^.[]+)|\[([^\]]*)\]/g)) {
    value = attribute !== undefined ? env.attribute(value, attribute) : env.item(value, /^\d+$/.test(item!) ? Number(item) : item!)
  }
  return value
}

function formatField(value: Value, conversion: string | undefined, spec: string, env: Env): string {
  if (conversion === undefined) return formatValue(value, spec, env.budget)
  const text = conversion === 's' ? str(value, env.budget) : conversion === 'r' ? repr(value, env.budget) : ascii(value, env.budget)
  return formatValue(text, spec, env.budget)
}

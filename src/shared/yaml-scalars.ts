/**
 * What a plain (unquoted) YAML scalar means, as PyYAML's safe loader reads it (YAML 1.1): `yes` is true, `0x1F` is 31, `1:30` is 90,
 * `1e5` is text because it has no point. The expressions are those of PyYAML's `resolver.py`.
 */
import { floatOf, integerOf, MAX_DIGITS, type WholeFloat } from './numbers.js'

export type PlainKind = 'null' | 'bool' | 'int' | 'float' | 'merge' | 'timestamp' | 'value' | 'str'

const BOOL = /^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$/
const TRUE = /^(?:yes|true|on)$/i
const INT = /^(?:[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$/
const FLOAT =
  /^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/
const NULL = /^(?:~|null|Null|NULL|)$/
const TIMESTAMP =
  /^(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?)$/

/** The YAML 1.1 type of a plain scalar. */
export function plainKind(text: string): PlainKind {
  const first = text.charCodeAt(0)
  // digits, sign, point
  if ((first >= 48 && first <= 57) || first === 43 || first === 45 || first === 46) {
    if (INT.test(text)) return 'int'
    if (FLOAT.test(text)) return 'float'
    return TIMESTAMP.test(text) ? 'timestamp' : 'str'
  }
  if (NULL.test(text)) return 'null'
  if (BOOL.test(text)) return 'bool'
  if (text === '<<') return 'merge'
  return text === '=' ? 'value' : 'str'
}

/** The value of a plain scalar. Timestamps stay text, as in Salt's loader. */
export function plainValue(text: string): null | boolean | number | bigint | WholeFloat | string {
  switch (plainKind(text)) {
    case 'null':
      return null
    case 'bool':
      return TRUE.test(text)
    case 'int':
      return text.length > MAX_DIGITS ? text : parseYamlInt(text)
    case 'float':
      return parseYamlFloat(text)
    default:
      return text
  }
}

/** Reads what `INT` accepts. Salt takes `0644` as the decimal 644 (file modes), and only that form; `-017` and `0b11` are YAML's. */
export function parseYamlInt(text: string): number | bigint {
  let digits = text.replaceAll('_', '')
  const negative = digits.startsWith('-')
  const signed = negative || digits.startsWith('+')
  if (signed) digits = digits.slice(1)
  const value = parseUnsigned(digits, signed)
  return integerOf(negative ? -value : value)
}

function parseUnsigned(digits: string, signed: boolean): bigint {
  if (digits.includes(':')) return digits.split(':').reduce((sum, part) => sum * 60n + BigInt(part), 0n)
  if (/^0[bx]/.test(digits)) return BigInt(digits.length > 2 ? digits : '0')
  if (digits.length > 1 && digits.startsWith('0')) return BigInt(signed ? `0o${digits.slice(1)}` : digits)
  return BigInt(digits)
}

/** Reads what `FLOAT` accepts. */
export function parseYamlFloat(text: string): number | WholeFloat {
  let digits = text.replaceAll('_', '').toLowerCase()
  const sign = digits.startsWith('-') ? -1 : 1
  if (/^[-+]/.test(digits)) digits = digits.slice(1)
  if (digits === '.inf') return sign * Number.POSITIVE_INFINITY
  if (digits === '.nan') return Number.NaN
  if (digits.includes(':')) return floatOf(sign * digits.split(':').reduce((sum, part) => sum * 60 + Number(part), 0))
  return floatOf(sign * Number.parseFloat(digits))
}

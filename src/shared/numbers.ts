/**
 * Python's two kinds of number in JavaScript. An integer is a number (a bigint beyond 2^53); a float with a fraction, an infinity or NaN is a
 * number too; a float whose value is whole stands in a box, because 2.0 prints, divides and dumps otherwise than 2.
 */
export class WholeFloat {
  constructor(readonly value: number) {}
}

/** A float in the representation above. */
export function floatOf(value: number): number | WholeFloat {
  return Number.isInteger(value) ? new WholeFloat(value) : value
}

/** Python's own bound on the digits of an integer in a text: reading them takes the square of their number. */
export const MAX_DIGITS = 4300

/** An integer in the representation above. */
export function integerOf(value: bigint): number | bigint {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value
}

/** Python's `repr` of a float: shortest digits that read back, `1e+16` from 16 digits on, `1e-05` below 0.0001. */
export function floatRepr(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf'
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0'
  const [mantissa, exponentText] = value.toExponential().split('e') as [string, string]
  const exponent = Number(exponentText)
  if (exponent < -4 || exponent >= 16) {
    return `${mantissa}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`
  }
  const plain = plainDigits(mantissa, exponent)
  return plain.includes('.') ? plain : `${plain}.0`
}

function plainDigits(mantissa: string, exponent: number): string {
  const sign = mantissa.startsWith('-') ? '-' : ''
  const digits = mantissa.replace(/[-.]/g, '')
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0')
  const fraction = digits.slice(exponent + 1)
  return fraction === '' ? sign + whole : `${sign}${whole}.${fraction}`
}

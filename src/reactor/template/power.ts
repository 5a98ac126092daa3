/**
 * `x ** y` of floats as C's `pow` gives it (and so Python): rounded correctly but for a hair. JavaScript's own is off by one in the last place
 * now and then. Numbers are pairs of floats here (high and low part, some 106 bits).
 */
type Pair = readonly [high: number, low: number]

/** Exponents up to here are worked out by multiplying. */
const MAX_MULTIPLIED = 1024

export function pow(x: number, y: number): number {
  const rough = x ** y
  // nothing to refine: special values, what is out of range, and results with fewer bits than a float has
  if (!Number.isFinite(rough) || Math.abs(rough) < 1e-290 || x === 1 || y === 0 || y === 1) return rough
  if (Number.isInteger(y) && Math.abs(y) <= MAX_MULTIPLIED) {
    const power = multiplied(x, Math.abs(y))
    if (!Number.isFinite(power[0]) || !Number.isFinite(power[1]) || Math.abs(power[0]) < 1e-290) return rough
    const [high, low] = y < 0 ? quotient([1, 0], power) : power
    return near(high + low, rough)
  }
  if (x <= 0) return rough
  const [high, low] = exponential(product([y, 0], logarithm(x)))
  return near(high + low, rough)
}

/** The refined result; it differs in the last places at most, or something overflowed on the way. */
function near(refined: number, rough: number): number {
  return Math.abs(refined - rough) <= Math.abs(rough) * 1e-13 ? refined : rough
}

function multiplied(x: number, times: number): Pair {
  let result: Pair = [1, 0]
  let square: Pair = [x, 0]
  for (let left = times; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) result = product(result, square)
    if (left > 1) square = product(square, square)
  }
  return result
}

function sum([a, b]: Pair, [c, d]: Pair): Pair {
  const s = a + c
  const t = s - a
  const low = a - (s - t) + (c - t) + b + d
  const high = s + low
  return [high, low - (high - s)]
}

/** The exact product of two floats (Dekker). */
function exact(a: number, b: number): Pair {
  const high = a * b
  const [a1, a2] = split(a)
  const [b1, b2] = split(b)
  return [high, a1 * b1 - high + a1 * b2 + a2 * b1 + a2 * b2]
}

function split(a: number): Pair {
  const scaled = 134_217_729 * a
  const high = scaled - (scaled - a)
  return [high, a - high]
}

function product([a, b]: Pair, [c, d]: Pair): Pair {
  const [p, e] = exact(a, c)
  const low = e + a * d + b * c
  const high = p + low
  return [high, low - (high - p)]
}

function quotient(a: Pair, b: Pair): Pair {
  const first = a[0] / b[0]
  const rest = sum(a, negated(product([first, 0], b)))
  return sum([first, 0], [rest[0] / b[0], 0])
}

function negated([a, b]: Pair): Pair {
  return [-a, -b]
}

const LN2: Pair = [Math.LN2, 2.3190468138462996e-17]

/** `e ** a`: a reduced to a 512th of what lies within ln 2, a short series, and nine squarings. */
function exponential(a: Pair): Pair {
  const twos = Math.round(a[0] / LN2[0])
  const rest = sum(a, negated(product([twos, 0], LN2)))
  const small: Pair = [rest[0] / 512, rest[1] / 512]
  let result: Pair = [1, 0]
  for (let term = 10; term > 0; term--) result = sum([1, 0], quotient(product(small, result), [term, 0]))
  for (let i = 0; i < 9; i++) result = product(result, result)
  const scale = 2 ** Math.trunc(twos / 2)
  const other = 2 ** (twos - Math.trunc(twos / 2))
  return [result[0] * scale * other, result[1] * scale * other]
}

/** The natural logarithm: JavaScript's, improved by one of Newton's steps. */
function logarithm(x: number): Pair {
  let twos = Math.round(Math.log2(x))
  if (Math.abs(twos) > 1000) twos = Math.sign(twos) * 1000
  const part = x / 2 ** twos
  const rough: Pair = [Math.log(part), 0]
  const correction = sum(product([part, 0], exponential(negated(rough))), [-1, 0])
  return sum(sum(product([twos, 0], LN2), rough), correction)
}

/** One line of the report. */
export interface Figure {
  readonly name: string
  readonly figure: string
  /** What it is compared with, measured in the same run. */
  readonly reference: string
  readonly ratio: string
  readonly limit: string
  readonly pass: boolean
}

export type Bench = () => Promise<readonly Figure[]>

/** `value` must be at least (or at most) `limit` times `reference`. */
export function compare(
  name: string,
  value: number,
  reference: number,
  limit: { atLeast: number } | { atMost: number },
  unit: string,
  referenceName: string
): Figure {
  const ratio = value / reference
  const pass = 'atLeast' in limit ? ratio >= limit.atLeast : ratio <= limit.atMost
  const bound = 'atLeast' in limit ? `>= ${limit.atLeast}` : `<= ${limit.atMost}`
  return {
    name,
    figure: `${short(value)} ${unit}`,
    reference: `${short(reference)} ${unit} (${referenceName})`,
    ratio: ratio.toFixed(2),
    limit: bound,
    pass
  }
}

/** `value` itself must be at least (or at most) the limit. */
export function absolute(name: string, value: number, limit: { atLeast: number } | { atMost: number }, unit: string, note = ''): Figure {
  const pass = 'atLeast' in limit ? value >= limit.atLeast : value <= limit.atMost
  const bound = 'atLeast' in limit ? `>= ${short(limit.atLeast)} ${unit}` : `<= ${short(limit.atMost)} ${unit}`
  return { name, figure: `${short(value)} ${unit}`, reference: note, ratio: '', limit: bound, pass }
}

export function short(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en')
  return value >= 10 ? value.toFixed(1) : value.toPrecision(2)
}

/** The value below which a share of the values lies. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

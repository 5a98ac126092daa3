/** How many letters must be inserted, removed, replaced or swapped with their neighbour to make `a` into `b`. */
export function editDistance(a: string, b: string): number {
  let before: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, before[j - 2]! + 1)
      row.push(cost)
    }
    before = previous
    previous = row
  }
  return previous[b.length]!
}

/** The word that was probably meant: the nearest one, when it is near. */
export function suggest(word: string, known: Iterable<string>): string | null {
  let best: string | null = null
  // A third of the letters may be wrong; more is another word.
  let least = Math.floor(Math.max(word.length, 3) / 3) + 1
  for (const each of known) {
    const distance = editDistance(word, each)
    if (distance < least) {
      least = distance
      best = each
    }
  }
  return best
}

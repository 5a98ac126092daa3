import { diffOf, splitLines } from '../minion/states/file/diff.js'

/** Lines of two texts together that are compared: it takes time that grows with their product at worst. */
const MAX_LINES = 20_000

/** The difference as a patch has it; '' for equal texts. */
export function textDiff(before: string, after: string, from: string, to: string): string {
  const lines = splitLines(before).length + splitLines(after).length
  if (lines > MAX_LINES) return before === after ? '' : `--- ${from}\n+++ ${to}\n(${lines} lines: too many to compare)\n`
  return diffOf(Buffer.from(before), Buffer.from(after)).replace('--- \n+++ \n', () => `--- ${from}\n+++ ${to}\n`)
}

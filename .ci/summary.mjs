// Reads a TAP file as tap writes it and prints the failures, the skips, and last `N passed, N failed[, N skipped]`.
import { readFileSync } from 'node:fs'

const lines = readFileSync(process.argv[2], 'utf8').split('\n')
const path = []
const failures = []
const skips = []
let passed = 0

for (let at = 0; at < lines.length; at++) {
  const line = lines[at]
  const subtest = /^(\s*)# Subtest: (.*)$/.exec(line)
  if (subtest) {
    path.length = subtest[1].length / 4
    path.push(subtest[2])
    continue
  }
  const result = /^(\s*)(not )?ok \d+(?: - (.*))?$/.exec(line)
  if (!result) continue
  const [, indent, not, text = ''] = result
  const where = [...path.slice(0, indent.length / 4), text].join(' > ')
  if (/# SKIP/i.test(text)) skips.push(where)
  else if (not) {
    // A failed subtest repeats what its own assertions said; it counts only when nothing below it failed (a plan, a time-out).
    const parent = / # time=/.test(text)
    if (!parent || !failures.some(failure => failure.where.startsWith(where.replace(/ # time=.*/, '')))) failures.push({ where, at })
  } else if (!/ # time=/.test(text)) passed++
}

for (const { where, at } of failures) {
  console.log(`FAILED ${where}`)
  for (let next = at + 1; next < lines.length && next < at + 40; next++) {
    console.log(lines[next])
    if (/^\s*\.\.\.$/.test(lines[next])) break
  }
}
for (const skip of skips) console.log(`SKIPPED ${skip}`)
if (passed + failures.length === 0) failures.push({ where: 'no test ran' })
console.log(`${passed} passed, ${failures.length} failed${skips.length > 0 ? `, ${skips.length} skipped` : ''}`)
process.exitCode = failures.length > 0 ? 1 : 0

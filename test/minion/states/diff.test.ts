import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { diffOf, looksBinary, unifiedDiff } from '../../../src/minion/states/file/diff.js'
import { packageRoot } from '../../../src/shared/paths.js'

const diff = (before: string, after: string): string => diffOf(Buffer.from(before), Buffer.from(after))

// The expected texts are what Python 3.11's difflib.unified_diff gives for the same lines.
t.test('differences are those of Python', async t => {
  t.equal(diff('a\n', 'b\n'), '--- \n+++ \n@@ -1 +1 @@\n-a\n+b\n')
  t.equal(diff('', 'a\nb\n'), '--- \n+++ \n@@ -0,0 +1,2 @@\n+a\n+b\n')
  t.equal(diff('a\nb\n', ''), '--- \n+++ \n@@ -1,2 +0,0 @@\n-a\n-b\n')
  t.equal(diff('a', 'b'), '--- \n+++ \n@@ -1 +1 @@\n-a+b', 'lines keep their ends, also when they have none')
  t.equal(diff('same\n', 'same\n'), '')
  t.equal(
    diff('1\n2\n3\n4\n5\n6\n7\n8\n9\n', '1\n2\n3\n4\nfive\n6\n7\n8\n9\n'),
    '--- \n+++ \n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n'
  )
})

t.test('changes far from each other have hunks of their own, near ones share one', async t => {
  const lines = Array.from({ length: 30 }, (_, index) => `l${index}\n`)
  const changed = [...lines]
  changed[3] = 'x\n'
  changed[25] = 'y\n'
  const hunks = unifiedDiff(lines, changed).filter(line => line.startsWith('@@'))
  t.same(hunks, ['@@ -1,7 +1,7 @@\n', '@@ -23,7 +23,7 @@\n'])
  changed[25] = 'l25\n'
  changed[9] = 'z\n'
  t.same(
    unifiedDiff(lines, changed).filter(line => line.startsWith('@@')),
    ['@@ -1,13 +1,13 @@\n']
  )
})

t.test('lines that make up much of a long text do not begin a match (difflib: autojunk)', async t => {
  const before = Array.from({ length: 300 }, (_, index) => (index % 2 === 0 ? '\n' : `line ${index}\n`))
  const after = before.toSpliced(101, 1, 'other\n')
  const shown = unifiedDiff(before, after)
  t.same(shown.slice(2), ['@@ -99,7 +99,7 @@\n', ' \n', ' line 99\n', ' \n', '-line 101\n', '+other\n', ' \n', ' line 103\n', ' \n'])
})

t.test('sixty texts and their changes, as Python compares them', async t => {
  const cases = JSON.parse(await readFile(join(packageRoot(), 'test/fixtures/unified-diff.json'), 'utf8')) as {
    a: string[]
    b: string[]
    diff: string[]
  }[]
  t.equal(cases.length, 60)
  for (const { a, b, diff: wanted } of cases) t.same(unifiedDiff(a, b), wanted, `${a.join('')}|${b.join('')}`)
})

t.test('binary files have no lines', async t => {
  t.ok(looksBinary(Buffer.from([1, 0, 2])))
  t.notOk(looksBinary(Buffer.from('héllo ☃\n')))
  t.notOk(looksBinary(Buffer.alloc(0)))
  t.equal(diffOf(Buffer.from([0]), Buffer.from([0, 1])), 'Replace binary file')
  t.equal(diffOf(Buffer.from([0]), Buffer.from('a')), 'Replace binary file with text file')
  t.equal(diffOf(Buffer.from('a'), Buffer.from([0])), 'Replace text file with binary file')
})

import fc from 'fast-check'
import t from 'tap'
import { compileGlob } from '../../src/tags/glob.js'
import { GlobIndex } from '../../src/tags/index.js'

const text = fc.stringMatching(/^[ab/c]{0,4}$/)
const pattern = fc.array(fc.oneof(text, fc.constantFrom('*', '?', '[ab]', '[!a]', '*/')), { maxLength: 5 }).map(parts => parts.join(''))

t.test('the index finds what matching each pattern by itself finds, in the order of adding, also after removals', async () => {
  const steps = fc.array(fc.record({ pattern, remove: fc.boolean() }), { maxLength: 120 })
  fc.assert(
    fc.property(steps, fc.array(fc.stringMatching(/^[ab/c]{0,9}$/), { minLength: 5, maxLength: 5 }), (steps, tags) => {
      const index = new GlobIndex<number>()
      const kept: { pattern: string; value: number }[] = []
      steps.forEach((step, value) => {
        index.add(step.pattern, value)
        kept.push({ pattern: step.pattern, value })
        if (!step.remove) return
        const [gone] = kept.splice(value % kept.length, 1)
        index.remove(gone!.pattern, gone!.value)
      })
      for (const tag of tags) {
        const expected = kept.filter(each => compileGlob(each.pattern)(tag)).map(each => each.value)
        if (JSON.stringify(index.match(tag)) !== JSON.stringify(expected)) return false
      }
      return true
    }),
    { numRuns: 150 }
  )
})

t.test('ten thousand patterns are told apart by prefix, by suffix and by what stands between', async t => {
  const index = new GlobIndex<string>()
  const shapes = [
    (n: number) => `myco/rule${n}/*`,
    (n: number) => `salt/beacon/*/inotify//etc/file${n}`,
    (n: number) => `*/needle${n}/*`,
    (n: number) => `exact/${n}`
  ]
  for (let n = 0; n < 2500; n++) for (const shape of shapes) index.add(shape(n), shape(n))
  t.strictSame(index.match('myco/rule77/x'), ['myco/rule77/*'])
  t.strictSame(index.match('salt/beacon/web1/inotify//etc/file2499'), ['salt/beacon/*/inotify//etc/file2499'])
  t.strictSame(index.match('a/needle12/b'), ['*/needle12/*'])
  t.strictSame(index.match('exact/0'), ['exact/0'])
  t.strictSame(index.match('nothing'), [])
})

t.test('removing what is not there changes nothing', async t => {
  const index = new GlobIndex<number>()
  index.add('a*', 1)
  index.remove('a*', 2)
  index.remove('b*', 1)
  t.strictSame(index.match('ab'), [1])
})

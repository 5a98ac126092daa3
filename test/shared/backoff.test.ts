import t from 'tap'
import { Backoff } from '../../src/shared/backoff.js'

t.test('pauses lie anywhere between nothing and a limit that doubles up to its maximum', async t => {
  const longest = new Backoff({ firstMs: 100, maxMs: 1000, random: () => 1 })
  t.same(
    Array.from({ length: 6 }, () => longest.next()),
    [100, 200, 400, 800, 1000, 1000]
  )
  longest.reset()
  t.equal(longest.next(), 100)
  for (let i = 0; i < 5000; i++) longest.next()
  t.equal(longest.next(), 1000, 'also after days')
  t.equal(new Backoff({ firstMs: 100, maxMs: 1000, random: () => 0 }).next(), 0)
})

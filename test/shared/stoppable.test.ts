import t from 'tap'
import { stoppable, TookTooLong } from '../../src/shared/stoppable.js'

t.test('work gives its value, and its errors are its own', async t => {
  const value = { some: 'object' }
  t.equal(
    stoppable(60_000, () => value),
    value
  )
  const error = new RangeError('too far')
  t.throws(() => stoppable(60_000, () => raise(error)), error)
  t.throws(() => stoppable(60_000, deeper), RangeError, 'a full stack is an error of this realm')
})

t.test('work that does not end is stopped: loops, and what the engine does in one piece', async t => {
  const endless: [string, () => unknown][] = [
    ['a loop', () => forever()],
    ['a regular expression', () => /(a+)+$/.test(`${'a'.repeat(60)}!`)],
    ['a sort', () => [1, 2].sort(() => forever())]
  ]
  for (const [name, work] of endless) t.throws(() => stoppable(20, work), new TookTooLong(20), name)
  t.equal(
    stoppable(60_000, () => 1),
    1,
    'the next is not affected'
  )
})

function forever(): never {
  for (let i = 0; ; i = (i + 1) % 7);
}

function deeper(): number {
  return 1 + deeper()
}

function raise(error: Error): never {
  throw error
}

import t from 'tap'
import { packed, revive } from '../../src/reactor/packed.js'
import { reactorBench } from '../helpers/reactor.js'

t.test('a call is the same after it was kept: large integers, and what only looks like the mark of one', async t => {
  const values = [
    2n ** 70n,
    { a: [-(2n ** 64n)] },
    { __int__: '12' },
    { __int__: 'x' },
    { __int__: ['12'] },
    { __int__: { __int__: 5n } },
    { __int__: 1, b: 2 }
  ]
  for (const value of values) t.strictSame(revive(JSON.parse(JSON.stringify(packed(value)))), value)
})

t.test('an event that holds such a mark is reacted to like any other, and holds up none', async t => {
  const sls = 'x_{{ data.n }}:\n  runner.test.arg:\n    - args: [{v: {{ data.v | json }}}]\n'
  const bench = await reactorBench(t, { files: { 'a.sls': sls }, reactor: [{ 'n/*': 'DIR/a.sls' }] })
  await bench.fire('n/1', { n: 1, v: { __int__: 'x' } })
  await bench.fire('n/2', { n: 2, v: { __int__: '12' } })
  const reactions = await bench.reactions(all => all.filter(({ state }) => state === 'succeeded').length === 2)
  t.strictSame(
    reactions.map(({ section }) => section),
    ['x_1', 'x_2']
  )
  const returned = await bench.event(({ tag, data }) => tag.endsWith('/ret') && JSON.stringify(data).includes('"12"'))
  t.match(JSON.parse(returned.json).return, { kwargs: { v: { __int__: '12' } } })
})

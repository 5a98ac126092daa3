import type { Test } from 'tap'
import { NO_OPTIONS } from '../../src/reactor/options.js'
import type { RuleRecord } from '../../src/store/store.js'
import { newEvent } from '../helpers/store.js'
import type { OpenStore } from './store.js'

const rule = (id: string, version: number, more: Partial<RuleRecord> = {}): RuleRecord => ({
  id,
  version,
  tag: 'salt/netapi/hook/*',
  match: 'glob',
  sls: ['/srv/reactor/a.sls'],
  enabled: true,
  order: 0,
  comment: '',
  tags: [],
  owner: '',
  ...NO_OPTIONS,
  changedBy: 'ada',
  changedUs: 1_800_000_000_000_000 + version,
  ...more
})

export function ruleContract(t: Test, open: OpenStore): void {
  t.test('a rule is stored with its event when the expected version is right, and not at all otherwise', async t => {
    const { rules, events } = (await open(t)).store
    const event = newEvent('salt/reactor/rule')
    t.equal(await rules.put(rule('a', 1), 0, [event]), 'stored')
    t.equal(await rules.put(rule('a', 1), 0, [event]), 'conflict')
    t.equal(await rules.put(rule('a', 3), 2, [event]), 'conflict')
    t.equal(await rules.put(rule('a', 2, { enabled: false }), 1, [event]), 'stored')
    t.strictSame(await rules.all(), [rule('a', 2, { enabled: false })])
    t.equal(await events.head(), 2)
  })

  t.test('of two changes to the same version one wins', async t => {
    const { rules } = (await open(t)).store
    await rules.put(rule('a', 1), 0, [])
    const answers = await Promise.all([rules.put(rule('a', 2), 1, []), rules.put(rule('a', 2), 1, []), rules.remove('a', 1, [])])
    t.strictSame(answers, ['stored', 'conflict', 'conflict'])
  })

  t.test('rules come in their order, then by id', async t => {
    const { rules } = (await open(t)).store
    for (const [id, order] of Object.entries({ late: 10, b: 2, a: 2, first: -1 })) await rules.put(rule(id, 1, { order }), 0, [])
    t.strictSame(
      (await rules.all()).map(({ id }) => id),
      ['first', 'a', 'b', 'late']
    )
  })

  t.test('earlier versions are kept, newest first, and outlive removal', async t => {
    const { store, reopen } = await open(t)
    await store.rules.put(rule('a', 1), 0, [])
    await store.rules.put(rule('a', 2), 1, [])
    await store.rules.put(rule('a', 3), 2, [])
    t.strictSame(await store.rules.history('a'), [rule('a', 2), rule('a', 1)])
    t.equal(await store.rules.remove('a', 2, [newEvent('x')]), 'conflict')
    t.equal(await store.rules.remove('a', 3, [newEvent('x')]), 'removed')
    t.equal(await store.rules.remove('a', 3, [newEvent('x')]), 'conflict')
    const { rules, events } = await reopen()
    t.strictSame(await rules.all(), [])
    t.strictSame(await rules.history('a'), [rule('a', 3), rule('a', 2), rule('a', 1)])
    t.strictSame(await rules.history('b'), [])
    t.equal(await events.head(), 1)
    t.equal(await rules.put(rule('a', 4), 0, []), 'stored')
  })
}

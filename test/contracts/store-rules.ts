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
  t.test('versions of an SLS file are kept with their event when the newest is as expected; the oldest go', async t => {
    const { store, reopen } = await open(t)
    const version = (number: number, text: string | null) => ({
      file: '/srv/a.sls',
      version: number,
      hash: text === null ? null : `hash of ${text}`,
      changedBy: 'ada',
      changedUs: 1_800_000_000_000_000 + number,
      text
    })
    t.equal(await store.rules.putSls([version(1, 'one'), version(2, 'two')], 0, [newEvent('x')]), 'stored')
    t.equal(await store.rules.putSls([version(2, 'other')], 1, [newEvent('x')]), 'conflict')
    t.equal(await store.rules.putSls([version(3, null)], 2, [newEvent('x')]), 'stored')
    t.equal(await store.events.head(), 2)
    const { rules } = await reopen()
    const { text: _, ...info } = version(2, 'two')
    t.strictSame((await rules.slsVersions('/srv/a.sls'))[1], info)
    t.strictSame(await rules.slsVersion('/srv/a.sls', 1), version(1, 'one'))
    t.strictSame(await rules.slsVersion('/srv/a.sls', 3), version(3, null))
    t.equal(await rules.slsVersion('/srv/a.sls', 4), null)
    t.strictSame(await rules.slsVersions('/srv/b.sls'), [])
    for (let n = 4; n <= 110; n++) await rules.putSls([version(n, `${n}`)], n - 1, [])
    const kept = await rules.slsVersions('/srv/a.sls')
    t.strictSame([kept.length, kept[0]!.version, kept.at(-1)!.version], [100, 110, 11])
  })
}

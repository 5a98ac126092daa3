import t from 'tap'
import { EventLog } from '../../src/events/log.js'
import { type RuleInput, Rules, readConfigRules } from '../../src/reactor/rules.js'
import type { Store } from '../../src/store/store.js'
import { TestClock, tempStore } from '../helpers/store.js'

const admin = { user: 'admin', source: 'user:admin' } as const

async function open(t: Parameters<typeof tempStore>[0], config: unknown = [], store?: Store) {
  const clock = new TestClock()
  const used = store ?? (await tempStore(t, { clock }))
  const events = new EventLog({ store: used, clock, maxEventSize: 1_000_000 })
  return { store: used, rules: await Rules.open({ store: used, events, clock, config: readConfigRules(config) }) }
}

const ids = (rules: readonly { id: string }[]) => rules.map(rule => rule.id)

t.test('rules of the configuration come first, as they stand there, then those of the API by order and id', async t => {
  const { rules } = await open(t, [{ 'b/*': '/b.sls' }, { '*': ['/a.sls'] }])
  await rules.create({ id: 'z', tag: 'b/*', sls: ['/z.sls'], order: -5 }, admin)
  await rules.create({ id: 'late', tag: '*', sls: ['/l.sls'], order: 9 }, admin)
  await rules.create({ id: 'a2', tag: '*', sls: ['/x.sls'] }, admin)
  await rules.create({ id: 'a1', tag: 'b/x', sls: ['/x.sls'] }, admin)
  const [first, second] = rules.all()
  t.strictSame([first?.tag, second?.tag], ['b/*', '*'])
  t.strictSame(ids(rules.matching('b/x')), [first!.id, second!.id, 'z', 'a1', 'a2', 'late'])
  t.strictSame(ids(rules.matching('c')), [second!.id, 'a2', 'late'])
})

t.test(
  "what is no one-key mapping in the setting `reactor` is ignored, as Salt does; a rule's id and version stay while its entry does",
  async t => {
    const items = ['x', null, { a: '/1', b: '/2' }, { 'k/*': ['/1.sls', '/2.sls', 7] }, { 'k/*': '/3.sls' }]
    const [one, two, ...rest] = readConfigRules(items)
    t.strictSame(rest, [])
    t.match(one, { tag: 'k/*', sls: ['/1.sls', '/2.sls'], source: 'config', enabled: true })
    t.not(one!.id, two!.id)
    t.strictSame(readConfigRules(items), readConfigRules(items))
    const [changed] = readConfigRules([{ 'k/*': ['/1.sls'] }])
    t.equal(changed!.id, one!.id)
    t.not(changed!.version, one!.version, 'other files are another version')
    t.strictSame(readConfigRules({ 'k/*': '/1' }), [])
  }
)

t.test('rules of the configuration cannot be changed through the API', async t => {
  const { rules } = await open(t, [{ '*': '/a.sls' }])
  const { id } = rules.all()[0]!
  const input = { tag: '*', sls: ['/b.sls'] }
  await t.rejects(rules.replace(id, input, admin), { code: 'RULE_READ_ONLY' })
  await t.rejects(rules.change(id, { enabled: false }, admin), { code: 'RULE_READ_ONLY' })
  await t.rejects(rules.remove(id, admin), { code: 'RULE_READ_ONLY' })
  await t.rejects(rules.create({ ...input, id }, admin), { code: 'CONFLICT' })
  await t.rejects(rules.create({ ...input, id: 'config-own' }, admin), { code: 'CONFLICT' })
})

t.test('a rule that cannot be is refused, naming the field', async t => {
  const { rules } = await open(t)
  const good: RuleInput = { tag: 'a', sls: ['/a.sls'] }
  const cases: [field: string, change: Partial<RuleInput & { id: string }>][] = [
    ['id', { id: 'no spaces' }],
    ['id', { id: '../x' }],
    ['tag', { tag: '' }],
    ['tag', { tag: 'a\nb' }],
    ['tag', { tag: 'x'.repeat(1025) }],
    ['tag', { tag: '(a+)+b', match: 'path' }],
    ['sls', { sls: [] }],
    ['sls', { sls: Array(101).fill('/a') }],
    ['sls[1]', { sls: ['/a.sls', 'relative.sls'] }],
    ['sls[0]', { sls: ['salt://../etc/passwd'] }],
    ['sls[0]', { sls: ['/a\0b'] }],
    ['order', { order: 1.5 }],
    ['comment', { comment: 'x'.repeat(2001) }]
  ]
  for (const [field, change] of cases) {
    await t.rejects(
      rules.create({ ...good, ...change }, admin),
      { code: 'FIELD_INVALID', values: [field] },
      `${field} ${JSON.stringify(change).slice(0, 40)}`
    )
  }
  t.strictSame(rules.all(), [])
})

t.test('each change makes a version, tells of itself on the log, and is refused over a version that is gone', async t => {
  const { rules, store } = await open(t)
  await rules.create({ id: 'r', tag: 'a', sls: ['/a.sls'], comment: 'why' }, admin)
  t.match(await rules.change('r', { tag: 'b' }, admin, 1), { version: 2, tag: 'b', sls: ['/a.sls'], comment: 'why' })
  await t.rejects(rules.change('r', { tag: 'c' }, admin, 1), { code: 'PRECONDITION_FAILED' })
  t.match(await rules.replace('r', { tag: 'c', sls: ['/c.sls'] }, admin), { version: 3, comment: '' })
  t.strictSame(rules.matching('a'), [])
  t.strictSame(ids(rules.matching('c')), ['r'])
  t.strictSame(
    (await rules.versions('r')).slice(1).map(rule => rule.tag),
    ['b', 'a']
  )
  await rules.remove('r', admin)
  t.strictSame(rules.matching('c'), [])
  await t.rejects(rules.remove('r', admin), { code: 'NOT_FOUND' })
  const acts: unknown[] = []
  for await (const page of store.events.read({ after: 0, upTo: 100 }))
    for (const event of page) acts.push([event.tag, JSON.parse(event.json).act])
  t.strictSame(
    acts,
    ['created', 'changed', 'changed', 'removed'].map(act => ['salt/reactor/r/rule', act])
  )
})

t.test('a rule that somebody else changed meanwhile is not overwritten', async t => {
  const { rules, store } = await open(t)
  const other = (await open(t, [], store)).rules
  await rules.create({ id: 'r', tag: 'a', sls: ['/a.sls'] }, admin)
  await other.reload()
  await other.change('r', { tag: 'b' }, admin)
  await t.rejects(rules.change('r', { tag: 'c' }, admin), { code: 'PRECONDITION_FAILED' })
  t.equal(rules.get('r').tag, 'b', 'and the other version is seen from then on')
})

t.test('rules of the API are there after a restart; disabled ones do not match', async t => {
  const { rules, store } = await open(t)
  await rules.create({ id: 'on', tag: 'a', sls: ['/a.sls'] }, admin)
  await rules.create({ id: 'off', tag: 'a', sls: ['/a.sls'], enabled: false }, admin)
  const again = (await open(t, [], store)).rules
  t.strictSame(ids(again.all()), ['off', 'on'])
  t.strictSame(ids(again.matching('a')), ['on'])
})

t.test('rules with `match: path` take the tag as a path: a star stays within a segment', async t => {
  const { rules } = await open(t)
  const patterns = ['salt/*/start', 'salt/**', '{myco,other}/x', 'a[bc]/*', '!myco/*', '*a*a*a*a*a*b']
  for (const [i, tag] of patterns.entries()) await rules.create({ id: `p${i}`, tag, sls: ['/a.sls'], match: 'path', order: i }, admin)
  t.strictSame(ids(rules.matching('salt/web1/start')), ['p0', 'p1', 'p4'])
  t.strictSame(ids(rules.matching('salt/minion/web1/start')), ['p1', 'p4'])
  t.strictSame(ids(rules.matching('salt/.hidden/start')), ['p0', 'p1', 'p4'])
  t.strictSame(ids(rules.matching('myco/x')), ['p2'])
  t.strictSame(ids(rules.matching('ab/1')), ['p3', 'p4'])
  t.strictSame(ids(rules.matching('a'.repeat(1024))), ['p4'], 'a pattern that would backtrack for hours is given up')
})

t.test('among ten thousand rules the right ones are found, and changing one does not disturb the others', async t => {
  const config = Array.from({ length: 10_000 }, (_, n) => ({ [`myco/app${n}/*`]: `/srv/${n}.sls` }))
  const { rules } = await open(t, config)
  t.equal(rules.all().length, 10_000)
  t.strictSame(
    rules.matching('myco/app9999/deploy').map(rule => rule.sls[0]),
    ['/srv/9999.sls']
  )
  await rules.create({ id: 'all', tag: 'myco/*', sls: ['/all.sls'] }, admin)
  t.strictSame(
    rules.matching('myco/app12/x').map(rule => rule.sls[0]),
    ['/srv/12.sls', '/all.sls']
  )
  await rules.change('all', { enabled: false }, admin)
  t.strictSame(
    rules.matching('myco/app12/x').map(rule => rule.sls[0]),
    ['/srv/12.sls']
  )
})

t.test('a rule has words to find it by and somebody who answers for it; rules stored before these fields existed have none', async t => {
  const { rules, store } = await open(t)
  t.match(await rules.create({ id: 'r', tag: 'a', sls: ['/a.sls'], tags: ['ci', 'web'], owner: 'ops' }, admin), {
    tags: ['ci', 'web'],
    owner: 'ops'
  })
  t.match(await rules.change('r', { owner: 'dev' }, admin), { tags: ['ci', 'web'], owner: 'dev', version: 2 })
  const { tags: _, owner: __, ...old } = { ...rules.get('r'), id: 'old', version: 1 }
  await store.rules.put(old as never, 0, [])
  const again = (await open(t, [], store)).rules
  t.match(again.get('old'), { tags: [], owner: '' })
  await t.rejects(rules.change('r', { tags: ['a', ''] }, admin), { message: /'tags\[1\]'/ })
  await t.rejects(rules.change('r', { tags: Array(51).fill('x') }, admin), { message: /'tags'/ })
  await t.rejects(rules.change('r', { owner: 'a\nb' }, admin), { message: /'owner'/ })
})

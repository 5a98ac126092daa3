import { join } from 'node:path'
import t from 'tap'
import { Mine } from '../../src/mine/mine.js'
import { SystemClock } from '../../src/shared/clock.js'
import { openSqliteStore } from '../../src/store/sqlite/open.js'

async function mineOf(t: { testdir(): string; teardown(end: () => unknown): unknown }) {
  const open = () => openSqliteStore({ file: join(dir, 'brine.db'), clock: new SystemClock() })
  const dir = t.testdir()
  let store = await open()
  t.teardown(() => store.close())
  const facts = ['web1', 'web2', 'db1'].map(id => ({ id, grains: { id, role: id.slice(0, -1) }, seenUs: 0 }))
  const keys = { accepted: () => facts.map(({ id }) => id), grainsOf: (id: string) => facts.find(minion => minion.id === id)?.grains }
  const make = () => new Mine({ store, keys: keys as never, config: { nodegroups: {} } })
  return {
    mine: make(),
    get store() {
      return store
    },
    async reopen() {
      await store.close()
      store = await open()
      return make()
    }
  }
}

t.test('what a minion sends is there for others, after a restart too; clear replaces everything, else entries are added', async t => {
  const site = await mineOf(t)
  await site.mine.send('web1', { 'network.ip_addrs': ['10.0.0.1'] })
  await site.mine.send('web1', { ping: true })
  await site.mine.send('web2', { 'network.ip_addrs': ['10.0.0.2'] })
  const mine = await site.reopen()
  t.same(await mine.get('*', 'glob', 'network.ip_addrs', 'db1'), { web1: ['10.0.0.1'], web2: ['10.0.0.2'] })
  t.same(await mine.get('role:web', 'grain', ['ping', 'network.ip_addrs', 'none'], 'db1'), {
    ping: { web1: true },
    'network.ip_addrs': { web1: ['10.0.0.1'], web2: ['10.0.0.2'] }
  })
  await mine.send('web1', { other: 1 }, { clear: true })
  t.same(await mine.all('web1'), { other: 1 })
  await mine.clear('web2', 'network.ip_addrs')
  t.same(await mine.get('*', 'glob', 'network.ip_addrs', null), {})
})

t.test('an entry with allow_tgt is read by those alone, by its owner and by the server', async t => {
  const { mine } = await mineOf(t)
  await mine.send('db1', { secret: { __data__: 42, __saltmine_acl__: 1, allow_tgt: 'role:db', allow_tgt_type: 'grain' } })
  t.same(await mine.get('*', 'glob', 'secret', 'web1'), {})
  t.same(await mine.get('*', 'glob', 'secret', 'db1'), { db1: 42 })
  t.same(await mine.get('*', 'glob', 'secret', null), { db1: 42 })
})

t.test("an id's entries go with its last key, so that a new key finds none", async t => {
  const { mine, store } = await mineOf(t)
  await store.keys.put({ id: 'web1', state: 'accepted', pub: 'a', changedUs: 1 }, [])
  await store.keys.put({ id: 'web1', state: 'denied', pub: 'b', changedUs: 1 }, [])
  await mine.send('web1', { ping: true })
  await store.keys.remove('web1', ['denied'], [])
  t.same(await mine.all('web1'), { ping: true })
  await store.keys.remove('web1', ['accepted'], [])
  t.same(await mine.all('web1'), {})
})

t.test('a mine that is too large is refused', async t => {
  const { mine } = await mineOf(t)
  await t.rejects(mine.send('web1', { big: 'x'.repeat(9 * 1024 * 1024) }), { code: 'FIELD_INVALID' })
})

t.test("a minion's mine has a bound, however many times it sends; what goes beyond it is refused whole, with the field's name", async t => {
  const { mine } = await mineOf(t)
  const functions = (from: number, count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`f${from + i}`, 1]))
  await mine.send('web1', functions(0, 900))
  await t.rejects(mine.send('web1', functions(900, 101)), { code: 'FIELD_INVALID', message: /data.*1000 functions/ })
  t.equal(Object.keys(await mine.all('web1')).length, 900)
  await mine.send('web1', functions(800, 200))
  t.equal(Object.keys(await mine.all('web1')).length, 1000)
  await mine.send('db1', { a: 'x'.repeat(5_000_000) })
  await t.rejects(mine.send('db1', { b: 'x'.repeat(5_000_000) }), { code: 'FIELD_INVALID' })
  await mine.send('db1', { b: 'x'.repeat(5_000_000) }, { clear: true })
  t.same(Object.keys(await mine.all('db1')), ['b'])
})

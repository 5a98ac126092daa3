import { appendFileSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type NewItem, Spool } from '../../src/minion/spool.js'

const event = (tag: string, data: unknown = {}): NewItem => ({ kind: 'event', tag, data })
const ret = (jid: string, value: unknown = true): NewItem => ({ kind: 'return', return: { jid, return: value } })
const tags = (items: readonly object[] = []) =>
  items.map(item => ('tag' in item ? item.tag : (item as { return: { jid: string } }).return.jid))

function setUp(t: Test, maxBytes = 64 * 1024 * 1024) {
  const dir = t.testdir({})
  const warnings: string[] = []
  const note = (_: object, text: string) => warnings.push(text)
  const open = async () => {
    const spool = await Spool.open({ dir, maxBytes, log: { warn: note, error: note } })
    t.teardown(() => spool.close().catch(() => {}))
    return spool
  }
  const segments = () =>
    readdirSync(dir)
      .filter(name => name.endsWith('.ndjson'))
      .sort()
  return { dir, open, warnings, segments }
}

/** Everything that is left, settling as it goes. */
async function drain(spool: Spool): Promise<unknown[]> {
  const all: object[] = []
  for (let batch = await spool.take(); batch; batch = await spool.take()) {
    all.push(...batch.items)
    await spool.settle()
  }
  return tags(all)
}

t.test('items come in order, again until they are settled, then never again', async t => {
  const { open } = setUp(t)
  const spool = await open()
  t.equal(await spool.take(), null)
  await Promise.all(['a', 'b', 'c'].map(tag => spool.add(event(tag))))
  t.same(tags((await spool.take())?.items), ['a', 'b', 'c'])
  t.same(
    (await spool.take(2))?.items.map(({ n }) => n),
    [1, 2]
  )
  await spool.settle()
  t.same(tags((await spool.take())?.items), ['c'])
  await spool.settle()
  t.equal(await spool.take(), null)
  await spool.add(ret('1'))
  t.match((await spool.take())?.items, [{ n: 4, kind: 'return', return: { jid: '1', return: true } }])
})

t.test('what was added is there after a crash, with its numbers, under the same name', async t => {
  const { open, dir } = setUp(t)
  const first = await open()
  for (const tag of ['a', 'b', 'c']) await first.add(event(tag))
  await first.take(1)
  await first.settle()
  // No close: the process is gone.
  const second = await open()
  t.equal(second.id, first.id)
  t.match(second.id, /^[0-9a-f]{16}$/)
  t.same(
    (await second.take())?.items.map(({ n }) => n),
    [2, 3]
  )
  await second.add(event('d'))
  t.same(await drain(second), ['b', 'c', 'd'])
  t.equal(statSync(join(dir, 'id')).mode & 0o777, 0o600)
})

t.test('the torn end of a crash is cut off, and numbers go on behind what is whole', async t => {
  for (const torn of ['{"n":3,"kind":"ev', '{"n":3,"kind":"event","tag":"c","data":{}}', '\0\0\0\0\0\0', '\0\0\0\n']) {
    const { open, dir, segments } = setUp(t)
    const first = await open()
    await first.add(event('a'))
    await first.add(event('b'))
    await first.close()
    appendFileSync(join(dir, segments()[0]!), torn)
    const second = await open()
    await second.add(event('new'))
    t.same(
      (await second.take())?.items.map(({ n }) => n),
      [1, 2, 3],
      JSON.stringify(torn)
    )
    t.same(await drain(second), ['a', 'b', 'new'])
  }
})

t.test('a line in the middle that the disk has spoiled costs that line alone', async t => {
  const { open, dir, segments } = setUp(t)
  const first = await open()
  for (const tag of ['a', 'b', 'c']) await first.add(event(tag))
  await first.close()
  const path = join(dir, segments()[0]!)
  writeFileSync(path, readFileSync(path, 'utf8').replace('"tag":"b"', '"tag:"b"'))
  t.same(await drain(await open()), ['a', 'c'])
})

t.test('numbers are never used twice, also when nothing is left and the note of what is settled is lost', async t => {
  const { open, dir } = setUp(t)
  const first = await open()
  await first.add(event('a'))
  await drain(first)
  await first.close()
  writeFileSync(join(dir, 'settled'), '')
  const second = await open()
  await second.add(event('b'))
  t.same(
    (await second.take())?.items.map(({ n }) => n),
    [1, 2],
    'what the server has is sent again, and it knows it'
  )
})

t.test('segments that are settled are deleted; much goes through and little stays', async t => {
  const { open, segments } = setUp(t)
  const spool = await open()
  const filler = 'x'.repeat(300_000)
  let next = 0
  for (let round = 0; round < 10; round++) {
    await Promise.all(Array.from({ length: 10 }, () => spool.add(event(String(next++), filler))))
    t.equal((await drain(spool)).length, 10)
  }
  t.ok(segments().length <= 2, String(segments()))
  t.ok(spool.bytes < 8 * 1024 * 1024)
})

t.test('a batch is bounded in bytes, except that one item always fits', async t => {
  const { open } = setUp(t)
  const spool = await open()
  await spool.add(event('small'))
  await spool.add(event('huge', 'x'.repeat(9_000_000)))
  await spool.add(event('half', 'x'.repeat(600_000)))
  await spool.add(event('half2', 'x'.repeat(600_000)))
  const sizes: unknown[] = []
  for (let batch = await spool.take(); batch; batch = await spool.take()) {
    sizes.push(tags(batch.items))
    await spool.settle()
  }
  t.same(sizes, [['small'], ['huge'], ['half'], ['half2']])
})

t.test('when the space is used up the oldest events go first and returns stay', async t => {
  const { open, warnings } = setUp(t, 1024 * 1024)
  const spool = await open()
  const filler = 'x'.repeat(10_000)
  for (let i = 0; i < 300; i++) await spool.add(i % 30 === 0 ? ret(`r${i}`) : event(`e${i}`, filler))
  t.ok(spool.bytes <= 1.3 * 1024 * 1024, String(spool.bytes))
  const left = await drain(spool)
  const returns = left.filter(each => String(each).startsWith('r'))
  t.same(
    returns,
    Array.from({ length: 10 }, (_, i) => `r${i * 30}`),
    'all returns'
  )
  t.equal(left.at(-1), 'e299', 'the newest event')
  t.notOk(left.includes('e1'), 'not the oldest event')
  t.ok(warnings.every(text => text === 'the spool is full: the oldest events were dropped') && warnings.length > 0)
})

t.test('when returns alone fill the space the oldest go, and it is said', async t => {
  const { open, warnings } = setUp(t, 1024 * 1024)
  const spool = await open()
  for (let i = 0; i < 200; i++) await spool.add(ret(`r${i}`, 'x'.repeat(10_000)))
  t.ok(spool.bytes <= 1.3 * 1024 * 1024)
  const left = await drain(spool)
  t.equal(left.at(-1), 'r199')
  t.notOk(left.includes('r0'))
  t.ok(warnings.includes('the spool is full: the oldest returns were dropped'))
})

t.test('room is made while a batch is under way: what was sent is not sent again, what was not is', async t => {
  const { open } = setUp(t, 1024 * 1024)
  const spool = await open()
  for (let i = 0; i < 20; i++) await spool.add(ret(`r${i}`, 'x'.repeat(1000)))
  t.equal((await spool.take(10))?.items.length, 10)
  for (let i = 0; i < 200; i++) await spool.add(event(`e${i}`, 'x'.repeat(10_000)))
  await spool.settle()
  t.same(
    (await drain(spool)).slice(0, 10),
    Array.from({ length: 10 }, (_, i) => `r${i + 10}`)
  )
})

t.test('a disk that fails refuses the item and takes the next one', async t => {
  const { open, dir, segments } = setUp(t)
  const spool = await open()
  await spool.add(event('a'))
  // A value without JSON fails before the disk is asked; it must not disturb what follows.
  await t.rejects(spool.add(event('bad', 1n)))
  await spool.add(event('b'))
  t.same(tags((await spool.take())?.items), ['a', 'b'])
  truncateSync(join(dir, segments()[0]!), 0)
  t.same(tags((await spool.take().catch(() => null))?.items), [], 'a file that was emptied by somebody is no endless loop')
})

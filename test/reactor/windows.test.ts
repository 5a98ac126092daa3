import t from 'tap'
import type { StoredEvent } from '../../src/events/event.js'
import { DueTimes } from '../../src/reactor/due-times.js'
import { Ledger } from '../../src/reactor/ledger.js'
import { Lines } from '../../src/reactor/lines.js'
import { NO_OPTIONS } from '../../src/reactor/options.js'
import { WindowMemory } from '../../src/reactor/window-memory.js'
import { gatheringOf, MAX_WINDOWS, Windows } from '../../src/reactor/windows.js'

const SECOND = 1_000_000
const gathering = gatheringOf({ ...NO_OPTIONS, debounce: { period: '10s' } })!
const rule = (id = 'r', more = {}) => ({ id, version: 1, sls: ['/r.sls'], gathering: { ...gathering, ...more } })

function event(seq: number, seconds = seq, json = '{}'): StoredEvent {
  return { seq, tag: 'n/1', json, stampUs: seconds * SECOND, source: 'server', cause: null }
}

t.test('what is due comes in the order of its times, each once, whatever order it was put in', async t => {
  const times = new DueTimes<number>()
  // 101 is prime: all numbers from 0 to 100, in no order
  for (let i = 0; i < 101; i++) times.add((i * 37) % 101, (i * 37) % 101)
  t.equal(times.nextUs, 0)
  const taken: number[] = []
  for (let item = times.take(60); item !== undefined; item = times.take(60)) taken.push(item)
  t.strictSame(taken, [...Array(61).keys()])
  t.equal(times.nextUs, 61)
  times.clear()
  t.equal(times.nextUs, Number.POSITIVE_INFINITY)
  t.equal(times.take(1e9), undefined)
})

t.test('windows are closed in the order of their ends, also those that were put off, and no window before its time', async t => {
  const windows = new Windows()
  windows.take(rule(), 'a', event(1, 0), null)
  windows.take(rule(), 'b', event(2, 1), null)
  windows.take(rule(), 'a', event(3, 5), null)
  const ended = (seconds: number) => windows.due(seconds * SECOND).map(({ first }) => first)
  t.strictSame(ended(10), [], 'it was put off until 15')
  t.strictSame(ended(11), [2])
  t.strictSame(ended(14.9), [])
  t.strictSame(ended(15), [1])
  t.equal(windows.nextUs, Number.POSITIVE_INFINITY)
})

t.test('a rule that was changed has its windows closed sooner', async t => {
  const windows = new Windows()
  windows.take(rule(), 'a', event(1, 0), null)
  windows.take(rule('r', { periodUs: 3 * SECOND }), 'a', event(2, 1), null)
  t.match(windows.due(4 * SECOND), [{ first: 1, last: 2 }])
})

t.test('a window says whether an event opened it or joined it, and how it stands then', async t => {
  const windows = new Windows()
  t.match(windows.take(rule(), 'a', event(1, 0), null).window, { key: 'a', opens: true, count: 1, dueUs: 10 * SECOND })
  t.match(windows.take(rule(), 'a', event(2, 4), null).window, { opens: false, count: 2, openedUs: 0, dueUs: 14 * SECOND })
  t.strictSame([...windows.lasts()], [2])
  t.match([...windows.open()], [{ rule: 'r', key: 'a', first: 1, count: 2 }])
})

t.test('where the events of windows are in memory they have a bound: the window that was opened first is closed early', async t => {
  const windows = new Windows({ ...MAX_WINDOWS, bytes: 250 })
  const memory = new WindowMemory<StoredEvent>()
  const take = (seq: number, key: string) => {
    const one = event(seq, seq / 100, 'x'.repeat(100))
    const { fired } = windows.take(rule(), key, one, null)
    memory.apply(windows.changes(), one)
    return fired.map(({ rule, first }) => memory.take(rule, first).map(({ seq }) => seq))
  }
  t.strictSame([take(1, 'a'), take(2, 'b')], [[], []])
  t.strictSame(take(3, 'b'), [[1]])
  t.strictSame(take(4, 'c'), [[2, 3]])
  t.equal(windows.early, 2)
  t.strictSame(
    [...memory.waiting()].map(({ rule, events }) => [rule, events.map(({ seq }) => seq)]),
    [['r', [4]]]
  )
})

t.test('what a window lets go leaves the memory, and is told', async t => {
  const windows = new Windows()
  const memory = new WindowMemory<StoredEvent>()
  const counting = { ...rule(), gathering: gatheringOf({ ...NO_OPTIONS, accumulate: { within: 5, threshold: 3 } })! }
  const gone: number[] = []
  for (const one of [event(1, 0), event(2, 4), event(3, 8)]) {
    windows.take(counting, '', one, null)
    gone.push(...memory.apply(windows.changes(), one).flatMap(({ events }) => events.map(({ seq }) => seq)))
  }
  t.strictSame(gone, [1])
  windows.due(20 * SECOND)
  t.strictSame(
    memory.apply(windows.changes(), null).flatMap(({ events }) => events.map(({ seq }) => seq)),
    [2, 3]
  )
  t.strictSame([...memory.waiting()], [])
})

t.test('a line has so many places; who finds none begins when the first of them is free', async t => {
  const lines = new Lines()
  const begin = (us: number, length: number, key = 'k') => lines.begin('r', key, 2, us, length)
  t.strictSame([begin(0, 10), begin(1, 20), begin(2, 10), begin(3, 10)], [0, 1, 10, 20])
  t.equal(begin(3, 10, 'other'), 3)
  t.equal(begin(30, 0), 30)
  t.equal(begin(30, Number.POSITIVE_INFINITY), 30)
  t.equal(begin(31, Number.POSITIVE_INFINITY), 31)
  t.equal(begin(99, 1), Number.POSITIVE_INFINITY)
})

t.test('calls about an event are compared: first equal ones, then those of a section; the events of open windows wait', async t => {
  const ledger = new Ledger()
  const about = { state: 'succeeded', error: null, plannedUs: 0, changedUs: 0 } as const
  const did = (event: number, section: string, arg: number) => ledger.did({ event, section, rule: 'x', call: { arg, order: 1 }, ...about })
  for (const arg of [1, 2]) did(1, 'a', arg)
  did(2, 'b', 1)
  did(3, 'c', 1)
  for (const arg of [3, 1]) ledger.would(1, { rule: 'y', section: 'a', call: { arg } })
  ledger.would(2, { rule: 'y', section: 'new', call: {} })
  const kinds = (upTo: number, open: number[]) =>
    [...ledger.settle(upTo, new Set(open))].map(({ event, difference }) => `${event} ${difference.kind}`)
  t.match(ledger.made(1, { rule: 'y', section: 'a', call: { arg: 1, order: 9 } }), { call: { arg: 1 } })
  t.equal(ledger.made(1, { rule: 'y', section: 'a', call: { arg: 3 } }), null)
  t.strictSame(kinds(2, [2]), ['1 same', '1 changed'])
  t.strictSame(kinds(2, []), ['2 added', '2 removed'])
  t.strictSame(kinds(9, []), ['3 removed'])
})

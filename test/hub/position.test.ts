import t from 'tap'
import { parseStart, parseTime } from '../../src/hub/position.js'

const NOW_US = 1_800_000_000_000_000

t.test('a start is now, earliest, an id, a time, or how long ago', async t => {
  t.strictSame(parseStart('now', NOW_US), { kind: 'now' })
  t.strictSame(parseStart('earliest', NOW_US), { kind: 'earliest' })
  t.strictSame(parseStart('7f3a-12', NOW_US), { kind: 'id', epoch: '7f3a', seq: 12 })
  t.strictSame(parseStart('90s', NOW_US), { kind: 'time', us: NOW_US - 90_000_000 })
  t.strictSame(parseStart('2h', NOW_US), { kind: 'time', us: NOW_US - 7_200_000_000 })
})

t.test('times are UTC with microseconds, unless they name a zone', async t => {
  const us = 1_800_000_000_123_456
  for (const text of [
    '2027-01-15T08:00:00.123456',
    '2027-01-15 08:00:00.123456',
    '2027-01-15T08:00:00.123456Z',
    '2027-01-15T10:30:00.123456+02:30',
    '2027-01-15T10:30:00.123456+0230',
    '1800000000.123456'
  ])
    t.equal(parseTime(text, NOW_US), us, text)
  t.equal(parseTime('2027-01-15', NOW_US), 1_799_971_200_000_000)
  t.equal(parseTime('2027-01-15T08:00', NOW_US), 1_800_000_000_000_000)
})

t.test('anything else is refused, and a long text is not repeated whole', async t => {
  for (const text of ['', 'soon', '2027-02-30T25:00', '1e9', '-1', '12345678901234', '5 m', 'e-']) {
    t.throws(() => parseTime(text, NOW_US), { code: 'CURSOR_INVALID' }, text)
  }
  t.throws(() => parseTime('x'.repeat(1000), NOW_US), { message: /^'x{80}' is no/ })
})

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { BeaconBook } from '../../../src/minion/beacons/book.js'
import { packageRoot } from '../../../src/shared/paths.js'
import { kw, minionTest } from '../../helpers/executor.js'

interface Case {
  readonly name: string
  readonly request: { readonly body: string }
  readonly response: { readonly body: unknown }
}

/** The functions against a book, as an agent has one. */
async function watched(t: Parameters<typeof minionTest>[0] & { testdir(): string }, config: Record<string, unknown> = {}) {
  const file = join(t.testdir(), 'beacons.conf')
  const fired: string[] = []
  const book = new BeaconBook({ config, file, fire: tag => void fired.push(tag) })
  return { ...(await minionTest(t, { beacons: (func, args) => book.manage(func, args) })), book, file, fired }
}

t.test('every recorded call of a GUI is answered as recorded', async t => {
  const { value } = await watched(t)
  const cases = (JSON.parse(await readFile(join(packageRoot(), 'test/fixtures/golden/api/gui.json'), 'utf8')) as Case[]).filter(
    ({ name }) => name.startsWith('beacons-') && name !== 'beacons-list-available'
  )
  t.ok(cases.length > 10)
  for (const { name, request, response } of cases) {
    const [chunk] = JSON.parse(request.body) as [{ fun: string; arg?: unknown[]; kwarg?: Record<string, unknown> }]
    const answer = await value(chunk.fun, ...(chunk.arg ?? []), ...(chunk.kwarg ? [kw(chunk.kwarg)] : []))
    t.same(answer, (response.body as { return: [{ m1: unknown }] }).return[0].m1, name)
  }
})

t.test('what is there, and what fits, is checked before a beacon is set up', async t => {
  const { value } = await watched(t)
  t.match(await value('beacons.list_available', kw({ return_yaml: false })), ['diskusage', 'inotify', 'load', 'memusage'])
  const refused: [string, unknown, RegExp][] = [
    ['', [], /name is required/],
    ['nosuch', [{ interval: 5 }], /not available/],
    ['load', [{ interval: 5 }], /Averages configuration is required/],
    ['load', [{ averages: { '2m': [0, 1] } }], /'2m'/],
    ['memusage', [{ percent: 'much' }], /percent/],
    ['diskusage', [{ '/': '101%' }], /'\/'/],
    ['inotify', [{ files: { relative: {} } }], /'relative'/],
    ['inotify', [{ files: { '/etc/hosts': { mask: ['open'] } } }], /\/etc\/hosts/],
    ['ps', [{ processes: { nginx: 'sleeping' } }], /'nginx'/],
    ['network_info', [{ interfaces: { lo: { type: 'less' } } }], /'lo'/],
    ['status', [{ nosuch: ['all'] }], /not 'nosuch'/],
    ['status', ['interval'], /must be a list/]
  ]
  for (const [name, data, comment] of refused) {
    t.match(await value('beacons.add', name, data), { result: false, comment }, `${name} ${JSON.stringify(data)}`)
  }
  t.strictSame(await value('beacons.list', kw({ return_yaml: false })), {})
})

t.test('a beacon is set up once, changed with a difference, and with test=True only spoken of', async t => {
  const { value, fired } = await watched(t)
  const percent = (share: string) => [{ percent: share }]
  t.match(await value('beacons.add', 'memusage', percent('50%'), kw({ test: true })), { comment: 'Beacon: memusage would be added.' })
  t.strictSame(await value('beacons.list', kw({ return_yaml: false })), {})
  t.match(await value('beacons.add', 'memusage', percent('50%')), { result: true })
  t.match(await value('beacons.add', 'memusage', percent('60%')), { result: false, comment: 'Beacon memusage is already configured.' })
  t.match(await value('beacons.modify', 'swapusage', percent('60%')), { result: false, comment: 'Beacon swapusage is not configured.' })
  const modified = (await value('beacons.modify', 'memusage', percent('60%'))) as { result: boolean; changes: { diff: string } }
  t.match(modified, { result: true, changes: { diff: /-percent:50%\n\+percent:60%/ } })
  t.match(await value('beacons.modify', 'memusage', percent('60%')), { comment: 'Job memusage in correct state' })
  t.match(await value('beacons.enable_beacon', 'swapusage'), { result: false, comment: /not currently configured/ })
  t.equal(await value('beacons.list'), 'beacons:\n  memusage:\n  - percent: 60%\n')
  t.ok(fired.includes('/salt/minion/minion_beacon_add_complete'), "the minion's bus hears of it, as of Salt's")
})

t.test('only what is saved lasts; the pillar has beacons too, which are not changed here', async t => {
  const { value, book, file } = await watched(t, { load: [{ averages: { '1m': [0, 9] } }] })
  await value('beacons.add', 'status', [{ interval: 600 }])
  const anew = () => new BeaconBook({ config: {}, file }).load()
  t.strictSame((await anew()).active(), [])
  t.match(await value('beacons.save'), { result: true, comment: `Beacons saved to ${file}.` })
  t.same(
    (await anew()).active().map(([name]) => name),
    ['load', 'status']
  )
  book.setPillar({ memusage: [{ percent: '1%' }], load: [{ averages: { '5m': [0, 1] } }] })
  t.strictSame(Object.fromEntries(book.active()).load, { averages: { '1m': [0, 9] } }, "the minion's own counts")
  t.match((await value('beacons.disable_beacon', 'memusage')) as string, /of the pillar/)
  await value('beacons.disable')
  t.strictSame(book.active(), [])
})

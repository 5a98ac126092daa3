import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Item, Watching } from '../../../src/minion/beacons/beacon.js'
import { BEACONS } from '../../../src/minion/beacons/index.js'
import { BeaconWatch } from '../../../src/minion/beacons/watch.js'
import type { RunningJob } from '../../../src/minion/job.js'
import type { Mapping } from '../../../src/minion/modules/values.js'
import { recorded } from '../../helpers/executor.js'

interface Told {
  readonly tag: string
  readonly data: Mapping
}

/** Beacons of a minion web1, asked by hand. */
function watching(t: Test, beacons: Record<string, Mapping>, running: () => Partial<RunningJob>[] = () => []) {
  const told: Told[] = []
  const errors: object[] = []
  const log = { debug() {}, info() {}, warn() {}, error: (fields: object) => void errors.push(fields) }
  const watch = new BeaconWatch({
    ...{ id: 'web1', book: { active: () => Object.entries(beacons) }, log },
    running: () => running() as RunningJob[],
    send: async (tag, data) => void told.push({ tag, data })
  })
  t.teardown(() => watch.stop())
  return { watch, told, errors }
}

t.test('a beacon tells as Salt does: its name in the tag, its fields flat, and whose they are', async t => {
  const { watch, told } = watching(t, { load: { averages: { '1m': [1000, 2000] } }, memusage: { percent: '0%' } })
  await watch.pass()
  for (const [name, fixture] of [
    ['load', 'beacon_load'],
    ['memusage', 'beacon_memusage']
  ] as const) {
    const [first] = (await recorded(fixture)).filter(({ tag }) => tag === `salt/beacon/web1/${name}/`)
    const here = told.find(({ tag }) => tag === first!.tag)
    t.same(
      Object.keys(here!.data),
      Object.keys(first!.data).filter(key => key !== '_stamp'),
      name
    )
    t.equal(here!.data.id, 'web1')
  }
})

t.test('interval: the first pass only starts the counter; without it every pass asks', async t => {
  const { watch, told } = watching(t, { memusage: { percent: '0%', interval: 3 }, swapusage: { percent: '0%' } })
  const count = (name: string) => told.filter(({ tag }) => tag.includes(name)).length
  for (const [pass, expected] of [0, 0, 0, 1, 1, 1, 2].entries()) {
    await watch.pass()
    t.equal(count('memusage'), expected, `pass ${pass + 1}`)
    t.equal(count('swapusage'), pass + 1)
  }
})

t.test('disable_during_state_run keeps a beacon quiet while a state runs, and it alone', async t => {
  let jobs: Partial<RunningJob>[] = [{ fun: 'state.apply' }]
  const { watch, told } = watching(
    t,
    { memusage: { percent: '0%', disable_during_state_run: true }, swapusage: { percent: '0%' } },
    () => jobs
  )
  await watch.pass()
  t.same(
    told.map(({ tag }) => tag),
    ['salt/beacon/web1/swapusage/']
  )
  jobs = [{ fun: 'test.sleep' }]
  await watch.pass()
  t.ok(told.some(({ tag }) => tag === 'salt/beacon/web1/memusage/'))
})

t.test('a beacon that fails is told of without fields, one that does not fit is logged once, and the others go on', async t => {
  const broken = { ...BEACONS.get('memusage')!, name: 'broken', open: () => ({ look: () => Promise.reject(new Error('no')) }) as Watching }
  ;(BEACONS as Map<string, typeof broken>).set('broken', broken)
  t.teardown(() => (BEACONS as Map<string, typeof broken>).delete('broken'))
  const { watch, told, errors } = watching(t, { broken: { percent: '1%' }, load: {}, nosuch: {}, memusage: { percent: '0%' } })
  await watch.pass()
  await watch.pass()
  t.strictSame(
    told.filter(({ tag }) => tag.includes('broken')),
    [
      { tag: 'salt/beacon/web1/broken/', data: {} },
      { tag: 'salt/beacon/web1/broken/', data: {} }
    ]
  )
  t.equal(told.filter(({ tag }) => tag.includes('memusage')).length, 2)
  t.equal(errors.filter(each => (each as { beacon: string }).beacon === 'nosuch').length, 1)
  t.equal(errors.filter(each => (each as { beacon: string }).beacon === 'load').length, 1)
})

t.test('several beacons of a kind have names of their own; run_once ends after the first event', async t => {
  const { watch, told } = watching(t, { mine: { beacon_module: 'memusage', percent: '0%', run_once: true } })
  await watch.pass()
  await watch.pass()
  t.same(
    told.map(({ tag }) => tag),
    ['salt/beacon/web1/mine/']
  )
})

/** The beacon's items, one look after the other until there are some: the kernel tells of changes when it likes. */
async function nextItems(watching: Watching): Promise<Item[]> {
  for (;;) {
    const items = [...(await watching.look())]
    if (items.length > 0) return items
    await new Promise(resolve => setImmediate(resolve))
  }
}

t.test('inotify tells of changes of a file under its path, as recorded', async t => {
  const file = join(t.testdir({ important_file: 'a' }), 'important_file')
  const watching = BEACONS.get('inotify')!.open({ files: { [file]: { mask: ['modify'] } } })
  t.teardown(() => watching.close?.())
  await appendFile(file, 'b')
  const [recordedOne] = (await recorded('beacon_inotify_modify')).filter(({ tag }) => tag.startsWith('salt/beacon/'))
  const [item] = await nextItems(watching)
  t.strictSame(item, { tag: file, path: file, change: recordedOne!.data.change })
})

t.test('inotify tells what appears in a directory and goes from it, each change of a pass once', async t => {
  const dir = t.testdir({ old: '' })
  const watching = BEACONS.get('inotify')!.open({ files: { [dir]: { mask: ['create', 'delete'] } } })
  t.teardown(() => watching.close?.())
  const seen = new Set<string>()
  const until = async (change: string, path: string) => {
    while (!seen.has(`${change} ${path}`)) {
      for (const item of await nextItems(watching)) {
        t.equal(item.tag, dir)
        seen.add(`${item.change} ${item.path}`)
      }
    }
  }
  await writeFile(join(dir, 'new'), '')
  await until('IN_CREATE', join(dir, 'new'))
  await mkdir(join(dir, 'sub'))
  await until('IN_CREATE|IN_ISDIR', join(dir, 'sub'))
  await rm(join(dir, 'old'))
  await until('IN_DELETE', join(dir, 'old'))
  t.equal(
    [...seen].some(each => each.startsWith('IN_MODIFY')),
    false,
    'what the mask does not name is not told'
  )
})

t.test('ps knows what runs', async t => {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' })
  t.teardown(() => child.kill())
  await once(child, 'spawn')
  const look = (processes: Mapping) => BEACONS.get('ps')!.open({ processes }).look()
  t.strictSame(await look({ sleep: 'running', 'no-such-process': 'stopped' }), [{ sleep: 'Running' }, { 'no-such-process': 'Stopped' }])
  t.strictSame(await look({ sleep: 'stopped', 'no-such-process': 'running' }), [])
})

t.test('load with onchangeonly tells of leaving its bounds, not of being outside', async t => {
  const inside = { '1m': [0, 100_000] }
  const outside = { '1m': [100_000, 200_000] }
  const look = async (averages: Mapping, more: Mapping = {}) => {
    const watching = BEACONS.get('load')!.open({ averages, onchangeonly: true, ...more })
    return [(await watching.look()).length, (await watching.look()).length]
  }
  t.strictSame(await look(inside), [0, 0])
  t.strictSame(await look(outside), [0, 0], 'nothing at the start, and no change after it')
  t.strictSame(await look(outside, { emitatstartup: true }), [1, 0])
})

t.test('diskusage, network_info and status have the recorded fields', async t => {
  const fields = async (name: string, options: Mapping) => (await BEACONS.get(name)!.open(options).look()).map(item => Object.keys(item))
  t.same((await fields('diskusage', { '/': '0%', interval: 5 }))[0], ['diskusage', 'mount'])
  t.ok((await fields('diskusage', { '^/': '0%' })).length > 1, 'an expression means all that it matches')
  t.same(await fields('diskusage', { '/no/such': '0%' }), [])
  t.same(await fields('network_info', { interfaces: { lo: null } }), [['interface', 'network_info']])
  t.same(await fields('network_info', { interfaces: { lo: { type: 'greater', bytes_sent: 1e18 } } }), [])
  const [item] = await BEACONS.get('status')!
    .open({ loadavg: ['1-min'], interval: 5 })
    .look()
  t.match(item, { tag: /^\d{4}-\d\d-\d\dT[\d:.]{15}$/, data: { loadavg: { '1-min': Number } } })
  t.same(Object.keys((item!.data as { loadavg: object }).loadavg), ['1-min'])
})

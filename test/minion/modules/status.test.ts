import t from 'tap'
import { statusModule } from '../../../src/minion/modules/status.js'
import { systemProgram } from '../../../src/minion/modules/tool.js'
import { minionTest } from '../../helpers/executor.js'
import { minionWith, recordedMachine } from '../../helpers/machine.js'

/** Shortened recordings. */
const FILES = {
  'proc/uptime': '187505.88 370000.12\n',
  'proc/loadavg': '0.25 1.50 2.00 2/389 12345\n',
  'proc/stat':
    'cpu  10 20 30 40 50 60 70 80 0 0\ncpu0 5 10 15 20 25 30 35 40 0 0\nintr 900 1 2\nctxt 77\nbtime 1700000000\nprocesses 8\nsoftirq 12 4 8\n',
  'proc/meminfo': 'MemTotal:       16310892 kB\nHugePages_Total:       0\n',
  'proc/cpuinfo':
    'processor\t: 0\nmodel name\t: One @ 2.10GHz: fast\nflags\t\t: fpu vme\n\nprocessor\t: 1\nmodel name\t: One @ 2.10GHz: fast\nflags\t\t: fpu vme\n',
  'proc/diskstats': '   8       0 sda 1 2 3 4 5 6 7 8 9 10 11 0 0 0 0\n',
  'proc/vmstat': 'nr_free_pages 12\npswpin 0\n',
  'proc/net/netstat': 'TcpExt: SyncookiesSent TW\nTcpExt: 3 4\nIpExt: InNoRoutes\nIpExt: 5\n',
  'proc/net/dev':
    'Inter-|   Receive                                                |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed\n  eth0:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\nveth0:1: 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n',
  'proc/version': 'Linux version 6.1.0 (gcc) #1 SMP\n',
  'proc/self/mounts': '/dev/sda1 / ext4 rw 0 0\ntmpfs /with\\040blank tmpfs rw 0 0\n',
  'with blank/x': ''
}

t.test('status: what /proc says, in the shapes of Salt', async t => {
  const { value } = await minionWith(t, statusModule(await recordedMachine(t, FILES)))
  const { since_iso, since_t, ...uptime } = (await value('status.uptime')) as Record<string, unknown>
  t.same(uptime, { seconds: 187505, up: '2 days, 4:5', users: 0 })
  t.match(since_iso, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/)
  t.ok(Math.abs(Date.parse(`${since_iso}Z`) / 1000 - Number(since_t)) <= 1)
  t.same(await value('status.loadavg'), { '1-min': 0.25, '5-min': 1.5, '15-min': 2 })
  t.same(await value('status.cpustats'), {
    cpu: { user: 10, nice: 20, system: 30, idle: 40, iowait: 50, irq: 60, softirq: 70, steal: 80 },
    ...{ cpu0: 5, intr: { total: 900, irqs: [1, 2] }, ctxt: 77, btime: 1700000000, processes: 8, softirq: { total: 12, softirqs: [4, 8] } }
  })
  t.same(await value('status.meminfo'), { MemTotal: { value: '16310892', unit: 'kB' }, HugePages_Total: { value: '0' } })
  t.same(await value('status.cpuinfo'), { processor: '1', 'model name': 'One @ 2.10GHz: fast', flags: ['fpu', 'vme'] })
  t.same(await value('status.diskstats'), {
    sda: {
      ...{ major: 8, minor: 0, device: 'sda', reads_issued: 1, reads_merged: 2, sectors_read: 3, ms_spent_reading: 4 },
      ...{ writes_completed: 5, writes_merged: 6, sectors_written: 7, ms_spent_writing: 8, io_in_progress: 9 },
      ...{ ms_spent_in_io: 10, weighted_ms_spent_in_io: 11 }
    }
  })
  t.same(await value('status.vmstats'), { nr_free_pages: 12, pswpin: 0 })
  t.same(await value('status.netstats'), { TcpExt: { SyncookiesSent: 3, TW: 4 }, IpExt: { InNoRoutes: 5 } })
  const netdev = (await value('status.netdev')) as Record<string, Record<string, unknown>>
  t.same(Object.keys(netdev), ['eth0', 'veth0:1'])
  t.same(netdev.eth0, {
    ...{ iface: 'eth0', rx_bytes: 1, rx_packets: 2, rx_errs: 3, rx_drop: 4, rx_fifo: 5, rx_frame: 6, rx_compressed: 7, rx_multicast: 8 },
    ...{ tx_bytes: 9, tx_packets: 10, tx_errs: 11, tx_drop: 12, tx_fifo: 13, tx_colls: 14, tx_carrier: 15, tx_compressed: 16 }
  })
  t.equal(await value('status.version'), 'Linux version 6.1.0 (gcc) #1 SMP')
  for (const [args, paths] of [
    [[], ['/', '/with blank']],
    [['tmp*'], ['/with blank']],
    [['/', '/nowhere'], ['/']]
  ] as const) {
    const usage = (await value('status.diskusage', ...args)) as Record<string, { available: number; total: number }>
    t.same(Object.keys(usage), paths)
    for (const { available, total } of Object.values(usage)) t.ok(available >= 0 && total >= available)
  }
})

t.test('status: a machine that tells nothing has nothing to show, and no function fails', async t => {
  const { run } = await minionWith(t, statusModule(await recordedMachine(t, {})))
  for (const name of [
    'uptime',
    'loadavg',
    'cpustats',
    'meminfo',
    'cpuinfo',
    'diskstats',
    'diskusage',
    'vmstats',
    'netstats',
    'netdev',
    'procs',
    'version'
  ])
    t.equal((await run(`status.${name}`)).success, true, name)
})

t.test('status: this machine, its processes, who is logged in, and what the configuration asks for', async t => {
  const settings = { 'status.loadavg.custom': ['1-min'], 'status.cpustats.custom': ['ctxt', 'btime'] }
  const { value } = await minionTest(t, { options: { settings } })
  t.match(await value('status.procs'), { [process.pid]: { user: String, cmd: /node/ } })
  t.match(await value('status.pid', '(no process has this in its command line)'), '')
  t.match(await value('status.custom'), { '1-min': Number, ctxt: Number, btime: Number })
  t.equal(await value('status.time', '%Y'), String(new Date().getFullYear()))
  t.ok(Number(await value('status.nproc')) >= 1)
  t.same(Object.keys((await value('status.all_status')) as object).sort(), [
    ...['cpuinfo', 'cpustats', 'diskstats', 'diskusage', 'loadavg', 'meminfo', 'netdev', 'netstats', 'uptime', 'vmstats', 'w']
  ])
  t.ok(Array.isArray(await value('status.w')), (await systemProgram('w')) ? 'by w' : 'without w')
})

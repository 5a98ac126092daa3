import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { psModule } from '../../../src/minion/modules/ps.js'
import { systemProgram } from '../../../src/minion/modules/tool.js'
import { kw, minionTest, until } from '../../helpers/executor.js'
import { minionWith, recordedMachine } from '../../helpers/machine.js'

/** A record of utmp(5): type, pid, line, user, host, time. */
function login(type: number, line: string, user: string, host: string, time: number): Buffer {
  const record = Buffer.alloc(384)
  record.writeInt16LE(type, 0)
  record.writeInt32LE(4711, 4)
  record.write(line, 8)
  record.write(user, 44)
  record.write(host, 76)
  record.writeInt32LE(time, 340)
  return record
}

const zeros = (count: number) => '0 '.repeat(count)

const FILES = {
  'proc/stat':
    'cpu  100 200 300 400 500 0 0 0 0 0\ncpu0 50 100 150 200 250 0 0 0 0 0\ncpu1 50 100 150 200 250 0 0 0 0 0\nbtime 1700000000\n',
  'proc/uptime': '1000.00 1.00\n',
  'proc/meminfo':
    'MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 600 kB\nBuffers: 50 kB\nCached: 200 kB\nSReclaimable: 50 kB\nActive: 10 kB\nInactive: 20 kB\nShmem: 7 kB\nSlab: 60 kB\nSwapTotal: 400 kB\nSwapFree: 300 kB\n',
  'proc/vmstat': 'pswpin 2\npswpout 3\n',
  'proc/filesystems': 'nodev\tproc\n\text4\nnodev\ttmpfs\n',
  'proc/self/mounts': '/dev/sda1 / ext4 rw,relatime 0 0\nproc /proc proc rw 0 0\n',
  'proc/self/smaps': '00-01 r--p\nKernelPageSize:        4 kB\n',
  'proc/diskstats': ' 8 0 sda 10 1 100 5 20 2 200 6 0 11 0 0 0 0 0\n 8 1 sda1 10 1 100 5 20 2 200 6 0 11 0 0 0 0 0\n',
  'sys/block/sda/x': '',
  'proc/net/dev': 'head\nhead\n lo: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\neth0: 10 20 30 40 0 0 0 0 50 60 70 80 0 0 0 0\n',
  'run/utmp': Buffer.concat([login(2, '~', 'reboot', '', 1), login(7, 'pts/0', 'alice', '192.0.2.10', 1700000100)]),
  'proc/7/stat': `7 (a name) ) S 1 7 7 34817 -1 0 ${zeros(4)}250 50 3 4 20 5 6 0 20000 4096 2 ${zeros(19)}`,
  'proc/7/status':
    'Name:\ta\nUid:\t0\t1\t2\t3\nGid:\t10\t11\t12\t13\nvoluntary_ctxt_switches:\t8\nnonvoluntary_ctxt_switches:\t9\nCpus_allowed_list:\t0-1,4\n',
  'proc/7/statm': '100 25 10 5 0 50 0\n',
  'proc/7/cmdline': '/usr/bin/prog\0--flag\0two words\0',
  'proc/7/environ': 'SECRET=x=y\0HOME=/root\0',
  'proc/7/exe': '-> /usr/bin/prog',
  'proc/7/cwd': '-> /srv',
  'proc/7/io': 'rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\n',
  'proc/7/fd/0': '-> /dev/null',
  'proc/7/fd/3': '-> /var/log/x.log',
  'proc/8/stat': `8 (fifteen-letters) R 1 8 8 0 -1 0 ${zeros(40)}`,
  'proc/8/status': 'Uid:\t0\t0\t0\t0\n',
  'proc/8/cmdline': '/opt/fifteen-letters-and-more\0',
  'proc/notes': ''
}

t.test('ps: memory, processors, disks and network in the shapes of psutil', async t => {
  const { value } = await minionWith(t, psModule(await recordedMachine(t, FILES)))
  const k = 1024
  t.same(await value('ps.virtual_memory'), {
    ...{ total: 1000 * k, available: 600 * k, percent: 40, used: 600 * k, free: 100 * k, active: 10 * k, inactive: 20 * k },
    ...{ buffers: 50 * k, cached: 250 * k, shared: 7 * k, slab: 60 * k }
  })
  t.same(await value('ps.swap_memory'), { total: 400 * k, used: 100 * k, free: 300 * k, percent: 25, sin: 8192, sout: 12288 })
  const rest = { irq: 0, softirq: 0, steal: 0, guest: 0, guest_nice: 0 }
  t.same(await value('ps.cpu_times'), { user: 1, nice: 2, system: 3, idle: 4, iowait: 5, ...rest })
  t.match(await value('ps.cpu_times', true), [{ user: 0.5 }, { user: 0.5 }])
  t.equal(await value('ps.cpu_percent', 0), 0, 'nothing has happened between two readings')
  t.equal(await value('ps.num_cpus'), 2)
  t.equal(await value('ps.total_physical_memory'), 1000 * k)
  t.equal(await value('ps.boot_time'), 1700000000)
  t.equal(await value('ps.boot_time', '%Y'), '2023')
  const ext4 = { device: '/dev/sda1', mountpoint: '/', fstype: 'ext4', opts: 'rw,relatime', maxfile: 255, maxpath: 4096 }
  t.same(await value('ps.disk_partitions'), [ext4])
  t.match(await value('ps.disk_partitions', true), [ext4, { fstype: 'proc' }])
  t.match(await value('ps.disk_partition_usage'), [{ ...ext4, total: Number, used: Number, free: Number, percent: Number }])
  const counters = {
    ...{ read_count: 10, write_count: 20, read_bytes: 51200, write_bytes: 102400, read_time: 5, write_time: 6 },
    ...{ read_merged_count: 1, write_merged_count: 2, busy_time: 11 }
  }
  t.same(await value('ps.disk_io_counters'), counters, 'a partition does not count beside its disk')
  t.same(await value('ps.disk_io_counters', 'sda1'), counters)
  t.equal(await value('ps.disk_io_counters', 'sdz'), false)
  t.same(await value('ps.network_io_counters'), {
    ...{ bytes_sent: 55, bytes_recv: 11, packets_sent: 66, packets_recv: 22, errin: 33, errout: 77, dropin: 44, dropout: 88 }
  })
  t.match(await value('ps.network_io_counters', 'eth0'), { bytes_sent: 50, bytes_recv: 10 })
  t.equal(await value('ps.network_io_counters', 'eth9'), false)
  t.same(await value('ps.get_users'), [{ name: 'alice', terminal: 'pts/0', host: '192.0.2.10', started: 1700000100, pid: 4711 }])
})

t.test('ps: a process as psutil shows it; its environment only when it is named', async t => {
  const { value, run } = await minionWith(t, psModule(await recordedMachine(t, FILES)))
  t.same(await value('ps.get_pid_list'), [7, 8])
  t.same(await value('ps.proc_info', 7), {
    ...{ pid: 7, ppid: 1, name: 'a name) ', exe: '/usr/bin/prog', cmdline: ['/usr/bin/prog', '--flag', 'two words'], cwd: '/srv' },
    ...{ status: 'sleeping', username: 'root', uids: [0, 1, 2], gids: [10, 11, 12], terminal: '/dev/pts/1', nice: 5, num_threads: 6 },
    ...{ num_fds: 2, num_ctx_switches: [8, 9], cpu_times: [2.5, 0.5, 0.03, 0.04, 0], cpu_num: 0, cpu_affinity: [0, 1, 4] },
    ...{ cpu_percent: 0.4, memory_info: [102400, 409600, 40960, 20480, 0, 204800, 0], memory_percent: 10, create_time: 1700000200 },
    ...{ io_counters: [3, 4, 5, 6, 1, 2], open_files: [['/var/log/x.log', 3]] }
  })
  t.same(await value('ps.proc_info', 7, ['pid', 'environ']), { pid: 7, environ: { SECRET: 'x=y', HOME: '/root' } })
  t.match(await run('ps.proc_info', 9), { success: false, return: 'ERROR: process no longer exists (pid=9)' })
  t.match(await run('ps.proc_info', 7, ['constructor']), { success: false, return: /invalid attr name 'constructor'/ })
  t.same(await value('ps.pgrep', 'letters-and-more'), [8], 'names that the kernel has cut are whole')
  t.same(await value('ps.pgrep', 'two words', kw({ full: true })), [7])
  t.same(await value('ps.pgrep', '^fif.*more$', kw({ pattern_is_regex: true })), [8])
  t.equal(await value('ps.pgrep', '^fif.*more$'), null)
  t.equal(await value('ps.pgrep', 'letters', kw({ user: 'nobody' })), null)
  t.match(await value('ps.top', 1, 0), [
    {
      pid: 8,
      user: 'root',
      status: 'running',
      cmd: ['/opt/fifteen-letters-and-more'],
      cpu: { user: Number },
      mem: { rss: Number },
      create_time: Number
    }
  ])
  t.equal(((await value('ps.top', 0, 0)) as object[]).length, 2)
  t.match(await run('ps.top', 1, -1), { success: false, return: /interval must lie/ })
})

t.test('ps: signals reach whom they are meant for, and nobody else', async t => {
  const { value, run } = await minionTest(t)
  const marker = `brine-test-${process.pid}`
  const start = () => {
    const child = spawn('sleep', ['600'], { argv0: marker, stdio: 'ignore' })
    t.teardown(() => child.kill('SIGKILL'))
    return { pid: child.pid!, ended: once(child, 'exit') }
  }
  const [one, two] = [start(), start()]
  await until(async () => ((await value('ps.pgrep', marker, kw({ full: true }))) as number[] | null)?.length === 2, 'both run')
  t.equal(await value('ps.kill_pid', one.pid, 9), true)
  t.same(await one.ended, [null, 'SIGKILL'])
  t.equal(await value('ps.kill_pid', one.pid), false)
  t.same(await value('ps.pkill', marker, kw({ full: true })), { killed: [two.pid] })
  t.same(await two.ended, [null, 'SIGTERM'])
  t.equal(await value('ps.pkill', marker, kw({ full: true })), null)
  for (const pid of [0, -1, 1.5]) t.match(await run('ps.kill_pid', pid), { success: false, return: /is no process id/ })
  t.match(await run('ps.kill_pid', process.pid, 99), { success: false, return: /99 is no signal/ })
})

t.test('ps: this machine', async t => {
  const { value } = await minionTest(t)
  t.ok(((await value('ps.get_pid_list')) as number[]).includes(process.pid))
  t.match(await value('ps.proc_info', process.pid), {
    pid: process.pid,
    ppid: process.ppid,
    cwd: process.cwd(),
    status: /running|sleeping/
  })
  t.match(await value('ps.top', 3, 0.05), [{ pid: Number }, { pid: Number }, { pid: Number }])
  t.match(await value('ps.disk_usage', '/'), { total: Number, used: Number, free: Number, percent: Number })
  t.ok(Number(await value('ps.cpu_percent', 0.05)) <= 100)
})

for (const [fun, program, name] of [
  ['lsof', 'lsof', 'node'],
  ['netstat', 'netstat', ':'],
  ['ss', 'ss', ':'],
  ['psaux', 'ps', 'node']
] as const) {
  const there = await systemProgram(program)
  t.test(`ps.${fun}`, { skip: there === null && `there is no ${program} (.ci/tools.sh installs it)` }, async t => {
    const { value } = await minionTest(t)
    t.match(await value(`ps.${fun}`, name), [name, fun === 'lsof' ? String : Array])
  })
}

import { execFileSync } from 'node:child_process'
import t from 'tap'
import { diskModule } from '../../../src/minion/modules/disk.js'
import { systemProgram } from '../../../src/minion/modules/tool.js'
import { minionTest } from '../../helpers/executor.js'
import { minionWith, recordedMachine } from '../../helpers/machine.js'

const [df, blkid] = await Promise.all(['df', 'blkid'].map(systemProgram))

t.test('disk.usage and disk.inodeusage are what df says of the same machine', { skip: df === null && 'there is no df' }, async t => {
  const { value } = await minionTest(t)
  const asked = (...options: string[]) =>
    execFileSync('df', options, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      .trim()
      .split('\n')
      .slice(1)
      .map(line => line.split(/\s+/))
  const root = (lines: string[][]) => lines.find(line => line[5] === '/')!
  const [filesystem, blocks] = root(asked('-P', '/'))
  const usage = (await value('disk.usage')) as Record<string, Record<string, string>>
  t.match(usage['/'], { filesystem, '1K-blocks': blocks, used: /^\d+$/, available: /^\d+$/, capacity: /^\d+%$/ })
  t.match(await value('disk.percent', '/'), /^\d+%$/)
  t.match(await value('disk.percent'), { '/': /^\d+%$/ })
  t.same(await value('disk.percent', '/nowhere'), {})
  const [, inodes] = root(asked('-iP', '/'))
  t.match(((await value('disk.inodeusage')) as Record<string, unknown>)['/'], {
    inodes,
    used: /^\d+$/,
    free: /^\d+$/,
    use: /^(\d+%|-)$/,
    filesystem
  })
})

t.test('disk.usage: the last mount at a place counts, a device once, blanks in names, file systems without size only with -a', async t => {
  const source = await recordedMachine(t, {
    'proc/self/mounts': [
      ...['/dev/sda1 / ext4 rw 0 0', '/dev/sdb1 /data ext4 rw 0 0', '/dev/sdb1 /data/bound/deep ext4 rw 0 0'],
      ...['srv:/x /gone nfs4 rw 0 0', 'old /data tmpfs rw 0 0', '/dev/sdc1 /with\\040blank xfs rw 0 0', '']
    ].join('\n'),
    'data/bound/deep/x': '',
    'with blank/x': ''
  })
  const { value, run } = await minionWith(t, diskModule(source))
  t.same(
    Object.entries((await value('disk.usage')) as Record<string, { filesystem: string }>).map(([path, { filesystem }]) => [
      path,
      filesystem
    ]),
    [
      ['/', '/dev/sda1'],
      ['/data', 'old'],
      ['/data/bound/deep', '/dev/sdb1'],
      ['/with blank', '/dev/sdc1']
    ]
  )
  t.match(await run('disk.usage', 'hz'), { success: false, return: 'ERROR: Invalid flag passed to disk.usage' })
})

t.test('devices are absolute paths', async t => {
  const { run } = await minionTest(t)
  for (const fun of ['disk.blkid', 'disk.dump', 'disk.fstype'])
    t.match(await run(fun, '--version'), { success: false, return: /is no absolute path/ })
})

t.test('disk.blkid asks the program', { skip: blkid === null && 'there is no blkid' }, async t => {
  const { run } = await minionTest(t)
  t.match(await run('disk.blkid'), { success: true, return: Object })
})

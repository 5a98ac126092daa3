import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { compareDeb, compareRpm, fulfils } from '../../../src/minion/modules/pkg/versions.js'
import { systemProgram } from '../../../src/minion/modules/tool.js'

const run = promisify(execFile)

/** In order, each older than the next. */
const DEBIAN = [
  [
    '1.0~~',
    '1.0~~a',
    '1.0~',
    '1.0',
    '1.0a',
    '1.0b',
    '1.0+b1',
    '1.0.1',
    '1.1',
    '1.9',
    '1.10',
    '2.0-1',
    '2.0-1+deb12u1',
    '2.0-1.1',
    '2.0-10'
  ],
  ['0:5', '1:0.1', '2:0']
]

t.test('Debian versions sort as deb-version(7) says', async t => {
  for (const list of DEBIAN)
    for (const [at, version] of list.entries()) {
      t.equal(compareDeb(version, version), 0)
      for (const newer of list.slice(at + 1)) {
        t.equal(compareDeb(version, newer), -1, `${version} < ${newer}`)
        t.equal(compareDeb(newer, version), 1, `${newer} > ${version}`)
      }
    }
  t.equal(compareDeb('1:1.0', '1.0', true), 0, 'without the epoch')
  t.equal(compareDeb('1.0', '1.0-0'), 0)
  t.equal(compareDeb('1.00000000000000000000000000000001', '1.1'), 0, 'numbers of any length')
})

t.test('and as dpkg itself does', { skip: (await systemProgram('dpkg')) ? false : 'needs dpkg' }, async t => {
  const versions = [...DEBIAN.flat(), '1.0-1~bpo', 'a', '1a2', '1-a', '1.0^x', '3.0pl1-162', '1:9.2p1-2+deb12u3']
  const less = (a: string, b: string): Promise<boolean> =>
    run('dpkg', ['--compare-versions', a, 'lt', b]).then(
      () => true,
      () => false
    )
  for (const [at, a] of versions.entries()) {
    const b = versions[(at * 7 + 3) % versions.length]!
    t.equal(compareDeb(a, b) < 0, await less(a, b), `${a} and ${b}`)
  }
})

t.test('RPM versions sort as rpmvercmp does', async t => {
  const list = ['1.0~rc1', '1.0', '1.0^git1', '1.0.a', '1.0.1', '1.1', '1.10', '2.0-1.el9', '2.0-2.el9', '1:0.1']
  for (const [at, version] of list.entries())
    for (const newer of list.slice(at + 1)) {
      t.equal(compareRpm(version, newer), -1, `${version} < ${newer}`)
      t.equal(compareRpm(newer, version), 1)
    }
  t.equal(compareRpm('2.0', '2.0-5.el9'), 0, 'a version without a release is any of its releases')
  t.equal(compareRpm('1.05', '1.5'), 0)
  t.equal(compareRpm('1_0', '1.0'), 0)
})

t.test('wishes for versions', async t => {
  const fits = (version: string, wish: string, ignoreEpoch: boolean | null = null): boolean =>
    fulfils(version, wish, compareDeb, ignoreEpoch)
  for (const wish of ['1:2.0-1', '2.0-1', '=2.0-1', '==1:2.0-1', '1:2.*', '>=1:2.0', '>1:1.9, <1:3', '!=2.0-2'])
    t.ok(fits('1:2.0-1', wish), wish)
  for (const wish of ['2.0-2', '<1:2', '>1:1, <1:2', '3.*', '!=1:2.0-1', '0:2.0-1']) t.notOk(fits('1:2.0-1', wish), wish)
  t.notOk(fits('1:2.0-1', '<3'), 'an epoch counts where it is about older or newer')
  t.ok(fits('1:2.0-1', '<3', true))
  t.notOk(fits('1:2.0-1', '2.0-1', false))
})

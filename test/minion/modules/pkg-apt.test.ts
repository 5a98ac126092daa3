import { execFile } from 'node:child_process'
import { access, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { systemProgram } from '../../../src/minion/modules/tool.js'
import { aptRepository, buildPackage } from '../../helpers/debian.js'
import { kw, minionTest } from '../../helpers/executor.js'
import { predictsAndRepeats, singleState } from '../../helpers/states.js'

const missing = (await Promise.all(['apt-get', 'apt-cache', 'apt-mark', 'dpkg-query', 'dpkg-deb'].map(systemProgram))).includes(null)
const skip = missing ? 'needs apt and dpkg' : process.getuid?.() !== 0 ? 'packages are installed by root only' : false

// Asked before a test gives apt a repository of its own.
const debian = await debianPackage()

/** Why a package of Debian's own cannot be tried here; null: it can. */
async function debianPackage(): Promise<string | null> {
  if (skip) return skip
  const run = promisify(execFile)
  const there = await run('dpkg-query', ['-W', 'hello']).catch(() => null)
  if (there) return 'the package hello is known to this machine already'
  const fetch = ['-q', '-y', '-o', 'Acquire::http::Timeout=10', '-o', 'Acquire::Retries=1', '--download-only', 'install', 'hello']
  const fetched = await run('apt-get', fetch, { timeout: 60_000 }).catch(() => null)
  return fetched ? null : 'the package hello cannot be fetched: no network, or no lists of packages'
}

// dpkg syncs what it unpacks, which a loaded machine with a slow disk does slowly.
t.setTimeout(300_000)

// Packages of these tests alone, from a repository of their own: no other package of the machine is touched, and no network is needed.
const [A, B] = [`brine-test-package-a-${process.pid}`, `brine-test-package-b-${process.pid}`]

async function aptTest(t: Test) {
  const minion = await minionTest(t, { grains: { os_family: 'Debian' } })
  const repository = await aptRepository(t, minion.dir)
  const file = (name: string, version: string): Promise<string> =>
    buildPackage(minion.dir, { name, version, ...(name === A ? { conffile: `${A}.conf` } : {}) })
  const files = { a1: await file(A, '1.0-1'), a2: await file(A, '1.1-1'), b1: await file(B, '2.0'), b2: await file(B, '1:0.5') }
  await repository.offer([files.a1, files.a2, files.b1])
  t.teardown(() => minion.run('cmd.run', ['dpkg', '--purge', '--force-hold', A, B], kw({ python_shell: false })))
  const versions = (): Promise<unknown> => minion.value('pkg.version', A, B)
  return { ...minion, repository, files, versions }
}

t.test('pkg functions on apt', { skip }, async t => {
  const { value, repository, files, dir } = await aptTest(t)
  t.ok(Object.values((await value('pkg.refresh_db')) as object).includes(true), 'the repository was fetched')
  t.same([await value('pkg.version', A), await value('pkg.latest_version', A, kw({ refresh: false }))], ['', '1.1-1'])
  t.same(await value('pkg.latest_version', A, B, 'no-such-package'), { [A]: '1.1-1', [B]: '2.0', 'no-such-package': '' })
  t.same(await value('pkg.list_repo_pkgs', A), { [A]: ['1.1-1', '1.0-1'] })
  t.same(await value('pkg.install', A, kw({ version: '1.0-1' })), { [A]: { old: '', new: '1.0-1' } })
  t.same(await value('pkg.install', A, kw({ version: '1.0-1' })), {}, 'it is there already')
  t.same([await value('pkg.version', A), await value('pkg.version', A, B)], ['1.0-1', { [A]: '1.0-1', [B]: '' }])
  t.same(await value('pkg.version', `${A.slice(0, -1)}*`), { [A]: '1.0-1' })
  t.same([await value('pkg.upgrade_available', A), await value('pkg.upgrade_available', B)], [true, true])
  t.match(await value('pkg.list_upgrades'), { [A]: '1.1-1' })
  t.match(await value('pkg.list_pkgs'), { [A]: '1.0-1', dpkg: /^\d/ })
  t.match(await value('pkg.list_pkgs', kw({ versions_as_list: true })), { [A]: ['1.0-1'] })
  t.same(await value('pkg.install', kw({ pkgs: [{ [A]: '>=1.0, <2' }, B] })), {
    [A]: { old: '1.0-1', new: '1.1-1' },
    [B]: { old: '', new: '2.0' }
  })
  t.same(
    await value('pkg.install', A, kw({ version: '1.0*' })),
    { [A]: { old: '1.1-1', new: '1.0-1' } },
    'an older version is gone back to'
  )
  t.same(await value('pkg.install', A, kw({ version: '1.0-1', reinstall: true })), { [A]: { old: '1.0-1', new: '1.0-1' } })
  t.match(
    await value('pkg.install', A, kw({ version: '>=9' })),
    /^ERROR: No version matching '.*>=9' could be found \(available: 1\.1-1, 1\.0-1\)$/
  )
  t.match(
    await value('pkg.install', 'no-such-package'),
    /^ERROR: Problem encountered installing package\(s\)\. Additional info follows:\n\nerrors:\n {4}- .*no-such-package/
  )
  t.same(await value('pkg.upgrade', kw({ pkgs: [A], refresh: false })), { [A]: { old: '1.0-1', new: '1.1-1' } })
  const note = `/usr/share/${A}/note`
  t.ok(((await value('pkg.file_list', A)) as { files: string[] }).files.includes(note))
  t.match(await value('pkg.file_dict', A, 'no-such-package'), {
    errors: ['Package no-such-package is not installed.'],
    packages: { [A]: Array }
  })
  t.equal(await value('pkg.owner', note), A)
  t.same(await value('pkg.owner', note, '/no/such'), { [note]: A, '/no/such': '' })
  t.match(await value('pkg.info_installed', A), {
    [A]: {
      name: A,
      version: '1.1-1',
      arch: 'all',
      source: A,
      group: 'misc',
      packager: /^Nobody/,
      size: 4096,
      url: 'http://example.com/',
      description: /a second line$/,
      install_date_time_t: Number
    }
  })
  t.same(await value('pkg.info_installed', A, kw({ attr: 'version' })), { [A]: { version: '1.1-1' } })
  t.match(await value('pkg.info_installed', 'no-such-package'), /not installed: no-such-package/)
  t.same(await value('pkg.info_installed', 'no-such-package', kw({ failhard: false })), {})
  t.match(await value('pkg.hold', kw({ pkgs: [A, 'no-such-package'] })), {
    [A]: { name: A, result: true, changes: { old: 'install', new: 'hold' }, comment: `Package ${A} is now being held.` },
    'no-such-package': { result: false, changes: {} }
  })
  t.ok(((await value('pkg.list_holds')) as string[]).includes(A))
  t.ok(((await value('pkg.get_selections', kw({ state: 'hold' }))) as { hold: string[] }).hold.includes(A))
  t.match(await value('pkg.unhold', A), { [A]: { result: true, comment: `Package ${A} is no longer being held.` } })
  t.match(await value('pkg.unhold', A), { [A]: { result: true, changes: {}, comment: `Package ${A} is not being held.` } })
  t.same(await value('pkg.remove', A), { [A]: { old: '1.1-1', new: '' } })
  t.match(await value('pkg.list_pkgs', kw({ removed: true })), { [A]: '1.1-1' }, 'its configuration is left')
  t.same(await value('pkg.purge', kw({ pkgs: [A, B] })), {
    installed: { [B]: { old: '2.0', new: '' } },
    removed: { [A]: { old: '1.1-1', new: '' } }
  })
  t.same(await value('pkg.purge', A), {})
  t.same(await value('pkg.install', kw({ sources: [{ [B]: files.b2 }] })), { [B]: { old: '', new: '1:0.5' } })
  t.same([await value('pkg.version_cmp', '1:0.5', '2.0'), await value('pkg.version_cmp', '1:0.5', '2.0', true)], [1, -1])
  t.match(await value('pkg.autoremove', true), Array)
  t.equal(await value('pkg.normalize_name', 'zsh:no-such-arch'), 'zsh:no-such-arch')
  await repository.offer([])
  await access(join(dir, 'repo/Packages'))
})

t.test('what a tool would take for something else is no name of a package', { skip: missing ? skip : false }, async t => {
  const { value } = await minionTest(t, { grains: { os_family: 'Debian' } })
  for (const name of ['-y', 'dpkg-', 'a b', ''])
    t.match(await value('pkg.install', kw({ pkgs: [name] })), /is not the name of a package/, name)
  t.match(await value('pkg.install', kw({ pkgs: { deep: { a: 1 } } })), /must be a text/)
  t.match(await value('pkg.list_repos'), {}, 'of this machine')
})

t.test('what is installed below another root', { skip: missing ? skip : false }, async t => {
  const { value, write, dir } = await minionTest(t, { grains: { os_family: 'Debian' } })
  const entry = (name: string, status: string): string =>
    `Package: ${name}\nStatus: ${status}\nMaintainer: N <n@example.com>\nArchitecture: all\nVersion: 1:2-3\nConffiles:\n /etc/${name} 0\nDescription: x\n\n`
  const there = entry('there', 'install ok installed') + entry('kept', 'hold ok installed') + entry('gone', 'deinstall ok config-files')
  await write('root/var/lib/dpkg/status', there + entry('doomed', 'purge ok installed'))
  await write('root/var/lib/dpkg/info/there.list', '/.\n/usr\n/usr/there\n')
  const root = join(dir, 'root')
  t.same(await value('pkg.list_pkgs', kw({ root })), { there: '1:2-3', kept: '1:2-3' })
  t.same(await value('pkg.list_pkgs', kw({ root, removed: true })), { gone: '1:2-3' })
  t.same(await value('pkg.list_pkgs', kw({ root, purge_desired: true, versions_as_list: true })), { doomed: ['1:2-3'] })
  t.same([await value('pkg.version', 'there', kw({ root })), await value('pkg.version', 'gone', kw({ root }))], ['1:2-3', ''])
  t.same(await value('pkg.file_list', 'there', kw({ root })), { errors: [], files: ['/.', '/usr', '/usr/there'] })
  t.equal(await value('pkg.owner', '/usr/there', kw({ root })), 'there')
  t.match(await value('pkg.info_installed', 'there', kw({ root })), { there: { version: '1:2-3', install_date_time_t: Number } })
})

t.test('a system without apt and dnf says so', async t => {
  const { value } = await minionTest(t, { grains: { os_family: 'Plan9' } })
  t.equal(await value('pkg.list_pkgs'), 'ERROR: Packages are managed on systems of Debian (apt) and Red Hat (dnf), not on Plan9')
})

t.test('every pkg state on apt is idempotent, and test=True predicts it', { skip }, async t => {
  const minion = await aptTest(t)
  const { repository, files, versions } = minion
  const single = singleState(minion)
  const step = (fun: string, args: Record<string, unknown>, look: () => unknown = versions) =>
    predictsAndRepeats(t, single, [`pkg.${fun}`, args], look)
  await minion.value('pkg.refresh_db')
  const first = await step('installed', { name: A, version: '1.0-1' })
  t.match(first.first, { comment: '1 targeted package was installed/updated.', changes: { [A]: { old: '', new: '1.0-1' } } })
  t.same(first.predicted.changes, first.first.changes, 'what was predicted is what came')
  t.equal(first.predicted.comment, `The following packages would be installed/updated: ${A}=1.0-1`)
  const several = await step('installed', { name: 'several', pkgs: [A, B] })
  t.equal(several.first.comment, `1 targeted package was installed/updated.\nThe following packages were already installed: ${A}`)
  t.same(several.predicted.changes, several.first.changes)
  const newest = await step('latest', { name: A })
  t.match(newest.first, {
    comment: `The following packages were successfully installed/upgraded: ${A}`,
    changes: { [A]: { old: '1.0-1', new: '1.1-1' } }
  })
  await step('installed', { name: A, version: '<1.1' })
  await step('installed', { name: A, version: 'latest' })
  await step('removed', { name: A })
  t.equal(await readFile(`/etc/${A}.conf`, 'utf8'), 'setting=1\n', 'the configuration stays')
  const purged = await step('purged', { name: 'both', pkgs: [A, B, 'no-such-package'] }, () =>
    minion.value('pkg.list_pkgs', kw({ removed: true }))
  )
  t.equal(
    purged.first.comment,
    `The following packages were not installed: no-such-package.\nThe following packages were purged: ${A}, ${B}.`
  )
  await t.rejects(access(`/etc/${A}.conf`))
  await step('installed', { name: 'file', sources: [{ [B]: files.b1 }] })
  const held = await step('held', { name: B }, () => minion.value('pkg.list_holds'))
  t.equal(held.first.comment, `Package ${B} is now being held`)
  await step('unheld', { name: B }, () => minion.value('pkg.list_holds'))
  await step('installed', { name: B, hold: true }, () => minion.value('pkg.list_holds'))
  await step('unheld', { name: B }, () => minion.value('pkg.list_holds'))
  await repository.offer([files.b2])
  const upgraded = await step('uptodate', { name: 'system', refresh: true, pkgs: [B] })
  t.match(upgraded.first, { comment: 'Upgrade ran successfully', changes: { [B]: { old: '2.0', new: '1:0.5' } } })
  t.same(upgraded.predicted.changes, upgraded.first.changes)
})

t.test('pkg states: what cannot be, in the words of Salt', { skip }, async t => {
  const minion = await aptTest(t)
  const single = singleState(minion)
  await minion.value('pkg.refresh_db')
  t.match(await single('pkg.installed', { name: 'no-such-package' }), {
    result: false,
    changes: {},
    comment: /^Problem encountered installing package\(s\)\. Additional info follows:\n\nerrors:\n {4}- .*no-such-package/
  })
  t.match(await single('pkg.latest', { name: 'no-such-package' }), {
    result: false,
    comment: "No information found for 'no-such-package'."
  })
  t.match(await single('pkg.installed', { name: 'x', pkgs: [] }), { result: true, comment: 'No packages to install provided' })
  t.match(await single('pkg.installed', { name: 'x', pkgs: 5 }), { result: false, comment: /^Invalidly formatted pkgs parameter/ })
  t.match(await single('pkg.installed', { name: 'x', pkgs: [A], sources: [{ [A]: '/x' }] }), {
    result: false,
    comment: 'Only one of "pkgs" and "sources" is permitted.'
  })
  t.match(await single('pkg.installed', { name: 'x', sources: [{ [A]: 'salt://nix.deb' }] }), {
    result: false,
    comment: /Unable to cache salt:\/\/nix\.deb/
  })
  t.match(await single('pkg.removed', { name: A }), { result: true, comment: 'All specified packages are already absent' })
  t.match(await single('pkg.held', { name: 'no-such-package' }), { result: false, comment: 'Package no-such-package was not held' })
  t.match(await single('pkg.held', { name: 'x', pkgs: [] }), { result: true, comment: 'No packages to be held provided' })
})

t.test('the lists of packages are fetched once in a run, by the first state that installs', { skip }, async t => {
  const minion = await aptTest(t)
  await minion.write(
    'roots/two.sls',
    `${A}: {pkg.installed: [{version: 1.0-1}]}\n${B}: pkg.installed\nagain: {pkg.latest: [{name: ${A}}]}\n`
  )
  const updates = join(minion.dir, 'updates')
  await minion.write(
    'bin/apt-get',
    `#!/bin/sh\ncase " $* " in *" update "*) echo x >> ${updates} ;; esac\nexec ${await systemProgram('apt-get')} "$@"\n`
  )
  await minion.value('cmd.run', ['chmod', '755', join(minion.dir, 'bin/apt-get')], kw({ python_shell: false }))
  const path = process.env.PATH
  process.env.PATH = `${join(minion.dir, 'bin')}:${path}`
  t.teardown(() => {
    process.env.PATH = path
  })
  const results = Object.values((await minion.value('state.sls', 'two')) as Record<string, { result: boolean; comment: string }>)
  t.same(
    results.map(({ result }) => result),
    [true, true, true],
    results.map(({ comment }) => comment).join('\n')
  )
  t.equal(await readFile(updates, 'utf8'), 'x\n')
  t.same(await minion.versions(), { [A]: '1.1-1', [B]: '2.0' })
})

t.test('a package of Debian itself is installed by pkg.installed, and removed again', { skip: debian ?? false }, async t => {
  const minion = await minionTest(t, { grains: { os_family: 'Debian' } })
  const single = singleState(minion)
  const name = 'hello'
  t.teardown(() => minion.run('pkg.purge', name))
  const look = (): Promise<unknown> => minion.value('pkg.version', name)
  const there = await predictsAndRepeats(t, single, ['pkg.installed', { name, refresh: false }], look)
  t.same(there.predicted.changes, there.first.changes)
  t.equal(await minion.value('cmd.run', name), 'Hello, world!')
  await predictsAndRepeats(t, single, ['pkg.purged', { name }], look)
})

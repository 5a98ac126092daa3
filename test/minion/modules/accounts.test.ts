import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { findGroup } from '../../../src/minion/accounts.js'
import { shaCrypt } from '../../../src/minion/modules/shacrypt.js'
import { systemProgram } from '../../../src/minion/modules/tool.js'
import { kw, minionTest } from '../../helpers/executor.js'
import { predictsAndRepeats, singleState } from '../../helpers/states.js'

const missing = (await Promise.all(['useradd', 'usermod', 'gpasswd', 'chage', 'chpasswd', 'passwd'].map(systemProgram))).includes(null)
/** Tools of shadow-utils change a root, temporary or not, only for root. */
const skip =
  process.getuid?.() !== 0 ? 'users and groups are changed by root only' : missing ? 'needs shadow-utils (useradd, gpasswd, chage)' : false

/** A system of its own below a directory, with a user and two groups. */
async function emptyRoot(t: Test) {
  const minion = await minionTest(t)
  const root = join(minion.dir, 'root')
  const put = (file: string, text: string, mode = 0o644): Promise<void> => writeFile(join(root, 'etc', file), text, { mode })
  await mkdir(join(root, 'etc'), { recursive: true })
  await mkdir(join(root, 'home'))
  await put('passwd', 'root:x:0:0:root:/root:/bin/sh\n')
  await put('group', 'root:x:0:\nstaff:x:50:\nwheel:x:60:root\n')
  await put('shadow', 'root:*:19000:0:99999:7:::\n', 0o600)
  await put('gshadow', 'root:*::\nstaff:!::\nwheel:!::root\n', 0o600)
  await put('login.defs', 'UID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\nUSERGROUPS_ENAB yes\nPASS_MAX_DAYS 99999\n')
  const value = (fun: string, ...args: unknown[]): Promise<unknown> => minion.value(fun, ...args, kw({ root }))
  return { ...minion, root, value, file: (name: string) => readFile(join(root, 'etc', name), 'utf8') }
}

t.test('user and group functions change the system below root= and tell of it', { skip }, async t => {
  const { value, root, file } = await emptyRoot(t)
  t.equal(await value('group.add', 'web', 700), true)
  t.equal(await value('group.add', 'web', 701), false, 'a group that is there cannot be added')
  t.same(await value('group.info', 'web'), { name: 'web', passwd: 'x', gid: 700, members: [] })
  t.same(await value('group.info', 'nix'), {})
  t.equal(await value('user.add', 'fred', 1200, 'web', ['staff', 'wheel'], '/home/fred', '/bin/bash'), true)
  t.ok((await stat(join(root, 'home/fred'))).isDirectory())
  t.equal(await value('user.chfullname', 'fred', 'Fred Jones'), true)
  t.equal(await value('user.chhomephone', 'fred', 555), true)
  t.equal(await value('user.chother', 'fred', 'more'), true)
  const fred = { gid: 700, groups: ['staff', 'web', 'wheel'], home: '/home/fred', name: 'fred', passwd: 'x', shell: '/bin/bash', uid: 1200 }
  const comment = { fullname: 'Fred Jones', roomnumber: '', workphone: '', homephone: '555', other: 'more' }
  t.same(await value('user.info', 'fred'), { ...fred, ...comment })
  t.match(await file('passwd'), /^fred:x:1200:700:Fred Jones,,,555,more:\/home\/fred:\/bin\/bash$/m)
  t.same(await value('user.info', 'nix'), {})
  t.same(await value('user.list_users'), ['fred', 'root'])
  t.same(await value('user.list_groups', 'fred'), ['staff', 'web', 'wheel'])
  t.equal(await value('user.primary_group', 'fred'), 'web')
  t.match(await value('user.getent'), [{ name: 'root', groups: ['root', 'wheel'] }, { name: 'fred' }])
  for (const [fun, ...args] of [
    ['chuid', 1201],
    ['chgid', 'staff'],
    ['chshell', '/bin/sh'],
    ['chhome', '/home/other', true],
    ['chgroups', 'wheel'],
    ['chroomnumber', '7'],
    ['chworkphone', '8']
  ] as const)
    for (const turn of ['changes it', 'has nothing to do']) t.equal(await value(`user.${fun}`, 'fred', ...args), true, `${fun} ${turn}`)
  t.match(await value('user.info', 'fred'), { uid: 1201, gid: 50, shell: '/bin/sh', home: '/home/other', groups: ['staff', 'wheel'] })
  t.ok((await stat(join(root, 'home/other'))).isDirectory(), 'persist moved the directory')
  t.equal(await value('user.chgroups', 'fred', ['web'], true), true)
  t.same(await value('user.list_groups', 'fred'), ['staff', 'web', 'wheel'], 'append keeps what is there')
  t.equal(await value('user.rename', 'fred', 'freddy'), true)
  t.equal(await value('user.rename', 'freddy', 'root'), "ERROR: User 'root' already exists")
  t.equal(await value('user.chuid', 'fred', 1), "ERROR: User 'fred' does not exist")
  t.equal(await value('user.delete', 'freddy', true), true)
  await t.rejects(stat(join(root, 'home/other')))
  t.equal(await value('user.delete', 'freddy'), false)
  t.equal(await value('group.delete', 'web'), true)
})

t.test('members of a group', { skip }, async t => {
  const { value } = await emptyRoot(t)
  for (const name of ['a', 'b']) await value('user.add', name)
  const members = async (): Promise<unknown> => ((await value('group.info', 'staff')) as { members: string[] }).members
  t.equal(await value('group.adduser', 'staff', 'a'), true)
  t.same(await members(), ['a'])
  t.equal(await value('group.members', 'staff', 'b,root'), true)
  t.same(await members(), ['b', 'root'])
  t.equal(await value('group.members', 'staff', 'nobody-here'), false)
  t.equal(await value('group.deluser', 'staff', 'b'), true)
  t.equal(await value('group.deluser', 'staff', 'b'), true, 'who is out is out')
  t.same(await members(), ['root'])
  t.equal(await value('group.chgid', 'staff', 51), true)
  t.match(await value('group.info', 'staff'), { gid: 51 })
  t.match(await value('group.getent'), [{ name: 'root', gid: 0 }])
})

t.test('a name that a tool would take for an option, or that ends a line, is refused', async t => {
  const { value } = await minionTest(t)
  for (const name of ['-D', 'a:b', 'a\nb']) {
    t.match(await value('user.add', name), /is not the name of a user/)
    t.match(await value('group.add', name), /is not the name of a group/)
  }
  t.match(await value('shadow.gen_password', 'x', kw({ algorithm: 'md5' })), /Algorithm 'md5' is not supported/)
})

t.test('shadow: a password and how it ages', { skip }, async t => {
  const { value, file, run } = await emptyRoot(t)
  await value('user.add', 'fred')
  const hash = (await run('shadow.gen_password', 'secret')).return
  t.match(hash, /^\$6\$[./0-9A-Za-z]{16}\$[./0-9A-Za-z]{86}$/)
  for (const [fun, wish] of [
    ['set_password', hash],
    ['set_date', 18000],
    ['set_mindays', 1],
    ['set_maxdays', 90],
    ['set_inactdays', 10],
    ['set_warndays', 14],
    ['set_expire', '2040-01-01']
  ] as const)
    for (const _turn of ['first', 'second']) t.equal(await value(`shadow.${fun}`, 'fred', wish), true, fun)
  t.same(await value('shadow.info', 'fred'), {
    ...{ name: 'fred', passwd: hash, lstchg: 18000, min: 1, max: 90, warn: 14, inact: 10, expire: 25567 }
  })
  t.match(await file('shadow'), `fred:${hash}:18000:1:90:14:10:25567:`)
  t.equal(await value('shadow.lock_password', 'fred'), true)
  t.match(await value('shadow.info', 'fred'), { passwd: `!${hash}` })
  t.equal(await value('shadow.unlock_password', 'fred'), true)
  t.equal(await value('shadow.del_password', 'fred'), true)
  t.match(await value('shadow.info', 'fred'), { passwd: '' })
  t.match(await value('shadow.info', 'nix'), { name: '', passwd: '', lstchg: '' })
  t.match(await value('shadow.set_maxdays', 'fred', 'soon'), /maxdays must be a number of days/)
  t.match(await value('shadow.set_password', 'fred', 'a:0:0'), /password must be a hash/)
  t.same(await value('shadow.list_users'), ['fred', 'root'])
})

t.test('hashes are those of glibc', async t => {
  // made with glibc's crypt(3); the first three are also examples of the specification
  const made = [
    ['sha256', 'saltstring', 'Hello world!', '$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5'],
    [
      'sha512',
      'saltstring',
      'Hello world!',
      '$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1'
    ],
    [
      'sha256',
      'rounds=10000$saltstringsaltstring',
      'Hello world!',
      '$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA'
    ],
    ['sha512', 'ab', '', '$6$ab$xnh5Qsr2NdbFw1PgdZie7nLON3gv.S.23iQDBqAzkdoXPtDnVSpludXkM5UWybQO3OI7hBj9wHg9Ow6sUWD60/']
  ] as const
  for (const [kind, salt, password, expected] of made) t.equal(shaCrypt(password, salt, kind), expected)
})

// ── the states, on this machine itself: Salt's have no root ──────────────────────────────────────────────────────────────────────────

t.test('group.present and group.absent: each predicts, does, and does nothing the second time', { skip }, async t => {
  const minion = await minionTest(t)
  const single = singleState(minion)
  const name = `brg${process.pid}`
  t.teardown(() => minion.run('group.delete', name))
  const look = (): unknown => findGroup(name, null)
  const { first } = await predictsAndRepeats(t, single, ['group.present', { name, gid: 54_321, members: ['root'] }], look)
  t.match(first, { comment: `New group ${name} created`, changes: { name, passwd: 'x', gid: 54_321, members: ['root'] } })
  const change = await predictsAndRepeats(
    t,
    single,
    ['group.present', { name, gid: 54_322, addusers: ['daemon'], delusers: ['root'] }],
    look
  )
  t.match(change.first, { changes: { Final: 'All changes applied successfully' } })
  t.match(change.predicted, {
    comment: "The following group attributes are set to be changed:\ngid: 54322\naddusers: ['daemon']\ndelusers: ['root']\n",
    changes: { gid: 54_322 }
  })
  await predictsAndRepeats(t, single, ['group.present', { name, members: [] }], look)
  t.match(await single('group.present', { name, members: ['root'], addusers: ['x'] }), { result: null, comment: /Conflicting options/ })
  t.match(await single('group.present', { name, addusers: ['x'], delusers: ['x'] }), {
    result: null,
    comment: /can not be added and deleted/
  })
  t.match(await single('group.present', { name: `${name}b`, gid: 0 }), { result: false, comment: /gid 0 is already taken by group root/ })
  const gone = await predictsAndRepeats(t, single, ['group.absent', { name }], look)
  t.match(gone.first, { comment: `Removed group ${name}`, changes: { [name]: '' } })
  t.match(await single('group.absent', { name }), { comment: 'Group not present' })
})

t.test('user.present and user.absent: each predicts, does, and does nothing the second time', { skip }, async t => {
  const minion = await minionTest(t)
  const single = singleState(minion)
  const name = `bru${process.pid}`
  const home = join(minion.dir, 'home')
  t.teardown(async () => {
    await minion.run('user.delete', name, true)
    await minion.run('group.delete', name) // its own group stays once the user's primary group was changed
  })
  const look = (): Promise<unknown> => Promise.all([minion.value('user.info', name), minion.value('shadow.info', name)])
  const wish = {
    name,
    home,
    shell: '/bin/sh',
    fullname: 'Fred Jones',
    groups: ['daemon'],
    optional_groups: ['mail', 'no-such-group'],
    maxdays: 90
  }
  const made = await predictsAndRepeats(t, single, ['user.present', wish], look)
  t.match(made.predicted.comment, `User ${name} set to be added`)
  t.match(made.first, {
    comment: `New user ${name} created`,
    changes: { name, home, shell: '/bin/sh', fullname: 'Fred Jones', maxdays: 90 }
  })
  for (const group of ['daemon', 'mail']) t.ok((made.first.changes.groups as string[]).includes(group), group)
  t.ok((await stat(home)).isDirectory())
  const changed = await predictsAndRepeats(
    t,
    single,
    ['user.present', { ...wish, shell: '/bin/bash', groups: ['bin'], roomnumber: 7, warndays: 3 }],
    look
  )
  t.match(changed.first, { comment: `Updated user ${name}`, changes: { shell: '/bin/bash', roomnumber: '7', warn: 3 } })
  t.ok(changed.predicted.comment.startsWith('The following user attributes are set to be changed:\n'))
  t.match(changed.predicted.changes, { shell: '/bin/bash', groups: ['bin', 'mail'] })
  const password = await predictsAndRepeats(t, single, ['user.present', { name, home, password: 'secret', hash_password: true }], look)
  t.same([password.predicted.changes.passwd, password.first.changes.passwd], ['XXX-REDACTED-XXX', 'XXX-REDACTED-XXX'])
  t.notMatch(JSON.stringify(password), /\$6\$/, 'no hash is shown')
  t.match(await single('user.present', { name, home, password: 'other', hash_password: true, enforce_password: false }), {
    changes: {},
    result: true
  })
  t.match(await single('user.present', { name, home, uid: 54_999 }), {
    result: false,
    comment:
      /^Encountered error checking for needed changes\. Additional info follows:\n\n- Changing uid \(\d+ -> 54999\) not permitted, set allow_uid_change to True/
  })
  await predictsAndRepeats(t, single, ['user.present', { name, home, uid: 54_999, allow_uid_change: true }], look)
  await predictsAndRepeats(t, single, ['user.present', { name, home, gid: 'daemon', allow_gid_change: true }], look)
  await predictsAndRepeats(t, single, ['user.present', { name, home: join(minion.dir, 'new-home') }], look)
  await predictsAndRepeats(t, single, ['user.present', { name, empty_password: true }], look)
  await predictsAndRepeats(t, single, ['user.present', { name, groups: [] }], look)
  t.match(await single('user.present', { name, groups: ['nix1', 'nix2'] }), {
    result: false,
    comment: 'The following group(s) are not present: nix1,nix2'
  })
  t.match(await single('user.present', { name, fullname: 'a,b' }), { result: false, comment: "Unsupported char ',' in a,b" })
  const gone = await predictsAndRepeats(t, single, ['user.absent', { name, purge: true }], look)
  t.match(gone.first, { comment: `Removed user ${name}`, changes: { [name]: 'removed' } })
  t.match(await single('user.absent', { name }), { comment: `User ${name} is not present` })
})

t.test('test=True knows of the group that a state before it would add', { skip }, async t => {
  const name = `brr${process.pid}`
  const minion = await minionTest(t, {
    files: {
      'team.sls': `${name}g: {group.present: []}
${name}: {user.present: [{groups: [${name}g]}, {createhome: false}, {require: [{group: ${name}g}]}]}`
    }
  })
  t.teardown(async () => {
    await minion.run('user.delete', name)
    await minion.run('group.delete', `${name}g`)
  })
  const run = async (test: boolean) => {
    const results = (await minion.value('state.sls', 'team', kw({ test }))) as Record<string, { result: unknown; comment: string }>
    return Object.values(results).map(({ result, comment }) => [result, comment])
  }
  t.same(await run(true), [
    [null, `Group ${name}g set to be added`],
    [null, `User ${name} set to be added`]
  ])
  t.same(await run(false), [
    [true, `New group ${name}g created`],
    [true, `New user ${name} created`]
  ])
  t.same(
    (await run(true)).map(([result]) => result),
    [true, true]
  )
})

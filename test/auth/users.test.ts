import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Attempts, addressKey } from '../../src/auth/attempts.js'
import { readOrCreateKey } from '../../src/auth/jwt.js'
import { DEFAULT_COST, hashPassword, isPasswordHash, verifyPassword } from '../../src/auth/password.js'
import { Users } from '../../src/auth/users.js'
import { CHEAP } from '../helpers/auth.js'
import { TestClock } from '../helpers/store.js'

function open(dir: string, clock = new TestClock()): Users {
  return new Users({ file: join(dir, 'users.yaml'), clock, cost: CHEAP })
}

t.test('a password is kept as a hash that says what it cost, and salted', async t => {
  const stored = await hashPassword('wonder', CHEAP)
  t.match(stored, /^scrypt\$N=16,r=1,p=1\$/)
  t.not(stored, await hashPassword('wonder', CHEAP))
  t.equal(await verifyPassword('wonder', stored), true)
  t.equal(await verifyPassword('Wonder', stored), false)
  t.equal(await verifyPassword('ﬁ', await hashPassword('ﬁ', CHEAP)), true)
  t.equal(await verifyPassword('e\u0301', await hashPassword('\u00e9', CHEAP)), true, 'the same letters, however they were typed')
})

t.test('the default cost can be checked, and is that of the recommendation', async t => {
  t.strictSame(DEFAULT_COST, { N: 32_768, r: 8, p: 3 })
  const stored = await hashPassword('x', DEFAULT_COST)
  t.equal(await verifyPassword('x', stored), true)
})

t.test('a stored text that is no hash, or asks for too much, matches nothing', async t => {
  const [, , salt, hash] = (await hashPassword('x', CHEAP)).split('$') as [string, string, string, string]
  for (const stored of [
    '',
    'x',
    'plain',
    `scrypt$N=16,r=1,p=1$${salt}$`,
    `scrypt$N=15,r=1,p=1$${salt}$${hash}`,
    `scrypt$N=0,r=1,p=1$${salt}$${hash}`,
    `scrypt$N=67108864,r=64,p=1$${salt}$${hash}`
  ]) {
    t.equal(isPasswordHash(stored), false, stored)
    t.equal(await verifyPassword('x', stored), false, stored)
  }
})

t.test('users are added, changed, listed and deleted in a private file', async t => {
  const dir = t.testdir({})
  const users = open(dir)
  t.strictSame(users.list(), [])
  await users.add('bob', 'b')
  await users.add('alice', 'a', ['ops', 'dev'])
  t.strictSame(
    users.list().map(({ name, groups }) => [name, groups]),
    [
      ['alice', ['ops', 'dev']],
      ['bob', []]
    ]
  )
  t.equal(statSync(users.file).mode & 0o777, 0o600)
  const before = users.get('alice')!
  await users.setPassword('alice', 'c')
  const after = users.get('alice')!
  t.ok(after.sinceUs > before.sinceUs)
  t.equal(await verifyPassword('c', after.hash), true)
  t.strictSame(after.groups, ['ops', 'dev'])
  users.delete('bob')
  t.strictSame(
    open(dir)
      .list()
      .map(user => user.name),
    ['alice']
  )
  t.equal(open(dir).get('alice')?.sinceUs, after.sinceUs)
})

t.test('what cannot be is refused', async t => {
  const users = open(t.testdir({}))
  await users.add('alice', 'a')
  await t.rejects(users.add('alice', 'b'), { code: 'CONFLICT' })
  await t.rejects(users.setPassword('bob', 'b'), { code: 'NOT_FOUND' })
  t.throws(() => users.delete('bob'), { code: 'NOT_FOUND' })
  for (const name of ['', '*', 'ops%', 'a\nb', 'x'.repeat(257)])
    await t.rejects(users.add(name, 'x'), { code: 'FIELD_INVALID' }, JSON.stringify(name))
  for (const password of ['', 'x'.repeat(1025)]) await t.rejects(users.add('bob', password), { code: 'FIELD_INVALID' })
  for (const name of ['__proto__', 'constructor', '0', 'yes', 'a: b', "it's", 'ünï']) {
    await users.add(name, 'x')
    t.equal(open(users.file.slice(0, -'/users.yaml'.length)).get(name)?.name, name)
  }
})

t.test('two who change the file at the same time do not undo each other', async t => {
  const dir = t.testdir({})
  const [one, two] = [open(dir), open(dir)]
  await Promise.all([one.add('alice', 'a'), two.add('bob', 'b')])
  t.strictSame(
    open(dir)
      .list()
      .map(user => user.name),
    ['alice', 'bob']
  )
})

t.test('a running server hears of a change that another process made', async t => {
  const dir = t.testdir({})
  const clock = new TestClock()
  const [server, command] = [open(dir, clock), open(dir, clock)]
  server.start()
  server.start()
  // Looking at the file keeps no process alive by itself.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => {
    clearInterval(alive)
    server.stop()
  })
  const heard = new Promise<void>(resolve => server.onChange(resolve))
  await command.add('alice', 'a')
  await heard
  t.equal(server.get('alice')?.name, 'alice')
})

t.test('a file that does not parse is refused at the start, without showing a hash, and changes nothing later', async t => {
  const dir = t.testdir({})
  const users = open(dir)
  await users.add('alice', 'a')
  const { hash } = users.get('alice')!
  const text = readFileSync(users.file, 'utf8')
  for (const broken of [`${text}  x: [`, text.replace('scrypt$', 'md5$'), text.replace('groups: []', 'groups: 5'), '- alice']) {
    writeFileSync(users.file, broken)
    t.throws(() => users.reload(), { code: 'CONFIG_INVALID' })
    t.equal(users.get('alice')?.hash, hash)
    try {
      open(dir)
    } catch (error) {
      t.notOk((error as Error).message.includes(hash.slice(-20)))
    }
  }
})

t.test('the key that signs tokens is made once, private, and never silently replaced', async t => {
  const dir = t.testdir({})
  const file = join(dir, 'data', 'jwt.key')
  const key = readOrCreateKey(file)
  t.equal(Buffer.from(key, 'base64').length, 32)
  t.equal(readOrCreateKey(file), key)
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.equal(statSync(join(dir, 'data')).mode & 0o777, 0o700)
  writeFileSync(file, 'short')
  t.throws(() => readOrCreateKey(file), { code: 'CONFIG_INVALID' })
  t.ok(existsSync(file))
})

t.test('attempts fill up again with time, each key by itself', async t => {
  const clock = new TestClock()
  const attempts = new Attempts({ perMinute: 2, clock })
  t.equal(attempts.take(['a', 'x']), null)
  t.equal(attempts.take(['a', 'y']), null)
  t.strictSame(attempts.take(['a', 'z']), { waitSeconds: 30 })
  t.equal(attempts.take(['z']), null, 'a refused attempt took nothing from its other keys')
  t.equal(attempts.take(['z']), null)
  clock.pass(29)
  t.strictSame(attempts.take(['a']), { waitSeconds: 1 })
  clock.pass(1)
  t.equal(attempts.take(['a']), null)
})

t.test('who is remembered is bounded, and those given back are forgotten', async t => {
  const attempts = new Attempts({ perMinute: 2, clock: new TestClock() })
  for (let i = 0; i < 10_500; i++) attempts.take([`k${i}`])
  t.equal(attempts.size, 10_000)
  attempts.giveBack(['k10499'])
  t.equal(attempts.size, 9_999)
})

t.test('addresses of one IPv6 network count as one', async t => {
  t.equal(addressKey('2001:db8:1:2:3:4:5:6'), addressKey('2001:DB8:1:2::1'))
  t.equal(addressKey('2001:db8:0001:2::1'), addressKey('2001:db8:1:2::ffff'))
  t.not(addressKey('2001:db8:1:2::1'), addressKey('2001:db8:1:3::1'))
  t.equal(addressKey('::ffff:10.0.0.1'), '10.0.0.1')
  t.equal(addressKey('10.0.0.1'), '10.0.0.1')
  t.equal(addressKey('::1'), addressKey('0:0:0:0:0:0:0:1'))
  t.equal(addressKey('fe80::1%eth0'), addressKey('fe80::2%eth1'))
})

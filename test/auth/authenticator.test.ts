import { createHook } from 'node:async_hooks'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSigner } from 'fast-jwt'
import t from 'tap'
import { ensureAdminToken } from '../../src/auth/admin-token.js'
import type { LoginRequest } from '../../src/auth/authenticator.js'
import { ADMIN_EAUTH } from '../../src/auth/permissions.js'
import { BrineError, isBrineError } from '../../src/errors.js'
import { MemoryTokens, startAuth } from '../helpers/auth.js'
import { TestClock, tempStore } from '../helpers/store.js'

const SETTINGS = {
  external_auth: {
    file: { alice: ['test.*', '@events'], 'ops%': ['@jobs'] },
    sharedsecret: { admin: ['.*', '@wheel', '@runner', '@jobs', '@events'], noperms: [], shorty: ['test.*'] },
    token: { ci: [{ '@events': ['ci/*'] }] }
  },
  sharedsecret: 'hush-hush',
  token_expire_user_override: { sharedsecret: ['shorty'] }
}
const ADMIN: LoginRequest = { username: 'admin', password: 'hush-hush', eauth: 'sharedsecret', address: '10.0.0.1' }
const ALICE: LoginRequest = { username: 'alice', password: 'wonder', eauth: 'file', address: '10.0.0.1' }

/** The code that a promise is refused with. */
async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
  } catch (error) {
    if (isBrineError(error)) return error.code
    throw error
  }
  return 'none'
}

t.test('a login gives a token that stands for the user, for token_expire seconds', async t => {
  const { auth, clock } = await startAuth(t, { settings: SETTINGS })
  const { token, caller, startUs, expiresUs } = await auth.login(ADMIN)
  t.equal(expiresUs - startUs, 43_200_000_000)
  t.strictSame([caller.user, caller.eauth, caller.source, caller.scope], ['admin', 'sharedsecret', 'user:admin', 'full'])
  t.equal((await auth.verify(token)).jti, caller.jti)
  t.equal(auth.verifySync(token)?.user, 'admin')
  clock.pass(43_199)
  t.equal(auth.verifySync(token)?.user, 'admin')
  clock.pass(1)
  t.equal(auth.verifySync(token), null, 'expiry counts for a token in the cache, too')
  t.equal(await refusal(auth.verify(token)), 'NO_TOKEN')
})

t.test('a user of the file logs in with the password and gets the permissions of name and groups', async t => {
  const { auth, users } = await startAuth(t, { settings: SETTINGS })
  await users.add('alice', 'wonder', ['ops'])
  await users.add('bob', 'builder', ['ops'])
  t.strictSame((await auth.login(ALICE)).caller.perms, ['@events', '@jobs', 'test.*'])
  t.strictSame((await auth.login({ ...ALICE, username: 'bob', password: 'builder' })).caller.perms, ['@jobs'])
})

t.test('every failed login gives the same answer', async t => {
  const { auth, users } = await startAuth(t, { settings: { ...SETTINGS, login_attempts_per_minute: 100 } })
  await users.add('alice', 'wonder')
  await users.add('nobody', 'x')
  for (const wrong of [
    { ...ALICE, password: 'Wonder' },
    { ...ALICE, username: 'eve' },
    { ...ALICE, username: '' },
    { ...ALICE, password: '' },
    { ...ALICE, password: 'x'.repeat(2000) },
    { ...ALICE, username: 'x'.repeat(2000) },
    { ...ALICE, eauth: 'pam' },
    { ...ALICE, eauth: '' },
    { ...ALICE, eauth: 'sharedsecret' },
    { ...ALICE, eauth: 'token' },
    { ...ADMIN, eauth: ADMIN_EAUTH },
    { ...ADMIN, username: 'unlisted' },
    { ...ALICE, username: 'nobody', password: 'x' }
  ]) {
    const error = await auth.login(wrong).catch((error: unknown) => error)
    t.ok(error instanceof BrineError)
    t.match(error, { code: 'LOGIN_FAILED', message: 'Could not authenticate using provided credentials', values: [] })
  }
})

t.test('unknown users, wrong passwords and unknown backends each cost one hash', async t => {
  // Time itself would be a test that fails on a busy machine; what takes the time is counted instead.
  const { auth, users } = await startAuth(t, { settings: SETTINGS })
  await users.add('alice', 'wonder')
  const { scrypts } = countScrypts(t)
  for (const wrong of [
    { ...ALICE, password: 'no' },
    { ...ALICE, username: 'eve' },
    { ...ADMIN, password: 'no' },
    { ...ADMIN, eauth: 'nosuch' }
  ]) {
    const before = scrypts()
    await refusal(auth.login(wrong))
    t.equal(scrypts() - before, 1, JSON.stringify(wrong))
  }
})

t.test('without a shared secret nobody logs in with it', async t => {
  const { auth } = await startAuth(t, { settings: { external_auth: SETTINGS.external_auth } })
  t.equal(await refusal(auth.login({ ...ADMIN, password: '' })), 'LOGIN_FAILED')
  t.equal(await refusal(auth.login({ ...ADMIN, password: 'null' })), 'LOGIN_FAILED')
})

t.test('a user without permissions logs in, and may nothing', async t => {
  const { auth } = await startAuth(t, { settings: SETTINGS })
  const { caller } = await auth.login({ ...ADMIN, username: 'noperms' })
  t.strictSame(caller.perms, [])
  t.equal(caller.readable, null)
})

t.test('another lifetime is granted to those who may choose it', async t => {
  const { auth } = await startAuth(t, { settings: SETTINGS })
  const seconds = async (request: LoginRequest) => {
    const { startUs, expiresUs } = await auth.login(request)
    return (expiresUs - startUs) / 1_000_000
  }
  t.equal(await seconds({ ...ADMIN, username: 'shorty', tokenExpire: 3 }), 3)
  t.equal(await seconds({ ...ADMIN, tokenExpire: 3 }), 43_200)
  t.equal(await seconds({ ...ADMIN, username: 'shorty', tokenExpire: -1 }), 43_200)
  t.equal(await seconds({ ...ADMIN, username: 'shorty', tokenExpire: Number.NaN }), 43_200)
})

t.test('failed logins are counted per address and per name; then 429 says how long to wait', async t => {
  const { auth, clock } = await startAuth(t, { settings: { ...SETTINGS, login_attempts_per_minute: 3 } })
  const wrong = (more: Partial<LoginRequest>) => refusal(auth.login({ ...ADMIN, password: 'no', ...more }))
  for (const username of ['a', 'b', 'c']) t.equal(await wrong({ username }), 'LOGIN_FAILED')
  t.equal(await wrong({ username: 'd' }), 'RATE_LIMITED', 'three from one address')
  const error = await auth.login(ADMIN).catch((error: unknown) => error)
  t.match(error, { code: 'RATE_LIMITED', status: 429, retryAfter: 20 }, 'the right password does not help then')
  t.equal(await wrong({ address: '10.0.0.2' }), 'LOGIN_FAILED')
  t.equal(await wrong({ address: '10.0.0.3' }), 'LOGIN_FAILED')
  t.equal(await wrong({ address: '10.0.0.4' }), 'LOGIN_FAILED')
  t.equal(await wrong({ address: '10.0.0.5', username: 'ADMIN' }), 'RATE_LIMITED', 'three for one name')
  clock.pass(20)
  t.equal(await wrong({ username: 'e' }), 'LOGIN_FAILED')
})

t.test('logins that succeed are not counted', async t => {
  const { auth } = await startAuth(t, { settings: { ...SETTINGS, login_attempts_per_minute: 2 } })
  for (let i = 0; i < 6; i++) await auth.login(ADMIN)
  t.pass('six logins, two attempts a minute')
})

t.test('attempts at the same time do not slip through together', async t => {
  const { auth } = await startAuth(t, { settings: { ...SETTINGS, login_attempts_per_minute: 3 } })
  const results = await Promise.all(Array.from({ length: 10 }, () => refusal(auth.login({ ...ADMIN, password: 'no' }))))
  t.strictSame(results.filter(code => code === 'LOGIN_FAILED').length, 3)
  t.strictSame(results.filter(code => code === 'RATE_LIMITED').length, 7)
})

t.test('strangers who guess at a name do not keep its user out where the user has logged in before', async t => {
  const { auth } = await startAuth(t, { settings: { ...SETTINGS, login_attempts_per_minute: 2 } })
  await auth.login(ADMIN)
  for (const address of ['1.1.1.1', '1.1.1.2']) await refusal(auth.login({ ...ADMIN, password: 'no', address }))
  t.equal(await refusal(auth.login({ ...ADMIN, address: '1.1.1.3' })), 'RATE_LIMITED')
  t.equal((await auth.login(ADMIN)).caller.user, 'admin')
})

t.test('a revoked token is dead at once, in the cache too, and whoever streams with it is told', async t => {
  const { auth } = await startAuth(t, { settings: SETTINGS })
  const { token, caller } = await auth.login(ADMIN)
  await auth.verify(token)
  const told: string[] = []
  const undo = auth.onRevoked(jti => told.push(jti))
  const revoked = auth.revoke(caller.jti!)
  t.equal(auth.verifySync(token), null, 'before the disk has answered')
  t.strictSame(told, [caller.jti])
  t.equal(await revoked, 'revoked')
  t.equal(await refusal(auth.verify(token)), 'NO_TOKEN')
  t.equal(await auth.revoke('nosuch'), 'unknown')
  undo()
  await auth.revoke((await auth.login(ADMIN)).caller.jti!)
  t.equal(told.length, 1)
})

t.test('tokens and revocations outlive a restart', async t => {
  const clock = new TestClock()
  const store = await tempStore(t, { clock })
  const first = await startAuth(t, { settings: SETTINGS, store: store.tokens, clock })
  const kept = await first.auth.login(ADMIN)
  const gone = await first.auth.login(ADMIN)
  await first.auth.revoke(gone.caller.jti!)
  first.auth.stop()
  const { auth } = await first.again()
  t.equal((await auth.verify(kept.token)).user, 'admin')
  t.equal(await refusal(auth.verify(gone.token)), 'NO_TOKEN')
})

t.test("a login gives the id of a session, or a token for programs, in salt-api's forms; the store has neither", async t => {
  const { auth, store, clock } = await startAuth(t, { settings: SETTINGS })
  const session = await auth.login(ADMIN)
  const program = await auth.login(ADMIN, 'eauth')
  t.match([session.token, program.token], [/^[0-9a-f]{40}$/, /^[0-9a-f]{64}$/])
  for (const { token, caller } of [session, program]) {
    t.equal((await auth.verify(token)).jti, caller.jti)
    t.equal(await refusal(auth.verify(token.toUpperCase())), 'NO_TOKEN')
  }
  const stored = JSON.stringify(await store.live(clock.nowUs()))
  for (const { token } of [session, program]) t.notOk(stored.includes(token.slice(0, 20)))
  await auth.revoke(session.caller.jti!)
  t.equal(await refusal(auth.verify(session.token)), 'NO_TOKEN')
  t.equal((await auth.verify(program.token)).user, ADMIN.username)
})

t.test('credentials that are good for one request leave no token behind', async t => {
  const { auth, store, clock } = await startAuth(t, { settings: SETTINGS })
  const caller = await auth.identify({ ...ADMIN })
  t.match(caller, { user: ADMIN.username, eauth: ADMIN.eauth, jti: null })
  t.strictSame(await store.live(clock.nowUs()), [])
  t.equal(await refusal(auth.identify({ ...ADMIN, password: 'wrong' })), 'LOGIN_FAILED')
})

t.test('guesses at session ids do not make the store work: it is asked once a second', async t => {
  const store = new MemoryTokens()
  let asked = 0
  const live = store.live.bind(store)
  store.live = nowUs => {
    asked++
    return live(nowUs)
  }
  const { auth, clock } = await startAuth(t, { settings: SETTINGS, store })
  asked = 0
  clock.pass(2)
  for (let i = 0; i < 20; i++) t.equal(await refusal(auth.verify(i.toString(16).padStart(40, 'a'))), 'NO_TOKEN')
  t.equal(asked, 1)
})

t.test('api_acl: a user who is named logs in from the addresses listed, others from those of *', async t => {
  const settings = { ...SETTINGS, 'rest_cherrypy.api_acl': { users: { [ADMIN.username]: ['10.0.0.1'] } } }
  const { auth } = await startAuth(t, { settings })
  t.equal(await refusal(auth.login({ ...ADMIN, address: '10.0.0.2' })), 'NO_TOKEN')
  t.equal(await refusal(auth.identify({ ...ADMIN, address: '10.0.0.2' })), 'NO_TOKEN')
  t.equal((await auth.login({ ...ADMIN, address: '::ffff:10.0.0.1' })).caller.user, ADMIN.username)
})

t.test('a token counts only with the signature of this server and a place in its table', async t => {
  const { auth, dir } = await startAuth(t, { settings: SETTINGS })
  const other = await startAuth(t, { settings: SETTINGS })
  const { username: user, eauth } = ADMIN
  const { token, jti } = await auth.issue({ user, eauth, label: 'ci', expiresSeconds: 3600 })
  const [head, body, signature] = token.split('.') as [string, string, string]
  const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as Record<string, unknown>
  const key = Buffer.from(readFileSync(join(dir, 'jwt.key'), 'utf8'), 'base64')
  const signed = (changes: object) => createSigner({ key, algorithm: 'HS256', noTimestamp: true })({ ...claims, ...changes })
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const bad: Record<string, string> = {
    empty: '',
    'no token': 'ffffffffffffffffffffffffffffffffffffffff',
    'upper case': token.toUpperCase(),
    'cut off': token.slice(0, -1),
    'without algorithm': `${encode({ alg: 'none', typ: 'JWT' })}.${body}.`,
    'without algorithm, signature kept': `${encode({ alg: 'none', typ: 'JWT' })}.${body}.${signature}`,
    'other claims under this signature': `${head}.${encode({ ...claims, sub: 'root' })}.${signature}`,
    'another algorithm with this key': createSigner({ key, algorithm: 'HS512', noTimestamp: true })(claims),
    "another server's token": (await other.auth.login(ADMIN)).token,
    'an id that was never issued': signed({ jti: 'x' }),
    'another user under an id that was': signed({ sub: 'root' }),
    'another backend': signed({ eauth: ADMIN_EAUTH }),
    'no expiry': signed({ expUs: undefined }),
    'expiry that is no number': signed({ expUs: '9' }),
    'no kind': signed({ kind: undefined }),
    'kind of another version': signed({ kind: 'root' })
  }
  for (const [what, text] of Object.entries(bad)) t.equal(await refusal(auth.verify(text)), 'NO_TOKEN', what)
  t.equal((await auth.verify(signed({}))).jti, jti, 'the same claims, signed by the same key, are the same token')
})

t.test("with a new password, and with the user's removal, tokens and streams of the user end", async t => {
  const { auth, users, clock } = await startAuth(t, { settings: SETTINGS })
  const told: string[] = []
  auth.onRevoked(jti => told.push(jti))
  await users.add('alice', 'wonder')
  const first = await auth.login(ALICE)
  const admin = await auth.login(ADMIN)
  clock.pass(1)
  await users.setPassword('alice', 'land')
  t.strictSame(told, [first.caller.jti])
  t.equal(await refusal(auth.verify(first.token)), 'NO_TOKEN')
  const second = await auth.login({ ...ALICE, password: 'land' })
  users.delete('alice')
  t.strictSame(told, [first.caller.jti, second.caller.jti])
  t.equal(await refusal(auth.verify(second.token)), 'NO_TOKEN')
  await users.add('alice', 'land')
  t.equal(await refusal(auth.verify(second.token)), 'NO_TOKEN', 'a new user of that name is another one')
  t.equal((await auth.verify(admin.token)).user, 'admin')
})

t.test('other groups give other permissions to the tokens that are out', async t => {
  const { auth, users, dir } = await startAuth(t, { settings: SETTINGS })
  await users.add('alice', 'wonder')
  const { token } = await auth.login(ALICE)
  t.equal((await auth.verify(token)).may({ kind: 'jobs' }), false)
  const file = join(dir, 'users.yaml')
  writeFileSync(file, readFileSync(file, 'utf8').replace('groups: []', 'groups: [ops]'))
  users.reload()
  t.equal((await auth.verify(token)).may({ kind: 'jobs' }), true)
})

t.test('tokens made on purpose: for users without a password, for reading some tags', async t => {
  const { auth, clock } = await startAuth(t, { settings: SETTINGS })
  const ci = await auth.issue({ user: 'ci', eauth: 'token', label: 'pipeline', expiresSeconds: 60 })
  const caller = await auth.verify(ci.token)
  t.equal(caller.may({ kind: 'fire', tag: 'ci/build' }), true)
  const narrow = await auth.issue({
    user: 'ci',
    eauth: 'token',
    label: 'board',
    expiresSeconds: 60,
    scope: 'stream',
    tags: ['ci/build/*', 'salt/*']
  })
  const board = await auth.verify(narrow.token)
  t.strictSame(board.readable, { allowed: ['ci/build/*'] }, 'not more than the user may read')
  t.equal(board.may({ kind: 'fire', tag: 'ci/build' }), false)
  t.equal(await refusal(auth.issue({ user: 'nobody', eauth: 'file', label: 'x', expiresSeconds: 60 })), 'NOT_FOUND')
  t.strictSame(
    auth.tokens().map(each => each.label),
    ['board', 'pipeline']
  )
  clock.pass(61)
  t.strictSame(auth.tokens(), [])
})

t.test('a ticket opens one stream, soon, for as long as the caller could read', async t => {
  const { auth, clock } = await startAuth(t, { settings: SETTINGS })
  const { caller } = await auth.login(ADMIN)
  const { ticket, expiresUs } = await auth.ticket(caller, { tags: ['salt/job/*'] })
  t.equal(Math.round((expiresUs - clock.us) / 1_000_000), 60)
  const stream = await auth.verify(ticket)
  t.strictSame([stream.scope, stream.jti, stream.expiresUs], ['stream', caller.jti, caller.expiresUs])
  t.strictSame(stream.readable, { allowed: ['salt/job/*'] })
  t.equal(await refusal(auth.verify(ticket)), 'NO_TOKEN', 'once')
  t.equal(await refusal(auth.ticket(stream)), 'NOT_PERMITTED', 'a ticket gives no further tickets')
  const late = await auth.ticket(caller)
  clock.pass(60)
  t.equal(await refusal(auth.verify(late.ticket)), 'NO_TOKEN')
  const dead = await auth.ticket(caller, { seconds: 600 })
  await auth.revoke(caller.jti!)
  t.equal(await refusal(auth.verify(dead.ticket)), 'NO_TOKEN', 'it dies with the token it came from')
})

t.test('a ticket reads no more than its caller', async t => {
  const { auth } = await startAuth(t, { settings: SETTINGS })
  const ci = await auth.verify((await auth.issue({ user: 'ci', eauth: 'token', label: 'x', expiresSeconds: 60 })).token)
  t.equal(await refusal(auth.ticket(ci, { tags: ['*'] })), 'NOT_PERMITTED')
  t.strictSame((await auth.verify((await auth.ticket(ci)).ticket)).readable, { allowed: ['ci/*'] })
  const { caller } = await auth.login({ ...ADMIN, username: 'noperms' })
  t.equal(await refusal(auth.ticket(caller)), 'NOT_PERMITTED')
})

t.test("a minion's token is a minion's, for an hour", async t => {
  const { auth, clock } = await startAuth(t, { settings: SETTINGS })
  const { token } = auth.minionToken('web1')
  const caller = await auth.verify(token)
  t.strictSame([caller.kind, caller.user, caller.source], ['minion', 'web1', 'minion:web1'])
  clock.pass(3599)
  t.equal((await auth.verify(token)).user, 'web1')
  const { token: other } = auth.minionToken('web2')
  clock.pass(1)
  t.equal(auth.verifySync(token), null)
  t.equal(await refusal(auth.verify(token)), 'NO_TOKEN')
  t.equal((await auth.verify(other)).user, 'web2')
})

t.test("the administrator's token is made once, kept over restarts, and private", async t => {
  const first = await startAuth(t, { settings: SETTINGS })
  const file = join(first.dir, 'admin.token')
  const made = await ensureAdminToken(first.auth, file, first.clock)
  t.equal(readFileSync(file, 'utf8').trim(), made.token)
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.equal(statSync(join(first.dir, 'jwt.key')).mode & 0o777, 0o600)
  const second = await first.again()
  t.equal((await ensureAdminToken(second.auth, file, second.clock)).token, made.token)
  const caller = await second.auth.verify(made.token)
  t.equal(caller.may({ kind: 'wheel', fun: 'key.accept', args: [], kwargs: {} }), true)
  await second.auth.revoke(caller.jti!)
  const renewed = await ensureAdminToken(second.auth, file, second.clock)
  t.not(renewed.token, made.token, 'a revoked one is replaced')
  second.clock.pass(340 * 86_400)
  t.not((await ensureAdminToken(second.auth, file, second.clock)).token, renewed.token, 'one that ends soon, too')
})

t.test('neither tokens nor passwords nor the names that were typed wrong are ever logged', async t => {
  const { auth, users, lines } = await startAuth(t, { settings: SETTINGS })
  await users.add('alice', 'wonder')
  const { token, caller } = await auth.login(ADMIN)
  const { ticket } = await auth.ticket(caller)
  const { token: minion } = auth.minionToken('m1')
  await refusal(auth.login({ ...ALICE, password: 'not-wonder' }))
  await refusal(auth.login({ ...ALICE, username: 'my-password-in-the-wrong-field' }))
  await refusal(auth.verify(`${token}x`))
  await auth.revoke(caller.jti!)
  const text = lines.join('')
  t.match(text, /"msg":"login"/)
  t.match(text, /"msg":"login refused"/)
  t.match(text, /"msg":"token revoked"/)
  for (const secret of [token, token.split('.')[2]!, ticket, minion, 'hush-hush', 'wonder', 'my-password']) t.notOk(text.includes(secret))
})

/** How often scrypt was asked, from now on. */
function countScrypts(t: { teardown(undo: () => unknown): unknown }): { scrypts: () => number } {
  let count = 0
  const hook = createHook({
    init(_id, type) {
      if (type === 'SCRYPTREQUEST') count++
    }
  }).enable()
  t.teardown(() => hook.disable())
  return { scrypts: () => count }
}

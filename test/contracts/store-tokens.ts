import type { Test } from 'tap'
import type { OpenStore } from './store.js'

const token = (jti: string, issuedUs: number, expiresUs: number) => ({
  jti,
  user: 'ada',
  eauth: 'file',
  label: 'login',
  issuedUs,
  expiresUs
})

export function tokenContract(t: Test, open: OpenStore): void {
  t.test('live tokens are those that have not expired, newest first, the revoked ones among them', async t => {
    const { store, reopen } = await open(t)
    await store.tokens.put(token('a', 10, 100))
    await store.tokens.put(token('b', 20, 200))
    await store.tokens.put(token('c', 30, 300))
    t.equal(await store.tokens.revoke('b', 50), 'revoked')
    const live = (await (await reopen()).tokens.live(100)).map(({ jti, revokedUs }) => [jti, revokedUs])
    t.strictSame(live, [
      ['c', null],
      ['b', 50]
    ])
  })

  t.test('a token comes back as it was put', async t => {
    const { tokens } = (await open(t)).store
    const issuedUs = 1_800_000_000_123_456
    await tokens.put(token('a', issuedUs, issuedUs + 1))
    t.strictSame(await tokens.live(issuedUs), [{ ...token('a', issuedUs, issuedUs + 1), revokedUs: null }])
  })

  t.test("a token keeps the user's groups of the login", async t => {
    const { store, reopen } = await open(t)
    await store.tokens.put({ ...token('a', 10, 100), groups: ['ops', 'é"'] })
    await store.tokens.put({ ...token('b', 5, 100), groups: [] })
    const live = await (await reopen()).tokens.live(20)
    t.strictSame(
      live.map(({ groups }) => groups),
      [['ops', 'é"'], []]
    )
  })

  t.test('a token is revoked once: the first time counts, and a token that is not there is unknown', async t => {
    const { tokens } = (await open(t)).store
    await tokens.put(token('a', 10, 100))
    t.equal(await tokens.revoke('a', 20), 'revoked')
    t.equal(await tokens.revoke('a', 30), 'revoked')
    t.equal((await tokens.live(0))[0]?.revokedUs, 20)
    t.equal(await tokens.revoke('zz', 20), 'unknown')
  })

  t.test('a token that is put again is changed, and stays revoked', async t => {
    const { tokens } = (await open(t)).store
    await tokens.put(token('a', 10, 100))
    await tokens.revoke('a', 20)
    await tokens.put({ ...token('a', 30, 300), label: 'admin' })
    t.strictSame(await tokens.live(0), [{ ...token('a', 30, 300), label: 'admin', revokedUs: 20 }])
  })

  t.test('trimming drops expired tokens and no others', async t => {
    const { tokens } = (await open(t)).store
    await tokens.put(token('a', 10, 100))
    await tokens.put(token('b', 10, 101))
    t.equal(await tokens.trim(100), 1)
    t.equal(await tokens.trim(100), 0)
    t.strictSame(
      (await tokens.live(0)).map(({ jti }) => jti),
      ['b']
    )
  })
}

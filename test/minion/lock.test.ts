import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Identity } from '../../src/minion/identity.js'
import { lockDirectory } from '../../src/minion/lock.js'
import { makeKey } from '../helpers/keypairs.js'

t.test('one agent at a time uses a directory, and the next one when it has ended', async t => {
  const dir = t.testdir({})
  const undo = await lockDirectory(dir)
  await t.rejects(lockDirectory(dir), { code: 'DIRECTORY_LOCKED', values: [dir, String(process.pid)] })
  await undo()
  const again = await lockDirectory(dir)
  await again()
  t.notOk(existsSync(join(dir, 'agent.pid')))
})

t.test('the lock of a process that is gone is taken over, and so is that of a pid that somebody else has by now', async t => {
  const child = spawn(process.execPath, ['-e', ''])
  await once(child, 'exit')
  for (const stale of [`${child.pid} 1`, `${process.pid} 1`, `${process.ppid} 1`, 'nonsense']) {
    const dir = t.testdir({ 'agent.pid': stale })
    const undo = await lockDirectory(dir)
    t.match(readFileSync(join(dir, 'agent.pid'), 'utf8'), new RegExp(`^${process.pid} \\d+$`), stale)
    await undo()
  }
})

t.test('of many that want a stale lock at the same moment one gets it', async t => {
  for (let round = 0; round < 50; round++) {
    const dir = t.testdir({ 'agent.pid': '999999999 1' })
    const results = await Promise.allSettled(Array.from({ length: 10 }, () => lockDirectory(dir)))
    t.equal(results.filter(each => each.status === 'fulfilled').length, 1)
    t.strictSame(readdirSync(dir), ['agent.pid'])
  }
})

t.test("the key pair is made at the first start and kept, for its owner's eyes, in Salt's form", async t => {
  const dir = t.testdir({})
  const first = await Identity.open(dir)
  const pem = join(dir, 'pki', 'minion.pem')
  t.equal(statSync(pem).mode & 0o777, 0o600)
  t.match(readFileSync(pem, 'utf8'), /^-----BEGIN RSA PRIVATE KEY-----/)
  t.equal(readFileSync(join(dir, 'pki', 'minion.pub'), 'utf8'), first.pub)
  t.match(first.pub, /^-----BEGIN PUBLIC KEY-----\n[\s\S]*\n-----END PUBLIC KEY-----$/)
  t.equal((await Identity.open(dir)).pub, first.pub)
})

t.test('a key that a Salt minion has made is used as it is', async t => {
  const key = makeKey()
  const dir = t.testdir({ pki: {} })
  writeFileSync(join(dir, 'pki', 'minion.pem'), String(key.privateKey.export({ type: 'pkcs1', format: 'pem' })), { mode: 0o644 })
  const identity = await Identity.open(dir)
  t.equal(identity.pub, key.pub)
  t.equal(identity.answer('web1', 'n'), key.sign('web1', 'n'))
  t.equal(statSync(join(dir, 'pki', 'minion.pem')).mode & 0o777, 0o600, 'others cannot read it any more')
})

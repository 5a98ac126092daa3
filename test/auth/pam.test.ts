import { spawnSync } from 'node:child_process'
import { chmodSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { PamBackend, pamHelper } from '../../src/auth/backends/pam.js'

/** A helper that writes down how it was called and lets `ada` in with the password `right`. */
function fakeHelper(t: Test): { helper: string; called: () => string } {
  const dir = t.testdir({
    helper: `#!/bin/sh
read -r password
{ echo "$0 $*"; env; } > "$(dirname "$0")/called"
[ "$2" = ada ] && [ "$password" = right ]
`
  })
  const helper = join(dir, 'helper')
  chmodSync(helper, 0o755)
  return { helper, called: () => readFileSync(join(dir, 'called'), 'utf8') }
}

t.test('the password goes to the helper alone: neither its arguments nor its environment have it', async t => {
  const { helper, called } = fakeHelper(t)
  const pam = new PamBackend({ service: 'brine', timeout: 5, helper })
  t.match(await pam.login('ada', 'right'), { groups: Array })
  t.match(called(), /helper brine ada authenticate acct_mgmt\n/)
  t.notMatch(called(), /right/)
  t.equal(await pam.login('ada', 'wrong'), null)
  t.equal(await pam.login('bob', 'right'), null)
})

t.test('names that are no accounts never reach a program', async t => {
  const pam = new PamBackend({ service: 'login', timeout: 5, helper: '/nonexistent' })
  for (const name of ['', '-v', '--help', 'a b', 'a;id', '../x', 'a\nb', 'ä', 'x'.repeat(200)])
    t.equal(await pam.login(name, 'p'), null, name)
  for (const password of ['', 'a\nb', 'a\0b']) t.equal(await pam.login('ada', password), null)
  await t.rejects(pam.login('ada', 'p'), /ENOENT/, 'a helper that is not there is an error, not a refusal')
})

t.test('a helper that does not answer is ended', async t => {
  const dir = t.testdir({ helper: '#!/bin/sh\nexec sleep 60\n' })
  chmodSync(join(dir, 'helper'), 0o755)
  await t.rejects(new PamBackend({ service: 'login', timeout: 0.2, helper: join(dir, 'helper') }).login('ada', 'p'), /did not answer/)
})

const able = process.getuid?.() === 0 && pamHelper() !== null && spawnSync('useradd', ['--help']).status === 0
t.test("the machine's own accounts log in", { skip: !able && 'needs root, useradd, and pamtester or unix_chkpwd' }, async t => {
  const user = `brine-t${process.pid}`
  t.equal(spawnSync('useradd', ['--no-create-home', '--groups', 'users', user]).status, 0)
  t.teardown(() => spawnSync('userdel', [user]))
  spawnSync('chpasswd', { input: `${user}:s3cr et\n` })
  const pam = new PamBackend({ service: 'login', timeout: 20 })
  const found = await pam.login(user, 's3cr et')
  t.ok(found?.groups?.includes('users'))
  t.equal(await pam.login(user, 'wrong'), null)
  t.equal(await pam.login(`${user}x`, 's3cr et'), null)
})

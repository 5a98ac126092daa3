import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startBrine } from '../helpers/server.js'

/** Debian's client of salt-api (package salt-pepper), as its users run it. */
const PEPPER = ['/usr/bin/salt-pepper', '/usr/bin/pepper', '/usr/local/bin/pepper'].find(existsSync) ?? null

interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** A server with a sharedsecret user and its own minion, and `pepper` with the rc file and cache of a user. */
async function pepperFor(
  t: Test
): Promise<{ pepper: (...args: string[]) => Promise<Ran>; json: (...args: string[]) => Promise<unknown>; cache: string }> {
  const dir = t.testdir({
    'brine.yaml': `sharedsecret: s3cret
file_roots: {base: [${join(t.testdirName, 'srv')}]}
external_auth: {sharedsecret: {ada: ['.*', '@runner', '@wheel', '@jobs'], eve: [test.ping]}}
`,
    srv: { 'top.sls': 'base: {}\n' }
  })
  const { url } = await startBrine(t, { args: ['-c', join(dir, 'brine.yaml')] })
  const home = join(dir, 'home')
  mkdirSync(home)
  const cache = join(home, 'cache')
  writeFileSync(
    join(home, '.pepperrc'),
    `[main]\nSALTAPI_URL=${url}\nSALTAPI_USER=ada\nSALTAPI_PASS=s3cret\nSALTAPI_EAUTH=sharedsecret\n`,
    { mode: 0o600 }
  )
  const pepper = async (...args: string[]): Promise<Ran> => {
    const env = { PATH: process.env.PATH, HOME: home, PEPPERRC: join(home, '.pepperrc'), PEPPERCACHE: cache, LC_ALL: 'C.UTF-8' }
    const child = spawn(PEPPER!, args, { env, cwd: home, stdio: ['ignore', 'pipe', 'pipe'] })
    let out = ''
    let err = ''
    child.stdout.on('data', data => (out += data))
    child.stderr.on('data', data => (err += data))
    const [code] = (await once(child, 'close')) as [number | null]
    return { code, out, err }
  }
  const json = async (...args: string[]) => {
    const ran = await pepper(...args)
    if (ran.code !== 0) throw new Error(`pepper ${args.join(' ')} ended with ${ran.code}: ${ran.err}${ran.out}`)
    return JSON.parse(ran.out) as unknown
  }
  return { pepper, json, cache }
}

t.test('salt-pepper works unchanged', { skip: PEPPER === null && 'salt-pepper is not installed (.ci/tools.sh installs it)' }, async t => {
  const { pepper, json, cache } = await pepperFor(t)

  await t.test('commands to minions', async t => {
    t.strictSame(await json('local', 'test.ping'), { return: [{ local: true }] })
    t.strictSame(await json('*', 'test.echo', 'hello'), { return: [{ local: 'hello' }] })
    t.match(await json('loc*', 'test.arg', 'a', 'b=1'), { return: [{ local: { args: ['a'], kwargs: { b: 1 } } }] })
    t.strictSame(await json('-L', 'local', 'test.ping'), { return: [{ local: true }] })
    // pepper sends its other kinds of targets as expr_form, which salt-api does not know any more: globs that fit nobody
    t.strictSame(await json('-G', 'kernel:Linux', 'test.ping'), { return: [{}] })
    const low = [{ client: 'local', tgt: 'kernel:Linux', tgt_type: 'grain', fun: 'test.ping' }]
    t.strictSame(await json(`--json=${JSON.stringify(low)}`), { return: [{ local: true }] })
    t.match(await json('--client=local_async', '*', 'test.ping'), { return: [{ jid: /^\d{20}$/, minions: ['local'] }] })
    t.strictSame(await json('--client=local_batch', '--batch=1', '*', 'test.ping'), { return: [{ local: true }] })
  })

  await t.test('runners and wheel functions', async t => {
    t.strictSame(await json('--client=runner', 'manage.up'), { return: [['local']] })
    t.strictSame(await json('--client=runner', 'fileserver.file_list'), { return: [['top.sls']] })
    t.match(await json('--client=runner', 'test.arg', 'k=v'), { return: [{ args: [], kwargs: { k: 'v' } }] })
    t.match(await json('--client=runner', 'jobs.list_jobs', 'search_function=test.ping'), { return: [Object] })
    t.match(await json('--client=runner_async', 'test.arg'), { return: [{ tag: /^salt\/run\/\d{20}$/, jid: /^\d{20}$/ }] })
    t.match(await json('--client=wheel', 'key.list_all'), { return: [{ data: { success: true, return: { minions: ['local'] } } }] })
    t.match(await json('--client=wheel', 'key.finger', 'match=local'), {
      return: [{ data: { return: { minions: { local: /^([0-9a-f]{2}:){31}/ } } } }]
    })
  })

  await t.test('a lowstate of its own', async t => {
    const low = [
      { client: 'local', tgt: '*', fun: 'test.ping' },
      { client: 'runner', fun: 'test.arg', arg: ['a'] }
    ]
    t.match(await json(`--json=${JSON.stringify(low)}`), { return: [{ local: true }, { args: ['a'] }] })
  })

  await t.test('a token is made, kept and used again', async t => {
    t.strictSame(await json('-T', 'local', 'test.ping'), { return: [{ local: true }] })
    const { token, user, perms } = JSON.parse(readFileSync(cache, 'utf8')) as { token: string; user: string; perms: unknown[] }
    t.equal(user, 'ada')
    t.strictSame(perms, ['.*', '@jobs', '@runner', '@wheel'])
    t.strictSame(await json('-T', 'local', 'test.ping'), { return: [{ local: true }] })
    t.strictSame(await json('-T', '--client=runner', 'manage.up'), { return: [['local']] })
    t.match(await json('-T', '--client=wheel', 'key.list', 'match=accepted'), { return: [{ data: { return: { minions: ['local'] } } }] })
    const started = (await json('-T', '--client=local_async', 'local', 'test.echo', 'kept')) as { return: [{ jid: string }] }
    const { jid } = started.return[0]
    const lookup = () => json('-T', '--client=runner', 'jobs.lookup_jid', `jid=${jid}`)
    // a job that is running has no return yet
    let found = await lookup()
    while (Object.keys((found as { return: [object] }).return[0]).length === 0) found = await lookup()
    t.strictSame(found, { return: [{ local: 'kept' }] })
    t.equal((JSON.parse(readFileSync(cache, 'utf8')) as { token: string }).token, token, 'none was made again')
  })

  await t.test('who may not is told so', async t => {
    const refused = await pepper('--username=eve', '--password=s3cret', 'local', 'cmd.run', 'id')
    t.not(refused.code, 0)
    t.match(refused.err + refused.out, /Authentication denied/)
    const wrong = await pepper('--username=ada', '--password=wrong', 'local', 'test.ping')
    t.not(wrong.code, 0)
    t.match(wrong.err + wrong.out, /Authentication denied/)
  })
})

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { alive, executorTest, jobOf, kw, until } from '../helpers/executor.js'

/** A function that never gives the processor back: it counts to 10^15. */
const HANGS = ['test.fib', 1e15] as const

t.test('a function that hangs in a loop does not keep other jobs from running, and can be killed', async t => {
  const { executor, execute } = await executorTest(t)
  const job = jobOf(HANGS[0], [HANGS[1]])
  const hanging = executor.execute(job)
  t.equal((await execute('test.ping'))?.return, true)
  t.equal((await execute('cmd.run', 'echo beside'))?.return, 'beside')
  await execute('saltutil.kill_job', job.jid)
  t.equal(await hanging, null)
})

t.test('a job that runs longer than the limit is killed and says so', async t => {
  const { execute } = await executorTest(t, { options: { job_time_limit_seconds: 1 } })
  const outcome = await execute(...HANGS)
  t.match(outcome, { retcode: 1, success: false, return: 'test.fib was killed: it ran longer than 1 seconds (job_time_limit_seconds)' })
})

t.test('saltutil.running and find_job show a running job with its process, and not themselves', async t => {
  const { executor, execute } = await executorTest(t)
  const job = jobOf('test.sleep', [30])
  const sleeping = executor.execute(job)
  await until(() => executor.running().length === 1 && executor.running()[0]!.pid !== process.pid, 'the job has a process')
  const { pid } = executor.running()[0]!
  const shown = { pid, fun: 'test.sleep', arg: [30], tgt: 'web1', jid: job.jid, ret: '', tgt_type: 'glob', user: 'root' }
  t.same((await execute('saltutil.running'))?.return, [shown])
  t.same(Object.keys(executor.running()[0] ?? {}), Object.keys(shown))
  t.same((await execute('saltutil.find_job', job.jid))?.return, shown)
  t.same((await execute('saltutil.find_job', '20010101000000000000'))?.return, {})
  t.same((await execute('saltutil.is_running', 'test.*'))?.return, [shown])
  t.same((await execute('saltutil.is_running', 'state.*'))?.return, [])
  t.equal((await execute('saltutil.kill_job', job.jid))?.return, `Signal 9 sent to job ${job.jid} at pid ${pid}`)
  t.equal(await sleeping, null, 'a killed job returns nothing')
  t.equal((await execute('saltutil.term_job', job.jid))?.return, '', 'nothing runs under this jid any more')
})

t.test('killing a job ends the commands that it started', async t => {
  const { dir, executor, execute } = await executorTest(t)
  const file = join(dir, 'pids')
  const job = jobOf('cmd.run', [`sh -c 'echo $$ > ${file}; exec sleep 60'`])
  const running = executor.execute(job)
  await until(async () => /\d+\n/.test(await readFile(file, 'utf8').catch(() => '')), 'the command runs')
  const pid = Number(await readFile(file, 'utf8'))
  await execute('saltutil.term_job', job.jid)
  t.equal(await running, null)
  await until(async () => !(await alive(pid)), 'the command is gone')
})

t.test('a command that runs too long is ended with all that it started', async t => {
  const { dir, execute } = await executorTest(t)
  const file = join(dir, 'pid')
  const outcome = await execute('cmd.run', `sleep 61 & echo $! > ${file}; wait`, kw({ timeout: 1.5 }))
  t.match(outcome, { retcode: 1, success: false, return: /: Timed out after 1\.5 seconds$/ })
  await until(async () => !(await alive(Number(await readFile(file, 'utf8')))), 'the grandchild is gone')
})

t.test('a process that dies takes its own job with it and nothing else', async t => {
  const { execute } = await executorTest(t)
  const outcome = await execute('cmd.run', 'kill -9 $PPID')
  t.match(outcome, { retcode: 1, success: false, return: /the process of job \d+ ended with SIGKILL/ })
  t.equal((await execute('cmd.run', 'echo alive'))?.return, 'alive')
})

t.test('one state run at a time: the second is told which one is in the way', async t => {
  const { dir, executor, execute } = await executorTest(t, { files: { 'ok.sls': 'ok:\n  test.nop\n' } })
  const begun = join(dir, 'begun')
  await writeFile(join(dir, 'roots/slow.sls'), `slow:\n  cmd.run:\n    - name: touch ${begun}; sleep 60\n`)
  const job = jobOf('state.apply', ['slow'], '20261122210126195871')
  const slow = executor.execute(job)
  await until(() => existsSync(begun), 'the first runs its state')
  const second = await execute('state.apply', 'ok')
  const { pid } = executor.running()[0]!
  const text = `The function "state.apply" is running as PID ${pid} and was started at 2026, Nov 22 21:01:26.195871 with jid 20261122210126195871`
  t.match(second, { return: [text], retcode: 1, success: false, out: 'highstate', fun_args: ['ok'] })
  t.same((await execute('state.running'))?.return, [text])
  t.match(await execute('state.apply', 'ok', kw({ concurrent: true })), { retcode: 0 }, 'concurrent=True runs beside it')
  const queued = execute('state.apply', 'ok', kw({ queue: true }))
  await execute('saltutil.kill_job', job.jid)
  t.equal(await slow, null)
  t.match(await queued, { retcode: 0, success: true }, 'queue=True runs when the first is gone')
})

t.test('a jid that runs already is refused', async t => {
  const { executor } = await executorTest(t)
  const job = jobOf('test.sleep', [30])
  const first = executor.execute(job)
  t.match(await executor.execute(job), { retcode: 1, return: /runs already/ })
  await executor.stop({ now: true })
  t.equal(await first, null)
})

t.test('output beyond the limit is dropped with a note, and the command still ends', async t => {
  const { execute } = await executorTest(t, { options: { cmd_output_max_bytes: 1000 } })
  const outcome = await execute('cmd.run', 'head -c 3000000 /dev/zero | tr "\\0" x; exit 4')
  t.equal(outcome?.retcode, 4)
  const text = String(outcome?.return)
  t.equal(text.slice(0, 1000), 'x'.repeat(1000))
  t.equal(text.slice(1000), '\n[2999000 further bytes of output were dropped; the limit is 1000]')
})

t.test('a return that is too large becomes an error', async t => {
  const { execute } = await executorTest(t, { options: { return_max_bytes: 1000 } })
  t.match(await execute('test.echo', 'y'.repeat(2000)), {
    retcode: 1,
    success: false,
    return: /^ERROR: the return has 2002 bytes, more than 1000/
  })
})

t.test('at most process_count_max jobs have a process; the next waits for its turn', async t => {
  const { dir, executor, execute } = await executorTest(t, { options: { process_count_max: 1 } })
  const first = jobOf('test.sleep', [60])
  const running = executor.execute(first)
  await until(() => executor.running()[0]!.pid !== process.pid, 'the first has a process')
  const file = join(dir, 'second')
  const second = execute('cmd.run', `touch ${file}; echo done`)
  t.equal((await execute('test.ping'))?.return, true, 'bounded functions need no process')
  t.equal(await readFile(file).catch(() => null), null)
  await execute('saltutil.kill_job', first.jid)
  t.equal(await running, null)
  t.equal((await second)?.return, 'done')
})

t.test('functions in a process reach the server through the agent, and their events name the job', async t => {
  const { executor, sent } = await executorTest(t, { files: { 'ev.sls': 'my/tag:\n  event.send:\n    - data: {a: 1}\n' } })
  const job = jobOf('state.apply', ['ev'])
  t.match(await executor.execute(job), { retcode: 0 })
  t.same(sent, [{ tag: 'my/tag', data: { a: 1 }, options: { jid: job.jid } }])
})

t.test('a server that refuses is an error of the job', async t => {
  const sendEvent = async (): Promise<never> => {
    throw new Error('the server refused')
  }
  const { execute } = await executorTest(t, { master: { sendEvent } })
  t.match(await execute('event.send', 'a/b'), { retcode: 1, success: false, return: /the server refused/ })
})

t.test('stop waits for running jobs; stop now kills them', async t => {
  const waiting = await executorTest(t)
  const job = waiting.execute('cmd.run', 'sleep 0.3; echo ended')
  await waiting.executor.stop()
  t.equal((await job)?.return, 'ended')
  const { executor, execute } = await executorTest(t)
  const long = execute('cmd.run', 'sleep 60')
  await executor.stop({ now: true })
  t.equal(await long, null)
})

t.test('when the agent dies, the processes of its jobs end with all that they started', async t => {
  const dir = t.testdir()
  const file = join(dir, 'pids')
  const code = `
    const { Executor } = await import(${JSON.stringify(new URL('../../src/minion/executor.js', import.meta.url))})
    const { minionOptions } = await import(${JSON.stringify(new URL('../../src/minion/options.js', import.meta.url))})
    const log = { debug() {}, info() {}, warn() {}, error() {} }
    const options = minionOptions({ id: 'm', cachedir: ${JSON.stringify(dir)}, conf_dir: ${JSON.stringify(dir)}, file_client: 'local' })
    const executor = new Executor({ options, grains: {}, master: {}, log })
    await executor.execute({ jid: '1', fun: 'cmd.run', arg: ['echo $PPID $$ > ${file}; exec sleep 60'] })`
  const agent = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'ignore', 'inherit'] })
  t.teardown(() => agent.kill('SIGKILL'))
  const pids = async (): Promise<number[]> => ((await readFile(file, 'utf8').catch(() => '')).match(/\d+/g) ?? []).map(Number)
  await until(async () => (await pids()).length === 2, 'the command runs')
  agent.kill('SIGKILL')
  for (const pid of await pids()) {
    await until(async () => !(await alive(pid)), `process ${pid} is gone`)
    t.notOk(await alive(pid))
  }
})

t.test(
  'a state run works with the pillar as the server has it now, and asks that the refresh be told; other functions with the one at hand',
  async t => {
    const asked: unknown[] = []
    let version = 1
    const pillar = async (ask?: object) => {
      asked.push(ask)
      return { version: version++, ...(ask as { override?: object }).override }
    }
    const files = { 'a.sls': 'v{{ pillar.version }} {{ pillar.get("more") }}:\n  test.nop\n' }
    const { execute } = await executorTest(t, { files, options: { file_client: 'remote' }, master: { ...served(files), pillar } })
    t.equal((await execute('pillar.get', 'version'))?.return, 1)
    t.equal((await execute('pillar.get', 'version'))?.return, 1)
    const run = async (...arg: unknown[]) => Object.values((await execute('state.apply', 'a', ...arg))?.return as object)[0].__id__
    t.equal(await run(), 'v2 None')
    t.equal(await run(kw({ pillar: { more: 'x' } })), 'v3 x')
    t.match(asked, [{ refresh: undefined }, { refresh: true, override: undefined }, { refresh: true, override: { more: 'x' } }])
  }
)

/** A master that has these files. */
function served(files: Readonly<Record<string, string>>) {
  return {
    listFiles: async () => Object.keys(files),
    fetchFile: async (path: string) => {
      const text = files[path]
      if (text === undefined) return null
      const content = (async function* () {
        yield Buffer.from(text)
      })()
      return { hash: createHash('sha256').update(text).digest('hex'), size: text.length, content }
    }
  }
}

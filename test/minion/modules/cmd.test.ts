import { readdir, realpath } from 'node:fs/promises'
import t from 'tap'
import { alive, kw, minionTest } from '../../helpers/executor.js'

t.test('what cmd functions return', async t => {
  const { value, run } = await minionTest(t)
  t.equal(await value('cmd.run', 'printf "a\\nb\\n"'), 'a\nb', 'white space at the end is cut')
  t.equal(await value('cmd.run', 'printf "a\\n"', kw({ rstrip: false })), 'a\n')
  t.equal(await value('cmd.run', 'echo $((1+2)) | cat', kw({ python_shell: true })), '3')
  t.equal(await value('cmd.run', 'for i in 1 2; do echo o$i; echo e$i >&2; done'), 'o1\ne1\no2\ne2', 'both streams in the order of writing')
  t.equal(await value('cmd.run_stdout', 'echo out; echo err >&2'), 'out')
  t.equal(await value('cmd.run_stderr', 'echo out; echo err >&2'), 'err')
  t.match(await run('cmd.run_all', 'sh -c "echo out; echo err >&2; exit 4"'), {
    return: { pid: Number, retcode: 4, stdout: 'out', stderr: 'err' },
    retcode: 4
  })
  t.match(await value('cmd.run_all', 'echo out; echo err >&2', kw({ redirect_stderr: true })), { stdout: 'out\nerr', stderr: '' })
  t.match(await run('cmd.retcode', 'exit 5'), { return: 5, retcode: 5, success: false })
  t.match(await run('cmd.run', 'no-such-binary-x', kw({ shell: '/bin/bash' })), {
    return: '/bin/bash: line 1: no-such-binary-x: command not found',
    retcode: 127
  })
  t.equal(await value('cmd.run', 'echo héllo ☃'), 'héllo ☃')
})

t.test('ignore_retcode and success codes decide about the job', async t => {
  const { run } = await minionTest(t)
  t.match(await run('cmd.run', 'exit 3', kw({ ignore_retcode: true })), { retcode: 0, success: true })
  t.match(await run('cmd.run_all', 'exit 3', kw({ success_retcodes: [3] })), { retcode: 0, return: { retcode: 0 } })
  t.match(await run('cmd.run_all', 'echo fine; exit 3', kw({ success_stdout: ['fine'] })), { retcode: 0 })
  t.match(await run('cmd.run', 'echo x; exit 3', kw({ raise_err: true })), {
    retcode: 1,
    return: /^ERROR: Command 'echo x; exit 3' failed with return code: 3/
  })
})

t.test('directory, environment, input and umask are those that were asked for', async t => {
  const { dir, value, run } = await minionTest(t)
  t.equal(await value('cmd.run', 'pwd', kw({ cwd: dir })), await realpath(dir))
  t.match(await run('cmd.run', 'pwd', kw({ cwd: '/no/such' })), {
    return: "ERROR: Specified cwd '/no/such' either not absolute or does not exist",
    retcode: 1
  })
  t.equal(await value('cmd.run', 'echo $A-$B', kw({ env: { A: 1, B: 'two' } })), '1-two')
  t.equal(await value('cmd.run', 'echo $A-$B', kw({ env: [{ A: 1 }, { B: 'two' }] })), '1-two')
  const clean = await value('cmd.run_stdout', '/usr/bin/env', kw({ env: { ONLY: 'x' }, clean_env: true, python_shell: false }))
  // Not compared as a whole: the test runner adds variables of its own to every process that is started below it.
  t.match(clean, /^ONLY=x$/m)
  t.notMatch(clean, /^(PATH|HOME|PWD)=/m)
  t.match(await value('cmd.run', 'echo $PATH', kw({ prepend_path: '/my/bin' })), /^\/my\/bin:/)
  t.equal(await value('cmd.run', 'echo $LC_MESSAGES'), 'C')
  t.equal(await value('cmd.run', 'cat', kw({ stdin: 'from stdin' })), 'from stdin')
  t.equal(await value('cmd.run', 'umask', kw({ umask: '077' })), '0077')
  t.match(await run('cmd.run', 'umask', kw({ umask: '0; reboot' })), { retcode: 1, return: /Invalid umask/ })
})

t.test('a command has pipes, as programs expect them', async t => {
  const { dir, value, write } = await minionTest(t)
  await write('home/.bashrc', 'echo from bashrc\n')
  const bash = { shell: '/bin/bash', env: { HOME: `${dir}/home`, SHLVL: '0' } }
  t.equal(await value('cmd.run', 'echo hi', kw(bash)), 'hi', 'bash does not take its input for a network')
  t.equal(await value('cmd.run', 'cat', kw({ ...bash, stdin: 'in' })), 'in')
  t.match(await value('cmd.run_all', 'echo out > /dev/stdout; echo err > /dev/stderr'), { retcode: 0, stdout: 'out', stderr: 'err' })
  t.equal(await value('cmd.run', 'echo out > /dev/stdout; echo err > /dev/stderr'), 'out\nerr')
  t.equal(await value('cmd.run', 'cat; echo $?'), '0', 'nothing to read')
  const big = 'x'.repeat(1_000_000)
  t.equal(await value('cmd.run', 'cat', kw({ stdin: big })), big)
  t.equal(await value('cmd.run', 'true', kw({ stdin: big })), '', 'input that nobody reads')
})

t.test('commands at the same time each have their own output, and none leaves a descriptor open', async t => {
  const { value } = await minionTest(t)
  const open = async (): Promise<number> => (await readdir('/proc/self/fd')).length
  const rounds = async (): Promise<void> => {
    const outputs = await Promise.all(Array.from({ length: 20 }, (_, i) => value('cmd.run_all', `echo ${i}; echo e${i} >&2`)))
    for (const [i, output] of outputs.entries()) t.match(output, { stdout: String(i), stderr: `e${i}` })
  }
  await rounds()
  const before = await open()
  await rounds()
  await rounds()
  t.ok((await open()) <= before + 16, 'but those of the pipes that are kept ready')
})

t.test("the agent's own settings are not in a command's environment", async t => {
  process.env.BRINE_TEST_SECRET = 'hidden'
  t.teardown(() => delete process.env.BRINE_TEST_SECRET)
  const { value } = await minionTest(t)
  t.equal(await value('cmd.run', 'env | grep -c BRINE_; true'), '0')
})

t.test('without a shell a command is split into words and nothing is expanded', async t => {
  const { value, run } = await minionTest(t)
  const plain = kw({ python_shell: false })
  t.equal(await value('cmd.run', `echo '$HOME' "a  b" c\\ d; echo`, plain), '$HOME a  b c d; echo')
  t.equal(await value('cmd.run', ['echo', '$HOME', 'x y'], plain), '$HOME x y')
  t.match(await run('cmd.run', 'no-such-binary-x arg', plain), {
    retcode: 1,
    return: /^ERROR: Unable to run command .*No such file or directory/
  })
  t.match(await run('cmd.run', 'echo "open', plain), { retcode: 1, return: "ERROR executing 'cmd.run': No closing quotation" })
})

t.test('runas runs as that user with its home and groups', { skip: process.getuid?.() !== 0 && 'needs root' }, async t => {
  const { value, run } = await minionTest(t)
  t.equal(await value('cmd.run', 'id -un; echo $USER; pwd', kw({ runas: 'nobody', cwd: '/' })), 'nobody\nnobody\n/')
  t.match(await run('cmd.run', 'id', kw({ runas: 'no-such-user' })), { retcode: 1, return: "ERROR: User 'no-such-user' is not available" })
})

t.test('a time limit answers with a text and retcode 1', async t => {
  const { run } = await minionTest(t)
  t.match(await run('cmd.run', 'sleep 60', kw({ timeout: 0.2 })), { return: 'sleep 60 : Timed out after 0.2 seconds', retcode: 1 })
})

t.test('a command in the background outlives its call', async t => {
  const { value } = await minionTest(t)
  const { pid } = (await value('cmd.run_bg', 'exec sleep 60')) as { pid: number }
  t.ok(await alive(pid))
  process.kill(pid)
})

t.test('scripts come from file_roots, are rendered when asked, and leave nothing behind', async t => {
  const { value, run } = await minionTest(t, { files: { 'a.sh': '#!/bin/sh\necho "$0 $1 {{ grains.id }}"\nexit 2\n' } })
  const outcome = await run('cmd.script', 'salt://a.sh', kw({ args: 'one', template: 'jinja' }))
  t.match(outcome, { retcode: 2, return: { retcode: 2, stdout: /^\S+ one web1$/, stderr: '' } })
  const [path] = (outcome.return as { stdout: string }).stdout.split(' ')
  t.equal(await value('cmd.run', `test -e ${path} || echo gone`), 'gone')
  t.match(await value('cmd.script', 'salt://nix.sh'), { retcode: 1, cache_error: true })
})

t.test('exec_code gives code to an interpreter', async t => {
  const { value } = await minionTest(t)
  t.equal(await value('cmd.exec_code', 'sh', 'echo from $1', kw({ args: ['code'] })), 'from code')
  t.match(await value('cmd.exec_code_all', 'sh', 'exit 3'), { retcode: 3 })
})

t.test('which and has_exec look a program up', async t => {
  const { value } = await minionTest(t)
  t.match(await value('cmd.which', 'sh'), /\/sh$/)
  t.equal(await value('cmd.which', 'no-such-binary-x'), null)
  t.equal(await value('cmd.has_exec', 'sh'), true)
  t.equal(await value('cmd.has_exec', 'no-such-binary-x'), false)
  t.match(await value('cmd.which_bin', ['no-such-binary-x', 'sh']), /\/sh$/)
})

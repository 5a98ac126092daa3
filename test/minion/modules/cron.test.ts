import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemProgram } from '../../../src/minion/modules/tool.js'
import { kw, minionTest } from '../../helpers/executor.js'
import { fakePrograms, predictsAndRepeats, singleState } from '../../helpers/states.js'

// Asked before a test puts a crontab of its own on PATH.
const tools = (await Promise.all(['crontab', 'useradd', 'userdel'].map(systemProgram))).includes(null)
const skip =
  process.getuid?.() !== 0
    ? 'a crontab of another user is changed by root only'
    : tools
      ? "needs Debian's package cron, and useradd"
      : false

/** crontab(1) as far as it is asked: one file per user, `self` without -u. */
const CRONTAB = `
user=self
if [ "$1" = -u ]; then user=$2; shift 2; fi
tab="$CRONTABS/$user"
case "$1" in
  -l) if [ -f "$tab" ]; then cat "$tab"; else echo "no crontab for $user" >&2; exit 1; fi ;;
  -) cat > "$tab.new"; grep -q REFUSED "$tab.new" && { echo "errors in crontab file, can't install." >&2; exit 1; }; mv "$tab.new" "$tab" ;;
  *) cp "$1" "$tab" ;;
esac`

/** A minion whose crontabs are files of the test. */
async function cronTest(t: Test, files: Record<string, string> = {}) {
  const minion = await minionTest(t, { files })
  const tabs = join(minion.dir, 'crontabs')
  await mkdir(tabs)
  await fakePrograms(t, minion.dir, { crontab: CRONTAB })
  process.env.CRONTABS = tabs
  t.teardown(() => {
    delete process.env.CRONTABS
  })
  return { ...minion, tabs, tab: (user: string) => readFile(join(tabs, user), 'utf8').catch(() => '') }
}

const HEADER = '# Lines below here are managed by Salt, do not edit\n'

t.test('a crontab has the format of Salt, and what stands above its line stays', async t => {
  const { value, tabs, tab } = await cronTest(t)
  await writeFile(join(tabs, 'daemon'), '# mine\n1 2 * * * own job\n')
  t.equal(await value('cron.set_job', 'daemon', 5, '*', '*', '*', 1, 'echo a', kw({ comment: 'weekly\nrun', identifier: 'A1' })), 'new')
  t.equal(await value('cron.set_job', 'daemon', '*', 'RANDOM', '*', '*', '*', 'echo b', kw({ commented: true })), 'new')
  t.equal(await value('cron.set_special', 'daemon', '@hourly', 'echo c', kw({ identifier: 'C' })), 'new')
  t.equal(await value('cron.set_env', 'daemon', 'MAILTO', 'me@example.com'), 'new')
  t.equal(await value('cron.set_env', 'daemon', 'EMPTY'), 'new')
  const text = (await tab('daemon')).replace(/^(#DISABLED#\*) \d+ /m, '$1 N ')
  t.equal(
    text,
    `# mine\n1 2 * * * own job\n${HEADER}MAILTO=me@example.com\nEMPTY=""\n# weekly\n# run SALT_CRON_IDENTIFIER:A1\n5 * * * 1 echo a\n#DISABLED#* N * * * echo b\n# SALT_CRON_IDENTIFIER:C\n@hourly echo c\n`
  )
  t.match(await value('cron.list_tab', 'daemon'), {
    pre: ['# mine', '1 2 * * * own job'],
    crons: [
      { minute: '5', dayweek: '1', cmd: 'echo a', identifier: 'A1', comment: 'weekly\nrun', commented: false },
      { cmd: 'echo b', identifier: null, comment: null, commented: true }
    ],
    special: [{ spec: '@hourly', cmd: 'echo c', identifier: 'C' }],
    env: [
      { name: 'MAILTO', value: 'me@example.com' },
      { name: 'EMPTY', value: '""' }
    ]
  })
  t.same(await value('cron.ls', 'daemon'), await value('cron.list_tab', 'daemon'))
  t.match(await value('cron.get_entry', 'daemon', kw({ identifier: 'A1' })), { cmd: 'echo a' })
  t.match(await value('cron.get_entry', 'daemon', kw({ cmd: 'echo b' })), { commented: true })
  t.equal(await value('cron.get_entry', 'daemon', kw({ cmd: 'nix' })), false)
  t.equal(await value('cron.raw_cron', 'nobody'), '')
})

t.test('a job is known by its identifier, one without by its command', async t => {
  const { value, tab } = await cronTest(t)
  const set = (cmd: string, identifier: string | null, minute: unknown = '*') =>
    value('cron.set_job', 'daemon', minute, '*', '*', '*', '*', cmd, kw({ identifier }))
  t.equal(await set('echo a', null), 'new')
  t.equal(await set('echo a', null), 'present')
  t.equal(await set('echo a', 'ID'), 'updated', 'it takes the identifier')
  t.equal(await set('echo b', 'ID'), 'updated', 'it takes another command')
  t.equal(await set('echo b', 'OTHER'), 'new', 'another identifier is another job')
  t.equal(await set('echo b', 'ID', 'random'), 'updated')
  t.equal(await set('echo b', 'ID', 'random'), 'present', 'what was chosen once stays')
  t.match(await tab('daemon'), /^\d+ \* \* \* \* echo b$/m)
  t.equal(await value('cron.rm_job', 'daemon', 'echo b', kw({ identifier: 'ID', hour: 3 })), 'absent')
  t.equal(await value('cron.rm_job', 'daemon', 'whatever', kw({ identifier: 'ID' })), 'removed')
  t.equal(await value('cron.rm', 'daemon', 'echo b', kw({ identifier: 'OTHER' })), 'removed')
  t.equal(await tab('daemon'), HEADER)
})

t.test('what would become another line, or another field, is refused', async t => {
  const { value } = await cronTest(t)
  t.match(await value('cron.set_job', 'daemon', '*', '*', '*', '*', '*', 'a\n* * * * * b'), /cmd must be one line/)
  t.match(await value('cron.set_job', 'daemon', '* *', '*', '*', '*', '*', 'a'), /minute must be one field/)
  t.match(await value('cron.set_env', 'daemon', 'A B', 'x'), /is not the name of a variable/)
  t.match(await value('cron.set_env', 'daemon', 'A', 'x\ny'), /value must be one line/)
  t.match(await value('cron.list_tab', '-l'), /is not the name of a user/)
})

t.test('what crontab refuses is told', async t => {
  const minion = await cronTest(t)
  t.equal(await minion.value('cron.set_env', 'daemon', 'A', 'REFUSED'), "errors in crontab file, can't install.")
  t.match(await singleState(minion)('cron.present', { name: 'REFUSED', user: 'daemon' }), {
    result: false,
    comment: "Cron REFUSED for user daemon failed to commit with error \nerrors in crontab file, can't install.",
    changes: {}
  })
})

const FILES = { tab: '0 1 * * * whole {{ grains.id }}\n' }

/** All cron states, each a step from the crontab that the one before has left. */
const STEPS: readonly [string, Record<string, unknown>, string][] = [
  ['cron.present', { name: 'echo a', identifier: 'A', minute: 5, comment: 'says a' }, "Cron echo a added to USER's crontab"],
  ['cron.present', { name: 'echo a', identifier: 'A', minute: 'random', hour: 2 }, 'Cron echo a updated'],
  ['cron.present', { name: 'echo a', identifier: 'A', commented: true }, 'Cron echo a updated'],
  ['cron.present', { name: 'echo a', identifier: 'A', special: '@daily' }, 'Cron echo a time specification changed'],
  ['cron.present', { name: 'echo a', identifier: 'A', special: '@hourly' }, 'Cron echo a updated'],
  ['cron.present', { name: 'echo plain' }, "Cron echo plain added to USER's crontab"],
  ['cron.env_present', { name: 'MAILTO', value: 'a@example.com' }, "Cron env MAILTO added to USER's crontab"],
  ['cron.env_present', { name: 'MAILTO' }, 'Cron env MAILTO updated'],
  ['cron.env_absent', { name: 'MAILTO' }, "Cron env MAILTO removed from USER's crontab"],
  ['cron.absent', { name: 'other command', identifier: 'A', special: '@hourly' }, "Cron other command removed from USER's crontab"],
  ['cron.absent', { name: 'echo plain' }, "Cron echo plain removed from USER's crontab"],
  ['cron.file', { name: 'salt://tab', template: 'jinja' }, 'Crontab for user USER was updated']
]

async function allStates(t: Test, minion: Awaited<ReturnType<typeof minionTest>>, user: string): Promise<void> {
  const single = singleState(minion)
  for (const [fun, args, comment] of STEPS) {
    const { first } = await predictsAndRepeats(t, single, [fun, { ...args, user }], () => minion.value('cron.raw_cron', user))
    t.equal(first.comment, comment.replace('USER', user))
  }
  t.equal(await minion.value('cron.raw_cron', user), '0 1 * * * whole web1\n')
  t.match(await single('cron.file', { name: 'salt://nix', user }), {
    result: false,
    comment: "Source file salt://nix not found in saltenv 'base'"
  })
  t.match(await single('cron.file', { name: 'salt://other', user, replace: false }), { result: true, comment: /already has a crontab/ })
  t.match(await single('cron.file', { name: 'salt://tab', user: 'no-such-user' }), { result: false, comment: /Could not identify group/ })
  t.match(await single('cron.absent', { name: 'nix', user }), { result: true, comment: 'Cron nix already absent', changes: {} })
}

t.test('every cron state is idempotent, and test=True predicts it', async t => {
  await allStates(t, await cronTest(t, FILES), 'daemon')
})

t.test('a job that is there twice, with times and as a special one, is one again', async t => {
  const minion = await cronTest(t)
  await minion.value('cron.set_job', 'daemon', '*', '*', '*', '*', '*', 'echo a', kw({ identifier: 'A' }))
  await minion.value('cron.set_special', 'daemon', '@daily', 'echo a', kw({ identifier: 'A' }))
  const state: [string, Record<string, unknown>] = ['cron.present', { name: 'echo a', identifier: 'A', user: 'daemon' }]
  const { first } = await predictsAndRepeats(t, singleState(minion), state, () => minion.tab('daemon'))
  t.equal(first.comment, 'Duplicate Cron echo a removed')
})

t.test("every cron state with the system's own crontab", { skip }, async t => {
  const minion = await minionTest(t, { files: FILES })
  const user = `brc${process.pid}`
  t.equal(await minion.value('user.add', user, kw({ createhome: false, shell: '/usr/sbin/nologin' })), true)
  t.teardown(async () => {
    await minion.run('cmd.run', ['crontab', '-r', '-u', user], kw({ python_shell: false }))
    await minion.run('user.delete', user)
  })
  await allStates(t, minion, user)
  t.match(await singleState(minion)('cron.present', { name: 'x', user, minute: 'soon' }), { result: false, comment: /failed to commit/ })
})

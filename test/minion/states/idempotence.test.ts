import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { stateModules } from '../../../src/minion/states/index.js'
import { packageRoot } from '../../../src/shared/paths.js'
import { kw, type MinionTest, minionTest } from '../../helpers/executor.js'

type Result = { result: boolean | null; comment: string; changes: Record<string, unknown> }

/** Runs one state with its arguments; `$D` in texts is `dir`. */
function runner(minion: MinionTest, dir: string): (fun: string, args: Record<string, unknown>) => Promise<Result> {
  const placed = (value: unknown): unknown => JSON.parse(JSON.stringify(value).replaceAll('$D', dir))
  return async (fun, args) => {
    const results = (await minion.value('state.single', fun, kw(placed(args) as Record<string, unknown>))) as Record<string, Result>
    return Object.values(results)[0]!
  }
}

const FILES = {
  'tree/a.txt': 'A\n',
  'tree/sub/b.txt': 'B {{ grains.id }}\n',
  'tree/skip.bak': 'x\n',
  'block.txt': 'from {{ grains.id }}\n'
}

/** What stands on the machine before each state. */
async function furnish(dir: string): Promise<void> {
  await mkdir(join(dir, 'dir/inside'), { recursive: true })
  await writeFile(join(dir, 'dir/inside/file'), 'x')
  await mkdir(join(dir, 'old'))
  await writeFile(join(dir, 'old/f.log'), 'x')
  await writeFile(join(dir, 'settings'), 'Port 22\n#Listen 80\nkey=old\n  # indented\nlast\n')
  await writeFile(join(dir, 'source'), 'the source\n')
  await writeFile(join(dir, 'data.json'), '{"a": 1, "deep": {"x": 1}}\n')
  await symlink('/etc', join(dir, 'link'))
}

/** All states that may change something, with arguments that make them do so. */
const STATES: readonly [string, Record<string, unknown>][] = [
  ['file.absent', { name: '$D/dir' }],
  ['file.append', { name: '$D/settings', text: ['one', 'two'] }],
  ['file.append', { name: '$D/fresh/f', text: 'one', makedirs: true }],
  ['file.append', { name: '$D/settings', sources: ['salt://block.txt', 'salt://tree/a.txt'] }],
  ['file.prepend', { name: '$D/settings', text: ['zero'] }],
  ['file.prepend', { name: '$D/settings', text: ['last', 'Port 22'], header: true }],
  ['file.blockreplace', { name: '$D/settings', content: 'in\nthe block', append_if_not_found: true }],
  [
    'file.blockreplace',
    { name: '$D/settings', source: 'salt://block.txt', insert_before_match: '^key', marker_start: '#S', marker_end: '#E' }
  ],
  ['file.comment', { name: '$D/settings', regex: '^Port' }],
  ['file.uncomment', { name: '$D/settings', regex: 'Listen' }],
  ['file.copy', { name: '$D/copy', source: '$D/source', mode: '0600' }],
  ['file.copy', { name: '$D/settings', source: '$D/source', force: true, preserve: true }],
  ['file.copy', { name: '$D/copy/of/dir', source: '$D/dir', makedirs: true }],
  ['file.rename', { name: '$D/moved', source: '$D/source' }],
  ['file.hardlink', { name: '$D/hard', target: '$D/source' }],
  ['file.symlink', { name: '$D/link', target: '/tmp' }],
  ['file.symlink', { name: '$D/settings', target: '/tmp', force: true }],
  ['file.symlink', { name: '$D/settings', target: '/tmp', backupname: '$D/settings.old' }],
  ['file.directory', { name: '$D/new', mode: '0700' }],
  ['file.directory', { name: '$D/dir', mode: '0700', file_mode: '0600', recurse: ['mode'] }],
  ['file.directory', { name: '$D/dir', clean: true }],
  ['file.keyvalue', { name: '$D/settings', key: 'key', value: 'new' }],
  [
    'file.keyvalue',
    { name: '$D/settings', key_values: { Listen: 81, Extra: 'yes' }, separator: ' ', uncomment: '#', append_if_not_found: true }
  ],
  ['file.line', { name: '$D/settings', mode: 'ensure', content: 'middle', after: 'Port', before: '#Listen' }],
  ['file.line', { name: '$D/settings', mode: 'insert', content: 'below', after: '^key' }],
  ['file.line', { name: '$D/settings', mode: 'replace', match: '^key', content: 'other=1' }],
  ['file.line', { name: '$D/settings', mode: 'delete', match: '^key' }],
  ['file.managed', { name: '$D/f', contents: 'text', mode: '0640' }],
  ['file.managed', { name: '$D/settings', source: 'salt://block.txt', template: 'jinja' }],
  ['file.managed', { name: '$D/link', contents: 'text', follow_symlinks: false }],
  [
    'file.recurse',
    { name: '$D/tree', source: 'salt://tree', exclude_pat: '*.bak', template: 'jinja', file_mode: '0600', dir_mode: '0700' }
  ],
  ['file.recurse', { name: '$D/dir', source: 'salt://tree', clean: true }],
  ['file.replace', { name: '$D/settings', pattern: '^Port (\\d+)$', repl: 'Port \\g<1>22' }],
  ['file.replace', { name: '$D/settings', pattern: '^None', repl: 'appended', append_if_not_found: true }],
  ['file.serialize', { name: '$D/data.yaml', dataset: { b: [1, 2], a: { c: 'x' } }, makedirs: true }],
  ['file.serialize', { name: '$D/data.json', dataset: { deep: { y: 2 } }, serializer: 'json', merge_if_exists: true }],
  ['file.tidied', { name: '$D/old', matches: ['.*\\.log'] }],
  ['file.touch', { name: '$D/touched', atime: 1_000_000_000, mtime: 1_000_000_000 }],
  ['file.touch', { name: '$D/settings', mtime: 1_000_000_000, atime: 1_000_000_000 }],
  ['grains.present', { name: 'g', value: 'v' }],
  ['grains.present', { name: 'deep:er', value: [1], force: true }],
  ['grains.list_present', { name: 'roles', value: ['a', 'b'] }],
  ['grains.list_present', { name: 'kept', value: 'z' }],
  ['grains.append', { name: 'kept', value: 'q' }],
  ['grains.list_absent', { name: 'kept', value: 'y' }],
  ['grains.absent', { name: 'kept', destructive: true, force: true }],
  ['grains.absent', { name: 'plain' }]
]

/** File states need no minion of their own, only a directory. */
const shared = await minionTest(t, { files: FILES })

for (const [fun, args] of STATES) {
  t.test(`${fun} ${JSON.stringify(args)}: test=True predicts the first run, the second has nothing to do`, async t => {
    const minion = fun.startsWith('grains') ? await minionTest(t, { files: FILES }) : shared
    const dir = await mkdtemp(join(minion.dir, 'state-'))
    const single = runner(minion, dir)
    await furnish(dir)
    if (minion !== shared) await minion.run('grains.setvals', { kept: ['x', 'y'], plain: 1 })
    const before = await picture(dir)
    const predicted = await single(fun, { ...args, test: true })
    t.equal(predicted.result, null, predicted.comment)
    t.not(Object.keys(predicted.changes).length, 0, 'the prediction names what would change')
    t.same(await picture(dir), before, 'and changes nothing')
    const first = await single(fun, args)
    t.equal(first.result, true, first.comment)
    t.not(Object.keys(first.changes).length, 0, 'the first run changes something')
    if (fun === 'file.replace' && String(args.repl).startsWith('Port')) return // its expression finds its own result, as the author wants it
    for (const again of [await single(fun, args), await single(fun, { ...args, test: true })]) {
      t.equal(again.result, true, again.comment)
      t.same(again.changes, {}, `nothing to do: ${again.comment}`)
    }
  })
}

/** Names, kinds, modes and contents below a directory. */
async function picture(dir: string): Promise<unknown[]> {
  const found = await readdir(dir, { recursive: true, withFileTypes: true }) // with types: links are not followed
  const entries = found.map(entry => join(entry.parentPath, entry.name)).sort()
  return Promise.all(
    entries.map(async path => {
      const now = await lstat(path)
      if (now.isSymbolicLink()) return [path, await readlink(path)]
      return [path, (await stat(path)).mode, now.isFile() ? await readFile(path, 'utf8') : '']
    })
  )
}

/** States that do something each time they are called, as Salt's do: what keeps them from it is a condition. `done` is the sign of it. */
const ACTING: readonly [string, Record<string, unknown>, string][] = [
  ['cmd.run', { name: 'echo x >> $D/done' }, 'done'],
  ['cmd.script', { name: 'salt://act.sh', args: '$D/done' }, 'done'],
  ['module.run', { name: 'file.append', args: ['$D/done', 'x'] }, 'done'],
  ['module.run', { name: 'new form', 'file.append': ['$D/done', 'x'] }, 'done'],
  ['event.send', { name: 'my/tag', data: { a: 1 } }, ''],
  ['file.touch', { name: '$D/done' }, 'done'],
  ['test.succeed_with_changes', { name: 'x' }, ''],
  ['test.configurable_test_state', { name: 'x', changes: true, result: true }, '']
]

for (const [fun, args, sign] of ACTING) {
  t.test(
    `${fun} ${JSON.stringify(args)}: test=True only says what would be done; it is done each time, unless a condition keeps it`,
    async t => {
      const minion = await minionTest(t, { files: { 'act.sh': '#!/bin/sh\necho x >> "$1"\n' } })
      const dir = await mkdtemp(join(minion.dir, 'state-'))
      const single = runner(minion, dir)
      const predicted = await single(fun, { ...args, test: true })
      t.equal(predicted.result, null, predicted.comment)
      t.same(await readdir(dir), [], 'nothing was done')
      t.same(minion.sent, [])
      const first = await single(fun, args)
      t.equal(first.result, true, first.comment)
      t.not(Object.keys(first.changes).length, 0)
      if (sign !== '') t.same(await readdir(dir), [sign])
      const kept = { ...args, unless: sign === '' ? 'true' : `test -e $D/${sign}` }
      for (const again of [await single(fun, kept), await single(fun, { ...kept, test: true })])
        t.match(again, { result: true, changes: {}, comment: 'unless condition is true' })
    }
  )
}

t.test('file.accumulated gathers texts of the run alone: it changes nothing itself, and test=True says so too', async t => {
  const minion = await minionTest(t, {
    files: {
      'acc.sls': `text: {file.accumulated: [{name: all}, {filename: {{ pillar.file }}}, {text: [one, two]}, {require_in: [{file: target}]}]}
target: {file.blockreplace: [{name: {{ pillar.file }}}, {append_if_not_found: true}]}`
    }
  })
  const file = await minion.write('f', 'own\n')
  const run = async (test: boolean): Promise<Result[]> => {
    const pillar = { file }
    return Object.values((await minion.value('state.sls', 'acc', kw({ test, pillar }))) as Record<string, Result>)
  }
  const outcomes = async (test: boolean) => (await run(test)).map(({ result, changes }) => [result, Object.keys(changes).length > 0])
  t.same(await outcomes(true), [
    [true, false],
    [null, true]
  ])
  t.same(await outcomes(false), [
    [true, false],
    [true, true]
  ])
  for (const test of [false, true])
    t.same(await outcomes(test), [
      [true, false],
      [true, false]
    ])
})

/** States that change nothing, whatever they answer: with and without test=True the same. */
const LOOKING: readonly [string, Record<string, unknown>, boolean][] = [
  ['file.exists', { name: '$D/settings' }, true],
  ['file.exists', { name: '$D/nix' }, false],
  ['file.missing', { name: '$D/nix' }, true],
  ['file.missing', { name: '$D/settings' }, false],
  ['grains.exists', { name: 'id' }, true],
  ['grains.exists', { name: 'no-such-grain' }, false],
  ['cmd.wait', { name: 'echo x > $D/done' }, true],
  ['cmd.wait_script', { name: 'salt://act.sh', args: '$D/done' }, true],
  ['event.wait', { name: 'my/tag' }, true],
  ['module.wait', { name: 'test.echo', text: 'x' }, true],
  ['test.nop', { name: 'x' }, true],
  ['test.succeed_without_changes', { name: 'x' }, true],
  ['test.fail_without_changes', { name: 'x' }, false],
  ['test.show_notification', { name: 'x', text: 'said' }, true],
  ['test.configurable_test_state', { name: 'x', changes: false, result: false }, false],
  ['test.check_pillar', { name: 'x', present: ['no-such-key'] }, false]
]

for (const [fun, args, result] of LOOKING) {
  t.test(`${fun} ${JSON.stringify(args)} changes nothing, and test=True answers the same`, async t => {
    const dir = await mkdtemp(join(shared.dir, 'state-'))
    const single = runner(shared, dir)
    await furnish(dir)
    const before = await picture(dir)
    for (const test of [true, false, true]) t.match(await single(fun, { ...args, test }), { result, changes: {} })
    t.same(await picture(dir), before)
  })
}

t.test('test.fail_with_changes: test=True predicts it, and it fails each time', async t => {
  const single = runner(shared, shared.dir)
  const predicted = await single('test.fail_with_changes', { name: 'x', test: true })
  t.equal(predicted.result, null)
  const failed = await single('test.fail_with_changes', { name: 'x' })
  t.equal(failed.result, false)
  t.same(failed.changes, predicted.changes)
})

/** Where the states of other modules have their test of this rule: they need a machine, or one that is made up. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  cron: 'modules/cron.test.ts',
  group: 'modules/accounts.test.ts',
  pkg: 'modules/pkg-apt.test.ts',
  schedule: 'states/schedule.test.ts',
  service: 'modules/service.test.ts',
  user: 'modules/accounts.test.ts'
}

t.test('every state there is has a test of what test=True and a second run do', async t => {
  const here = new Set([...STATES, ...ACTING, ...LOOKING].map(([fun]) => fun))
  here.add('file.accumulated').add('test.fail_with_changes')
  for (const { name: module, functions } of stateModules) {
    const file = ELSEWHERE[module]
    const text = file === undefined ? '' : await readFile(join(packageRoot(), 'test/minion', file), 'utf8')
    for (const { name: fun } of functions)
      t.ok(here.has(`${module}.${fun}`) || new RegExp(`['(]([a-z]+\\.)?${fun}'`).test(text), `${module}.${fun}`)
  }
})

import { chmod, lstat, mkdir, readFile, readlink, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { kw, type MinionTest, minionTest } from '../../helpers/executor.js'

const ROOT = process.getuid?.() === 0

interface FileTest extends MinionTest {
  path(name: string): string
  /** Calls `file.<fun>`; the first argument is a path below the test's directory. */
  call(fun: string, name: string, ...args: unknown[]): Promise<unknown>
}

async function fileTest(t: Test, setup: Parameters<typeof minionTest>[1] = {}): Promise<FileTest> {
  const minion = await minionTest(t, setup)
  const path = (name: string): string => join(minion.dir, name)
  return { ...minion, path, call: (fun, name, ...args) => minion.value(`file.${fun}`, path(name), ...args) }
}

t.test('what is known of a path: stats, lstat, owner, mode, kind, hashes', async t => {
  const { call, path, write, value } = await fileTest(t)
  await write('f', 'hello\n')
  await chmod(path('f'), 0o640)
  await utimes(path('f'), 1000, 2000)
  await symlink(path('f'), path('l'))
  const sum = '5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03'
  const stats = (await call('stats', 'f', 'sha256')) as Record<string, unknown>
  t.same(Object.keys(stats), ['inode', 'uid', 'gid', 'group', 'user', 'atime', 'mtime', 'ctime', 'size', 'mode', 'sum', 'type', 'target'])
  t.match(stats, { atime: 1000, mtime: 2000, size: 6, mode: '0640', sum, type: 'file' })
  t.match(await call('stats', 'l', kw({ follow_symlinks: false })), { type: 'link' })
  t.match(await call('lstat', 'f'), { st_size: 6, st_mtime: 2000, st_nlink: 1, st_mode: 0o100640 })
  t.same(await call('lstat', 'nix'), {})
  t.equal(await call('get_mode', 'f'), '0640')
  t.equal(await call('get_hash', 'f', 'md5'), 'b1946ac92492d2347c6235b4d2611184')
  t.equal(await call('get_sum', 'f'), sum)
  t.equal(await call('get_sum', 'nix'), 'File not found')
  t.equal(await call('check_hash', 'f', `sha256:${sum}`), true)
  t.equal(await call('check_hash', 'f', 'md5:00000000000000000000000000000000'), false)
  t.equal(await call('get_uid', 'f'), process.getuid?.())
  if (ROOT) t.same([await call('get_user', 'f'), await call('get_group', 'f')], ['root', 'root'])
  t.same(
    [await call('file_exists', 'f'), await call('directory_exists', 'f'), await call('is_link', 'l'), await call('is_link', 'f')],
    [true, false, true, false]
  )
  t.equal(await call('path_exists_glob', '*'), true)
  t.equal(await call('path_exists_glob', 'z*'), false)
  t.equal(await call('readlink', 'l'), path('f'))
  t.same(((await call('readdir', '')) as string[]).slice(0, 2), ['.', '..'])
  t.equal(await call('diskusage', 'f'), 6)
  t.equal(await call('access', 'f', 'r'), true)
  t.match(await call('access', 'f', 'q'), /^ERROR executing 'file\.access': Invalid mode specified\.$/)
  t.match(await call('stats', 'nix'), `ERROR: Path not found: ${path('nix')}`)
  t.same(
    [await value('file.uid_to_user', 0), await value('file.user_to_uid', 'root'), await value('file.user_to_uid', 'no-such')],
    ['root', 0, '']
  )
  t.same([await value('file.gid_to_group', 0), await value('file.group_to_gid', 'root')], ['root', 0])
})

t.test('paths are cut and joined as posixpath does', async t => {
  const { value } = await minionTest(t)
  t.same(
    [
      await value('file.basename', '/a/b'),
      await value('file.dirname', '/a/b'),
      await value('file.dirname', '/a/b/'),
      await value('file.join', '/', 'usr', 'local'),
      await value('file.normpath', '/a//b/../c/'),
      await value('file.pardir')
    ],
    ['b', '/a', '/a/b', '/usr/local', '/a/c', '..']
  )
})

t.test('content: read, search, contains, lines', async t => {
  const { call, path, read, write } = await fileTest(t)
  await write('f', 'one\ntwo words\n')
  t.equal(await call('read', 'f'), 'one\ntwo words\n')
  t.equal(await call('contains', 'f', ' two '), true)
  t.equal(await call('contains', 'nix', 'x'), false)
  t.equal(await call('contains_regex', 'f', '^two'), true)
  t.equal(await call('search', 'f', '^t.o'), true)
  t.match(await call('search', 'nix', 'x'), /File not found/)
  t.match(await call('grep', 'f', 'two', '-c'), { retcode: 0, stdout: '1', stderr: '' })
  t.equal(await call('append', 'f', 'three', 'four'), `Wrote 2 lines to "${path('f')}"`)
  t.equal(await call('prepend', 'f', kw({ args: ['zero'] })), `Prepended 1 lines to "${path('f')}"`)
  t.equal(await read('f'), 'zero\none\ntwo words\nthree\nfour\n')
  t.equal(await call('write', 'f', 'only'), `Wrote 1 lines to "${path('f')}"`)
  t.equal(await read('f'), 'only\n')
  t.equal(await call('seek_write', 'f', 'O', 0), 1)
  t.equal(await call('seek_read', 'f', 3, 0), 'Onl')
  await call('truncate', 'f', 2)
  t.equal(await read('f'), 'On')
})

t.test('edits return the difference and keep a copy', async t => {
  const { call, path, read, write } = await fileTest(t)
  await write('f', 'a=1\nb=2\n')
  await chmod(path('f'), 0o604)
  t.equal(await call('replace', 'f', kw({ pattern: '^a=(\\d)', repl: 'a=\\g<1>0' })), '--- \n+++ \n@@ -1,2 +1,2 @@\n-a=1\n+a=10\n b=2\n')
  t.equal(await read('f.bak'), 'a=1\nb=2\n')
  t.same([(await stat(path('f'))).mode & 0o777, (await stat(path('f.bak'))).mode & 0o777], [0o604, 0o604])
  t.equal(await call('replace', 'f', 'nix', 'x'), '')
  t.equal(await call('replace', 'f', 'b', 'c', kw({ show_changes: false, dry_run: true })), true)
  t.equal(await call('replace', 'f', kw({ pattern: 'b=', repl: 'x', search_only: true })), true)
  t.match(await call('replace', 'nix', 'b', 'x'), /^ERROR executing 'file\.replace': File not found: /)
  t.equal(await call('replace', 'nix', 'b', 'x', kw({ ignore_if_missing: true })), false)
  t.match(await call('replace', 'f', '(', 'x'), /^ERROR: .*: '\('$/)
  t.equal(await call('comment', 'f', '^b'), '--- \n+++ \n@@ -1 +1 @@\n-b=2\n+#b=2\n')
  t.equal(await call('uncomment', 'f', 'b'), '--- \n+++ \n@@ -1 +1 @@\n-#b=2\n+b=2\n')
  t.equal(await call('comment', 'f', '^nix'), false)
  t.equal(
    await call('line', 'f', kw({ content: 'c=3', mode: 'insert', location: 'end' })),
    '--- \n+++ \n@@ -1,2 +1,3 @@\n a=10\n b=2\n+c=3\n'
  )
  t.equal(await call('line', 'f', kw({ content: 'c=3', mode: 'ensure', after: 'b=2' })), false)
  t.match(await call('line', 'f', 'x', kw({ mode: 'ensure', after: 'nix' })), /less than expected occurrences in "after" expression/)
  t.match(await call('line', 'f', 'x', kw({ mode: 'sideways' })), 'ERROR: Unknown mode: "sideways"')
  t.match(await call('blockreplace', 'f', '#S', '#E', 'in', true), /^--- \n\+\+\+ \n[\s\S]*\+#S\n\+in\n\+#E\n$/)
  t.equal(await call('blockreplace', 'f', '#S', '#E', 'in', true), '')
  t.match(await call('blockreplace', 'f', '#A', '#Z', 'in'), /Cannot edit marked block\. Markers were not found in file\./)
  t.match(await call('sed', 'f', kw({ before: 'a=10', after: 'a=1' })), { retcode: 0 })
  t.match(await read('f'), /^a=1\n/)
  await write('binary', 'a\0b')
  t.match(await call('replace', 'binary', 'a', 'x'), /Cannot perform string replacements on a binary file/)
})

t.test('files are copied, moved, linked and removed', async t => {
  const { call, path, read, write, value } = await fileTest(t)
  await write('f', 'x')
  t.equal(await call('copy', 'f', path('g')), true)
  t.match(await call('copy', 'nix', path('g')), `ERROR: No such file or directory: '${path('nix')}'`)
  t.same(await call('move', 'g', path('h')), { result: true, comment: `'${path('g')}' moved to '${path('h')}'` })
  t.equal(await call('rename', 'h', path('i')), true)
  t.equal(await call('link', 'i', path('hard')), true)
  t.equal((await stat(path('hard'))).nlink, 2)
  t.equal(await value('file.symlink', path('i'), path('soft')), true)
  t.equal(await readlink(path('soft')), path('i'))
  t.match(await value('file.symlink', '/etc', path('soft')), `ERROR: Found existing symlink: ${path('soft')}`)
  t.equal(await value('file.symlink', '/etc', path('soft'), kw({ force: true })), true)
  t.equal(await call('mkdir', 'a/b/c', kw({ mode: '0700' })), true)
  t.equal((await stat(path('a/b'))).mode & 0o777, 0o700)
  t.equal(await call('makedirs', 'a/b/'), `Directory '${path('a/b')}' already exists`)
  t.match(await call('copy', 'a', path('z')), /without recurse flag/)
  t.equal(await call('copy', 'a', path('z'), true), true)
  t.match(await call('rmdir', 'a'), /not empty/)
  t.equal(await call('rmdir', 'a/b/c'), true)
  t.equal(await call('remove', 'a'), true)
  t.equal(await call('remove', 'soft'), true, 'the link, not what it points to')
  t.ok((await lstat('/etc')).isDirectory())
  t.match(await call('remove', 'nix'), `ERROR: Path not found: ${path('nix')}`)
  t.match(await value('file.remove', 'relative'), /File path must be absolute: relative/)
  t.equal(await call('touch', 'new', 10, 20), true)
  t.equal((await stat(path('new'))).mtimeMs, 20_000)
  t.equal(await call('set_mode', 'new', '0600'), '0600')
  t.match(await call('set_mode', 'nix', '0600'), /File not found$/)
  t.equal(await call('chown', 'nix', 'root', 'root'), 'File not found')
  t.equal(await call('chown', 'f', 'no-such', 'no-such'), 'User does not exist\nGroup does not exist\n')
  if (ROOT) {
    t.equal(await call('chown', 'f', 'nobody', 'nogroup'), null)
    t.equal(await call('get_user', 'f'), 'nobody')
    t.equal(await call('chgrp', 'f', 'root'), null)
    t.same([await call('get_user', 'f'), await call('get_group', 'f')], ['nobody', 'root'])
  }
  t.equal(await read('f'), 'x')
})

t.test('find: criteria, what is printed, what is done', async t => {
  const { call, path, write } = await fileTest(t)
  await write('d/a.log', 'error here\n')
  await write('d/sub/B.LOG', 'x'.repeat(2048))
  await write('d/c.txt', '')
  await utimes(path('d/a.log'), 1000, 1000)
  await symlink('a.log', path('d/link'))
  const find = (args: Record<string, unknown>): Promise<unknown> => call('find', 'd', kw(args))
  t.same(await find({ name: '*.log' }), [path('d/a.log')])
  t.same(await find({ iname: '*.log', type: 'f' }), [path('d/a.log'), path('d/sub/B.LOG')])
  t.same(await find({ type: 'd' }), [path('d'), path('d/sub')])
  t.same(await find({ type: 'd', mindepth: 1 }), [path('d/sub')])
  t.same(await find({ type: 'l', print: 'name' }), ['link'])
  t.same(await find({ size: '+2k', type: 'f', print: 'name,size' }), [['B.LOG', 2048]])
  t.same(await find({ mtime: '+30d', print: 'name' }), ['a.log'])
  t.same(await find({ grep: '^error', print: 'path,mtime' }), [[path('d/a.log'), 1000]])
  t.same(await find({ regex: '\\.t.t$', maxdepth: 1 }), [path('d/c.txt')])
  t.same(await find({ name: '*.txt', exec: 'echo found {}' }), [`found ${path('d/c.txt')}`])
  t.same(await find({ name: '*.txt', delete: 'f' }), [path('d/c.txt')])
  t.same(await find({ name: '*.txt' }), [])
  t.match(await find({ nix: 1 }), /invalid criterion "nix" specified/)
  t.same(await call('find', 'd', 'name=*.log'), [path('d/a.log')], 'options may be texts')
})

t.test('get_diff names the files; files may be those of the server', async t => {
  const { call, path, write } = await fileTest(t, { files: { f: 'one {{ grains.id }}\n' } })
  await write('a', 'one web1\n')
  const header = `--- ${path('a')}\n+++ salt://f\n`
  t.equal(await call('get_diff', 'a', 'salt://f'), `${header}@@ -1 +1 @@\n-one web1\n+one {{ grains.id }}\n`)
  t.equal(await call('get_diff', 'a', 'salt://f', kw({ template: true })), '')
})

t.test('backups are listed newest first, put back and removed', async t => {
  const { call, path, read, value } = await fileTest(t)
  const managed = (contents: string): Promise<unknown> =>
    value('state.single', 'file.managed', kw({ name: path('f'), contents, backup: 'minion' }))
  for (const contents of ['one', 'second', 'third one']) await managed(contents)
  const backups = (await call('list_backups', 'f')) as Record<string, { Size: number; Location: string; 'Start Time': string }>
  t.same(
    Object.values(backups).map(({ Size }) => Size),
    [7, 4]
  )
  t.match(backups['0']!['Start Time'], /^\w{3} \w{3} \d\d \d{4} \d\d:\d\d:\d\d\.\d{6}$/)
  t.same(await call('restore_backup', 'f', 1), {
    result: true,
    comment: `Successfully restored ${backups['1']!.Location} to ${path('f')}`
  })
  t.equal(await read('f'), 'one\n')
  t.equal(Object.keys((await call('list_backups', 'f')) as object).length, 3, 'what was there is kept, too')
  t.match(await call('delete_backup', 'f', 0), { result: true })
  t.match(await call('delete_backup', 'f', 9), { result: false })
  t.equal(Object.keys((await call('list_backups', 'f', 1)) as object).length, 1)
})

t.test('managed files: what would change, and putting them into place', async t => {
  const { call, path, read, value } = await fileTest(t, { files: { f: 'v={{ v }}\n' } })
  const wish = ['salt://f', null, null, null, null, '0600', null, 'jinja', { v: 1 }]
  t.same(await call('check_managed_changes', 'm', ...wish), { newfile: path('m') })
  t.match(await call('check_managed', 'm', ...wish), [null, /^The following values are set to be changed:\nnewfile: /])
  const [sfn, sum, why] = (await value(
    'file.get_managed',
    ...[path('m'), 'jinja', 'salt://f', null, null, null, null, null, null, 'base', { v: 1 }, null]
  )) as [string, { hash_type: string }, string]
  t.equal(await readFile(sfn, 'utf8'), 'v=1\n')
  t.same([sum.hash_type, why], ['sha256', ''])
  t.match(await value('file.manage_file', path('m'), sfn, {}, 'salt://f', sum, null, null, '0600', null, 'base', ''), {
    result: true,
    changes: { diff: 'New file' },
    comment: `File ${path('m')} updated`
  })
  t.equal(await read('m'), 'v=1\n')
  t.same(await call('check_managed', 'm', ...wish), [true, `The file ${path('m')} is in the correct state`])
  t.match(await call('check_perms', 'm', {}, null, null, '0640'), [{ changes: { mode: '0640' }, result: true }, { lmode: '0600' }])
})

t.test('files that are no UTF-8 keep their bytes', async t => {
  const { call, path } = await fileTest(t)
  await mkdir(path('x'))
  await writeFile(path('f'), Buffer.from([0x61, 0xe9, 0x0a, 0x62, 0x0a]))
  await call('replace', 'f', 'b', 'c')
  t.same([...(await readFile(path('f')))], [0x61, 0xe9, 0x0a, 0x63, 0x0a])
})

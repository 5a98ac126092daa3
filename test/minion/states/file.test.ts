import { chmod, chown, lstat, mkdir, readdir, readlink, stat, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { kw, type MinionTest, minionTest } from '../../helpers/executor.js'

type Result = { result: boolean | null; comment: string; changes: Record<string, unknown>; name: string; skip_watch?: boolean }
type Setup = Parameters<typeof minionTest>[1]

const ROOT = process.getuid?.() === 0

interface FileTest extends MinionTest {
  /** Runs one file state; `name` is relative to the test's directory. */
  file(fun: string, name: string, args?: Record<string, unknown>): Promise<Result>
  path(name: string): string
}

async function fileTest(t: Test, setup: Setup = {}): Promise<FileTest> {
  const minion = await minionTest(t, setup)
  const path = (name: string): string => join(minion.dir, name)
  const file = async (fun: string, name: string, args: Record<string, unknown> = {}): Promise<Result> => {
    const results = (await minion.value('state.single', `file.${fun}`, kw({ name: path(name), ...args }))) as Record<string, Result>
    return Object.values(results)[0]!
  }
  return { ...minion, file, path }
}

const modeOf = async (path: string): Promise<string> => ((await stat(path)).mode & 0o7777).toString(8)

/**
 * The rule for every state: test=True changes nothing and predicts that something changes, the first run changes it, the second finds nothing to
 * do, and so does a second test=True.
 */
async function idempotent(t: Test, { file }: FileTest, fun: string, name: string, args: Record<string, unknown>): Promise<Result> {
  const predicted = await file(fun, name, { ...args, test: true })
  t.equal(predicted.result, null, `${fun} predicts: ${predicted.comment}`)
  t.not(Object.keys(predicted.changes).length, 0, 'and names what would change')
  const first = await file(fun, name, args)
  t.equal(first.result, true, first.comment)
  t.not(Object.keys(first.changes).length, 0, 'the first run changes')
  for (const again of [await file(fun, name, args), await file(fun, name, { ...args, test: true })]) {
    t.equal(again.result, true, again.comment)
    t.same(again.changes, {}, 'the second run has nothing to do')
  }
  return first
}

t.test('every file state is idempotent, and test=True predicts it', async t => {
  const minion = await fileTest(t, { files: { 'src.txt': 'from the server\n' } })
  await minion.write('lines', 'one\n')
  await minion.write('doomed/inside', '')
  const states: [string, string, Record<string, unknown>][] = [
    ['managed', 'contents', { contents: 'a\nb' }],
    ['managed', 'contents', { contents: ['a', 'c'] }],
    ['managed', 'source', { source: 'salt://src.txt', mode: '0640' }],
    ['managed', 'source', { source: 'salt://src.txt', mode: '0600' }],
    ['managed', 'deep/down/file', { contents: 'x', makedirs: true }],
    ['managed', 'empty', { replace: false }],
    ['directory', 'dir', { mode: '0750' }],
    ['directory', 'dir', { mode: '0700' }],
    ['directory', 'a/b/c', { makedirs: true }],
    ['append', 'lines', { text: ['two', 'three'] }],
    ['append', 'new-lines', { text: 'two' }],
    ['prepend', 'lines', { text: 'zero' }],
    ['symlink', 'link', { target: '/etc' }],
    ['symlink', 'link', { target: '/tmp' }],
    ['absent', 'doomed', {}]
  ]
  for (const [fun, name, args] of states) await idempotent(t, minion, fun, name, args)
})

t.test('managed: what is said and what is changed, in the words of Salt', async t => {
  const { file, path, read } = await fileTest(t)
  t.same(Object.keys(await file('managed', 'f', { contents: 'one' })).slice(0, 4), ['changes', 'comment', 'name', 'result'])
  t.match(await file('managed', 'g', { contents: 'one' }), {
    changes: { diff: 'New file' },
    comment: `File ${path('g')} updated`,
    result: true
  })
  t.match(await file('managed', 'g', { contents: 'one' }), { changes: {}, comment: `File ${path('g')} is in the correct state` })
  t.match(await file('managed', 'g', { contents: 'two', test: true }), {
    result: null,
    comment: `The file ${path('g')} is set to be changed\nNote: No changes made, actual changes may\nbe different due to other states.`,
    changes: { diff: '--- \n+++ \n@@ -1 +1 @@\n-one\n+two\n' }
  })
  t.equal(await read('g'), 'one\n')
  t.match(await file('managed', 'g', { contents: 'two' }), { changes: { diff: '--- \n+++ \n@@ -1 +1 @@\n-one\n+two\n' } })
  t.match(await file('managed', 'g', { contents: 'three', show_changes: false }), { changes: { diff: '<show_changes=False>' } })
  t.match(await file('managed', 'h', { contents: 'x', test: true }), { result: null, changes: { newfile: path('h') } })
  t.match(await file('managed', 'i', { replace: false }), { comment: 'Empty file', changes: { new: `file ${path('i')} created` } })
  t.match(await file('managed', 'g', { contents: 'other', replace: false }), {
    result: true,
    changes: {},
    comment: `File ${path('g')} exists with proper permissions. No changes made.`
  })
  t.equal(await read('g'), 'three\n')
  t.match(await file('managed', 'nix', { contents: 'x', create: false }), {
    result: true,
    changes: {},
    comment: `File ${path('nix')} is not present and is not set for creation`
  })
})

t.test('managed: contents', async t => {
  const { file, read } = await fileTest(t, {
    options: { pillar: { text: 'from pillar', list: ['a', 'b'], empty: '' } },
    grains: { g: 'grain' }
  })
  const content = async (args: Record<string, unknown>): Promise<string> => {
    const result = await file('managed', 'f', args)
    return result.result === false ? result.comment : read('f')
  }
  t.equal(await content({ contents: 'a' }), 'a\n')
  t.equal(await content({ contents: 'a\n\n' }), 'a\n\n')
  t.equal(await content({ contents: 'a\r\nb' }), 'a\nb\n')
  t.equal(await content({ contents: 'a', contents_newline: false }), 'a')
  t.equal(await content({ contents: ['a', 'b', 3] }), 'a\nb\n3\n')
  t.equal(await content({ contents: '' }), '')
  t.equal(await content({ contents_pillar: 'text' }), 'from pillar\n')
  t.equal(await content({ contents_pillar: 'list' }), 'a\nb\n')
  t.equal(await content({ contents_grains: 'g' }), 'grain\n')
  t.equal(await content({ contents_pillar: 'nix' }), 'Pillar nix does not exist')
  t.equal(await content({ contents_pillar: 'empty', allow_empty: false }), 'contents_pillar empty evaluates to empty')
  t.match(await content({ contents: { a: 1 } }), /is not a string or list of strings/)
  t.match(await content({ contents: 'a', contents_pillar: 'text' }), /^Only one of/)
  t.match(await content({ contents: 'a', source: 'salt://x' }), /cannot be used in combination/)
  t.equal(
    await content({ contents: '{{ grains.id }} {{ x }} {{ y }}', template: 'jinja', context: { x: 1 }, defaults: { x: 0, y: 2 } }),
    'web1 1 2\n'
  )
  t.equal(await content({ contents: '{{ x }}' }), '{{ x }}\n', 'nothing is rendered unasked')
  t.match(await content({ contents: '{{ nosuch.x }}', template: 'jinja' }), /^Unable to manage file: .*undefined/)
  t.match(await content({ contents: 'x', template: 'mako' }), /^Specified template format mako is not supported$/)
  t.equal(await content({ contents: 'x', template: 'jinja', context: 'text' }), 'Context must be formed as a dict')
})

t.test('managed: sources', async t => {
  const { file, read, write, path } = await fileTest(t, { files: { 'a.txt': 'A {{ who }}\n', bin: '\0\x01' } })
  const result = (args: Record<string, unknown>): Promise<Result> => file('managed', 'f', args)
  t.match(await result({ source: 'salt://nix' }), { result: false, comment: "Source file salt://nix not found in saltenv 'base'" })
  t.match(await result({ source: ['salt://nix', 'salt://a.txt'] }), { result: true })
  t.equal(await read('f'), 'A {{ who }}\n')
  await result({ source: 'salt://a.txt', template: 'jinja', context: { who: 'me' } })
  t.equal(await read('f'), 'A me\n')
  t.match(await result({ source: 'salt://bin' }), { changes: { diff: 'Replace text file with binary file' } })
  await write('local', 'L\n')
  t.match(await result({ source: path('local') }), { result: true })
  t.match(await result({ source: `file://${path('local')}` }), { result: true, changes: {} })
  t.match(await result({ source: path('nix') }), {
    result: false,
    comment: `Unable to manage file: Local file source ${path('nix')} does not exist`
  })
  t.match(await result({ source: ['salt://nix', 'salt://nix2'] }), {
    result: false,
    comment: 'Unable to manage file: none of the specified sources were found'
  })
  t.match(await result({ source: 'salt://../conf/x' }), { result: false, comment: /is no path below file_roots/ })
  t.match(await result({ source: 'ftp://example/x' }), {
    result: false,
    comment: /neither salt:\/\/, http\(s\):\/\/, file:\/\/ nor an absolute path/
  })
  t.match(await result({ source: 'https://example/x' }), {
    result: false,
    comment: 'Unable to verify upstream hash of source file https://example/x, please set source_hash or set skip_verify to True'
  })
  const hash = 'cbb4e13b1aa4fdf2d69a8fd2fdd8fd8f8a9d9b4e2e7b8ee6d9cf3c6d3d0ecf6b'
  t.match(await result({ source: path('local'), source_hash: `sha256=${hash}` }), {
    result: false,
    comment: /^Specified sha256 checksum for .* does not match actual checksum/
  })
  t.match(await result({ source: path('local'), source_hash: hash, skip_verify: true }), { result: true })
})

t.test('managed: refusals', async t => {
  const { file, path, write } = await fileTest(t)
  await write('d/f', '')
  t.match(await file('managed', 'd', { contents: 'x' }), { result: false, comment: `Specified target ${path('d')} is a directory` })
  t.match(await file('managed', 'no/f', { contents: 'x' }), { result: false, comment: 'Parent directory not present' })
  t.match(await file('managed', '', { name: 'relative', contents: 'x' }), {
    result: false,
    comment: 'Specified file relative is not an absolute path'
  })
  t.match(await file('managed', 'f', { contents: 'x', user: 'no-such-user' }), {
    result: false,
    comment: 'User no-such-user is not available'
  })
  t.match(await file('managed', 'd/f/g', { contents: 'x', makedirs: true }), { result: false, comment: /^Unable to manage file: / })
})

t.test('managed: replacing content keeps mode and owner, goes through links, and leaves nothing beside the file', async t => {
  const { file, path, write, read } = await fileTest(t)
  const target = await write('d/target', 'old\n')
  await chmod(target, 0o4751)
  if (ROOT) await chown(target, 1234, 1235)
  await chmod(target, 0o4751)
  await symlink(target, path('link'))
  t.match(await file('managed', 'link', { contents: 'new' }), { result: true })
  t.equal(await read('d/target'), 'new\n')
  t.ok((await lstat(path('link'))).isSymbolicLink())
  const { mode, uid, gid } = await stat(target)
  t.equal((mode & 0o7777).toString(8), '4751')
  if (ROOT) t.same([uid, gid], [1234, 1235])
  t.same(await readdir(path('d')), ['target'])
})

t.test('managed: mode, user and group are changes of their own', async t => {
  const { file, path, write } = await fileTest(t)
  await write('f', 'x\n')
  await chmod(path('f'), 0o600)
  t.match(await file('managed', 'f', { contents: 'x', mode: 644, test: true }), { result: null, changes: { mode: '0644' } })
  t.match(await file('managed', 'f', { contents: 'x', mode: 644 }), {
    result: true,
    changes: { mode: '0644' },
    comment: `File ${path('f')} updated`
  })
  t.equal(await modeOf(path('f')), '644')
  t.match(await file('managed', 'deep/er/f', { contents: 'x', makedirs: true, mode: '0640' }), { result: true })
  t.equal(await modeOf(path('deep/er')), '750', 'directories may be entered by whom the file may be read')
  t.match(await file('managed', 'deep2/f', { contents: 'x', makedirs: true, mode: '0640', dir_mode: '0711' }), { result: true })
  t.equal(await modeOf(path('deep2')), '711')
  if (!ROOT) return
  t.match(await file('managed', 'f', { contents: 'x', user: 'nobody', group: 'nogroup', mode: 4755 }), {
    changes: { user: 'nobody', group: 'nogroup', mode: '04755' }
  })
  t.equal(await modeOf(path('f')), '4755', 'the change of owner does not clear the set-id bit that is asked for')
  t.match(await file('managed', 'f', { contents: 'x', user: 'nobody', group: 'nogroup', mode: 4755 }), { changes: {} })
})

t.test('managed: check_cmd sees the new content first and may refuse it', async t => {
  const { file, read } = await fileTest(t)
  await file('managed', 'f', { contents: 'good' })
  t.match(await file('managed', 'f', { contents: 'bad', check_cmd: 'grep -v bad' }), {
    result: false,
    changes: {},
    comment: 'check_cmd execution failed',
    skip_watch: true
  })
  t.equal(await read('f'), 'good\n')
  t.match(await file('managed', 'f', { contents: 'better', check_cmd: 'grep better' }), { result: true })
})

t.test('managed: backup keeps the old file', async t => {
  const { file, path, options } = await fileTest(t)
  await file('managed', 'f', { contents: 'one' })
  await file('managed', 'f', { contents: 'two', backup: 'minion' })
  const kept = await readdir(join(options.cachedir, 'file_backup', path('')))
  t.equal(kept.length, 1)
  t.match(kept[0], /^f_[A-Z][a-z]{2}_[A-Z][a-z]{2}_\d\d_\d\d:\d\d:\d\d_\d{6}_\d{4}$/)
})

t.test('absent', async t => {
  const { file, path, write } = await fileTest(t)
  await write('f', '')
  t.match(await file('absent', 'f', { test: true }), {
    result: null,
    comment: `File ${path('f')} is set for removal`,
    changes: { removed: path('f') }
  })
  t.match(await file('absent', 'f'), { result: true, comment: `Removed file ${path('f')}`, changes: { removed: path('f') } })
  t.match(await file('absent', 'f'), { result: true, comment: `File ${path('f')} is not present`, changes: {} })
  await write('d/f', '')
  t.match(await file('absent', 'd'), { comment: `Removed directory ${path('d')}` })
  await symlink(path('roots'), path('link'))
  t.match(await file('absent', 'link'), { comment: `Removed file ${path('link')}` })
  t.ok(await stat(path('roots')), 'what a link points to stays')
  t.match(await file('absent', '', { name: '/' }), { result: false, comment: 'Refusing to make "/" absent' })
  t.match(await file('absent', '', { name: 'x' }), { result: false, comment: 'Specified file x is not an absolute path' })
})

t.test('directory', async t => {
  const { file, path, write } = await fileTest(t)
  t.match(await file('directory', 'a/b'), { result: false, comment: `No directory to create ${path('a/b')} in` })
  t.match(await file('directory', 'd', { test: true }), {
    result: null,
    comment: `The following files will be changed:\n${path('d')}: directory - new\n`,
    changes: { [path('d')]: { directory: 'new' } }
  })
  t.match(await file('directory', 'd', { mode: 755 }), { result: true, changes: { [path('d')]: { directory: 'new' } } })
  t.match(await file('directory', 'd', { mode: 755 }), {
    result: true,
    comment: `The directory ${path('d')} is in the correct state`,
    changes: {}
  })
  await write('f', '')
  t.match(await file('directory', 'f'), { result: false, comment: `Specified location ${path('f')} exists and is a file` })
  t.match(await file('directory', 'f', { backupname: path('f.old') }), { result: true })
  t.ok((await stat(path('f.old'))).isFile())
  await write('tree/x/y', '')
  await chmod(path('tree/x/y'), 0o600)
  const recurse = { recurse: ['mode'], dir_mode: '0700', file_mode: '0640' }
  t.match(await file('directory', 'tree', recurse), {
    result: true,
    changes: { [path('tree/x/y')]: { mode: '0640' }, [path('tree/x')]: { mode: '0700' } }
  })
  t.match(await file('directory', 'tree', recurse), { changes: {} })
})

t.test('append and prepend add what is not there, whatever white space it has', async t => {
  const { file, path, write, read } = await fileTest(t, { files: { 'add.txt': 'for {{ grains.id }}\n' } })
  await write('f', 'one\n  two   words\nlast without end')
  t.match(await file('append', 'f', { text: ['two words', 'three'] }), {
    result: true,
    comment: 'Appended 1 lines',
    changes: { diff: '--- \n\n+++ \n\n@@ -1,3 +1,4 @@\n\n one\n   two   words\n last without end\n+three' }
  })
  t.equal(await read('f'), 'one\n  two   words\nlast without end\nthree\n')
  t.match(await file('append', 'f', { text: 'three' }), { comment: `File ${path('f')} is in correct state`, changes: {} })
  t.match(await file('append', 'f', { text: 'two words', ignore_whitespace: false }), { comment: 'Appended 1 lines' })
  t.match(await file('append', 'f', { text: 'a-b [x] (y) $z' }), { comment: 'Appended 1 lines' })
  t.match(await file('append', 'f', { text: 'a-b [x] (y) $z' }), { changes: {} }, 'signs of regular expressions are text')
  t.match(await file('append', 'f', { source: 'salt://add.txt' }), { comment: 'Appended 1 lines' })
  t.match(await read('f'), /for web1\n$/)
  t.match(await file('prepend', 'f', { text: 'zero' }), { comment: 'Prepended 1 lines' })
  t.match(await read('f'), /^zero\none\n/)
  t.match(await file('append', 'no/f', { text: 'x' }), { result: false, comment: `Directory not present to touch file ${path('no/f')}` })
  t.match(await file('append', 'no/f', { text: 'x', makedirs: true }), { result: true })
})

t.test('touch, exists and missing', async t => {
  const { file, path } = await fileTest(t)
  t.match(await file('exists', 'f'), { result: false, comment: `Specified path ${path('f')} does not exist` })
  t.match(await file('missing', 'f'), { result: true })
  t.match(await file('touch', 'f', { test: true }), {
    result: null,
    comment: `File ${path('f')} is set to be created`,
    changes: { new: path('f') }
  })
  t.match(await file('touch', 'f'), { result: true, comment: `Created empty file ${path('f')}`, changes: { new: path('f') } })
  t.match(await file('touch', 'f', { mtime: 1000, atime: 1000 }), {
    comment: `Updated times on file ${path('f')}`,
    changes: { touched: path('f') }
  })
  t.equal((await stat(path('f'))).mtimeMs, 1_000_000)
  t.match(await file('touch', 'f', { mtime: 1000, atime: 1000, test: true }), { result: true, changes: {} })
  t.match(await file('exists', 'f'), { result: true, comment: `Path ${path('f')} exists` })
  t.match(await file('missing', 'f'), { result: false, comment: `Specified path ${path('f')} exists` })
})

t.test('symlink', async t => {
  const { file, path, write } = await fileTest(t)
  t.match(await file('symlink', 'l', { target: '/etc' }), {
    comment: `Created new symlink ${path('l')} -> /etc`,
    changes: { new: path('l') }
  })
  t.equal(await readlink(path('l')), '/etc')
  t.match(await file('symlink', 'l', { target: '/etc' }), { result: true, changes: {}, comment: /^Symlink .* is present and owned by / })
  t.match(await file('symlink', 'l', { target: '/tmp', test: true }), {
    result: null,
    comment: `Link ${path('l')} target is set to be changed to /tmp`
  })
  await write('f', 'x')
  t.match(await file('symlink', 'f', { target: '/tmp' }), {
    result: false,
    comment: `File exists where the symlink ${path('f')} should be`
  })
  t.match(await file('symlink', 'f', { target: '/tmp', backupname: 'f.old' }), { result: true, changes: { new: path('f') } })
  await mkdir(path('d'))
  t.match(await file('symlink', 'd', { target: '/tmp', force: true }), {
    result: true,
    changes: { forced: 'Symlink was forcibly replaced' }
  })
  t.match(await file('symlink', 'no/l', { target: '/tmp' }), {
    result: false,
    comment: `Directory ${path('no')} for symlink is not present`
  })
})

t.test('recurse: include_empty makes empty directories, keep_symlinks makes links; clean leaves both alone', async t => {
  const minion = await fileTest(t, { files: { 'tree/a/f': 'f\n', 'tree/skip.bak': 'b\n', 'other/g': 'g\n' } })
  const roots = minion.path('roots')
  for (const dir of ['tree/empty/deep', 'tree/no.bak']) await mkdir(join(roots, dir), { recursive: true })
  await symlink('a', join(roots, 'tree', 'to_dir'))
  await symlink('a/f', join(roots, 'tree', 'to_file'))
  // With types nothing below a link is listed.
  const here = async (name: string): Promise<string[]> => {
    const dir = minion.path(name)
    const entries = await readdir(dir, { recursive: true, withFileTypes: true })
    return entries.map(entry => join(entry.parentPath, entry.name).slice(dir.length + 1)).sort()
  }

  const plain = { source: 'salt://tree', exclude_pat: '*.bak' }
  t.equal((await minion.file('recurse', 'plain', plain)).result, true)
  t.same(await here('plain'), ['a', 'a/f', 'to_dir', 'to_dir/f', 'to_file'], 'without them a link is what it leads to')

  const all = { ...plain, include_empty: true, keep_symlinks: true }
  await idempotent(t, minion, 'recurse', 'all', all)
  t.same(await here('all'), ['a', 'a/f', 'empty', 'empty/deep', 'to_dir', 'to_file'])
  t.equal(await readlink(minion.path('all/to_dir')), 'a')
  t.equal(await readlink(minion.path('all/to_file')), 'a/f')

  await minion.write('all/foreign', 'x')
  t.match(await minion.file('recurse', 'all', { ...all, clean: true }), {
    result: true,
    changes: { removed: [minion.path('all/foreign')] }
  })
  t.same(await here('all'), ['a', 'a/f', 'empty', 'empty/deep', 'to_dir', 'to_file'])

  await minion.write('forced/to_file', 'in the way')
  t.match(await minion.file('recurse', 'forced', all), { result: false, comment: /File exists where the symlink .*to_file should be/ })
  t.match(await minion.file('recurse', 'forced', { ...all, force_symlinks: true }), { result: true })
  t.equal(await readlink(minion.path('forced/to_file')), 'a/f')
})

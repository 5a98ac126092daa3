import { createHash } from 'node:crypto'
import { readdir, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import t from 'tap'
import { openFileClient, parseSaltUrl } from '../../src/minion/files.js'
import type { MasterClient } from '../../src/minion/master.js'
import { minionOptions } from '../../src/minion/options.js'
import { recordingMaster } from '../helpers/executor.js'

const hashOf = (content: string): string => createHash('sha256').update(content).digest('hex')

/** A server with files; it notes what it is asked for. */
function serving(dir: string, files: Map<string, string>, lie: (hash: string) => string = hash => hash) {
  const asked: [path: string, known: string | undefined][] = []
  const master: MasterClient = {
    ...recordingMaster().master,
    listFiles: async () => [...files.keys()].sort(),
    fetchFile: async (path, _saltenv, known) => {
      asked.push([path, known])
      const content = files.get(path)
      if (content === undefined) return null
      if (hashOf(content) === known) return 'unchanged'
      async function* chunks() {
        for (const piece of content!.match(/[\s\S]{1,3}/g) ?? []) yield Buffer.from(piece)
      }
      return { hash: lie(hashOf(content)), size: content.length, content: chunks() }
    }
  }
  return { asked, client: openFileClient(minionOptions({ id: 'm', cachedir: dir, conf_dir: dir }), master) }
}

t.test('a file is fetched once and asked for by its hash from then on', async t => {
  const dir = t.testdir()
  const files = new Map([['a/b.txt', 'first content']])
  const { asked, client } = serving(dir, files)
  const first = await client.cacheFile('a/b.txt', 'base')
  t.same(first, { path: join(dir, 'files/base/a/b.txt'), hash: hashOf('first content') })
  t.equal(await readFile(first!.path, 'utf8'), 'first content')
  t.same(await client.cacheFile('a/b.txt', 'base'), first)
  files.set('a/b.txt', 'second content')
  t.equal(await readFile((await client.cacheFile('a/b.txt', 'base'))!.path, 'utf8'), 'second content')
  t.same(asked, [
    ['a/b.txt', undefined],
    ['a/b.txt', hashOf('first content')],
    ['a/b.txt', hashOf('first content')]
  ])
  t.same(await readdir(dirname(first!.path)), ['b.txt'], 'nothing is left beside it')
})

t.test('a cached file that was changed on the disk is fetched again', async t => {
  const { client } = serving(t.testdir(), new Map([['x', 'right']]))
  const { path } = (await client.cacheFile('x', 'base'))!
  await writeFile(path, 'wrong')
  await utimes(path, 1, 1)
  t.equal(await readFile((await client.cacheFile('x', 'base'))!.path, 'utf8'), 'right')
})

t.test('a file that is gone from the server is gone from the cache', async t => {
  const files = new Map([['x', 'there']])
  const { client } = serving(t.testdir(), files)
  const { path } = (await client.cacheFile('x', 'base'))!
  files.delete('x')
  t.equal(await client.cacheFile('x', 'base'), null)
  await t.rejects(stat(path))
})

t.test('content that is not what the server named is refused and not kept', async t => {
  const dir = t.testdir()
  const { client } = serving(dir, new Map([['x', 'content']]), () => '0'.repeat(64))
  await t.rejects(client.cacheFile('x', 'base'), /the file that arrived has hash/)
  t.same(await readdir(join(dir, 'files/base')), [])
})

t.test('a file that becomes a directory on the server, and back, is no obstacle in the cache', async t => {
  const files = new Map([['a', 'file']])
  const { client } = serving(t.testdir(), files)
  const text = async (path: string): Promise<string> => readFile((await client.cacheFile(path, 'base'))!.path, 'utf8')
  t.equal(await text('a'), 'file')
  files.delete('a')
  files.set('a/b/c', 'below')
  t.equal(await text('a/b/c'), 'below')
  files.delete('a/b/c')
  files.set('a', 'file again')
  t.equal(await text('a'), 'file again')
})

t.test('paths stay inside of the roots', async t => {
  const { client } = serving(t.testdir(), new Map())
  for (const path of ['../x', 'a/../../x', '', '..', 'a\0b'])
    await t.rejects(client.cacheFile(path, 'base'), /is no path below file_roots/, JSON.stringify(path))
  await t.rejects(client.cacheFile('x', '../..'), /is no path below file_roots/)
})

t.test('salt:// addresses name a path and may name an environment', async t => {
  t.same(parseSaltUrl('salt://a/b?saltenv=dev'), { path: 'a/b', saltenv: 'dev' })
  t.same(parseSaltUrl('salt:///a//b'), { path: 'a/b', saltenv: null })
  t.equal(parseSaltUrl('/a/b'), null)
  t.throws(() => parseSaltUrl('salt://../b'), /is no path below file_roots/)
})

t.test('masterless: the first of the roots that has a file gives it', async t => {
  const dir = t.testdir({ one: { a: 'from one', sub: { c: 'C' } }, two: { a: 'from two', b: 'B' } })
  const options = minionOptions({
    id: 'm',
    cachedir: dir,
    conf_dir: dir,
    file_client: 'local',
    file_roots: { base: [join(dir, 'one'), join(dir, 'two'), join(dir, 'nix')] }
  })
  const client = openFileClient(options, recordingMaster().master)
  t.match(await client.cacheFile('a', 'base'), { path: join(dir, 'one/a'), hash: hashOf('from one') })
  t.match(await client.cacheFile('b', 'base'), { path: join(dir, 'two/b') })
  t.equal(await client.cacheFile('nix', 'base'), null)
  t.equal(await client.cacheFile('a', 'dev'), null)
  t.same(await client.listFiles('base'), ['a', 'b', 'sub/c'])
  t.same(await client.listFiles('dev'), [])
  t.same(await client.listEnvironments(), ['base'])
})

t.test('masterless: links are followed, once, and told of', async t => {
  const dir = t.testdir({ base: { a: { f: 'F' }, empty: {} }, outside: { o: 'O' } })
  await symlink('../outside', join(dir, 'base', 'out'))
  await symlink('..', join(dir, 'base', 'a', 'up'))
  await symlink('nothing', join(dir, 'base', 'dangling'))
  const options = minionOptions({ id: 'm', cachedir: dir, conf_dir: dir, file_client: 'local', file_roots: { base: [join(dir, 'base')] } })
  const client = openFileClient(options, recordingMaster().master)
  t.same(await client.listFiles('base'), ['a/f', 'out/o'])
  t.same(await client.listTree('base'), { directories: ['a', 'a/up', 'empty', 'out'], links: { 'a/up': '..', out: '../outside' } })
})

import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { SlsFiles, SlsMissing } from '../../src/reactor/sources.js'

t.test('a reference is a path, a shell glob of paths, or a file below the file roots', async t => {
  const dir = t.testdir({
    one: { 'a.sls': 'a', 'b.sls': 'b', '.hidden.sls': 'h', 'c.txt': 'c', 'd.sls': {}, deep: { 'e.sls': 'e' } },
    roots: { first: { 'x.sls': 'first x' }, second: { 'x.sls': 'second x', sub: { 'y.sls': 'y' } } }
  })
  const files = new SlsFiles({ fileRoots: { base: [join(dir, 'roots/first'), join(dir, 'roots/second')] } })
  t.strictSame(
    await files.expand(`${dir}/one/*.sls`),
    [`${dir}/one/a.sls`, `${dir}/one/b.sls`],
    'sorted, no folders, none that begins with a dot'
  )
  t.strictSame(await files.expand(`${dir}/*/deep/?.sls`), [`${dir}/one/deep/e.sls`])
  t.strictSame(await files.expand(`${dir}/one/[!a].sls`), [`${dir}/one/b.sls`])
  t.strictSame(await files.expand(`${dir}/one/{a,b}.sls`), [`${dir}/one/{a,b}.sls`], 'braces are literal, as in Salt')
  t.strictSame(await files.expand(`${dir}/none/*.sls`), [`${dir}/none/*.sls`], 'what is missing is told when it is to be read')
  t.equal((await files.load(`${dir}/one/a.sls`)).text, 'a')
  t.equal((await files.load('salt://x.sls')).text, 'first x', 'the first root that has it')
  t.equal((await files.load('salt://sub/y.sls?saltenv=base')).text, 'y')
  t.strictSame(await files.expand('salt://*.sls'), ['salt://x.sls'], 'the files of all roots, each name once')
  t.strictSame(await files.expand('salt://s?b/*.sls'), ['salt://sub/y.sls'])
  t.strictSame(await files.expand('salt://../*/x.sls'), ['salt://../*/x.sls'], 'nothing outside of the roots')
})

t.test('what cannot be read is missing, with the reason', async t => {
  const dir = t.testdir({ 'big.sls': 'x'.repeat(1024 * 1024 + 1), folder: {} })
  const files = new SlsFiles({ fileRoots: { base: [dir] } })
  for (const [reference, reason] of [
    [`${dir}/none.sls`, /no such file/],
    [`${dir}/*.none`, /no such file/],
    [`${dir}/folder`, /no file/],
    [`${dir}/big.sls`, /larger/],
    ['salt://none.sls', /no file root/],
    ['relative.sls', /absolute/]
  ] as const) {
    await t.rejects(files.load(reference), SlsMissing, reference)
    await t.rejects(files.load(reference), { message: reason }, reference)
  }
})

t.test('a reference to the file server and an import never leave the file roots', async t => {
  const dir = t.testdir({ secret: 'secret', root: { 'ok.jinja': 'ok' } })
  symlinkSync(join(dir, 'root/ok.jinja'), join(dir, 'root/link.jinja'))
  const files = new SlsFiles({ fileRoots: { base: [join(dir, 'root')] } })
  for (const path of ['../secret', 'a/../../secret', '/../secret', `..${'/..'.repeat(20)}${dir}/secret`, '..', '.', '', 'ok.jinja\0']) {
    await t.rejects(files.load(`salt://${path}`), SlsMissing, path)
    t.equal(files.include(path), null, path)
  }
  t.equal(files.include('ok.jinja')?.text, 'ok')
  t.equal(files.include('salt://ok.jinja')?.text, 'ok')
  t.equal(files.include('/ok.jinja')?.text, 'ok')
  t.equal(files.include('link.jinja')?.text, 'ok')
})

t.test(
  'an import means a file below the file roots, then one below the reactor roots; with ./ and ../ one beside the importing file',
  async t => {
    const dir = t.testdir({
      secret: 'secret',
      base: { 'both.jinja': 'of base', 'base.jinja': 'base' },
      reactor: { 'both.jinja': 'of reactor', 'top.jinja': 'top', ci: { 'map.jinja': 'map', deep: { 'low.jinja': 'low' } } },
      alone: { 'beside.jinja': 'beside', 'x.sls': '' }
    })
    const at = (...parts: string[]) => join(dir, ...parts)
    symlinkSync(at('secret'), at('reactor/out.jinja'))
    symlinkSync(at('reactor/top.jinja'), at('reactor/in.jinja'))
    const files = new SlsFiles({ fileRoots: { base: [at('base')] }, reactorRoots: [at('reactor')] })
    const read = (name: string, from?: string) => files.include(name, from)?.text ?? null
    const rule = at('reactor/ci/deploy.sls')
    t.strictSame(
      ['both.jinja', 'salt://top.jinja', 'ci/map.jinja', 'map.jinja', 'in.jinja', 'out.jinja'].map(name => read(name, rule)),
      ['of base', 'top', 'map', null, 'top', null]
    )
    t.strictSame(
      ['./map.jinja', '../top.jinja', './deep/low.jinja', './none.jinja', '../out.jinja', '../../secret', '../../base/base.jinja'].map(
        name => read(name, rule)
      ),
      ['map', 'top', 'low', null, null, null, null]
    )
    t.strictSame(files.include('./deep/low.jinja', rule)?.file, at('reactor/ci/deep/low.jinja'), 'which is where its own imports come from')
    t.equal(read('../map.jinja', at('reactor/ci/deep/low.jinja')), 'map')
    t.strictSame(
      ['./beside.jinja', '../secret', './../secret', './../reactor/top.jinja'].map(name => read(name, at('alone/x.sls'))),
      ['beside', null, null, null],
      'a file of no root has what is below its own directory'
    )
  }
)

t.test('a changed file is read again at once', async t => {
  const dir = t.testdir({ 'a.sls': 'one' })
  const file = join(dir, 'a.sls')
  const files = new SlsFiles({ fileRoots: {} })
  t.equal((await files.load(file)).text, 'one')
  writeFileSync(file, 'longer')
  t.equal((await files.load(file)).text, 'longer')
  rmSync(file)
  await t.rejects(files.load(file), SlsMissing)
  mkdirSync(file)
  await t.rejects(files.load(file), SlsMissing)
})

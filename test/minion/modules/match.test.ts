import t from 'tap'
import { kw, minionTest } from '../../helpers/executor.js'

t.test('match: each kind of target, asked on the minion', async t => {
  const { value } = await minionTest(t, {
    grains: { role: 'web', deep: { er: 'x' } },
    options: { pillar: { tier: 'front' }, settings: { nodegroups: { fronts: 'I@tier:front' } } }
  })
  const cases: [string, string, boolean][] = [
    ['glob', 'web*', true],
    ['glob', 'db*', false],
    ['pcre', 'web\\d', true],
    ['list', 'a,web1', true],
    ['grain', 'role:w*', true],
    ['grain', 'deep:er:x', true],
    ['grain_pcre', 'role:^web$', true],
    ['pillar', 'tier:front', true],
    ['pillar_pcre', 'tier:b.*', false],
    ['nodegroup', 'fronts', true],
    ['compound', 'G@role:web and not L@db1', true],
    ['compound', 'G@role:db or db*', false]
  ]
  for (const [kind, target, meant] of cases) t.equal(await value(`match.${kind}`, target), meant, `${kind} ${target}`)
  t.equal(await value('match.glob', 'db*', kw({ minion_id: 'db7' })), true)
  t.equal(await value('match.grain', 'deep|er|x', kw({ delimiter: '|' })), true)
  t.equal(await value('match.filter_by', { 'db*': 'd', 'web*': 'w' }), 'w')
  t.same(await value('match.filter_by', { 'web*': { a: 1 } }, kw({ merge: { b: 2 } })), { a: 1, b: 2 })
  t.equal(await value('match.filter_by', { default: 'other' }), 'other')
  t.same(await value('match.search_by', { web: ['web*'], db: ['db*'], all: ['nix', 'web1'] }), ['web', 'all'])
  t.equal(await value('match.search_by', { db: ['db*'] }), null)
})

t.test('slsutil: rendering, merging, serialising, files of the server', async t => {
  const { value } = await minionTest(t, {
    files: { 'a.sls': '{% set x = 2 %}\nv: {{ x }} {{ y }}\n', 'd/e/f.txt': '', 'shared.jinja': '' }
  })
  t.same(await value('slsutil.renderer', 'salt://a.sls', kw({ y: 'why' })), { v: '2 why' })
  t.equal(await value('slsutil.renderer', kw({ string: '{{ 1 + 1 }}', default_renderer: 'jinja' })), '2')
  t.match(await value('slsutil.renderer'), /Must pass either path or string/)
  t.same(await value('slsutil.merge', { a: { b: 1 }, l: [1] }, { a: { c: 2 }, l: [2] }, kw({ merge_lists: true })), {
    a: { b: 1, c: 2 },
    l: [1, 2]
  })
  t.same(await value('slsutil.merge', { a: 1 }, { a: 2 }, kw({ strategy: 'list' })), { a: [1, 2] })
  t.same(await value('slsutil.merge_all', [{ a: 1 }, { b: 2 }, { a: 3 }]), { a: 3, b: 2 })
  t.equal(await value('slsutil.boolstr', 'yes'), 'true')
  t.equal(await value('slsutil.boolstr', false, kw({ false: 'off' })), 'off')
  t.equal(await value('slsutil.serialize', 'yaml', { a: [1] }), 'a:\n- 1')
  t.same(await value('slsutil.deserialize', 'json', '{"a": 1}'), { a: 1 })
  t.same(
    [await value('slsutil.file_exists', 'a.sls'), await value('slsutil.dir_exists', 'd/e'), await value('slsutil.path_exists', 'd')],
    [true, true, true]
  )
  t.equal(await value('slsutil.findup', 'd/e', 'shared.jinja'), 'shared.jinja')
  const banner = (await value('slsutil.banner', kw({ width: 40, title: 'Title', text: 'some words' }))) as string
  t.same(
    banner.split('\n').map(line => line.length),
    [40, 40, 40, 40, 40, 40, 0]
  )
  t.equal(banner.split('\n')[2], `#${' '.repeat(16)}Title${' '.repeat(17)}#`)
})

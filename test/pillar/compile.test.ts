import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { compilePillar, PillarCompiler, type PillarRequest, type PillarSettings } from '../../src/pillar/compile.js'

type Files = { [name: string]: string | Files }

const grains = { id: 'web1', os: 'Debian', os_family: 'Debian', role: 'web' }

async function compiled(test: Pick<typeof t, 'testdir'>, files: Files, ask: Partial<PillarRequest & PillarSettings> = {}) {
  const dir = test.testdir(files)
  const roots = Object.fromEntries(Object.keys(files).map(env => [env, [join(dir, env)]]))
  return compilePillar({ id: 'web1', grains, roots, ...ask })
}

const base = (files: Files) => ({ base: files })

t.test('the top file says which SLS files a minion has, and nobody else gets them', async t => {
  const files = base({
    'top.sls': "base:\n  '*':\n    - common\n  'web*':\n    - web\n  'role:db':\n    - match: grain\n    - db\n",
    'common.sls': 'a: 1\nwho: common\n',
    'web.sls': 'who: web\nport: 8080\n',
    'db.sls': 'secret: x\n'
  })
  t.strictSame((await compiled(t, files)).pillar, { a: 1, who: 'web', port: 8080 })
  t.strictSame((await compiled(t, files, { id: 'other', grains: { id: 'other' } })).pillar, { a: 1, who: 'common' })
  t.strictSame((await compiled(t, files, { id: 'd', grains: { id: 'd', role: 'db' } })).pillar, { a: 1, who: 'common', secret: 'x' })
})

t.test('files are rendered with grains, id, functions and the override, and import from the pillar roots', async t => {
  const files = base({
    'top.sls': "base: {'*': [app]}",
    'app.sls': [
      '{% from "lib/map.jinja" import port with context %}',
      '{% import_yaml "lib/users.yaml" as users %}',
      'id: {{ opts.id }}',
      'port: {{ port }}',
      "os: {{ salt['grains.get']('os') }}",
      "pkg: {{ salt['grains.filter_by']({'Debian': {'name': 'apache2'}, 'default': {'name': 'httpd'}}) | tojson }}",
      "given: {{ salt['pillar.get']('a:b', 'none') }}",
      'users: {{ users.names | join(",") }}',
      'sls: {{ sls }}'
    ].join('\n'),
    lib: { 'map.jinja': "{% set port = 80 if grains['role'] == 'web' else 81 %}", 'users.yaml': 'names: [ann, bob]\n' }
  })
  const { pillar, errors } = await compiled(t, files, { override: { a: { b: 'over' } } })
  t.strictSame(errors, [])
  t.strictSame(pillar, {
    ...{ id: 'web1', port: 80, os: 'Debian', pkg: { name: 'apache2' }, given: 'over', users: 'ann,bob', sls: 'app' },
    a: { b: 'over' }
  })
})

t.test(
  'includes come below what includes them; defaults and key are passed on; a relative name is beside its file; each file is once',
  async t => {
    const files = base({
      'top.sls': "base: {'*': [app]}",
      app: {
        'init.sls': 'include:\n  - .parts\n  - shared:\n      defaults: {color: red}\n      key: deep:er\n  - app\nname: app\nfrom: app\n',
        'parts.sls': 'name: parts\npart: yes\n'
      },
      'shared.sls': 'color: {{ color }}\n'
    })
    t.strictSame((await compiled(t, files)).pillar, { name: 'app', part: true, deep: { er: { color: 'red' } }, from: 'app' })
  }
)

t.test('merging: level by level; lists are replaced, or joined; list; overwrite', async t => {
  const files = base({
    'top.sls': "base: {'*': [one, two]}",
    'one.sls': 'a: {x: 1, l: [1, 2]}\nb: one\n',
    'two.sls': 'a: {y: 2, l: [2, 3]}\nb: two\n'
  })
  const merged = async (ask: Partial<PillarSettings>) => (await compiled(t, files, ask)).pillar
  t.strictSame(await merged({}), { a: { x: 1, l: [2, 3], y: 2 }, b: 'two' })
  t.strictSame(await merged({ mergeLists: true }), { a: { x: 1, l: [1, 2, 3], y: 2 }, b: 'two' })
  t.strictSame(await merged({ mergeStrategy: 'list' }), {
    a: [
      { x: 1, l: [1, 2] },
      { y: 2, l: [2, 3] }
    ],
    b: ['one', 'two']
  })
  t.strictSame(await merged({ mergeStrategy: 'overwrite' }), { a: { y: 2, l: [2, 3] }, b: 'two' })
})

t.test('environments: all of them, or the one of pillarenv; an order and globs in the top file', async t => {
  const files = {
    base: {
      'top.sls': "base:\n  'web1': [late, {order: 5}]\n  '*': ['app.*']\n",
      'late.sls': 'w: late',
      app: { 'a.sls': 'a: 1\nw: a', 'b.sls': 'b: 1' }
    },
    dev: { 'top.sls': "dev: {'*': [extra]}", 'extra.sls': 'dev: true' }
  }
  t.strictSame((await compiled(t, files)).pillar, { a: 1, w: 'late', b: 1, dev: true })
  t.strictSame((await compiled(t, files, { pillarenv: 'dev' })).pillar, { dev: true })
})

t.test('what is wrong is told in _errors, without the reason unless asked for, and the rest of the pillar stands', async t => {
  const files = base({
    'top.sls': "base: {'*': [good, absent, broken, listed, {ignore_missing: False}], 'w*': [gone, {ignore_missing: True}]}",
    'good.sls': 'a: 1',
    'broken.sls': 'x: {{ nothing.here }}',
    'listed.sls': '- 1'
  })
  const safe = await compiled(t, files)
  t.equal(safe.pillar.a, 1)
  t.strictSame(safe.pillar._errors, [
    "Specified SLS 'absent' in environment 'base' is not available on the salt master",
    "Rendering SLS 'broken' failed. Please see master log for details.",
    "SLS 'listed' does not render to a dictionary"
  ])
  t.match(safe.details[0], /broken\.sls/)
  const open = await compiled(t, files, { safeErrors: false })
  t.match(open.errors[1], /^Rendering SLS 'broken' failed, render error:\n.*nothing/s)
})

t.test('neither a name nor a link leads out of the roots', async t => {
  const dir = t.testdir({
    out: { 'secret.sls': 'secret: 1' },
    base: { 'top.sls': "base: {'*': ['..out.secret', link]}", 'ok.sls': 'a: 1' }
  })
  symlinkSync(join(dir, 'out/secret.sls'), join(dir, 'base/link.sls'))
  const { pillar, errors } = await compilePillar({ id: 'web1', grains, roots: { base: [join(dir, 'base')] } })
  t.notOk('secret' in pillar)
  t.equal(errors.length, 2)
})

t.test('a template that never ends is stopped and told', async t => {
  const files = base({ 'top.sls': "base: {'*': [loop]}", 'loop.sls': '{% for i in range(10**9) %}{{ i }}{% endfor %}' })
  t.strictSame((await compiled(t, files)).errors, ["Rendering SLS 'loop' failed. Please see master log for details."])
})

t.test('a key called __proto__ is data', async t => {
  const files = base({ 'top.sls': "base: {'*': [a, b]}", 'a.sls': '__proto__: {x: 1}', 'b.sls': '__proto__: {y: 2}' })
  const { pillar } = await compiled(t, files)
  t.strictSame(Object.entries(pillar), [['__proto__', { x: 1, y: 2 }]])
  t.notOk('x' in {})
})

t.test('what minions share between compilations is changed by none of them', async t => {
  const dir = t.testdir({
    'top.sls': "base:\n  '*': [shared]\n  'web*': [more]\n",
    'shared.sls': 'deep: {list: [1], map: {a: 1}}\n',
    'more.sls': 'deep: {list: [2], map: {b: {{ grains.id }}}}\n'
  })
  const compiler = new PillarCompiler({ roots: { base: [dir] }, mergeLists: true })
  const pillar = (id: string, override?: Record<string, unknown>) =>
    compiler.compile({ id, grains: { id }, ...(override ? { override } : {}) }).pillar
  const first = pillar('web1', { deep: { list: [3], map: { a: 'over' } } })
  t.strictSame(first, { deep: { list: [1, 2, 3], map: { a: 'over', b: 'web1' } } })
  t.strictSame(pillar('web2'), { deep: { list: [1, 2], map: { a: 1, b: 'web2' } } })
  t.strictSame(pillar('db1'), { deep: { list: [1], map: { a: 1 } } })
  writeFileSync(join(dir, 'shared.sls'), 'deep: {list: [9]}\n')
  t.strictSame(pillar('db1'), { deep: { list: [9] } }, 'and a changed file counts at once')
})

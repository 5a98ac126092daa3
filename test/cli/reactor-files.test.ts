import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { reactorServer } from '../helpers/reactor-server.js'
import { startBrine } from '../helpers/server.js'
import { tempFolder } from '../helpers/store.js'
import { brine } from '../helpers/terminal.js'

const SLS = 'say:\n  local.test.echo:\n    - tgt: web1\n    - arg: [hello]\n'
const RULES =
  "rules:\n  - id: say\n    tag: 'myco/*'\n    sls: [ci/say.sls]\n    owner: web\n  - id: all\n    tag: 'other/*'\n    sls: ['ci/*.sls', /srv/x.sls]\n"

t.test('validate says file, line and column of each mistake, without a server, and fails', async t => {
  const dir = t.testdir({
    'good.yaml': RULES,
    ci: { 'say.sls': SLS },
    'broken.sls': 'a:\n  local.test.ping:\n    - tgt: {{ data.id\n',
    'typo.sls': "a:\n  local.test.ping:\n    - tgt: {{ data.id }}\n    - arg: ['x'\n",
    'no-function.sls': 'a:\n  runner.no.such: []\n',
    'rules.yml':
      "rules:\n  - id: a\n    tag: 'a'\n    sls: [gone.sls]\n  - id: b b\n    tag: 'a'\n    sls: [/x.sls]\n  - id: c\n    tag: 'a'\n    sls: [/x.sls]\n    colour: red\n  - id: d\n    tag: 'a'\n    sls: [/x.sls]\n    match: regex\n  - tag: 'a'\n    sls: [/x.sls]\n  - id: e\n    tag: 'a'\n    sls: [../x.sls]\n  - id: say\n    tag: 'a'\n    sls: [/x.sls]\n  - id: g\n    tag: 'a'\n    sls: [/x.sls]\n    when: 'data.x >'\n",
    'master.conf': "reactor:\n  - 'a/*': [/srv/a.sls]\n  - [odd]\n",
    'yaml.conf': 'reactor: [\n',
    'other.yaml': 'not: rules\n'
  })
  const { code, out } = await brine(['reactor', 'validate', '.'], { cwd: dir })
  t.equal(code, 1)
  for (const line of [
    /^broken\.sls:\d+:\d+: /m,
    /^typo\.sls:[45]:\d+: /m,
    /^no-function\.sls: .*no\.such/m,
    /^rules\.yml:4:\d+: 'gone\.sls' does not exist$/m,
    /^rules\.yml:5:\d+: field 'id': /m,
    /^rules\.yml:11:\d+: field 'colour' is not known$/m,
    /^rules\.yml:15:\d+: field 'match' /m,
    /^rules\.yml:16:\d+: field 'id' is missing$/m,
    /^rules\.yml:20:\d+: .*leaves the directory/m,
    /^rules\.yml:21:\d+: rule 'say' is also in good\.yaml, line 2$/m,
    /^rules\.yml:27:\d+: .*when/m,
    /^master\.conf:3:\d+: /m,
    /^yaml\.conf:\d+:\d+: /m
  ])
    t.match(out, line)
  t.equal(out.trimEnd().split('\n').length, 13, out)
  t.notMatch(out, /other\.yaml|good\.yaml:\d+:\d+: /)
})

t.test('validate is content with what is right; what is not there, or has no rules, is a mistake', async t => {
  const dir = t.testdir({
    'rules.yaml': RULES,
    ci: { 'say.sls': SLS },
    'master.conf': "reactor:\n  - 'a/*': {sls: [ci/say.sls], when: 'data.x'}\n",
    'x.yaml': 'a: b\n'
  })
  t.match(await brine(['reactor', 'validate', '.'], { cwd: dir }), { code: 0, out: '3 files are right, 2 rules\n' })
  t.match(await brine(['reactor', 'validate', 'rules.yaml', 'gone.yaml'], { cwd: dir }), { code: 1, out: 'gone.yaml: does not exist\n' })
  t.match(await brine(['reactor', 'validate', 'x.yaml'], { cwd: dir }), { code: 1, out: /^x\.yaml:1:1: / })
  const warned = t.testdir({ 'w.sls': "x:\n  local.cmd.run:\n    - tgt: a\n    - arg: ['echo {{ data.x }}']\n" })
  t.match(await brine(['reactor', 'validate', 'w.sls'], { cwd: warned }), { code: 0, err: /^w\.sls:4:\d+: warning: .*quote/ })
})

t.test('apply puts files and rules on a server; again it does nothing; diff tells, prune removes, and dry runs change nothing', async t => {
  const root = join(await tempFolder(t), 'reactor')
  const { ask, http, bench } = await reactorServer(t, { reactor: [{ 'conf/*': '/c.sls' }], settings: { reactor_roots: [root] } })
  const env = { BRINE_URL: await http.listen(), BRINE_TOKEN: http.token }
  const dir = t.testdir({ 'rules.yaml': RULES, ci: { 'say.sls': SLS } })
  const run = (...args: string[]) => brine(['reactor', ...args], { cwd: dir, env })
  const head = () => bench.store.events.head()

  const before = await head()
  const dry = await run('apply', '.', '--dry-run')
  t.strictSame([dry.code, dry.out], [0, 'would create file ci/say.sls\nwould create rule say\nwould create rule all\n'])
  t.match(await run('diff', '.'), { code: 1, out: /create rule say\n--- server\n\+\+\+ here\n/ })
  t.equal(await head(), before, 'nothing was done')
  const first = await run('apply', '.')
  t.strictSame([first.code, first.out, first.err], [0, 'create file ci/say.sls\ncreate rule say\ncreate rule all\n', ''])
  t.equal(readFileSync(join(root, 'ci/say.sls'), 'utf8'), SLS)
  t.match((await ask('GET', '/reactor/rules/say')).body, { tag: 'myco/*', owner: 'web', sls: [join(root, 'ci/say.sls')] })
  t.match((await ask('GET', '/reactor/rules/all')).body, { sls: [join(root, 'ci/*.sls'), '/srv/x.sls'] })
  const applied = await head()
  t.match(await run('apply', '.'), { code: 0, out: 'nothing to do\n' })
  t.match(await run('diff', '.', '--prune'), { code: 0, out: '' })
  t.equal(await head(), applied)

  writeFileSync(join(dir, 'rules.yaml'), RULES.replace("'myco/*'", "'yourco/*'"))
  await ask('POST', '/reactor/rules', { id: 'byhand', tag: 'x', sls: ['/x.sls'], owner: 'db' })
  const changed = await run('diff', '.')
  t.match(changed, { code: 1, out: /^change rule say\n.*\n-tag: myco\/\*\n\+tag: yourco\/\*\n/s })
  t.notMatch(changed.out, 'byhand')
  t.match(await run('apply', '.', '--prune', '--owner', 'web'), { code: 0, out: 'change rule say\n' })
  t.match(await ask('GET', '/reactor/rules/byhand'), { status: 200 })
  t.match(await run('apply', '.', '--prune'), { code: 0, out: 'remove rule byhand\n' })
  const { rules } = (await ask('GET', '/reactor/rules')).body as { rules: { id: string }[] }
  t.match(
    rules.map(({ id }) => id),
    [/^config-/, 'all', 'say']
  )

  t.match(await run('show', 'say'), { code: 0, out: /^tag: yourco/m })
  t.match(await run('show', 'say', '--versions'), { code: 0, out: /^VERSION .*\n2 .*admin\n1 .*admin\n$/ })
  t.match(await run('show', 'say', '--diff'), { code: 0, out: /\+tag: yourco/ })
  t.match(await run('show', 'none'), { code: 4 })
})

t.test('apply refuses files with mistakes, and a server that has no place for SLS files', async t => {
  const { http, bench } = await reactorServer(t)
  const env = { BRINE_URL: await http.listen(), BRINE_TOKEN: http.token }
  const dir = t.testdir({ 'rules.yaml': RULES, ci: { 'say.sls': SLS }, bad: { 'rules.yaml': 'rules: [{id: a}]\n' } })
  t.match(await brine(['reactor', 'apply', 'bad'], { cwd: dir, env }), { code: 2, out: /^bad\/rules\.yaml:1:\d+: / })
  t.match(await brine(['reactor', 'apply', 'rules.yaml'], { cwd: dir, env }), { code: 4, err: /reactor_roots/ })
  t.match(await brine(['reactor', 'apply', 'ci'], { cwd: dir, env }), { code: 2, err: /no rules/ })
  t.equal(await bench.store.events.head(), 0)
})

t.test('validate looks at the SLS files that a configuration names, as far as they are here', async t => {
  const dir = t.testdir({
    'a.conf': "reactor:\n  - 'a/*':\n      - gone.sls\n      - /no/such/dir/x.sls\n      - salt://there.sls\n  - 'b/*': bad/bad.sls\n",
    bad: { 'bad.sls': 'a: [\n' },
    'list.conf': "- 'a/*': [bad/bad.sls]\n- 'b/*': {sls: [bad/bad.sls], when: 'data.'}\n"
  })
  const { code, out, err } = await brine(['reactor', 'validate', 'a.conf'], { cwd: dir })
  t.equal(code, 1)
  t.match(out, /^a\.conf:2:5: 'gone\.sls' does not exist\nbad\/bad\.sls:\d+:\d+: .*\n$/)
  t.match(err, /^a\.conf:2:5: warning: '\/no\/such\/dir\/x\.sls' does not exist here\n$/)
  const list = await brine(['reactor', 'validate', 'list.conf'], { cwd: dir })
  t.match(list, { code: 1, out: /^list\.conf:2:3: .*when/m })
})

/** An SLS with these lines before its one call. */
const importing = (...lines: string[]) => `${lines.join('\n')}\n${SLS}`

t.test('validate follows what SLS files import: a mistake there, and a file that is not there, are told with their place', async t => {
  const dir = t.testdir({
    'rules.yaml': "rules:\n  - id: a\n    tag: 'a'\n    sls: [ci/a.sls]\n",
    ci: {
      'a.sls': importing(
        "{% import './map.jinja' as m %}",
        "{% from 'lib/top.jinja' import x %}",
        "{% import './gone.jinja' as g %}",
        "{% include '../../outside.jinja' %}",
        "{% include 'gone.jinja' ignore missing %}",
        "{% import_yaml ['nowhere.yaml', './values.yaml'] as v %}",
        "{% import './link.jinja' as l %}",
        "{% import 'map.jinja' as other %}"
      ),
      'map.jinja': "{% import './deeper.jinja' as d %}",
      'deeper.jinja': "\n{% set x = 1 | nosuchfilter %}{% include './map.jinja' %}",
      'values.yaml': 'a: [\n'
    },
    lib: { 'top.jinja': '{% set x = %}' }
  })
  symlinkSync('/etc/hostname', join(dir, 'ci/link.jinja'))
  const { code, out, err } = await brine(['reactor', 'validate', '.'], { cwd: dir })
  t.equal(code, 1)
  for (const line of [
    /^ci\/deeper\.jinja:2:\d+: .*nosuchfilter/m,
    /^lib\/top\.jinja:1:\d+: /m,
    /^ci\/a\.sls:3:1: imports '\.\/gone\.jinja', which is not beside it$/m,
    /^ci\/a\.sls:4:1: imports '\.\.\/\.\.\/outside\.jinja', which leaves the directory of the rules$/m,
    /^ci\/values\.yaml:\d+:\d+: /m,
    /^ci\/a\.sls:7:1: imports '\.\/link\.jinja', .*a link leads out/m
  ])
    t.match(out, line)
  t.equal(out.trimEnd().split('\n').length, 6, out)
  t.match(
    err,
    /^ci\/a\.sls:8:1: warning: imports 'map\.jinja', which is not here: the server must have it in file_roots or reactor_roots\n$/
  )
  const alone = await brine(['reactor', 'validate', 'a.sls'], { cwd: join(dir, 'ci') })
  t.match(alone, { code: 1, out: /^a\.sls:3:1: imports '\.\/gone\.jinja'/m })
})

t.test('apply brings along what SLS files import, and they find it there; diff shows it; again there is nothing to do', async t => {
  const root = join(await tempFolder(t), 'reactor')
  const { ask, http, bench } = await reactorServer(t, { settings: { reactor_roots: [root] } })
  const env = { BRINE_URL: await http.listen(), BRINE_TOKEN: http.token }
  const dir = t.testdir({
    'rules.yaml': "rules:\n  - id: a\n    tag: 'a/*'\n    sls: [ci/a.sls]\n",
    ci: {
      'a.sls':
        "{% from './map.jinja' import word %}{% import_yaml 'values.yaml' as v %}{% import_json './more.json' as more %}\nsay:\n  local.test.arg:\n    - tgt: web1\n    - arg: [{{ word }}, {{ v.n }}, {{ more.m }}]\n",
      'map.jinja': "{% from '../word.jinja' import word %}",
      'more.json': '{\n\t"m": 2\n}\n',
      'unused.jinja': ''
    },
    'word.jinja': "{% set word = 'hello' %}",
    'values.yaml': 'n: 1\n'
  })
  const run = (...args: string[]) => brine(['reactor', ...args], { cwd: dir, env })
  const files = ['word.jinja', 'ci/map.jinja', 'values.yaml', 'ci/more.json', 'ci/a.sls']
  const applied = await run('apply', '.')
  t.strictSame(
    [applied.code, applied.err, applied.out],
    [0, '', [...files.map(file => `create file ${file}\n`), 'create rule a\n'].join('')]
  )
  await bench.fire('a/1', {})
  const [reaction] = await bench.reactions(found => found.length === 1)
  t.match(reaction, { call: { arg: ['hello', 1, 2] } })
  t.match(await run('apply', '.'), { code: 0, out: 'nothing to do\n' })
  writeFileSync(join(dir, 'word.jinja'), "{% set word = 'bye' %}")
  t.match(await run('diff', '.'), { code: 1, out: /^change file word\.jinja\n.*-\{% set word = 'hello' %\}/s })
  t.match(await run('apply', '.'), { code: 0, out: 'change file word.jinja\n' })
  await bench.fire('a/2', {})
  t.match((await bench.reactions(found => found.length === 2))[1], { call: { arg: ['bye', 1, 2] } })
  t.match(await ask('GET', '/reactor/sls/ci/unused.jinja'), { status: 404 })
})

t.test('an import that is neither here nor on the server stops apply before anything is done; both kinds of roots count', async t => {
  const base = await tempFolder(t)
  writeFileSync(join(base, 'brine.yaml'), `reactor_roots: [${join(base, 'reactor')}]\nfile_roots: {base: [${join(base, 'salt')}]}\n`)
  const server = await startBrine(t, { args: ['--no-minion', '-c', join(base, 'brine.yaml')] })
  const env = { BRINE_URL: server.url, BRINE_TOKEN: server.token }
  const dir = t.testdir({
    'rules.yaml': "rules:\n  - id: a\n    tag: 'a/*'\n    sls: [a.sls]\n",
    'a.sls': importing("{% import 'shared/map.jinja' as m %}", "{% import 'salt://there.jinja' as n %}")
  })
  const run = (...args: string[]) => brine(['reactor', ...args], { cwd: dir, env })
  const refused = await run('apply', '.')
  t.equal(refused.code, 2, refused.err)
  t.match(
    refused.out,
    /^a\.sls:1:1: imports 'shared\/map\.jinja', which is not here, nor on the server, in file_roots or reactor_roots\na\.sls:2:1: /
  )
  t.match(await run('diff', '.'), { code: 2 })
  t.same(await (await server.fetch('/reactor/rules')).json(), { rules: [] }, 'nothing was done')
  mkdirSync(join(base, 'salt/shared'), { recursive: true })
  mkdirSync(join(base, 'reactor'))
  writeFileSync(join(base, 'salt/shared/map.jinja'), '')
  writeFileSync(join(base, 'reactor/there.jinja'), '')
  t.match(await run('apply', '.'), { code: 0, out: 'create file a.sls\ncreate rule a\n', err: '' })
})

import t, { type Test } from 'tap'
import { kw, minionTest } from '../../helpers/executor.js'

type Low = Record<string, unknown>
type Files = Record<string, string>

async function low(t: Test, files: Files, mods: unknown = 'x', args: Record<string, unknown> = {}): Promise<Low[]> {
  const minion = await minionTest(t, { files })
  return (await minion.value('state.show_low_sls', mods, kw(args))) as Low[]
}

const ids = (chunks: Low[]): unknown[] => chunks.map(chunk => chunk.__id__)

t.test('high data has the form that Salt shows', async t => {
  const sls =
    'hello:\n  test.succeed_without_changes:\n    - name: greeting\nchanged:\n  test:\n    - succeed_with_changes\n    - name: did_change\nshort: test.nop\n'
  const minion = await minionTest(t, { files: { 'tiny.sls': sls } })
  t.equal(
    JSON.stringify(await minion.value('state.show_sls', 'tiny')),
    JSON.stringify({
      hello: { test: [{ name: 'greeting' }, 'succeed_without_changes', { order: 10000 }], __sls__: 'tiny', __env__: 'base' },
      changed: { test: ['succeed_with_changes', { name: 'did_change' }, { order: 10001 }], __sls__: 'tiny', __env__: 'base' },
      short: { test: ['nop', { order: 10002 }], __sls__: 'tiny', __env__: 'base' }
    })
  )
})

t.test('low data: one chunk per state, with the keys and their order that events show', async t => {
  const [chunk] = await low(t, { 'x.sls': 'fires_default:\n  test.succeed_with_changes:\n    - fire_event: True\n' })
  t.equal(
    JSON.stringify(chunk),
    '{"state":"test","name":"fires_default","__sls__":"x","__env__":"base","__id__":"fires_default","fire_event":true,"order":10000,"fun":"succeed_with_changes"}'
  )
})

t.test('order: included files first, then as written; numbers, first and last as asked', async t => {
  const files = {
    'x.sls':
      'include: [a.b, dir]\nz:\n  test.nop\ny:\n  test.nop\nlast:\n  test.nop:\n    - order: last\nfirst:\n  test.nop:\n    - order: first\none:\n  test.nop:\n    - order: 1\nminus:\n  test.nop:\n    - order: -1\n',
    'a/b.sls': 'ab:\n  test.nop\n',
    'dir/init.sls': 'include: [.more, a.b]\nd:\n  test.nop\n',
    'dir/more.sls': 'm:\n  test.nop\n'
  }
  t.same(ids(await low(t, files)), ['first', 'one', 'ab', 'm', 'd', 'z', 'y', 'minus', 'last'])
})

t.test('ids that look like numbers keep their place', async t => {
  t.same(ids(await low(t, { 'x.sls': 'b:\n  test.nop\n"10":\n  test.nop\n"9":\n  test.nop\na:\n  test.nop\n' })), ['b', '10', '9', 'a'])
})

t.test('include: relative names, environments, globs, each file once; what is not there is an error', async t => {
  const files = {
    'x/init.sls': 'include:\n  - .one\n  - base: y\n  - z.*\n  - x.one\nx:\n  test.nop\n',
    'x/one.sls': 'include: [..y]\none:\n  test.nop\n',
    'y.sls': 'y:\n  test.nop\n',
    'z/a.sls': 'za:\n  test.nop\n',
    'z/b.sls': 'zb:\n  test.nop\n'
  }
  t.same(ids(await low(t, files)), ['y', 'one', 'za', 'zb', 'x'])
  const minion = await minionTest(t, { files: { 'x.sls': 'include: [nix]\n' } })
  t.match(await minion.run('state.apply', 'x'), {
    retcode: 1,
    return: ['Unknown include: Specified SLS base: nix is not available on the salt master in saltenv(s): base ']
  })
})

t.test('files that include each other are no endless loop', async t => {
  t.same(ids(await low(t, { 'x.sls': 'include: [y]\nx:\n  test.nop\n', 'y.sls': 'include: [x]\ny:\n  test.nop\n' })), ['y', 'x'])
})

t.test('the same id in two files is an error that names both', async t => {
  const minion = await minionTest(t, { files: { 'x.sls': 'a:\n  test.nop\n', 'y.sls': 'a:\n  test.nop\n' } })
  t.match(await minion.run('state.apply', 'x,y'), {
    retcode: 1,
    return: [/^Detected conflicting IDs[\s\S]*'a' and is found in SLS 'base:x' and SLS 'base:y'$/]
  })
})

t.test('mods: a text with commas, a list, a glob', async t => {
  const files = { 'a.sls': 'a:\n  test.nop\n', 'b.sls': 'b:\n  test.nop\n' }
  for (const mods of ['a,b', 'a, b', ['a', 'b'], '[ab]']) t.same(ids(await low(t, files, mods)), ['a', 'b'], JSON.stringify(mods))
})

t.test('extend: functions and arguments are replaced, requisites add up', async t => {
  const files = {
    'base_file.sls':
      'web:\n  test.configurable_test_state:\n    - comment: old\n    - result: True\n    - require: [{test: other}]\nother:\n  test.nop\nthird:\n  test.nop\n',
    'x.sls':
      'include: [base_file]\nextend:\n  web:\n    test:\n      - comment: new\n      - changes: False\n      - require: [{test: third}]\n'
  }
  const web = (await low(t, files)).find(chunk => chunk.__id__ === 'web')!
  t.match(web, { comment: 'new', changes: false, result: true, require: [{ test: 'other' }, { test: 'third' }], __sls__: 'base_file' })
})

t.test('extend of what is not there is an error', async t => {
  const minion = await minionTest(t, { files: { 'x.sls': 'extend:\n  nix:\n    test:\n      - comment: new\n' } })
  t.match(await minion.run('state.apply', 'x'), {
    retcode: 1,
    return: [/^Cannot extend ID 'nix' in 'base:x'\. It is not part of the high state\./]
  })
})

t.test('exclude drops ids and files, from the file and from the call', async t => {
  const files = {
    'x.sls': 'include: [y]\nexclude:\n  - id: b\n  - sls: "y"\na:\n  test.nop\nb:\n  test.nop\n',
    'y.sls': 'c:\n  test.nop\n'
  }
  t.same(ids(await low(t, files)), ['a'])
  const minion = await minionTest(t, { files })
  t.same(Object.keys((await minion.value('state.apply', 'y', kw({ exclude: [{ id: 'c' }] }))) as object), [])
})

t.test('names: one chunk each, with their own arguments', async t => {
  const chunks = await low(t, {
    'x.sls': 'many:\n  test.configurable_test_state:\n    - names:\n      - b\n      - a: [{comment: of a}]\n    - comment: of all\n'
  })
  t.same(
    chunks.map(({ name, comment, __id__ }) => ({ name, comment, __id__ })),
    [
      { name: 'b', comment: 'of all', __id__: 'many' },
      { name: 'a', comment: 'of a', __id__: 'many' }
    ]
  )
})

t.test('several arguments may stand in one item of the list, as in Salt', async t => {
  const [chunk] = await low(t, { 'x.sls': 'a:\n  test.configurable_test_state:\n    - name: x\n      comment: y\n' })
  t.match(chunk, { name: 'x', comment: 'y', __id__: 'a' })
})

t.test('a name that stands twice in names is one state', async t => {
  const chunks = await low(t, { 'x.sls': 'a:\n  test.nop:\n    - names: [b, c, b]\n' })
  t.same(
    chunks.map(({ name }) => name),
    ['b', 'c']
  )
})

t.test('what is wrong with a file is said in the words of Salt, all at once', async t => {
  const wrong: [string, RegExp][] = [
    ['a:\n  test.nop:\n', /contains a short declaration \(test\.nop\) with a trailing colon/],
    ['a:\n  test:\n    - name: x\n', /^No function declared in state 'test' in SLS 'x'$/],
    ['a:\n  test:\n    - nop\n    - succeed_with_changes\n', /^Too many functions declared in state 'test' in SLS 'x'$/],
    ['a:\n  test.nop:\n    - require: {test: b}\n', /^The require statement in state 'a' in SLS 'x' needs to be formed as a list$/],
    ['a:\n  test.nop:\n    - require: [{test: b, file: c}]\n', /is not formed as a single key dictionary$/],
    ['a:\n  test.nop:\n    - require: [{test.nop: b}]\n', /^Invalid requisite type 'test\.nop'.* did you mean 'test'\?$/],
    ['a:\n  test.nop:\n    - require: [b]\n      name: y\n', /^Multiple dictionaries defined in argument of state 'a' in SLS 'x'$/],
    ['a:\n  test.nop:\n    - require: [{test: [b]}]\n', /^Illegal requisite "\['b'\]", please check your syntax\.\n$/],
    ['a:\n  test.nop:\n    - require: [1]\n', /^Requisite declaration 1 in SLS x is not formed as a single key dictionary$/],
    ['extend:\n  a: [1]\n', /^Extension name 'a' in SLS 'x' is not a dictionary$/],
    ['a:\n  test:\n    - name x\n    - nop\n', /has whitespace/],
    ['a: [1]\n', /^ID a in SLS x is not a dictionary$/],
    ['a:\n  file.managed: []\n  file.absent: []\n', /contains multiple state declarations of the same type$/],
    ['yes:\n  test.nop\n', /^ID 'True' in SLS 'x' is not formed as a string, but is a bool\. It may need to be quoted\.$/],
    ['10:\n  test.nop\n', /^ID '10' in SLS 'x' is not formed as a string, but is a int\./],
    ['- a\n', /^SLS x does not render to a dictionary$/],
    ['include: y\n', /^Include Declaration in SLS x is not formed as a list$/],
    ['a:\n  test.nop\na:\n  test.nop\n', /^Rendering SLS 'base:x' failed: /],
    [
      'a:\n  test.nop:\n    - name: {{ nosuch.x }}\n',
      /^Rendering SLS 'base:x' failed: Jinja variable 'nosuch' is undefined; line 3\n\n---\na:\n {2}test\.nop:\n {4}- name: \{\{ nosuch\.x \}\} {4}<======================\n---$/
    ],
    ['{% if %}\n', /^Rendering SLS 'base:x' failed: Jinja syntax error: .*; line 1\n/],
    ['a: b: c\n', /^Rendering SLS 'base:x' failed: mapping values are not allowed here; line 1\n/],
    ['a:\n\ttest.nop: []\n', /^Rendering SLS 'base:x' failed: Illegal tab character; line 2\n/],
    ['#!py\nx\n', /^Rendering SLS 'base:x' failed: the renderer 'py' is not available$/]
  ]
  for (const [sls, message] of wrong) {
    const minion = await minionTest(t, { files: { 'x.sls': sls } })
    const outcome = await minion.run('state.apply', 'x')
    t.equal(outcome.retcode, 1, sls)
    t.match(outcome.return, [message], sls)
  }
  const minion = await minionTest(t)
  t.same((await minion.run('state.apply', 'nix')).return, ["No matching sls found for 'nix' in env 'base'"])
})

t.test('highstate: the top file decides by target, environment and match type', async t => {
  const files = {
    'top.sls':
      'base:\n  "*":\n    - a\n  "db*":\n    - b\n  "G@role:web and not db*":\n    - c\n  "role:web":\n    - match: grain\n    - d\n  web1,db1:\n    - match: list\n    - a\n    - e\n',
    ...Object.fromEntries(['a', 'b', 'c', 'd', 'e'].map(name => [`${name}.sls`, `${name}:\n  test.nop\n`]))
  }
  const minion = await minionTest(t, { files, grains: { role: 'web' } })
  t.same(await minion.value('state.show_top'), { base: ['a', 'c', 'd', 'e'] })
  t.same(await minion.value('state.show_states'), ['a', 'c', 'd', 'e'])
  t.same(ids((await minion.value('state.show_lowstate')) as Low[]), ['a', 'c', 'd', 'e'])
  t.equal(Object.keys((await minion.value('state.highstate')) as object).length, 4)
  t.same(await (await minionTest(t)).value('state.show_top'), {})
})

t.test('templates see grains, pillar, functions, other templates and the place of the file', async t => {
  const files = {
    'd/x.sls':
      "{% from 'd/map.jinja' import port with context %}\n{% import_yaml './defaults.yaml' as defaults %}\nid:\n  test.configurable_test_state:\n    - name: '{{ grains.id }} {{ pillar.get(\"who\") }} {{ port }} {{ defaults.a }} {{ sls }} {{ slspath }} {{ tplfile }} {{ saltenv }}'\n    - comment: \"{{ salt['cmd.run']('echo one') }} {{ salt['pillar.get']('a:b', 'none') }} {{ salt['cmd.run']('echo two') }}\"\n",
    'd/map.jinja': "{% set port = salt['config.get']('port', 80) %}",
    'd/defaults.yaml': 'a: 5\n'
  }
  const [chunk] = await low(t, files, 'd.x', { pillar: { who: 'me', a: { b: 'deep' } } })
  t.equal(chunk?.name, 'web1 me 80 5 d.x d d/x.sls base')
  t.equal(chunk?.comment, 'one deep two')
})

t.test('a function in a template runs once, though the template is rendered again for those that come after it', async t => {
  const minion = await minionTest(t)
  const file = `${minion.dir}/calls`
  const call = (word: string): string => `{% do salt['cmd.run']('echo ${word} >> ${file}', python_shell=True) %}`
  await minion.write('roots/x.sls', `${call('a')}${call('b')}${call('c')}\nid:\n  test.nop\n`)
  t.match(await minion.run('state.apply', 'x'), { retcode: 0 })
  t.equal(await minion.read('calls'), 'a\nb\nc\n')
})

t.test('a function that fails in a template is an error of the file', async t => {
  const minion = await minionTest(t, { files: { 'x.sls': "{{ salt['cmd.run']('true', cwd='/no/such') }}\n" } })
  t.match((await minion.run('state.apply', 'x')).return, [/^Rendering SLS 'base:x' failed: .*cmd\.run: Specified cwd/])
})

t.test('single, sls_id, high and low run what they are given', async t => {
  const minion = await minionTest(t, { files: { 'x.sls': 'a:\n  test.nop\nb:\n  test.nop\n' } })
  t.match(await minion.value('state.single', 'test.succeed_with_changes', kw({ name: 'x' })), {
    'test_|-x_|-x_|-succeed_with_changes': { name: 'x', result: true, __sls__: null, __run_num__: 0, __id__: 'x' }
  })
  t.match(await minion.run('state.single', 'nodot', 'x'), { return: 'Invalid function passed', retcode: 1 })
  t.same(Object.keys((await minion.value('state.sls_id', 'b', 'x')) as object), ['test_|-b_|-b_|-nop'])
  t.same(Object.keys((await minion.value('state.high', { vim: { test: ['nop'] } })) as object), ['test_|-vim_|-vim_|-nop'])
  t.match(await minion.value('state.low', { state: 'test', fun: 'nop', name: 'l' }), { name: 'l', result: true })
  t.equal(await minion.value('state.sls_exists', 'x'), true)
  t.equal(await minion.value('state.sls_exists', 'nix'), false)
  t.equal(await minion.value('state.id_exists', 'a,b', 'x'), true)
  t.equal(await minion.value('state.id_exists', 'a,nix', 'x'), false)
})

t.test("pillar of the call lies over the minion's, and is checked", async t => {
  const minion = await minionTest(t, {
    files: { 'x.sls': 'id:\n  test.nop:\n    - name: {{ pillar.a.b }}-{{ pillar.a.c }}\n' },
    options: { pillar: { a: { b: 1, c: 2 } } }
  })
  t.same(Object.keys((await minion.value('state.apply', 'x', kw({ pillar: { a: { c: 3 } } }))) as object), ['test_|-id_|-1-3_|-nop'])
  t.match(await minion.run('state.apply', 'x', kw({ pillar: 'text' })), {
    retcode: 1,
    return: /Pillar data must be formatted as a dictionary/
  })
})

t.test('state.test predicts, template and template_str run what is not on the server', async t => {
  const minion = await minionTest(t, { files: { 'x.sls': 'a:\n  test.succeed_with_changes\n', 'y.sls': 'c:\n  test.nop\n' } })
  t.match(Object.values((await minion.value('state.test', 'x')) as object), [{ result: null }])
  const file = await minion.write('local.sls', 'include: [y]\nb:\n  test.nop:\n    - name: {{ grains.id }}\n')
  t.same(Object.keys((await minion.value('state.template', file)) as object), ['test_|-c_|-c_|-nop', 'test_|-b_|-web1_|-nop'])
  t.same(Object.keys((await minion.value('state.template_str', 'd: test.nop')) as object), ['test_|-d_|-d_|-nop'])
  t.match(await minion.run('state.template_str', '- x'), { retcode: 1, return: ['SLS template_str does not render to a dictionary'] })
})

t.test('a requested state run is predicted, kept, looked at, and runs once', async t => {
  const minion = await minionTest(t)
  const file = `${minion.dir}/made`
  await minion.write('roots/x.sls', `${file}:\n  file.managed:\n    - contents: {{ pillar.get('word') }}\n`)
  t.match(Object.values((await minion.value('state.request', 'x', kw({ pillar: { word: 'hi' } }))) as object), [{ result: null }])
  t.match(await minion.value('state.check_request'), { default: { mods: 'x', kwargs: { pillar: { word: 'hi' } } } })
  t.match(Object.values((await minion.value('state.run_request')) as object), [{ result: true, changes: { diff: 'New file' } }])
  t.equal(await minion.read('made'), 'hi\n')
  t.same(await minion.value('state.run_request'), {})
  t.same(await minion.value('state.check_request'), {})
  await minion.value('state.request', 'x')
  t.equal(await minion.value('state.clear_request', 'nix'), false)
  t.equal(await minion.value('state.clear_request'), true)
  t.same(await minion.value('state.check_request'), {})
})

t.test('disabled states are refused until they are enabled again', async t => {
  const minion = await minionTest(t, { files: { 'x.sls': 'a:\n  test.nop\n' } })
  t.same(await minion.value('state.disable', 'x,highstate'), { msg: 'Info: x state disabled.\nInfo: highstate state disabled.', res: true })
  t.same(await minion.value('state.list_disabled'), ['x', 'highstate'])
  t.match(await minion.run('state.apply', 'x'), {
    retcode: 1,
    return: ['The state file "x" is currently disabled by "x", to re-enable, run state.enable x.']
  })
  t.same(await minion.value('state.enable', 'x'), { msg: 'Info: x state enabled.', res: true })
  t.match(await minion.run('state.apply', 'x'), { retcode: 0 })
})

t.test('a pillar that the server could not compile stops a run, unless it is forced', async t => {
  const minion = await minionTest(t, {
    files: { 'x.sls': 'a:\n  test.nop\n' },
    options: { pillar: { _errors: ['Specified SLS y is not available'] } }
  })
  t.match(await minion.run('state.apply', 'x'), {
    retcode: 5,
    return: ['Pillar failed to render with the following messages:', 'Specified SLS y is not available']
  })
  t.match(await minion.run('state.apply', 'x', kw({ force: true })), { retcode: 0 })
})

t.test('sls_id runs one id and what it requires, nothing else', async t => {
  const minion = await minionTest(t, {
    files: {
      'x.sls':
        'a:\n  test.nop\nb:\n  test.nop:\n    - require: [{test: a}]\nc:\n  test.nop:\n    - listen: [{test: d}]\nd:\n  test.succeed_with_changes\n'
    }
  })
  t.same(Object.keys((await minion.value('state.sls_id', 'b', 'x')) as object), ['test_|-a_|-a_|-nop', 'test_|-b_|-b_|-nop'])
  t.match(await minion.run('state.sls_id', 'nix', 'x'), {
    retcode: 1,
    return: /No matches for ID 'nix' found in SLS 'x' within saltenv 'base'/
  })
})

t.test('exclude of the call may be a text with commas', async t => {
  const minion = await minionTest(t, {
    files: { 'x.sls': 'include: [y, z]\na:\n  test.nop\n', 'y.sls': 'b:\n  test.nop\n', 'z.sls': 'c:\n  test.nop\n' }
  })
  t.same(Object.keys((await minion.value('state.apply', 'x', kw({ exclude: 'y,z' }))) as object), ['test_|-a_|-a_|-nop'])
})

t.test('top file: order puts targets before or behind others', async t => {
  const minion = await minionTest(t, {
    files: { 'top.sls': 'base:\n  "*":\n    - order: 2\n    - last\n  "web*":\n    - order: 1\n    - mid\n  web1:\n    - first\n' }
  })
  t.same(await minion.value('state.show_top'), { base: ['first', 'mid', 'last'] })
})

t.test(
  'top file: what it includes counts; base speaks for all environments, another only for its own and only where base does not',
  async t => {
    const minion = await minionTest(t, {
      files: {
        'top.sls': 'include: [tops.*]\nbase:\n  "*": [a]\ndev:\n  "*": [of_base]\n',
        'tops/more.sls': 'base:\n  "web*": [b]\n  "db*": [c]\n',
        '../dev/top.sls': 'dev:\n  "*": [ignored]\n',
        '../qa/top.sls': 'qa:\n  "*": [own]\nbase:\n  "*": [ignored]\n'
      }
    })
    const { file_roots } = minion.options
    Object.assign(file_roots, { dev: [`${minion.dir}/dev`], qa: [`${minion.dir}/qa`] })
    t.same(await minion.value('state.show_top'), { base: ['a', 'b'], dev: ['of_base'], qa: ['own'] })
  }
)

t.test('top file: mistakes in the words of Salt', async t => {
  const wrong: [string, string][] = [
    ['- a\n', 'Top data was not formed as a dict'],
    ['base: [a]\n', 'The top file matches for saltenv base are not formatted as a dict'],
    ['base:\n  "*": a\n', 'Malformed topfile (state declarations not formed as a list)'],
    ['base:\n  "*": [""]\n', 'Environment base contains an empty sls index'],
    ['base:\n  "*": [match: ]\n', "Improperly formatted top file matcher in saltenv base: {'match': None} file"]
  ]
  for (const [top, message] of wrong) {
    const minion = await minionTest(t, { files: { 'top.sls': top, 'a.sls': 'a: test.nop' } })
    t.match(await minion.run('state.highstate'), { retcode: 1, return: [message] }, top)
  }
})

t.test('an environment that is not there is said to be so', async t => {
  const minion = await minionTest(t, { files: { 'x.sls': 'a: test.nop' } })
  t.same((await minion.run('state.apply', 'x', kw({ saltenv: 'nix' }))).return, [
    "No matching salt environment for environment 'nix' found",
    "No matching sls found for 'x' in env 'nix'"
  ])
})

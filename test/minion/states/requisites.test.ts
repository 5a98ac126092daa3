import t, { type Test } from 'tap'
import { kw, type MinionTest, minionTest } from '../../helpers/executor.js'

type Results = Record<string, { result: boolean | null; comment: string; changes: object; __run_num__: number; __id__: string }>

/** Runs one SLS file; results by id, in the order in which the states ran. */
async function apply(
  t: Test,
  sls: string,
  args: Record<string, unknown> = {}
): Promise<{ ids: string[]; of: Results; minion: MinionTest }> {
  const minion = await minionTest(t, { files: { 'x.sls': sls } })
  const results = (await minion.value('state.apply', 'x', kw(args))) as Results
  const entries = Object.values(results).sort((a, b) => a.__run_num__ - b.__run_num__)
  return { ids: entries.map(entry => entry.__id__), of: Object.fromEntries(entries.map(entry => [entry.__id__, entry])), minion }
}

const ran = (of: Results, id: string): boolean => /^(Success!|Watch statement fired\.|Failure!)$/.test(of[id]!.comment)

t.test('require: what is required runs first, wherever it stands', async t => {
  const { ids, of } = await apply(t, 'b:\n  test.nop:\n    - require: [{test: a}]\na:\n  test.nop\n')
  t.same(ids, ['a', 'b'])
  t.equal(of.b!.result, true)
})

t.test('require: a state whose requisite failed is not run, names it, and so do those that require it', async t => {
  const { of } = await apply(
    t,
    'a:\n  test.fail_without_changes\nb:\n  test.nop:\n    - require: [{test: a}]\nc:\n  test.nop:\n    - require: [b]\nd:\n  test.nop\n'
  )
  t.match(of.b, { result: false, comment: 'One or more requisite failed: x.a' })
  t.match(of.c, { result: false, comment: 'One or more requisite failed: x.b' })
  t.equal(of.d!.result, true, 'others go on')
})

t.test('require_any: one of the list is enough', async t => {
  const states = 'a:\n  test.fail_without_changes\nb:\n  test.nop\n'
  const { of } = await apply(
    t,
    `${states}c:\n  test.nop:\n    - require_any: [{test: a}, {test: b}]\nd:\n  test.nop:\n    - require_any: [{test: a}]\n`
  )
  t.ok(ran(of, 'c'))
  t.match(of.d, { result: false, comment: 'One or more requisite failed: x.a' })
})

t.test('a requisite may be an id, a name, a glob, or a whole SLS file', async t => {
  const { ids, of } = await apply(
    t,
    'last:\n  test.nop:\n    - require: [the name, {test: "a*"}, {sls: x2}]\na1:\n  test.nop\nb:\n  test.nop:\n    - name: the name\n'
  )
  t.match(of.last, {
    result: false,
    comment: 'The following requisites were not found:\n                   require:\n                       sls: x2\n'
  })
  t.notOk(ids.indexOf('last') > 0 && ran(of, 'last'))
  const found = await apply(
    t,
    'last:\n  test.nop:\n    - require: [the name, {test: "a*"}]\na1:\n  test.nop\nb:\n  test.nop:\n    - name: the name\n'
  )
  t.same(found.ids.at(-1), 'last')
  t.ok(ran(found.of, 'last'))
})

t.test('watch: runs, and reacts when a watched state changed', async t => {
  const { of } = await apply(
    t,
    'c:\n  test.succeed_with_changes\nn:\n  test.nop\nw:\n  test.nop:\n    - watch: [{test: c}, {test: n}]\nv:\n  test.nop:\n    - watch: [{test: n}]\n'
  )
  t.match(of.w, { result: true, comment: 'Watch statement fired.', changes: { 'Requisites with changes': ['test: c'] } })
  t.match(of.v, { result: true, comment: 'Success!', changes: {} })
})

t.test('watch of a state that cannot react is require', async t => {
  const { of, minion } = await apply(t, 'c:\n  test.fail_with_changes\n/no/such/dir/f:\n  file.touch:\n    - watch: [{test: c}]\n')
  t.match(of['/no/such/dir/f'], { result: false, comment: 'One or more requisite failed: x.c' })
  t.ok(minion)
})

t.test('cmd.wait runs only when a watched state changed', async t => {
  const { of } = await apply(
    t,
    'c:\n  test.succeed_with_changes\nn:\n  test.nop\necho ran:\n  cmd.wait:\n    - watch: [{test: c}]\necho not:\n  cmd.wait:\n    - watch: [{test: n}]\n'
  )
  t.match(of['echo ran'], { result: true, changes: { stdout: 'ran', retcode: 0 }, comment: 'Command "echo ran" run' })
  t.match(of['echo not'], { result: true, changes: {}, comment: '' })
})

t.test('onchanges: runs only when one of them changed', async t => {
  const { of } = await apply(
    t,
    'c:\n  test.succeed_with_changes\nn:\n  test.nop\nf:\n  test.fail_with_changes\ngoes:\n  test.nop:\n    - onchanges: [{test: n}, {test: c}]\nstays:\n  test.nop:\n    - onchanges: [{test: n}]\nfailed:\n  test.nop:\n    - onchanges: [{test: f}]\nany:\n  test.nop:\n    - onchanges_any: [{test: f}, {test: c}]\n'
  )
  t.ok(ran(of, 'goes'))
  t.match(of.stays, {
    result: true,
    changes: {},
    comment: 'State was not run because none of the onchanges reqs changed',
    __state_ran__: false
  })
  t.match(of.failed, { result: false, comment: 'One or more requisite failed: x.f' })
  t.ok(ran(of, 'any'))
})

t.test('onfail: runs when one of them failed; onfail_all: when all did', async t => {
  const { of } = await apply(
    t,
    'f:\n  test.fail_without_changes\nn:\n  test.nop\none:\n  test.nop:\n    - onfail: [{test: f}, {test: n}]\nnone:\n  test.nop:\n    - onfail: [{test: n}]\nany:\n  test.nop:\n    - onfail_any: [{test: n}, {test: f}]\nall:\n  test.nop:\n    - onfail_all: [{test: f}, {test: n}]\nall2:\n  test.nop:\n    - onfail_all: [{test: f}]\n'
  )
  t.ok(ran(of, 'one'))
  t.match(of.none, { result: true, comment: 'State was not run because onfail req did not change', __state_ran__: false })
  t.ok(ran(of, 'any'))
  t.match(of.all, { __state_ran__: false })
  t.ok(ran(of, 'all2'))
})

t.test('prereq: runs before, and only when the other would change something', async t => {
  const { ids, of } = await apply(
    t,
    'main:\n  test.succeed_with_changes\nidle:\n  test.nop\nbefore:\n  test.nop:\n    - prereq: [{test: main}]\nnot_needed:\n  test.nop:\n    - prereq: [{test: idle}]\n'
  )
  t.ok(ids.indexOf('before') < ids.indexOf('main'), 'it runs first')
  t.ok(ran(of, 'before'))
  t.match(of.main, { result: true, comment: 'Success!' })
  t.match(of.not_needed, { result: true, changes: {}, comment: 'No changes detected' })
})

t.test('prereq: when the one before fails, the other does not run', async t => {
  const { of } = await apply(t, 'main:\n  test.succeed_with_changes\nbefore:\n  test.fail_without_changes:\n    - prereq: [{test: main}]\n')
  t.match(of.before, { result: false, comment: 'Failure!' })
  t.match(of.main, { result: false, comment: 'One or more requisite failed: x.before' })
})

t.test('each kind can be put into another state with _in', async t => {
  const { ids, of } = await apply(
    t,
    [
      'second:\n  test.nop',
      'first:\n  test.nop:\n    - require_in: [{test: second}]',
      'changed:\n  test.succeed_with_changes:\n    - watch_in: [{test: reacts}]\n    - onchanges_in: [{test: follows}]\n    - listen_in: [{test: listens}]',
      'broken:\n  test.fail_without_changes:\n    - onfail_in: [{test: repairs}]',
      'reacts:\n  test.nop',
      'follows:\n  test.nop',
      'repairs:\n  test.nop',
      'listens:\n  test.nop',
      'before:\n  test.nop:\n    - prereq_in: [{test: asks}]',
      'asks:\n  test.nop'
    ].join('\n')
  )
  t.ok(ids.indexOf('first') < ids.indexOf('second'))
  t.equal(of.reacts!.comment, 'Watch statement fired.')
  t.ok(ran(of, 'follows'))
  t.ok(ran(of, 'repairs'))
  t.equal(of.listener_listens!.comment, 'Watch statement fired.')
  t.equal(of.asks!.comment, 'No changes detected', 'asks has `before` as its prereq now')
})

t.test('prereq without its state fails where it runs, in the words that require has', async t => {
  const { of } = await apply(t, 'a:\n  test.nop:\n    - prereq: [{test: nix}]\nb:\n  test.nop:\n    - prereq: [{foobar: a}]\n')
  t.match(of.a, {
    result: false,
    comment: 'The following requisites were not found:\n                   prereq:\n                       test: nix\n'
  })
  t.match(of.b!.comment, 'foobar: a')
})

t.test('prereq: what is only predicted has no number of its own; a whole SLS file may be meant, too', async t => {
  const minion = await minionTest(t, {
    files: {
      'x.sls': 'include: [full]\na:\n  cmd.run:\n    - name: echo a\n    - prereq: [{sls: full}]\n',
      'full.sls': 'b:\n  cmd.run:\n    - name: echo b\nc:\n  cmd.run:\n    - name: echo c\n'
    }
  })
  const results = Object.values((await minion.value('state.apply', 'x')) as Results)
  t.same(Object.fromEntries(results.map(({ __id__, __run_num__ }) => [__id__, __run_num__])), { a: 0, b: 1, c: 2 })
})

t.test('prereq, put into others and asked for: the order is that of Salt', async t => {
  const echo = (id: string, more = ''): string => `${id}:\n  cmd.run:\n    - name: echo ${id}\n${more}`
  const cases: [string, string, Record<string, number>][] = [
    ['a chain', echo('A', '    - prereq_in: [{cmd: C}]\n') + echo('B', '    - prereq: [{cmd: C}]\n') + echo('C'), { B: 0, C: 1, A: 2 }],
    ['by id alone', echo('A', '    - prereq_in: [C]\n') + echo('B', '    - prereq: [C]\n') + echo('C'), { B: 0, C: 1, A: 2 }],
    [
      'one before several',
      echo('A', '    - prereq_in: [{cmd: C}]\n') +
        echo('B') +
        echo('C', '    - prereq: [{cmd: B}, {cmd: D}]\n') +
        echo('D') +
        echo('E', '    - prereq_in: [{cmd: C}]\n'),
      { C: 0, A: 1, B: 2, D: 3, E: 4 }
    ],
    [
      'with require',
      echo('A', '    - prereq_in: [{cmd: C}]\n') + echo('B', '    - require_in: [{cmd: A}]\n') + echo('C', '    - prereq: [{cmd: B}]\n'),
      { C: 0, B: 1, A: 2 }
    ]
  ]
  for (const [what, sls, wanted] of cases) {
    const { of } = await apply(t, sls)
    for (const [id, number] of Object.entries(wanted))
      t.match(of[id], { __run_num__: number, result: true, comment: `Command "echo ${id}" run` }, `${what}: ${id}`)
  }
})

t.test('prereq of a state whose own requisite fails: both fail, each names what failed it, once', async t => {
  const { of, ids } = await apply(
    t,
    'a:\n  test.fail_without_changes\nb:\n  test.nop:\n    - prereq: [c]\nc:\n  test.nop:\n    - require: [a]\n'
  )
  t.equal(of.b!.comment, 'One or more requisite failed: x.c')
  t.equal(of.c!.comment, 'One or more requisite failed: x.a')
  t.same(ids, ['a', 'c', 'b'])
})

t.test('prereq in test mode and with a state that never has to run', async t => {
  const sls =
    'a:\n  cmd.run:\n    - name: echo a\n    - prereq: [{cmd: b}, {cmd: c}]\nb:\n  cmd.run:\n    - name: echo b\nc:\n  cmd.wait:\n    - name: echo c\n'
  const { of } = await apply(t, sls)
  t.match({ a: of.a!.__run_num__, b: of.b!.__run_num__, c: of.c!.__run_num__ }, { a: 0, b: 1, c: 2 })
  t.match((await apply(t, sls, { test: true })).of.a, { result: null, comment: 'Command "echo a" would have been executed' })
})

t.test('onfail together with require and onchanges', async t => {
  const echo = (id: string, more: string): string => `${id}:\n  cmd.run:\n    - name: echo ${id}\n${more}`
  const { of } = await apply(
    t,
    'bad:\n  test.fail_without_changes\ngood:\n  test.succeed_with_changes\n' +
      echo('b', '    - onfail: [{test: bad}]\n') +
      echo('c', '    - onfail: [{test: bad}]\n    - require: [{cmd: b}]\n') +
      echo('e', '    - onfail: [{test: good}]\n    - require: [{cmd: c}]\n') +
      echo('f', '    - onfail: [{test: good}]\n    - onchanges: [{cmd: b}]\n') +
      echo('g', '    - onfail_all: [{test: bad}]\n    - require: [{test: good}]\n') +
      echo('h', '    - onfail_all: [{test: bad}, {test: good}]\n')
  )
  for (const id of ['b', 'c', 'g']) t.equal(of[id]!.comment, `Command "echo ${id}" run`)
  for (const id of ['e', 'f', 'h']) t.equal(of[id]!.comment, 'State was not run because onfail req did not change', id)
})

t.test('a state that was not run fulfils no require_any of failed ones', async t => {
  const { of } = await apply(
    t,
    'bad:\n  test.fail_without_changes\nn:\n  test.nop\nskipped:\n  test.nop:\n    - onchanges: [{test: n}]\nany:\n  test.nop:\n    - require_any: [{test: bad}, {test: skipped}]\nall:\n  test.nop:\n    - require: [{test: skipped}]\n'
  )
  t.match(of.any, { result: false, comment: 'One or more requisite failed: x.bad' })
  t.ok(ran(of, 'all'), 'but it is no failure')
})

t.test('onfail in test mode: what would change has not succeeded', async t => {
  const { of } = await apply(t, 'c:\n  test.succeed_with_changes\nf:\n  test.nop:\n    - onfail: [{test: c}]\n', { test: true })
  t.ok(ran(of, 'f'))
})

t.test('a requisite put into an id means its first state; an id that is not there is passed over', async t => {
  const { of } = await apply(
    t,
    'both:\n  test.nop: []\n  cmd.run:\n    - name: echo both\n    - require_in: [{test: after}]\nafter:\n  test.nop:\n    - require_in: [nix]\nbefore:\n  test.nop:\n    - require_in: [both]\n'
  )
  t.equal(of.after!.result, true)
  t.equal(of.before!.result, true)
})

t.test('putting a requisite into a state that is not there is an error of the file', async t => {
  const minion = await minionTest(t, { files: { 'x.sls': 'a:\n  test.nop:\n    - require_in: [{test: nix}]\n' } })
  t.match(await minion.run('state.apply', 'x'), { retcode: 1, return: [/^Cannot extend ID 'nix' in 'base:x'/] })
})

t.test('listen: the reaction comes after all states, once', async t => {
  const { ids, of } = await apply(
    t,
    'l:\n  test.nop:\n    - listen: [{test: c}, {test: d}]\nc:\n  test.succeed_with_changes\nd:\n  test.succeed_with_changes\nlast:\n  test.nop:\n    - order: last\n'
  )
  t.same(ids, ['l', 'c', 'd', 'last', 'listener_l'])
  t.same(of.listener_l!.changes, { 'Requisites with changes': ['test: c', 'test: d'] })
})

t.test('a ring of requisites is found: at once when two require each other, else while it runs', async t => {
  const minion = await minionTest(t, {
    files: {
      'two.sls': 'a:\n  test.nop:\n    - require: [{test: b}]\nb:\n  test.nop:\n    - require: [{test: a}]\n',
      'three.sls':
        'a:\n  test.nop:\n    - require: [{test: b}]\nb:\n  test.nop:\n    - require: [{test: c}]\nc:\n  test.nop:\n    - require: [{test: a}]\n',
      'self.sls': 'a:\n  test.nop:\n    - require: [{test: a}]\n'
    }
  })
  t.match(await minion.run('state.apply', 'two'), { retcode: 1, return: [/^A recursive requisite was found, SLS "two"/] })
  const three = await minion.run('state.apply', 'three')
  t.match(three, { retcode: 2, success: false })
  t.match(
    Object.values(three.return as Results).map(({ comment }) => comment),
    ['Recursive requisite found', /^One or more requisite failed/, /^One or more requisite failed/]
  )
  t.match(await minion.run('state.apply', 'self'), { success: false })
})

t.test('listen: conditions of the state hold for its reaction, which also comes when failhard has ended the run', async t => {
  const { of } = await apply(
    t,
    'c:\n  test.succeed_with_changes\nnot:\n  test.nop:\n    - onlyif: [exit 1]\n    - listen: [{test: c}]\nbad:\n  test.fail_without_changes:\n    - failhard: True\nlate:\n  test.nop:\n    - listen: [{test: c}]\n'
  )
  t.equal(of.listener_not!.comment, 'onlyif condition is false')
  t.equal(of.listener_late!.comment, 'Watch statement fired.')
  t.notOk(of.late)
})

t.test('listen_in of a state that is not there: told only when there was a change; by id alone never', async t => {
  const keys = async (sls: string): Promise<string[]> => {
    const minion = await minionTest(t, { files: { 'x.sls': sls } })
    return Object.keys((await minion.value('state.apply', 'x')) as object)
  }
  t.same(await keys('c:\n  test.succeed_with_changes:\n    - listen_in: [{service: nix}]\n'), [
    'test_|-c_|-c_|-succeed_with_changes',
    'Listen_Error_|-listen_nix_|-listen_service_|-Listen_Error'
  ])
  t.equal((await keys('c:\n  test.nop:\n    - listen_in: [{service: nix}]\n')).length, 1)
  t.equal((await keys('c:\n  test.succeed_with_changes:\n    - listen_in: [nix]\n    - listen: [nix]\n')).length, 1)
})

t.test('use: arguments of another state that a state has not itself', async t => {
  const { of } = await apply(
    t,
    'a:\n  test.configurable_test_state:\n    - changes: False\n    - comment: from a\n    - result: True\nb:\n  test.configurable_test_state:\n    - use: [{test: a}]\n    - result: False\n'
  )
  t.match(of.b, { comment: 'from a', result: false, changes: {} })
})

t.test('failhard, of a state or of the minion, ends the run', async t => {
  const { ids } = await apply(t, 'a:\n  test.nop\nb:\n  test.fail_without_changes:\n    - failhard: True\nc:\n  test.nop\n')
  t.same(ids, ['a', 'b'])
  const minion = await minionTest(t, {
    files: { 'x.sls': 'b:\n  test.fail_without_changes\nc:\n  test.nop\n' },
    options: { failhard: true }
  })
  t.equal(Object.keys((await minion.value('state.apply', 'x')) as object).length, 1)
})

t.test('failhard: a state may say no to that of the configuration, and test mode has none', async t => {
  const minion = await minionTest(t, {
    files: {
      'x.sls': 'a:\n  test.fail_without_changes:\n    - failhard: False\nb:\n  test.nop\n',
      'y.sls':
        'a:\n  test.configurable_test_state:\n    - result: False\n    - failhard: True\n  cmd.run:\n    - name: echo\n    - cwd: /no/such\n    - failhard: True\nb:\n  test.nop\n'
    },
    options: { failhard: true }
  })
  t.equal(Object.keys((await minion.value('state.apply', 'x')) as object).length, 2)
  t.equal(Object.keys((await minion.value('state.apply', 'y')) as object).length, 1)
  t.equal(Object.keys((await minion.value('state.apply', 'y', kw({ test: true }))) as object).length, 3)
})

t.test('onlyif and unless together: each says its own, in the words of Salt', async t => {
  const state = (id: string, onlyif: string, unless: string): string =>
    `${id}:\n  test.nop:\n    - onlyif: exit ${onlyif}\n    - unless: exit ${unless}\n`
  const { of } = await apply(t, state('ff', '1', '1') + state('ft', '1', '0') + state('tt', '0', '0') + state('goes', '0', '1'))
  t.equal(of.ff!.comment, 'onlyif condition is false\nunless condition is false')
  t.equal(of.ft!.comment, 'onlyif condition is false\nunless condition is true')
  t.equal(of.tt!.comment, 'onlyif condition is true\nunless condition is true')
  t.ok(ran(of, 'goes'))
})

t.test('what is no condition keeps no state from running; an exit code of a function decides, and what it returns', async t => {
  const cases: [string, boolean][] = [
    ['onlyif: []', true],
    ['onlyif: [{}]', true],
    ['onlyif:', true],
    ['onlyif: [5]', true],
    ['unless: []', true],
    ['unless:', true],
    ['unless: [{args: [x]}]', true],
    ['onlyif: [{fun: cmd.run, cmd: "echo x; exit 3", python_shell: True}]', false],
    ['onlyif: [{fun: cmd.run, cmd: "exit 0", python_shell: True}]', false],
    ['unless: [{fun: cmd.run, cmd: "echo x; exit 3", python_shell: True}]', true],
    ['unless: [{fun: test.true}, "exit 0"]', false],
    ['unless: [{fun: test.true}, "exit 1"]', true],
    ['onlyif: [{fun: test.kwarg, a: {b: [{c: 1}]}, get_return: "a:b:c"}]', true],
    ['onlyif: [{fun: test.kwarg, a: {b: 0}, get_return: "a:b"}]', false],
    ['onlyif: [{fun: test.echo, args: ["no"]}]', true]
  ]
  const { of } = await apply(t, cases.map(([condition], i) => `s${i}:\n  test.nop:\n    - ${condition}\n`).join(''))
  for (const [i, [condition, runs]] of cases.entries()) t.equal(ran(of, `s${i}`), runs, `${condition}: ${of[`s${i}`]!.comment}`)
})

t.test('onlyif, unless and creates decide whether a state runs', async t => {
  const { of } = await apply(
    t,
    [
      'goes:\n  test.succeed_with_changes:\n    - onlyif: [exit 0, "true"]\n    - unless: [exit 0, exit 1]',
      'onlyif:\n  test.succeed_with_changes:\n    - onlyif: ["true", exit 1]',
      'unless:\n  test.succeed_with_changes:\n    - unless: "true"',
      'creates:\n  cmd.run:\n    - name: echo x\n    - creates: /',
      'creates2:\n  cmd.run:\n    - name: echo x\n    - creates: [/, /tmp]',
      'fun:\n  test.nop:\n    - onlyif: [{fun: test.false}]',
      'fun2:\n  test.nop:\n    - onlyif: [{fun: test.echo, args: [yes]}]',
      'watches:\n  test.nop:\n    - unless: "true"\n    - watch: [{test: goes}]'
    ].join('\n')
  )
  t.ok(ran(of, 'goes'))
  t.match(of.onlyif, { result: true, changes: {}, comment: 'onlyif condition is false', skip_watch: true })
  t.match(of.unless, { result: true, changes: {}, comment: 'unless condition is true', skip_watch: true })
  t.match(of.creates, { result: true, comment: '/ exists' })
  t.match(of.creates2, { result: true, comment: 'All files in creates exist' })
  t.match(of.fun, { comment: 'onlyif condition is false' })
  t.ok(ran(of, 'fun2'))
  t.equal(of.watches!.comment, 'unless condition is true', 'a state that is not to run does not react either')
})

t.test('check_cmd decides whether a state that ran has succeeded', async t => {
  const { of } = await apply(t, 'good:\n  test.nop:\n    - check_cmd: ["true"]\nbad:\n  test.nop:\n    - check_cmd: ["true", "false"]\n')
  t.match(of.good, { result: true, comment: 'check_cmd determined the state succeeded' })
  t.match(of.bad, { result: false, comment: 'check_cmd determined the state failed' })
})

t.test('retry calls again until the wanted result, and tells of each attempt', async t => {
  const minion = await minionTest(t)
  const file = `${minion.dir}/count`
  await minion.write(
    'roots/x.sls',
    `a:\n  cmd.run:\n    - name: echo x >> ${file}; test $(wc -l < ${file}) -ge 3\n    - retry: {attempts: 5, interval: 0}\n`
  )
  const [result] = Object.values((await minion.value('state.apply', 'x')) as Results)
  t.equal(result!.result, true)
  t.equal((await minion.read('count')).length, 6, 'three attempts')
  t.match(result!.comment, /^Attempt 1: Returned a result of "False", with the following comment: .*\nAttempt 2: .*\nCommand ".*" run$/)
})

t.test('retry: each attempt has a number; values that are none mean the defaults; the conditions are looked at again', async t => {
  const minion = await minionTest(t)
  await minion.write(
    'roots/x.sls',
    `a:\n  test.fail_without_changes:\n    - retry: {attempts: 3, interval: 0}\nb:\n  test.nop:\n    - retry: {attempts: many, interval: 0, until: "x"}\nc:\n  cmd.run:\n    - name: touch ${minion.dir}/there; exit 1\n    - unless: test -e ${minion.dir}/there\n    - retry: {attempts: 2, interval: 0}\n`
  )
  const results = Object.values((await minion.value('state.apply', 'x')) as Results)
  t.same(
    results.map(({ __id__, __run_num__ }) => [__id__, __run_num__]),
    [
      ['a', 2],
      ['b', 3],
      ['c', 5]
    ]
  )
  t.match(results[0]!.comment, /^Attempt 1: .*\nAttempt 2: .*"Failure!"\nFailure!$/)
  t.match(results[2], { result: true, comment: /\nunless condition is true$/ })
})

t.test('test=True: results are predictions, requisites see the predicted changes, nothing is done', async t => {
  const { of } = await apply(
    t,
    'c:\n  test.succeed_with_changes\nf:\n  test.nop:\n    - onchanges: [{test: c}]\nw:\n  cmd.wait:\n    - name: exit 1\n    - watch: [{test: c}]\n',
    { test: true }
  )
  t.match(of.c, { result: null, comment: "If we weren't testing, this would be successful with changes" })
  t.equal(of.f!.comment, 'Success!')
  t.match(of.w, { result: null, comment: 'Command "exit 1" would have been executed' })
})

t.test('a state that throws, is unknown or lacks a parameter fails with its reason; the others run', async t => {
  const { of } = await apply(
    t,
    'thrown:\n  cmd.run:\n    - name: echo\n    - env: {a: [1]}\nunknown:\n  nosuch.fun\nunknown2:\n  file.nosuch\nlacks:\n  file.symlink:\n    - name: /x\nlast:\n  test.nop\n'
  )
  t.match(of.thrown, { result: false, comment: /must be a text/ })
  t.match(of.unknown, { result: false, comment: "State 'nosuch.fun' was not found in SLS 'x'\nReason: 'nosuch.fun' is not available.\n" })
  t.match(of.unknown2, { result: false, comment: /^State 'file.nosuch' was not found/ })
  t.match(of.lacks, { result: false, comment: 'Missing parameter target for state file.symlink\n' })
  t.ok(ran(of, 'last'))
})

t.test('parallel: states run at the same time, and what requires one waits for it', async t => {
  const minion = await minionTest(t)
  const flag = (name: string): string => `${minion.dir}/${name}`
  // Each waits for the other's sign: one after the other they would never end.
  const meets = (own: string, other: string): string =>
    `touch ${flag(own)}; for i in $(seq 200); do test -e ${flag(other)} && exit 0; sleep 0.05; done; exit 1`
  await minion.write(
    'roots/x.sls',
    `one:\n  cmd.run:\n    - name: ${meets('a', 'b')}\n    - parallel: True\ntwo:\n  cmd.run:\n    - name: ${meets('b', 'a')}\n    - parallel: True\nafter:\n  test.nop:\n    - require: [{cmd: one}, {cmd: two}]\n`
  )
  const results = Object.values((await minion.value('state.apply', 'x')) as Results)
  t.same(
    results.map(({ __id__, result, __run_num__ }) => [__id__, result, __run_num__]),
    [
      ['one', true, 0],
      ['two', true, 1],
      ['after', true, 2]
    ]
  )
})

t.test('parallel: a state that fails fails what requires it, and with failhard the run', async t => {
  const { of } = await apply(
    t,
    'a:\n  test.fail_without_changes:\n    - parallel: True\nb:\n  test.nop:\n    - require: [{test: a}]\nc:\n  test.nop:\n    - parallel: True\n'
  )
  t.match(of.b, { result: false, comment: 'One or more requisite failed: x.a' })
  t.equal(of.c!.result, true)
})

t.test('umask holds for one state', async t => {
  const before = process.umask()
  const minion = await minionTest(t)
  await minion.write(
    'roots/x.sls',
    `${minion.dir}/a:\n  file.managed:\n    - contents: x\n    - umask: '077'\n${minion.dir}/b:\n  cmd.run:\n    - name: touch ${minion.dir}/b\n    - umask: '027'\n`
  )
  t.match(await minion.run('state.apply', 'x'), { retcode: 0 })
  const { stat } = await import('node:fs/promises')
  t.same([(await stat(`${minion.dir}/a`)).mode & 0o777, (await stat(`${minion.dir}/b`)).mode & 0o777], [0o600, 0o640])
  t.equal(process.umask(), before)
})

t.test('listen to a state that is not there: a result that says so', async t => {
  const minion = await minionTest(t, { files: { 'x.sls': 'a:\n  test.nop:\n    - listen: [{test: nix}]\n' } })
  t.match(await minion.value('state.apply', 'x'), {
    'Listen_Error_|-listen_nix_|-listen_test_|-Listen_Error': {
      comment: 'Referenced state test: nix does not exist',
      name: 'listen_test:nix',
      result: false,
      changes: {}
    }
  })
})

t.test('aggregate and other words of the state system are no arguments of states; unknown ones are a warning', async t => {
  const { of } = await apply(
    t,
    'a:\n  test.configurable_test_state:\n    - aggregate: True\n    - reload_modules: True\n    - result: True\nb:\n  test.configurable_test_state:\n    - nix: 1\n'
  )
  t.notOk('warnings' in of.a!)
  t.match(of.b, { warnings: [/^'nix' is an invalid keyword argument for 'test\.configurable_test_state'\. If you were trying/] })
})

t.test('a grain that a state sets is there for the states behind it', async t => {
  const { of } = await apply(
    t,
    'g:\n  grains.present:\n    - name: colour\n    - value: blue\nsees:\n  test.nop:\n    - onlyif:\n      - fun: match.grain\n        tgt: colour:blue\nnot:\n  test.nop:\n    - unless:\n      - fun: grains.equals\n        args: [colour, blue]\n'
  )
  t.match(of.g, { result: true, comment: 'Set grain colour to blue', changes: { colour: 'blue' } })
  t.ok(ran(of, 'sees'))
  t.equal(of.not!.comment, 'unless condition is true')
})

t.test('module.run: both forms, what they return, and what counts as a failure', async t => {
  const { of } = await apply(
    t,
    [
      'new:\n  module.run:\n    - test.echo:\n      - hello\n    - test.arg:\n      - 1\n      - a: b',
      'old:\n  module.run:\n    - name: test.echo\n    - text: hi',
      'old2:\n  module.run:\n    - name: test.arg\n    - args: [x]\n    - kwargs: {k: v}',
      'fails:\n  module.run:\n    - test.false: []',
      'lacks:\n  module.run:\n    - name: test.echo',
      'unknown:\n  module.run:\n    - nosuch.fun: []',
      'unknown2:\n  module.run:\n    - name: nosuch.fun',
      'waits:\n  module.wait:\n    - name: test.echo\n    - text: watched\n    - watch: [{module: old}]'
    ].join('\n')
  )
  t.match(of.new, { result: true, changes: { 'test.echo': 'hello', 'test.arg': { args: [1], kwargs: { a: 'b' } } } })
  t.match(of.new!.comment, /^test\.echo: hello, test\.arg: /)
  t.match(of.old, { result: true, comment: 'Module function test.echo executed', changes: { ret: 'hi' } })
  t.match(of.old2, { changes: { ret: { args: ['x'], kwargs: { k: 'v' } } } })
  t.match(of.fails, { result: false, comment: "'test.false' failed: False" })
  t.match(of.lacks, { result: false, comment: 'The following arguments are missing: text' })
  t.match(of.unknown, { result: false, comment: 'Unavailable function: nosuch.fun.' })
  t.match(of.unknown2, { result: false, comment: 'Module function nosuch.fun is not available' })
  t.match(of.waits, { result: true, changes: { ret: 'watched' } })
})

t.test('module.run: test=True runs nothing and says what would run', async t => {
  const { of } = await apply(t, 'n:\n  module.run:\n    - test.echo: [x]\no:\n  module.run:\n    - name: test.echo\n    - text: x\n', {
    test: true
  })
  t.match(of.n, { result: null, comment: 'Function test.echo to be executed.' })
  t.match(of.o, { result: null, comment: 'Module function test.echo is set to execute' })
})

t.test('accumulated: texts for a template and for a block; one that is for nothing is an error', async t => {
  const minion = await minionTest(t, { files: { 'f.txt': 'A:{% for line in accumulator["acc"] %} {{ line }}{% endfor %}\n' } })
  const block = await minion.write('block', '#S\n#E\n')
  await minion.write(
    'roots/x.sls',
    `one:\n  file.accumulated:\n    - name: acc\n    - filename: ${minion.dir}/f\n    - text: [x, y]\n    - require_in: [{file: f}]\nf:\n  file.managed:\n    - name: ${minion.dir}/f\n    - source: salt://f.txt\n    - template: jinja\ntwo:\n  file.accumulated:\n    - name: lines\n    - filename: ${block}\n    - text: in the block\n    - require_in: [{file: b}]\nb:\n  file.blockreplace:\n    - name: ${block}\n    - marker_start: '#S'\n    - marker_end: '#E'\n    - content: first\nalone:\n  file.accumulated:\n    - filename: /x\n    - text: x\n`
  )
  const results = (await minion.value('state.apply', 'x')) as Results
  t.equal(await minion.read('f'), 'A: x y\n')
  t.equal(await minion.read('block'), '#S\nfirst\nin the block\n#E\n')
  t.match(
    Object.values(results).find(({ __id__ }) => __id__ === 'alone'),
    { result: false, comment: 'Orphaned accumulator alone in x:alone' }
  )
})

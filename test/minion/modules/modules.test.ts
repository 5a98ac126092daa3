import t from 'tap'
import { kw, minionTest } from '../../helpers/executor.js'

t.test('test functions', async t => {
  const { value, run } = await minionTest(t)
  t.equal(await value('test.ping'), true)
  t.equal(await value('test.true'), true)
  t.equal(await value('test.false'), false)
  t.equal(await value('test.none'), null)
  t.equal(await value('test.echo', 'grüß 世界'), 'grüß 世界')
  t.match(await run('test.retcode', 7), { return: true, retcode: 7, success: false })
  t.match(await value('test.fib', 10), [55, Number])
  t.match(await value('test.collatz', 6), [[6, 3, 10, 5, 16, 8, 4, 2], Number])
  t.match(await value('test.arg_type', 1, 'a', kw({ k: [1] })), {
    args: ["<class 'int'>", "<class 'str'>"],
    kwargs: { k: "<class 'list'>" }
  })
  t.equal(await value('test.provider', 'cmd'), 'cmd')
  t.match(await value('test.providers'), { test: 'test', state: 'state' })
  t.match(await value('test.versions_report'), /Salt Version:\n +Salt: 3006/)
  t.equal(await value('test.sleep', 0), true)
  t.equal(await value('test.try', 'test.exception'), false)
  t.equal(await value('test.try', 'test.exception', kw({ return_try_exception: true })), 'Exception: Test Exception')
})

t.test('sys: documentation, arguments and names of all functions', async t => {
  const { value } = await minionTest(t)
  t.match(await value('sys.doc', 'test.ping'), { 'test.ping': /^Used to make sure the minion is up/ })
  const docs = (await value('sys.doc')) as Record<string, string>
  for (const [fun, text] of Object.entries(docs)) t.match(text, /\S[\s\S]*CLI Example/, `${fun} is documented`)
  t.same(
    Object.keys((await value('sys.doc', 'grains')) as object).every(fun => fun.startsWith('grains.')),
    true
  )
  t.same(await value('sys.argspec', 'test.sleep'), { 'test.sleep': { args: ['length'], defaults: null, varargs: null, kwargs: null } })
  t.match(await value('sys.argspec', 'event.fire'), { 'event.fire': { args: ['data', 'tag', 'timeout'], defaults: [60] } })
  t.match(await value('sys.argspec', 'test.arg'), { 'test.arg': { args: [], varargs: true, kwargs: true } })
  const functions = (await value('sys.list_functions')) as string[]
  t.same(functions, [...functions].sort())
  t.same(functions, Object.keys(docs))
  t.same(
    await value('sys.list_functions', 'grains'),
    functions.filter(fun => fun.startsWith('grains.'))
  )
  t.same(
    await value('sys.list_functions', 'sys.list_*'),
    functions.filter(fun => fun.startsWith('sys.list_'))
  )
  t.match(await value('sys.list_modules', 'c*'), ['cmd', 'config', 'cp'])
  t.ok(((await value('sys.list_state_functions', 'file')) as string[]).includes('file.managed'))
  const stateModules = (await value('sys.list_state_modules')) as string[]
  t.same(
    ['cmd', 'event', 'file', 'grains', 'module', 'schedule', 'test'].filter(name => !stateModules.includes(name)),
    []
  )
  t.match(await value('sys.state_argspec', 'file.symlink'), {
    'file.symlink': { args: ['name', 'target', 'force', 'backupname', 'makedirs', 'user', 'group', 'mode'] }
  })
})

t.test('an unknown function whose name begins others is answered with their documentation', async t => {
  const { run } = await minionTest(t)
  const outcome = await run('test.pin')
  t.match(outcome, { retcode: 1, out: 'nested', success: false, return: { 'test.pin': "'test.pin' is not available." } })
  t.ok(Object.hasOwn(outcome.return as object, 'test.ping'))
})

t.test('grains: reading', async t => {
  const { value } = await minionTest(t, { grains: { role: 'web', deep: { list: ['a', 'b'] }, none: null, pkgs: [] } })
  t.equal(await value('grains.get', 'role'), 'web')
  t.equal(await value('grains.get', 'nosuch'), '')
  t.equal(await value('grains.get', 'nosuch', 'else'), 'else')
  t.equal(await value('grains.get', 'deep:list:1'), 'b')
  t.same(await value('grains.item', 'role', 'nosuch'), { role: 'web', nosuch: '' })
  t.match(await value('grains.items'), { role: 'web', id: 'web1', kernel: String })
  t.same((await value('grains.ls')) as string[], [...((await value('grains.ls')) as string[])].sort())
  t.equal(await value('grains.has_value', 'role'), true)
  t.equal(await value('grains.has_value', 'pkgs'), false)
  t.equal(await value('grains.equals', 'role', 'web'), true)
  t.equal(await value('grains.filter_by', { web: 'W', default: 'D' }, kw({ grain: 'role' })), 'W')
  t.equal(await value('grains.filter_by', { db: 'W', default: 'D' }, kw({ grain: 'role' })), 'D')
  t.same(await value('grains.filter_by', { 'w*': { a: 1 }, base: { a: 0, b: 2 } }, kw({ grain: 'role', base: 'base', merge: { c: 3 } })), {
    a: 1,
    b: 2,
    c: 3
  })
})

t.test('grains: what is set is kept in the grains file and seen by the next job', async t => {
  const { value, read, run } = await minionTest(t)
  t.match(await run('grains.setval', 'tmpg', [1, 2]), { return: { tmpg: [1, 2] }, out: 'nested' })
  t.same(await value('grains.append', 'tmpg', 3), { tmpg: [1, 2, 3] })
  t.equal(await value('grains.append', 'tmpg', 3), 'The val 3 was already in the list tmpg')
  t.same(await value('grains.remove', 'tmpg', 2), { tmpg: [1, 3] })
  t.same(await value('grains.get', 'tmpg'), [1, 3])
  t.match(await read('conf/grains'), /^tmpg:\n- 1\n- 3\n$/)
  t.same(await value('grains.delkey', 'tmpg'), {
    comment: "The key 'tmpg' exists but is a dict or a list. Use 'force=True' to overwrite.",
    changes: {},
    result: false
  })
  t.same(await value('grains.delkey', 'tmpg', kw({ force: true })), { comment: '', changes: { tmpg: null }, result: true })
  t.equal(await value('grains.get', 'tmpg'), '')
  t.match(await value('grains.set', 'a:b', 'c'), { result: true, changes: { a: { b: 'c' } } })
  t.equal(await value('grains.get', 'a:b'), 'c')
  t.match(await value('grains.set', 'a:b', 'c'), { comment: 'Grain is already set' })
  t.match(await value('grains.set', 'a', 'x'), { result: false, comment: /Use 'force=True' to overwrite/ })
  t.match(await value('grains.delval', 'a:b'), { result: true })
  t.same(await value('grains.get', 'a'), { b: null })
})

t.test('grains: a broken grains file is named and not overwritten', async t => {
  const { run, write, read } = await minionTest(t)
  await write('conf/grains', 'a: [1\n')
  t.match(await run('grains.setval', 'x', 1), { retcode: 1, return: /^ERROR: Error reading existing grains file: / })
  t.equal(await read('conf/grains'), 'a: [1\n')
})

t.test('event.send: keyword arguments are data, the data argument wins, what is no mapping is dropped', async t => {
  const { run, sent, options, local } = await minionTest(t, { grains: { role: 'web' }, options: { pillar: { team: 'infra', other: 1 } } })
  t.match(await run('event.send', 'myco/kw', { foo: 1, bar: 2 }, kw({ foo: 'Foo', n: 5 })), { return: true, retcode: 0 })
  t.match(sent[0], { tag: 'myco/kw', data: { foo: 1, n: 5, bar: 2, __pub_fun: 'event.send', __pub_tgt: 'web1' } })
  t.same(Object.keys(sent[0]!.data as object).slice(0, 3), ['foo', 'n', '__pub_fun'])
  await run('event.send', 'myco/str', 'just a string')
  t.notOk(Object.keys(sent[1]!.data as object).some(key => !key.startsWith('__pub_')))
  await run('event.send', 'myco/with', { a: 1 }, kw({ with_grains: ['role'], with_pillar: ['team'], with_env_opts: true }))
  t.match(sent[2]!.data, { grains: { role: 'web' }, pillar: { team: 'infra' }, saltenv: options.saltenv, pillarenv: null, a: 1 })
  t.notOk(Object.hasOwn((sent[2]!.data as { pillar: object }).pillar, 'other'))
  await run('event.send', 'myco/preload', { a: 1 }, kw({ preload: { extra: true } }))
  t.same(sent[3]!.options, { preload: { extra: true } })
  await run('event.fire_master', 'a string', 'custom/str')
  t.same(sent[4], { tag: 'custom/str', data: 'a string', options: {} })
  await run('event.fire', { data: 'local only' }, 'custom/local')
  t.same(local, [{ tag: 'custom/local', data: { data: 'local only' }, options: undefined }])
  t.equal(sent.length, 5)
})

t.test('pillar functions', async t => {
  const { value } = await minionTest(t, { options: { pillar: { port: 8080, vhosts: ['a.example', 'b.example'] } } })
  t.same(await value('pillar.items'), { port: 8080, vhosts: ['a.example', 'b.example'] })
  t.equal(await value('pillar.get', 'vhosts:0'), 'a.example')
  t.equal(await value('pillar.get', 'nosuch'), '')
  t.same(await value('pillar.obfuscate'), { port: '<int>', vhosts: ['<str>', '<str>'] })
})

t.test('config.get looks into options, grains and pillar, in this order', async t => {
  const options = { settings: { a: 1, deep: { x: 'opt' } }, pillar: { a: 3, p: 'pillar' } }
  const { value } = await minionTest(t, { options, grains: { a: 2, g: 'grain' } })
  t.same([await value('config.get', 'a'), await value('config.get', 'g'), await value('config.get', 'p')], [1, 'grain', 'pillar'])
  t.same([await value('config.get', 'deep:x'), await value('config.get', 'nosuch'), await value('config.get', 'nosuch', 5)], ['opt', '', 5])
  t.same(
    [await value('config.manage_mode', 644), await value('config.manage_mode', '0755'), await value('config.manage_mode', 4755)],
    ['0644', '0755', '04755']
  )
})

t.test('cp: files of file_roots', async t => {
  const files = { 'a.txt': 'A {{ who }}\n', 'd/b.txt': 'B', 'd/e/c.txt': 'C', 'web/init.sls': '', 'web/x.sls': '' }
  const { value, run, read, dir } = await minionTest(t, { files })
  t.equal(await value('cp.get_file_str', 'salt://a.txt'), 'A {{ who }}\n')
  t.equal(await value('cp.get_file_str', 'salt://nix'), false)
  t.equal(await value('cp.get_file', 'salt://a.txt', `${dir}/x/a`), '', 'no directory, no file')
  t.equal(await value('cp.get_file', 'salt://a.txt', `${dir}/x/a`, kw({ makedirs: true })), `${dir}/x/a`)
  t.equal(await value('cp.get_template', 'salt://a.txt', `${dir}/y`, kw({ who: 'me' })), `${dir}/y`)
  t.equal(await read('y'), 'A me\n')
  t.same(await value('cp.get_dir', 'salt://d', `${dir}/into`), [`${dir}/into/d/b.txt`, `${dir}/into/d/e/c.txt`])
  t.same(await value('cp.list_master'), Object.keys(files).sort())
  t.same(await value('cp.list_master_dirs'), ['.', 'd', 'd/e', 'web'])
  t.same(await value('cp.list_states'), ['web', 'web.x'])
  t.match(await value('cp.hash_file', 'salt://d/b.txt'), { hsum: /^df7e70e5/, hash_type: 'sha256' })
  for (const path of ['salt://../conf/secret', 'salt://d/../../x', 'salt://']) {
    t.match(await run('cp.get_file_str', path), { retcode: 1, return: /is no path below file_roots/ }, path)
  }
})

t.test('arguments of a strange kind are told in words, whatever the function', async t => {
  const { run } = await minionTest(t)
  t.match(await run('slsutil.merge_all', { a: 1 }), {
    retcode: 1,
    return: "ERROR executing 'slsutil.merge_all': lst must be a list, not {'a': 1}"
  })
  t.match(await run('slsutil.merge_all', null), { retcode: 1, return: /lst must be a list, not None/ })
  t.equal((await run('config.manage_mode', [{ b: 1 }])).return, "0[{'b': 1}]")
})

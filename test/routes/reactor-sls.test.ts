import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { reactorServer } from '../helpers/reactor-server.js'
import { tempFolder } from '../helpers/store.js'

const PING = 'ping:\n  local.test.ping:\n    - tgt: {{ data.id }}\n'
const text = (text: string) => ({ text })

/** A server whose reactor may write below `root`. */
async function withRoot(t: Parameters<typeof reactorServer>[0], options: Parameters<typeof reactorServer>[1] = {}) {
  const root = join(await tempFolder(t), 'reactor')
  const server = await reactorServer(t, { ...options, settings: { reactor_roots: [root], ...options.settings } })
  return { ...server, root }
}

t.test('an SLS file is written after a check, read, listed with its rules, changed and deleted', async t => {
  const { ask, root } = await withRoot(t)
  const made = await ask('PUT', '/reactor/sls/ci/ping.sls', text(PING))
  t.match(made, { status: 201, body: { path: 'ci/ping.sls', file: join(root, 'ci/ping.sls'), text: PING, warnings: [] } })
  t.equal(readFileSync(join(root, 'ci/ping.sls'), 'utf8'), PING)
  await ask('POST', '/reactor/rules', { id: 'one', tag: 'a', sls: [join(root, 'ci/ping.sls')] })
  await ask('POST', '/reactor/rules', { id: 'all', tag: 'b', sls: [join(root, 'ci/*.sls'), '/elsewhere/x.sls'] })
  t.match(await ask('GET', '/reactor/sls'), {
    status: 200,
    body: {
      roots: [root],
      files: [{ path: 'ci/ping.sls', size: PING.length, rules: ['one', 'all'] }],
      elsewhere: [{ sls: '/elsewhere/x.sls', rules: ['all'] }]
    }
  })
  const read = await ask('GET', '/reactor/sls/ci/ping.sls')
  t.match(read, { status: 200, headers: { etag: made.headers.etag }, body: { text: PING } })
  const etag = String(made.headers.etag)
  t.match(await ask('PUT', '/reactor/sls/ci/ping.sls', text('x: y')), { status: 428, body: { code: 'PRECONDITION_REQUIRED' } })
  t.match(await ask('PUT', '/reactor/sls/ci/ping.sls', text(PING), { 'if-none-match': '*' }), { status: 412 })
  const next = `# again\n${PING}`
  const changed = await ask('PUT', '/reactor/sls/ci/ping.sls', text(next), { 'if-match': etag })
  t.equal(changed.status, 200)
  t.match(await ask('PUT', '/reactor/sls/ci/ping.sls', text(PING), { 'if-match': etag }), {
    status: 412,
    body: { code: 'PRECONDITION_FAILED' }
  })
  t.match(await ask('DELETE', '/reactor/sls/ci/ping.sls'), { status: 428 })
  t.match(await ask('DELETE', '/reactor/sls/ci/ping.sls', undefined, { 'if-match': etag }), { status: 412 })
  t.match(await ask('DELETE', '/reactor/sls/ci/ping.sls', undefined, { 'if-match': String(changed.headers.etag) }), { status: 200 })
  t.notOk(existsSync(join(root, 'ci/ping.sls')))
  t.match(await ask('GET', '/reactor/sls/ci/ping.sls'), { status: 404 })
})

t.test('what does not parse is refused with file, line and column, and nothing is written', async t => {
  const { ask, root } = await withRoot(t)
  const cases: [string, RegExp][] = [
    ['a:\n  local.test.ping:\n    - tgt: {{ data.id \n', /x\.sls:\d+:\d+: /],
    ['{% if data.id %}\na: b\n', /x\.sls:\d+(:\d+)?: /],
    ['a:\n  local.test.ping:\n  - tgt: {{ data.id }}\n b: [\n', /x\.sls:[45](:\d+)?: /],
    ["a:\n  local.test.ping:\n    - arg: ['{{ data.id | nosuch }}']\n", /x\.sls:3:\d+: .*nosuch/],
    ['a:\n  local.test.ping:\n    - tgt: x\na:\n  runner.manage.up: []\n', /x\.sls:4:1: /],
    ['a:\n  runner.no.such: []\n', /no\.such/],
    ['#!jinja|nosuch\na: b\n', /x\.sls:1:1: .*nosuch/]
  ]
  for (const [sls, message] of cases) {
    const { status, body } = await ask('PUT', '/reactor/sls/x.sls', text(sls))
    t.match([status, body.code, body.error], [400, 'SLS_INVALID', message], sls)
  }
  t.notOk(existsSync(join(root, 'x.sls')))
  t.match(await ask('PUT', '/reactor/sls/x.sls', {}), { status: 400, body: { error: /'text'/ } })
  t.match(await ask('PUT', '/reactor/sls/x.sls', text('#'.repeat(262_145))), { status: 400, body: { error: /'text'/ } })
})

t.test('an SLS that is right is not refused for what only an event can tell', async t => {
  const { ask } = await withRoot(t)
  const right = [
    '{% macro call(id) %}\n{{ id }}:\n  runner.manage.up: []\n{% endmacro %}\n{{ call(data.id) }}\n',
    "{% if data.a %}\nx:\n  local.test.ping:\n    - tgt: 'a'\n{% else %}\nx:\n  local.test.ping:\n    - tgt: b\n{% endif %}\n",
    '{{ data.sections | yaml(False) }}\n',
    '{% for id in data.ids %}\n{{ id }}:\n  local.state.apply:\n    - tgt: {{ id }}\n{% endfor %}\n',
    '#!jinja|json\n{"a": {"runner.manage.up": []}}\n',
    '#!yaml\na:\n  runner.manage.up: []\n',
    ''
  ]
  for (const [i, sls] of right.entries()) t.match(await ask('PUT', `/reactor/sls/right${i}.sls`, text(sls)), { status: 201 }, sls)
  const warned = "x:\n  local.cmd.run:\n    - tgt: a\n    - arg: ['echo {{ data.x }}']\n"
  t.match(await ask('PUT', '/reactor/sls/warned.sls', text(warned)), { status: 201, body: { warnings: [{ line: 4, message: /quote/ }] } })
})

t.test('the text may be sent as it is', async t => {
  const { http, root } = await withRoot(t)
  const put = (type: string, payload: string | Buffer) =>
    http.app.inject({
      method: 'PUT',
      url: '/reactor/sls/p.sls',
      headers: { 'x-auth-token': http.token, 'content-type': type, 'if-match': '*' },
      payload
    })
  writeRoot(root, 'p.sls', '# old\n')
  t.equal((await put('text/plain', '{"a": {"runner.manage.up": []}}')).statusCode, 200, 'JSON is YAML, too')
  t.equal(readFileSync(join(root, 'p.sls'), 'utf8'), '{"a": {"runner.manage.up": []}}')
  t.equal((await put('application/x-yaml', PING)).statusCode, 200)
  t.equal((await put('text/plain', Buffer.from([0x61, 0xff]))).statusCode, 400)
  t.equal((await put('application/x-www-form-urlencoded', 'a=1')).statusCode, 406)
})

t.test('nothing outside of the roots is listed, read, written or deleted: neither by .. nor through links', async t => {
  const { ask, root } = await withRoot(t)
  const outside = await tempFolder(t)
  writeFileSync(join(outside, 'secret.sls'), 'secret: text\n')
  writeRoot(root, 'own.sls', 'own: text\n')
  symlinkSync(outside, join(root, 'out'))
  symlinkSync(join(outside, 'secret.sls'), join(root, 'link.sls'))
  symlinkSync(join(outside, 'new.sls'), join(root, 'dangling.sls'))
  symlinkSync(join(root, 'own.sls'), join(root, 'inner.sls'))
  const { files } = (await ask('GET', '/reactor/sls')).body as { files: { path: string }[] }
  t.strictSame(
    files.map(({ path }) => path),
    ['inner.sls', 'own.sls']
  )
  const paths = ['out/secret.sls', 'link.sls', '../secret.sls', '..%2fsecret.sls', '%2e%2e/secret.sls', 'a/%2e%2e/%2e%2e/x.sls']
  for (const path of [...paths, `%2f${join(outside, 'secret.sls')}`, '.hidden.sls', 'a%00b.sls', 'a%0ab.sls', 'dangling.sls']) {
    for (const method of ['GET', 'PUT', 'DELETE'] as const) {
      const { status, body } = await ask(method, `/reactor/sls/${path}`, method === 'PUT' ? text(PING) : undefined, { 'if-match': '*' })
      t.ok(status === 400 || status === 404 || status === 412, `${method} ${path}: ${status}`)
      t.notMatch(JSON.stringify(body), 'secret: text')
    }
    const made = await ask('PUT', `/reactor/sls/${path}`, text(PING))
    t.ok(made.status === 400 || made.status === 404, `PUT ${path} without a condition: ${made.status}`)
  }
  t.match(await ask('PUT', '/reactor/sls/inner.sls', text(PING), { 'if-match': '*' }), { status: 400 }, 'nothing is written through a link')
  for (const path of [`${'n'.repeat(300)}.sls`, 'own.sls/below.sls', `${'d/'.repeat(400)}x.sls`, `${'e'.repeat(300)}/x.sls`]) {
    const { status } = await ask('PUT', `/reactor/sls/${path}`, text(PING))
    t.ok(status === 400 || status === 414 || status === 201, `${path.slice(0, 20)}: ${status}`)
    t.ok([400, 404, 412].includes((await ask('GET', `/reactor/sls/${path}x`)).status), path.slice(0, 20))
  }
  t.equal(readFileSync(join(outside, 'secret.sls'), 'utf8'), 'secret: text\n')
  t.notOk(existsSync(join(outside, 'new.sls')))
  t.equal(readFileSync(join(root, 'own.sls'), 'utf8'), 'own: text\n')
})

t.test('versions of a file are kept with author and time, those found on disk too; they are compared and restored', async t => {
  const { ask, bench, http, root } = await withRoot(t)
  writeRoot(root, 'v.sls', '# by hand\n')
  const looker = { 'x-auth-token': await http.tokenOf('looker'), 'if-match': '*' }
  await ask('PUT', '/reactor/sls/v.sls', text('# first\n'), { 'if-match': '*' })
  await ask('PUT', '/reactor/sls/v.sls', text('# second\n'), looker)
  writeRoot(root, 'v.sls', '# by hand again\n')
  await ask('PUT', '/reactor/sls/v.sls', text('# third\n'), { 'if-match': '*' })
  const { versions } = (await ask('GET', '/reactor/sls-versions/v.sls')).body as { versions: { version: number; changed_by: string }[] }
  t.strictSame(
    versions.map(({ version, changed_by }) => [version, changed_by]),
    [
      [5, 'admin'],
      [4, ''],
      [3, 'looker'],
      [2, 'admin'],
      [1, '']
    ]
  )
  t.match(await ask('GET', '/reactor/sls/v.sls?version=4'), { body: { version: 4, text: '# by hand again\n' } })
  t.match(await ask('GET', '/reactor/sls/v.sls?version=6'), { status: 404 })
  t.match(
    (await ask('GET', '/reactor/sls-diff/v.sls?from=2')).body.diff,
    /^--- version 2\n\+\+\+ now\n@@ -1 \+1 @@\n-# first\n\+# third\n$/
  )
  t.match((await ask('GET', '/reactor/sls-diff/v.sls?from=1&to=3')).body.diff, /-# by hand\n\+# second\n/)
  t.match(await ask('POST', '/reactor/sls-restore/v.sls', { version: 3 }), { status: 200, body: { text: '# second\n' } })
  await ask('DELETE', '/reactor/sls/v.sls', undefined, { 'if-match': '*' })
  t.match(await ask('POST', '/reactor/sls-restore/v.sls', { version: 7 }), { status: 409 }, 'there was no file then')
  t.match(await ask('POST', '/reactor/sls-restore/v.sls', { version: 1 }), { status: 200 })
  t.equal(readFileSync(join(root, 'v.sls'), 'utf8'), '# by hand\n')
  const told: unknown[] = []
  for await (const page of bench.store.events.read({ after: 0, upTo: 1000 }))
    for (const { tag, json } of page)
      if (tag === 'salt/reactor/sls') told.push([JSON.parse(json).act, JSON.parse(json).version, JSON.parse(json).user])
  t.strictSame(told, [
    ['changed', 2, 'admin'],
    ['changed', 3, 'looker'],
    ['changed', 5, 'admin'],
    ['changed', 6, 'admin'],
    ['removed', 7, 'admin'],
    ['created', 8, 'admin']
  ])
})

t.test('of two writers over the same content one is refused', async t => {
  const { ask, root } = await withRoot(t)
  const made = await ask('PUT', '/reactor/sls/w.sls', text('# 0\n'))
  const etag = String(made.headers.etag)
  const answers = await Promise.all([1, 2, 3].map(n => ask('PUT', '/reactor/sls/w.sls', text(`# ${n}\n`), { 'if-match': etag })))
  t.strictSame(answers.map(({ status }) => status).sort(), [200, 412, 412])
  const won = answers.find(({ status }) => status === 200)!
  t.equal(readFileSync(join(root, 'w.sls'), 'utf8'), won.body.text)
})

t.test('a rule uses the new text of its SLS from the next event on', async t => {
  const { ask, bench, root } = await withRoot(t)
  const echo = (word: string) => `say:\n  local.test.echo:\n    - tgt: web1\n    - arg: [${word}]\n`
  await ask('PUT', '/reactor/sls/say.sls', text(echo('one')))
  await ask('POST', '/reactor/rules', { id: 'say', tag: 'myco/*', sls: [join(root, 'say.sls')] })
  await bench.fire('myco/1')
  await bench.reactions(all => all.length === 1 && all[0]!.state === 'succeeded')
  await ask('PUT', '/reactor/sls/say.sls', text(echo('two')), { 'if-match': '*' })
  await bench.fire('myco/2')
  const both = await bench.reactions(all => all.length === 2 && all[1]!.state === 'succeeded')
  t.match(
    both.map(({ call }) => call),
    [{ arg: ['one'] }, { arg: ['two'] }]
  )
})

t.test('files are seen and changed by who may see and change rules; without roots there are none', async t => {
  const { ask, http } = await withRoot(t)
  const as = async (user: string) => ({ 'x-auth-token': await http.tokenOf(user) })
  t.match(await ask('GET', '/reactor/sls', undefined, await as('nobody')), { status: 403 })
  t.match(await ask('GET', '/reactor/sls', undefined, await as('watcher')), { status: 200 })
  t.match(await ask('PUT', '/reactor/sls/a.sls', text(PING), await as('watcher')), { status: 403 })
  t.match(await ask('PUT', '/reactor/sls/a.sls', text(PING), await as('looker')), { status: 201 })
  const none = await reactorServer(t)
  t.match(await none.ask('GET', '/reactor/sls'), { status: 200, body: { roots: [], files: [] } })
  t.match(await none.ask('PUT', '/reactor/sls/a.sls', text(PING)), { status: 409, body: { code: 'NO_REACTOR_ROOTS' } })
})

function writeRoot(root: string, path: string, content: string): void {
  mkdirSync(root, { recursive: true })
  writeFileSync(join(root, path), content)
}

import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { tagMatcher } from '../../src/cli/event.js'
import { readFrames } from '../../src/cli/sse.js'
import { type HttpTest, httpServer } from '../helpers/http.js'
import { begin, brine } from '../helpers/terminal.js'

/** A server, and the environment that leads to it. */
async function server(t: Parameters<typeof httpServer>[0], users = {}): Promise<HttpTest & { env: Record<string, string> }> {
  const http = await httpServer(t, { users })
  const url = await http.listen()
  return { ...http, env: { BRINE_URL: url, BRINE_TOKEN: http.token } }
}

/** The other end of the wire, played by the test. */
async function fakeServer(
  t: { teardown(undo: () => unknown): unknown },
  answer: RequestListener
): Promise<{ fake: Server; env: Record<string, string> }> {
  const fake = createServer(answer).listen(0, '127.0.0.1')
  await once(fake, 'listening')
  t.teardown(() => {
    fake.closeAllConnections()
    fake.close()
  })
  return { fake, env: { BRINE_URL: `http://127.0.0.1:${(fake.address() as AddressInfo).port}` } }
}

t.test('event send fires an event and prints its id; data come from JSON and name=value', async t => {
  const { env, store } = await server(t)
  const sent = await brine(['event', 'send', 'ci/done', 'status=ok', 'n=12', 'list=[1, two]', '--json', '{"n": 1, "x": {"y": null}}'], {
    env
  })
  t.strictSame([sent.code, sent.err], [0, ''])
  const [epoch, seq] = sent.out.trim().split('-')
  t.equal(epoch, store.events.epoch)
  const event = await store.events.get(Number(seq))
  t.equal(event?.tag, 'ci/done')
  t.equal(event?.source, 'user:admin')
  t.match(JSON.parse(event!.json), { status: 'ok', n: 12, list: [1, 'two'], x: { y: null } })
})

t.test('event send takes a YAML mapping, as salt-call event.send does, with name=value over it', async t => {
  const { env, store } = await server(t, {})
  const sent = await brine(['event', 'send', 'myco/mytag/success', '{success: True, message: "It works!", n: 1}', 'n=2'], { env })
  t.equal(sent.code, 0)
  const stored = await store.events.get(await store.events.head())
  t.match(JSON.parse(stored!.json), { success: true, message: 'It works!', n: 2 })
  t.equal((await brine(['event', 'send', 'x', '{a: 1}', '--json', '{}'], { env })).code, 2, 'data given twice')
  t.equal((await brine(['event', 'send', 'x', '{a'], { env })).code, 2, 'no mapping')
})

t.test('event send reads stdin, for one event and for many', async t => {
  const { env, store } = await server(t)
  t.equal((await brine(['event', 'send', 'a', '--json', '-'], { env, stdin: '{"k": 1}' })).code, 0)
  const many = await brine(['event', 'send', '--lines'], { env, stdin: '{"tag": "b", "data": {}}\n{"tag": "c", "data": {"n": 2}}\n' })
  t.equal(many.code, 0)
  t.match(many.out, /"success": true, "count": 2/)
  t.equal(await store.events.count(), 3)
  const broken = await brine(['event', 'send', '--lines'], { env, stdin: '{"tag": "b"}\n{oops\n' })
  t.equal(broken.code, 2)
  t.match(broken.err, /BODY|does not parse/)
})

t.test('event send with an idempotency key fires once', async t => {
  const { env, store } = await server(t)
  const send = () => brine(['event', 'send', 'a', '--idempotency-key', 'k1'], { env })
  t.equal((await send()).out, (await send()).out)
  t.equal(await store.events.count(), 1)
})

t.test('event watch prints what is fired from then on, by glob, until count is reached', async t => {
  const { env, hub } = await server(t)
  await brine(['event', 'send', 'ci/before'], { env })
  const watching = begin(['event', 'watch', 'ci/*', '--exclude', 'ci/x', '--count', '2', '--out', 'json'], { env })
  while (hub.subscribers === 0) await new Promise(setImmediate)
  for (const tag of ['other', 'ci/x', 'ci/1', 'ci/2', 'ci/3']) await brine(['event', 'send', tag, `t=${tag}`], { env })
  const { code, out } = await watching.done
  t.equal(code, 0)
  const lines = out
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { id: string; tag: string; data: Record<string, unknown> })
  t.strictSame(
    lines.map(({ tag, data }) => [tag, data.t]),
    [
      ['ci/1', 'ci/1'],
      ['ci/2', 'ci/2']
    ]
  )
  t.match(lines[0]!.id, /^[0-9a-f]{8}-\d+$/)
})

t.test('event watch begins in the past when asked, and prints tag, TAB and data', async t => {
  const { env } = await server(t)
  await brine(['event', 'send', 'a', 'ü=ß', 'n=null'], { env })
  await brine(['event', 'send', 'b'], { env })
  const { out } = await brine(['event', 'watch', '--since', 'earliest', '--count', '2'], { env })
  t.match(out, /^a\t\{"ü": "ß", "n": null, "_stamp": "[^"]+"\}\nb\t\{"_stamp": "[^"]+"\}\n$/)
  const pretty = await brine(['event', 'watch', '--since', 'earliest', '--count', '1', '--pretty'], { env })
  t.match(pretty.out, /^a\t\{\n {4}"_stamp": "[^"]+",\n {4}"n": null,\n {4}"ü": "ß"\n\}\n$/)
})

t.test('event watch ends with 1 when the awaited event does not come in time, with 130 on Ctrl-C', async t => {
  const { env, hub } = await server(t)
  t.equal((await brine(['event', 'watch', 'never', '--count', '1', '--timeout', '0.2s'], { env })).code, 1)
  t.equal((await brine(['event', 'watch', 'never', '--timeout', '0.2s'], { env })).code, 0, 'without a count there is nothing to miss')
  const watching = begin(['event', 'watch'], { env })
  while (hub.subscribers === 0) await new Promise(setImmediate)
  watching.interrupt()
  t.equal((await watching.done).code, 130)
})

t.test('a lost stream is taken up after the last event seen, also when none was seen yet', async t => {
  const asked: string[] = []
  const { env } = await fakeServer(t, (request, response) => {
    const since = new URL(request.url!, 'http://x').searchParams.get('since')!
    if (request.headers.accept === 'application/json') return void response.end('{"events": [], "next": "e-7"}')
    asked.push(since)
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    if (asked.length === 1) response.write('retry: 400\n: heartbeat\n\n', () => response.destroy())
    else if (asked.length === 2)
      response.write('id: e-8\ntag: a\ndata: {"data": {"n": 1}, "tag": "a"}\n\nid: e-9\nta', () => response.destroy())
    else if (asked.length === 3) response.end('event: end\ndata: {"reason": "server is stopping"}\n\n')
    else response.write('id: e-9\ntag: b\ndata: {"data": {"n": 2}, "tag": "b"}\n\n')
  })
  const { code, out, err } = await brine(['event', 'watch', '--count', '2'], { env })
  t.equal(code, 0)
  t.equal(out, 'a\t{"n": 1}\nb\t{"n": 2}\n')
  t.strictSame(asked, ['e-7', 'e-7', 'e-8', 'e-8'])
  t.match(err, /server is stopping; trying again/)
})

t.test('a gap is told on stderr, and the stream goes on', async t => {
  const { env } = await fakeServer(t, (_request, response) => {
    response.end(
      'id: e-5\nevent: gap\ndata: {"from": "e-1", "to": "e-5", "reason": "retention"}\n\nid: e-6\ntag: a\ndata: {"data": {}, "tag": "a"}\n\n'
    )
  })
  const { out, err } = await brine(['event', 'watch', '--since', 'e-1', '--count', '1'], { env })
  t.equal(out, 'a\t{}\n')
  t.match(err, /^gap: .*retention/)
})

t.test('a stream whose token ended is not tried again', async t => {
  const { env, auth, hub } = await server(t, { u: ['@events'] })
  const token = (await auth.issue({ user: 'u', eauth: 'token', label: 'x', expiresSeconds: 60 })).token
  const watching = begin(['event', 'watch'], { env: { ...env, BRINE_TOKEN: token } })
  while (hub.subscribers === 0) await new Promise(setImmediate)
  await auth.revoke((await auth.verify(token)).jti!)
  const { code, err } = await watching.done
  t.equal(code, 3)
  t.match(err, /token revoked/)
})

t.test('refusals: exit codes by kind, text and hint of the server', async t => {
  const { env, tokenOf } = await server(t, { u: ['test.*'] })
  const as = async (user: string) => ({ ...env, BRINE_TOKEN: await tokenOf(user) })
  const denied = await brine(['event', 'send', 'ci/x'], { env: await as('u') })
  t.equal(denied.code, 3)
  t.match(denied.err, /brine: 'u' may not .*\n {7}.*external_auth/)
  t.equal((await brine(['event', 'watch'], { env: await as('u') })).code, 3)
  t.equal((await brine(['event', 'send', 'x'], { env: { ...env, BRINE_TOKEN: 'nonsense' } })).code, 3)
  t.equal((await brine(['event', 'send', 'a\nb'], { env })).code, 2)
  t.equal((await brine(['event', 'send', 'x'], { env: { BRINE_URL: 'http://127.0.0.1:9', BRINE_TOKEN: 'x' } })).code, 5)
  t.equal((await brine(['event', 'send', 'x'], { env: { BRINE_URL: 'ftp://x' } })).code, 2)
  t.equal((await brine(['event', 'send', 'x', 'novalue'], { env })).code, 2)
  t.equal((await brine(['event', 'send', 'x', '--json', '[1]'], { env })).code, 2)
  t.equal((await brine(['event', 'watch', '--timeout', 'soon'], { env })).code, 2)
})

t.test('state.event prints as Salt does: tag, TAB, JSON; pretty sorts and indents by four; None at the end', async t => {
  const { env } = await fakeServer(t, (request, response) => {
    if (request.headers.accept === 'application/json') return void response.end('{"events": [], "next": "e-0"}')
    const data = '{"tag": "myco/b/x", "id": "web1", "data": {"s": "q\\"uote", "n": null, "a": [1, {"z": 1, "y": "é☃"}], "f": 1.5}}'
    response.write(
      `id: e-1\ntag: other\ndata: {"data": {}, "tag": "other"}\n\nid: e-2\ntag: myco/b/x\ndata: {"data": ${data}, "tag": "myco/b/x"}\n\n`
    )
  })
  const plain = await brine(['run', 'state.event', 'myco/*', 'count=1'], { env })
  t.equal(
    plain.out,
    'myco/b/x\t{"tag": "myco/b/x", "id": "web1", "data": {"s": "q\\"uote", "n": null, "a": [1, {"z": 1, "y": "é☃"}], "f": 1.5}}\nNone\n'
  )
  const pretty = await brine(['run', 'state.event', 'tagmatch=myco/.*', 'count=1', 'pretty=True'], { env })
  t.equal(
    pretty.out,
    [
      'myco/b/x\t{',
      '    "data": {',
      '        "a": [',
      '            1,',
      '            {',
      '                "y": "é☃",',
      '                "z": 1',
      '            }',
      '        ],',
      '        "f": 1.5,',
      '        "n": null,',
      '        "s": "q\\"uote"',
      '    },',
      '    "id": "web1",',
      '    "tag": "myco/b/x"',
      '}',
      'None',
      ''
    ].join('\n')
  )
  t.equal((await brine(['run', 'state.event', 'count=2', 'quiet=True'], { env })).out, 'None\n')
  t.equal((await brine(['run', 'state.event', 'cuont=2'], { env })).code, 2)
})

t.test('tagmatch is a glob first, then a regular expression from end to end; one that does not parse matches nothing', async t => {
  t.equal(tagMatcher('salt/job/*/new')('salt/job/1/new'), true)
  t.equal(tagMatcher('salt/job/[0-9]+/new')('salt/job/123/new'), true)
  t.equal(tagMatcher('salt/job')('salt/job/1'), false)
  t.equal(tagMatcher('(')('('), true)
  t.equal(tagMatcher('(')('x'), false)
})

t.test('frames are put together however the stream is cut into pieces', async t => {
  const text = ': c\n\nretry: 400\nid: e-1\ntag: täg\ndata: {"data": {"x": "☃"}, "tag": "täg"}\n\nid: e-2\nevent: gap\ndata: {}\n\n'
  const bytes = Buffer.from(text)
  for (const size of [1, 2, 3, 7, bytes.length]) {
    const pieces = async function* () {
      for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size)
    }
    const frames = []
    for await (const frame of readFrames(pieces())) frames.push(frame)
    t.strictSame(frames, [
      { id: 'e-1', event: null, tag: 'täg', data: '{"data": {"x": "☃"}, "tag": "täg"}' },
      { id: 'e-2', event: 'gap', tag: '', data: '{}' }
    ])
  }
})

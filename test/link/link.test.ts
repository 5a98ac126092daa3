import { gzipSync } from 'node:zlib'
import t from 'tap'
import { brineError } from '../../src/errors.js'
import { AUTH } from '../../src/tags/tags.js'
import { makeKey } from '../helpers/keypairs.js'
import { FakeMinion, type LinkTest, linkServer } from '../helpers/link.js'
import { TestClock } from '../helpers/store.js'

const [one, two] = [makeKey(), makeKey()]

/** An accepted minion with a token. */
async function accepted(server: LinkTest, id = 'web1', key = one): Promise<FakeMinion> {
  await server.keys.vouch(id, key.pub)
  return new FakeMinion(server.url, id, key).authenticate()
}

const publish = (server: LinkTest, fun = 'test.ping', tgt = 'web1') =>
  server.jobs.publish({ tgt, tgtType: 'glob', fun, arg: [], user: 'admin' }) as Promise<{ jid: string }>

const ret = (jid: string, more: object = {}) => ({ jid, fun: 'test.ping', fun_args: [], return: true, retcode: 0, success: true, ...more })

t.test('a new minion waits until its key is accepted, then proves it and gets a token', async t => {
  const server = await linkServer(t)
  const minion = new FakeMinion(server.url, 'web1', one)
  t.same((await minion.enroll()).body, { state: 'pending' })
  await server.keys.accept('web1')
  await minion.authenticate()
  const stream = await minion.stream()
  t.ok(server.link.isConnected('web1'))
  stream.close()
  t.same(
    (await server.told()).map(({ tag, data }) => [tag, data.act]),
    [
      [AUTH, 'pend'],
      ['salt/key', 'accept'],
      [AUTH, 'accept']
    ]
  )
})

t.test('a challenge counts once, for its own id, for a minute, and with a signature of the accepted key', async t => {
  const clock = new TestClock()
  const server = await linkServer(t, { clock })
  await server.keys.vouch('web1', one.pub)
  await server.keys.vouch('db1', two.pub)
  const web1 = new FakeMinion(server.url, 'web1', one)
  const db1 = new FakeMinion(server.url, 'db1', two)

  const { nonce } = (await web1.enroll()).body
  t.match(await db1.prove(nonce), { status: 401, body: { code: 'KEY_PROOF' } }, "somebody else's challenge")
  t.match(await web1.prove(nonce, { signature: two.sign('web1', nonce) }), { status: 401 }, "somebody else's signature")
  t.match(await web1.prove(nonce, { pub: two.pub, signature: two.sign('web1', nonce) }), { status: 403, body: { code: 'KEY_DENIED' } })
  const { nonce: fresh } = (await web1.enroll()).body
  t.equal((await web1.prove(fresh)).status, 200)
  t.match(await web1.prove(fresh), { status: 401, body: { code: 'KEY_PROOF' } }, 'replayed')
  t.match(await web1.prove(`${fresh}.x`), { status: 401, body: { code: 'KEY_PROOF' } }, 'nor with something after it')

  const { nonce: late } = (await web1.enroll()).body
  clock.pass(61)
  t.match(await web1.prove(late), { status: 401 }, 'expired')
  const { nonce: forged } = (await web1.enroll()).body
  const [, random, mac] = forged.split('.')
  t.match(await web1.prove(`zzzzzzzzzzz.${random}.${mac}`), { status: 401 }, 'a longer life')
})

t.test('a minion with another key for a known id is denied, and cannot speak', async t => {
  const server = await linkServer(t)
  await accepted(server)
  const stranger = new FakeMinion(server.url, 'web1', two)
  t.same((await stranger.enroll()).body, { state: 'denied' })
  t.match((await server.told()).at(-1), { tag: AUTH, data: { result: false, act: 'denied', id: 'web1', pub: two.pub } })
})

t.test('ids that are more than names, keys that are none, and unknown protocols are refused', async t => {
  const server = await linkServer(t)
  for (const id of ['*', '../x', 'a b', '', 'web*']) {
    t.match(await new FakeMinion(server.url, id, one).enroll(), { status: 400, body: { code: 'MINION_ID_INVALID' } }, JSON.stringify(id))
  }
  const minion = new FakeMinion(server.url, 'web1', one)
  t.match(await minion.enroll({ pub: 'none' }), { status: 400, body: { code: 'KEY_INVALID' } })
  t.match(await minion.enroll({ protocol: 99 }), { status: 400, body: { code: 'PROTOCOL_VERSION' } })
  t.same(await server.told(), [], 'none of it is an event')
})

t.test('with auto_accept a new key is accepted when it is proved, with one event', async t => {
  const server = await linkServer(t, { config: { auto_accept: true } })
  await new FakeMinion(server.url, 'web1', one).authenticate()
  t.same(
    (await server.told()).map(({ data }) => data.act),
    ['accept']
  )
})

t.test("the link's routes take minions' tokens alone, and minions' tokens are good nowhere else", async t => {
  const server = await linkServer(t)
  const minion = await accepted(server)
  for (const token of ['', 'nonsense', server.token]) {
    t.match(await minion.post('/minion/up', { spool: '00000001', items: [], acks: [] }, token), { status: 401 }, token.slice(0, 10))
    const headers: Record<string, string> = token === '' ? {} : { 'x-auth-token': token }
    t.equal((await fetch(`${server.url}/minion/stream`, { headers })).status, 401)
    t.equal((await fetch(`${server.url}/minion/file?path=x`, { headers })).status, 401)
  }
  t.equal((await minion.get('/events?timeout=1')).status, 401)
  t.equal((await minion.get('/keys')).status, 401)
})

t.test('rejecting or deleting a key ends the stream at once, and the token with it', async t => {
  const server = await linkServer(t)
  for (const [act, reason] of [
    ['reject', 'rejected'],
    ['delete', 'deleted']
  ] as const) {
    const minion = await accepted(server, `${act}-1`)
    const stream = await minion.stream()
    await server.keys[act](minion.id)
    t.same(await stream.next(), { type: 'bye', reason })
    t.equal(await stream.next(), null)
    t.notOk(server.link.isConnected(minion.id))
    t.match(await minion.up({}), { status: 401 })
    await t.rejects(minion.stream(), 'status 401')
  }
})

t.test('a token from before the key was accepted anew does not count', async t => {
  const server = await linkServer(t)
  const minion = await accepted(server)
  await server.keys.delete('web1')
  await server.keys.vouch('web1', two.pub)
  t.match(await minion.up({}), { status: 401 })
})

t.test('a newer stream of a minion takes the place of the older one, without telling that it was gone', async t => {
  const server = await linkServer(t)
  const minion = await accepted(server)
  const seen: unknown[] = []
  server.link.onPresence((id, connected) => seen.push([id, connected]))
  const older = await minion.stream()
  const newer = await minion.stream()
  t.same(await older.next(), { type: 'bye', reason: 'replaced' })
  t.equal(await older.next(), null)
  t.same(seen, [['web1', true]])
  const { jid } = await publish(server)
  t.match(await newer.next(), { type: 'job', job: { jid } })
  newer.close()
  await new Promise<void>(resolve => server.link.onPresence((_, connected) => connected || resolve()))
  t.same(seen.at(-1), ['web1', false])
})

t.test('a job goes down as it is published, and what was published before goes down when the minion comes', async t => {
  const server = await linkServer(t)
  const minion = await accepted(server)
  const early = await publish(server, 'test.ping')
  const stream = await minion.stream()
  t.same(await stream.next(), {
    type: 'job',
    job: { jid: early.jid, fun: 'test.ping', arg: [], tgt: 'web1', tgt_type: 'glob', user: 'admin', ret: '' }
  })
  const late = await publish(server, 'test.version')
  t.match(await stream.next(), { type: 'job', job: { jid: late.jid, fun: 'test.version' } })
})

t.test('a job is sent again on the next stream until it is acknowledged, then never again', async t => {
  const server = await linkServer(t)
  const minion = await accepted(server)
  const { jid } = await publish(server)
  const first = await minion.stream()
  t.match(await first.next(), { type: 'job', job: { jid } })
  first.close()
  const second = await minion.stream()
  t.match(await second.next(), { type: 'job', job: { jid } })
  t.match(await minion.up({ acks: [jid] }), { status: 200, body: { refused: [] } })
  const third = await minion.stream()
  const other = await publish(server)
  t.match(await third.next(), { type: 'job', job: { jid: other.jid } }, 'the acknowledged one did not come')
})

t.test('more jobs than fit into the window all arrive, as the minion acknowledges', async t => {
  const server = await linkServer(t)
  const minion = await accepted(server)
  const jids = (await Promise.all(Array.from({ length: 250 }, () => publish(server)))).map(({ jid }) => jid)
  const stream = await minion.stream()
  const got = new Set<string>()
  while (got.size < 250) {
    const line = await stream.next()
    if (line?.type !== 'job') throw new Error(JSON.stringify(line))
    got.add(line.job.jid)
    if (got.size % 50 === 0) await minion.up({ acks: [...got].slice(-50) })
  }
  t.same([...got].sort(), jids.sort())
})

t.test('a return is recorded once, however often it is sent, and becomes the event of Salt', async t => {
  const server = await linkServer(t)
  const minion = await accepted(server)
  const { jid } = await publish(server)
  const items = [{ kind: 'return' as const, n: 1, return: ret(jid) }]
  t.match(await minion.up({ items }), { status: 200, body: { refused: [] } })
  t.match(await minion.up({ items }), { status: 200, body: { refused: [] } })
  t.match(await minion.up({ items: [{ kind: 'return', n: 2, return: ret(jid, { return: false }) }] }), { status: 200 })
  const returns = (await server.told()).filter(({ tag }) => tag === `salt/job/${jid}/ret/web1`)
  t.match(returns, [{ data: { cmd: '_return', id: 'web1', return: true }, source: 'minion:web1' }])
  t.equal(returns.length, 1)
})

t.test('a return that is larger than an event may be is kept whole, and its event says so', async t => {
  const server = await linkServer(t)
  const minion = await accepted(server)
  const { jid } = await publish(server)
  const large = 'x'.repeat(5 * 1024 * 1024)
  t.match(await minion.up({ items: [{ kind: 'return', n: 1, return: ret(jid, { return: large }) }] }), {
    status: 200,
    body: { refused: [] }
  })
  t.equal((await server.store.jobs.returns(jid))[0]?.return, large)
  t.match((await server.told()).at(-1), { tag: `salt/job/${jid}/ret/web1`, data: { return: 'VALUE_TRIMMED' } })
})

t.test('grains without measure are refused', async t => {
  const server = await linkServer(t)
  const minion = await accepted(server)
  t.match(await minion.up({ grains: { huge: 'x'.repeat(2 * 1024 * 1024) } }), { status: 400, body: { code: 'FIELD_INVALID' } })
  t.same([...server.keys.facts()], [])
})

t.test("a beacon's event is flat, and flat is for the minion's own beacons alone", async t => {
  const server = await linkServer(t)
  const minion = await accepted(server)
  const event = (n: number, tag: string, data: unknown) => ({ kind: 'event' as const, n, tag, data, flat: true })
  const load = { '1m': 1.5, id: 'web1' }
  const { body } = await minion.up({
    items: [event(1, 'salt/beacon/web1/load/', load), event(2, 'salt/beacon/db1/load/', load), event(3, 'my/tag', load)]
  })
  t.match(body, { refused: [{ n: 2 }] })
  t.same(
    (await server.told()).slice(1).map(({ tag, data }) => ({ tag, data })),
    [
      { tag: 'salt/beacon/web1/load/', data: load },
      { tag: 'my/tag', data: { id: 'web1', cmd: '_minion_event', pretag: null, data: load, tag: 'my/tag' } }
    ]
  )
})

t.test('events have the envelope of Salt, come in order, and once, however the batches are cut', async t => {
  const server = await linkServer(t)
  const minion = await accepted(server)
  const event = (n: number, tag: string, more: object = {}) => ({ kind: 'event' as const, n, tag, data: { n }, ...more })
  const all = [
    event(1, 'my/a'),
    event(2, 'my/b', { preload: { jid: '1', foo: { x: 1 }, id: 'db1', tag: 'other', cmd: 'x' } }),
    event(3, 'my/c')
  ]
  await minion.up({ items: all.slice(0, 2) })
  await minion.up({ items: all })
  await minion.up({ items: all.slice(1), spool: '00000001' })
  const mine = (await server.told()).slice(1)
  t.same(mine, [
    {
      tag: 'my/a',
      data: { id: 'web1', cmd: '_minion_event', pretag: null, data: { n: 1 }, tag: 'my/a' },
      source: 'minion:web1',
      cause: null
    },
    {
      tag: 'my/b',
      data: { id: 'web1', tag: 'my/b', data: { n: 2 }, cmd: '_minion_event', jid: '1', foo: { x: 1 } },
      source: 'minion:web1',
      cause: null
    },
    {
      tag: 'my/c',
      data: { id: 'web1', cmd: '_minion_event', pretag: null, data: { n: 3 }, tag: 'my/c' },
      source: 'minion:web1',
      cause: null
    }
  ])
  t.match(
    (await server.store.events.get(2))?.json,
    /^\{"id": "web1", "cmd": "_minion_event", "pretag": null, "data": \{"n": 1\}, "tag": "my\/a", "_stamp"/
  )
  await minion.up({ items: [event(1, 'my/a')], spool: '00000002' })
  t.equal((await server.told()).length, 5, 'another spool is another story')
})

t.test(
  'a minion speaks as itself: tags and returns in the name of others are refused, and nothing stands in the way of the rest',
  async t => {
    const server = await linkServer(t)
    const minion = await accepted(server)
    await server.keys.vouch('db1', two.pub)
    const { jid } = await publish(server, 'test.ping', 'db1')
    const tags = [
      'salt/minion/db1/start',
      'salt/job/20260101000000000000/ret/db1',
      'salt/auth',
      'salt/beacon/db1/load/',
      'salt/netapi/hook/x',
      'bad\ntag',
      ''
    ]
    const items = tags.map((tag, i) => ({ kind: 'event' as const, n: i + 1, tag, data: {} }))
    const answer = await minion.up({
      items: [
        ...items,
        { kind: 'return', n: 20, return: ret(jid) },
        { kind: 'return', n: 21, return: ret(jid, { id: 'db1' }) },
        { kind: 'event', n: 22, tag: 'salt/beacon/web1/load/', data: {} },
        { kind: 'event', n: 23, tag: 'x', data: 'y'.repeat(2 * 1024 * 1024) },
        { kind: 'event', n: 24, tag: 'last', data: {} }
      ]
    })
    t.equal(answer.status, 200)
    t.same(
      answer.body.refused.map(({ n }) => n),
      [1, 2, 3, 4, 5, 6, 7, 20, 21, 23]
    )
    t.same(
      (await server.told()).map(({ tag }) => tag).filter(tag => !/^\d|^salt\/(auth|job)/.test(tag)),
      ['salt/beacon/web1/load/', 'last']
    )
  }
)

t.test('grains come before the events of the same request, with the refresh event', async t => {
  const server = await linkServer(t)
  const minion = await accepted(server)
  await minion.up({
    grains: { os: 'Debian' },
    items: [{ kind: 'event', n: 1, tag: 'salt/minion/web1/start', data: 'Minion web1 started at …' }]
  })
  t.same(
    (await server.told()).map(({ tag }) => tag),
    [AUTH, 'minion/refresh/web1', 'salt/minion/web1/start']
  )
  t.same([...server.keys.facts()], [{ id: 'web1', grains: { os: 'Debian' } }])
})

t.test('without enable_legacy_startup_events there is no minion_start', async t => {
  const server = await linkServer(t, { config: { enable_legacy_startup_events: false } })
  const minion = await accepted(server)
  const answer = await minion.up({
    items: [
      { kind: 'event', n: 1, tag: 'minion_start', data: 'x' },
      { kind: 'event', n: 2, tag: 'salt/minion/web1/start', data: 'x' }
    ]
  })
  t.same(answer.body, { refused: [] })
  t.same(
    (await server.told()).slice(1).map(({ tag }) => tag),
    ['salt/minion/web1/start']
  )
})

t.test('what a job fires has the cause of the job', async t => {
  const server = await linkServer(t)
  const minion = await accepted(server)
  const cause = { seq: 1, depth: 3 }
  const { jid } = (await server.jobs.publish({ tgt: 'web1', tgtType: 'glob', fun: 'event.send', arg: [], user: 'Reactor', cause })) as {
    jid: string
  }
  await minion.up({
    items: [
      { kind: 'event', n: 1, tag: 'with', data: {}, jid },
      { kind: 'event', n: 2, tag: 'without', data: {} },
      { kind: 'event', n: 3, tag: 'unknown', data: {}, jid: '20200101000000000000' }
    ]
  })
  t.same(
    (await server.told()).slice(-3).map(each => [each.tag, each.cause]),
    [
      ['with', cause],
      ['without', null],
      ['unknown', null]
    ]
  )
})

t.test('while the store refuses, the request is refused as a whole and its repetition is recorded', async t => {
  let busy = false
  const server = await linkServer(t, {
    store: store => ({
      ...store,
      stats: () => store.stats(),
      close: () => store.close(),
      location: store.location,
      jobs: store.jobs,
      keys: store.keys,
      tokens: store.tokens,
      reactions: store.reactions,
      rules: store.rules,
      events: new Proxy(store.events, {
        get(target, name) {
          if (name === 'append' && busy) return () => Promise.reject(brineError('STORE_FULL'))
          const value = Reflect.get(target, name) as unknown
          return typeof value === 'function' ? value.bind(target) : value
        }
      })
    })
  })
  const minion = await accepted(server)
  const items = [{ kind: 'event' as const, n: 1, tag: 'x', data: {} }]
  busy = true
  t.match(await minion.up({ items }), { status: 503, body: { code: 'STORE_FULL' } })
  busy = false
  t.equal((await minion.up({ items })).status, 200)
  t.equal((await server.told()).filter(({ tag }) => tag === 'x').length, 1)
})

t.test('a token is renewed without an event while the minion is connected, and with one otherwise', async t => {
  const server = await linkServer(t)
  const minion = await accepted(server)
  const stream = await minion.stream()
  const renew = async () => minion.prove((await minion.enroll()).body.nonce, { renewal: true })
  t.equal((await renew()).status, 200)
  t.equal((await server.told()).filter(({ tag }) => tag === AUTH).length, 1)
  const gone = new Promise<void>(resolve => server.link.onPresence((_, connected) => connected || resolve()))
  stream.close()
  await gone
  t.equal((await renew()).status, 200)
  t.equal((await server.told()).filter(({ tag }) => tag === AUTH).length, 2)
})

t.test('closing the server ends open streams, saying so', async t => {
  const server = await linkServer(t)
  const stream = await (await accepted(server)).stream()
  const closed = server.close()
  t.same(await stream.next(), { type: 'bye', reason: 'stopping' })
  await closed
  t.same(server.link.connected(), [])
})

t.test('no token and no challenge is in the log', async t => {
  const server = await linkServer(t, { logLevel: 'trace' })
  const minion = await accepted(server)
  const { nonce } = (await minion.enroll()).body
  const stream = await minion.stream()
  stream.close()
  await minion.up({ items: [{ kind: 'event', n: 1, tag: 'salt/no', data: {} }] })
  const all = server.logged.join('')
  t.match(all, 'refused what a minion sent')
  t.notMatch(all, minion.token)
  t.notMatch(all, nonce)
})

/** Sends a text in pieces of this length; the answers. */
async function inPieces(minion: FakeMinion, text: string, size: number, n = 1) {
  const answers: { status: number; body: { refused: { n: number; code: string }[]; code: string; have?: number } }[] = []
  for (let at = 0; at < text.length; at += size) {
    answers.push(await minion.up({ part: { n, at, length: text.length, text: text.slice(at, at + size) } }))
  }
  return answers
}

t.test('a return that comes in parts is recorded whole, once, and its parts are gone', async t => {
  const server = await linkServer(t)
  const minion = await accepted(server)
  const { jid } = await publish(server)
  const value = { text: 'ü€😀"\\'.repeat(100_000) }
  const text = JSON.stringify({ kind: 'return', n: 1, return: ret(jid, { return: value }) })
  const answers = await inPieces(minion, text, 300_001)
  t.same(answers.map(({ body }) => body.have).slice(0, 2), [300_001, 600_002])
  t.same(answers.at(-1)!.body, { refused: [] })
  t.same((await server.store.jobs.returns(jid))[0]?.return, value)
  t.equal(await server.store.jobs.parts('web1', '00000001', 1), '')
  t.same((await inPieces(minion, text, 1_000_000)).at(-1)!.body, { refused: [] }, 'again')
  t.equal((await server.told()).filter(({ tag }) => tag === `salt/job/${jid}/ret/web1`).length, 1)
})

t.test('parts survive a restart, what is missing is asked for, and another return of the minion takes their place', async t => {
  const server = await linkServer(t)
  const minion = await accepted(server)
  const { jid } = await publish(server)
  const text = JSON.stringify({ kind: 'return', n: 1, return: ret(jid) })
  const part = (at: number, more: object = {}) => ({ n: 1, at, length: text.length, text: text.slice(at, at + 10), ...more })
  t.match(await minion.up({ part: part(0) }), { body: { have: 10 } })
  t.match(await minion.up({ part: part(20) }), { body: { have: 10 } }, 'a hole')
  t.match(await minion.up({ part: part(0) }), { body: { have: 10 } }, 'again')
  t.match(await minion.up({ part: part(0, { n: 2 }) }), { body: { have: 10 } })
  t.match(await minion.up({ part: part(10) }), { body: { have: 0 } }, 'those of the other return are gone')
  await server.keys.delete('web1')
  t.equal(await server.store.jobs.parts('web1', '00000001', 1), '', "an id's data dies with its key")
})

t.test('parts that are no return, and parts without sense, are refused', async t => {
  const server = await linkServer(t)
  const minion = await accepted(server)
  for (const text of ['{"kind":', '{"kind":"event","n":1,"tag":"x","data":{}}', '{"kind":"return","n":2,"return":{}}', 'null']) {
    t.match((await inPieces(minion, text, 5)).at(-1), { status: 200, body: { refused: [{ n: 1, code: 'FIELD_INVALID' }] } }, text)
  }
  const { jid } = await publish(server, 'test.ping', 'web1')
  t.match(await minion.up({ part: { n: 1, at: 5, length: 6, text: 'abc' } }), { status: 400, body: { code: 'FIELD_INVALID' } })
  t.match(await minion.up({ part: { n: 1, at: 0, length: 10 ** 9, text: 'abc' } }), { status: 400 })
  t.match(await minion.up({ part: { n: 0, at: 0, length: 1, text: 'a' } }), { status: 400 })
  t.same(await server.store.jobs.returns(jid), [])
})

t.test('a packed body counts as it is unpacked, and one that would be too large unpacked is refused', async t => {
  const server = await linkServer(t)
  const minion = await accepted(server)
  const send = (bytes: Buffer, encoding = 'gzip') =>
    fetch(`${server.url}/minion/up`, {
      method: 'POST',
      headers: { authorization: `Bearer ${minion.token}`, 'content-type': 'application/json', 'content-encoding': encoding },
      body: bytes
    })
  const body = (text: string) =>
    Buffer.from(JSON.stringify({ spool: '00000001', acks: [], items: [{ kind: 'event', n: 1, tag: 'my/packed', data: { text } }] }))
  t.equal((await send(gzipSync(body('x'.repeat(100_000))))).status, 200)
  t.match((await server.told()).at(-1), { tag: 'my/packed', data: { data: { text: 'x'.repeat(100_000) } } })
  const bomb = gzipSync(body('x'.repeat(64 * 1024 * 1024)))
  t.ok(bomb.length < 100_000)
  t.equal((await send(bomb)).status, 413)
  t.equal((await send(Buffer.from('no gzip'))).status, 400)
  t.equal((await send(gzipSync(body('x')).subarray(0, 20))).status, 400, 'cut off')
  t.equal((await send(body('x'), 'br')).status, 400)
  t.equal((await minion.up({})).status, 200, 'and the server goes on')
})

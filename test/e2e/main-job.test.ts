import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readEvents, startBrine, tempData } from '../helpers/server.js'

t.test('a posted hook is streamed live, reacted to, executed on the minion, and its return streamed back', async t => {
  const brine = await startBrine(t)
  const stream = readEvents(`${brine.url}/events?token=${brine.token}`, {}, event => /^salt\/job\/\d{20}\/ret\/local$/.test(event.tag))
  const posted = await brine.fetch('/hook/ci/build', { method: 'POST', body: new URLSearchParams({ status: 'ok' }) })
  t.equal(posted.status, 200)
  t.same(await posted.json(), { success: true })

  const events = await stream
  const tags = events.map(event => event.tag)
  const hook = events.find(event => event.tag === 'salt/netapi/hook/ci/build')
  t.match(hook?.data, { body: 'status=ok', post: { status: 'ok' } })
  const job = events.find(event => /^salt\/job\/\d{20}\/new$/.test(event.tag))
  t.match(job?.data, { fun: 'test.echo', arg: ['build finished: ok'], tgt: '*', tgt_type: 'glob', minions: ['local'] })
  const returned = events.at(-1)!
  t.match(returned.data, { cmd: '_return', id: 'local', return: 'build finished: ok', retcode: 0, success: true, jid: job?.data.jid })
  t.ok(tags.indexOf(hook!.tag) < tags.indexOf(job!.tag), 'the job comes after the hook that caused it')
  t.same(
    events.map(event => Number(event.id.split('-')[1])),
    events.map(event => Number(event.id.split('-')[1])).sort((a, b) => a - b),
    'ids grow'
  )
})

t.test('Ctrl-C ends the server cleanly while a stream is open, and the next start goes on with the same token and log', async t => {
  const data = tempData(t)
  const first = await startBrine(t, { data, args: ['--no-minion'] })
  t.equal(statSync(join(data, 'admin.token')).mode & 0o777, 0o600, 'the token file is for its owner alone')
  await first.fetch('/hook/one', { method: 'POST' })
  const open = await fetch(`${first.url}/events?token=${first.token}`)
  const { code } = await first.stop()
  t.equal(code, 0)
  await open.body?.cancel()

  const second = await startBrine(t, { data, args: ['--no-minion'] })
  t.equal(second.token, first.token, 'same token')
  t.equal(readFileSync(join(data, 'admin.token'), 'utf8').trim(), second.token)
  const [hook] = await readEvents(
    `${second.url}/events?since=earliest`,
    { 'x-auth-token': second.token },
    event => event.tag === 'salt/netapi/hook/one'
  )
  t.ok(hook, 'the event of the first run is in the log of the second')
})

t.test('no token value stands in anything that the server prints', async t => {
  const brine = await startBrine(t, { args: ['--no-minion'], env: { BRINE_LOG_LEVEL: 'trace' } })
  await fetch(`${brine.url}/events?token=${brine.token}&count=0&timeout=1`).then(r => r.text())
  await brine.fetch('/hook/secret', { method: 'POST', headers: { authorization: `Bearer ${brine.token}` } })
  await fetch(`${brine.url}/no/such/path?token=${brine.token}`)
  await fetch(`${brine.url}/login`, {
    method: 'POST',
    body: new URLSearchParams({ username: 'x', password: 'very-secret-word', eauth: 'file' })
  })
  await brine.stop()
  t.ok(brine.output.length > 3, 'it did log')
  t.notOk(
    brine.output.some(line => line.includes(brine.token)),
    'no token'
  )
  t.notOk(
    brine.output.some(line => line.includes('very-secret-word')),
    'no password'
  )
})

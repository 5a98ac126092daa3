import t from 'tap'
import { backtestServer as server } from '../helpers/backtest.js'

const PING = `ping:\n  local.test.ping:\n    - tgt: {{ data['id'] }}\n`
const OTHER = `ping:\n  local.test.ping:\n    - tgt: '*'\nmore:\n  runner.manage.up: []\n`
const options = { reactor: [{ 'a/*': 'DIR/ping.sls' }], files: { 'ping.sls': PING } }

/** Three events that are reacted to among others, and their reactions done. */
async function past(t: Parameters<typeof server>[0]) {
  const made = await server(t, options)
  for (const n of [1, 2, 3]) {
    await made.bench.fire(`a/${n}`, { id: 'web1' })
    await made.bench.fire('b/1', { id: 'web1' })
  }
  await made.bench.reactions(found => found.length === 3 && found.every(({ state }) => state === 'succeeded'))
  return made
}

t.test('the rules in use would do again what they did', async t => {
  const { bench, result } = await past(t)
  const { done, counts, rules, scanned, total } = await result({})
  t.equal(done, true)
  t.equal(scanned, total)
  t.match(counts, { matched: 3, reacting: 3, calls: 3, same: 3, changed: 0, added: 0, removed: 0, failed: 0 })
  const [rule] = bench.reactor.rules.all()
  t.strictSame(rules, { [rule!.id]: { matched: 3, reacted: 3, waiting: 0, passed: {}, calls: 3, failed: 0 } })
  t.equal((await bench.store.reactions.list({ limit: 100 })).length, 3)
})

t.test('a candidate configuration is compared with what was done: changed, added and removed calls', async t => {
  const { bench, result } = await past(t)
  const candidate = { tag: 'a/[12]', sls: ['/new.sls'] }
  const { counts, samples } = await result({ rules: [candidate], sls: { '/new.sls': OTHER }, only: true, samples: 1 })
  t.match(counts, { matched: 2, reacting: 2, calls: 4, same: 0, changed: 2, added: 2, removed: 1 })
  t.match(samples.changed, [{ call: { tgt: '*' }, was: { tgt: 'web1' } }])
  t.match(samples.added, [{ section: 'more', call: { client: 'runner' } }])
  t.match(samples.removed, [{ section: 'ping', event: new RegExp(`^${bench.store.events.epoch}-\\d+$`) }])
})

t.test('a lone text is tried on a tag; mistakes are counted, with an example of each', async t => {
  const { result } = await past(t)
  t.match((await result({ sls: PING, tag: 'b/*' })).counts, { matched: 3, calls: 3, added: 0, removed: 0 })
  const { counts, samples } = await result({ sls: 'x: {{ data.nosuch }}\n', tag: '[ab]/*' })
  t.match(counts, { matched: 6, calls: 0, failed: 6 })
  t.match(samples.errors, [{ error: /line 1/ }])
  t.equal(samples.errors!.length, 1)
})

t.test('a range of the log is tried alone, and one rule alone', async t => {
  const { bench, result } = await past(t)
  const all = await bench.store.reactions.list({ limit: 3 })
  const id = (seq: number) => `${bench.store.events.epoch}-${seq}`
  t.match((await result({ since: id(all[1]!.event) })).counts, { calls: 1, same: 1, removed: 0 })
  t.match((await result({ until: id(all[1]!.event) })).counts, { calls: 2, same: 2 })
  t.match((await result({ until: '2001-01-01' })).counts, { matched: 0 })
  t.match((await result({ rule: all[0]!.rule })).counts, { same: 3 })
})

t.test('a template that is stopped at its limits again and again is not rendered any more', async t => {
  const { result } = await past(t)
  const { counts, samples } = await result({
    sls: '{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}',
    tag: '[ab]/*',
    samples: 9
  })
  t.match(counts, { matched: 6, failed: 6 })
  t.ok(JSON.stringify(samples.errors).includes('too often'))
})

t.test('answers are NDJSON, SSE or the result as JSON; refusals are ordinary ones', async t => {
  const { http, ask } = await past(t)
  t.match(await ask({}), { status: 200, type: 'application/x-ndjson' })
  t.match(await ask({}, { accept: 'text/event-stream' }), { type: /event-stream/, text: /^event: result\ndata: \{"done": true/ })
  t.match(JSON.parse((await ask({}, { accept: 'application/json' })).text), { done: true })
  t.equal((await ask({ rule: 'nosuch' })).status, 404)
  t.equal((await ask({ sls: PING })).status, 400)
  t.equal((await ask({ since: 'never' })).status, 400)
  const as = async (user: string) => ({ 'x-auth-token': await http.tokenOf(user) })
  t.equal((await ask({}, await as('looker'))).status, 200)
  t.equal((await ask({ sls: PING, tag: 'a' }, await as('looker'))).status, 403)
  t.equal((await ask({}, await as('narrow'))).status, 403)
})

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { lowstate, startMinion } from '../helpers/minion.js'
import { startBrine, tempData } from '../helpers/server.js'

t.test('each minion gets its own pillar, anew when it asks, and is found by it, also after a restart of the server', async t => {
  const data = tempData(t)
  const roots = join(data, 'pillar')
  mkdirSync(roots)
  const write = (name: string, text: string) => writeFileSync(join(roots, name), text)
  write('top.sls', "base:\n  web1: [web]\n  db1: [db]\n  '*': [all]\n")
  write('web.sls', 'port: 8080\nrole: {{ grains.id }}')
  write('db.sls', 'secret: sesame')
  write('all.sls', 'colour: {{ pillar.get("colour", "blue") }}')
  const config = join(data, 'brine.yaml')
  writeFileSync(config, `pillar_roots: {base: [${roots}]}\nauto_accept: true\npresence_events: false\n`)
  const start = (port = 0) => startBrine(t, { data: join(data, 'd'), port, args: ['-c', config, '--no-minion'] })

  const first = await start()
  for (const id of ['web1', 'db1']) startMinion(t, { id, master: first.url, dir: join(data, id) })
  const up = async () => (await lowstate<string[]>(first, { client: 'runner', fun: 'manage.present' })).length === 2
  while (!(await up())) await new Promise(resolve => setTimeout(resolve, 50))

  const items = { client: 'local', tgt: '*', fun: 'pillar.items' }
  t.same(await lowstate(first, items), { web1: { port: 8080, role: 'web1', colour: 'blue' }, db1: { secret: 'sesame', colour: 'blue' } })

  write('web.sls', 'port: 9090\nnested: {a: {b: [1, two]}}')
  const ask = (key: string) => lowstate(first, { client: 'local', tgt: 'web1', fun: 'pillar.get', arg: [key] })
  t.same(await ask('port'), { web1: 8080 }, 'as it was until somebody asks for it anew')
  t.same(await lowstate(first, { client: 'local', tgt: '*', fun: 'saltutil.refresh_pillar' }), { web1: true, db1: true })
  t.same(await ask('port'), { web1: 9090 })
  t.same(await ask('nested:a:b'), { web1: [1, 'two'] })

  const byPillar = { client: 'local', fun: 'test.ping' }
  t.same(await lowstate(first, { ...byPillar, tgt: 'I@nested:a:b:two', tgt_type: 'compound' }), { web1: true })
  t.same(await lowstate(first, { ...byPillar, tgt: 'secret:sesam*', tgt_type: 'pillar' }), { db1: true })
  t.same(await lowstate(first, { ...byPillar, tgt: 'secret:sesam*', tgt_type: 'pillar_exact' }), {})
  const events = await (await first.fetch('/events?since=earliest&count=1000&timeout=1')).text()
  t.notMatch(events.replace(/"return": \{"web1[^\n]*/g, ''), /"pillar": /, 'no event tells a pillar by itself')
  await first.stop()

  const second = await start(Number(new URL(first.url).port))
  const later = async () => Object.keys(await lowstate<object>(second, { ...byPillar, tgt: 'port:9090', tgt_type: 'pillar' })).join()
  let found = await later()
  for (let i = 0; i < 100 && found !== 'web1'; i++) found = await later()
  t.equal(found, 'web1')
})

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pino } from 'pino'
import t from 'tap'
import { createApp } from '../../src/app.js'
import { loadConfig } from '../../src/config/load.js'
import { reactorBench } from '../helpers/reactor.js'
import { tempFolder } from '../helpers/store.js'

const PING = 'ping:\n  local.test.ping:\n    - tgt: web1\n'

t.test('rules of a file that the setting reactor names are read anew, and a file with mistakes changes nothing', async t => {
  const dir = await tempFolder(t)
  const file = join(dir, 'reactor.conf')
  writeFileSync(file, '- "a/*": /a.sls\n- "b/*": /b.sls\n')
  const bench = await reactorBench(t, { reactor: file, settings: { reactor_reload_interval: 0 } })
  const { rules } = bench.reactor
  const [a, b] = rules.all()
  writeFileSync(file, '- "c/*": /c.sls\n- "a/*": [/a.sls, /a2.sls]\n')
  const change = await bench.reactor.reload('ada')
  const c = rules.all()[0]!
  t.strictSame(change, { created: [c.id], changed: [a!.id], removed: [b!.id] })
  t.strictSame(
    rules.all().map(({ tag }) => tag),
    ['c/*', 'a/*'],
    'in the order of the file'
  )
  t.strictSame(rules.matching('b/x'), [])
  t.match(rules.matching('a/x'), [{ sls: ['/a.sls', '/a2.sls'] }])
  t.match(await bench.event(({ tag }) => tag === 'salt/reactor/reload'), { json: /"success": true.*"user": "ada"/ })

  writeFileSync(file, '- "c/*": [/c.sls\n')
  await t.rejects(bench.reactor.reload('ada'), { code: 'RELOAD_FAILED', status: 409, message: /line \d+/ })
  t.equal(rules.all().length, 2)
  t.match(await bench.event(({ data }) => data.success === false), { tag: 'salt/reactor/reload' })
})

t.test(
  'a rule of the configuration that changes while events come: each event is planned once, by the old rule or the new one',
  async t => {
    const dir = await tempFolder(t)
    const file = join(dir, 'reactor.conf')
    const sls = (n: number) => {
      writeFileSync(join(dir, `${n}.sls`), PING)
      return `- "myco/*": ${join(dir, `${n}.sls`)}\n`
    }
    writeFileSync(file, sls(0))
    const bench = await reactorBench(t, { reactor: file, settings: { reactor_reload_interval: 0 } })
    const fired: number[] = []
    for (let n = 1; n <= 20; n++) {
      const firing = Array.from({ length: 5 }, () => bench.fire('myco/x'))
      writeFileSync(file, sls(n))
      await bench.reactor.reload('')
      fired.push(...(await Promise.all(firing)))
    }
    const done = await bench.reactions(all => all.length >= fired.length && all.every(({ state }) => state === 'succeeded'))
    t.strictSame(
      done.map(({ event }) => event).sort((a, b) => a - b),
      fired.sort((a, b) => a - b)
    )
    t.ok(new Set(done.map(({ sls }) => sls)).size > 1, 'more than one of the rules had its turn')
  }
)

t.test('a server looks at its *.conf files itself: one that is changed, one that is new, one that is gone', async t => {
  const dir = await tempFolder(t)
  const conf = join(dir, 'conf')
  mkdirSync(conf)
  writeFileSync(join(conf, 'a.conf'), 'timeout: 3\n')
  const reload = () =>
    loadConfig({ files: [conf], flags: { data_dir: join(dir, 'data'), embedded_minion: false, reactor_reload_interval: 1 } })
  const loaded = reload()
  const app = await createApp(loaded.config, pino({ level: 'silent' }), { loaded, reload })
  t.teardown(() => app.close())
  const { events } = app.services.store
  const reloads = (count: number) =>
    new Promise<Record<string, unknown>[]>(resolve => {
      const seen: Record<string, unknown>[] = []
      const take = (page: readonly { tag: string; json: string }[]) => {
        for (const { tag, json } of page) if (tag === 'salt/reactor/reload') seen.push(JSON.parse(json))
        if (seen.length < count) return
        unwatch()
        resolve(seen)
      }
      const unwatch = events.watch(take)
    })
  const tags = () => app.services.reactor.rules.all().map(({ tag }) => tag)
  let next = reloads(1)
  writeFileSync(join(conf, 'b.conf'), 'reactor:\n  - "a/*": a.sls\n')
  t.match(await next, [{ success: true, created: [/^config-/] }])
  t.strictSame(tags(), ['a/*'])
  t.strictSame(app.services.reactor.rules.all()[0]!.sls, [join(conf, 'a.sls')], 'paths count from the file')
  next = reloads(1)
  writeFileSync(join(conf, 'b.conf'), 'reactor:\n  - "a/*": [a.sls, b.sls]\n')
  t.match(await next, [{ changed: [/^config-/] }])
  next = reloads(1)
  writeFileSync(join(conf, 'c.conf'), 'reactor: {\n')
  t.match(await next, [{ success: false, error: /c\.conf.*line/s }])
  t.strictSame(tags(), ['a/*'])
  next = reloads(1)
  rmSync(join(conf, 'b.conf'))
  rmSync(join(conf, 'c.conf'))
  t.match(await next, [{ success: true, removed: [/^config-/] }])
  t.strictSame(tags(), [])
  t.notMatch(readFileSync(join(conf, 'a.conf'), 'utf8'), 'reactor')
})

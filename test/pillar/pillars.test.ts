import t from 'tap'
import { defaultConfig } from '../../src/config/schema.js'
import { Pillars } from '../../src/pillar/pillars.js'
import { createLog } from '../../src/shared/log.js'

t.test('stopping ends the thread that compiles pillars, and is no error in the log', async t => {
  const root = t.testdir({ 'top.sls': "base: {'*': [all]}", 'all.sls': 'colour: blue' })
  const logged: string[] = []
  const pillars = new Pillars({
    config: defaultConfig({ pillar_roots: { base: [root] } }),
    keys: { facts: () => [], grainsOf: () => undefined, isAccepted: () => true, onChange: () => () => {} },
    events: { fire: () => Promise.reject(new Error('nothing is fired here')) },
    log: createLog({ level: 'debug', destination: { write: line => void logged.push(line) } })
  })
  t.strictSame((await pillars.of('web1')).pillar, { colour: 'blue' })
  t.strictSame(pillars.cached('web1'), { colour: 'blue' })
  await pillars.stop()
  t.strictSame(logged, [])
  await t.rejects(pillars.of('web1'), { code: 'SHUTTING_DOWN' })
})

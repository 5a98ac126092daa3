import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { appliedFiles } from '../../src/config/applied.js'
import { loadConfig } from '../../src/config/load.js'
import { appBench } from '../helpers/app.js'

t.test('settings are shown as they were written, secrets masked', async t => {
  const { wheel, run, dir } = await appBench(t, { sharedsecret: 'hush', 'auth.ldap.bindpw': 'hush', port: 8001 })
  const values = (await wheel('config.values')) as Record<string, unknown>
  t.match(values, {
    timeout: 0.05,
    data_dir: dir,
    interface: '127.0.0.1',
    rest_cherrypy: { port: 8001, host: '127.0.0.1' },
    id: /_master$/
  })
  t.notMatch(JSON.stringify(values), /hush/)
  t.equal(await run('config.get', { arg: ['timeout'] }), 0.05)
  t.equal(await run('config.get', { arg: ['rest_cherrypy:port'] }), 8001)
  t.equal(await run('config.get', { arg: ['sharedsecret'] }), '**********')
  t.equal(await run('config.get', { arg: ['constructor'] }), '')
  t.equal(await run('config.get', { key: 'no:such', default: 'fallback' }), 'fallback')
})

t.test('settings that are applied from afar are in effect at the next start, below flags and environment', async t => {
  const { wheel, dir } = await appBench(t)
  t.equal(await wheel('config.apply', { key: 'timeout', value: 7 }), null)
  t.equal(await wheel('config.apply', { key: 'gather_job_timeout', value: 8 }), null)
  t.equal(
    await wheel('config.update_config', { file_name: 'site', yaml_contents: { nodegroups: { web: 'web*' }, timeout: 9 } }),
    'Wrote site.conf'
  )
  const files = appliedFiles(dir)
  t.strictSame(files, [join(dir, 'config.d/applied.conf'), join(dir, 'config.d/site.conf')])
  const { config } = loadConfig({ files })
  t.match(config, { timeout: 9, gather_job_timeout: 8, nodegroups: { web: 'web*' } })
  t.equal(loadConfig({ files, flags: { timeout: 1 } }).config.timeout, 1)
})

t.test('what is no setting is refused as a whole, and no path leads anywhere else', async t => {
  const { wheel, dir } = await appBench(t)
  t.match(await wheel('config.apply', { key: 'timeout', value: 'soon' }), /timeout must be a number/)
  t.match(await wheel('config.update_config', { file_name: 'a', yaml_contents: { timeout: 1, tymeout: 2 } }), /tymeout/)
  t.match(await wheel('config.update_config', { file_name: 'a', yaml_contents: { data_dir: '/' } }), /data_dir/)
  t.match(await wheel('config.update_config', { file_name: 'a', yaml_contents: { include: '/etc/passwd' } }), /included/)
  for (const name of ['../x', 'a/b', '', '.hidden', 'a\0'])
    t.equal(await wheel('config.update_config', { file_name: name, yaml_contents: {} }), 'Invalid path')
  t.strictSame(appliedFiles(dir), [])
})

t.test('a secret that is applied is in its file alone', async t => {
  const { wheel, log, dir } = await appBench(t)
  await wheel('config.apply', { key: 'sharedsecret', value: 'hush' })
  t.match(readFileSync(join(dir, 'config.d/applied.conf'), 'utf8'), /hush/)
  t.notMatch(JSON.stringify(await log()), /hush/)
})

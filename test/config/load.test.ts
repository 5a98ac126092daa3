import { chmodSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { defaultConfigFile, type LoadOptions, loadConfig } from '../../src/config/load.js'
import { saltSetting, saltSettingNames } from '../../src/config/salt-settings.js'
import { sampleFile } from '../../src/config/sample.js'
import { defaultConfig, environmentName, SETTINGS } from '../../src/config/schema.js'
import { isBrineError } from '../../src/errors.js'
import { packageRoot } from '../../src/shared/paths.js'
import { parseYaml } from '../../src/shared/yaml.js'

/** The text of CONFIG_INVALID, or fails. */
function mistakes(options: LoadOptions): string {
  try {
    loadConfig(options)
  } catch (error) {
    if (isBrineError(error, 'CONFIG_INVALID')) return error.message
    throw error
  }
  throw new Error('the configuration was accepted')
}

t.test('without anything every setting has its default, and paths count from the working directory', async t => {
  const { config, warnings } = loadConfig({ cwd: '/home/x' })
  t.equal(config.port, 8000)
  t.equal(config.host, '127.0.0.1')
  t.equal(config.data_dir, '/home/x/data')
  t.strictSame(config.file_roots, { base: ['/srv/salt'] })
  t.strictSame(warnings, [])
  t.strictSame(Object.keys(config), [...SETTINGS.keys()])
})

t.test('flags win over environment, environment over files, a later file over an earlier one', async t => {
  const dir = t.testdir({ 'a.yaml': 'port: 1\nhost: a\ntimeout: 1\nloop_interval: 1', 'b.yaml': 'port: 2\nhost: b\ntimeout: 2' })
  const { config, origins } = loadConfig({
    files: [dir],
    env: { BRINE_HOST: 'env', BRINE_PORT: '3', PATH: '/bin' },
    flags: { port: '4' }
  })
  t.equal(config.port, 4)
  t.equal(config.host, 'env')
  t.equal(config.timeout, 2)
  t.equal(config.loop_interval, 1)
  t.strictSame(
    [origins.get('port'), origins.get('host'), origins.get('timeout'), origins.get('loop_interval'), origins.get('grains')],
    ['the command line', 'BRINE_HOST', join(dir, 'b.yaml'), join(dir, 'a.yaml'), undefined]
  )
})

t.test('a directory is its *.conf and *.yaml in lexical order; mappings are laid over one another, lists replaced', async t => {
  const dir = t.testdir({
    '10-a.conf': 'file_roots: {base: [a], dev: [d]}\nhook_headers: [A, B]\nnodegroups: {x: "G@a:b"}',
    '20-b.yaml': 'file_roots: {base: [/b]}\nhook_headers: [C]',
    '30.txt': 'port: 99',
    '.hidden.conf': 'port: 98'
  })
  const { config, files } = loadConfig({ files: [dir] })
  t.strictSame(config.file_roots, { base: ['/b'], dev: [join(dir, 'd')] })
  t.strictSame(config.hook_headers, ['C'])
  t.strictSame(config.nodegroups, { x: 'G@a:b' })
  t.equal(config.port, 8000)
  t.strictSame(files, [join(dir, '10-a.conf'), join(dir, '20-b.yaml')])
})

t.test("a directory with Salt's master file loads it and its master.d, as salt-master does", async t => {
  const dir = t.testdir({
    master:
      'interface: 0.0.0.0\nworker_threads: 8\nkeep_jobs: 12\nrest_cherrypy: {port: 8123, host: 127.0.0.2, disable_ssl: True}\ntimeout: 7',
    'master.d': { '1.conf': 'timeout: 8\nreactor:\n  - "salt/x": [/srv/r/*.sls, salt://r.sls]', '0.conf': 'timeout: 9' },
    minion: 'port: 5',
    'roster.yaml': 'web: 1.2.3.4'
  })
  const { config, warnings } = loadConfig({ files: [dir] })
  t.equal(config.port, 8123)
  t.equal(config.host, '127.0.0.2')
  t.equal(config.keep_jobs_seconds, 12 * 3600)
  t.equal(config.timeout, 8)
  t.strictSame(config.reactor, [{ 'salt/x': ['/srv/r/*.sls', 'salt://r.sls'] }])
  t.equal(warnings.length, 1, 'what brine does not use is told once')
  t.match(warnings[0], /ignored \(.*\/master\): interface, rest_cherrypy.disable_ssl, worker_threads$/)
})

t.test('include takes paths and patterns from the directory of the file, and finds a loop', async t => {
  const dir = t.testdir({
    'main.yaml': 'include: [more/*.yaml, other.yaml]\nport: 1',
    'other.yaml': 'host: other',
    more: { 'a.yaml': 'port: 2\nreactor: [{"a": r.sls}]' },
    'loop.yaml': 'include: loop.yaml',
    'gone.yaml': 'include: nowhere.yaml'
  })
  const { config } = loadConfig({ files: [join(dir, 'main.yaml')] })
  t.equal(config.port, 2)
  t.equal(config.host, 'other')
  t.strictSame(config.reactor, [{ a: join(dir, 'more/r.sls') }], 'a relative path counts from its own file')
  t.match(mistakes({ files: [join(dir, 'loop.yaml')] }), /included more than 5 levels deep/)
  t.match(mistakes({ files: [join(dir, 'gone.yaml')] }), /gone.yaml: include names '.*nowhere.yaml', which does not exist/)
})

t.test('all mistakes come at once, each with file, path and value', async t => {
  const dir = t.testdir({
    'a.yaml': 'keep_job_seconds: 5\nport: 70000\ntimeout: soon\nnetapi_enable_clients: [local, lokal]\nnodegroups: {web: 5}',
    'b.yaml': 'auto_accept: maybe\nrest_cherrypy: {prot: 1}\nlog_level: loud',
    'c.yaml': 'a: [1\n'
  })
  const text = mistakes({ files: [join(dir, 'a.yaml'), join(dir, 'b.yaml'), join(dir, 'c.yaml'), join(dir, 'd')], flags: { host: ['x'] } })
  const lines = text.split('\n')
  t.match(lines.shift(), /has 11 mistakes:/)
  t.strictSame(
    lines.map(line => line.replaceAll(dir, '')).sort(),
    [
      '  /a.yaml: keep_job_seconds is no setting; did you mean keep_jobs_seconds? (value: 5)',
      '  /a.yaml: netapi_enable_clients[1] must be one of local, local_async, local_batch, local_subset, runner, runner_async, wheel, wheel_async, ssh (value: "lokal")',
      '  /a.yaml: nodegroups.web must be a text or a list of texts, not a number (value: 5)',
      '  /a.yaml: port must be between 0 and 65535 (value: 70000)',
      '  /a.yaml: timeout must be a number, not a text (value: "soon")',
      '  /b.yaml: auto_accept must be true or false, not a text (value: "maybe")',
      '  /b.yaml: log_level must be one of trace, debug, info, warn, error, fatal, silent, all, garbage, profile, warning, critical, quiet (value: "loud")',
      '  /b.yaml: rest_cherrypy.prot is no setting; did you mean port? (value: 1)',
      lines.find(line => line.includes('/c.yaml'))!.replaceAll(dir, ''),
      '  /d: does not exist',
      '  the command line: host must be a text, not a list (value: a list)'
    ].sort()
  )
  t.match(lines.join('\n'), /c\.yaml: line \d+, column \d+ /)
})

t.test('a secret is never shown, not even under a misspelt name', async t => {
  const dir = t.testdir({ 'a.yaml': 'sharedsecret: [hunter2]\nsharedsecrt: hunter3\nport: x\nmy_password: hunter4' })
  const text = mistakes({ files: [dir], env: { BRINE_SHAREDSECRET: 'hunter5', BRINE_SHARDSECRET: 'hunter6' } })
  t.match(text, /has 4 mistakes/)
  t.notMatch(text, /hunter/)
  t.match(text, /sharedsecrt is no setting; did you mean sharedsecret\? \(value: \*\*\*\*\)/)
  const { warnings } = loadConfig({ env: { BRINE_SHARDSECRET: 'hunter6' } })
  t.strictSame(warnings, ['BRINE_SHARDSECRET is no setting; did you mean BRINE_SHAREDSECRET?'])
})

t.test('values from the environment are YAML, except where the setting is a text', async t => {
  const { config } = loadConfig({
    cwd: '/w',
    env: {
      BRINE_REACTOR: '[{"a/*": [/r.sls]}]',
      BRINE_SHAREDSECRET: '0123',
      BRINE_AUTO_ACCEPT: 'yes',
      BRINE_DATA_DIR: 'd',
      BRINE_LOG_LEVEL: 'warning'
    }
  })
  t.strictSame(config.reactor, [{ 'a/*': ['/r.sls'] }])
  t.equal(config.sharedsecret, '0123')
  t.equal(config.auto_accept, true)
  t.equal(config.data_dir, '/w/d')
  t.equal(config.log_level, 'warn')
  t.match(mistakes({ env: { BRINE_REACTOR: '[{' } }), /BRINE_REACTOR: reactor must be/)
})

t.test("a minion's configuration loads, with one master or several", async t => {
  const dir = t.testdir({
    minion: 'master: [one, "two:9000"]\nid: web1\nfile_client: remote',
    'minion.d': { 'g.conf': 'grains: {role: web}' }
  })
  const { config } = loadConfig({ files: [join(dir, 'minion')] })
  t.strictSame([config.master, config.id, config.grains], ['one, two:9000', 'web1', { role: 'web' }])
  t.equal(loadConfig({ env: { BRINE_MASTER: 'salt' } }).config.master, 'salt')
})

t.test('variables that Kubernetes sets for a service called brine are no settings', async t => {
  const { config, warnings } = loadConfig({
    env: { BRINE_PORT: 'tcp://10.0.0.1:8000', BRINE_PORT_8000_TCP_ADDR: '10.0.0.1', BRINE_SERVICE_HOST: '10.0.0.1' }
  })
  t.equal(config.port, 8000)
  t.strictSame(warnings, [])
})

t.test('a Salt setting that restricts access and that brine does not enforce gets a warning of its own', async t => {
  const dir = t.testdir({ 'a.conf': 'publisher_acl_blacklist: {users: [root]}\nrest_cherrypy: {authorized_ips: [10.0.0.1]}' })
  const { config, warnings } = loadConfig({ files: [dir] })
  t.equal(warnings.length, 1)
  t.match(warnings.join('\n'), /publisher_acl_blacklist restricts access in Salt and is NOT enforced/)
  t.strictSame(config['rest_cherrypy.authorized_ips'], ['10.0.0.1'], 'this one is enforced')
})

t.test('external_auth mistakes are found when the configuration is read', async t => {
  const dir = t.testdir({
    'a.yaml': `
external_auth:
  fil: {a: [test.*]}
  pam: {b: [test.*]}
  file:
    c: ['te(st']
    d: [{web*: [test.ping], db*: [test.ping]}]
    e: [{'*': [{test.echo: {argz: [a]}}]}]
    f: [{'@events': [{write: [a]}, 5]}]
    g: 5
`
  })
  const text = mistakes({ files: [dir] }).replaceAll(dir, '')
  t.match(text, /external_auth\.fil is no login backend; there are file, ldap, pam, sharedsecret/)
  t.match(text, /external_auth\.file\.c\[0\] is no regular expression/)
  t.match(text, /external_auth\.file\.d\[0\] must be a function pattern or a mapping with one key/)
  t.match(text, /external_auth\.file\.e\[0\]\.\*\[0\]\.test\.echo\[0\] must have args and kwargs and nothing else/)
  t.match(text, /external_auth\.file\.f\[0\]\.@events\[0\]\.write must be read or fire/)
  t.match(text, /external_auth\.file\.f\[0\]\.@events\[0\] must be a tag glob, not a number/)
  t.match(text, /external_auth\.file\.g\[0\] must be a function pattern/)
  const { warnings, config } = loadConfig({
    files: [t.testdir({ 'a.yaml': 'external_auth: {keystone: {b: [test.*]}, sharedsecret: {c: []}}' })]
  })
  t.strictSame(config.external_auth, { sharedsecret: { c: [] } })
  t.match(warnings.join('\n'), /backend 'keystone' does not exist here/)
  t.match(warnings.join('\n'), /the setting sharedsecret is empty/)
})

t.test('the sample file is the table, and says what is in effect without it', async t => {
  const sample = readFileSync(join(packageRoot(), 'examples/brine.yaml'), 'utf8')
  t.equal(sample, sampleFile(), 'to bring it up to date: brine config sample > examples/brine.yaml')
  const uncommented = sample.replace(/^#(?! \S)/gm, '')
  const values = parseYaml(uncommented) as Record<string, unknown>
  t.strictSame(Object.keys(values), [...SETTINGS.keys()])
  const dir = t.testdir({ 'brine.yaml': uncommented })
  t.strictSame(loadConfig({ files: [dir], cwd: dir }).config, loadConfig({ cwd: dir }).config)
})

t.test('a setting of brine is not also in the list of those it does not use', async t => {
  for (const name of saltSettingNames()) t.notOk(SETTINGS.has(name as never), name)
  t.equal(saltSetting('mysql.host'), 'unused')
  t.equal(saltSetting('rest_cherrypy.thread_pool'), 'unused')
  t.equal(saltSetting('nonsense'), null)
})

t.test('each setting has a meaning, and an environment name of its own', async t => {
  const names = new Set<string>()
  for (const [name, row] of SETTINGS) {
    t.ok(row.meaning.length > 8, name)
    names.add(environmentName(name))
  }
  t.equal(names.size, SETTINGS.size)
})

t.test('the configuration cannot be changed once it is loaded', async t => {
  const { config } = loadConfig({ flags: { nodegroups: { a: 'x' } } })
  t.throws(() => ((config.nodegroups as Record<string, string>).b = 'y'))
  t.throws(() => ((config as { port: number }).port = 1))
  t.equal(defaultConfig({ port: 5 }).port, 5)
})

t.test('without a file of its own a directory gets the configuration that comes with brine', async t => {
  const empty = t.testdir({})
  t.equal(defaultConfigFile(empty), join(packageRoot(), 'examples/start.yaml'))
  t.ok(loadConfig({ files: [defaultConfigFile(empty)] }).config.reactor.length > 0)
})

t.test(
  'a file that cannot be read is a mistake that names it',
  { skip: process.getuid?.() === 0 ? 'root reads everything' : false },
  async t => {
    const dir = t.testdir({ 'a.yaml': 'port: 1' })
    chmodSync(join(dir, 'a.yaml'), 0)
    t.match(mistakes({ files: [join(dir, 'a.yaml')] }), /a\.yaml: EACCES/)
  }
)

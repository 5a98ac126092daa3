import { existsSync } from 'node:fs'
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemProgram } from '../../../src/minion/modules/tool.js'
import { kw, minionTest } from '../../helpers/executor.js'
import { fakePrograms, predictsAndRepeats, singleState } from '../../helpers/states.js'

const root = process.getuid?.() === 0
const booted = existsSync('/run/systemd/system')
const systemctl = await systemProgram('systemctl')

const noInit = !root
  ? 'init scripts are of root alone'
  : booted
    ? 'systemd runs here: service(8) does not use the script'
    : !(await systemProgram('service')) || !(await systemProgram('update-rc.d'))
      ? 'needs service and update-rc.d (Debian)'
      : false

/**
 * systemctl(1) of systemd 252 as far as it is asked, with its own words and exit codes. A unit is a file in $UNITS; `.active`, `.enabled` beside it
 * say what it does. Masks are made by the real one, which needs no systemd that runs for it.
 */
const SYSTEMCTL = `
echo "$*" >> "$UNITS/calls"
words=''
for word in "$@"; do case "$word" in --*) ;; *) words="$words $word" ;; esac; done
set -- $words
unit="$UNITS/$2"
case "$1" in
  start|stop|restart|reload|force-reload)
    case "$2" in stubborn.service) echo "Job for stubborn.service failed because the control process exited with error code." >&2; exit 1 ;; esac
    [ "$1" = stop ] && rm -f "$unit.active" || touch "$unit.active" ;;
  is-active) if [ -f "$unit.active" ]; then echo active; else echo inactive; exit 3; fi ;;
  is-enabled) if [ -f "$unit.enabled" ]; then echo enabled; else echo disabled; exit 1; fi ;;
  enable) touch "$unit.enabled"; echo "Created symlink /etc/systemd/system/multi-user.target.wants/$2 -> /lib/systemd/system/$2." >&2 ;;
  disable) rm -f "$unit.enabled" ;;
  status)
    [ -f "$unit" ] || { echo "Unit $2 could not be found." >&2; exit 4; }
    [ -f "$unit.edited" ] && echo "Warning: The unit file, source configuration file or drop-ins of $2 changed on disk. Run 'systemctl daemon-reload' to reload units." >&2
    echo "* $2 - a test"; [ -f "$unit.active" ] || exit 3 ;;
  daemon-reload) rm -f "$UNITS"/*.edited ;;
  list-unit-files) cat <<END
cron.service                           enabled         enabled
getty@.service                         enabled         enabled
sleepy.service                         disabled        enabled
dbus.service                           static          -
-.mount                                generated       -
dbus.socket                            static          -
END
    ;;
  show) cat <<END
Type=simple
ExecStart={ path=/usr/sbin/cron ; argv[]=/usr/sbin/cron -f ; ignore_errors=no ; pid=0 ; code=(null) ; status=0/0 }
After=basic.target system.slice
Environment=A=b
END
    ;;
  mask|unmask) exec "$SYSTEMCTL_REAL" "$@" ;;
  '') cat <<END
  -.mount                         loaded active mounted Root Mount
  cron.service                    loaded active running Regular background program processing daemon
* broken.service                  loaded failed failed  A service that failed
  dbus.socket                     loaded active running D-Bus System Message Bus Socket
END
    ;;
  *) echo "Unknown command verb $1." >&2; exit 1 ;;
esac`

/** A minion on which systemd seems to run; `units` are those that are there. */
async function systemdTest(t: Test, units: readonly string[] = ['web', 'stubborn', 'cron']) {
  const minion = await minionTest(t, { grains: { init: 'systemd' } })
  const dir = join(minion.dir, 'units')
  await mkdir(dir)
  for (const unit of units) await writeFile(join(dir, `${unit}.service`), '')
  await fakePrograms(t, minion.dir, { systemctl: SYSTEMCTL, 'systemd-run': 'shift; exec "$@"' })
  Object.assign(process.env, { UNITS: dir, SYSTEMCTL_REAL: systemctl ?? '' })
  t.teardown(() => {
    delete process.env.UNITS
    delete process.env.SYSTEMCTL_REAL
  })
  const look = async (): Promise<string[]> => (await readdir(dir)).filter(name => name !== 'calls').sort()
  return { ...minion, units: dir, look, calls: () => readFile(join(dir, 'calls'), 'utf8') }
}

t.test('service functions on systemd', async t => {
  const { value, units, calls } = await systemdTest(t)
  t.equal(await value('service.status', 'web'), false)
  t.equal(await value('service.start', 'web'), true)
  t.equal(await value('service.status', 'web'), true)
  t.equal(await value('service.restart', 'web.service', kw({ no_block: true })), true)
  t.match(await calls(), /^--no-block restart web\.service$/m)
  for (const fun of ['reload', 'force_reload', 'stop']) t.equal(await value(`service.${fun}`, 'web'), true, fun)
  t.equal(
    await value('service.start', 'stubborn'),
    'ERROR: Job for stubborn.service failed because the control process exited with error code.'
  )
  t.equal(await value('service.stop', 'stubborn'), false)
  t.equal(await value('service.enable', 'web'), true)
  t.same([await value('service.enabled', 'web'), await value('service.disabled', 'web')], [true, false])
  t.equal(await value('service.disable', 'web'), true)
  t.equal(await value('service.disabled', 'web'), true)
  t.same([await value('service.available', 'web'), await value('service.missing', 'web')], [true, false])
  t.same([await value('service.available', 'nix'), await value('service.missing', 'nix')], [false, true])
  t.same(await value('service.get_enabled'), ['cron', 'getty@'])
  t.same(await value('service.get_disabled'), ['sleepy'])
  t.same(await value('service.get_static'), ['dbus', 'dbus.socket'])
  t.same(await value('service.get_running'), ['cron', 'dbus.socket'])
  t.match(await value('service.show', 'cron'), {
    Type: 'simple',
    ExecStart: { path: '/usr/sbin/cron', 'argv[]': '/usr/sbin/cron -f', ignore_errors: 'no' },
    After: ['basic.target', 'system.slice'],
    Environment: 'A=b'
  })
  await writeFile(join(units, 'web.service.edited'), '')
  await value('service.status', 'web')
  t.match(await calls(), /daemon-reload/, 'a changed unit file is read before anything else is asked')
  t.match(await value('service.start', '-x'), /is not the name of a service/)
  t.match(await value('service.start', '../x'), /is not the name of a service/)
  const long = `1234.${process.pid}`
  const { pid } = (await value('cmd.run_bg', ['sleep', long], kw({ python_shell: false }))) as { pid: number }
  t.teardown(() => process.kill(pid))
  t.equal(await value('service.status', 'x', kw({ sig: `sleep ${long}` })), String(pid))
  t.equal(await value('service.status', 'x', kw({ sig: `sleep ${long}9` })), '')
})

t.test('units below a root, with the real systemctl', { skip: systemctl ? false : 'needs systemctl' }, async t => {
  const minion = await minionTest(t)
  const dir = join(minion.dir, 'root')
  const value = (fun: string, ...args: unknown[]): Promise<unknown> => minion.value(`service.${fun}`, ...args, kw({ root: dir }))
  await mkdir(join(dir, 'usr/lib/systemd/system'), { recursive: true })
  await mkdir(join(dir, 'etc'))
  for (const [name, install] of [
    ['foo.service', '[Install]\nWantedBy=multi-user.target\n'],
    ['bar.service', '']
  ] as const)
    await writeFile(join(dir, 'usr/lib/systemd/system', name), `[Service]\nExecStart=/bin/true\n${install}`)
  t.same([await value('enabled', 'foo'), await value('disabled', 'foo')], [false, true])
  const asInit = await minionTest(t, { grains: { init: 'systemd' } })
  const change = (fun: string, args: Record<string, unknown>): Promise<unknown> =>
    asInit.value(`service.${fun}`, kw({ ...args, root: dir }))
  t.same(await change('get_all', {}), ['bar', 'foo'])
  t.equal(await change('enable', { name: 'foo' }), true)
  t.equal(await change('enabled', { name: 'foo' }), true)
  t.same([await change('get_enabled', {}), await change('get_disabled', {}), await change('get_static', {})], [['foo'], [], ['bar']])
  t.equal(await change('disable', { name: 'foo' }), true)
  t.same(await change('get_disabled', {}), ['foo'])
  for (const runtime of [false, true]) {
    t.equal(await value('mask', 'foo', runtime), true)
    t.same([await value('masked', 'foo', runtime), await value('masked', 'foo', !runtime)], [true, false])
    t.equal(await value('unmask', 'foo', runtime), true)
    t.equal(await value('masked', 'foo', runtime), false)
  }
  const bare = await minionTest(t, { grains: { init: 'sysvinit' } })
  t.equal(await bare.value('service.mask', 'foo'), 'ERROR: systemd does not run on this minion')
})

t.test('every service state on systemd is idempotent, and test=True predicts it', async t => {
  const minion = await systemdTest(t)
  const single = singleState(minion)
  const steps: [string, Record<string, unknown>, string, Record<string, unknown>][] = [
    ['running', {}, 'Started service web', { web: true }],
    ['dead', {}, 'Service web was killed', { web: false }],
    ['running', { enable: true }, 'Service web has been enabled, and is running', { web: true }],
    ['running', { enable: false }, 'Service web has been disabled, and is in the desired state', { web: true }],
    ['dead', { enable: 'True' }, 'Service web has been enabled, and is dead', { web: true }],
    ['disabled', {}, 'Service web has been disabled, and is in the desired state', { web: true }],
    ['enabled', {}, 'Service web has been enabled, and is in the desired state', { web: true }]
  ]
  for (const [fun, args, comment, changes] of steps) {
    const { first } = await predictsAndRepeats(t, single, [`service.${fun}`, { name: 'web', ...args }], minion.look)
    t.match(first, { comment, changes })
  }
})

t.test('service states: what cannot be, in the words of Salt', async t => {
  const minion = await systemdTest(t)
  const single = singleState(minion)
  t.match(await single('service.running', { name: 'nix' }), {
    result: false,
    comment: 'The named service nix is not available',
    changes: {}
  })
  t.match(await single('service.running', { name: 'nix', test: true }), {
    result: null,
    comment: 'Service nix not present; if created in this state run, it would have been started'
  })
  t.match(await single('service.dead', { name: 'nix' }), { result: true, comment: 'The named service nix is not available' })
  t.match(await single('service.enabled', { name: 'nix' }), { result: false })
  t.match(await single('service.disabled', { name: 'nix' }), { result: true })
  t.match(await single('service.running', { name: 'stubborn' }), {
    result: false,
    comment: /^Job for stubborn\.service failed/,
    changes: {}
  })
  await writeFile(join(minion.units, 'stubborn.service.active'), '')
  t.match(await single('service.dead', { name: 'stubborn' }), { result: false, comment: 'Service stubborn failed to die', changes: {} })
  t.match(await single('service.running', { name: 'web', enabled: true }), {
    result: false,
    comment: /Perhaps "enable" option was intended\?/
  })
})

t.test('a watched change restarts a service, reloads it, starts one that is down, stops a dead one', async t => {
  const minion = await minionTest(t, {
    grains: { init: 'systemd' },
    files: {
      'w.sls': `change: {test.succeed_with_changes: []}
{% for name, fun, more in [('restarted', 'running', {}), ('reloaded', 'running', {'reload': True}), ('forced', 'running', {'reload': True, 'force': True}), ('killed', 'dead', {})] %}
{{ name }}:
  service.{{ fun }}:
    - watch: [{test: change}]
    {% for key, value in more.items() %}
    - {{ key }}: {{ value }}
    {% endfor %}
{% endfor %}`
    }
  })
  const units = join(minion.dir, 'units')
  await mkdir(units)
  for (const name of ['restarted', 'reloaded', 'forced', 'killed']) await writeFile(join(units, `${name}.service`), '')
  for (const name of ['restarted', 'reloaded', 'forced']) await writeFile(join(units, `${name}.service.active`), '')
  await fakePrograms(t, minion.dir, { systemctl: SYSTEMCTL, 'systemd-run': 'shift; exec "$@"' })
  process.env.UNITS = units
  t.teardown(() => {
    delete process.env.UNITS
  })
  const comments = async (test: boolean): Promise<Record<string, unknown>> => {
    const results = (await minion.value('state.sls', 'w', kw({ test }))) as Record<
      string,
      { __id__: string; comment: string; changes: object }
    >
    return Object.fromEntries(Object.values(results).map(({ __id__, comment, changes }) => [__id__, [comment, changes]]))
  }
  t.match(await comments(true), {
    restarted: ['Service is set to be restarted'],
    reloaded: ['Service is set to be reloaded'],
    forced: ['Service is set to be forcefully reloaded'],
    killed: ['Service is already stopped', {}]
  })
  t.match(await comments(false), {
    restarted: ['Service restarted', { restarted: true }],
    reloaded: ['Service reloaded', { reloaded: true }],
    forced: ['Service forcefully reloaded', { forced: true }],
    killed: ['Service is already stopped', {}]
  })
  const calls = await readFile(join(units, 'calls'), 'utf8')
  for (const call of ['restart restarted', 'reload reloaded', 'force-reload forced']) t.match(calls, new RegExp(`^${call}.service$`, 'm'))
})

const noMasks = !root ? 'masks are made by root only' : !systemctl ? 'needs systemctl' : false

t.test('service.masked and service.unmasked: each predicts, does, and does nothing the second time', { skip: noMasks }, async t => {
  const minion = await systemdTest(t)
  const single = singleState(minion)
  const name = `brine-test-${process.pid}`
  t.teardown(() => rm(`/etc/systemd/system/${name}.service`, { force: true }))
  const look = (): Promise<unknown> => minion.value('service.masked', name)
  const on = await predictsAndRepeats(t, single, ['service.masked', { name }], look)
  t.match(on.first, { comment: `Service ${name} was masked`, changes: { masked: { old: false, new: true } } })
  const off = await predictsAndRepeats(t, single, ['service.unmasked', { name }], look)
  t.match(off.first, { comment: `Service ${name} was unmasked`, changes: { masked: { old: true, new: false } } })
  await minion.value('service.mask', name)
  await writeFile(join(minion.units, `${name}.service`), '')
  t.match(await single('service.running', { name, unmask: true }), {
    result: true,
    comment: `Started service ${name}\nService ${name} was unmasked`
  })
})

// ── init scripts, for real ───────────────────────────────────────────────────────────────────────────────────────────────────────────

t.test('every service state on init scripts, with a script of its own', { skip: noInit }, async t => {
  const minion = await minionTest(t, { grains: { init: 'sysvinit' } })
  const single = singleState(minion)
  const name = `brine-test-${process.pid}`
  const script = `/etc/init.d/${name}`
  const state = join(minion.dir, 'runs')
  await writeFile(
    script,
    `#!/bin/sh
### BEGIN INIT INFO
# Provides:          ${name}
# Required-Start:
# Required-Stop:
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: a test
### END INIT INFO
case "$1" in
  start|restart|reload|force-reload) touch ${state} ;;
  stop) rm -f ${state} ;;
  status) [ -f ${state} ] || exit 3 ;;
esac
`
  )
  await chmod(script, 0o755)
  t.teardown(async () => {
    await rm(script, { force: true })
    await minion.run('cmd.run', ['update-rc.d', name, 'remove'], kw({ python_shell: false }))
  })
  const look = (): Promise<unknown> => Promise.all([minion.value('service.status', name), minion.value('service.enabled', name)])
  for (const [fun, args] of [
    ['running', {}],
    ['dead', {}],
    ['running', { enable: true }],
    ['disabled', {}],
    ['enabled', {}],
    ['dead', { enable: false }]
  ] as const)
    await predictsAndRepeats(t, single, [`service.${fun}`, { name, ...args }], look)
  t.same(await look(), [false, false])
  t.same(await minion.value('service.status', `${name}*`), { [name]: false })
  for (const fun of ['restart', 'reload', 'force_reload']) t.equal(await minion.value(`service.${fun}`, name), true)
  t.ok(((await minion.value('service.get_running')) as string[]).includes(name))
  t.ok(((await minion.value('service.get_all')) as string[]).includes(name))
  t.ok(((await minion.value('service.get_disabled')) as string[]).includes(name))
  t.notOk(((await minion.value('service.get_enabled')) as string[]).includes(name))
  t.equal(await minion.value('service.available', name), true)
  t.equal(await minion.value('service.missing', `${name}x`), true)
  t.match(await single('service.masked', { name }), { result: false, comment: 'Service masking not available on this minion' })
})

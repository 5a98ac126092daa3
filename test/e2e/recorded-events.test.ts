/**
 * The recorded scenarios of golden/events, replayed by a server and minions that are processes of their own, driven by brine's command line with the
 * commands that stand in the recordings, and compared event by event and field by field (helpers/replay.ts). Where brine means to differ stands
 * in fixtures/golden/events-differences.json, with the reason.
 */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { splitWords } from '../../src/minion/modules/shlex.js'
import { compileGlob } from '../../src/tags/glob.js'
import { until } from '../helpers/executor.js'
import { makeKey } from '../helpers/keypairs.js'
import { type MinionProcess, startMinion } from '../helpers/minion.js'
import { RECORDED_SLS } from '../helpers/recorded-sls.js'
import { type BusEvent, type Comparison, compared, differences, scenarios } from '../helpers/replay.js'
import { type BrineProcess, readEvents, startBrine, tempData } from '../helpers/server.js'
import { brine, type CommandRun } from '../helpers/terminal.js'

/** With those that need a place, or a mistake. */
const SLS = (dir: string): Readonly<Record<string, string>> => ({
  ...RECORDED_SLS,
  'onemore.sls': `
hello:
  test.configurable_test_state:
    - changes: False
    - result: True
    - comment: configured
include_me:
  file.managed:
    - name: ${dir}/managed.txt
    - contents: v={{ pillar['v'] }}
svc:
  test.nop:
    - watch:
      - file: include_me
`,
  'slowmod.sls': `
change_it:
  file.append:
    - name: ${dir}/important_file
    - text: important
slow:
  cmd.run:
    - name: ${slowCommand(dir)}
change_again:
  file.append:
    - name: ${dir}/important_file
    - text: important
`,
  'broken.sls': 'a:\n  test.nop:\n    - name: x\n - y\n'
})

/** In place of `sleep 4`: the test knows when the state runs, and says when it ends. */
const slowCommand = (dir: string) => `touch ${dir}/slow; while test -e ${dir}/slow; do sleep 0.1; done`

/** What the recordings' minions had in their configuration. Their mines were updated long before: that job is not among those that run. */
const MINIONS: Readonly<Record<string, string>> = {
  web1: 'grains: {role: web}\nstate_events: False\n',
  db1: 'grains: {role: db}\nstate_events: True\n',
  grains: 'grains: {role: db}\nstart_event_grains: [role, id]\nenable_legacy_startup_events: False\n'
}

class Fleet {
  readonly dir: string
  readonly #t: Test
  readonly #server: BrineProcess
  readonly #minions = new Map<string, MinionProcess>()
  readonly #seen: BusEvent[] = []
  readonly #waiting = new Set<() => void>()
  #since = 0

  private constructor(t: Test, dir: string, server: BrineProcess) {
    this.#t = t
    this.dir = dir
    this.#server = server
  }

  static async start(t: Test): Promise<Fleet> {
    // Not below the test's own long name: the path of a socket is short.
    const dir = await mkdtemp(join(tmpdir(), 'brine-replay-'))
    t.teardown(() => rm(dir, { recursive: true, force: true, maxRetries: 5 }))
    for (const name of ['srv', 'pillar']) await mkdir(join(dir, name))
    const react = scenarios.get('reactor_local_runner_wheel')!.reactor_sls!
    const files: Record<string, string> = {
      'react.sls': react,
      important_file: 'important\n',
      'pillar/top.sls': 'base:\n  "*": [team]\n',
      'pillar/team.sls': 'team: infra\n',
      'master.yaml': `file_roots: {base: [${dir}/srv]}
pillar_roots: {base: [${dir}/pillar]}
nodegroups: {webs: 'web*', nested: 'N@webs or L@db1'}
presence_events: True
loop_interval: 1
gather_job_timeout: 2
fileserver_events: True
reactor: [{'myco/react/*': ${dir}/react.sls}]
`
    }
    for (const [name, text] of Object.entries(SLS(dir))) files[`srv/${name}`] = text
    for (const [id, text] of Object.entries(MINIONS))
      files[`${id}.yaml`] = `${text}mine_enabled: False\nfile_roots: {base: [${dir}]}\n${noting(dir)}`
    files['note.sls'] = `note:
  caller.cmd.run:
    - args:
      - cmd: (cat; echo) >> ${dir}/bus
      - stdin: {{ {'tag': tag, 'data': data} | json | json }}
`
    for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text)
    const server = await startBrine(t, { data: tempData(t), args: ['--no-minion', '--config', join(dir, 'master.yaml')] })
    const fleet = new Fleet(t, dir, server)
    fleet.#listen()
    return fleet
  }

  /** All that is committed, as a client of `/events` sees it. */
  #listen(): void {
    const end = new AbortController()
    const headers = { 'x-auth-token': this.#server.token }
    const stream = readEvents(`${this.#server.url}/events?since=earliest`, headers, this.#heard, end.signal)
    this.#t.teardown(async () => {
      end.abort()
      await stream
    })
  }

  readonly #heard = ({ tag, data }: BusEvent): boolean => {
    this.#seen.push({ tag, data })
    for (const wake of this.#waiting) wake()
    return false
  }

  /** Events from here on are the scenario's: those of before have been heard. */
  async begin(): Promise<void> {
    await this.settled()
    this.#since = this.#seen.length
  }

  events(): BusEvent[] {
    return this.#seen.slice(this.#since)
  }

  /** Resolves when an event of the scenario fits; the test's own time limit ends the waiting. */
  async heard(glob: string, fields: Readonly<Record<string, unknown>> = {}, count = 1): Promise<void> {
    const matches = compileGlob(glob)
    const fits = ({ tag, data }: BusEvent) => matches(tag) && Object.entries(fields).every(([name, value]) => data[name] === value)
    while (this.events().filter(fits).length < count) await new Promise<void>(resolve => this.#waiting.add(resolve))
  }

  /** Everything that was committed so far has been heard when this resolves. */
  async settled(): Promise<void> {
    const tag = `replay/settled/${this.#seen.length}`
    await this.#server.fetch('/events', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ tag, data: {} })
    })
    await this.heard(tag)
  }

  async start(id: string, { config = id, dir = id }: { config?: string; dir?: string } = {}): Promise<void> {
    const place = { id, master: this.#server.url, dir: join(this.dir, dir) }
    const file = join(this.dir, `${config}.yaml`)
    this.#minions.set(dir, startMinion(this.#t, { ...place, ...(existsSync(file) ? { config: file } : {}) }))
  }

  async stop(name: string): Promise<void> {
    await this.#minions.get(name)!.stop()
  }

  brine(...args: string[]): Promise<CommandRun> {
    return brine(args, { env: { BRINE_URL: this.#server.url, BRINE_TOKEN: this.#server.token } })
  }

  fetch: BrineProcess['fetch'] = (...args) => this.#server.fetch(...args)

  /** What the minion's own bus carried, by a reaction to each event. */
  async bus(): Promise<BusEvent[]> {
    const text = await readFile(join(this.dir, 'bus'), 'utf8').catch(() => '')
    return text.split('\n').flatMap(line => (line === '' ? [] : [JSON.parse(line) as BusEvent]))
  }

  /** A command of the recordings, with brine's program in place of Salt's. */
  async command(line: string): Promise<void> {
    const [program, ...words] = splitWords(line)
    switch (program) {
      case 'salt':
        await this.brine('run', ...saltWords(words))
        break
      case 'salt-run':
        await this.brine('run', ...words)
        break
      case 'wheel':
        await this.brine('run', '--wheel', ...words)
        break
      case 'salt-call':
        await this.brine('call', ...this.#callOptions(words), ...words.filter(word => word !== '--local'))
        break
      case 'salt-key':
        await this.brine('key', ...keyWords(words))
        break
      case 'start':
      case 'stop':
        await this[program](words.at(-1)!)
        break
      default:
        throw new Error(`what is '${line}'?`)
    }
  }

  #callOptions(words: readonly string[]): string[] {
    const options = ['--config', join(this.dir, 'web1.yaml'), '--dir', join(this.dir, 'web1'), '--id', 'web1']
    return [...options, ...(words.includes('--local') ? ['--local'] : ['--master', this.#server.url])]
  }
}

/** A reaction of the minion writes down what its bus carries. */
const noting = (dir: string) => `reactor:
${['custom/*', 'pillar_refresh', 'module_refresh', 'beacons_refresh', 'matchers_refresh', '/salt/minion/*'].map(tag => `  - '${tag}': ${dir}/note.sls\n`).join('')}`

/** Lists of running jobs without the command that notes an event: on a busy machine it may still run when the next scenario looks. */
function withoutNoting(events: readonly BusEvent[], dir: string): BusEvent[] {
  const isNoting = (value: unknown): boolean => {
    if (typeof value !== 'object' || value === null) return false
    const { fun, Function: named } = value as Record<string, unknown>
    return (fun ?? named) === 'cmd.run' && JSON.stringify(value).includes(`>> ${dir}/bus`)
  }
  const clean = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.filter(item => !isNoting(item)).map(clean)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).flatMap(([key, item]) => (isNoting(item) ? [] : [[key, clean(item)]])))
  }
  return events.map(({ tag, data }) => ({ tag, data: clean(data) as Record<string, unknown> }))
}

/** `-b 1 '*' test.echo x` → `-b 1 -t '*' test.echo x`. */
function saltWords(words: readonly string[]): string[] {
  const options: string[] = []
  const rest = [...words]
  while (rest[0]?.startsWith('-')) {
    const option = rest.shift()!
    if (option === '-t') options.push('--timeout', rest.shift()!)
    else if (option === '-b') options.push('--batch', rest.shift()!)
    else options.push(option)
  }
  return ['-t', rest[0]!, ...options, ...rest.slice(1)]
}

/** `-a web1 -y` → `accept web1`. */
function keyWords(words: readonly string[]): string[] {
  const [action, ...rest] = words.filter(word => word !== '-y')
  const names: Readonly<Record<string, readonly string[]>> = {
    ...{ '-a': ['accept'], '-r': ['reject'], '-d': ['delete'], '-A': ['accept', '*'], '-L': ['list'], '-F': ['finger'] }
  }
  return [...names[action!]!, ...rest]
}

interface Play extends Comparison {
  /** In place of the recording's commands, where these are told in other words, or take longer than needed. */
  readonly commands?: readonly string[]
  readonly run?: (fleet: Fleet) => Promise<unknown>
  /** Salt chose the other one. */
  readonly swap?: (events: readonly BusEvent[]) => boolean
  /** Once it has been compared. */
  readonly after?: (fleet: Fleet) => Promise<unknown>
}

/** In this order: each finds the fleet as the one before has left it. */
const PLAYS: Readonly<Record<string, Play>> = {
  auth_pending_accept_start: {
    run: async fleet => {
      await fleet.start('web1')
      await fleet.heard('salt/auth', { act: 'pend' })
      await fleet.command('salt-key -a web1 -y')
    }
  },
  auth_reject_then_accept: {
    run: async fleet => {
      await fleet.start('db1')
      await fleet.heard('salt/auth', { act: 'pend' })
      await fleet.command('salt-key -r db1 -y')
      await fleet.heard('salt/auth', { result: false })
      await fleet.stop('db1')
      await fleet.command('salt-key -a db1 --include-rejected -y')
    }
  },
  auth_start_after_accept: {},
  job_ping_two: {},
  job_args_kwargs: {},
  job_async: {},
  job_batch: {},
  job_cmd_nonzero: {},
  job_exception: {},
  job_metadata: {},
  job_missing_args: {},
  job_no_match: {},
  job_ret_types: {},
  job_subset: { swap: events => events.at(-1)?.data.id === 'web1' },
  job_target_compound: {},
  job_target_list: {},
  job_target_nodegroup: {},
  job_unknown_fun: {},
  job_grains_set: {},
  job_refresh_pillar: {},
  job_sync_all: {},
  job_kill: {
    run: async fleet => {
      await fleet.command('salt --async web1 test.sleep 30')
      await fleet.command('salt web1 saltutil.running')
      const { data } = fleet.events().find(({ data }) => data.fun === 'test.sleep')!
      await fleet.command(`salt web1 saltutil.term_job ${String(data.jid)}`)
    }
  },
  job_long_find_job: { commands: ['salt -t 1 web1 test.sleep 4'], rewrite: [['[10]', '[4]']], repeats: true },
  state_apply_plain: {},
  state_apply_events_ok: {},
  state_apply_events_fail: {},
  state_sls_fail_sub: {},
  state_highstate: {},
  state_fire_event: {},
  state_render_error: {},
  state_empty_sls: {},
  state_apply_file: {},
  state_events_minion_config: {},
  job_concurrent_state: {
    run: async fleet => {
      await fleet.command('salt --async web1 state.apply slowmod')
      await until(() => existsSync(join(fleet.dir, 'slow')), 'the first run is under way')
      await fleet.command('salt web1 state.apply ok')
      await rm(join(fleet.dir, 'slow'))
    }
  },
  saltcall_job: {},
  saltcall_local: {},
  refresh_pillar_from_call: {},
  event_send_basic: {},
  event_send_kwargs: {},
  event_send_preload: {},
  event_send_saltish_tag: {},
  event_send_string: {},
  event_send_with_grains: {},
  event_fire_local: {},
  event_fire_master: {},
  event_fire_master_remote: {},
  minion_bus_event_fire: {},
  minion_bus_refresh: {},
  schedule_jobs: {
    repeats: true,
    rewrite: [['"seconds":4', '"seconds":2']],
    run: async fleet => {
      await fleet.command("salt web1 schedule.add hello function=test.echo job_args='[scheduled]' seconds=2 metadata='{m: 1}'")
      await fleet.command('salt web1 schedule.add quiet1 function=test.ping seconds=2 return_job=False')
      await fleet.heard('salt/job/*/ret/web1', { schedule: 'hello' }, 2)
      for (const name of ['hello', 'quiet1']) await fleet.command(`salt web1 schedule.delete ${name}`)
    }
  },
  key_finger_list: {},
  key_accept_all: {
    run: async fleet => {
      for (const id of ['p1', 'p2']) await enroll(fleet, id)
      await fleet.begin()
      await fleet.command('salt-key -A -y')
    },
    after: async fleet => {
      for (const id of ['p1', 'p2']) await fleet.command(`salt-key -d ${id} -y`)
    }
  },
  key_auth_cycle_tmp1: {
    run: async fleet => {
      await fleet.start('tmp1')
      await fleet.heard('salt/auth', { act: 'pend' })
      await fleet.command('salt-key -d tmp1 -y')
      await fleet.heard('salt/key', { act: 'delete' })
      const asked = fleet.events().length
      await until(
        () =>
          fleet
            .events()
            .slice(asked)
            .some(({ tag }) => tag === 'salt/auth'),
        'the minion asks again'
      )
      await fleet.command('salt-key -a tmp1 -y')
      await fleet.heard('salt/minion/tmp1/start')
      await fleet.stop('tmp1')
      await fleet.command('salt-key -d tmp1 -y')
    }
  },
  auth_denied: {
    run: async fleet => {
      await fleet.start('web1', { dir: 'other' })
      await fleet.heard('salt/auth', { act: 'denied' })
      await fleet.stop('other')
    }
  },
  presence: {
    run: async fleet => {
      await fleet.heard('salt/presence/present')
      await fleet.stop('db1')
      await fleet.heard('salt/presence/change')
      await fleet.heard('salt/presence/present', {}, fleet.events().filter(({ tag }) => tag === 'salt/presence/present').length + 1)
      await fleet.start('db1')
      await fleet.heard('salt/presence/change', {}, 2)
    }
  },
  minion_restart: {
    run: async fleet => {
      await fleet.stop('db1')
      await fleet.start('db1')
    }
  },
  minion_start_with_grains: {
    run: async fleet => {
      await fleet.stop('db1')
      await fleet.start('db1', { config: 'grains' })
    }
  },
  runner_test_arg: {},
  runner_unknown: {},
  runner_error: {},
  runner_missing_arg: {},
  runner_async: {},
  runner_event_send: {},
  runner_cache: { commands: ['salt-run cache.grains tgt=web1'] },
  runner_jobs: {},
  runner_jobs_lookup: {},
  runner_manage_status: {},
  runner_manage_up: {},
  runner_fileserver_update: {
    run: async fleet => {
      const file = join(fleet.dir, 'srv/newfile.sls')
      const update = () => fleet.command('salt-run fileserver.update')
      await update()
      await fleet.begin()
      await update()
      for (const text of ['x: test.nop', 'x: test.pinged']) {
        await writeFile(file, text)
        await update()
      }
      await rm(file)
      await update()
    }
  },
  wheel_key_list: {},
  wheel_error: { commands: ['wheel error.error name=Exception message=boom'] },
  wheel_fail: {},
  wheel_key_gen_accept: { after: fleet => fleet.command('salt-key -d gen1 -y') },
  wheel_pillar_roots_write: {},
  reactor_local_runner_wheel: {},
  minion_stop: {},
  job_minion_down: { commands: ["salt -t 2 '*' test.ping"] },
  job_minion_down_only: { commands: ['salt -t 0.5 db1 test.ping'] }
}

/** A minion's first contact, without the minion. */
async function enroll(fleet: Fleet, id: string): Promise<void> {
  const body = JSON.stringify({ protocol: 1, id, pub: makeKey().pub })
  const answer = await fleet.fetch('/minion/enroll', { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`)
}

t.test('each recorded scenario is replayed, or stands in the list of those that are not with the reason', async t => {
  const left = Object.keys(differences.not_replayed).map(glob => ({ glob, matches: compileGlob(glob) }))
  for (const name of scenarios.keys()) {
    const reasons = left.filter(({ matches }) => matches(name))
    t.equal((name in PLAYS ? 1 : 0) + reasons.length, 1, name)
  }
  for (const { glob, matches } of left) t.ok([...scenarios.keys()].some(matches), `${glob} means a scenario`)
  for (const glob of Object.keys(differences.scenarios)) t.ok(Object.keys(PLAYS).some(compileGlob(glob)), `${glob} is replayed`)
})

t.setTimeout(180_000)

t.test('what Salt was recorded to do, brine does', { timeout: 150_000 }, async t => {
  process.env.LANG = 'C.UTF-8'
  const fleet = await Fleet.start(t)
  const rewrite = [
    ['/etc/managed.txt', `${fleet.dir}/managed.txt`],
    ['/etc/important_file', `${fleet.dir}/important_file`],
    ['/srv/salt/', `${fleet.dir}/srv/`],
    ['/srv/pillar/', `${fleet.dir}/pillar/`],
    ['sleep 4', slowCommand(fleet.dir)]
  ] as const
  for (const [name, play] of Object.entries(PLAYS)) {
    await t.test(name, async t => {
      const { bus, commands } = scenarios.get(name)!
      const comparison = { ...play, users: ['root', 'UNKNOWN', 'admin'], rewrite: [...rewrite, ...(play.rewrite ?? [])] }
      await fleet.begin()
      await rm(join(fleet.dir, 'bus'), { force: true })
      if (play.run) await play.run(fleet)
      else for (const command of play.commands ?? commands!.flatMap(line => line.split(' ; '))) await fleet.command(command)
      const look = async () => {
        const events =
          bus === 'master'
            ? withoutNoting(
                fleet.events().filter(event => isOf(name, event)),
                fleet.dir
              )
            : await fleet.bus()
        const swapped = [['web1', '(other)'] as const, ['db1', 'web1'] as const, ['(other)', 'db1'] as const]
        return compared(name, events, play.swap?.(events) ? { ...comparison, rewrite: [...comparison.rewrite, ...swapped] } : comparison)
      }
      // What a minion does by itself comes after the command has ended; what should not come is seen, if it is there, as soon as the rest is.
      const wanted = (await look()).recorded.length
      await until(async () => (await look()).seen.length >= wanted, 'as many events as recorded').catch(() => {})
      await fleet.settled()
      const { recorded, seen, unused } = await look()
      t.same(seen, recorded)
      t.same(unused, [], 'differences that did not show')
      await play.after?.(fleet)
    })
  }
})

/** Presence is told all the time. */
function isOf(name: string, { tag }: BusEvent): boolean {
  return !tag.startsWith('replay/') && (name === 'presence' || !tag.startsWith('salt/presence/'))
}

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { absolute, type Bench, compare, type Figure, percentile } from './figures.js'
import { Child } from './processes.js'

/** Events that come at once. */
const BURST = 10_000
/** A fleet's first minute: reactions a second, and for how many seconds. */
const PER_SECOND = 200
const SECONDS = 10
/** Rules, and events a second that are matched against them. */
const RULES = 10_000
const EVENTS_PER_SECOND = 1000
/** Templates that never end, so many that the quarantine of each leaves enough for the whole time. */
const HOSTILE = 40
const HOSTILE_SECONDS = 6

interface Place {
  readonly url: string
  readonly token: string
}

/** As people write them: variables of the event, a condition, a macro, keyword arguments. */
const SLS = `{% set version = data.get('version', 'latest') %}
{% macro wanted(app) %}{{ app }}-{{ version }}{% endmacro %}
{% if data.get('status', 'ok') == 'ok' and not tag.endswith('/ignored') %}
deploy_{{ data['id'] }}:
  local.test.arg:
    - tgt: {{ data['id'] }}
    - args:
      - n: {{ data.get('n', 0) }}
      - packages:
{% for app in ['shop', 'api', 'worker'] %}
        - {{ wanted(app) }}
{% endfor %}
      - reason: {{ tag.split('/')[-1] | upper }}
      - saltenv: base
{% endif %}
`
const ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{{ 'x' * 9 }}{% endfor %}{% endfor %}"

/** What reacting costs: bursts, steady work, many rules, and templates that mean harm. */
export const bench: Bench = async () => [
  ...(await burst()),
  ...(await steady()),
  ...(await manyRules()),
  ...(await hostile()),
  ...(await hostileCondition())
]

interface Site {
  readonly dir: string
  readonly server: Child
  readonly at: Place
}

/** A server with these rules and one minion that returns at once. */
async function withSite<T>(rules: (dir: string) => object[], work: (site: Site) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'brine-bench-reactor-'))
  const server = new Child('servers/brine')
  const minion = new Child('clients/minions')
  try {
    writeFileSync(join(dir, 'deploy.sls'), SLS)
    const at = await server.call<Place>('start', { dir: join(dir, 'data'), config: { auto_accept: true, reactor: rules(dir) } })
    await minion.call('start', { url: at.url, from: 0, count: 1, keys: true })
    return await work({ dir, server, at })
  } finally {
    await minion.stop()
    await server.stop()
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** Ten thousand minions start at once. */
async function burst(): Promise<Figure[]> {
  return withSite(
    dir => [{ minion_start: [join(dir, 'deploy.sls')] }],
    async ({ dir, server }) => {
      const db = new Database(join(dir, 'data/brine.db'), { readonly: true })
      const count = (sql: string) => () => db.prepare(sql).pluck().get() as number
      const plans = count('SELECT count(*) FROM plans')
      const dispatched = count("SELECT count(*) FROM reactions WHERE state <> 'planned'")
      // The first one pays for what is only done once.
      await server.call('fire', { count: 1, tag: 'minion_start', data: { id: 'minion00000' } })
      await reached(dispatched, 1)
      const cpu = await server.call<number>('cpu')
      const from = performance.now()
      await server.call('fire', { count: BURST, tag: 'minion_start', data: { id: 'minion00000' } })
      const fired = (performance.now() - from) / 1000
      const planned = await reached(plans, BURST + 1)
      const done = await reached(dispatched, BURST + 1)
      await quiet(server)
      const spent = ((await server.call<number>('cpu')) - cpu) / BURST
      const reactions = count('SELECT count(*) FROM reactions')() - 1
      const jobs = count("SELECT count(*) FROM events WHERE tag GLOB 'salt/job/*/new'")() - 1
      const dead = count("SELECT count(*) FROM reactions WHERE state = 'dead'")()
      db.close()
      const seconds = (until: number) => (until - from) / 1000
      const note = `${BURST.toLocaleString('en')} events written in ${fired.toFixed(1)} s`
      return [
        absolute('reactions planned durably', BURST / seconds(planned), { atLeast: 2000 }, 'a second', note),
        absolute('reactions dispatched', BURST / seconds(done), { atLeast: 1000 }, 'a second', 'with a minion that returns'),
        absolute('the same, CPU of the server for each, its return included', spent, { atMost: 2000 }, 'us'),
        absolute(
          'ten thousand minion_start at once: reactions missing or too many',
          Math.abs(reactions - BURST),
          { atMost: 0 },
          'reactions'
        ),
        absolute('the same, jobs', Math.abs(jobs - BURST) + dead, { atMost: 0 }, 'jobs')
      ]
    }
  )
}

/** Some reactions all the time. */
async function steady(): Promise<Figure[]> {
  return withSite(
    dir => [{ 'live/deploy': [join(dir, 'deploy.sls')] }],
    async ({ at }) => {
      const own = await paced(at, '/events?tag=live/other', 'live/other')
      const led = await paced(at, '/events?tag=salt/job/*/new', 'live/deploy')
      const lost = PER_SECOND * SECONDS - led.length
      return [
        compare('from POST to published job', percentile(led, 0.5), percentile(own, 0.5), { atMost: 6 }, 'ms', 'to the event itself'),
        absolute('from POST to published job, p50', percentile(led, 0.5), { atMost: 15 }, 'ms', beside(own, 0.5)),
        absolute('from POST to published job, p99', percentile(led, 0.99), { atMost: 60 }, 'ms', beside(own, 0.99)),
        absolute('the same, without a job', lost, { atMost: 0 }, 'events')
      ]
    }
  )
}

function beside(own: readonly number[], share: number): string {
  return `${PER_SECOND} a second; to the event itself ${percentile(own, share).toFixed(1)} ms`
}

async function paced(at: Place, path: string, tag: string): Promise<number[]> {
  const client = new Child('clients/latency')
  try {
    await client.call('open', { ...at, path })
    await client.call('pace', { ...at, tag, perSecond: PER_SECOND, seconds: 1 })
    return await client.call<number[]>('pace', { ...at, tag, perSecond: PER_SECOND, seconds: SECONDS })
  } finally {
    await client.stop()
  }
}

/** Many rules, of which one in ten events meets one. */
async function manyRules(): Promise<Figure[]> {
  return withSite(
    dir => Array.from({ length: RULES }, (_, i) => ({ [`ci/project-${i}/*`]: [join(dir, 'deploy.sls')] })),
    async ({ server }) => {
      const lags: number[] = []
      const from = performance.now()
      for (let i = 0; i < SECONDS * 10; i++) {
        const share = EVENTS_PER_SECOND / 10
        await server.call('fire', { count: share * 0.9, tag: `other/tag/${i}`, data: { id: 'minion00000' } })
        await server.call('fire', { count: share * 0.1, tag: `ci/project-${i * 97}/build`, data: { id: 'minion00000' } })
        const due = from + (i + 1) * 100
        await new Promise(resolve => setTimeout(resolve, Math.max(0, due - performance.now())))
        const { lag, open } = await server.call<{ lag: number; open: number }>('backlog')
        lags.push(lag + open)
      }
      const perSecond = (EVENTS_PER_SECOND * SECONDS * 1000) / (performance.now() - from)
      const most = `at most ${Math.max(...lags)} in between`
      return [
        absolute('events a second against 10,000 rules', perSecond, { atLeast: 0.95 * EVENTS_PER_SECOND }, 'events/s'),
        absolute('the same, what waits, p99', percentile(lags, 0.99), { atMost: EVENTS_PER_SECOND }, 'events', most)
      ]
    }
  )
}

/** A rule whose condition takes all that it may, for every event that is posted. */
async function hostileCondition(): Promise<Figure[]> {
  const post = async (when: string) =>
    withSite(
      dir => {
        const file = join(dir, 'none.sls')
        writeFileSync(file, '')
        return [{ 'salt/netapi/hook/ci/*': { sls: file, when } }]
      },
      async ({ at }) => {
        const load = new Child('clients/load')
        const run = { ...at, path: '/hook/ci/build', body: '{"status": "ok"}', connections: 2, seconds: HOSTILE_SECONDS }
        try {
          await load.call('run', run)
          const figures = await load.call<{ p50Ms: number; p99Ms: number; failed: number }>('run', run)
          if (figures.failed > 0) throw new Error(`${figures.failed} POSTs failed`)
          return figures
        } finally {
          await load.stop()
        }
      }
    )
  const alone = await post('false')
  const meanwhile = await post("range(100000) | map('string') | join | length > 0")
  return [
    compare('a hook whose rule has a hostile condition, p50', meanwhile.p50Ms, alone.p50Ms, { atMost: 2 }, 'ms', 'with one that is quick'),
    absolute('the same, p99', meanwhile.p99Ms, { atMost: 60 }, 'ms', `with one that is quick ${alone.p99Ms.toFixed(1)} ms`)
  ]
}

/** Templates that never end are rendered for one event after the other; meanwhile others post. */
async function hostile(): Promise<Figure[]> {
  return withSite(
    dir =>
      Array.from({ length: HOSTILE }, (_, i) => {
        const file = join(dir, `endless${i}.sls`)
        writeFileSync(file, `{# ${i} #}${ENDLESS}`)
        return { [`evil/${i}`]: [file] }
      }),
    async ({ server, at }) => {
      const load = new Child('clients/load')
      const post = () =>
        load.call<{ p50Ms: number; p99Ms: number; failed: number }>('run', {
          ...at,
          path: '/hook/ci/build',
          body: '{"status": "ok"}',
          connections: 2,
          seconds: HOSTILE_SECONDS
        })
      try {
        await post()
        const alone = await post()
        for (let i = 0; i < HOSTILE; i++) await server.call('fire', { count: 3, tag: `evil/${i}`, data: {} })
        const meanwhile = await post()
        const { open } = await server.call<{ open: number }>('backlog')
        const note = `${open} of ${3 * HOSTILE} renderings still to come`
        if (meanwhile.failed > 0) throw new Error(`${meanwhile.failed} POSTs failed`)
        return [
          compare('a hook beside templates that never end, p50', meanwhile.p50Ms, alone.p50Ms, { atMost: 2 }, 'ms', 'alone'),
          absolute('the same, p99', meanwhile.p99Ms, { atMost: 60 }, 'ms', `alone ${alone.p99Ms.toFixed(1)} ms; ${note}`)
        ]
      } finally {
        await load.stop()
      }
    }
  )
}

/** When a count is reached, on `performance`'s clock. @throws after a minute */
async function reached(count: () => number, wanted: number): Promise<number> {
  const until = performance.now() + 60_000
  while (count() < wanted) {
    if (performance.now() > until) throw new Error(`${count()} of ${wanted} after a minute`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  return performance.now()
}

/** Until the reactor has nothing left to do. */
async function quiet(server: Child): Promise<void> {
  for (;;) {
    const { lag, open, running } = await server.call<{ lag: number; open: number; running: number }>('backlog')
    if (lag + open + running === 0) return
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

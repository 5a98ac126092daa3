import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { allPlans, allReactions, history, type ShownPlan, type ShownReaction } from './history.js'
import { type BrineProcess, type StreamedEvent, startBrine } from './server.js'

/**
 * Rounds of `kill -9` (server and minion) while rules of every kind react: windows, lines, all four clients, and reactions whose events have
 * reactions. What is on record afterwards is held against what docs/reactor.md promises, rule by rule.
 */
export interface ReactorCrashReport {
  readonly rounds: number
  readonly hooks: number
  readonly reactions: number
  readonly windows: number
  /** Runner and wheel calls that were under way at a kill. */
  readonly interrupted: number
  readonly jobs: number
  /** What broke a promise, in words; empty when all held. */
  readonly violations: readonly string[]
}

interface Test {
  teardown(undo: () => unknown): void
}

const HOOK = 'salt/netapi/hook/crash'
const WITHIN_MS = 300
const THRESHOLD = 3
/** A minion that is killed again and again on a busy machine may be away for long: its jobs wait, so that each has its return in the end. */
const JOB_SECONDS = 600
const INTERRUPTED = 'interrupted by a restart of the server'

const N = "{{ data['post']['n'] }}"
const NS = "{{ events | map(attribute='data') | map(attribute='post') | map(attribute='n') | join('_') }}"

/** File → its text. Names of sections say which rule made them and of which hooks, so that records can be counted. */
const filesFor = (effects: string): Readonly<Record<string, string>> => ({
  'each.sls': `local_${N}:
  local.test.echo:
    - tgt: '*'
    - arg: ['${N}']
runner_${N}:
  runner.event.send:
    - args:
      - tag: 'myco/chain/${N}'
      - data: {n: '${N}'}
wheel_${N}:
  wheel.key.list_all: []
{% if data['post']['n'] | int % 5 == 0 %}
ran_${N}:
  runner.salt.cmd:
    - arg: [cmd.run, 'echo ran_${N} >> ${effects}']
job_${N}:
  local.cmd.run:
    - tgt: '*'
    - arg: ['echo job_${N} >> ${effects}']
{% endif %}
`,
  'within.sls': `within_${N}:\n  caller.test.echo:\n    - arg: ['${N}']\n`,
  'after.sls': `after_${NS}:\n  runner.test.arg:\n    - args: [{n: 1}]\n`,
  'debounce.sls': `debounce_${NS}:\n  local.test.echo:\n    - tgt: '*'\n    - arg: [quiet]\n`,
  'accumulate.sls': `accumulate_${NS}:\n  wheel.key.list_all: []\n`,
  'line.sls': `line_${N}:\n  local.test.echo:\n    - tgt: '*'\n    - arg: ['${N}']\n`,
  'chain.sls':
    "chain_{{ data.n }}:\n  runner.event.send:\n    - args:\n      - tag: 'myco/last/{{ data.n }}'\n      - data: {n: '{{ data.n }}'}\n",
  'last.sls': "last_{{ data.n }}:\n  local.test.echo:\n    - tgt: '*'\n    - arg: ['{{ data.n }}']\n"
})

const ruleFor = (dir: string) => [
  { [HOOK]: join(dir, 'each.sls') },
  { [HOOK]: { sls: join(dir, 'within.sls'), throttle: { once_within: `${WITHIN_MS}ms` }, group_by: 'data.post.k' } },
  { [HOOK]: { sls: join(dir, 'after.sls'), throttle: { once_after: '200ms' }, group_by: 'data.post.k' } },
  { [HOOK]: { sls: join(dir, 'debounce.sls'), debounce: { period: '100ms', max: '400ms' }, group_by: 'data.post.k' } },
  { [HOOK]: { sls: join(dir, 'accumulate.sls'), accumulate: { within: '1h', threshold: THRESHOLD }, group_by: 'data.post.k' } },
  { [HOOK]: { sls: join(dir, 'line.sls'), concurrency: { key: 'data.post.k', limit: 1 } } },
  { 'myco/chain/*': join(dir, 'chain.sls') },
  { 'myco/last/*': join(dir, 'last.sls') }
]

/** Runs the rounds, lets everything settle, and judges. `data`: an empty directory that goes away with the test. */
export async function reactorCrashRounds(
  t: Test,
  options: { rounds: number; longestRoundMs?: number; data: string }
): Promise<ReactorCrashReport> {
  const effects = join(options.data, 'effects')
  for (const [name, text] of Object.entries(filesFor(effects))) writeFileSync(join(options.data, name), text)
  const config = join(options.data, 'brine.yaml')
  writeFileSync(config, JSON.stringify({ reactor: ruleFor(options.data), timeout: JOB_SECONDS }))
  const start = () => startBrine(t, { data: join(options.data, 'data'), args: ['-c', config] })
  const acknowledged = new Set<number>()
  let next = 0
  for (let round = 0; round < options.rounds; round++) {
    const brine = await start()
    const posting = post(brine, () => next++, acknowledged)
    await wait(200 + Math.random() * (options.longestRoundMs ?? 1500))
    await brine.crash()
    await posting
  }
  const last = await start()
  await settled(last)
  const found = { events: await history(last), plans: await allPlans(last), reactions: await allReactions(last) }
  const open = await openWindows(last)
  await last.stop()
  const lines = existsSync(effects) ? readFileSync(effects, 'utf8').split('\n').filter(Boolean) : []
  return judge({ ...found, acknowledged, open, effects: countOf(lines, line => line) }, options.rounds)
}

/** Three clients that post until the server is gone, at a pace that leaves windows time to close. */
async function post(brine: BrineProcess, number: () => number, acknowledged: Set<number>): Promise<void> {
  const client = async () => {
    for (;;) {
      const n = number()
      try {
        const body = new URLSearchParams({ n: String(n), k: `k${n % 3}` })
        const answer = await brine.fetch('/hook/crash', { method: 'POST', body })
        await answer.arrayBuffer()
        if (answer.ok) acknowledged.add(n)
        await wait(10 + Math.random() * 40)
      } catch {
        return
      }
    }
  }
  await Promise.all([client(), client(), client()])
}

/** Waits until nothing is left to do. Bounded: what is not settled after two minutes is told of by `judge`. */
async function settled(brine: BrineProcess): Promise<void> {
  const ask = async (path: string) => (await brine.fetch(path)).json() as Promise<Record<string, unknown>>
  const none = async (what: 'plans' | 'reactions', state: string) =>
    ((await ask(`/reactor/${what}?state=${state}&limit=1`))[what] as unknown[]).length === 0
  let quiet = 0
  for (let attempt = 0; attempt < 480 && quiet < 2; attempt++) {
    const { lag, open, running } = await ask('/reactor/status')
    const windows = (await openWindows(brine)).filter(({ kind }) => kind === 'once_after' || kind === 'debounce')
    const idle =
      [lag, open, running].every(count => count === 0) &&
      windows.length === 0 &&
      (await none('plans', 'planned')) &&
      (await none('plans', 'held')) &&
      (await none('plans', 'failed')) &&
      (await none('reactions', 'planned')) &&
      (await none('reactions', 'dispatched'))
    // Twice in a row: what was asked first may have changed while the rest was asked.
    quiet = idle ? quiet + 1 : 0
    await wait(250)
  }
}

interface ShownWindow {
  readonly rule: string
  readonly key: string
  readonly kind: string
  readonly first: string
  readonly events: number
}

async function openWindows(brine: BrineProcess): Promise<ShownWindow[]> {
  const { rules } = (await (await brine.fetch('/reactor/rules')).json()) as { rules: { id: string }[] }
  const states = rules.map(async ({ id }) => {
    const state = (await (await brine.fetch(`/reactor/rules/${id}/state`)).json()) as { windows: Omit<ShownWindow, 'rule'>[] }
    return state.windows.map(window => ({ ...window, rule: id }))
  })
  return (await Promise.all(states)).flat()
}

interface Found {
  readonly events: readonly StreamedEvent[]
  readonly plans: readonly ShownPlan[]
  readonly reactions: readonly ShownReaction[]
  readonly acknowledged: ReadonlySet<number>
  readonly open: readonly ShownWindow[]
  /** What functions with an effect left behind: line → how often. */
  readonly effects: ReadonlyMap<string, number>
}

interface Hook {
  readonly id: string
  readonly n: number
  readonly k: string
  readonly us: number
}

function judge(found: Found, rounds: number): ReactorCrashReport {
  const hooks = found.events.filter(({ tag }) => tag === HOOK).map(hookOf)
  const violations = [
    ...missing(hooks, found.acknowledged),
    ...notOver(found),
    ...notOnce(found, hooks),
    ...passedOver(found, hooks),
    ...gathered(found, hooks),
    ...outOfLine(found, hooks),
    ...calledTwice(found),
    ...publishedTwice(found)
  ]
  return {
    rounds,
    hooks: hooks.length,
    reactions: found.reactions.length,
    windows: found.plans.filter(({ window }) => window !== null).length,
    interrupted: found.reactions.filter(({ error }) => error === INTERRUPTED).length,
    jobs: found.events.filter(isJob).length,
    violations
  }
}

function hookOf({ id, data }: StreamedEvent): Hook {
  const { n, k } = data.post as { n: string; k: string }
  return { id, n: Number(n), k, us: microseconds(data._stamp as string) }
}

function missing(hooks: readonly Hook[], acknowledged: ReadonlySet<number>): string[] {
  const times = countOf(hooks, ({ n }) => n)
  return [
    ...[...acknowledged].filter(n => !times.has(n)).map(n => `hook ${n} was answered 2xx and is not in the log`),
    ...[...times].filter(([, count]) => count !== 1).map(([n, count]) => `hook ${n} is in the log ${count} times`)
  ]
}

/** Nothing is left half done, and nothing failed but what a kill interrupted. */
function notOver({ plans, reactions }: Found): string[] {
  const open = plans.filter(({ state }) => state !== 'rendered').map(({ id, rule, state }) => `plan ${id} of ${rule} is ${state}`)
  const odd = reactions.filter(({ state, error, call }) => {
    if (state === 'succeeded') return false
    // A job that ran when its minion was killed has failed: the minion says so when it is back.
    const { client } = call
    return state !== 'failed' || (error !== INTERRUPTED && client !== 'local' && client !== 'caller')
  })
  return [...open, ...odd.map(({ section, state, error }) => `${section} is ${state}: ${error}`)]
}

/** Each event that a rule reacts to by itself has one reaction per section. */
function notOnce({ reactions, events }: Found, hooks: readonly Hook[]): string[] {
  const times = countOf(reactions, ({ section }) => section)
  const wrong = (section: string) => (times.get(section) === 1 ? [] : [`${section} was planned ${times.get(section) ?? 0} times`])
  const sections = hooks.flatMap(({ n }) => [
    ...['local', 'runner', 'wheel', 'line'].map(name => `${name}_${n}`),
    ...(n % 5 === 0 ? [`ran_${n}`, `job_${n}`] : [])
  ])
  const chained = events.filter(({ tag }) => tag.startsWith('myco/')).map(({ tag }) => tag.split('/') as [string, string, string])
  return [...sections, ...chained.map(([, name, n]) => `${name}_${n}`)].flatMap(wrong)
}

/** once_within: the first hook of each time is reacted to, none of the others is. Time is that of the events, so it can be told exactly. */
function passedOver({ reactions }: Found, hooks: readonly Hook[]): string[] {
  const times = countOf(reactions, ({ section }) => section)
  const until = new Map<string, number>()
  return hooks.flatMap(({ n, k, us }) => {
    const first = us >= (until.get(k) ?? 0)
    if (first) until.set(k, us + WITHIN_MS * 1000)
    const count = times.get(`within_${n}`) ?? 0
    return count === (first ? 1 : 0)
      ? []
      : [`hook ${n}, ${first ? 'the first' : 'not the first'} of its time, was reacted to ${count} times`]
  })
}

/** Windows: each hook is in exactly one, of its own key, and each window was reacted to once. */
function gathered({ reactions, plans, open }: Found, hooks: readonly Hook[]): string[] {
  const keyOf = new Map(hooks.map(({ n, k }) => [n, k]))
  const violations: string[] = []
  for (const name of ['after', 'debounce', 'accumulate']) {
    const windows = reactions
      .filter(({ section }) => section.startsWith(`${name}_`))
      .map(({ section }) => section.split('_').slice(1).map(Number))
    const members = countOf(windows.flat(), n => n)
    for (const window of windows) {
      if (new Set(window.map(n => keyOf.get(n))).size !== 1) violations.push(`${name}: ${window} are of several keys`)
      if (name === 'accumulate' && window.length !== THRESHOLD) violations.push(`accumulate: ${window} are not ${THRESHOLD}`)
    }
    for (const [n, count] of members) if (count !== 1) violations.push(`${name}: hook ${n} is in ${count} windows`)
    for (const key of new Set(keyOf.values())) {
      const all = hooks.filter(({ k }) => k === key)
      const left = all.filter(({ n }) => !members.has(n))
      const waiting = open.find(window => window.kind === name && window.key === JSON.stringify(key))?.events ?? 0
      if (left.length !== waiting) violations.push(`${name}: of ${key} ${left.length} hooks are in no window, ${waiting} in an open one`)
    }
  }
  const reacted = countOf(
    plans.filter(({ window }) => window !== null),
    ({ rule, window }) => `${rule} ${window}`
  )
  for (const [window, count] of reacted) if (count !== 1) violations.push(`window ${window} was reacted to ${count} times`)
  return violations
}

/** concurrency 1: of each key a job is published when the one before it has returned, in the order of the hooks. */
function outOfLine({ reactions, events }: Found, hooks: readonly Hook[]): string[] {
  const keyOf = new Map(hooks.map(({ n, k }) => [n, k]))
  const inLine = new Map(
    reactions.filter(({ section }) => section.startsWith('line_')).map(({ section, jid }) => [jid, Number(section.split('_')[1])] as const)
  )
  const under = new Map<string, string>()
  const violations: string[] = []
  for (const { tag } of events) {
    const [, , jid = '', what] = tag.split('/')
    const n = tag.startsWith('salt/job/') ? inLine.get(jid) : undefined
    if (n === undefined) continue
    const key = keyOf.get(n)!
    const before = under.get(key)
    if (what === 'new' && before !== undefined) violations.push(`job ${jid} of ${key} began while ${before} was under way`)
    if (what === 'new') under.set(key, jid)
    else if (before === jid) under.delete(key)
  }
  return violations
}

/** Runner and wheel functions: begun once, ended once, and what they do is done once, or at most once where a kill interrupted them. */
function calledTwice({ reactions, events, effects }: Found): string[] {
  const tags = countOf(events, ({ tag }) => tag)
  const fired = (section: string) => {
    const [name, n] = section.split('_')
    return tags.get(`myco/${name === 'runner' ? 'chain' : 'last'}/${n}`) ?? 0
  }
  return reactions.flatMap(({ section, jid, state, call }) => {
    const violations: string[] = []
    const { client, fun } = call
    const kind = client === 'runner' ? 'run' : client === 'wheel' ? 'wheel' : null
    for (const what of kind === null ? [] : ['new', 'ret']) {
      const count = tags.get(`salt/${kind}/${jid}/${what}`) ?? 0
      if (count !== 1) violations.push(`${section}: ${count} events ${kind}/${jid}/${what}`)
    }
    const done = fun === 'event.send' ? fired(section) : fun === 'salt.cmd' || fun === 'cmd.run' ? (effects.get(section) ?? 0) : null
    if (done !== null && (done > 1 || (state === 'succeeded' && done === 0)))
      violations.push(`${section} (${state}) was done ${done} times`)
    return violations
  })
}

/** Each local and caller reaction has one job, under its own jid, with one return; the reactor published no other. */
function publishedTwice({ reactions, events }: Found): string[] {
  const tags = countOf(events, ({ tag }) => tag.split('/').slice(0, 4).join('/'))
  const planned = new Set(reactions.map(({ jid }) => jid))
  const wrong = reactions
    .filter(({ call: { client } }) => client === 'local' || client === 'caller')
    .flatMap(({ section, jid }) =>
      ['new', 'ret'].flatMap(what => {
        const count = tags.get(`salt/job/${jid}/${what}`) ?? 0
        return count === 1 ? [] : [`${section}: job ${jid} has ${count} events '${what}'`]
      })
    )
  const unplanned = events.filter(event => isJob(event) && event.data.user === 'Reactor' && !planned.has(event.tag.split('/')[2]!))
  return [...wrong, ...unplanned.map(({ tag }) => `${tag} is of no reaction`)]
}

function isJob({ tag }: StreamedEvent): boolean {
  return /^salt\/job\/\d+\/new$/.test(tag)
}

function microseconds(stamp: string): number {
  const [whole = '', fraction = ''] = stamp.split('.')
  return Date.parse(`${whole}Z`) * 1000 + Number(fraction.padEnd(6, '0').slice(0, 6))
}

function countOf<T, K>(items: readonly T[], keyOf: (item: T) => K): Map<K, number> {
  const counts = new Map<K, number>()
  for (const item of items) counts.set(keyOf(item), (counts.get(keyOf(item)) ?? 0) + 1)
  return counts
}

/** Compares what a fleet did on the bus with what Salt's was recorded to do (golden/events), field by field and in order. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot } from '../../src/shared/paths.js'
import { compileGlob } from '../../src/tags/glob.js'

export interface BusEvent {
  readonly tag: string
  readonly data: Record<string, unknown>
}

export interface Scenario {
  readonly file: string
  readonly bus: string
  readonly commands?: readonly string[]
  readonly reactor_sls?: string
}

/** One place in which brine means to differ from the recording. */
export interface Difference {
  /**
   * absent: Salt fires it, brine does not. extra: the other way round. value: a field (path with dots; `*` for any key) has another value, or
   * is not there in one of them. order: the events of one minion come in another order.
   */
  readonly kind: 'absent' | 'extra' | 'value' | 'order'
  readonly tag?: string
  readonly path?: string
  /** Of the events with this tag, those whose data have these fields. With `new` of a job goes the event `<jid>` that announces it. */
  readonly where?: Readonly<Record<string, unknown>>
  readonly reason: string
}

interface Differences {
  /** Name (or glob) of a scenario → what differs in it. */
  readonly scenarios: Readonly<Record<string, readonly Difference[]>>
  /** Name (or glob) of a scenario → why it is not replayed here. */
  readonly not_replayed: Readonly<Record<string, string>>
}

const folder = join(packageRoot(), 'test/fixtures/golden')
const read = (file: string) => readFileSync(join(folder, file), 'utf8')

export const differences = JSON.parse(read('events-differences.json')) as Differences

/** All scenarios, by name. */
export const scenarios: ReadonlyMap<string, Scenario> = new Map(
  (JSON.parse(read('events/INDEX.json')) as { scenarios: Scenario[] }).scenarios.map(each => [each.file.replace(/\.jsonl$/, ''), each])
)

export function recordedEvents(name: string): BusEvent[] {
  return read(`events/${name}.jsonl`)
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line) as BusEvent)
}

export interface Comparison {
  /** Texts of the recording that stand for something else here: `/etc/managed.txt` → a temporary file, `sleep 4` → `sleep 1`. */
  readonly rewrite?: readonly (readonly [recorded: string, here: string])[]
  /** How often it happens is a matter of time (polls, a schedule): further ones of a kind are left out on both sides. */
  readonly repeats?: boolean
  /** Who called: Salt's root, and the token's user. */
  readonly users?: readonly string[]
}

export interface Compared {
  readonly recorded: readonly string[]
  readonly seen: readonly string[]
  /** Differences of the file that did not show. */
  readonly unused: readonly Difference[]
}

/** Both sides as lists of texts, in which all that differs by nature (times, keys, process ids, durations) is masked. */
export function compared(name: string, seen: readonly BusEvent[], options: Comparison = {}): Compared {
  const meant = Object.entries(differences.scenarios).flatMap(([glob, list]) => (compileGlob(glob)(name) ? list : []))
  const used = new Set<Difference>()
  const rewritten = JSON.parse(rewrite(JSON.stringify(recordedEvents(name)), options.rewrite ?? [])) as BusEvent[]
  const sides = [without(rewritten, 'absent', meant, used), without(seen, 'extra', meant, used)].map(events =>
    events.map(event => masked(event, options.users ?? ['root']))
  ) as [BusEvent[], BusEvent[]]
  for (const difference of meant.filter(({ kind }) => kind === 'value')) if (forgive(difference, ...sides)) used.add(difference)
  const sorted = meant.some(({ kind }) => kind === 'order')
  const arranged = (events: readonly BusEvent[]) => (sorted ? [...events].sort((a, b) => compareText(general(a), general(b))) : events)
  const [recorded, here] = sides.map(events => numbered(arranged(once(events, options.repeats ?? false)))) as [BusEvent[], BusEvent[]]
  const minions = new Set([...recorded, ...here].map(minionOf))
  const lanes = (events: readonly BusEvent[]) => {
    const list = minions.size > 2 ? [...events].sort((a, b) => compareText(minionOf(a), minionOf(b))) : events
    return list.map(shown)
  }
  return { recorded: lanes(recorded), seen: lanes(here), unused: meant.filter(each => !used.has(each) && each.kind !== 'order') }
}

function without(events: readonly BusEvent[], kind: 'absent' | 'extra', meant: readonly Difference[], used: Set<Difference>): BusEvent[] {
  const gone = new Set<BusEvent>()
  for (const difference of meant.filter(each => each.kind === kind)) {
    const matches = compileGlob(difference.tag!)
    const fits = ({ data }: BusEvent) => Object.entries(difference.where ?? {}).every(([field, value]) => data[field] === value)
    for (const event of events.filter(each => matches(each.tag) && fits(each))) {
      used.add(difference)
      gone.add(event)
      if (event.tag.endsWith('/new')) for (const before of events) if (before.tag === event.data.jid) gone.add(before)
    }
  }
  return events.filter(event => !gone.has(event))
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Minions race with each other and with the server: where there are several, order is compared within each. */
function minionOf({ tag, data }: BusEvent): string {
  const fromMinion = ['_return', '_minion_event'].includes(String(data.cmd)) || tag.startsWith('minion/refresh/')
  return fromMinion ? (tag.startsWith('minion/refresh/') ? tag.slice('minion/refresh/'.length) : String(data.id)) : ''
}

function rewrite(text: string, pairs: readonly (readonly [string, string])[]): string {
  return pairs.reduce((changed, [from, to]) => changed.replaceAll(from, to), text)
}

/** Keys in the order of the alphabet: JSON's readers do not see another. */
function shown({ tag, data }: BusEvent): string {
  return `${tag} ${JSON.stringify(sortedKeys(data))}`
}

function sortedKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortedKeys)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => compareText(a, b))
      .map(([key, item]) => [key, sortedKeys(item)])
  )
}

// ── masks ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Fields whose value differs each time: what the value must look like. What does not look like it stays, and shows. */
const FIELDS: Readonly<Record<string, (value: unknown) => boolean>> = {
  _stamp: value => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/.test(String(value)),
  pub: value => /^-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/=]+\n)+-----END PUBLIC KEY-----$/.test(String(value)),
  pid: value => Number.isInteger(value),
  __pub_pid: value => Number.isInteger(value),
  start_time: value => /^\d\d:\d\d:\d\d\.\d{6}$/.test(String(value)),
  duration: value => typeof value === 'number',
  _TS: value => /^\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}$/.test(String(value)),
  _TT: value => /^\d{4} \w+ \d\d? \w{3} \d\d \d\d$/.test(String(value)),
  _TOS: value => /^[+-]\d{4}$/.test(String(value))
}

/** Parts of texts that differ each time. */
const TEXTS: readonly (readonly [RegExp, string])[] = [
  [/(?<= started at )\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}$/, '(time)'],
  [/(?<= was started at )\d{4}, \w{3} \d\d \d\d:\d\d:\d\d\.\d{6}/, '(time)'],
  [/(?<=\bas PID |\bat pid )\d+/, '(pid)'],
  // What was cut in the recordings.
  [/(?<=\n\nUsage:\n)[\s\S]*$/, ''],
  [/\n {2}\(frames cut\)/, ''],
  [/(?<=^Passed invalid arguments to [^\n]*)\n\n[\s\S]*$/, '']
]

const JID = /\b2\d{3}(?:0[1-9]|1[0-2])[0-3]\d[0-2]\d[0-5]\d[0-6]\d{7}\b/g

function masked({ tag, data }: BusEvent, users: readonly string[]): BusEvent {
  const mask = (value: unknown, key: string): unknown => {
    if (FIELDS[key]?.(value)) return `(${key})`
    if ((key === 'user' || key === '__pub_user') && users.includes(String(value))) return '(caller)'
    // Sets in Salt, in any order.
    if ((key === 'present' || key === 'minions') && Array.isArray(value)) return [...value].sort()
    if (typeof value === 'string') return TEXTS.reduce((text, [pattern, by]) => text.replace(pattern, by), value)
    if (Array.isArray(value)) return value.map(item => mask(item, ''))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, mask(item, name)]))
  }
  return { tag, data: mask(data, '') as Record<string, unknown> }
}

/** Told again and again while nothing happens: a minion asks whether its key is accepted; who is present. */
const CHATTER = /^salt\/(auth|presence\/present)$/

/** Leaves out chatter that says the same as its predecessor, or with `repeats` what says the same as any before. */
function once(events: readonly BusEvent[], repeats: boolean): BusEvent[] {
  const texts = events.map(general)
  const again = (i: number) => CHATTER.test(events[i]!.tag) && texts[i] === texts[i - 1]
  return events.filter((_, i) => !again(i) && !(repeats && texts.indexOf(texts[i]!) < i))
}

function general(event: BusEvent): string {
  return JSON.stringify(sortedKeys(event)).replace(JID, '(jid)')
}

/** Job ids by the order in which they appear, so that they must agree wherever one stands. */
function numbered(events: readonly BusEvent[]): BusEvent[] {
  const known = new Map<string, string>()
  const number = (jid: string) => {
    if (!known.has(jid)) known.set(jid, `(jid ${known.size + 1})`)
    return known.get(jid)!
  }
  return JSON.parse(JSON.stringify(events).replace(JID, number)) as BusEvent[]
}

// ── differences ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Takes the field out of both sides. True when they did differ there. */
function forgive({ tag, path }: Difference, ...sides: [BusEvent[], BusEvent[]]): boolean {
  const matches = compileGlob(tag!)
  const [a, b] = sides.map(events => events.filter(event => matches(event.tag)).flatMap(event => taken(event.data, path!.split('.'))))
  return JSON.stringify(a) !== JSON.stringify(b)
}

function taken(value: unknown, [key, ...rest]: readonly string[]): unknown[] {
  if (typeof value !== 'object' || value === null || key === undefined) return []
  const holder = value as Record<string, unknown>
  const keys = key === '*' ? Object.keys(holder) : Object.hasOwn(holder, key) ? [key] : []
  return keys.flatMap(name => {
    if (rest.length > 0) return taken(holder[name], rest)
    const found = holder[name]
    delete holder[name]
    return [found]
  })
}

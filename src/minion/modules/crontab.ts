/**
 * A user's crontab as Salt reads and writes it: what stands above its line is the user's own and stays as it is; below it are variables, jobs and
 * jobs with `@…`, each with a comment that may end with `SALT_CRON_IDENTIFIER:<id>`. Everything here is about the text; cron.ts runs crontab(1).
 */
import { randomInt } from 'node:crypto'

const MANAGED = '# Lines below here are managed by Salt, do not edit'
const IDENTIFIER = 'SALT_CRON_IDENTIFIER'
const NO_IDENTIFIER = 'NO ID SET'
const DISABLED = '#DISABLED#'

interface Entry {
  readonly identifier: string | null
  readonly cmd: string
  readonly comment: string | null
  readonly commented: boolean
}

export const TIMES = ['minute', 'hour', 'daymonth', 'month', 'dayweek'] as const
export type Times = Readonly<Record<(typeof TIMES)[number], string>>
export type CronJob = Times & Entry
export type SpecialJob = Entry & { readonly spec: string }

export interface Tab {
  /** Lines above the managed ones. */
  readonly pre: readonly string[]
  readonly crons: readonly CronJob[]
  readonly special: readonly SpecialJob[]
  readonly env: readonly { readonly name: string; readonly value: string }[]
}

/** `present`: nothing to do; the tab is then the one that was given. */
export interface Change {
  readonly outcome: 'new' | 'updated' | 'present' | 'removed' | 'absent'
  readonly tab: Tab
}

export function parseTab(text: string): Tab {
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  const mark = lines.indexOf(MANAGED)
  const tab = {
    pre: mark < 0 ? lines : lines.slice(0, mark),
    crons: [] as CronJob[],
    special: [] as SpecialJob[],
    env: [] as Tab['env'][number][]
  }
  let note: Pick<Entry, 'comment' | 'identifier'> = { comment: null, identifier: null }
  for (const raw of mark < 0 ? [] : lines.slice(mark + 1)) {
    if (raw === MANAGED) continue
    const commented = raw.startsWith(DISABLED)
    const line = commented ? raw.slice(DISABLED.length) : raw
    if (line.startsWith('#')) {
      note = noted(note, line)
      continue
    }
    const entry = readEntry(line, { ...note, commented })
    if (!entry) continue
    if ('spec' in entry) tab.special.push(entry)
    else if ('minute' in entry) tab.crons.push(entry)
    else {
      tab.env.push(entry)
      continue // a comment above a variable is that of the job behind it, as in Salt
    }
    note = { comment: null, identifier: null }
  }
  return tab
}

function noted({ comment, identifier }: Pick<Entry, 'comment' | 'identifier'>, line: string): Pick<Entry, 'comment' | 'identifier'> {
  let said = line.replace(/^[# ]+/, '')
  let found = identifier
  const at = said.indexOf(IDENTIFIER)
  if (at >= 0) {
    const rest = said.slice(at + IDENTIFIER.length)
    if (rest.length > 1) found = rest.slice(1)
    said = said.slice(0, at).trimEnd()
  }
  return { comment: comment === null ? said : `${comment}\n${said}`, identifier: found }
}

function readEntry(
  line: string,
  note: Pick<Entry, 'comment' | 'identifier' | 'commented'>
): CronJob | SpecialJob | Tab['env'][number] | null {
  if (line.startsWith('@')) {
    const [spec, ...words] = line.split(/\s+/).filter(word => word !== '')
    return words.length === 0 ? null : { spec: spec!, cmd: words.join(' '), ...note }
  }
  const variable = /^([^= ]+)=(.*)$/.exec(line)
  if (variable) return { name: variable[1]!, value: variable[2]! }
  const [minute, hour, daymonth, month, dayweek, ...words] = line.split(' ')
  if (words.length === 0) return null
  return { minute: minute!, hour: hour!, daymonth: daymonth!, month: month!, dayweek: dayweek!, cmd: words.join(' '), ...note }
}

export function renderTab(tab: Tab): string {
  const lines = [...tab.pre]
  if (lines.at(-1) !== MANAGED) lines.push(MANAGED)
  for (const { name, value } of tab.env) lines.push(`${name}=${value === '' ? '""' : value}`)
  for (const job of tab.crons) lines.push(...entryLines(job, TIMES.map(time => job[time]).join(' ')))
  for (const job of tab.special) lines.push(...entryLines(job, job.spec))
  return lines.map(line => `${line}\n`).join('')
}

function entryLines({ comment, identifier, commented, cmd }: Entry, when: string): string[] {
  const job = `${commented ? DISABLED : ''}${when} ${cmd}`
  if (comment === null && identifier === null) return [job]
  const said = comment ? ` ${comment.trimEnd().replaceAll('\n', '\n# ')}` : ''
  return [`#${said}${identifier ? ` ${IDENTIFIER}:${identifier}` : ''}`, job]
}

/** Salt's rule: the identifier decides where the entry has one; one without is known by its command. */
function matches(entry: Entry, cmd: string, identifier: string | null): boolean {
  if (entry.identifier) return entry.identifier === (identifier || NO_IDENTIFIER)
  return entry.cmd === cmd
}

/** null: nothing said, so nothing to change. `random` is content with any value that is not `*`. */
function differs(now: unknown, wanted: unknown): boolean {
  if (wanted === null || now === wanted) return false
  return wanted === 'random' ? now === '*' : true
}

/** What is the same in both kinds of jobs; null keeps what there is. */
export interface EntryWish {
  readonly cmd: string
  readonly identifier: string | null
  readonly comment: string | null
  readonly commented: boolean
}

export function setJob(tab: Tab, wish: EntryWish & Times): Change {
  const now = tab.crons.find(job => matches(job, wish.cmd, wish.identifier))
  if (!now) return { outcome: 'new', tab: { ...tab, crons: [...tab.crons, { ...wish, ...chosen(wish) }] } }
  if (!entryDiffers(now, wish) && !TIMES.some(time => differs(now[time], wish[time]))) return { outcome: 'present', tab }
  const times = Object.fromEntries(TIMES.map(time => [time, differs(now[time], wish[time]) ? wish[time] : now[time]])) as unknown as Times
  const job = { ...merged(now, wish), ...chosen(times) }
  return { outcome: 'updated', tab: { ...tab, crons: [...tab.crons.filter(other => other !== now), job] } }
}

export function setSpecial(tab: Tab, wish: EntryWish & { readonly spec: string }): Change {
  const now = tab.special.find(job => matches(job, wish.cmd, wish.identifier))
  if (!now) return { outcome: 'new', tab: { ...tab, special: [...tab.special, { ...wish }] } }
  if (!entryDiffers(now, wish) && !differs(now.spec, wish.spec)) return { outcome: 'present', tab }
  const job = { ...merged(now, wish), spec: wish.spec }
  return { outcome: 'updated', tab: { ...tab, special: [...tab.special.filter(other => other !== now), job] } }
}

function entryDiffers(now: Entry, wish: EntryWish): boolean {
  return (['cmd', 'identifier', 'comment', 'commented'] as const).some(key => differs(now[key], wish[key]))
}

function merged(now: Entry, wish: EntryWish): Entry {
  return { cmd: wish.cmd, identifier: wish.identifier ?? now.identifier, comment: wish.comment ?? now.comment, commented: wish.commented }
}

/** `when`: only a job with these times, where they are said. */
export function removeJob(tab: Tab, cmd: string, identifier: string | null, when: Readonly<Record<string, string | null>> = {}): Change {
  const said = TIMES.filter(time => (when[time] ?? null) !== null)
  const fits = (job: CronJob): boolean => said.every(time => job[time] === when[time] || (when[time] === 'random' && job[time] !== '*'))
  const found = tab.crons.find(job => matches(job, cmd, identifier) && fits(job))
  return found ? { outcome: 'removed', tab: { ...tab, crons: tab.crons.filter(job => job !== found) } } : { outcome: 'absent', tab }
}

export function removeSpecial(tab: Tab, cmd: string, identifier: string | null, spec: string | null = null): Change {
  const found = tab.special.find(job => matches(job, cmd, identifier) && (spec === null || job.spec === spec))
  return found ? { outcome: 'removed', tab: { ...tab, special: tab.special.filter(job => job !== found) } } : { outcome: 'absent', tab }
}

/** An empty value is written as `""` and is the same as that. */
const bare = (value: string): string => (value === '""' ? '' : value)

export function setVariable(tab: Tab, name: string, value: string): Change {
  const now = tab.env.find(variable => variable.name === name)
  if (now && bare(now.value) === bare(value)) return { outcome: 'present', tab }
  const env = [...tab.env.filter(variable => variable.name !== name), { name, value }]
  return { outcome: now ? 'updated' : 'new', tab: { ...tab, env } }
}

export function removeVariable(tab: Tab, name: string): Change {
  const env = tab.env.filter(variable => variable.name !== name)
  return env.length === tab.env.length ? { outcome: 'absent', tab } : { outcome: 'removed', tab: { ...tab, env } }
}

const RANGES: Readonly<Record<string, readonly [number, number]>> = { minute: [0, 59], hour: [0, 23], month: [1, 12], dayweek: [0, 6] }

/** `random` and `from:to` become a number; of days only those that the month has. */
function chosen(times: Times): Times {
  const pick = ([from, to]: readonly [number, number]): string => String(randomInt(from, to + 1))
  const values: Record<string, string> = {}
  for (const [name, range] of Object.entries(RANGES)) {
    const wish = times[name as keyof Times]
    const [from, to] = (/^(\d+):(\d+)$/.exec(wish)?.slice(1).map(Number) ?? []).sort((a, b) => a - b)
    values[name] = wish === 'random' ? pick(range) : from === undefined ? wish : pick([from, to!])
  }
  const days = ['1', '3', '5', '7', '8', '10', '12'].includes(values.month!) ? 31 : ['4', '6', '9', '11'].includes(values.month!) ? 30 : 28
  const daymonth = times.daymonth === 'random' ? pick([1, days]) : times.daymonth
  return { minute: values.minute!, hour: values.hour!, daymonth, month: values.month!, dayweek: values.dayweek! }
}

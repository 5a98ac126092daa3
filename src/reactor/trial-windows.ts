/** The windows that are open on a running server and that events of a trial would join, as the trial may change them. */
import type { StoredEvent } from '../events/event.js'
import type { ReactionStore, WindowRecord } from '../store/store.js'
import { groupKeyOf } from './gate.js'
import { rulesByTag } from './match.js'
import type { TrialRule } from './trial.js'
import { WindowMemory } from './window-memory.js'
import { shownWindow, Windows } from './windows.js'

type Read = Pick<ReactionStore, 'windows' | 'windowEvents'>

/** Windows that are looked through at a time. */
const PAGE = 1000

/** `maySee`: of the events that are in the windows already, those with such tags are in the trial; the others are only counted. */
export async function openWindows(
  store: Read,
  rules: readonly TrialRule[],
  events: readonly StoredEvent[],
  maySee: (tag: string) => boolean
): Promise<{ windows: Windows; memory: WindowMemory<StoredEvent> }> {
  const windows = new Windows()
  const memory = new WindowMemory<StoredEvent>()
  const found: WindowRecord[] = []
  for (const [rule, times] of timesByKey(rules, events)) found.push(...(await joinable(store, rule, times)))
  await windows.load({ windows: async () => found, windowEvents: (rule, first) => store.windowEvents(rule, first) })
  windows.changes()
  for (const { rule, first } of found) {
    const gathered = await store.windowEvents(rule, first)
    memory.seed(
      rule,
      first,
      gathered.filter(({ tag }) => maySee(tag))
    )
  }
  return { windows, memory }
}

type Times = ReadonlyMap<string, number>

/** Of each rule that gathers events the keys of these, and when the last one of each came. */
function timesByKey(rules: readonly TrialRule[], events: readonly StoredEvent[]): Map<string, Times> {
  const matching = rulesByTag(rules)
  const found = new Map<string, Map<string, number>>()
  for (const event of events) {
    for (const rule of matching(event.tag)) {
      const key = groupKeyOf(rule, event)
      if (key === null) continue
      const times = found.get(rule.id) ?? new Map<string, number>()
      found.set(rule.id, times.set(key, Math.max(event.stampUs, times.get(key) ?? 0)))
    }
  }
  return found
}

/** Windows of a rule under these keys that are not younger than the events. */
async function joinable(store: Read, rule: string, times: Times): Promise<WindowRecord[]> {
  const found: WindowRecord[] = []
  for (let after: string | undefined; ; ) {
    const page = await store.windows({ rule, limit: PAGE, ...(after === undefined ? {} : { after }) })
    found.push(...page.filter(window => shownWindow(window).openedUs <= (times.get(window.key) ?? Number.NEGATIVE_INFINITY)))
    if (page.length < PAGE) return found
    after = page[PAGE - 1]!.key
  }
}

import { statSync } from 'node:fs'
import { brineError } from '../errors.js'
import type { EventLog } from '../events/log.js'
import { REACTOR_RELOAD } from '../tags/tags.js'
import { type ConfigChange, type Rule, type Rules, readConfigRules } from './rules.js'

/** Where the rules of the configuration come from while the server runs. */
export interface RuleSource {
  /** Their items as they are now, and every file and directory that was looked at for them. Throws CONFIG_INVALID, or what reading throws. */
  read(): { readonly items: unknown; readonly watched: readonly string[] }
}

export interface ReloaderOptions {
  readonly source: RuleSource
  readonly rules: Pick<Rules, 'replaceConfig'>
  readonly events: Pick<EventLog, 'fire'>
  readonly log: { warn(fields: object, text: string): void; info(fields: object, text: string): void }
  /** Between two looks at the files; 0: none. */
  readonly intervalMs: number
}

/** Ids in one event; a configuration that changes more rules at once says how many. */
const MAX_IDS = 1000
const MAX_ERROR = 2000

/**
 * Follows the files of the configuration: when one has changed, the rules of the reactor are read anew. They change between two events, so none is
 * left out or seen twice; files with mistakes change nothing. `salt/reactor/reload` tells of each time: `{success, created, changed, removed,
 * user}` with ids of rules, or `{success: false, error, user}`.
 */
export class RuleReloader {
  readonly #o: ReloaderOptions
  #watched: readonly string[] = []
  #stamp = ''
  #timer: NodeJS.Timeout | null = null

  constructor(options: ReloaderOptions) {
    this.#o = options
  }

  /** `watched`: what was looked at for the rules in use. */
  start(watched: readonly string[]): void {
    this.#watched = watched
    // Empty: the first look reads in any case, for what changed between the reading of the rules in use and now.
    this.#stamp = ''
    if (this.#o.intervalMs === 0 || this.#timer !== null) return
    // Its failure is logged and on the log; the timer goes on.
    this.#timer = setInterval(() => void this.look().catch(() => {}), this.#o.intervalMs)
    this.#timer.unref()
  }

  stop(): void {
    if (this.#timer) clearInterval(this.#timer)
    this.#timer = null
  }

  /** Reads the rules anew if a file has changed since the last time; null when none has. @throws RELOAD_FAILED */
  async look(): Promise<ConfigChange | null> {
    const stamp = stampOf(this.#watched)
    return stamp === this.#stamp ? null : this.reload('')
  }

  /** Reads the rules anew, for whoever asks; empty: because files have changed. @throws RELOAD_FAILED, and the rules are as they were */
  async reload(user: string): Promise<ConfigChange> {
    const { source, rules, events, log } = this.#o
    // Before reading: what changes meanwhile is seen by the next look.
    this.#stamp = stampOf(this.#watched)
    let watched: readonly string[]
    let configured: Rule[]
    try {
      const read = source.read()
      watched = read.watched
      configured = readConfigRules(read.items)
    } catch (error) {
      const text = (error as Error).message.slice(0, MAX_ERROR)
      log.warn({ err: error }, 'the configuration has changed and has mistakes; the rules of the reactor are as they were')
      await events.fire(REACTOR_RELOAD, { success: false, error: text, user }, { source: 'reactor' })
      throw brineError('RELOAD_FAILED', text)
    }
    const change = rules.replaceConfig(configured)
    this.#follow(watched)
    const counts = { created: change.created.length, changed: change.changed.length, removed: change.removed.length }
    if (counts.created + counts.changed + counts.removed === 0) return change
    log.info(counts, 'the rules of the configuration have changed')
    await events.fire(REACTOR_RELOAD, { success: true, ...listed(change), counts, user }, { source: 'reactor' })
    return change
  }

  /** Files that were not looked at before are as they are now; a change of those that were must not be missed. */
  #follow(watched: readonly string[]): void {
    const before = this.#stamp
    const same = watched.length === this.#watched.length && watched.every((path, i) => path === this.#watched[i])
    this.#watched = watched
    this.#stamp = same ? before : stampOf(watched)
  }
}

function listed({ created, changed, removed }: ConfigChange): ConfigChange {
  return { created: created.slice(0, MAX_IDS), changed: changed.slice(0, MAX_IDS), removed: removed.slice(0, MAX_IDS) }
}

/** Changes when one of the files is written, replaced, made or removed, or a directory gets other entries. */
function stampOf(paths: readonly string[]): string {
  return paths
    .map(path => {
      const info = statSync(path, { throwIfNoEntry: false })
      return info ? `${info.mtimeMs} ${info.ctimeMs} ${info.size} ${info.ino}` : '-'
    })
    .join('\n')
}

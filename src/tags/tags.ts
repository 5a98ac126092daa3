/**
 * Tags: the families that Salt has (golden/README section 2), written in one place, and the grammar of a tag.
 */

/** Longest tag in UTF-8 bytes. Salt has no limit; the longest of its own stay under 200, and every index and frame carries the tag. */
export const MAX_TAG_BYTES = 1024

/** A job is published. */
export const jobNew = (jid: string) => `salt/job/${jid}/new`
/** A minion's return. */
export const jobReturn = (jid: string, id: string) => `salt/job/${jid}/ret/${id}`
/** A failed state of `state.sls` or `state.highstate`. */
export const jobError = (jid: string, id: string, fun: string) => `salt/job/${jid}/sub/${id}/error/${fun}`
export const runNew = (jid: string) => `salt/run/${jid}/new`
export const runReturn = (jid: string) => `salt/run/${jid}/ret`
export const runProgress = (jid: string) => `salt/run/${jid}/progress`
export const wheelNew = (jid: string) => `salt/wheel/${jid}/new`
export const wheelReturn = (jid: string) => `salt/wheel/${jid}/ret`
/** Every authentication of a minion. */
export const AUTH = 'salt/auth'
/** A key moved: accepted, rejected, deleted. */
export const KEY = 'salt/key'
export const minionStart = (id: string) => `salt/minion/${id}/start`
/** The old duplicate of `minionStart`. */
export const LEGACY_MINION_START = 'minion_start'
/** The minion's cached data were refreshed. */
export const minionRefresh = (id: string) => `minion/refresh/${id}`
export const PRESENCE_PRESENT = 'salt/presence/present'
export const PRESENCE_CHANGE = 'salt/presence/change'
/** `suffix` may be empty: the tag then ends with a slash, as Salt's does. */
export const beacon = (id: string, name: string, suffix = '') => `salt/beacon/${id}/${name}/${suffix}`
/** `path` without its leading slash; empty for a bare `/hook`. */
export const netapiHook = (path: string) => (path === '' ? 'salt/netapi/hook' : `salt/netapi/hook/${path}`)
export const fileserverUpdate = (backend: string) => `salt/fileserver/${backend}/update`
/** A reaction that could not be rendered, or was given up: brine's own, Salt only writes a log line. */
export const reactorError = (rule: string) => `salt/reactor/${rule}/error`
/** Dead letters of a rule were driven again by hand: brine's own. */
export const reactorRetry = (rule: string) => `salt/reactor/${rule}/retry`
/** A rule, or (null) the whole reactor, was paused or goes on: brine's own, as those below. */
export const reactorPaused = (rule: string | null) => (rule === null ? 'salt/reactor/paused' : `salt/reactor/${rule}/paused`)
export const reactorResumed = (rule: string | null) => (rule === null ? 'salt/reactor/resumed' : `salt/reactor/${rule}/resumed`)
/** The circuit breaker of a rule moved: open, half-open, closed. */
export const reactorBreaker = (rule: string) => `salt/reactor/${rule}/breaker`
/** A rule reached its rate limit: what comes now is blocked. */
export const reactorBlocked = (rule: string) => `salt/reactor/${rule}/blocked`
/** A rule was stored, changed or removed through the API: brine's own. */
export const reactorRule = (rule: string) => `salt/reactor/${rule}/rule`
/** An SLS file was written or removed through the API: brine's own. */
export const REACTOR_SLS = 'salt/reactor/sls'
/** The rules of the configuration were read anew: brine's own. */
export const REACTOR_RELOAD = 'salt/reactor/reload'

/**
 * Null when the tag is well formed, else the reason, for people. The grammar: 1 to 1024 bytes of UTF-8 without control characters
 * (U+0000 to U+001F and U+007F, which could end an SSE line early) and without half surrogate pairs (which have no UTF-8).
 */
export function checkTag(tag: string): string | null {
  if (tag === '') return 'is empty'
  // A UTF-16 unit is at most 3 bytes of UTF-8: short tags need no counting.
  if (tag.length * 3 > MAX_TAG_BYTES && Buffer.byteLength(tag) > MAX_TAG_BYTES) return `is longer than ${MAX_TAG_BYTES} bytes`
  for (let i = 0; i < tag.length; i++) {
    const code = tag.charCodeAt(i)
    if (code < 0x20 || code === 0x7f)
      return `has a control character (U+${code.toString(16).toUpperCase().padStart(4, '0')}) at position ${i + 1}`
    if (code >= 0xd800 && code <= 0xdfff) {
      const next = tag.charCodeAt(i + 1)
      if (code > 0xdbff || !(next >= 0xdc00 && next <= 0xdfff)) return `has half a surrogate pair at position ${i + 1}`
      i++
    }
  }
  return null
}

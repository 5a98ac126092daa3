import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot } from '../../src/shared/paths.js'
import type { Case, Json, RecordedResponse } from './cases.js'

/**
 * Where brine answers otherwise on purpose: rules, each with the reason that the reference gives (section 15) and what brine answers instead.
 * They are rules about what a case shows rather than a list of names, so that cases which were never seen here are judged by the same ones. What a
 * rule says instead is asserted like everything else.
 */
export interface Rule {
  readonly name: string
  /** Section of golden/api/README, or the part of brine's own design that asks for it. */
  readonly because: string
  readonly reason: string
  /** How a client notices. */
  readonly client: string
  /** All that is named must hold. Texts are regular expressions; of headers `null`: it is not there. */
  readonly when: {
    readonly name?: string
    readonly diverge?: string
    readonly status?: number
    readonly path?: string
    readonly method?: string
    readonly requestHeaders?: Readonly<Record<string, string | null>>
    readonly headers?: Readonly<Record<string, string>>
    readonly htmlError?: boolean
    readonly events?: boolean
    readonly eventTag?: string
  }
  readonly instead: {
    /** `diverge`: one of those that the case's `diverge` names. */
    readonly status?: readonly number[] | 'diverge'
    /** Null: not there; a text: as placeholders; a text between slashes: a regular expression. */
    readonly headers?: Readonly<Record<string, string | null>>
    /** `error`: brine's own error of that status; `any`: whatever it is, nothing recorded applies. */
    readonly body?: 'error' | 'any' | { readonly is: Json } | { readonly contains: string } | { readonly without: readonly string[] }
    /** Headers that hook events do not keep. */
    readonly eventHeaders?: readonly string[]
    /** None of the recorded events is fired. */
    readonly noEvents?: true
  }
}

/** What is expected of a case, with the rules that changed it. */
export interface Expected {
  readonly statuses: readonly number[]
  readonly response: Omit<RecordedResponse, 'headers'> & { readonly headers: Readonly<Record<string, string | null>> }
  readonly events: readonly { readonly tag: string; readonly data: Json }[]
  readonly body: Rule['instead']['body'] | null
  readonly rules: readonly Rule[]
}

export function readRules(): Rule[] {
  const file = join(packageRoot(), 'test/fixtures/golden/api-differences.json')
  return (JSON.parse(readFileSync(file, 'utf8')) as { rules: Rule[] }).rules
}

/** What brine should answer: the recording, changed by the rules that apply. */
export function expectedOf(played: Case, rules: readonly Rule[]): Expected {
  const applying = rules.filter(rule => applies(rule, played))
  const { headers: recorded, ...response } = played.response
  const statuses = applying.map(({ instead }) => instead.status).find(Boolean)
  const headers: Record<string, string | null> = { ...recorded }
  for (const { instead } of applying) {
    // A header that was not recorded is only of interest where a rule promises it.
    for (const [name, value] of Object.entries(instead.headers ?? {})) headers[name] = value
  }
  const events = applying.some(({ instead }) => instead.noEvents) ? [] : (played.events ?? [])
  const dropped = new Set(applying.flatMap(({ instead }) => instead.eventHeaders ?? []))
  return {
    statuses: statuses === 'diverge' ? statusesIn(played.diverge ?? '') : (statuses ?? [played.response.status]),
    response: { ...response, headers },
    events: events.map(event => ({ ...event, data: withoutHeaders(event.data, dropped) })),
    body: applying.map(({ instead }) => instead.body).find(Boolean) ?? null,
    rules: applying
  }
}

/** The event's data without these request headers. */
export function withoutHeaders(data: Json, dropped: ReadonlySet<string>): Json {
  if (typeof data !== 'object' || data === null || Array.isArray(data)) return data
  const { headers } = data
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) return data
  return { ...data, headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !dropped.has(name))) }
}

/** `401/403: …`, `200 (or 204) with …`, `accept chunked request bodies: 200`. */
function statusesIn(diverge: string): number[] {
  return [...diverge.matchAll(/\b[1-5]\d\d\b/g)].map(([text]) => Number(text))
}

function applies({ when }: Rule, played: Case): boolean {
  const { name, diverge, status, path, method, requestHeaders = {}, headers = {}, htmlError, events, eventTag } = when
  const sent = Object.fromEntries(Object.entries(played.request.headers).map(([key, value]) => [key.toLowerCase(), value]))
  const body = played.response.body
  const isHtml = typeof body === 'object' && body !== null && 'html_error' in body
  return (
    (name === undefined || new RegExp(`^(?:${name})$`).test(played.name)) &&
    (diverge === undefined || (played.diverge !== undefined && new RegExp(diverge).test(played.diverge))) &&
    (status === undefined || status === played.response.status) &&
    (path === undefined || new RegExp(path).test(played.request.path)) &&
    (method === undefined || new RegExp(`^(?:${method})$`).test(played.request.method)) &&
    (htmlError === undefined || htmlError === isHtml) &&
    (events === undefined || events === (played.events !== undefined)) &&
    (eventTag === undefined || (played.events ?? []).some(({ tag }) => new RegExp(eventTag).test(tag))) &&
    Object.entries(requestHeaders).every(([key, pattern]) =>
      pattern === null ? !(key in sent) : new RegExp(pattern).test(sent[key] ?? '')
    ) &&
    Object.entries(headers).every(([key, pattern]) => new RegExp(pattern).test(played.response.headers[key] ?? ''))
  )
}

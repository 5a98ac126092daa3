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
    /** Of the request's body. */
    readonly sent?: string
    /** Of the recorded body, as JSON. */
    readonly body?: string
    readonly eventTag?: string
  }
  readonly instead: {
    /** `diverge`: one of those that the case's `diverge` names. */
    readonly status?: readonly number[] | 'diverge'
    /** Null: not there; a text: as placeholders; a text between slashes: a regular expression. */
    readonly headers?: Readonly<Record<string, string | null>>
    /** `error`: brine's own error of that status; `any`: whatever it is, nothing recorded applies. */
    readonly body?: 'error' | 'any' | { readonly is: Json } | { readonly contains: string } | { readonly without: readonly string[] }
    /** In every recorded text of the body: a regular expression, and what stands in place of what it finds. */
    readonly texts?: readonly (readonly [string, string])[]
    /** Values by pointer into the body, in place of the recorded ones; `null`: not compared. */
    readonly values?: Readonly<Record<string, Json>>
    /** Further pointers whose value or order varies. */
    readonly volatile?: readonly string[]
    /** Headers that hook events do not keep. */
    readonly eventHeaders?: readonly string[]
    /** Of the recorded events those at these places alone, with this user. */
    readonly events?: { readonly at: readonly number[]; readonly user: string }
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
  readonly volatile: readonly string[]
  readonly rules: readonly Rule[]
}

export function readRules(): Rule[] {
  const file = join(packageRoot(), 'test/fixtures/golden/api-differences.json')
  return (JSON.parse(readFileSync(file, 'utf8')) as { rules: Rule[] }).rules
}

/** What brine should answer: the recording, changed by the rules that apply. */
export function expectedOf(played: Case, rules: readonly Rule[]): Expected {
  const applying = rules.filter(rule => applies(rule, played))
  const { headers: recorded, ...rest } = played.response
  const response = changed(rest, applying)
  // Later rules say more of fewer cases.
  const statuses = applying.map(({ instead }) => instead.status).findLast(Boolean)
  const headers: Record<string, string | null> = { ...recorded }
  for (const { instead } of applying) {
    // A header that was not recorded is only of interest where a rule promises it.
    for (const [name, value] of Object.entries(instead.headers ?? {})) headers[name] = value
  }
  const events = applying.some(({ instead }) => instead.noEvents) ? [] : (played.events ?? [])
  const kept = applying.map(({ instead }) => instead.events).find(Boolean)
  const fired = kept ? kept.at.flatMap(i => (events[i] ? [{ ...events[i], data: withUser(events[i].data, kept.user) }] : [])) : events
  const dropped = new Set(applying.flatMap(({ instead }) => instead.eventHeaders ?? []))
  return {
    statuses: statuses === 'diverge' ? statusesIn(played.diverge ?? '') : (statuses ?? [played.response.status]),
    response: { ...response, headers },
    events: fired.map(event => ({ ...event, data: withoutHeaders(event.data, dropped) })),
    body: applying.map(({ instead }) => instead.body).findLast(Boolean) ?? null,
    volatile: applying.flatMap(({ instead }) => [
      ...(instead.volatile ?? []),
      ...Object.entries(instead.values ?? {}).flatMap(([pointer, value]) => (value === null ? [`/body${pointer}`] : []))
    ]),
    rules: applying
  }
}

function withUser(data: Json, user: string): Json {
  return typeof data === 'object' && data !== null && !Array.isArray(data) ? { ...data, user } : data
}

type Response = Omit<RecordedResponse, 'headers'>

/** The response with the rules' texts and values. */
function changed(response: Response, rules: readonly Rule[]): Response {
  let { body } = response
  for (const { instead } of rules) {
    for (const [pattern, text] of instead.texts ?? []) body = withTexts(body, value => value.replace(new RegExp(pattern), text))
    for (const [pointer, value] of Object.entries(instead.values ?? {})) if (value !== null) body = withValue(body, pointer, value)
  }
  return body === undefined ? response : { ...response, body }
}

function withTexts(value: Json | undefined, change: (text: string) => string): Json | undefined {
  if (typeof value === 'string') return change(value)
  if (Array.isArray(value)) return value.map(each => withTexts(each, change)!)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, withTexts(each, change)!]))
}

/** A copy in which this value stands at the pointer; the recording where the pointer leads nowhere. */
function withValue(body: Json | undefined, pointer: string, value: Json): Json | undefined {
  const copy = structuredClone(body)
  const path = pointer.split('/').slice(1)
  const last = path.pop()!
  const parent = path.reduce<unknown>((inner, name) => (inner as Record<string, unknown> | null | undefined)?.[name], copy)
  if (typeof parent === 'object' && parent !== null && last in parent) (parent as Record<string, Json>)[last] = value
  return copy
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
  const { sent: asked, body: answered } = when
  const sent = Object.fromEntries(Object.entries(played.request.headers).map(([key, value]) => [key.toLowerCase(), value]))
  const body = played.response.body
  const isHtml = typeof body === 'object' && body !== null && 'html_error' in body
  return (
    (name === undefined || new RegExp(`^(?:${name})$`).test(played.name)) &&
    (diverge === undefined || (played.diverge !== undefined && new RegExp(diverge).test(played.diverge))) &&
    (status === undefined || status === played.response.status) &&
    (path === undefined || new RegExp(path).test(played.request.path)) &&
    (method === undefined || new RegExp(`^(?:${method})$`).test(played.request.method)) &&
    (asked === undefined || new RegExp(asked).test(played.request.body ?? '')) &&
    (answered === undefined || new RegExp(answered).test(JSON.stringify(body ?? null))) &&
    (htmlError === undefined || htmlError === isHtml) &&
    (events === undefined || events === (played.events !== undefined)) &&
    (eventTag === undefined || (played.events ?? []).some(({ tag }) => new RegExp(eventTag).test(tag))) &&
    Object.entries(requestHeaders).every(([key, pattern]) =>
      pattern === null ? !(key in sent) : new RegExp(pattern).test(sent[key] ?? '')
    ) &&
    Object.entries(headers).every(([key, pattern]) => new RegExp(pattern).test(played.response.headers[key] ?? ''))
  )
}

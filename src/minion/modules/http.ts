import { readFile, writeFile } from 'node:fs/promises'
import type { RequestInit, Response } from 'undici'
import { parseYaml } from '../../shared/yaml.js'
import type { ModuleContext } from '../context.js'
import { InvocationError, messageOf } from './errors.js'
import { doc, fn, type Module } from './module.js'
import { flag, isMapping, type Mapping, number, text, textOrNull, texts } from './values.js'

const PARAMETERS =
  "method='GET', params=None, data=None, data_file=None, header_dict=None, header_list=None, username=None, password=None, decode=False, decode_type='auto', status=False, headers=False, text=False, text_out=None, decode_out=None, verify_ssl=True, ca_bundle=None, timeout=60, agent=None, raise_error=True, match=None, **kwargs"

/** Salt's `http` module. */
export const http: Module = {
  name: 'http',
  functions: [
    fn(
      `query(url, ${PARAMETERS})`,
      doc(
        `Asks a URL. Returns body (and text), with status=True and headers=True these too, with decode=True the value as dict (json or yaml, by
decode_type or the content type). An answer of 400 and more, or none, stands under error. params: the query; data: the body, a mapping becomes a
form; header_dict: headers; username and password: basic authentication; timeout: seconds; verify_ssl, ca_bundle: trust.`,
        "http.query https://api.example/hosts status=True decode=True header_dict='{X-Key: abc}'"
      ),
      query,
      { isolated: true }
    ),
    fn(
      `wait_for_successful_query(url, wait_for=300, match=None, status=None, ${PARAMETERS.replace('status=False, ', '').replace('match=None, ', '')})`,
      doc(
        'Asks a URL until it answers without an error, or wait_for seconds are over.',
        'http.wait_for_successful_query http://a/ wait_for=160'
      ),
      waitFor,
      { isolated: true }
    )
  ]
}

/** Bytes of an answer that are read: it becomes a return. */
const MAX_BODY = 32 * 1024 * 1024
/** Pause between two attempts of wait_for_successful_query. */
const AGAIN_MS = 1000

async function query(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  let answer: Response
  let body: string
  try {
    answer = await ask(ctx, a)
    body = await bounded(answer)
  } catch (error) {
    if (error instanceof InvocationError) throw error
    const cause = (error as { cause?: unknown }).cause
    return { error: messageOf(cause ?? error) || messageOf(error), ...(flag(a.status) ? { status: 0 } : {}) }
  }
  const all: Mapping = { body }
  if (flag(a.status) || answer.status >= 400) all.status = answer.status
  if (flag(a.headers)) all.headers = Object.fromEntries(answer.headers)
  if (answer.status >= 400) return { ...all, error: `HTTP ${answer.status}: ${answer.statusText}` }
  if (flag(a.decode)) all.dict = decoded(body, text(a.decode_type, 'decode_type'), answer.headers.get('content-type') ?? '')
  if (flag(a.text) || !flag(a.decode)) all.text = body
  await written(a.text_out, body)
  await written(a.decode_out, JSON.stringify(all.dict ?? null))
  return all
}

async function written(path: unknown, content: string): Promise<void> {
  const file = textOrNull(path, 'path')
  if (file) await writeFile(file, content)
}

async function ask(ctx: ModuleContext, a: Mapping): Promise<Response> {
  // Loaded when it is needed: it is large, and most jobs ask nobody.
  const { Agent, fetch } = await import('undici')
  const url = target(a)
  const ca = textOrNull(a.ca_bundle, 'ca_bundle')
  const dispatcher = new Agent({ connect: { rejectUnauthorized: flag(a.verify_ssl), ...(ca ? { ca: await readFile(ca, 'utf8') } : {}) } })
  const body = await bodyOf(a)
  const request: RequestInit = {
    method: text(a.method, 'method').toUpperCase(),
    headers: headersOf(a, body),
    ...(body === null ? {} : { body }),
    dispatcher,
    signal: AbortSignal.any([ctx.signal, AbortSignal.timeout(number(a.timeout, 'timeout') * 1000)])
  }
  return fetch(url, request)
}

function target(a: Mapping): URL {
  const given = text(a.url, 'url')
  if (!URL.canParse(given) || !/^https?:/.test(given)) throw new InvocationError(`'${given}' is no http or https URL`)
  const url = new URL(given)
  if (isMapping(a.params)) for (const [name, value] of Object.entries(a.params)) url.searchParams.append(name, text(value, name))
  else if (typeof a.params === 'string') for (const [name, value] of new URLSearchParams(a.params)) url.searchParams.append(name, value)
  return url
}

async function bodyOf(a: Mapping): Promise<string | null> {
  const file = textOrNull(a.data_file, 'data_file')
  if (file) return readFile(file, 'utf8')
  if (a.data === null || a.data === undefined) return null
  if (!isMapping(a.data)) return Array.isArray(a.data) ? JSON.stringify(a.data) : text(a.data, 'data')
  const json = Object.entries(isMapping(a.header_dict) ? a.header_dict : {}).some(
    ([name, value]) => /^content-type$/i.test(name) && /json/i.test(String(value))
  )
  if (json) return JSON.stringify(a.data)
  return new URLSearchParams(Object.entries(a.data).map(([name, value]) => [name, text(value, name)] as [string, string])).toString()
}

function headersOf(a: Mapping, body: string | null): Record<string, string> {
  const headers: Record<string, string> = { 'user-agent': textOrNull(a.agent, 'agent') ?? 'brine' }
  for (const line of texts(Array.isArray(a.header_list) ? a.header_list : [], 'header_list')) {
    const colon = line.indexOf(':')
    if (colon > 0) headers[line.slice(0, colon).trim().toLowerCase()] = line.slice(colon + 1).trim()
  }
  if (isMapping(a.header_dict)) for (const [name, value] of Object.entries(a.header_dict)) headers[name.toLowerCase()] = text(value, name)
  if (body !== null && isMapping(a.data)) headers['content-type'] ??= 'application/x-www-form-urlencoded'
  const user = textOrNull(a.username, 'username')
  if (user) headers.authorization = `Basic ${Buffer.from(`${user}:${textOrNull(a.password, 'password') ?? ''}`).toString('base64')}`
  return headers
}

async function bounded(answer: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of answer.body ?? []) {
    chunks.push(chunk as Uint8Array)
    bytes += (chunk as Uint8Array).length
    if (bytes > MAX_BODY) throw new Error(`the answer has more than ${MAX_BODY} bytes`)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** JSON, YAML or the text itself; what does not parse stays text, as in Salt. */
function decoded(body: string, type: string, contentType: string): unknown {
  const kind =
    type === 'auto'
      ? /json/.test(contentType)
        ? 'json'
        : /yaml/.test(contentType)
          ? 'yaml'
          : /^\s*[[{]/.test(body)
            ? 'json'
            : 'plain'
      : type
  try {
    return kind === 'json' ? JSON.parse(body) : kind === 'yaml' ? parseYaml(body) : body
  } catch {
    return body
  }
}

async function waitFor(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const until = performance.now() + number(a.wait_for, 'wait_for') * 1000
  const pattern = textOrNull(a.match, 'match')
  for (;;) {
    const answer = await query(ctx, { ...a, status: true })
    const fits = answer.error === undefined && (pattern === null || new RegExp(pattern).test(String(answer.body)))
    if (fits && (a.status === null || a.status === undefined || answer.status === number(a.status, 'status'))) return answer
    if (performance.now() > until || ctx.signal.aborted)
      return { ...answer, error: answer.error ?? 'The query did not become successful in time' }
    await new Promise(resolve => setTimeout(resolve, AGAIN_MS))
  }
}

import { gunzipSync } from 'node:zlib'
import { extract } from 'tar-stream'
import { parseYaml } from '../../src/shared/yaml.js'
import type { Case, Json, RecordedFrame } from './cases.js'
import { Comparison, type Difference } from './compare.js'
import { type Expected, expectedOf, type Rule, withoutHeaders } from './differences.js'
import type { Fixture } from './fixture.js'
import { type Answer, ask, Connection, clientFrame, dechunked, type Frame, type Head, readHead, type Sent, serverFrames } from './wire.js'

export interface Result {
  readonly name: string
  readonly group: string
  readonly outcome: 'passed' | 'failed' | 'skipped'
  readonly differences: readonly Difference[]
  /** Rules that changed what was expected; none: the recording itself. */
  readonly rules: readonly Rule[]
  readonly reason?: string
}

/** Pauses of the recording (golden/api/README section 1): jobs in the background need time to get as far as they had got there. */
const PAUSE_AFTER_MS: Readonly<Record<string, number>> = {
  'jobs-running': 4000,
  'job-last': 1000,
  'job-long': 1000,
  'job-long2': 1000,
  'local-kill-job': 1000,
  'local-async-with-down': 1000,
  'login-token-expire-allowed': 4000
}
/** Looks at what a job in the background has done by then: asked again for so many half seconds, as a busy machine may need longer than the recorded one. */
const ASKED_AGAIN: Readonly<Record<string, number>> = { 'jobs-finished': 40 }
/** An event that was recorded comes within this time, or not at all. */
const EVENT_MS = 5000
/** Users whose session stands for a placeholder. */
const SESSIONS: Readonly<Record<string, string>> = { token: 'admin', ro_token: 'ro', limited_token: 'limited', noperms_token: 'noperms' }

const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

/** Plays cases against a fixture, in their order. */
export class Player {
  readonly #fixture: Fixture
  readonly #rules: readonly Rule[]
  /** Values of placeholders. */
  readonly #names = new Map<string, string>()
  #bus: Bus | null = null
  #config = '{}'
  #prefix = ''
  #keysStarted = false

  constructor(fixture: Fixture, rules: readonly Rule[]) {
    this.#fixture = fixture
    this.#rules = rules
  }

  async play(recorded: Case): Promise<Result> {
    const played = locally(recorded, this.#fixture.here)
    const { name, group } = played
    const expected = expectedOf(played, this.#rules)
    const result = (differences: readonly Difference[]): Result => ({
      name,
      group,
      outcome: differences.length === 0 ? 'passed' : 'failed',
      differences,
      rules: expected.rules
    })
    try {
      const reason = await this.#prepare(played)
      if (reason !== null) return { ...result([]), outcome: 'skipped', reason }
      let differences = await this.#run(played, expected)
      for (let left = ASKED_AGAIN[name] ?? 0; left > 0 && differences.length > 0; left--) {
        await pause(500)
        differences = await this.#run(played, expected)
      }
      await pause(PAUSE_AFTER_MS[name] ?? 0)
      return result(differences)
    } catch (error) {
      return result([{ pointer: '', expected: 'an answer', got: (error as Error).message }])
    }
  }

  stop(): void {
    this.#bus?.close()
  }

  /** Null, or why the case cannot be played here. */
  async #prepare(played: Case): Promise<string | null> {
    const config = played.config ?? {}
    const wanted = JSON.stringify(config)
    if (wanted !== this.#config) {
      this.#bus?.close()
      this.#bus = null
      if (!(await this.#fixture.configure(config))) return 'needs other settings'
      this.#config = wanted
      this.#prefix = typeof config.root_prefix === 'string' ? config.root_prefix : ''
      this.#names.delete('cfg_token')
    }
    const needsKeys = (played.group === 'keys' && !this.#keysStarted) || played.name === 'wheel-list-all'
    if (played.group === 'keys') this.#keysStarted = true
    if (needsKeys && !(await this.#fixture.restoreKeys()) && played.name === 'wheel-list-all') return 'needs the keys of the fixture'
    await this.#learnNames(JSON.stringify([played.request, played.response]))
    return null
  }

  /** Logs in for the placeholders that a case uses. */
  async #learnNames(text: string): Promise<void> {
    const wants = (name: string) => text.includes(`{{${name}}}`) && !this.#names.has(name)
    if (wants('token_upper') && !this.#names.has('token')) await this.#login('token', 'admin')
    for (const [name, user] of Object.entries(SESSIONS)) if (wants(name)) await this.#login(name, user)
    this.#names.set('token_upper', (this.#names.get('token') ?? '').toUpperCase())
    if (wants('ev_token')) await this.#login('ev_token', 'admin')
    if (wants('cfg_token')) await this.#login('cfg_token', this.#prefix === '' ? 'admin' : 'ro')
    if (text.includes('{{ro_token}}') || text.includes('another client'))
      if (!this.#names.has('ro_token')) await this.#login('ro_token', 'ro')
    if (wants('eauth_token')) {
      const [made] = (await this.#credentials('/token', 'admin')) as [{ token: string }]
      this.#names.set('eauth_token', made.token)
    }
  }

  async #login(name: string, user: string): Promise<void> {
    const { return: made } = (await this.#credentials('/login', user)) as { return: [{ token: string }] }
    this.#names.set(name, made[0].token)
  }

  async #credentials(path: string, username: string): Promise<unknown> {
    const body = JSON.stringify({ username, password: 'secret', eauth: 'sharedsecret' })
    const answer = await this.#other('POST', this.#prefix + path, { 'Content-Type': 'application/json', Accept: 'application/json' }, body)
    if (answer.status !== 200) throw new Error(`${path} as ${username} answered ${answer.status}`)
    return JSON.parse(answer.body.toString('utf8'))
  }

  #other(method: string, path: string, headers: Record<string, string>, body: string): Promise<Answer> {
    return ask(this.#fixture.url, {
      method,
      path,
      headers: { Host: 'localhost:8000', Connection: 'close', ...headers },
      body: Buffer.from(body)
    })
  }

  async #run(played: Case, expected: Expected): Promise<Difference[]> {
    const request = this.#request(played)
    const comparison = new Comparison({ ...played, volatile: [...played.volatile, ...expected.volatile] }, this.#names)
    const bus = played.events === undefined ? null : await this.#listen()
    const mark = bus?.mark ?? 0
    if (played.response.frames !== undefined) await this.#webSocket(played, request, expected, comparison)
    else if (played.response.wire_prefix !== undefined) await this.#stream(played, request, expected, comparison)
    else {
      const answer = await ask(this.#fixture.url, request)
      await compareAnswer(played, expected, answer, comparison)
      this.#capture(played, answer)
    }
    if (bus !== null) await compareEvents(expected, bus, mark, comparison)
    return comparison.differences
  }

  #request({ request, note }: Case): Sent {
    const { method, path, headers, body } = request
    const filled = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, this.#fill(value)]))
    const implied = 'Connection' in filled ? {} : { Connection: 'close' }
    return {
      method,
      path: this.#fill(path),
      headers: { Host: 'localhost:8000', ...implied, ...filled },
      body: body === null ? null : bodyBytes(this.#fill(body), note)
    }
  }

  #fill(text: string): string {
    return text.replace(/\{\{(\w+)\}\}/g, (_, name: string) => {
      const value = this.#names.get(name)
      if (value === undefined) throw new Error(`{{${name}}} is not known: the case that shows it was not played or failed`)
      return value
    })
  }

  #capture({ capture = {} }: Case, answer: Answer): void {
    for (const [name, place] of Object.entries(capture)) {
      const cookie = /session_id=([^;]*)/.exec(answer.headers['set-cookie'] ?? '')?.[1]
      const value = place.startsWith('/') ? at(jsonOrNull(answer), place.split('/').slice(2)) : cookie
      if (typeof value === 'string') this.#names.set(name, value)
      // Without a cookie there is no session to go on with; any id is as good as none.
      else if (!place.startsWith('/')) this.#names.set(name, '0'.repeat(40))
    }
  }

  async #listen(): Promise<Bus> {
    if (this.#bus === null || this.#bus.ended) {
      if (!this.#names.has('token')) await this.#login('token', 'admin')
      this.#bus = await Bus.open(this.#fixture.url, `${this.#prefix}/events`, this.#names.get('token')!)
    }
    return this.#bus
  }

  // ── streams ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #stream(played: Case, request: Sent, expected: Expected, comparison: Comparison): Promise<void> {
    const connection = await Connection.send(this.#fixture.url, { ...request, headers: keptAlive(request.headers, played) })
    try {
      const head = await connection.until(bytes => readHead(bytes))
      if (head === null) throw new Error('no answer')
      compareHead(expected, head, comparison)
      if (head.status !== 200 || !expected.statuses.includes(200)) return
      await this.#streamed(played, expected, connection, head, comparison)
    } finally {
      connection.close()
    }
  }

  async #streamed(played: Case, expected: Expected, connection: Connection, head: Head, comparison: Comparison): Promise<void> {
    const text = (bytes: Buffer) => dechunked(bytes.subarray(head.end)).body.toString('utf8')
    await connection.until(bytes => (text(bytes).includes('retry: ') ? true : null), EVENT_MS)
    comparison.text('/wire_prefix', 'b\r\nretry: 400\n\r\n', connection.received.toString('latin1', head.end, head.end + 16))
    const wanted = blocksOf(String(played.response.body ?? ''))
    if (played.request.path.includes('{{ev_token}}')) return this.#loggedOut(connection, head, comparison)
    for (const block of wanted) await this.#provoke(block)
    const got =
      (await connection.until(bytes => (blocksOf(text(bytes)).length >= wanted.length ? blocksOf(text(bytes)) : null), EVENT_MS)) ??
      blocksOf(text(connection.received))
    const dropped = new Set(expected.rules.flatMap(({ instead }) => instead.eventHeaders ?? []))
    for (const [i, block] of wanted.entries()) {
      comparison.text(`/body/${i}/tag`, block.tag, got[i]?.tag)
      comparison.compare(`/body/${i}/data`, withoutFrameHeaders(block.data, dropped), got[i]?.data)
    }
  }

  /** The stream of a token that is logged out ends, after one more event at most. */
  async #loggedOut(connection: Connection, head: Head, comparison: Comparison): Promise<void> {
    const token = this.#names.get('ev_token')!
    await this.#other('POST', '/logout', { 'X-Auth-Token': token }, '')
    for (const name of ['after1', 'after2']) await this.#hook(`/hook/${name}`, '{}')
    const ended = await connection.until(bytes => (dechunked(bytes.subarray(head.end)).complete ? true : null), EVENT_MS)
    const events = blocksOf(dechunked(connection.received.subarray(head.end)).body.toString('utf8')).filter(({ tag }) =>
      tag.includes('hook/after')
    )
    if (ended === null) comparison.differences.push({ pointer: '/body', expected: 'the end of the stream', got: 'more' })
    if (events.length > 1) comparison.differences.push({ pointer: '/body', expected: 'one more event at most', got: events })
  }

  async #provoke({ tag, data }: Block): Promise<void> {
    const { data: inner } = data as { data: { body?: string } }
    const path = /^salt\/netapi(\/hook\/.*)$/.exec(tag)?.[1]
    if (path !== undefined) await this.#hook(path, inner.body ?? '')
    // The first event of a job; the others follow by themselves.
    else if (/^\{\{jid_\w+\}\}$/.test(tag)) await this.#job({ fun: 'test.echo', arg: ['hi'] })
  }

  #hook(path: string, body: string): Promise<Answer> {
    return this.#other('POST', path, { 'X-Auth-Token': this.#names.get('ro_token')!, 'Content-Type': 'application/json' }, body)
  }

  async #job(chunk: object): Promise<void> {
    const headers = { 'X-Auth-Token': this.#names.get('token')!, 'Content-Type': 'application/json' }
    await this.#other('POST', '/', headers, JSON.stringify([{ client: 'local_async', tgt: 'm1', ...chunk }]))
  }

  async #webSocket(played: Case, request: Sent, expected: Expected, comparison: Comparison): Promise<void> {
    const connection = await Connection.send(this.#fixture.url, request)
    try {
      const head = await connection.until(bytes => readHead(bytes))
      if (head === null) throw new Error('no answer')
      compareHead(expected, head, comparison)
      if (head.status !== 101 || !expected.statuses.includes(101)) return
      await this.#dialogue(played.response.frames!, expected, new Dialogue(connection, head), comparison)
    } finally {
      connection.close()
    }
  }

  async #dialogue(frames: readonly RecordedFrame[], expected: Expected, dialogue: Dialogue, comparison: Comparison): Promise<void> {
    const dropped = new Set(expected.rules.flatMap(({ instead }) => instead.eventHeaders ?? []))
    for (const [i, frame] of frames.entries()) {
      if (frame.from === 'client') dialogue.send({ kind: frame.frame ?? 'text', data: frame.data ?? '' })
      else if (frame.from === 'other') await this.#act(frame.do ?? '')
      else compareFrame(`/frames/${i}`, frame, await dialogue.next(), dropped, comparison)
    }
    // Whatever came beside the recorded frames comes before the answer to a last message.
    dialogue.send({ kind: 'ping', data: 'last' })
    const last = await dialogue.next()
    if (last?.kind !== 'pong') comparison.differences.push({ pointer: '/frames', expected: 'no more frames', got: last })
  }

  /** What another client did meanwhile, in the recording's words. */
  async #act(text: string): Promise<void> {
    const post = /posts (.*) to (\/\S+)/.exec(text)
    const job = /starts local_async (\S+) on (\S+)/.exec(text)
    if (post) await this.#hook(post[2]!, post[1]!)
    else if (job) await this.#job({ fun: job[1], tgt: job[2] })
    else throw new Error(`nobody knows how to do: ${text}`)
  }
}

/** The case as it would have been recorded on this machine. */
function locally(recorded: Case, here: ReadonlyMap<string, string>): Case {
  const moved = [...here].reduce((text, [there, now]) => text.replaceAll(there, now), JSON.stringify(recorded.response))
  return { ...recorded, response: JSON.parse(moved) as Case['response'] }
}

/** Streams were recorded with `Connection: keep-alive`, unless the case says otherwise. */
function keptAlive(headers: Readonly<Record<string, string>>, played: Case): Record<string, string> {
  return { ...headers, Connection: played.request.headers.Connection ?? 'keep-alive' }
}

/** What was too long to be stored is written out; what is no UTF-8 was stored as latin-1. */
function bodyBytes(text: string, note: string): Buffer {
  if (/given here as latin-1/.test(note)) return Buffer.from(text, 'latin1')
  if (/^chunked form of the JSON login$/.test(text))
    return Buffer.from('{"username": "admin", "password": "secret", "eauth": "sharedsecret"}')
  return Buffer.from(writtenOut(text))
}

function writtenOut(text: string): string {
  return text.replace(/<(\d+) times (.)>/g, (_, times: string, letter: string) => letter.repeat(Number(times)))
}

// ── comparing ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function compareHead(expected: Expected, { status, headers }: Pick<Answer, 'status' | 'headers'>, comparison: Comparison): void {
  if (!expected.statuses.includes(status))
    comparison.differences.push({ pointer: '/status', expected: expected.statuses.join(' or '), got: status })
  for (const [name, value] of Object.entries(expected.response.headers)) {
    const pointer = `/headers/${name}`
    if (value === null) {
      if (headers[name] !== undefined) comparison.differences.push({ pointer, expected: undefined, got: headers[name] })
    } else if (/^\/.*\/$/.test(value)) {
      if (!new RegExp(value.slice(1, -1)).test(headers[name] ?? ''))
        comparison.differences.push({ pointer, expected: value, got: headers[name] })
    } else
      comparison.text(
        pointer,
        name === 'content-type' ? mediaType(value) : value,
        name === 'content-type' ? mediaType(headers[name]) : headers[name]
      )
  }
}

/** `text/html;charset=utf-8` and `text/html; charset=UTF-8` say the same. */
function mediaType(text: string | undefined): string {
  return (text ?? '').toLowerCase().replaceAll(' ', '')
}

async function compareAnswer(played: Case, expected: Expected, answer: Answer, comparison: Comparison): Promise<void> {
  compareHead(expected, answer, comparison)
  if (expected.body !== null) return compareInstead(expected, answer, comparison)
  const { body, raw } = expected.response
  if (raw !== undefined && !played.volatile.includes('/raw')) comparison.text('/raw', raw, answer.body.toString('utf8'))
  if (body === undefined) return
  const type = answer.headers['content-type'] ?? ''
  if (typeof body === 'string' && /^(?:HTML page|gzip data)$/.test(body)) return comparePage(answer, comparison)
  if (isPage(body)) return comparison.compare('/body', pageOf(body), pageOf(answer.body.toString('utf8')))
  if (isMapping(body) && 'is_html' in body) return comparePage(answer, comparison)
  if (isMapping(body) && 'html_error' in body)
    return comparison.compare('/body', body, { html_error: pageOf(answer.body.toString('utf8')) })
  if (isMapping(body) && 'tar' in body) return comparison.compare('/body', body, { tar: await tarOf(answer.body) })
  const wanted = JSON.parse(writtenOut(JSON.stringify(body))) as Json
  comparison.compare('/body', wanted, /json|yaml/.test(type) ? jsonOrNull(answer) : answer.body.toString('utf8'))
}

function compareInstead(expected: Expected, answer: Answer, comparison: Comparison): void {
  const { body } = expected
  const text = answer.body.toString('utf8')
  const differ = (wanted: unknown) => comparison.differences.push({ pointer: '/body', expected: wanted, got: text.slice(0, 500) })
  if (body === 'any' || body === null || body === undefined) return
  if (body === 'error') {
    const message = messageOf(answer)
    if (message === null || message === '') differ('an error with a message')
    if (/Traceback|\n {4}at /.test(text)) differ('no traceback')
  } else if ('is' in body) comparison.compare('/body', body.is, jsonOrNull(answer))
  else if ('contains' in body) {
    if (!new RegExp(body.contains).test(text)) differ(body.contains)
  } else {
    for (const forbidden of body.without) if (new RegExp(forbidden).test(text)) differ(`nothing like ${forbidden}`)
  }
}

/** The message of an error, from brine's JSON or from the page; null when it is neither. */
function messageOf(answer: Answer): string | null {
  const value = jsonOrNull(answer)
  if (isMapping(value) && typeof value.error === 'string' && value.status === answer.status) return value.error
  const page = pageOf(answer.body.toString('utf8'))
  return page.title.startsWith(String(answer.status)) ? page.message : null
}

function comparePage(answer: Answer, comparison: Comparison): void {
  const bytes = answer.headers['content-encoding'] === 'gzip' ? gunzipSync(answer.body) : answer.body
  const text = bytes.toString('utf8')
  if (!/<html/i.test(text)) comparison.differences.push({ pointer: '/body', expected: 'a page', got: text.slice(0, 200) })
}

async function compareEvents(expected: Expected, bus: Bus, mark: number, comparison: Comparison): Promise<void> {
  const used = new Set<BusEvent>()
  for (const [i, wanted] of expected.events.entries()) {
    const tagged = (event: BusEvent) => !used.has(event) && comparison.would(`/events/${i}/tag`, wanted.tag, event.tag)
    const whole = (event: BusEvent) => tagged(event) && comparison.would(`/events/${i}/data`, wanted.data, event.data)
    // Several events may have one tag, in no order that anybody promises; the one that is told of is the nearest.
    const found = await bus.find(mark, tagged).then(first => bus.since(mark).find(whole) ?? first)
    if (found === null) {
      comparison.differences.push({ pointer: `/events/${i}`, expected: wanted, got: bus.since(mark).map(({ tag }) => tag) })
      continue
    }
    used.add(found)
    comparison.compare(`/events/${i}/data`, wanted.data, found.data)
  }
}

function compareFrame(
  pointer: string,
  wanted: RecordedFrame,
  got: Frame | null,
  dropped: ReadonlySet<string>,
  comparison: Comparison
): void {
  comparison.compare(`${pointer}/frame`, wanted.frame ?? 'text', got?.kind)
  const event = /^data: (\{.*\})\n\n$/s
  const [recorded, came] = [event.exec(wanted.data ?? '')?.[1], event.exec(got?.data ?? '')?.[1]]
  if (recorded === undefined || came === undefined) comparison.text(`${pointer}/data`, wanted.data ?? '', got?.data)
  else comparison.compare(`${pointer}/data`, withoutFrameHeaders(JSON.parse(recorded) as Json, dropped), JSON.parse(came))
}

function withoutFrameHeaders(data: Json, dropped: ReadonlySet<string>): Json {
  return isMapping(data) && 'data' in data ? { ...data, data: withoutHeaders(data.data!, dropped) } : data
}

function isMapping(value: unknown): value is { [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isPage(body: Json): body is string {
  return typeof body === 'string' && body.startsWith('<!DOCTYPE html')
}

/** Title and message of an error page, as people see them. */
function pageOf(text: string): { title: string; message: string } {
  const part = (pattern: RegExp) => unescaped(pattern.exec(text)?.[1] ?? '')
  const title = part(/<title>([\s\S]*?)<\/title>/)
  const heading = part(/<h2>([\s\S]*?)<\/h2>/)
  return { title: title === heading ? title : `${title} ≠ ${heading}`, message: part(/<p>([\s\S]*?)<\/p>/) }
}

function unescaped(text: string): string {
  const names: Record<string, string> = { lt: '<', gt: '>', quot: '"', '#x27': "'", '#39': "'", amp: '&' }
  return text.replace(/&(lt|gt|quot|#x27|#39|amp);/g, (_, name: string) => names[name]!)
}

function jsonOrNull({ headers, body }: Answer): unknown {
  const text = body.toString('utf8')
  try {
    return /yaml/.test(headers['content-type'] ?? '') ? parseYaml(text) : JSON.parse(text)
  } catch {
    return text
  }
}

function at(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (inner, name) => (typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>)[name] : undefined),
    value
  )
}

async function tarOf(bytes: Buffer): Promise<unknown> {
  const entries: unknown[] = []
  const reading = extract()
  reading.end(bytes)
  for await (const entry of reading) {
    const { name, mode, uid, mtime, type, size } = entry.header
    const parts: Buffer[] = []
    for await (const part of entry) parts.push(part as Buffer)
    const text = Buffer.concat(parts).toString('utf8')
    const content = /BEGIN PUBLIC KEY/.test(text)
      ? 'PEM public key'
      : /BEGIN (?:RSA )?PRIVATE KEY/.test(text)
        ? 'PEM RSA private key'
        : text
    entries.push({ name, mode: `0${mode?.toString(8)}`, uid, mtime: Number(mtime) / 1000, type, content, size: String(size) })
  }
  return { total_bytes: bytes.length, format: bytes.toString('latin1', 257, 262), entries }
}

// ── what was streamed ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Block {
  readonly tag: string
  readonly data: Json
}

/**
 * The events of a stream in salt-api's form: a line `tag:`, a line `data:`. Ids of events, comments and the retry line are read over; brine sends
 * an id with each event, so that a reader can come back (see api-differences.json).
 */
function blocksOf(text: string): Block[] {
  return text
    .split('\n\n')
    .slice(0, -1)
    .flatMap(block => {
      const lines = block.split('\n').filter(line => !/^(?:retry: |id: |:)/.test(line))
      const [tag = '', data = ''] = lines
      if (!tag.startsWith('tag: ') || !data.startsWith('data: ') || lines.length !== 2) return []
      return [{ tag: tag.slice(5), data: JSON.parse(data.slice(6)) as Json }]
    })
}

interface BusEvent {
  readonly tag: string
  readonly data: Json
}

/** Everything that happens on the server, as its administrator sees it. */
class Bus {
  readonly #connection: Connection
  #events: BusEvent[] = []
  #head: Head

  private constructor(connection: Connection, head: Head) {
    this.#connection = connection
    this.#head = head
  }

  static async open(url: URL, path: string, token: string): Promise<Bus> {
    const headers = { Host: 'localhost:8000', Connection: 'keep-alive', 'X-Auth-Token': token }
    const connection = await Connection.send(url, { method: 'GET', path, headers, body: null })
    const head = await connection.until(bytes => readHead(bytes))
    if (head?.status !== 200) throw new Error(`${path} answered ${head?.status}`)
    await connection.until(bytes => (bytes.includes('retry: ', head.end) ? true : null))
    return new Bus(connection, head)
  }

  get mark(): number {
    this.#read(this.#connection.received)
    return this.#events.length
  }

  get ended(): boolean {
    return dechunked(this.#connection.received.subarray(this.#head.end)).complete
  }

  since(mark: number): readonly BusEvent[] {
    return this.#events.slice(mark)
  }

  /** The first such event after the mark; null when it does not come. */
  find(mark: number, matches: (event: BusEvent) => boolean): Promise<BusEvent | null> {
    return this.#connection.until(bytes => {
      this.#read(bytes)
      return this.since(mark).find(matches) ?? null
    }, EVENT_MS)
  }

  close(): void {
    this.#connection.close()
  }

  #read(bytes: Buffer): void {
    const blocks = blocksOf(dechunked(bytes.subarray(this.#head.end)).body.toString('utf8'))
    this.#events = blocks.map(({ tag, data }) => ({ tag, data: (data as { data: Json }).data }))
  }
}

/** One frame after the other. */
class Dialogue {
  readonly #connection: Connection
  readonly #head: Head
  #taken = 0

  constructor(connection: Connection, head: Head) {
    this.#connection = connection
    this.#head = head
  }

  send(frame: Frame): void {
    this.#connection.write(clientFrame(frame))
  }

  next(): Promise<Frame | null> {
    const at = this.#taken++
    return this.#connection.until(bytes => serverFrames(bytes.subarray(this.#head.end))[at] ?? null, EVENT_MS)
  }
}

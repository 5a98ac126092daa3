import { isUtf8 } from 'node:buffer'
import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import type { Caller } from '../src/auth/caller.js'
import { BrineError, brineError } from '../src/errors.js'
import { eventId, type NewEvent, type Seq } from '../src/events/event.js'
import { saltJson } from '../src/events/json.js'
import { errorBody } from '../src/plugins/errors.js'
import { parseJson } from '../src/plugins/json.js'
import type { Services } from '../src/services.js'
import type { Appended } from '../src/store/store.js'
import { checkFire, checkRoom, readIncoming } from './ingest.js'

/** A batch is one commit: large enough that syncing costs little per event, small enough to be held and to let others in between. */
const BATCH_EVENTS = 500
const BATCH_BYTES = 1024 * 1024

/** Batches handed to the store whose commit is waited for while the next one is read. */
const IN_FLIGHT = 1

/**
 * Fires one event per line, in order, batch after batch: while one is committed the next is read, and no more than that is held. Each
 * batch is answered with a line `{"count", "first", "last"}`; the last line is `{"success": true, "count"}`, or the error with the line at
 * fault, and then everything in the batches before has been committed. An error in the first batch is an ordinary refusal.
 */
export async function fireLines(services: Services, caller: Caller, body: Readable, reply: FastifyReply): Promise<FastifyReply> {
  const answers = answerBatches(services, caller, body, reply.request.id)
  const first = await answers.next()
  // What is left of a body after an error is not worth reading.
  reply.header('content-type', 'application/x-ndjson').header('connection', 'close')
  return reply.send(Readable.from(resume(first, answers), { objectMode: false }))
}

async function* resume(first: IteratorResult<string>, rest: AsyncGenerator<string>): AsyncGenerator<Buffer> {
  if (!first.done) yield Buffer.from(first.value)
  for await (const line of rest) yield Buffer.from(line)
}

async function* answerBatches(services: Services, caller: Caller, body: Readable, requestId: string): AsyncGenerator<string> {
  const { events, store, config } = services
  const { epoch } = store.events
  let count = 0
  const answer = (seqs: readonly Seq[]) => {
    count += seqs.length
    return line({ count: seqs.length, first: eventId(epoch, seqs[0]!), last: eventId(epoch, seqs[seqs.length - 1]!) })
  }
  const readLine = (bytes: Buffer): NewEvent => {
    if (!isUtf8(bytes)) throw brineError('BODY_MALFORMED', 'JSON', 'it is not valid UTF-8')
    const { tag, data } = readIncoming(parseJson(bytes.toString('utf8')), '')
    checkFire(caller, tag)
    return events.prepare(tag, data, { source: caller.source })
  }
  const committing: Promise<Appended>[] = []
  try {
    for await (const batch of batches(body, config.max_request_body_size, readLine)) {
      // The store keeps the order of its writers, so the next batch may be handed over before this one is on disk.
      checkRoom(services)
      const next = store.events.append(batch)
      next.catch(() => {})
      committing.push(next)
      if (committing.length > IN_FLIGHT) yield answer((await committing.shift()!).seqs)
    }
    while (committing.length > 0) yield answer((await committing.shift()!).seqs)
    yield line({ success: true, count })
  } catch (error) {
    // What was on its way is told of, whatever stopped the rest.
    for (const outcome of await Promise.allSettled(committing)) if (outcome.status === 'fulfilled') yield answer(outcome.value.seqs)
    if (count === 0 || !(error instanceof BrineError)) throw error
    yield `${errorBody(error, requestId, { success: false, count })}\n`
  }
}

const line = (value: unknown) => `${saltJson(value)}\n`

/** Checked events, a batch at a time. Errors name the line. */
async function* batches(body: Readable, maxLine: number, read: (line: Buffer) => NewEvent): AsyncGenerator<readonly NewEvent[]> {
  let events: NewEvent[] = []
  let bytes = 0
  let lines = 0
  for await (const text of linesOf(body, maxLine)) {
    lines++
    if (text.length === 0) continue
    events.push(atLine(lines, () => read(text)))
    bytes += text.length
    if (events.length < BATCH_EVENTS && bytes < BATCH_BYTES) continue
    yield events
    events = []
    bytes = 0
  }
  if (events.length > 0) yield events
}

/** What `read` makes of a line; its errors say which one. */
function atLine<T>(line: number, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw error instanceof BrineError ? new BrineError(error.code, error.values, { line }) : error
  }
}

/** The body's lines without their ends; an unfinished last line counts. Throws BODY_TOO_LARGE for a line longer than `max`. */
async function* linesOf(body: Readable, max: number): AsyncGenerator<Buffer> {
  let rest: Buffer[] = []
  let length = 0
  // An error must not destroy the connection before it is answered.
  for await (const chunk of body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    let from = 0
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      const end = chunk.subarray(from, at)
      yield trimmed(rest.length > 0 ? Buffer.concat([...rest, end]) : end)
      rest = []
      length = 0
      from = at + 1
    }
    if (from === chunk.length) continue
    rest.push(chunk.subarray(from))
    length += chunk.length - from
    if (length > max) throw brineError('BODY_TOO_LARGE', max)
  }
  if (rest.length > 0) yield trimmed(Buffer.concat(rest))
}

/** Without the carriage return of a Windows line end. */
function trimmed(line: Buffer): Buffer {
  return line[line.length - 1] === 13 ? line.subarray(0, -1) : line
}

import { isUtf8 } from 'node:buffer'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { brineError } from '../errors.js'
import { yamlArgument } from '../shared/arguments.js'
import { parseYamlBody, setOwn } from '../shared/yaml.js'
import { checkStructure, parseJson } from './json.js'

/**
 * What salt-api takes (golden/api section 4). Media types are compared without regard to case (section 15, 24); a body of another type, or
 * of none, is refused with 406, as there.
 */
const BODY_TYPES = {
  json: ['application/json'],
  yaml: ['application/x-yaml', 'text/yaml'],
  form: ['application/x-www-form-urlencoded'],
  text: ['text/plain']
} as const

export type BodyKind = keyof typeof BODY_TYPES

/** A form has so many fields at most; a request has a handful. */
const MAX_FIELDS = 1000

/** A parser for the whole of a body; the request is given for what differs by route. */
export type BodyParser = (kind: BodyKind, bytes: Buffer, request: FastifyRequest) => unknown

/** Registers `parse` for each of the kinds in this scope; what is left of the scope's parsers must have been removed before. */
export function useBodyParser(app: FastifyInstance, parse: BodyParser): void {
  for (const [kind, types] of Object.entries(BODY_TYPES) as [BodyKind, readonly string[]][]) {
    app.addContentTypeParser([...types], { parseAs: 'buffer' }, (request, bytes, done) => {
      try {
        done(null, parse(kind, bytes as Buffer, request))
      } catch (error) {
        done(error as Error)
      }
    })
  }
}

/**
 * The value of a body; undefined when it is empty, whatever its type. Throws BODY_MALFORMED with the place.
 * `arg` and `kwarg` of a form are read as Salt's command line reads arguments, when `commandLine` says so.
 */
export function parseBody(kind: BodyKind, bytes: Buffer, options: { commandLine: boolean }): unknown {
  if (bytes.length === 0) return undefined
  if (!isUtf8(bytes)) throw brineError('BODY_MALFORMED', NAMES[kind], 'it is not valid UTF-8')
  return parseText(kind, bytes.toString('utf8'), options)
}

const NAMES: Readonly<Record<BodyKind, string>> = { json: 'JSON', yaml: 'YAML', form: 'form', text: 'text' }

function parseText(kind: BodyKind, text: string, options: { commandLine: boolean }): unknown {
  switch (kind) {
    case 'json':
      return parseJson(text)
    case 'yaml':
      return parseBodyYaml(text)
    case 'form':
      return parseForm(text, options.commandLine)
    case 'text':
      return jsonOrText(text)
  }
}

function parseBodyYaml(text: string): unknown {
  const value = parseYamlBody(text)
  checkStructure(value, 'YAML')
  return value
}

/** Browsers send JSON as text/plain to get round a preflight; SaltGUI does. */
function jsonOrText(text: string): unknown {
  try {
    JSON.parse(text)
  } catch {
    return text
  }
  return parseJson(text)
}

/** Repeated fields become a list, blank ones vanish (golden/api section 4). */
function parseForm(text: string, commandLine: boolean): Record<string, unknown> {
  const fields: Record<string, unknown> = {}
  let count = 0
  for (const [name, value] of new URLSearchParams(text)) {
    if (value === '') continue
    if (++count > MAX_FIELDS) throw brineError('BODY_MALFORMED', 'form', `it has more than ${MAX_FIELDS} fields`)
    if (name === '__proto__') throw brineError('BODY_MALFORMED', 'form', "the key '__proto__' is not allowed")
    const read = commandLine && (name === 'arg' || name === 'kwarg') ? yamlArgument(value) : value
    const before = Object.hasOwn(fields, name) ? fields[name] : undefined
    setOwn(fields, name, before === undefined ? read : Array.isArray(before) ? [...before, read] : [before, read])
  }
  return fields
}

export default fp(
  async app => {
    app.removeAllContentTypeParsers()
    useBodyParser(app, (kind, bytes) => parseBody(kind, bytes, { commandLine: true }))
    app.addContentTypeParser('*', refuseUnlessEmpty)
  },
  { name: 'bodies' }
)

/** Without length and chunks there is no body, whatever its type is said to be. */
export function refuseUnlessEmpty(request: FastifyRequest, _payload: unknown, done: (error: Error | null, body?: unknown) => void): void {
  const { 'content-length': length, 'transfer-encoding': chunked, 'content-type': type } = request.headers
  if (chunked === undefined && (length === undefined || length === '0')) done(null, undefined)
  else done(brineError('MEDIA_TYPE', (type ?? '').slice(0, 100)))
}

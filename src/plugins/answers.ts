import fp from 'fastify-plugin'
import { brineError } from '../errors.js'
import { saltJson } from '../events/json.js'
import { dumpYaml } from '../shared/yaml.js'

/** What salt-api answers in (golden/api section 4). */
const OFFERED = ['application/json', 'application/x-yaml'] as const

/**
 * The offered type that the client likes best, null when it likes none: highest q, then the first in the header; `q=0` drops a type unless a
 * wildcard brings it back. Types are compared without regard to case.
 */
export function negotiate<T extends string>(accept: string | undefined, offered: readonly T[]): T | null {
  if (accept === undefined || accept === '*/*' || accept.trim() === '') return offered[0] ?? null
  const ranges = accept.split(',').map(range => {
    const [type = '', ...parameters] = range.split(';').map(part => part.trim().toLowerCase())
    const q = Number(parameters.find(each => each.startsWith('q='))?.slice(2) ?? 1)
    return { type, q: Number.isNaN(q) ? 1 : q }
  })
  for (const { type, q } of ranges.sort((a, b) => b.q - a.q)) {
    const found = q > 0 && offered.find(each => covers(type, each))
    if (found) return found
  }
  return null
}

function covers(range: string, type: string): boolean {
  return range === '*/*' || range === '*' || range === type || (range.endsWith('/*') && type.startsWith(range.slice(0, -1)))
}

export interface AnswersOptions {
  /** What cannot be answered in a wished form is answered as JSON instead of being refused: for what is not Salt's. */
  readonly lenient?: boolean
}

/**
 * In a scope with this plugin, what a handler returns is answered as JSON or YAML in Salt's form, by `Accept`; a wish that cannot be met is
 * refused before anything is done (golden/api section 15, 14).
 */
export default fp<AnswersOptions>(
  async (app, { lenient = false }) => {
    app.addHook('onRequest', (request, reply, done) => {
      const { accept } = request.headers
      const type = negotiate(accept, OFFERED) ?? (lenient ? OFFERED[0] : null)
      if (type === null) return done(brineError('NOT_ACCEPTABLE', (accept ?? '').slice(0, 200)))
      reply.header('content-type', type).serializer(type === 'application/json' ? saltJson : printYaml)
      done()
    })
  },
  { name: 'answers' }
)

/** As salt-api prints it: what an answer holds twice is written once (golden/api, jobs-one-yaml). */
const printYaml = (value: unknown) => dumpYaml(value, { aliases: true })

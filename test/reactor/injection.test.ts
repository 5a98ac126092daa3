import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type HostFunction, renderSls, TemplateError } from '../../src/reactor/render.js'
import { packageRoot } from '../../src/shared/paths.js'
import { plainValue } from '../../src/shared/yaml-scalars.js'

interface Position {
  name: string
  sls: string
  /** The payload is the event's tag, not its data. */
  tag?: boolean
  reads?: 'text' | 'exact' | 'plain'
  around?: [string, string]
  at?: (string | number)[]
  /** false: the payload decides how often something stands there (a loop over its characters). */
  shape?: boolean
}

interface Corpus {
  harmless: string
  files: Record<string, string>
  payloads: Record<string, string>
  positions: Position[]
}

const corpus: Corpus = JSON.parse(readFileSync(join(packageRoot(), 'test/fixtures/reactor/injection.json'), 'utf8'))

function render({ sls, tag }: Position, payload: string): unknown {
  return renderSls(sls, {
    tag: tag ? payload : 'a/b',
    data: { v: payload, id: 'web1', data: { v: payload } },
    file: 'r.sls',
    loader: name => corpus.files[name] ?? null,
    context: { salt: { 'test.echo': (args => args[0]) as HostFunction } }
  })
}

/** The structure of a value: scalars are all alike, and so is a key that is not the author's own. */
function shape(value: unknown, authors: ReadonlySet<unknown>): unknown {
  if (Array.isArray(value)) return value.map(item => shape(item, authors))
  if (!(value instanceof Map)) return 'scalar'
  return [...value].map(([key, item]) => [authors.has(key) ? key : 'key', shape(item, authors)])
}

function keysOf(value: unknown): unknown[] {
  if (Array.isArray(value)) return value.flatMap(keysOf)
  return value instanceof Map ? [...value].flatMap(([key, item]) => [key, ...keysOf(item)]) : []
}

/** Keys that stand in the result whatever the event says. */
function authorsKeys(position: Position): Set<unknown> {
  const [one, other] = [keysOf(render(position, 'harmless')), new Set(keysOf(render(position, 'unhurtful')))]
  return new Set(one.filter(key => other.has(key)))
}

function outcome(position: Position, payload: string): { value: unknown } | { error: TemplateError } {
  try {
    return { value: render(position, payload) }
  } catch (error) {
    if (error instanceof TemplateError) return { error }
    throw error
  }
}

function scalarAt(value: unknown, path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>((at, step) => (at instanceof Map ? at.get(step) : (at as unknown[])[step as number]), value)
}

t.test('whatever an event holds, the structure of a reaction stays the author’s', async t => {
  for (const position of corpus.positions) {
    const plain = outcome(position, corpus.harmless)
    const wrong: string[] = []
    for (const [name, payload] of Object.entries(corpus.payloads)) {
      const got = outcome(position, payload)
      if ('error' in got || position.shape === false) continue
      if ('error' in plain) wrong.push(`${name}: renders where a harmless value does not`)
      else {
        const authors = authorsKeys(position)
        const [is, should] = [shape(got.value, authors), shape(plain.value, authors)].map(value => JSON.stringify(value))
        if (is !== should) wrong.push(`${name}: ${is} instead of ${should}`)
      }
    }
    t.strictSame(wrong, [], position.name)
  }
})

t.test('a value arrives as it is: exactly in quotes and through quoting filters, as one plain scalar elsewhere', async t => {
  for (const position of corpus.positions.filter(({ reads }) => reads !== undefined)) {
    const path = position.at ?? (position.sls.startsWith('x:\n  local') ? null : ['x'])
    const wrong: string[] = []
    for (const [name, payload] of Object.entries(corpus.payloads)) {
      const got = outcome(position, payload)
      if ('error' in got) wrong.push(`${name}: ${got.error.message}`)
      else if (path !== null) {
        const wanted = position.reads === 'plain' ? plainValue(payload.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, '')) : payload
        const scalar = scalarAt(got.value, path)
        if (!Object.is(scalar, wanted)) wrong.push(`${name}: ${JSON.stringify(scalar)}`)
      }
    }
    t.strictSame(wrong, [], position.name)
  }
})

t.test('text around a value stays around it', async t => {
  for (const position of corpus.positions.filter(({ around }) => around !== undefined)) {
    const [before, after] = position.around!
    const wrong: string[] = []
    for (const [name, payload] of Object.entries(corpus.payloads)) {
      const scalar = scalarAt((outcome(position, payload) as { value: unknown }).value, ['x'])
      const wanted = `${before}${payload}${after}`
      // at the edge of a plain scalar white space is not part of it
      if (scalar !== wanted && scalar !== wanted.replace(/^[ \t\r\n]+/, '')) wrong.push(`${name}: ${JSON.stringify(scalar)}`)
    }
    t.strictSame(wrong, [], position.name)
  }
})

t.test('the corpus is large: more than 150 places and payloads, each with each', async t => {
  const { positions, payloads } = corpus
  t.ok(positions.length + Object.keys(payloads).length >= 150)
  t.equal(new Set(positions.map(({ name }) => name)).size, positions.length)
})

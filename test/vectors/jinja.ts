import { type HostFunction, renderText, TemplateError } from '../../src/reactor/render.js'
import type { Check, Content } from './play.js'

interface Vector {
  template: string
  context: string | Record<string, unknown>
  files?: Record<string, string>
  rendered?: string
  error?: { kind: string }
}

/** Vectors say what comes out, not how fast: a busy machine may take its time. */
const UNHURRIED = { milliseconds: 30_000 }

/** What every template sees besides the vector's context (see `about` in jinja.json). */
const SURROUNDINGS = {
  grains: { id: 'master1', os: 'Debian' },
  pillar: {},
  opts: { id: 'master1' },
  saltenv: 'base',
  sls: '',
  salt: {
    'test.echo': (args => args[0]) as HostFunction,
    'pillar.get': (args => args[1]) as HostFunction
  }
}

/** jinja.json: template and context → text or the kind of error. A check is named after its template (and context, when it has its own). */
export function jinjaChecks(content: Content): Check[] {
  return (content.vectors as Vector[]).map(vector => {
    const { template, context, files, rendered, error } = vector
    const own = typeof context === 'string' ? '' : ` with ${JSON.stringify(context)}`
    return {
      name: JSON.stringify(template) + own + (files === undefined ? '' : ` and ${JSON.stringify(files)}`),
      expected: error === undefined ? { rendered } : { error: error.kind },
      got: () => render(template, typeof context === 'string' ? content.contexts[context] : context, files ?? {})
    }
  })
}

function render(template: string, context: Record<string, unknown>, files: Record<string, string>): unknown {
  try {
    return { rendered: renderText(template, { ...SURROUNDINGS, ...context }, { loader: name => files[name] ?? null, limits: UNHURRIED }) }
  } catch (error) {
    if (error instanceof TemplateError) return { error: error.kind }
    throw error
  }
}

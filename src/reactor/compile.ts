import type { ServerFunction } from '../runners/function.js'
import type { CompiledReaction, CompiledSls, ReactionCall, SlsEvent } from './compiled.js'
import {
  type ParsedReactions,
  parseReactions,
  type ReactionCallPlan,
  type ReactionError,
  type Signature,
  type SignatureOf
} from './parse.js'
import { Quarantine } from './quarantine.js'
import { type Limits, renderSlsText, TemplateError } from './render.js'
import type { SlsSource } from './sources.js'

export interface CompilerOptions {
  /** For `include` and `import` in templates: the file that a name means in the file `from`, or null. */
  readonly include: (name: string, from: string | undefined) => SlsSource | null
  /** Functions whose parameters reactions may write directly. */
  readonly signatureOf: SignatureOf
  /** Further names in templates: `salt`, `grains`, `pillar`, `opts`, `saltenv`, `sls`. */
  readonly context?: () => Readonly<Record<string, unknown>>
  readonly limits?: Partial<Limits>
  /** Milliseconds, for the quarantine of templates. */
  readonly now?: () => number
}

/** Renders and parses SLS files for events, at once; pure but for the files that templates import. */
export function slsCompiler(options: CompilerOptions): (source: SlsSource, event: SlsEvent) => CompiledSls {
  const quarantine = new Quarantine(options.now)
  return (source, event) => {
    const seconds = quarantine.rests(source.text)
    if (seconds > 0) return resting(source.file, seconds)
    const compiled = compileSls(source, event, options)
    if (compiled.fault?.kind === 'limit') quarantine.stopped(source.text)
    return compiled
  }
}

/** The answer about a template that rests. */
export function resting(file: string, seconds: number): CompiledSls {
  const message = `quarantined: it was stopped at its limits again and again; it is rendered again in ${seconds} s, or once its text is another`
  return { reactions: [], error: `${file}: ${message}`, fault: { kind: 'limit', message, file, line: 0, column: 0 } }
}

/** Renders and parses one SLS for one event, whatever came before. */
export function compileSls(source: SlsSource, event: SlsEvent, { include, signatureOf, context, limits }: CompilerOptions): CompiledSls {
  try {
    const { value, text } = renderSlsText(source.text, {
      tag: event.tag,
      json: event.json,
      ...(event.events === undefined ? {} : { events: event.events }),
      file: source.file,
      reactions: true,
      loader: include,
      ...(context === undefined ? {} : { context: context() }),
      ...(limits === undefined ? {} : { limits })
    })
    return { ...compiled(parseReactions(value, source.file, signatureOf)), rendered: text }
  } catch (error) {
    if (error instanceof TemplateError) return faulty(error, source.file)
    throw error
  }
}

function faulty(error: TemplateError, file: string): CompiledSls {
  const { kind, reason, line, column, rendered } = error
  const fault = { kind, message: reason, file: error.file ?? file, line, column }
  return { reactions: [], error: error.describe(), fault, ...(rendered === undefined ? {} : { rendered }) }
}

function compiled({ calls, errors }: ParsedReactions): CompiledSls {
  const ofFile = errors.find(error => error.section === null)
  if (ofFile !== undefined) {
    const { kind, message, file } = ofFile
    return { reactions: [], error: message, fault: { kind, message, file, line: 0, column: 0 } }
  }
  const refused = errors.filter(error => error.kind !== 'ignored_parameter')
  const reactions = [...calls.map(reactionOf), ...refused.map(refusedReaction)]
  const warnings = errors.filter(error => error.kind === 'ignored_parameter').map(error => error.message)
  return { reactions: withOwnSections(reactions), error: null, ...(warnings.length === 0 ? {} : { warnings }) }
}

function reactionOf(call: ReactionCallPlan): CompiledReaction {
  const { client, fun, order, kwarg, section } = call
  const local = client === 'local' ? { tgt: call.tgt, tgt_type: call.tgt_type ?? 'glob', ...('ret' in call ? { ret: call.ret } : {}) } : {}
  const other = call.other === undefined ? {} : { other: call.other }
  // a text stands for its characters
  return { section, call: { client, fun, order, arg: [...call.arg], kwarg, ...local, ...other } as ReactionCall }
}

/** A reaction that cannot be made still stands in the audit, with the reason. */
function refusedReaction({ section, message, client, fun, order }: ReactionError): CompiledReaction {
  return { section: section!, call: { client: client ?? '', fun: fun ?? '', error: message, ...(order === undefined ? {} : { order }) } }
}

/** An id with several reactions (two types, or `names`) gives each a name of its own. */
function withOwnSections(reactions: readonly CompiledReaction[]): CompiledReaction[] {
  const counts = new Map<string, number>()
  for (const { section } of reactions) counts.set(section, (counts.get(section) ?? 0) + 1)
  const seen = new Map<string, number>()
  return reactions.map(({ section, call }) => {
    if (counts.get(section) === 1) return { section, call }
    const name = `${section} (${call.client}.${call.fun})`
    const nth = (seen.get(name) ?? 0) + 1
    seen.set(name, nth)
    return { section: nth === 1 ? name : `${name} #${nth}`, call }
  })
}

/** The signature of a function of brine's own lists. */
function signatureFrom(fn: ServerFunction): Signature {
  const params = Object.entries(fn.params)
  return {
    required: params.filter(([, param]) => param.required).map(([name]) => name),
    optional: Object.fromEntries(params.filter(([, param]) => !param.required).map(([name, param]) => [name, param.fallback ?? null])),
    takesArgs: fn.takesArgs,
    takesKwargs: fn.takesKwargs
  }
}

/** Signatures of the runner and wheel functions that this server has. */
export function serverSignatures(runners: ReadonlyMap<string, ServerFunction>, wheel: ReadonlyMap<string, ServerFunction>): SignatureOf {
  return (client, fun) => {
    const fn = (client === 'runner' ? runners : wheel).get(fun)
    return fn === undefined ? null : signatureFrom(fn)
  }
}

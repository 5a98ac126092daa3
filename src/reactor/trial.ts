/**
 * Try before trust: what rules and SLS files would do about an event. Everything up to the call is done as for a real event, by the same
 * code (match, render, parse); nothing is planned, dispatched or written.
 */
import type { StoredEvent } from '../events/event.js'
import { type CompiledReaction, type CompileSls, inSaltsOrder, type ReactionCall, type SlsEvent, type SlsFault } from './compiled.js'
import { type LintWarning, lintTemplate } from './lint.js'
import { TemplateError } from './render.js'
import { keptText } from './secrets.js'
import { type SlsFiles, SlsMissing, type SlsSource } from './sources.js'

/** What of a rule is tried. */
export interface TrialRule {
  readonly id: string
  readonly tag: string
  readonly sls: readonly string[]
  /** `candidate`: it came with the question. */
  readonly source: 'config' | 'api' | 'candidate'
}

export interface TrialOptions {
  readonly files: Pick<SlsFiles, 'expand' | 'load'>
  readonly compile: CompileSls
  /** Texts that stand in the place of files, by the reference as rules write it. */
  readonly texts?: ReadonlyMap<string, string>
  /** Why a rule that matches does nothing about this event; null when it does. */
  readonly refusal?: (rule: TrialRule) => string | null
}

/** One call that would be made. */
export interface TriedCall {
  readonly rule: string
  readonly file: string
  readonly section: string
  /** Without `order`; `error`: the call cannot be made. */
  readonly call: Omit<ReactionCall, 'order'>
}

export interface TriedFile {
  readonly file: string
  /** The mistake with its place, as one text; `fault` is the same in parts. */
  readonly error?: string
  readonly fault?: SlsFault
  /** What is worth a look before this file meets real events. */
  readonly warnings?: readonly LintWarning[]
  /** The text that was rendered, cut at MAX_RENDERED characters. */
  readonly rendered?: string
  /** It is rendered because of an earlier rule, and only once. */
  readonly skipped?: string
  readonly reactions: readonly Pick<TriedCall, 'section' | 'call'>[]
}

export interface TriedRule {
  readonly rule: string
  readonly tag: string
  readonly source: TrialRule['source']
  /** Why the rule does nothing although its tag matches. */
  readonly refusal?: string
  readonly sls: readonly TriedFile[]
}

export interface Trial {
  readonly rules: readonly TriedRule[]
  /** All calls of all rules in the order in which they would be made. */
  readonly calls: readonly TriedCall[]
}

/** Tries rules, given in their order, that match the event's tag. Throws nothing but mistakes of brine itself. */
export async function tryRules(rules: readonly TrialRule[], event: SlsEvent, options: TrialOptions): Promise<Trial> {
  const seen = new Map<string, string>()
  const compiled: { rule: string; file: string; reaction: CompiledReaction }[] = []
  const tried: TriedRule[] = []
  for (const rule of rules) {
    const refusal = options.refusal?.(rule) ?? null
    const sls: TriedFile[] = []
    for (const file of refusal === null ? await filesOf(rule, options) : []) {
      const first = seen.get(file)
      if (first !== undefined) {
        sls.push({ file, skipped: `rendered for rule ${first}`, reactions: [] })
        continue
      }
      seen.set(file, rule.id)
      const { reactions, ...about } = await tryFile(file, event, options)
      for (const reaction of reactions) compiled.push({ rule: rule.id, file, reaction })
      sls.push({ file, ...about, reactions: [...reactions].sort(inSaltsOrder).map(shown) })
    }
    tried.push({ rule: rule.id, tag: rule.tag, source: rule.source, ...(refusal === null ? {} : { refusal }), sls })
  }
  // A section of a later file replaces one of the same name in an earlier one.
  const last = new Map(compiled.map(({ file, reaction }) => [reaction.section, file]))
  const calls = compiled
    .filter(({ file, reaction }) => last.get(reaction.section) === file)
    .sort((a, b) => inSaltsOrder(a.reaction, b.reaction))
    .map(({ rule, file, reaction }) => ({ rule, file, ...shown(reaction) }))
  return { rules: tried, calls }
}

/** True when something of it went wrong: no rule matched, or a file or a call has a mistake. */
export function isWrong({ rules }: Trial): boolean {
  const files = rules.flatMap(({ sls }) => sls)
  return rules.length === 0 || files.some(file => file.error !== undefined || file.reactions.some(({ call }) => call.error !== undefined))
}

async function filesOf(rule: TrialRule, { files, texts }: TrialOptions): Promise<string[]> {
  const found: string[] = []
  for (const reference of rule.sls) found.push(...(texts?.has(reference) ? [reference] : await files.expand(reference)))
  return found
}

interface Tried extends Omit<TriedFile, 'file' | 'reactions'> {
  readonly reactions: readonly CompiledReaction[]
}

async function tryFile(file: string, event: SlsEvent, options: TrialOptions): Promise<Tried> {
  try {
    const source = await sourceOf(file, options)
    const { reactions, error, fault, rendered, warnings = [] } = await options.compile(source, event)
    const all = [...lintOf(source.text), ...warnings.map(message => ({ line: 0, column: 0, message }))]
    return {
      ...(error === null ? {} : { error }),
      ...(fault === undefined ? {} : { fault }),
      ...(all.length === 0 ? {} : { warnings: all }),
      ...(rendered === undefined ? {} : { rendered: keptText(rendered) }),
      reactions
    }
  } catch (error) {
    if (!(error instanceof SlsMissing)) throw error
    return { error: error.message, fault: { kind: 'sls_missing', message: error.message, file, line: 0, column: 0 }, reactions: [] }
  }
}

function sourceOf(file: string, { files, texts }: TrialOptions): Promise<SlsSource> | SlsSource {
  const text = texts?.get(file)
  return text === undefined ? files.load(file) : { file, text }
}

/** A file that does not parse says so by its error. */
function lintOf(text: string): LintWarning[] {
  try {
    return lintTemplate(text)
  } catch (error) {
    if (error instanceof TemplateError) return []
    throw error
  }
}

function shown({ section, call }: CompiledReaction): Pick<TriedCall, 'section' | 'call'> {
  const { order: _, ...rest } = call
  return { section, call: rest }
}

/** A pasted event as the loop guards look at one: it comes from outside. */
export function asStored({ tag, json }: SlsEvent): StoredEvent {
  return { seq: 0, tag, json, stampUs: 0, source: 'server', cause: null }
}

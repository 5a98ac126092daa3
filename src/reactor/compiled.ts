import type { SlsSource } from './sources.js'

/** The clients that a reaction may name. */
export type ReactionClient = 'local' | 'runner' | 'wheel' | 'caller'

/**
 * One call that an SLS asks for, as it is kept and made.
 * `error`: it cannot be made (arguments that do not fit, an unknown function or type); the others of the file can.
 */
export interface ReactionCall {
  readonly client: ReactionClient | string
  readonly fun: string
  readonly arg?: readonly unknown[]
  readonly kwarg?: Readonly<Record<string, unknown>>
  readonly tgt?: unknown
  readonly tgt_type?: string
  readonly ret?: unknown
  /** Further options of a local call: timeout, metadata, … */
  readonly other?: Readonly<Record<string, unknown>>
  /** An attempt after the first: the minions that failed or did not return, and no others of `tgt`. */
  readonly only?: readonly string[]
  /** Place among the reactions of the event; equal ones go by client, section and function. */
  readonly order?: number
  readonly error?: string
}

export interface CompiledReaction {
  readonly section: string
  readonly call: ReactionCall
}

export interface CompiledSls {
  readonly reactions: readonly CompiledReaction[]
  /** Mistakes that belong to no section; null when there are none. With them there are no reactions. */
  readonly error: string | null
  /** The mistake with its place, for those who show it. */
  readonly fault?: SlsFault
  /** The text that the file rendered to; absent when it did not get that far. */
  readonly rendered?: string
  /** What was written and has no effect. */
  readonly warnings?: readonly string[]
}

/** A mistake in an SLS. `line` and `column` count from 1; 0: unknown. */
export interface SlsFault {
  readonly kind: string
  readonly message: string
  readonly file: string
  readonly line: number
  readonly column: number
}

/** What of an event a template sees, as JSON text: numbers keep the form in which they were written. */
export interface SlsEvent {
  readonly tag: string
  readonly json: string
  /** All events of a window, oldest first; without: the event alone. */
  readonly events?: readonly { readonly tag: string; readonly json: string }[]
}

/** Renders and parses one SLS for one event, at once where that is quick. Pure: it only looks at what it is given. Throws nothing but mistakes of brine itself. */
export type CompileSls = (source: SlsSource, event: SlsEvent) => CompiledSls | Promise<CompiledSls>

/** Salt's order of an event's reactions: by `order`, then by the text of type, id and function. Not by file. */
export function inSaltsOrder(a: CompiledReaction, b: CompiledReaction): number {
  return (a.call.order ?? 1) - (b.call.order ?? 1) || compare(sortText(a), sortText(b))
}

function sortText({ section, call }: CompiledReaction): string {
  return `${call.client}${section}${call.fun}`
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

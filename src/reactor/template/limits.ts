import { limitError } from './errors.js'

/** What one rendering may use up. */
export interface Limits {
  /** Evaluated statements, loop passes, calls and items that filters look at. */
  readonly steps: number
  /** Characters and list items produced on the way, output included. */
  readonly size: number
  readonly milliseconds: number
  /** Macro calls, includes and nested statements inside one another; the JavaScript stack holds far more. */
  readonly depth: number
}

/**
 * A real SLS takes a few hundred steps and a few kilobytes. A rendering blocks the process, so its time is what a request waits at most
 * behind a runaway template; the size keeps a string bomb away from the heap.
 */
export const DEFAULT_LIMITS: Limits = { steps: 1_000_000, size: 8_000_000, milliseconds: 250, depth: 100 }

/** How many steps pass between two looks at the clock: microseconds usually, and little even when each step works on a megabyte of text. */
const CLOCK_INTERVAL = 64

/** Counts what a rendering uses and stops it at its limits. */
export class Budget {
  readonly limits: Limits
  #steps = 0
  #size = 0
  #depth = 0
  #nextLook = CLOCK_INTERVAL
  readonly #deadline: number

  constructor(limits: Partial<Limits> = {}) {
    this.limits = { ...DEFAULT_LIMITS, ...limits }
    this.#deadline = performance.now() + this.limits.milliseconds
  }

  /** Counts work; cheap enough for every loop pass. */
  step(count = 1): void {
    this.#steps += count
    if (this.#steps < this.#nextLook) return
    this.#nextLook = this.#steps + CLOCK_INTERVAL
    if (this.#steps > this.limits.steps) throw limitError(`the template takes more than ${this.limits.steps} steps`)
    if (performance.now() > this.#deadline) throw limitError(`the template takes longer than ${this.limits.milliseconds} ms`)
  }

  /** Counts work that grows with the length of a text. */
  read(length: number): void {
    this.step(1 + (length >> 8))
  }

  /** Counts characters or items before they are made. */
  grow(count: number): void {
    this.#size += count
    if (this.#size > this.limits.size) throw limitError(`the template makes more than ${this.limits.size} characters or items`)
    if (count > 256) this.step(count >> 8)
  }

  enter(): void {
    if (++this.#depth > this.limits.depth) throw limitError(`the template is nested deeper than ${this.limits.depth} calls`)
    this.step()
  }

  leave(): void {
    this.#depth--
  }
}

import { limitError, runtimeError } from './errors.js'
import type { Budget } from './limits.js'
import { str } from './text.js'
import { GroupTuple, Markup, type Part, PyDict, PyList, PyModule, PyObject, PyTuple, RichText, Undefined, type Value } from './values.js'

/**
 * Salt copies what is printed, so that dicts print as `str` prints their values; what cannot be copied or has no text is an error. That is so for
 * what does not exist as a value of a dict (in a list it prints as Undefined), and for the pairs of `groupby`, whose copying fails.
 */
export function checkPrintable(value: Value, budget: Budget, inDict = true): void {
  if (value instanceof GroupTuple) throw runtimeError("_GroupTuple.__new__() missing 1 required positional argument: 'list'")
  if (value instanceof PyList || value instanceof PyTuple) {
    budget.enter()
    for (const item of value.items) if (item instanceof PyObject) checkPrintable(item, budget, false)
    budget.leave()
  } else if (value instanceof PyDict) {
    budget.enter()
    for (const item of value.values()) {
      if (inDict && item instanceof Undefined) str(item, budget)
      if (item instanceof PyObject) checkPrintable(item, budget, inDict)
    }
    budget.leave()
  }
}

/**
 * Where a template prints to. In text mode that is a string; in YAML mode the author's own text and the values printed into it are kept apart,
 * so that a value can never become structure.
 */
export class Output {
  readonly yaml: boolean
  readonly #budget: Budget
  #text = ''
  readonly #parts: Part[] = []

  constructor(yaml: boolean, budget: Budget) {
    this.yaml = yaml
    this.#budget = budget
  }

  /** The author's own text and where it stands in the template. */
  literal(text: string, line: number, column: number): void {
    this.#budget.grow(text.length)
    if (this.yaml) this.#parts.push({ literal: text, line, column })
    else this.#text += text
  }

  value(printed: Value): void {
    const value = printed instanceof PyModule ? printed.text : printed
    if (!this.yaml) {
      const text = str(value, this.#budget)
      this.#budget.grow(text.length)
      this.#text += text
    } else if (value instanceof RichText) {
      this.#budget.grow(value.parts.length)
      for (const part of value.parts) this.#parts.push(part)
    } else {
      const text = str(value, this.#budget)
      this.#budget.grow(text.length)
      this.#parts.push({ value: value instanceof Markup ? value.text : value, text, exact: false })
    }
    if (this.#parts.length > 500_000) throw limitError('the template prints more than 500000 pieces')
  }

  /** A new output of the same kind. */
  sibling(): Output {
    return new Output(this.yaml, this.#budget)
  }

  /** What was printed, as a value: a text, or parts that are still told apart. */
  captured(html: boolean): Value {
    if (this.yaml) return new RichText(this.#parts)
    return html ? new Markup(this.#text) : this.#text
  }

  text(): string {
    return this.#text
  }

  parts(): readonly Part[] {
    return this.#parts
  }
}

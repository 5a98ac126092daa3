/** Kinds as in the recorded vectors; `yaml` for what the rendered text is not, `limit` for a template that was stopped. */
export type TemplateErrorKind = 'undefined' | 'syntax' | 'runtime' | 'yaml' | 'limit' | 'unknown_renderer'

/** A template that cannot be parsed, rendered or read as YAML. `line` and `column` count from 1; 0 means unknown. */
export class TemplateError extends Error {
  file: string | undefined
  line: number
  column: number
  /** What the template printed, when that is where the mistake showed. */
  rendered: string | undefined

  constructor(
    readonly kind: TemplateErrorKind,
    readonly reason: string,
    place: { file?: string | undefined; line?: number; column?: number } = {}
  ) {
    super(reason)
    this.name = 'TemplateError'
    this.file = place.file
    this.line = place.line ?? 0
    this.column = place.column ?? 0
  }

  /** `r.sls, line 3, column 7: 'nosuch' is undefined` */
  describe(): string {
    const parts = [this.file, this.line > 0 ? `line ${this.line}` : '', this.column > 0 ? `column ${this.column}` : ''].filter(Boolean)
    return parts.length === 0 ? this.reason : `${parts.join(', ')}: ${this.reason}`
  }

  /** Adds the place where an error surfaced, unless a place nearer to its cause is known. */
  at(place: { file?: string | undefined; line: number; column: number }): this {
    if (this.line === 0) {
      this.line = place.line
      this.column = place.column
    }
    if (this.file === undefined) this.file = place.file
    return this
  }
}

/** A Python exception while rendering (TypeError, ValueError, …). */
export function runtimeError(message: string): TemplateError {
  return new TemplateError('runtime', message)
}

/** A filter's argument that Jinja itself refuses; Salt reports it with the mistakes of syntax. */
export function filterArgumentError(message: string): TemplateError {
  return new TemplateError('syntax', message)
}

/** Use of what does not exist; Salt renders with StrictUndefined. */
export function undefinedError(message: string): TemplateError {
  return new TemplateError('undefined', message)
}

/** A template that wanted more than it may have. */
export function limitError(message: string): TemplateError {
  return new TemplateError('limit', message)
}

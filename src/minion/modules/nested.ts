/** Errors that carry what Salt puts behind its message: `… Additional info follows:`, and the data as its `nested` outputter prints it. */
import { CommandExecutionError } from './errors.js'
import { pyStr } from './python.js'
import { isMapping, type Mapping } from './values.js'

/** Salt's `CommandExecutionError(message, info=…)`. */
export class InformedError extends CommandExecutionError {
  readonly info: unknown

  constructor(message: string, info: unknown) {
    super(`${/[.?!]$/.test(message) ? message : `${message}.`} Additional info follows:\n\n${nested(info)}`)
    this.info = info
  }

  /** The message without `changes`, which a state shows in their own place. */
  get withoutChanges(): string {
    if (!isMapping(this.info)) return this.message
    const { changes: _changes, ...others } = this.info
    return this.message.slice(0, this.message.indexOf('\n\n') + 2) + nested(others)
  }

  get changes(): Mapping {
    return isMapping(this.info) && isMapping(this.info.changes) ? this.info.changes : {}
  }
}

/** The `nested` outputter without colours. */
function nested(value: unknown, indent = 0, prefix = ''): string {
  return display(value, indent, prefix).join('\n')
}

function display(value: unknown, indent: number, prefix: string): string[] {
  const pad = ' '.repeat(indent)
  if (Array.isArray(value)) {
    return value.flatMap(item =>
      isMapping(item) || Array.isArray(item) ? [`${pad}|_`, ...display(item, indent + 2, '')] : display(item, indent, '- ')
    )
  }
  if (isMapping(value)) {
    const entries = Object.entries(value).flatMap(([key, item]) => [`${pad}${prefix}${key}:`, ...display(item, indent + 4, '')])
    return indent > 0 ? [`${pad}----------`, ...entries] : entries
  }
  if (typeof value === 'string' && value !== '')
    return value.split('\n').map((line, at) => `${pad}${at === 0 ? prefix : ' '.repeat(prefix.length)}${line}`)
  return [`${pad}${prefix}${pyStr(value)}`]
}

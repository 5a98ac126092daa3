/** What can be said of an SLS file before it meets an event. */
import type { CompiledSls, CompileSls, SlsFault } from './compiled.js'
import { type LintWarning, lintTemplate } from './lint.js'
import { checkSls, checkTemplate, TemplateError } from './render.js'

export interface SlsCheck {
  /** The first mistake; null when there is none. */
  readonly fault: SlsFault | null
  readonly warnings: readonly LintWarning[]
}

/** Names of files that SLS files import; everything else is an SLS. */
const IMPORTED = /\.(?:jinja|jinja2|j2|json|txt)$/
/** May be an SLS, or data that one imports (`import_yaml`): what it asks for is not looked at. */
const DATA = /\.ya?ml$/
/** Neither statement nor print: the same for every event. */
const STATIC = /^(?!#!)(?:(?!\{[{%]).)*$/s

/** Checks the text of a file. With `compile` also what a file without any template in it asks for: reaction types, functions, arguments. */
export async function checkSlsFile(file: string, text: string, compile?: CompileSls): Promise<SlsCheck> {
  try {
    if (IMPORTED.test(file)) checkTemplate(text, file)
    else checkSls(text, file)
    const warnings = lintTemplate(text)
    const asked =
      compile !== undefined && !IMPORTED.test(file) && !DATA.test(file) && STATIC.test(text)
        ? await compile({ file, text }, { tag: '', json: '{}' })
        : null
    return { fault: asked === null ? null : faultIn(asked, file), warnings }
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error
    const { kind, reason, line, column } = error
    return { fault: { kind, message: reason, file: error.file ?? file, line, column }, warnings: [] }
  }
}

function faultIn({ fault, error, reactions }: CompiledSls, file: string): SlsFault | null {
  if (fault !== undefined) return fault
  const message = error ?? reactions.find(({ call }) => call.error !== undefined)?.call.error
  return message === undefined ? null : { kind: 'reaction', message, file, line: 0, column: 0 }
}

/** `file:line:column: message`, as compilers print it; what is not known is left out. */
export function placedText({ file, line, column }: Pick<SlsFault, 'file' | 'line' | 'column'>, message: string): string {
  return `${[file, ...(line > 0 ? [line, ...(column > 0 ? [column] : [])] : [])].join(':')}: ${message}`
}

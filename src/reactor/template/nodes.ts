/** The syntax tree of a template. `line` and `column` count from 1. */
import type { Value } from './values.js'

export interface Place {
  readonly line: number
  readonly column: number
}

export type Expression = Place &
  (
    | { type: 'constant'; value: Value }
    | { type: 'name'; name: string }
    | { type: 'attribute'; target: Expression; name: string }
    | { type: 'item'; target: Expression; index: Expression }
    | { type: 'slice'; target: Expression; start: Expression | null; stop: Expression | null; step: Expression | null }
    | { type: 'call'; target: Expression; arguments: Arguments }
    | { type: 'filter'; name: string; target: Expression | null; arguments: Arguments }
    | { type: 'test'; name: string; target: Expression; arguments: Arguments; negated: boolean }
    | { type: 'unary'; operator: '-' | '+' | 'not'; operand: Expression }
    | { type: 'binary'; operator: BinaryOperator; left: Expression; right: Expression }
    | { type: 'and' | 'or'; left: Expression; right: Expression }
    | { type: 'compare'; first: Expression; rest: { operator: CompareOperator; operand: Expression }[] }
    | { type: 'concat'; items: Expression[] }
    | { type: 'condition'; test: Expression; value: Expression; otherwise: Expression | null }
    | { type: 'list' | 'tuple'; items: Expression[] }
    | { type: 'dict'; pairs: { key: Expression; value: Expression }[] }
  )

export type BinaryOperator = '+' | '-' | '*' | '/' | '//' | '%' | '**'
export type CompareOperator = '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | 'not in'

export interface Arguments {
  readonly positional: Expression[]
  readonly named: { name: string; value: Expression }[]
  readonly star: Expression | null
  readonly doubleStar: Expression | null
}

/** What an assignment writes to: a name, an attribute of a namespace, several of these. */
export type AssignTarget = Place &
  (
    | { type: 'name'; name: string }
    | { type: 'namespaceAttribute'; name: string; attribute: string }
    | { type: 'targets'; items: AssignTarget[] }
  )

export interface Parameter {
  readonly name: string
  readonly default: Expression | null
}

export type Statement = Place &
  (
    | { type: 'text'; text: string }
    | { type: 'print'; value: Expression }
    | { type: 'if'; test: Expression; body: Statement[]; otherwise: Statement[] }
    | {
        type: 'for'
        target: AssignTarget
        over: Expression
        test: Expression | null
        recursive: boolean
        body: Statement[]
        otherwise: Statement[]
      }
    | { type: 'break' | 'continue' }
    | { type: 'set'; target: AssignTarget; value: Expression }
    | { type: 'setBlock'; target: AssignTarget; filter: Expression | null; body: Statement[] }
    | { type: 'macro'; name: string; parameters: Parameter[]; body: Statement[]; uses: MacroUses }
    | { type: 'callBlock'; call: Expression; parameters: Parameter[]; body: Statement[]; uses: MacroUses }
    | { type: 'filterBlock'; filter: Expression; body: Statement[] }
    | { type: 'with'; assignments: { target: AssignTarget; value: Expression }[]; body: Statement[] }
    | { type: 'do'; value: Expression }
    | { type: 'autoescape'; value: Expression; body: Statement[] }
    | { type: 'include'; template: Expression; ignoreMissing: boolean; withContext: boolean }
    | { type: 'import'; template: Expression; name: string; withContext: boolean }
    | { type: 'fromImport'; template: Expression; names: { name: string; as: string }[]; withContext: boolean }
    | { type: 'importData'; format: DataFormat; template: Expression; name: string; withContext: boolean }
    | { type: 'loadBlock'; format: DataFormat; name: string; body: Statement[] }
    | { type: 'block'; name: string; body: Statement[]; scoped: boolean; required: boolean }
    | { type: 'extends'; template: Expression }
    | { type: 'profile'; body: Statement[] }
  )

export type DataFormat = 'yaml' | 'json' | 'text'

/** Special names that a macro's body reads; Jinja accepts more arguments only when they are read. */
export interface MacroUses {
  readonly varargs: boolean
  readonly kwargs: boolean
  readonly caller: boolean
}

export interface Template {
  readonly body: Statement[]
  readonly blocks: ReadonlyMap<string, Statement & { type: 'block' }>
}

import { runtimeError } from './errors.js'
import type { Evaluator, Frame } from './evaluate.js'
import type { MacroUses, Parameter, Statement } from './nodes.js'
import { type Kwargs, PyDict, PyFunction, PyTuple, Undefined, type Value } from './values.js'

interface Definition {
  readonly parameters: readonly Parameter[]
  readonly body: readonly Statement[]
  readonly uses: MacroUses
}

/** A macro, or the body of a `call` block (`caller`). It sees the names of the place where it is defined. */
export class MacroFunction extends PyFunction {
  /** `name`: null for the body of a `call` block. */
  constructor(evaluator: Evaluator, name: string | null, node: Definition, frame: Frame) {
    const called = name ?? 'caller'
    const call = (args: Value[], kwargs: Kwargs) => invoke(evaluator, called, node, frame, args, kwargs)
    super(called, call, 'Macro', attributesOf(name, node))
  }
}

function attributesOf(name: string | null, node: Definition): Map<string, Value> {
  return new Map<string, Value>([
    ['name', name],
    ['arguments', new PyTuple(node.parameters.map(parameter => parameter.name))],
    ['catch_kwargs', node.uses.kwargs],
    ['catch_varargs', node.uses.varargs],
    ['caller', node.uses.caller]
  ])
}

function invoke(evaluator: Evaluator, name: string, node: Definition, frame: Frame, args: Value[], kwargs: Kwargs): Value {
  const { parameters, uses } = node
  const rest = new Map(kwargs)
  const caller = rest.get('caller')
  const ownCaller = parameters.some(parameter => parameter.name === 'caller')
  if (uses.caller && !ownCaller) rest.delete('caller')
  return evaluator.runBody(node.body, frame, inner => {
    for (const [index, parameter] of parameters.entries()) {
      inner.scope.set(parameter.name, argument(evaluator, name, parameter, args[index], rest, inner))
    }
    if (uses.caller && !ownCaller) inner.scope.set('caller', caller ?? new Undefined('No caller defined'))
    if (uses.kwargs) inner.scope.set('kwargs', PyDict.of(rest))
    else if (rest.size > 0) throw runtimeError(`macro '${name}' takes no keyword argument '${[...rest.keys()][0]}'`)
    if (uses.varargs) inner.scope.set('varargs', new PyTuple(args.slice(parameters.length)))
    else if (args.length > parameters.length) throw runtimeError(`macro '${name}' takes not more than ${parameters.length} argument(s)`)
  })
}

function argument(evaluator: Evaluator, macro: string, parameter: Parameter, given: Value | undefined, rest: Kwargs, inner: Frame): Value {
  if (given !== undefined) {
    if (rest.has(parameter.name)) throw runtimeError(`macro '${macro}' got multiple values for argument '${parameter.name}'`)
    return given
  }
  const named = rest.get(parameter.name)
  if (named !== undefined) {
    rest.delete(parameter.name)
    return named
  }
  if (parameter.default !== null) return evaluator.evaluate(parameter.default, inner)
  return new Undefined(`parameter '${parameter.name}' was not provided`)
}

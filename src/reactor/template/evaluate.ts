/**
 * Walks a template's tree and prints. Everything that a template can reach is a value of values.ts, looked up in tables; everything that takes
 * time or room is counted by the budget.
 */
import { getAttribute, getItem, methodsOf } from './attributes.js'
import type { Env, Source } from './env.js'
import { limitError, runtimeError, TemplateError, undefinedError } from './errors.js'
import { filterNamed, filters, MARKED_FILTERS, MARKUP_FILTERS, RICH_FILTERS, TYPED_FILTERS, UNDEFINED_FILTERS } from './filters.js'
import { escapeHtml } from './filters-text.js'
import { formatPercent } from './format.js'
import type { Budget } from './limits.js'
import { loadData } from './load.js'
import { LoopContext } from './loop.js'
import { MacroFunction } from './macro.js'
import { markupMethod, markupOperation } from './markup.js'
import type { Arguments, AssignTarget, BinaryOperator, CompareOperator, Expression, Statement, Template } from './nodes.js'
import {
  add,
  compare,
  concat,
  contains,
  defined,
  divide,
  equals,
  flat,
  floorDivide,
  listOf,
  modulo,
  multiply,
  negate,
  positive,
  power,
  slice,
  subtract,
  truthy,
  typeName
} from './operators.js'
import { checkPrintable, Output } from './output.js'
import { Scope } from './scope.js'
import { testNamed, tests, UNDEFINED_TESTS } from './tests.js'
import { str } from './text.js'
import {
  type Kwargs,
  Markup,
  Namespace,
  NO_KWARGS,
  orElse,
  PyDict,
  PyFunction,
  PyList,
  PyModule,
  PyObject,
  PyRecord,
  PyTuple,
  RichText,
  Undefined,
  type Value
} from './values.js'

const DONE = 0
const BREAK = 1
const CONTINUE = 2
type Flow = typeof DONE | typeof BREAK | typeof CONTINUE

/** What a statement runs in. */
export interface Frame {
  readonly scope: Scope
  readonly out: Output
  /** Jinja's autoescape. */
  readonly html: boolean
  readonly page: Page
}

/** A template being rendered, with the blocks that its children gave. */
class Page {
  parent: Source | null = null
  constructor(
    readonly file: string | undefined,
    readonly root: Scope,
    readonly blocks: Map<string, BlockEntry[]>
  ) {}
}

interface BlockEntry {
  readonly block: Statement & { type: 'block' }
  readonly file: string | undefined
}

export interface EvaluatorOptions {
  readonly budget: Budget
  readonly yaml: boolean
  /** Names that every template sees, imported ones too. */
  readonly globals: Scope
  /** The functions that every template has: all that one included without context sees. */
  readonly functions: Scope
  readonly load: (name: string, from: string | undefined) => Source | null
}

export class Evaluator implements Env {
  readonly budget: Budget
  readonly yaml: boolean
  readonly #globals: Scope
  readonly #functions: Scope
  readonly #load: EvaluatorOptions['load']
  #scope: Scope

  constructor(options: EvaluatorOptions) {
    this.budget = options.budget
    this.yaml = options.yaml
    this.#globals = options.globals
    this.#functions = options.functions
    this.#load = options.load
    this.#scope = options.globals
  }

  /** Renders a template into a new output. */
  render(source: Source): Output {
    const out = new Output(this.yaml, this.budget)
    this.#template(source, new Scope(this.#globals), out, false)
    return out
  }

  /** The value of a lone expression. */
  expression(expression: Expression): Value {
    const scope = new Scope(this.#globals)
    const out = new Output(this.yaml, this.budget)
    return this.evaluate(expression, { scope, out, html: false, page: new Page(undefined, scope, new Map()) })
  }

  names(): Map<string, Value> {
    return this.#scope.all()
  }

  // ---- templates -----------------------------------------------------------------------------------------------------------------------

  #template(source: Source, scope: Scope, out: Output, html: boolean, blocks = new Map<string, BlockEntry[]>()): void {
    this.budget.enter()
    const page = new Page(source.file, scope, blocks)
    for (const [name, block] of source.template.blocks) {
      const entry = { block, file: source.file }
      const known = blocks.get(name)
      if (known === undefined) blocks.set(name, [entry])
      else known.push(entry)
    }
    scope.set('self', new SelfReference(name => this.#blockFunction(name, page, out, html)))
    this.#templateBody(source.template, { scope, out, html, page })
    if (page.parent !== null) this.#template(page.parent, scope, out, html, blocks)
    this.budget.leave()
  }

  /** After `extends` nothing of a child prints but its blocks. */
  #templateBody(template: Template, frame: Frame): void {
    let current = frame
    for (const statement of template.body) {
      this.#guarded(statement, current)
      if (frame.page.parent !== null && current === frame) current = { ...frame, out: frame.out.sibling() }
    }
  }

  #source(name: Value, frame: Frame): Source {
    const source = this.#find(name, frame)
    if (source === null) throw runtimeError(`${str(name, this.budget)}`)
    return source
  }

  /** The first that exists of a name or a list of names. */
  #find(name: Value, frame: Frame): Source | null {
    const names = name instanceof PyList || name instanceof PyTuple ? name.items : [name]
    for (const candidate of names) {
      const source = this.#load(String(flat(defined(candidate))), frame.page.file)
      if (source !== null) return source
    }
    return null
  }

  // ---- statements ----------------------------------------------------------------------------------------------------------------------

  #block(body: readonly Statement[], frame: Frame): Flow {
    for (const statement of body) {
      const flow = this.#guarded(statement, frame)
      if (flow !== DONE) return flow
    }
    return DONE
  }

  /** Runs a statement; an error without a place gets this one. */
  #guarded(statement: Statement, frame: Frame): Flow {
    try {
      this.budget.step()
      return this.#statement(statement, frame)
    } catch (error) {
      if (error instanceof TemplateError) throw error.at({ file: frame.page.file, line: statement.line, column: statement.column })
      if (error instanceof RangeError) throw limitError('the template is nested too deeply').at({ file: frame.page.file, ...statement })
      throw error
    }
  }

  #statement(node: Statement, frame: Frame): Flow {
    switch (node.type) {
      case 'text':
        frame.out.literal(node.text, node.line, node.column)
        return DONE
      case 'print':
        this.#print(this.evaluate(node.value, frame), frame)
        return DONE
      case 'if':
        return this.#block(truthy(this.evaluate(node.test, frame)) ? node.body : node.otherwise, frame)
      case 'for':
        this.#for(node, frame)
        return DONE
      case 'break':
        return BREAK
      case 'continue':
        return CONTINUE
      case 'set':
        this.assign(node.target, this.evaluate(node.value, frame), frame)
        return DONE
      case 'do':
        this.evaluate(node.value, frame)
        return DONE
      case 'with':
        return this.#with(node, frame)
      case 'autoescape':
        return this.#block(node.body, { ...frame, scope: new Scope(frame.scope), html: truthy(this.evaluate(node.value, frame)) })
      case 'profile':
        return this.#block(node.body, frame)
      default:
        this.#definition(node, frame)
        return DONE
    }
  }

  /** Statements that define names or print what they hold. */
  #definition(node: Exclude<Statement, { type: 'text' | 'print' | 'if' | 'for' }>, frame: Frame): void {
    switch (node.type) {
      case 'setBlock':
        this.assign(node.target, this.#filtered(node.filter, this.#capture(node.body, frame), frame), frame)
        break
      case 'filterBlock':
        this.#print(textual(this.#filtered(node.filter, this.#capture(node.body, frame), frame)), frame)
        break
      case 'macro':
        frame.scope.set(node.name, new MacroFunction(this, node.name, node, frame))
        break
      case 'callBlock':
        this.#callBlock(node, frame)
        break
      case 'block':
        this.#printBlock(node, frame)
        break
      case 'loadBlock':
        frame.scope.set(node.name, loadData(node.format, this.#capture(node.body, frame), this))
        break
      default:
        this.#imports(node, frame)
    }
  }

  /** Statements that use other templates. */
  #imports(node: Statement, frame: Frame): void {
    switch (node.type) {
      case 'include':
        this.#include(node, frame)
        break
      case 'import':
        frame.scope.set(node.name, this.#module(node.template, node.withContext, frame))
        break
      case 'fromImport':
        this.#fromImport(node, frame)
        break
      case 'importData':
        this.#importData(node, frame)
        break
      case 'extends':
        if (frame.page.parent !== null) throw runtimeError('extended multiple times')
        frame.page.parent = this.#source(this.evaluate(node.template, frame), frame)
        break
    }
  }

  #print(value: Value, frame: Frame): void {
    if (value instanceof PyObject) checkPrintable(value, this.budget)
    if (!frame.html || value instanceof Markup || value instanceof RichText) frame.out.value(value)
    else frame.out.value(escapeHtml(str(value, this.budget)))
  }

  #for(node: Statement & { type: 'for' }, frame: Frame): void {
    this.#loop(node, this.evaluate(node.over, frame), frame, 0)
  }

  #loop(node: Statement & { type: 'for' }, over: Value, frame: Frame, depth: number): void {
    this.budget.enter()
    const items = this.#loopItems(node, over, frame)
    const recurse = node.recursive ? (inner: Value, level: number) => this.#recursion(node, inner, frame, level) : null
    const loop = new LoopContext(items, depth, recurse)
    let completed = false
    for (let index = 0; index < items.length; index++) {
      this.budget.step()
      loop.index0 = index
      const scope = new Scope(frame.scope)
      scope.set('loop', loop)
      const pass = { ...frame, scope }
      this.assign(node.target, items[index]!, pass)
      const flow = this.#block(node.body, pass)
      if (flow === BREAK) break
      completed ||= flow === DONE
    }
    // Jinja's `else` is for loops of which no pass reached the end of the body
    if (!completed) this.#block(node.otherwise, { ...frame, scope: new Scope(frame.scope) })
    this.budget.leave()
  }

  #loopItems(node: Statement & { type: 'for' }, over: Value, frame: Frame): Value[] {
    const items = listOf(over, this.budget)
    const { test } = node
    if (test === null) return items
    return items.filter(item => {
      const inner = { ...frame, scope: new Scope(frame.scope) }
      this.assign(node.target, item, inner)
      return truthy(this.evaluate(test, inner))
    })
  }

  #recursion(node: Statement & { type: 'for' }, over: Value, frame: Frame, depth: number): Value {
    const out = frame.out.sibling()
    this.#loop(node, over, { ...frame, out }, depth)
    return out.captured(frame.html)
  }

  #with(node: Statement & { type: 'with' }, frame: Frame): Flow {
    const inner = { ...frame, scope: new Scope(frame.scope) }
    for (const { target, value } of node.assignments) this.assign(target, this.evaluate(value, frame), inner)
    return this.#block(node.body, inner)
  }

  #capture(body: readonly Statement[], frame: Frame): Value {
    const out = frame.out.sibling()
    this.#block(body, { ...frame, out, scope: new Scope(frame.scope) })
    return out.captured(frame.html)
  }

  /** Runs a macro's or call block's body with its arguments set. */
  runBody(body: readonly Statement[], frame: Frame, set: (inner: Frame) => void): Value {
    this.budget.enter()
    const out = frame.out.sibling()
    const inner = { ...frame, out, scope: new Scope(frame.scope) }
    set(inner)
    this.#block(body, inner)
    this.budget.leave()
    return out.captured(frame.html)
  }

  /** A chain of filters over a value; `filter` has no target at its innermost. */
  #filtered(filter: Expression | null, value: Value, frame: Frame): Value {
    if (filter === null) return value
    if (filter.type !== 'filter') return this.evaluate(filter, frame)
    const target = filter.target === null ? value : this.#filtered(filter.target, value, frame)
    return this.#applyFilter(filter.name, target, filter.arguments, frame)
  }

  #callBlock(node: Statement & { type: 'callBlock' }, frame: Frame): void {
    const caller = new MacroFunction(this, null, node, frame)
    const call = node.call as Expression & { type: 'call' }
    const target = this.evaluate(call.target, frame)
    const [args, kwargs] = this.#arguments(call.arguments, frame, caller)
    this.#print(this.call(target, args, kwargs), frame)
  }

  #printBlock(node: Statement & { type: 'block' }, frame: Frame): void {
    // the blocks of a child stand where its parent has them
    if (frame.page.parent !== null) return
    const entries = frame.page.blocks.get(node.name)!
    const scope = node.scoped ? frame.scope : frame.page.root
    this.#runBlock(entries, 0, { ...frame, scope })
  }

  #runBlock(entries: readonly BlockEntry[], level: number, frame: Frame): void {
    const entry = entries[level]
    if (entry === undefined) throw undefinedError(`there is no parent block called '${entries[0]?.block.name ?? ''}'.`)
    if (entry.block.required && level === entries.length - 1) throw runtimeError(`Required block '${entry.block.name}' not found`)
    this.budget.enter()
    const scope = new Scope(frame.scope)
    scope.set('super', new PyFunction('super', () => this.#captureBlock(entries, level + 1, frame)))
    const page = frame.page
    this.#block(entry.block.body, { ...frame, scope, page: entry.file === page.file ? page : new Page(entry.file, page.root, page.blocks) })
    this.budget.leave()
  }

  #captureBlock(entries: readonly BlockEntry[], level: number, frame: Frame): Value {
    const out = frame.out.sibling()
    this.#runBlock(entries, level, { ...frame, out })
    return out.captured(frame.html)
  }

  #blockFunction(name: string, page: Page, out: Output, html: boolean): Value | undefined {
    const entries = page.blocks.get(name)
    if (entries === undefined) return undefined
    return new PyFunction(name, () => this.#captureBlock(entries, 0, { scope: page.root, out, html, page }))
  }

  #include(node: Statement & { type: 'include' }, frame: Frame): void {
    const name = this.evaluate(node.template, frame)
    const source = node.ignoreMissing ? this.#find(name, frame) : this.#source(name, frame)
    if (source === null) return
    const scope = node.withContext ? frame.scope.without('loop') : this.#functions
    this.#template(source, new Scope(scope), frame.out, frame.html)
  }

  #module(template: Expression, withContext: boolean, frame: Frame): Module {
    const source = this.#source(this.evaluate(template, frame), frame)
    const scope = new Scope(withContext ? frame.scope.without('loop') : this.#globals)
    const out = frame.out.sibling()
    this.#template(source, scope, out, frame.html)
    return new Module(source.file, scope, out.captured(frame.html))
  }

  #fromImport(node: Statement & { type: 'fromImport' }, frame: Frame): void {
    const module = this.#module(node.template, node.withContext, frame)
    for (const { name, as } of node.names) {
      const message = `the template '${module.file ?? ''}' (imported on line ${node.line}) does not export the requested name '${name}'`
      frame.scope.set(as, orElse(module.attribute(name), new Undefined(message)))
    }
  }

  #importData(node: Statement & { type: 'importData' }, frame: Frame): void {
    const source = this.#source(this.evaluate(node.template, frame), frame)
    const out = frame.out.sibling()
    this.#template(source, new Scope(node.withContext ? frame.scope.without('loop') : this.#globals), out, false)
    frame.scope.set(node.name, loadData(node.format, out.captured(false), this))
  }

  assign(target: AssignTarget, value: Value, frame: Frame): void {
    if (target.type === 'name') {
      frame.scope.set(target.name, value)
    } else if (target.type === 'namespaceAttribute') {
      const namespace = frame.scope.get(target.name)
      if (!(namespace instanceof Namespace)) throw new TemplateError('syntax', 'cannot assign attribute on non-namespace object')
      namespace.attributes.set(target.attribute, value)
    } else {
      this.#unpack(target.items, value, frame)
    }
  }

  #unpack(targets: readonly AssignTarget[], value: Value, frame: Frame): void {
    const items = listOf(value, this.budget)
    if (items.length < targets.length) throw runtimeError(`not enough values to unpack (expected ${targets.length}, got ${items.length})`)
    if (items.length > targets.length) throw runtimeError(`too many values to unpack (expected ${targets.length})`)
    for (const [index, target] of targets.entries()) this.assign(target, items[index]!, frame)
  }

  // ---- expressions ---------------------------------------------------------------------------------------------------------------------

  evaluate(node: Expression, frame: Frame): Value {
    switch (node.type) {
      case 'constant':
        return node.value
      case 'name':
        return this.#name(node.name, frame)
      case 'attribute':
        return getAttribute(this.evaluate(node.target, frame), node.name, this)
      case 'item':
        return getItem(this.evaluate(node.target, frame), this.evaluate(node.index, frame), this)
      case 'call':
        return this.#call(node, frame)
      case 'filter':
        return this.#applyFilter(node.name, this.evaluate(node.target!, frame), node.arguments, frame)
      case 'test':
        return this.#test(node, frame)
      case 'and': {
        const left = this.evaluate(node.left, frame)
        return truthy(left) ? this.evaluate(node.right, frame) : left
      }
      case 'or': {
        const left = this.evaluate(node.left, frame)
        return truthy(left) ? left : this.evaluate(node.right, frame)
      }
      case 'condition':
        return this.#condition(node, frame)
      case 'compare':
        return this.#compare(node, frame)
      default:
        return this.#operation(node, frame)
    }
  }

  /** Literals and operators. */
  #operation(node: Expression, frame: Frame): Value {
    switch (node.type) {
      case 'unary':
        return this.#unary(node.operator, this.evaluate(node.operand, frame))
      case 'binary':
        return this.#binary(node.operator, this.evaluate(node.left, frame), this.evaluate(node.right, frame))
      case 'concat':
        return concat(
          node.items.map(item => this.evaluate(item, frame)),
          this.budget
        )
      case 'list':
        return new PyList(node.items.map(item => this.evaluate(item, frame)))
      case 'tuple':
        return new PyTuple(node.items.map(item => this.evaluate(item, frame)))
      case 'dict':
        return PyDict.of(node.pairs.map(({ key, value }) => [flat(this.evaluate(key, frame)), this.evaluate(value, frame)] as const))
      case 'slice': {
        const bound = (part: Expression | null) => (part === null ? null : this.evaluate(part, frame))
        return slice(flat(this.evaluate(node.target, frame)), bound(node.start), bound(node.stop), bound(node.step), this.budget)
      }
      default:
        throw new TypeError(`expression of type ${node.type}`)
    }
  }

  #name(name: string, frame: Frame): Value {
    this.#scope = frame.scope
    const value = frame.scope.get(name)
    return value === undefined ? new Undefined(`'${name}' is undefined`) : value
  }

  #condition(node: Expression & { type: 'condition' }, frame: Frame): Value {
    if (truthy(this.evaluate(node.test, frame))) return this.evaluate(node.value, frame)
    if (node.otherwise !== null) return this.evaluate(node.otherwise, frame)
    return new Undefined('the inline if-expression evaluated to false and no else section was defined.', true)
  }

  #unary(operator: '-' | '+' | 'not', operand: Value): Value {
    if (operator === 'not') return !truthy(operand)
    return operator === '-' ? negate(operand) : positive(operand)
  }

  #binary(operator: BinaryOperator, left: Value, right: Value): Value {
    if (operator === '+' && (left instanceof RichText || right instanceof RichText)) {
      if (typeName(left) === 'str' && typeName(right) === 'str') return concat([left, right], this.budget)
    }
    if (left instanceof Markup || right instanceof Markup) {
      const text = markupOperation(operator, left, right, this)
      if (text !== null) return text
    }
    const a = flat(left)
    const b = flat(right)
    switch (operator) {
      case '+':
        return add(a, b, this.budget)
      case '-':
        return subtract(a, b)
      case '*':
        return multiply(a, b, this.budget)
      case '/':
        return divide(a, b)
      case '//':
        return floorDivide(a, b)
      case '%':
        return typeof a === 'string' ? formatPercent(a, b, this.budget) : modulo(a, b)
      default:
        return power(a, b)
    }
  }

  #compare(node: Expression & { type: 'compare' }, frame: Frame): boolean {
    let left = this.evaluate(node.first, frame)
    for (const { operator, operand } of node.rest) {
      const right = this.evaluate(operand, frame)
      if (!this.#holds(operator, left, right)) return false
      left = right
    }
    return true
  }

  #holds(operator: CompareOperator, left: Value, right: Value): boolean {
    switch (operator) {
      case '==':
        return equals(left, right)
      case '!=':
        return !equals(left, right)
      case 'in':
        return contains(right, left, this.budget)
      case 'not in':
        return !contains(right, left, this.budget)
      case '<':
        return compare(left, right, operator) < 0
      case '<=':
        return compare(left, right, operator) <= 0
      case '>':
        return compare(left, right, operator) > 0
      default:
        return compare(left, right, operator) >= 0
    }
  }

  #test(node: Expression & { type: 'test' }, frame: Frame): boolean {
    const value = this.evaluate(node.target, frame)
    const [args, kwargs] = this.#arguments(node.arguments, frame)
    return this.test(node.name, value, args, kwargs) !== node.negated
  }

  #call(node: Expression & { type: 'call' }, frame: Frame): Value {
    this.budget.step()
    const { target } = node
    if (target.type === 'attribute') {
      // the common case, a method, without an object for the bound method
      const receiver = this.evaluate(target.target, frame)
      const self = flat(receiver)
      const method = methodsOf(self)?.get(target.name)
      const [args, kwargs] = this.#arguments(node.arguments, frame)
      if (method !== undefined && receiver instanceof Markup) return markupMethod(target.name, receiver, method, args, kwargs, this)
      return method === undefined ? this.call(getAttribute(self, target.name, this), args, kwargs) : method(self, args, kwargs, this)
    }
    const callee = this.evaluate(target, frame)
    const [args, kwargs] = this.#arguments(node.arguments, frame)
    return this.call(callee, args, kwargs)
  }

  /** `caller`: what a `call` block passes, behind the named arguments and before those of `**`. */
  #arguments(node: Arguments, frame: Frame, caller: Value | null = null): [Value[], Kwargs] {
    const args = node.positional.map(argument => this.evaluate(argument, frame))
    if (node.star !== null) args.push(...listOf(this.evaluate(node.star, frame), this.budget))
    if (node.named.length === 0 && node.doubleStar === null && caller === null) return [args, NO_KWARGS]
    const kwargs: Kwargs = new Map()
    for (const { name, value } of node.named) kwargs.set(name, this.evaluate(value, frame))
    if (caller !== null) kwargs.set('caller', caller)
    if (node.doubleStar !== null) this.#spread(this.evaluate(node.doubleStar, frame), kwargs)
    return [args, kwargs]
  }

  #spread(value: Value, kwargs: Kwargs): void {
    if (!(value instanceof PyDict)) throw runtimeError(`argument after ** must be a mapping, not ${typeName(defined(value))}`)
    for (const [key, item] of value.entries()) {
      if (typeof key !== 'string') throw runtimeError('keywords must be strings')
      kwargs.set(key, item)
    }
  }

  #applyFilter(name: string, value: Value, node: Arguments, frame: Frame): Value {
    const [args, kwargs] = this.#arguments(node, frame)
    return this.filter(name, value, args, kwargs)
  }

  // ---- what filters, tests and methods use -----------------------------------------------------------------------------------------------

  filter(name: string, value: Value, args: Value[], kwargs: Kwargs): Value {
    this.budget.step()
    const filter = filters.get(name) ?? filterNamed(name)
    if (UNDEFINED_FILTERS.has(name)) return filter(value, args, kwargs, this)
    if (value instanceof Undefined && TYPED_FILTERS.has(name)) throw runtimeError(`expected str, not ${typeName(value)}`)
    const present = defined(value) instanceof Undefined ? '' : value
    const input = RICH_FILTERS.has(name) || (present instanceof Markup && MARKUP_FILTERS.has(name)) ? present : flat(present)
    if (typeof input === 'string') this.budget.read(input.length)
    const output = filter(input, args, kwargs, this)
    if (typeof output !== 'string') return output
    this.budget.grow(output.length)
    return value instanceof Markup && MARKED_FILTERS.has(name) ? new Markup(output) : output
  }

  test(name: string, value: Value, args: Value[], kwargs: Kwargs): boolean {
    this.budget.step()
    const test = tests.get(name) ?? testNamed(name)
    if (name === 'escaped') return test(value, args, this, kwargs)
    if (name === 'match' && value instanceof Undefined) throw runtimeError(`expected string or bytes-like object, got '${typeName(value)}'`)
    return test(flat(UNDEFINED_TESTS.has(name) ? value : defined(value)), args.map(flat), this, kwargs)
  }

  call(target: Value, args: Value[], kwargs: Kwargs): Value {
    this.budget.step()
    if (target instanceof PyFunction) return target.call(args, kwargs)
    if (target instanceof LoopContext) return target.recurse(args)
    defined(target)
    throw runtimeError(`'${typeName(target)}' object is not callable`)
  }

  attribute(target: Value, name: string): Value {
    return getAttribute(target, name, this)
  }

  item(target: Value, key: Value): Value {
    return getItem(target, key, this)
  }
}

/** `self`: the template's blocks as functions. */
class SelfReference extends PyRecord {
  readonly typeName = 'TemplateReference'
  readonly #block: (name: string) => Value | undefined
  constructor(block: (name: string) => Value | undefined) {
    super()
    this.#block = block
  }
  attribute(name: string): Value | undefined {
    return this.#block(name)
  }
}

/** An imported template: the names it set at its top. Printed, it is what it printed. */
class Module extends PyModule {
  constructor(
    readonly file: string | undefined,
    readonly scope: Scope,
    text: Value
  ) {
    super(text)
  }
  attribute(name: string): Value | undefined {
    return name.startsWith('_') || name === 'self' ? undefined : this.scope.own().get(name)
  }
}

/** The body of a `filter` block stays a text: a filter that makes something else of it (`length`) has no place there. */
function textual(value: Value): Value {
  if (typeName(value) === 'str' || typeName(value) === 'Markup') return value
  throw runtimeError(`sequence item 0: expected str instance, ${typeName(value)} found`)
}

/**
 * Jinja's grammar on nunjucks' parser: its token handling stays, the productions are Jinja's (Python's precedence, slices, tests with arguments,
 * tuples, `do`, `set` blocks, namespaces, `break`, Salt's `load_yaml` and `import_yaml` …). The result is the tree of nodes.ts; nunjucks'
 * compiler is not used.
 */
import lexer, { type Token } from 'nunjucks/src/lexer.js'
import parser from 'nunjucks/src/parser.js'
import { floatOf, integerOf } from '../../shared/numbers.js'
import { TemplateError } from './errors.js'
import { JinjaLexer } from './lexer.js'
import type {
  Arguments,
  AssignTarget,
  BinaryOperator,
  CompareOperator,
  DataFormat,
  Expression,
  MacroUses,
  Parameter,
  Place,
  Statement,
  Template
} from './nodes.js'

const { TOKEN_SYMBOL: NAME, TOKEN_OPERATOR: OPERATOR, TOKEN_COMMA: COMMA, TOKEN_LEFT_PAREN: LEFT_PAREN } = lexer
const { TOKEN_BLOCK_END: BLOCK_END, TOKEN_VARIABLE_END: VARIABLE_END, TOKEN_RIGHT_PAREN: RIGHT_PAREN } = lexer

/** Nesting of expressions and blocks that a template may have; deeper ones would exhaust the stack. */
const MAX_NESTING = 200
/** Characters of a template: files of people are thousandfold smaller. */
const MAX_SOURCE = 1024 * 1024

/** Parses a template; throws TemplateError of kind `syntax` with line and column. A last newline is dropped, as in Jinja. */
export function parseTemplate(source: string): Template {
  if (source.length > MAX_SOURCE) throw new TemplateError('limit', `a template has more than ${MAX_SOURCE} characters`)
  const text = source.replace(/\r\n?/g, '\n').replace(/\n$/, '')
  return new JinjaParser(new JinjaLexer(text)).template()
}

/** Parses a single expression (`data.x > 3`), for conditions and grouping keys. */
export function parseExpressionText(source: string): Expression {
  if (source.length > MAX_SOURCE) throw new TemplateError('limit', `an expression has more than ${MAX_SOURCE} characters`)
  return new JinjaParser(new JinjaLexer(`{{ ${source.replace(/\r\n?/g, '\n')} }}`)).lone()
}

const PRINT_NAMES: Record<string, string> = {
  [BLOCK_END]: 'end of statement block',
  [VARIABLE_END]: 'end of print statement',
  [NAME]: 'name',
  [COMMA]: ',',
  [lexer.TOKEN_STRING]: 'string',
  [lexer.TOKEN_INT]: 'integer',
  [lexer.TOKEN_COLON]: ':',
  [lexer.TOKEN_LEFT_PAREN]: '(',
  [RIGHT_PAREN]: ')',
  [lexer.TOKEN_RIGHT_BRACKET]: ']',
  [lexer.TOKEN_RIGHT_CURLY]: '}'
}

function describe(token: Token | null): string {
  if (token === null) return 'end of template'
  if (token.type === BLOCK_END || token.type === VARIABLE_END || token.type === lexer.TOKEN_DATA) return PRINT_NAMES[token.type] ?? 'text'
  return token.value
}

type EndTest = (token: Token) => boolean
const NO_END: EndTest = () => false

class JinjaParser extends parser.Parser {
  readonly #blocks = new Map<string, Statement & { type: 'block' }>()
  /** Names of the tags that would end each open block, and the block's own name, innermost last (for messages). */
  readonly #awaited: { block: string; ends: string[] }[] = []
  #nesting = 0
  #loops = 0
  readonly #uses: { varargs: boolean; kwargs: boolean; caller: boolean }[] = []

  template(): Template {
    const body = this.#statements([])
    return { body, blocks: this.#blocks }
  }

  lone(): Expression {
    this.nextToken()
    const expression = this.#tuple({})
    this.#expect(VARIABLE_END)
    if (this.peekToken() !== null) this.#fail('chunk after expression')
    return expression
  }

  // ---- tokens --------------------------------------------------------------------------------------------------------------------------

  #here(token: Token | null = this.peekToken()): Place {
    return token === null
      ? { line: this.tokens.lineno + 1, column: this.tokens.colno + 1 }
      : { line: token.lineno + 1, column: token.colno + 1 }
  }

  #fail(message: string, place: Place = this.#here()): never {
    throw new TemplateError('syntax', message, place)
  }

  #is(type: string, value?: string): boolean {
    const token = this.peekToken()
    return token !== null && token.type === type && (value === undefined || token.value === value)
  }

  #isName(...names: string[]): boolean {
    const token = this.peekToken()
    return token !== null && token.type === NAME && names.includes(token.value)
  }

  #take(): Token {
    return this.nextToken() ?? this.#fail(`unexpected 'end of template'`)
  }

  #skip(type: string, value: string): boolean {
    if (!this.#is(type, value)) return false
    this.nextToken()
    return true
  }

  #skipName(name: string): boolean {
    return this.#skip(NAME, name)
  }

  #expect(type: string, value?: string): Token {
    const token = this.peekToken()
    if (token !== null && token.type === type && (value === undefined || token.value === value)) return this.#take()
    const wanted = value ?? PRINT_NAMES[type] ?? type
    if (token === null) this.#fail(`unexpected end of template, expected '${wanted}'.`)
    return this.#fail(`expected token '${wanted}', got '${describe(token)}'`)
  }

  #nested<T>(parse: () => T): T {
    if (++this.#nesting > MAX_NESTING) throw new TemplateError('limit', `nested deeper than ${MAX_NESTING}`, this.#here())
    try {
      return parse()
    } finally {
      this.#nesting--
    }
  }

  // ---- statements ----------------------------------------------------------------------------------------------------------------------

  /** Statements up to one of the tags `ends` (left to be read), or to the end of the template when there are none. */
  #statements(ends: string[], block = ''): Statement[] {
    return this.#nested(() => {
      this.#awaited.push({ block, ends })
      const body: Statement[] = []
      while (this.#statement(body, ends)) {}
      this.#awaited.pop()
      return body
    })
  }

  /** Reads one piece; false at an end tag (after `{%`) or at the end of the template. */
  #statement(body: Statement[], ends: string[]): boolean {
    const token = this.nextToken()
    if (token === null) {
      if (ends.length > 0) this.#failEnd()
      return false
    }
    const place = this.#here(token)
    if (token.type === lexer.TOKEN_DATA) {
      if (token.value !== '') body.push({ type: 'text', text: token.value, ...place })
    } else if (token.type === lexer.TOKEN_VARIABLE_START) {
      body.push({ type: 'print', value: this.#tuple({}), ...place })
      this.#expect(VARIABLE_END)
    } else if (token.type === lexer.TOKEN_BLOCK_START) {
      if (this.#isName(...ends)) return false
      body.push(...this.#tag(place))
    }
    return true
  }

  #failEnd(): never {
    const { block, ends } = this.#awaited.at(-1)!
    const wanted = ends.map(end => `'${end}'`).join(' or ')
    const text = `Unexpected end of template. Jinja was looking for the following tags: ${wanted}. The innermost block that needs to be closed is '${block}'.`
    return this.#fail(text)
  }

  /** A body, its end tag included. */
  #body(block: string, end = `end${block}`): Statement[] {
    this.#expect(BLOCK_END)
    const body = this.#statements([end], block)
    this.nextToken()
    return body
  }

  #tag(place: Place): Statement[] {
    const token = this.#expectTagName()
    const statement = this.#tagNamed(token.value, place)
    this.#expect(BLOCK_END)
    return statement
  }

  #expectTagName(): Token {
    const token = this.peekToken()
    if (token === null || token.type !== NAME) this.#fail('tag name expected')
    return this.#take()
  }

  #tagNamed(name: string, place: Place): Statement[] {
    switch (name) {
      case 'if':
        return [this.#if(place)]
      case 'for':
        return [this.#for(place)]
      case 'set':
        return [this.#set(place)]
      case 'macro':
        return [this.#macro(place)]
      case 'call':
        return [this.#call(place)]
      case 'filter':
        return [{ type: 'filterBlock', filter: this.#filterStart(), body: this.#body('filter'), ...place }]
      case 'with':
        return [this.#with(place)]
      case 'do':
        return [{ type: 'do', value: this.#tuple({}), ...place }]
      case 'print':
        return this.#print(place)
      case 'break':
      case 'continue':
        if (this.#loops === 0) this.#fail(`'${name}' outside loop`, place)
        return [{ type: name, ...place }]
      case 'autoescape':
        return [{ type: 'autoescape', value: this.#expression(), body: this.#body('autoescape'), ...place }]
      default:
        return [this.#templateTag(name, place)]
    }
  }

  /** Tags that have to do with other templates or with data. */
  #templateTag(name: string, place: Place): Statement {
    switch (name) {
      case 'include':
        return this.#include(place)
      case 'import':
        return this.#import(place)
      case 'from':
        return this.#fromImport(place)
      case 'extends':
        return { type: 'extends', template: this.#expression(), ...place }
      case 'block':
        return this.#block(place)
      case 'import_yaml':
      case 'import_json':
      case 'import_text':
        return this.#importData(name.slice(7) as DataFormat, place)
      case 'load_yaml':
      case 'load_json':
      case 'load_text':
        this.#expect(NAME, 'as')
        return {
          type: 'loadBlock',
          format: name.slice(5) as DataFormat,
          name: this.#expect(NAME).value,
          body: this.#body('load'),
          ...place
        }
      case 'profile':
        this.#expect(NAME, 'as')
        this.#expression()
        return { type: 'profile', body: this.#body('profile'), ...place }
      default:
        return this.#unknownTag(name, place)
    }
  }

  #unknownTag(name: string, place: Place): never {
    const awaited = this.#awaited.at(-1)!
    if (awaited.ends.length === 0) this.#fail(`Encountered unknown tag '${name}'.`, place)
    const wanted = awaited.ends.map(end => `'${end}'`).join(' or ')
    return this.#fail(
      `Encountered unknown tag '${name}'. Jinja was looking for the following tags: ${wanted}. The innermost block that needs to be closed is '${awaited.block}'.`,
      place
    )
  }

  #if(place: Place): Statement {
    const test = this.#tuple({ condition: false })
    this.#expect(BLOCK_END)
    const body = this.#statements(['elif', 'else', 'endif'], 'if')
    const next = this.#take()
    if (next.value === 'elif') return { type: 'if', test, body, otherwise: [this.#if(this.#here(next))], ...place }
    if (next.value === 'endif') return { type: 'if', test, body, otherwise: [], ...place }
    this.#expect(BLOCK_END)
    const otherwise = this.#statements(['endif'], 'if')
    this.nextToken()
    return { type: 'if', test, body, otherwise, ...place }
  }

  #for(place: Place): Statement {
    const target = this.#assignTarget(token => token.type === NAME && token.value === 'in')
    if (targetNames(target).includes('loop')) this.#fail("Can't assign to special loop variable in for-loop target", place)
    this.#expect(NAME, 'in')
    const over = this.#tuple({ condition: false, ends: token => token.type === NAME && token.value === 'recursive' })
    const test = this.#skipName('if') ? this.#expression() : null
    const recursive = this.#skipName('recursive')
    this.#expect(BLOCK_END)
    this.#loops++
    const body = this.#statements(['endfor', 'else'], 'for')
    this.#loops--
    let otherwise: Statement[] = []
    if (this.#take().value === 'else') {
      this.#expect(BLOCK_END)
      otherwise = this.#statements(['endfor'], 'for')
      this.nextToken()
    }
    return { type: 'for', target, over, test, recursive, body, otherwise, ...place }
  }

  #set(place: Place): Statement {
    const target = this.#assignTarget(NO_END, true)
    if (this.#skip(OPERATOR, '=')) return { type: 'set', target, value: this.#tuple({}), ...place }
    const filter = this.#is(lexer.TOKEN_PIPE) ? this.#filters(null) : null
    return { type: 'setBlock', target, filter, body: this.#body('set'), ...place }
  }

  #macro(place: Place): Statement {
    const name = this.#targetName().name
    const parameters = this.#signature()
    const { body, uses } = this.#macroBody('macro')
    return { type: 'macro', name, parameters, body, uses, ...place }
  }

  #call(place: Place): Statement {
    const parameters = this.#is(LEFT_PAREN) ? this.#signature() : []
    const call = this.#expression()
    if (call.type !== 'call') this.#fail('expected call', call)
    const { body, uses } = this.#macroBody('call')
    return { type: 'callBlock', call, parameters, body, uses, ...place }
  }

  #macroBody(block: string): { body: Statement[]; uses: MacroUses } {
    const loops = this.#loops
    this.#loops = 0
    this.#uses.push({ varargs: false, kwargs: false, caller: false })
    const body = this.#body(block)
    this.#loops = loops
    return { body, uses: this.#uses.pop()! }
  }

  #signature(): Parameter[] {
    const parameters: Parameter[] = []
    this.#expect(LEFT_PAREN)
    while (!this.#is(RIGHT_PAREN)) {
      if (parameters.length > 0) this.#expect(COMMA)
      const { name } = this.#targetName()
      const value = this.#skip(OPERATOR, '=') ? this.#expression() : null
      if (value === null && parameters.at(-1)?.default) this.#fail('non-default argument follows default argument')
      parameters.push({ name, default: value })
    }
    this.nextToken()
    return parameters
  }

  #with(place: Place): Statement {
    const assignments: { target: AssignTarget; value: Expression }[] = []
    while (!this.#is(BLOCK_END)) {
      if (assignments.length > 0) this.#expect(COMMA)
      const target = this.#assignTarget(NO_END)
      this.#expect(OPERATOR, '=')
      assignments.push({ target, value: this.#expression() })
    }
    return { type: 'with', assignments, body: this.#body('with'), ...place }
  }

  #print(place: Place): Statement[] {
    const printed: Statement[] = []
    while (!this.#is(BLOCK_END)) {
      if (printed.length > 0) this.#expect(COMMA)
      printed.push({ type: 'print', value: this.#expression(), ...place })
    }
    return printed
  }

  #include(place: Place): Statement {
    const template = this.#expression()
    const ignoreMissing = this.#isName('ignore')
    if (ignoreMissing) {
      this.nextToken()
      this.#expect(NAME, 'missing')
    }
    return { type: 'include', template, ignoreMissing, withContext: this.#context() ?? true, ...place }
  }

  #context(): boolean | null {
    if (!this.#isName('with', 'without')) return null
    const withContext = this.#take().value === 'with'
    this.#expect(NAME, 'context')
    return withContext
  }

  #import(place: Place): Statement {
    const template = this.#expression()
    this.#expect(NAME, 'as')
    const { name } = this.#targetName()
    return { type: 'import', template, name, withContext: this.#context() ?? false, ...place }
  }

  #fromImport(place: Place): Statement {
    const template = this.#expression()
    this.#expect(NAME, 'import')
    const names: { name: string; as: string }[] = []
    let withContext: boolean | null = null
    while (!this.#is(BLOCK_END)) {
      withContext = this.#isContext(names.length) ? this.#context() : null
      if (withContext !== null) break
      if (names.length > 0) {
        this.#expect(COMMA)
        if (this.#is(BLOCK_END) || this.#isContext(1)) continue
      }
      const { name } = this.#targetName()
      if (name.startsWith('_')) this.#fail('names starting with an underline can not be imported')
      names.push({ name, as: this.#skipName('as') ? this.#targetName().name : name })
    }
    if (names.length === 0) this.#expect(NAME)
    return { type: 'fromImport', template, names, withContext: withContext ?? false, ...place }
  }

  #isContext(names: number): boolean {
    return names > 0 && this.#isName('with', 'without')
  }

  #importData(format: DataFormat, place: Place): Statement {
    const template = this.#expression()
    this.#expect(NAME, 'as')
    const { name } = this.#targetName()
    return { type: 'importData', format, template, name, withContext: this.#context() === true, ...place }
  }

  #block(place: Place): Statement {
    const name = this.#expect(NAME).value
    const scoped = this.#skipName('scoped')
    const required = this.#skipName('required')
    this.#expect(BLOCK_END)
    const body = this.#statements(['endblock'], 'block')
    this.nextToken()
    this.#skipName(name)
    const block = { type: 'block', name, body, scoped, required, ...place } as const
    if (this.#blocks.has(name)) this.#fail(`block '${name}' defined twice`, place)
    this.#blocks.set(name, block)
    return block
  }

  // ---- assignment targets --------------------------------------------------------------------------------------------------------------

  #targetName(): Place & { type: 'name'; name: string } {
    const token = this.#expect(NAME)
    if (/^(?:true|false|none|True|False|None)$/.test(token.value)) this.#fail(`can't assign to '${token.value}'`, this.#here(token))
    return { type: 'name', name: token.value, ...this.#here(token) }
  }

  #assignTarget(ends: EndTest, namespaces = false): AssignTarget {
    const place = this.#here()
    const items: AssignTarget[] = []
    let several = false
    for (;;) {
      const token = this.peekToken()
      if (items.length > 0 && (token === null || ends(token) || this.#is(BLOCK_END))) break
      if (items.length > 0 && this.#is(OPERATOR, '=')) this.#fail("unexpected '='")
      items.push(this.#oneTarget(namespaces))
      if (!this.#skip(COMMA, ',')) break
      several = true
    }
    return several ? { type: 'targets', items, ...place } : items[0]!
  }

  #oneTarget(namespaces: boolean): AssignTarget {
    if (this.#is(LEFT_PAREN)) {
      this.nextToken()
      const target = this.#assignTarget(token => token.type === RIGHT_PAREN)
      this.#expect(RIGHT_PAREN)
      return target
    }
    if (!this.#is(NAME)) this.#failExpression()
    const name = this.#targetName()
    if (namespaces && this.#skip(OPERATOR, '.')) {
      return { type: 'namespaceAttribute', name: name.name, attribute: this.#expect(NAME).value, line: name.line, column: name.column }
    }
    return name
  }

  #failExpression(): never {
    return this.#fail(`Expected an expression, got '${describe(this.peekToken())}'`)
  }

  // ---- expressions ---------------------------------------------------------------------------------------------------------------------

  #tuple(options: { condition?: boolean; ends?: EndTest; parentheses?: boolean }): Expression {
    const place = this.#here()
    const items: Expression[] = []
    let several = false
    for (;;) {
      if (items.length > 0) this.#expect(COMMA)
      if (this.#isTupleEnd(options.ends ?? NO_END)) break
      items.push(options.condition === false ? this.#or() : this.#expression())
      if (!this.#is(COMMA)) break
      several = true
    }
    if (!several) {
      if (items.length > 0) return items[0]!
      if (!options.parentheses) this.#failExpression()
    }
    return { type: 'tuple', items, ...place }
  }

  #isTupleEnd(ends: EndTest): boolean {
    const token = this.peekToken()
    if (token === null) return false
    return token.type === VARIABLE_END || token.type === BLOCK_END || token.type === RIGHT_PAREN || ends(token)
  }

  #expression(): Expression {
    return this.#nested(() => {
      const place = this.#here()
      let node = this.#or()
      while (this.#skipName('if')) {
        const test = this.#or()
        const otherwise = this.#skipName('else') ? this.#expression() : null
        node = { type: 'condition', test, value: node, otherwise, ...place }
      }
      return node
    })
  }

  #or(): Expression {
    const place = this.#here()
    let left = this.#and()
    while (this.#skipName('or')) left = { type: 'or', left, right: this.#and(), ...place }
    return left
  }

  #and(): Expression {
    const place = this.#here()
    let left = this.#not()
    while (this.#skipName('and')) left = { type: 'and', left, right: this.#not(), ...place }
    return left
  }

  #not(): Expression {
    const place = this.#here()
    if (this.#skipName('not')) return this.#nested(() => ({ type: 'unary', operator: 'not', operand: this.#not(), ...place }) as const)
    return this.#compare()
  }

  #compare(): Expression {
    const place = this.#here()
    const first = this.#sum()
    const rest: { operator: CompareOperator; operand: Expression }[] = []
    for (let operator = this.#compareOperator(); operator !== null; operator = this.#compareOperator()) {
      rest.push({ operator, operand: this.#sum() })
    }
    return rest.length === 0 ? first : { type: 'compare', first, rest, ...place }
  }

  #compareOperator(): CompareOperator | null {
    const token = this.peekToken()
    if (token === null) return null
    if (token.type === OPERATOR && /^(?:==|!=|<=?|>=?)$/.test(token.value)) return this.#take().value as CompareOperator
    if (this.#skipName('in')) return 'in'
    // only `not in` can follow an operand; anything else after `not` is a mistake that the caller reports
    if (!this.#isName('not')) return null
    const not = this.#take()
    if (this.#skipName('in')) return 'not in'
    return this.#fail(`expected token 'end of statement block', got '${not.value}'`, this.#here(not))
  }

  #binary(operators: string[], operand: () => Expression): Expression {
    const place = this.#here()
    let left = operand()
    for (;;) {
      const token = this.peekToken()
      if (token === null || token.type !== OPERATOR || !operators.includes(token.value)) return left
      this.nextToken()
      left = { type: 'binary', operator: token.value as BinaryOperator, left, right: operand(), ...place }
    }
  }

  #sum(): Expression {
    return this.#binary(['+', '-'], () => this.#concat())
  }

  #concat(): Expression {
    const place = this.#here()
    const items = [this.#product()]
    while (this.#skip(lexer.TOKEN_TILDE, '~')) items.push(this.#product())
    return items.length === 1 ? items[0]! : { type: 'concat', items, ...place }
  }

  #product(): Expression {
    return this.#binary(['*', '/', '//', '%'], () => this.#power())
  }

  #power(): Expression {
    return this.#binary(['**'], () => this.#unary(true))
  }

  #unary(withFilter: boolean): Expression {
    const place = this.#here()
    const sign = this.#skip(OPERATOR, '-') ? '-' : this.#skip(OPERATOR, '+') ? '+' : null
    const node: Expression =
      sign === null
        ? this.#primary()
        : this.#nested(() => ({ type: 'unary', operator: sign, operand: this.#unary(false), ...place }) as const)
    const postfixed = this.#postfix(node)
    return withFilter ? this.#filtersAndTests(postfixed) : postfixed
  }

  #primary(): Expression {
    const token = this.peekToken()
    if (token === null) this.#fail(`unexpected 'end of template'`)
    const place = this.#here(token)
    switch (token.type) {
      case NAME:
        return this.#nameOrConstant(this.#take().value, place)
      case lexer.TOKEN_STRING:
        return { type: 'constant', value: this.#strings(), ...place }
      case lexer.TOKEN_INT:
        return { type: 'constant', value: integerOf(BigInt(this.#take().value.toLowerCase())), ...place }
      case lexer.TOKEN_FLOAT:
        return { type: 'constant', value: floatOf(Number(this.#take().value)), ...place }
      case LEFT_PAREN:
        return this.#parenthesized()
      case lexer.TOKEN_LEFT_BRACKET:
        return this.#nested(() => this.#list(place))
      case lexer.TOKEN_LEFT_CURLY:
        return this.#nested(() => this.#dict(place))
      default:
        return this.#fail(`unexpected '${describe(token)}'`)
    }
  }

  #nameOrConstant(name: string, place: Place): Expression {
    if (name === 'true' || name === 'True') return { type: 'constant', value: true, ...place }
    if (name === 'false' || name === 'False') return { type: 'constant', value: false, ...place }
    if (name === 'none' || name === 'None') return { type: 'constant', value: null, ...place }
    if (name === 'varargs' || name === 'kwargs' || name === 'caller') for (const uses of this.#uses) uses[name] = true
    return { type: 'name', name, ...place }
  }

  #strings(): string {
    let text = ''
    while (this.#is(lexer.TOKEN_STRING)) text += this.#take().value
    return text
  }

  #parenthesized(): Expression {
    this.nextToken()
    const inner = this.#nested(() => this.#tuple({ parentheses: true }))
    this.#expect(RIGHT_PAREN)
    return inner
  }

  #list(place: Place): Expression {
    this.nextToken()
    const items: Expression[] = []
    while (!this.#is(lexer.TOKEN_RIGHT_BRACKET)) {
      if (items.length > 0) this.#expect(COMMA)
      if (this.#is(lexer.TOKEN_RIGHT_BRACKET)) break
      items.push(this.#expression())
    }
    this.#expect(lexer.TOKEN_RIGHT_BRACKET)
    return { type: 'list', items, ...place }
  }

  #dict(place: Place): Expression {
    this.nextToken()
    const pairs: { key: Expression; value: Expression }[] = []
    while (!this.#is(lexer.TOKEN_RIGHT_CURLY)) {
      if (pairs.length > 0) this.#expect(COMMA)
      if (this.#is(lexer.TOKEN_RIGHT_CURLY)) break
      const key = this.#expression()
      this.#expect(lexer.TOKEN_COLON)
      pairs.push({ key, value: this.#expression() })
    }
    this.#expect(lexer.TOKEN_RIGHT_CURLY)
    return { type: 'dict', pairs, ...place }
  }

  #postfix(start: Expression): Expression {
    let node = start
    for (;;) {
      if (this.#is(OPERATOR, '.')) node = this.#attribute(node)
      else if (this.#is(lexer.TOKEN_LEFT_BRACKET)) node = this.#nested(() => this.#subscript(node))
      else if (this.#is(LEFT_PAREN))
        node = { type: 'call', target: node, arguments: this.#arguments(), line: node.line, column: node.column }
      else return node
    }
  }

  #filtersAndTests(start: Expression): Expression {
    let node = start
    for (;;) {
      if (this.#is(lexer.TOKEN_PIPE)) node = this.#filters(node)!
      else if (this.#isName('is')) node = this.#test(node)
      else if (this.#is(LEFT_PAREN))
        node = { type: 'call', target: node, arguments: this.#arguments(), line: node.line, column: node.column }
      else return node
    }
  }

  #attribute(target: Expression): Expression {
    const place = this.#here()
    this.nextToken()
    const token = this.#take()
    if (token.type === NAME) return { type: 'attribute', target, name: token.value, ...place }
    if (token.type !== lexer.TOKEN_INT) this.#fail('expected name or number', this.#here(token))
    return { type: 'item', target, index: { type: 'constant', value: Number(token.value), ...place }, ...place }
  }

  #subscript(target: Expression): Expression {
    const place = this.#here()
    this.nextToken()
    const items: Expression[] = []
    while (!this.#is(lexer.TOKEN_RIGHT_BRACKET)) {
      if (items.length > 0) this.#expect(COMMA)
      items.push(this.#subscribed(target))
    }
    this.nextToken()
    if (items.length === 1 && items[0]!.type === 'slice') return items[0]!
    const index: Expression = items.length === 1 ? items[0]! : { type: 'tuple', items, ...place }
    return { type: 'item', target, index, ...place }
  }

  #subscribed(target: Expression): Expression {
    const place = this.#here()
    const bound = (): Expression | null => {
      const empty = this.#is(lexer.TOKEN_COLON) || this.#is(lexer.TOKEN_RIGHT_BRACKET) || this.#is(COMMA)
      return empty ? null : this.#expression()
    }
    const start = bound()
    if (!this.#skip(lexer.TOKEN_COLON, ':')) return start ?? this.#failExpression()
    const stop = bound()
    const step = this.#skip(lexer.TOKEN_COLON, ':') ? bound() : null
    return { type: 'slice', target, start, stop, step, ...place }
  }

  #arguments(): Arguments {
    return this.#nested(() => {
      this.#expect(LEFT_PAREN)
      const args: {
        positional: Expression[]
        named: { name: string; value: Expression }[]
        star: Expression | null
        doubleStar: Expression | null
      } = { positional: [], named: [], star: null, doubleStar: null }
      for (let first = true; !this.#is(RIGHT_PAREN); first = false) {
        if (!first) this.#expect(COMMA)
        if (this.#is(RIGHT_PAREN)) break
        this.#argument(args)
      }
      this.nextToken()
      return args
    })
  }

  #argument(args: {
    positional: Expression[]
    named: { name: string; value: Expression }[]
    star: Expression | null
    doubleStar: Expression | null
  }): void {
    const invalid = 'invalid syntax for function call expression'
    if (this.#skip(OPERATOR, '*')) {
      if (args.star !== null || args.doubleStar !== null) this.#fail(invalid)
      args.star = this.#expression()
    } else if (this.#skip(OPERATOR, '**')) {
      if (args.doubleStar !== null) this.#fail(invalid)
      args.doubleStar = this.#expression()
    } else {
      const value = this.#expression()
      if (value.type === 'name' && this.#skip(OPERATOR, '=')) args.named.push({ name: value.name, value: this.#expression() })
      else if (args.named.length > 0 || args.star !== null || args.doubleStar !== null) this.#fail(invalid, value)
      else args.positional.push(value)
    }
  }

  #filterStart(): Expression {
    return this.#oneFilter(null, this.#here(), true)
  }

  #filters(start: Expression | null): Expression | null {
    let node = start
    while (this.#is(lexer.TOKEN_PIPE)) {
      const place = this.#here()
      this.nextToken()
      node = this.#oneFilter(node, place, false)
    }
    return node
  }

  #oneFilter(target: Expression | null, place: Place, chain: boolean): Expression {
    const name = this.#dotted()
    const args = this.#is(LEFT_PAREN) ? this.#arguments() : NO_ARGUMENTS
    const node: Expression = { type: 'filter', name, target, arguments: args, ...place }
    return chain && this.#is(lexer.TOKEN_PIPE) ? this.#filters(node)! : node
  }

  #dotted(): string {
    let name = this.#expect(NAME).value
    while (this.#skip(OPERATOR, '.')) name += `.${this.#expect(NAME).value}`
    return name
  }

  #test(target: Expression): Expression {
    const place = this.#here()
    this.nextToken()
    const negated = this.#skipName('not')
    const name = this.#dotted()
    if (this.#is(LEFT_PAREN)) return { type: 'test', name, target, arguments: this.#arguments(), negated, ...place }
    if (!this.#startsTestArgument()) return { type: 'test', name, target, arguments: NO_ARGUMENTS, negated, ...place }
    if (this.#isName('is')) this.#fail('You cannot chain multiple tests with is')
    const argument = this.#postfix(this.#primary())
    return { type: 'test', name, target, arguments: { ...NO_ARGUMENTS, positional: [argument] }, negated, ...place }
  }

  /** Whether what follows can be the one argument of a test without parentheses: `is divisibleby 3`. */
  #startsTestArgument(): boolean {
    const token = this.peekToken()
    if (token === null) return false
    if (token.type === NAME) return !['else', 'or', 'and'].includes(token.value)
    return [lexer.TOKEN_STRING, lexer.TOKEN_INT, lexer.TOKEN_FLOAT, lexer.TOKEN_LEFT_BRACKET, lexer.TOKEN_LEFT_CURLY].includes(token.type)
  }
}

function targetNames(target: AssignTarget): string[] {
  return target.type === 'targets' ? target.items.flatMap(targetNames) : [target.name]
}

const NO_ARGUMENTS: Arguments = { positional: [], named: [], star: null, doubleStar: null }

/**
 * Jinja's tokens on nunjucks' tokenizer: its cursor and token types stay, the rules are Jinja's where they differ (white space control of every
 * kind, raw blocks, numbers with `_` and exponents, Python's string escapes, braces of dicts before `}}`).
 */
import lexer, { type Token, type Tokenizer as TokenizerType } from 'nunjucks/src/lexer.js'
import { TemplateError } from './errors.js'

/** nunjucks exports its tokenizer only through a factory. */
const Tokenizer = lexer.lex('').constructor as typeof TokenizerType

const FLOAT = /(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy
const INTEGER = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy
const NAME = /[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*/uy
const STRING = /'[^'\\]*(?:\\[\s\S][^'\\]*)*'|"[^"\\]*(?:\\[\s\S][^"\\]*)*"/y
const SPACE = /[\s\x1c-\x1f\x85]+/y
const OPERATOR = /\*\*|\/\/|==|!=|>=|<=|[+\-/*%~[\](){}<>=.:|,;]/y
const RAW = /\{%[-+]?\s*raw\s*(-%\}\s*|%\})/y
const END_RAW = /\{%([-+]?)\s*endraw\s*(\+%\}|-%\}\s*|%\})/g
const START = /\{[{%#]/g
const CLOSE = { '(': ')', '[': ']', '{': '}' } as const

const OPERATOR_TYPES: Record<string, string> = {
  '(': lexer.TOKEN_LEFT_PAREN,
  ')': lexer.TOKEN_RIGHT_PAREN,
  '[': lexer.TOKEN_LEFT_BRACKET,
  ']': lexer.TOKEN_RIGHT_BRACKET,
  '{': lexer.TOKEN_LEFT_CURLY,
  '}': lexer.TOKEN_RIGHT_CURLY,
  ',': lexer.TOKEN_COMMA,
  ':': lexer.TOKEN_COLON,
  '~': lexer.TOKEN_TILDE,
  '|': lexer.TOKEN_PIPE
}

export class JinjaLexer extends Tokenizer {
  /** Brackets that are open inside the current tag. */
  #open: string[] = []
  /** What ends the current tag: `}}` or `%}`. */
  #end = ''
  #lineStart = 0

  override nextToken(): Token | null {
    return this.in_code ? this.#code() : this.#data()
  }

  #token(type: string, value: string, length: number): Token {
    const token = { type, value, lineno: this.lineno, colno: this.colno }
    this.#advance(length)
    return token
  }

  /** Moves on and keeps line and column, without a step per character. */
  #advance(length: number): void {
    const end = this.index + length
    for (let newline = this.str.indexOf('\n', this.index); newline >= 0 && newline < end; newline = this.str.indexOf('\n', newline + 1)) {
      this.lineno++
      this.#lineStart = newline + 1
    }
    this.index = end
    this.colno = end - this.#lineStart
  }

  #fail(message: string): never {
    throw new TemplateError('syntax', message, { line: this.lineno + 1, column: this.colno + 1 })
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.index
    return pattern.exec(this.str)
  }

  #data(): Token | null {
    if (this.isFinished()) return null
    const raw = this.#match(RAW)
    if (raw !== null) return this.#raw(raw)
    if (this._matches('{#')) {
      this.#comment()
      return this.nextToken()
    }
    if (this._matches('{{') || this._matches('{%')) return this.#tagStart()
    START.lastIndex = this.index
    const start = START.exec(this.str)?.index ?? this.len
    const stripped = /^-/.test(this.str.slice(start + 2, start + 3)) && start < this.len
    const text = this.str.slice(this.index, start)
    return this.#token(lexer.TOKEN_DATA, stripped ? trimEnd(text) : text, text.length)
  }

  #raw(start: RegExpExecArray): Token {
    const strip = start[1]!.startsWith('-')
    this.#advance(start[0].length)
    END_RAW.lastIndex = this.index
    const end = END_RAW.exec(this.str)
    if (end === null) this.#fail('Missing end of raw directive')
    const text = this.str.slice(this.index, end.index)
    const length = end.index + end[0].length - this.index
    const trimmed = end[1] === '-' ? trimEnd(text) : text
    return this.#token(lexer.TOKEN_DATA, strip ? trimmed.trimStart() : trimmed, length)
  }

  #comment(): void {
    const end = this.str.indexOf('#}', this.index + 2)
    if (end < 0) this.#fail('Missing end of comment tag')
    // in `{#-#}` the sign belongs to the start
    const strip = this.str[end - 1] === '-' && end - 1 > this.index + 2
    this.#advance(end + 2 - this.index)
    if (strip) this.#skipSpace()
  }

  #skipSpace(): void {
    const space = this.#match(SPACE)
    if (space !== null) this.#advance(space[0].length)
  }

  #tagStart(): Token {
    const block = this.str[this.index + 1] === '%'
    const control = this.str[this.index + 2]
    this.in_code = true
    this.#open = []
    this.#end = block ? '%}' : '}}'
    const type = block ? lexer.TOKEN_BLOCK_START : lexer.TOKEN_VARIABLE_START
    return this.#token(type, block ? '{%' : '{{', control === '-' || control === '+' ? 3 : 2)
  }

  #code(): Token | null {
    this.#skipSpace()
    if (this.isFinished()) return null
    return this.#tagEnd() ?? this.#string() ?? this.#number() ?? this.#name() ?? this.#operator()
  }

  #tagEnd(): Token | null {
    if (this.#open.length > 0) return null
    const end = this.#end
    const control = this._matches(end) ? '' : this._matches(`-${end}`) ? '-' : end === '%}' && this._matches(`+${end}`) ? '+' : null
    if (control === null) return null
    const token = this.#token(end === '%}' ? lexer.TOKEN_BLOCK_END : lexer.TOKEN_VARIABLE_END, end, end.length + control.length)
    this.in_code = false
    if (control === '-') this.#skipSpace()
    return token
  }

  #string(): Token | null {
    const match = this.#match(STRING)
    return match === null ? null : this.#token(lexer.TOKEN_STRING, unescapePython(match[0].slice(1, -1)), match[0].length)
  }

  #number(): Token | null {
    const float = this.str[this.index - 1] === '.' ? null : this.#match(FLOAT)
    if (float !== null) return this.#token(lexer.TOKEN_FLOAT, float[0].replaceAll('_', ''), float[0].length)
    const integer = this.#match(INTEGER)
    return integer === null ? null : this.#token(lexer.TOKEN_INT, integer[0].replaceAll('_', ''), integer[0].length)
  }

  #name(): Token | null {
    const match = this.#match(NAME)
    return match === null ? null : this.#token(lexer.TOKEN_SYMBOL, match[0], match[0].length)
  }

  #operator(): Token {
    const text = this.#match(OPERATOR)?.[0]
    if (text === undefined) this.#fail(`unexpected char '${this.current()}' at ${this.index}`)
    if (text === '(' || text === '[' || text === '{') this.#open.push(CLOSE[text])
    if (text === ')' || text === ']' || text === '}') this.#close(text)
    return this.#token(OPERATOR_TYPES[text] ?? lexer.TOKEN_OPERATOR, text, text.length)
  }

  #close(text: string): void {
    const expected = this.#open.pop()
    if (expected === undefined) this.#fail(`unexpected '${text}'`)
    if (expected !== text) this.#fail(`unexpected '${text}', expected '${expected}'`)
  }
}

function trimEnd(text: string): string {
  return text.replace(/[\s\x1c-\x1f\x85]+$/, '')
}

const SIMPLE_ESCAPES: Record<string, string> = {
  '\n': '',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v'
}

/** Python's escapes; an unknown one stays as it is written (`\d`). */
function unescapePython(text: string): string {
  if (!text.includes('\\')) return text
  return text.replace(/\\(x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|[0-7]{1,3}|[\s\S])/g, (whole, code: string) => {
    const simple = SIMPLE_ESCAPES[code]
    if (simple !== undefined) return simple
    const point = /^[xuU]./.test(code) ? Number.parseInt(code.slice(1), 16) : /^[0-7]/.test(code) ? Number.parseInt(code, 8) : -1
    return point >= 0 && point <= 0x10ffff ? String.fromCodePoint(point) : whole
  })
}

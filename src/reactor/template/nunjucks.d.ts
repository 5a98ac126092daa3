/** The parts of nunjucks that the template language stands on; its published types cover only the whole engine. */
declare module 'nunjucks/src/lexer.js' {
  export interface Token {
    type: string
    value: string
    lineno: number
    colno: number
  }
  export class Tokenizer {
    constructor(source: string, options?: object)
    str: string
    index: number
    len: number
    lineno: number
    colno: number
    in_code: boolean
    tags: Record<'BLOCK_START' | 'BLOCK_END' | 'VARIABLE_START' | 'VARIABLE_END' | 'COMMENT_START' | 'COMMENT_END', string>
    nextToken(): Token | null
    forward(): void
    forwardN(count: number): void
    current(): string
    currentStr(): string
    isFinished(): boolean
    _matches(text: string): boolean | null
    _extractString(text: string): string | null
  }
  const lexer: {
    lex(source: string, options?: object): Tokenizer
    TOKEN_STRING: string
    TOKEN_WHITESPACE: string
    TOKEN_DATA: string
    TOKEN_BLOCK_START: string
    TOKEN_BLOCK_END: string
    TOKEN_VARIABLE_START: string
    TOKEN_VARIABLE_END: string
    TOKEN_COMMENT: string
    TOKEN_LEFT_PAREN: string
    TOKEN_RIGHT_PAREN: string
    TOKEN_LEFT_BRACKET: string
    TOKEN_RIGHT_BRACKET: string
    TOKEN_LEFT_CURLY: string
    TOKEN_RIGHT_CURLY: string
    TOKEN_OPERATOR: string
    TOKEN_COMMA: string
    TOKEN_COLON: string
    TOKEN_TILDE: string
    TOKEN_PIPE: string
    TOKEN_INT: string
    TOKEN_FLOAT: string
    TOKEN_SYMBOL: string
  }
  export default lexer
}

declare module 'nunjucks/src/parser.js' {
  import type { Token, Tokenizer } from 'nunjucks/src/lexer.js'
  export class Parser {
    constructor(tokens: Tokenizer)
    tokens: Tokenizer
    peeked: Token | null
    breakOnBlocks: string[] | null
    dropLeadingWhitespace: boolean
    nextToken(withWhitespace?: boolean): Token | null
    peekToken(): Token | null
    pushToken(token: Token | null): void
    error(message: string, lineno?: number, colno?: number): Error
    fail(message: string, lineno?: number, colno?: number): never
    skip(type: string): boolean
    expect(type: string): Token
    skipValue(type: string, value: string): boolean
    skipSymbol(value: string): boolean
  }
  const parser: { Parser: typeof Parser }
  export default parser
}

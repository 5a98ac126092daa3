/**
 * The files with which an operator decides about new keys beforehand: Salt's autosign_file, autoreject_file and autosign_grains_dir. Each is
 * read anew when it has changed. A file that anybody but its owner may write decides nothing, as in Salt.
 */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { PythonRegex, RegexBudget } from '../shared/regex/index.js'
import { compileGlob } from '../tags/glob.js'

/** Bytes of such a file: a hundred thousand ids. A larger one decides nothing, and the log says so. */
const MAX_BYTES = 4 * 1024 * 1024
/** Others may write: group and world. */
const OTHERS_WRITE = 0o022
/** Steps of one expression for one id: a hundred times what a sensible one needs. */
const REGEX_STEPS = 50_000

interface Log {
  warn(fields: object, text: string): void
}

interface Known<T> {
  readonly version: string
  readonly value: T
}

/** A list of lines; `#` begins a comment, blank lines are none. What it says is kept until the file changes. */
abstract class ListFile<T> {
  readonly #file: string
  readonly #log: Log
  #known: Known<T> | null = null
  #complaint = ''

  constructor(file: string, log: Log) {
    this.#file = file
    this.#log = log
  }

  protected abstract read(lines: readonly string[]): T

  /** Null when there is no file, or none that may decide. */
  async value(): Promise<T | null> {
    const found = await stat(this.#file).catch(() => null)
    if (found === null || !found.isFile()) return this.#none('')
    if ((found.mode & OTHERS_WRITE) !== 0) return this.#none('others than its owner may write it (chmod go-w)')
    if (found.size > MAX_BYTES) return this.#none(`it is larger than ${MAX_BYTES} bytes`)
    const version = `${found.ino} ${found.mtimeMs} ${found.size}`
    if (this.#known?.version === version) return this.#known.value
    const text = await readFile(this.#file, 'utf8').catch(() => null)
    if (text === null) return this.#none('it cannot be read')
    const value = this.read(linesOf(text))
    this.#known = { version, value }
    return value
  }

  /** Each complaint is told once. */
  #none(complaint: string): null {
    this.#known = null
    if (complaint !== '' && complaint !== this.#complaint) this.#log.warn({ file: this.#file }, `the file is not used: ${complaint}`)
    this.#complaint = complaint
    return null
  }
}

function linesOf(text: string): string[] {
  return text
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '' && !line.startsWith('#'))
}

type IdTest = (id: string) => boolean

/** Ids, globs and regular expressions (for the whole id), one per line: `autosign_file`, `autoreject_file`. */
export class IdList extends ListFile<readonly IdTest[]> {
  protected read(lines: readonly string[]): readonly IdTest[] {
    return lines.flatMap(line => [compileGlob(line), regexTest(line)])
  }

  async has(id: string): Promise<boolean> {
    return (await this.value())?.some(fits => fits(id)) ?? false
  }
}

/** What is no expression is an id or a glob alone. */
function regexTest(line: string): IdTest {
  let regex: PythonRegex
  try {
    regex = new PythonRegex(`(?:${line})\\Z`)
  } catch {
    return () => false
  }
  return id => {
    try {
      return regex.match(id, new RegexBudget(REGEX_STEPS)) !== null
    } catch {
      return false
    }
  }
}

class ValueList extends ListFile<ReadonlySet<string>> {
  protected read(lines: readonly string[]): ReadonlySet<string> {
    return new Set(lines)
  }
}

/** A directory with a file per grain, of which each line is a value that is let in: `autosign_grains_dir`. */
export class GrainLists {
  readonly #dir: string
  readonly #log: Log
  readonly #files = new Map<string, ValueList>()

  constructor(dir: string, log: Log) {
    this.#dir = dir
    this.#log = log
  }

  /** Whether one of the grains has a value that its file lists. Lists of values count by each of theirs. */
  async admit(grains: Readonly<Record<string, unknown>>): Promise<boolean> {
    for (const [name, value] of Object.entries(grains)) {
      // The name comes from whoever wants to be let in, and becomes a file's.
      if (!/^[\w-][\w.-]{0,99}$/.test(name)) continue
      const known = await this.#list(name)
      if (known !== null && [value].flat().some(each => isScalar(each) && known.has(String(each)))) return true
    }
    return false
  }

  async #list(name: string): Promise<ReadonlySet<string> | null> {
    const list = this.#files.get(name) ?? new ValueList(join(this.#dir, name), this.#log)
    const value = await list.value()
    // Only files that are there are remembered: names of grains are anybody's.
    if (value === null) this.#files.delete(name)
    else this.#files.set(name, list)
    return value
  }
}

function isScalar(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}

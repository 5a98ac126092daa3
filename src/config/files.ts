import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { parseYaml, YamlError } from '../shared/yaml.js'
import { compileGlob } from '../tags/glob.js'
import { isMapping, kindOf } from './setting.js'

/** One file of the configuration, read and not yet checked. */
export interface ConfigFile {
  readonly file: string
  readonly values: Readonly<Record<string, unknown>>
}

export interface FileMistake {
  readonly file: string
  readonly path: string
  readonly text: string
}

/** More than any real master.d; a directory that holds this many is the wrong directory. */
const MAX_FILES = 500
/** Files that include files that include files: deeper is a loop. */
const MAX_DEPTH = 5

/**
 * Reads configuration files in the order in which later ones win, with what they include.
 *
 * - A file: itself, then the files of `default_include` (for Salt's `master` and `minion`: `master.d/*.conf`, `minion.d/*.conf`), then those of
 *   `include`; patterns count from the file's directory and are taken in lexical order, as in Salt.
 * - A directory that has Salt's `master` file: that file. Any other directory: its `*.conf` and `*.yaml` in lexical order.
 */
export function readConfigFiles(paths: readonly string[]): { files: ConfigFile[]; mistakes: FileMistake[]; watched: readonly string[] } {
  const reader = new Reader()
  for (const path of paths) reader.readPath(resolve(path))
  return reader
}

class Reader {
  readonly files: ConfigFile[] = []
  readonly mistakes: FileMistake[] = []
  readonly #looked = new Set<string>()

  /** Every file and directory that was looked at, whether it is there or not: what else there is to read shows in one of them. */
  get watched(): readonly string[] {
    return [...this.#looked]
  }

  readPath(path: string): void {
    this.#looked.add(path)
    let isDirectory: boolean
    try {
      isDirectory = statSync(path).isDirectory()
    } catch (error) {
      this.#mistake(path, '', (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'does not exist' : (error as Error).message)
      return
    }
    const files = isDirectory ? filesOf(path) : [path]
    if (files.length === 0) this.#mistake(path, '', 'has no *.conf and no *.yaml')
    for (const file of files) this.#readFile(file, 0)
  }

  #readFile(file: string, depth: number): void {
    if (this.files.length >= MAX_FILES || depth > MAX_DEPTH) {
      this.#mistake(
        file,
        '',
        depth > MAX_DEPTH ? `is included more than ${MAX_DEPTH} levels deep` : `is one of more than ${MAX_FILES} files`
      )
      return
    }
    this.#looked.add(file)
    const values = this.#parse(file)
    if (values === null) return
    const { include, default_include = defaultInclude(file), ...settings } = values
    this.files.push({ file, values: settings })
    for (const included of this.#patterns(file, 'default_include', default_include)) this.#readFile(included, depth + 1)
    for (const included of this.#patterns(file, 'include', include)) this.#readFile(included, depth + 1)
  }

  #parse(file: string): Record<string, unknown> | null {
    try {
      const values = parseYaml(readFileSync(file, 'utf8'))
      if (values === null) return {}
      if (isMapping(values)) return values
      this.#mistake(file, '', `must be a mapping of settings, not ${kindOf(values)}`)
    } catch (error) {
      if (error instanceof YamlError) this.#mistake(file, `line ${error.line}, column ${error.column}`, error.reason)
      else this.#mistake(file, '', (error as Error).message)
    }
    return null
  }

  /** The files that one or more patterns name. A pattern without wildcards must name a file; `default_include` may name none. */
  #patterns(from: string, name: string, value: unknown): string[] {
    const patterns = value === null || value === undefined ? [] : Array.isArray(value) ? value : [value]
    return patterns.flatMap(pattern => {
      if (typeof pattern !== 'string') {
        this.#mistake(from, name, `must be a path or a list of paths, not ${kindOf(pattern)}`)
        return []
      }
      const full = isAbsolute(pattern) ? pattern : join(dirname(from), pattern)
      const files = expand(full, this.#looked)
      if (files.length === 0 && !/[*?[]/.test(pattern)) this.#mistake(from, name, `names '${full}', which does not exist`)
      return files
    })
  }

  #mistake(file: string, path: string, text: string): void {
    this.mistakes.push({ file, path, text })
  }
}

function filesOf(dir: string): string[] {
  const names = readdirSync(dir).sort()
  const chosen = names.includes('master') ? ['master'] : names.filter(name => /^[^.].*\.(conf|yaml)$/.test(name))
  return chosen.map(name => join(dir, name))
}

function defaultInclude(file: string): string | null {
  const name = basename(file)
  return name === 'master' || name === 'minion' ? `${name}.d/*.conf` : null
}

/** Files that a path with shell wildcards names, sorted; dot files only where the pattern says so. */
function expand(pattern: string, looked: Set<string>): string[] {
  let found = ['/']
  for (const part of pattern.split('/').filter(Boolean)) {
    if (!/[*?[]/.test(part)) {
      found = found.map(dir => join(dir, part))
      continue
    }
    const matches = compileGlob(part)
    for (const dir of found) looked.add(dir)
    found = found.flatMap(dir =>
      entries(dir)
        .filter(name => matches(name) && (part.startsWith('.') || !name.startsWith('.')))
        .map(name => join(dir, name))
    )
  }
  return found.filter(file => statSync(file, { throwIfNoEntry: false })?.isFile() === true).sort()
}

function entries(dir: string): string[] {
  try {
    return readdirSync(dir)
  } catch {
    return []
  }
}

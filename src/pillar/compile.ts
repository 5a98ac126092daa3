/**
 * The pillar of one minion: `top.sls` says which SLS files are meant for it; these are rendered (Jinja, then YAML, as `#!` lines say), with their
 * includes, and merged. Rules are Salt's (https://docs.saltproject.io/en/3006/topics/pillar/). Synchronous inside, so callers run it in a thread or
 * process of its own: `pillars.ts` on the server, a job's worker on a masterless minion.
 */
import { dirname, join, normalize } from 'node:path'
import { type Limits, renderText, TemplateError } from '../reactor/render.js'
import { parseYaml, setOwn } from '../shared/yaml.js'
import { compileGlob } from '../tags/glob.js'
import type { Nodegroups } from '../targeting/nodegroups.js'
import { PillarFiles } from './files.js'
import { pillarFunctions, type Subject } from './functions.js'
import { isMapping, type Mapping, type MergeOptions, type MergeStrategy, mergePillar } from './merge.js'
import { type Matches, topMatches } from './top.js'

/** What is the same for all minions. */
export interface PillarSettings {
  /** Environment → directories, Salt's `pillar_roots`. */
  readonly roots: Readonly<Record<string, readonly string[]>>
  readonly nodegroups?: Nodegroups
  readonly mergeStrategy?: MergeStrategy
  readonly mergeLists?: boolean
  /** True (Salt's default): errors name the file; what was wrong in it goes to `details` alone, because minions see errors. */
  readonly safeErrors?: boolean
}

export interface PillarRequest {
  readonly id: string
  readonly grains: Mapping
  /** The environment whose states the minion runs; for templates. */
  readonly saltenv?: string | null
  /** Only this environment's pillar; null or left out: all environments of the top files. */
  readonly pillarenv?: string | null
  /** Laid over the result, and seen by templates as `pillar`. */
  readonly override?: Mapping
  /** The result says which files the top files have for the minion, `{environment: [names]}`, and nothing of what is in them. */
  readonly topOnly?: boolean
}

export interface CompiledPillar {
  /** With `_errors` (a list of texts) when there were any, as minions expect it. */
  readonly pillar: Mapping
  /** Texts for the minion and its operators. */
  readonly errors: readonly string[]
  /** What the server's log should know besides: places and reasons. */
  readonly details: readonly string[]
}

/** One pillar file may do more than a reaction's: it waits alone. But 10,000 minions want theirs after a restart. */
const LIMITS: Limits = { steps: 5_000_000, size: 32_000_000, milliseconds: 5_000, depth: 200 }
/** Files of one minion's pillar: more is a mistake. */
const MAX_FILES = 2_000
const MAX_DEPTH = 100

export async function compilePillar(request: PillarRequest & PillarSettings): Promise<CompiledPillar> {
  return new PillarCompiler(request).compile(request)
}

/** Remembers unchanged files, and what their texts say, between compilations. */
export class PillarCompiler {
  readonly #settings: PillarSettings
  readonly #files: PillarFiles
  readonly #parsed = new ParsedTexts()

  constructor(settings: PillarSettings) {
    this.#settings = settings
    this.#files = new PillarFiles(settings.roots)
  }

  compile(request: PillarRequest): CompiledPillar {
    return new Compilation(this.#settings, { files: this.#files, parsed: this.#parsed }, request).run()
  }
}

/** Characters of rendered YAML whose values are remembered; the one that was not used for longest goes first. */
const MAX_PARSED = 4 * 1024 * 1024

/** Most files say the same to most minions, and reading YAML is most of the work. The values are shared: nobody may change them. */
class ParsedTexts {
  readonly #kept = new Map<string, unknown>()
  #size = 0

  parse(text: string): unknown {
    if (!this.#kept.has(text)) return this.#keep(text, parseYaml(text))
    const value = this.#kept.get(text)
    this.#kept.delete(text)
    this.#kept.set(text, value)
    return value
  }

  #keep(text: string, value: unknown): unknown {
    this.#kept.set(text, value)
    this.#size += text.length
    for (const oldest of this.#kept.keys()) {
      if (this.#size <= MAX_PARSED) break
      this.#kept.delete(oldest)
      this.#size -= oldest.length
    }
    return value
  }
}

class Compilation {
  readonly #settings: PillarSettings
  readonly #files: PillarFiles
  readonly #texts: ParsedTexts
  readonly #request: PillarRequest
  readonly #subject: Subject
  readonly #merge: MergeOptions
  readonly #errors: string[] = []
  readonly #details: string[] = []
  /** Files that were rendered, by environment: each is once. */
  readonly #seen = new Set<string>()
  readonly #names = new Map<string, string[]>()

  constructor(settings: PillarSettings, { files, parsed }: { files: PillarFiles; parsed: ParsedTexts }, request: PillarRequest) {
    this.#settings = settings
    this.#files = files
    this.#texts = parsed
    this.#request = request
    this.#merge = { strategy: settings.mergeStrategy ?? 'smart', mergeLists: settings.mergeLists ?? false }
    this.#subject = { id: request.id, grains: request.grains, pillar: request.override ?? {}, nodegroups: settings.nodegroups ?? {} }
  }

  run(): CompiledPillar {
    let pillar: Mapping = {}
    const only = this.#request.pillarenv ?? (this.#merge.strategy === 'none' ? (this.#request.saltenv ?? 'base') : null)
    try {
      const tops = topMatches(this.#tops(only), this.#subject, only, this.#errors)
      if (this.#request.topOnly) return this.#topsAlone(tops)
      for (const [saltenv, entries] of tops) {
        for (const { sls, optional } of entries) pillar = this.#with(pillar, this.#named(sls, saltenv, optional))
      }
    } catch (error) {
      this.#fail('The pillar could not be compiled', error)
    }
    if (this.#request.override) pillar = mergePillar(pillar, this.#request.override, this.#merge)
    if (this.#errors.length > 0) pillar = { ...pillar, _errors: [...this.#errors] }
    return { pillar, errors: this.#errors, details: this.#details }
  }

  #topsAlone(tops: Matches): CompiledPillar {
    const pillar = Object.fromEntries([...tops].map(([saltenv, entries]) => [saltenv, entries.map(({ sls }) => sls)]))
    return { pillar, errors: this.#errors, details: this.#details }
  }

  #tops(only: string | null): unknown[] {
    return (only === null ? this.#files.environments() : [only]).map(saltenv => {
      const source = this.#files.read('top.sls', saltenv)
      if (source === null) return null
      try {
        return this.#parsed(source, { sls: 'top', saltenv, path: 'top.sls' })
      } catch (error) {
        this.#fail(`Rendering Primary Top file failed`, error)
        return null
      }
    })
  }

  /** A name of the top file, which may be a glob. */
  #named(sls: string, saltenv: string, optional: boolean): Mapping {
    const names = this.#matching(sls, saltenv)
    if (names.length === 0 && !optional) this.#missing(sls, saltenv)
    return names.reduce<Mapping>((all, name) => this.#with(all, this.#file(name, saltenv, {}, 0)), {})
  }

  #missing(sls: string, saltenv: string): void {
    this.#errors.push(`Specified SLS '${sls}' in environment '${saltenv}' is not available on the salt master`)
  }

  #matching(sls: string, saltenv: string): string[] {
    if (this.#find(sls, saltenv)) return [sls]
    if (!/[*?[]/.test(sls)) return []
    const names = this.#names.get(saltenv) ?? this.#files.names(saltenv)
    this.#names.set(saltenv, names)
    return names.filter(compileGlob(sls))
  }

  #find(sls: string, saltenv: string): { path: string; source: string } | null {
    const base = sls.replaceAll('.', '/')
    for (const path of [`${base}.sls`, `${base}/init.sls`]) {
      const source = this.#files.read(path, saltenv)
      if (source !== null) return { path, source }
    }
    return null
  }

  /** The data of one file, its includes below its own. */
  #file(sls: string, saltenv: string, defaults: Mapping, depth: number): Mapping {
    const key = `${saltenv}\0${sls}`
    if (this.#seen.has(key)) return {}
    this.#seen.add(key)
    if (this.#seen.size > MAX_FILES || depth > MAX_DEPTH) {
      throw new Error(`more than ${MAX_FILES} pillar files, or includes nested deeper than ${MAX_DEPTH}`)
    }
    const found = this.#find(sls, saltenv)
    if (!found) {
      this.#missing(sls, saltenv)
      return {}
    }
    const data = this.#data(sls, saltenv, found, defaults)
    if (!Object.hasOwn(data, 'include')) return data
    const { include, ...own } = data
    if (!Array.isArray(include)) {
      this.#errors.push(`Include Declaration in SLS '${sls}' is not formed as a list`)
      return own
    }
    const included = include.map(entry => this.#include(entry, { sls, saltenv, path: found.path, depth }))
    return [...included, own].reduce((all, one) => this.#with(all, one), {})
  }

  #data(sls: string, saltenv: string, { path, source }: { path: string; source: string }, defaults: Mapping): Mapping {
    try {
      const value = this.#parsed(source, { sls, saltenv, path, defaults })
      if (value === null || value === undefined) return {}
      if (isMapping(value)) return value
      this.#errors.push(`SLS '${sls}' does not render to a dictionary`)
    } catch (error) {
      this.#fail(`Rendering SLS '${sls}' failed`, error)
    }
    return {}
  }

  /** `- name`, or `- name: {defaults: {…}, key: where:to}`. */
  #include(entry: unknown, from: { sls: string; saltenv: string; path: string; depth: number }): Mapping {
    const [name, options] = isMapping(entry) ? (Object.entries(entry)[0] ?? ['', {}]) : [entry, {}]
    if (typeof name !== 'string' || name === '') {
      this.#errors.push(`Include Declaration in SLS '${from.sls}' holds something that is no name`)
      return {}
    }
    const { defaults, key } = isMapping(options) ? options : {}
    const names = this.#matching(absolute(name, from), from.saltenv)
    if (names.length === 0) this.#missing(absolute(name, from), from.saltenv)
    const parts = typeof key === 'string' && key !== '' ? key.split(':') : []
    return names.reduce<Mapping>((all, sls) => {
      const data = this.#file(sls, from.saltenv, isMapping(defaults) ? defaults : {}, from.depth + 1)
      return this.#with(
        all,
        parts.reduceRight<Mapping>((inner, part) => wrapped(part, inner), data)
      )
    }, {})
  }

  #with(earlier: Mapping, later: Mapping): Mapping {
    return mergePillar(earlier, later, this.#merge)
  }

  #parsed(source: string, file: { sls: string; saltenv: string; path: string; defaults?: Mapping }): unknown {
    const renderers = renderersOf(source)
    const text = renderers.includes('jinja') ? this.#rendered(source, file) : source
    return renderers.includes('json') ? JSON.parse(withoutShebang(text)) : this.#texts.parse(withoutShebang(text))
  }

  #rendered(source: string, { sls, saltenv, path, defaults }: { sls: string; saltenv: string; path: string; defaults?: Mapping }): string {
    const { id, grains, saltenv: stateenv, pillarenv } = this.#request
    const dir = path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : ''
    const context = {
      salt: pillarFunctions(this.#subject),
      grains,
      pillar: this.#subject.pillar,
      opts: { id, saltenv: stateenv ?? null, pillarenv: pillarenv ?? null, pillar_roots: this.#settings.roots },
      minion_id: id,
      saltenv,
      env: saltenv,
      sls,
      slspath: dir,
      tpldir: dir || '.',
      tplfile: path,
      tplpath: path,
      ...defaults
    }
    return renderText(source, context, { file: path, limits: LIMITS, loader: (name, from) => this.#load(name, from ?? path, saltenv) })
  }

  /** Templates that pillar files import: of the pillar roots, below the root or beside the file that names them. */
  #load(name: string, from: string, saltenv: string): string | null {
    const path = /^\.\.?\//.test(name) ? normalize(join(dirname(from), name)) : name.replace(/^salt:\/\//, '')
    return this.#files.read(path, saltenv)
  }

  #fail(what: string, error: unknown): void {
    const reason = error instanceof TemplateError ? error.describe() : error instanceof Error ? error.message : String(error)
    this.#details.push(`${what}: ${reason}`)
    this.#errors.push(
      (this.#settings.safeErrors ?? true) ? `${what}. Please see master log for details.` : `${what}, render error:\n${reason}`
    )
  }
}

/** `.x` is beside the including file. */
function absolute(name: string, { sls, path }: { sls: string; path: string }): string {
  if (!name.startsWith('.')) return name
  const parts = path.endsWith('/init.sls') ? sls.split('.') : sls.split('.').slice(0, -1)
  return [...parts, name.slice(1)].join('.')
}

function wrapped(key: string, value: Mapping): Mapping {
  const outer: Mapping = {}
  setOwn(outer, key, value)
  return outer
}

const RENDERERS = ['jinja', 'yaml', 'json']

function renderersOf(source: string): string[] {
  const line = /^#!([^\n]*)/.exec(source)?.[1]?.trim()
  if (line === undefined || line.startsWith('/')) return ['jinja', 'yaml']
  const names = line.split('|').map(name => name.trim().split(/\s+/)[0]!)
  const unknown = names.find(name => !RENDERERS.includes(name))
  if (unknown !== undefined) throw new Error(`The renderer "${unknown}" is not available`)
  return names
}

/** The line stays as an empty one, so that lines keep their numbers. */
function withoutShebang(text: string): string {
  return text.replace(/^#![^\n]*/, '')
}

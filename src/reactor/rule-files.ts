/**
 * Rules in files, so that they can live in a repository:
 *
 *     rules:
 *       - id: deploy
 *         tag: salt/netapi/hook/ci/*
 *         sls: [ci/deploy.sls]        # beside this file; on the server below its first reactor root
 *
 * Read and checked without a server; every mistake with its place.
 */
import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { dirname, join, normalize, relative, resolve } from 'node:path'
import { Value } from 'typebox/value'
import { isBrineError } from '../errors.js'
import { isInside } from '../shared/inside.js'
import { toPlain } from '../shared/yaml.js'
import { composeYaml, placeOf, YamlConstructor, YamlError, type YamlMapping, type YamlNode } from '../shared/yaml-compose.js'
import type { RuleSpec } from '../store/store.js'
import { checkSlsFile } from './check.js'
import type { CompileSls } from './compiled.js'
import { importsOf, type TemplateImport } from './imports.js'
import { compilePathGlob, hasWildcards } from './path-glob.js'
import { TemplateError } from './render.js'
import { NewRule } from './rule-schema.js'
import { checkRule, checkRuleId, RULE_DEFAULTS, type RuleInput, readConfigRules } from './rules.js'
import { belowRoot, isBeside } from './sources.js'

export interface Finding {
  readonly file: string
  /** From 1; 0: unknown. */
  readonly line: number
  readonly column: number
  readonly message: string
}

/** A rule of a file; its `sls` as written there. */
export interface FileRule {
  readonly id: string
  readonly spec: RuleSpec
}

/** What an SLS file imports and the files do not have: the server must. */
export interface OutsideImport extends Finding {
  /** Of several names one is enough; below the server's roots. */
  readonly names: readonly string[]
  /** A rule's file needs it, so it matters to who puts the rule on a server. */
  readonly ofRule: boolean
}

export interface RuleFiles {
  readonly rules: readonly FileRule[]
  /** SLS files that rules name relatively, after the files that they import: path below the reactor root → text. */
  readonly sls: ReadonlyMap<string, string>
  readonly outside: readonly OutsideImport[]
  /** Files that were looked at. */
  readonly files: readonly string[]
  readonly errors: readonly Finding[]
  readonly warnings: readonly Finding[]
}

/** Files of one look: a repository of rules has some hundreds. */
const MAX_FILES = 10_000
const MAX_BYTES = 8 * 1024 * 1024
const SLS = /\.(?:sls|jinja|jinja2|j2)$/
const RULES = /\.(?:ya?ml|conf)$/

/** Reads files, and the files of directories (`*.yaml`, `*.yml`, `*.conf`, `*.sls`, `*.jinja`), and checks them. */
export async function readRuleFiles(paths: readonly string[], compile: CompileSls): Promise<RuleFiles> {
  const reader = new Reader(compile)
  // Rules first: where an SLS file of theirs imports from is known by the rules' file.
  const found = paths.flatMap(path => reader.filesOf(path))
  for (const { file, named } of found) if (!SLS.test(file)) await reader.readRules(file, named)
  for (const { file, base } of found) if (SLS.test(file)) await reader.readLoose(file, base)
  reader.checkTogether()
  return reader
}

class Reader implements RuleFiles {
  readonly rules: FileRule[] = []
  readonly sls = new Map<string, string>()
  readonly files: string[] = []
  readonly outside: OutsideImport[] = []
  readonly errors: Finding[] = []
  readonly warnings: Finding[] = []
  readonly #compile: CompileSls
  readonly #places = new Map<string, Finding>()
  readonly #checked = new Set<string>()
  readonly #doubtful: Finding[] = []
  /** Files whose imports were looked for, by the directory that these are below. */
  readonly #followed = new Set<string>()

  constructor(compile: CompileSls) {
    this.#compile = compile
  }

  /** `named`: it was asked for itself; other YAML files in a directory may be anything. `base`: what its imports are below. */
  filesOf(path: string): { file: string; named: boolean; base: string }[] {
    const info = statSync(path, { throwIfNoEntry: false })
    if (info?.isDirectory()) return filesBelow(path).map(file => ({ file, named: false, base: path }))
    if (info === undefined) this.#error({ file: path, line: 0, column: 0 }, 'does not exist')
    return info === undefined ? [] : [{ file: path, named: true, base: dirname(path) }]
  }

  /** An SLS file that no rule has named. */
  async readLoose(file: string, base: string): Promise<void> {
    if (this.#checked.has(file)) return
    const text = await this.#readSls(file)
    if (text !== null) await this.#follow(relative(base, file), text, { base, into: null })
  }

  /** What no single file can know. */
  checkTogether(): void {
    this.errors.push(...this.#doubtful.filter(({ file }) => !this.#checked.has(file)))
    if (this.files.length === 0 && this.errors.length === 0) this.#error({ file: '', line: 0, column: 0 }, 'no rules and no SLS files here')
  }

  #error({ file, line, column }: Omit<Finding, 'message'>, message: string): void {
    this.errors.push({ file, line, column, message })
  }

  async #readSls(file: string): Promise<string | null> {
    const text = this.#text(file)
    if (text === null || this.#checked.has(file)) return text
    this.#checked.add(file)
    this.files.push(file)
    const { fault, warnings } = await checkSlsFile(file, text, this.#compile)
    if (fault !== null) this.#error(fault, fault.message)
    for (const { line, column, message } of warnings) this.warnings.push({ file, line, column, message })
    return text
  }

  #text(file: string): string | null {
    try {
      if (statSync(file).size > MAX_BYTES) this.#error({ file, line: 0, column: 0 }, `is larger than ${MAX_BYTES} bytes`)
      else return readFileSync(file, 'utf8')
    } catch (error) {
      this.#error(
        { file, line: 0, column: 0 },
        (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'does not exist' : (error as Error).message
      )
    }
    return null
  }

  async readRules(file: string, named: boolean): Promise<void> {
    const text = this.#text(file)
    if (text === null) return
    try {
      const [root] = composeYaml(text, file)
      const rules = entryOf(root, 'rules')
      // The setting may also name a file that is such a list itself.
      const reactor = named && root?.kind === 'sequence' ? root : entryOf(root, 'reactor')
      if (rules === null && reactor === null) {
        if (named) this.#error({ file, line: 1, column: 1 }, "has neither 'rules' nor 'reactor'")
        return
      }
      this.files.push(file)
      const source = { file, text, values: new YamlConstructor(text, file) }
      if (rules !== null) await this.#readList(rules, source)
      if (reactor !== null) await this.#readConfig(reactor, source)
    } catch (error) {
      if (!(error instanceof YamlError)) throw error
      const fault = { file, line: error.line, column: error.column, message: error.reason }
      // What an SLS imports as YAML may be a template, and was or will be looked at as one.
      if (named) this.errors.push(fault)
      else this.#doubtful.push(fault)
    }
  }

  async #readList(node: YamlNode, source: RuleText): Promise<void> {
    if (node.kind !== 'sequence') return this.#error(placed(source, node), "'rules' must be a list")
    for (const item of node.items) await this.#readRule(item, source)
  }

  async #readRule(node: YamlNode, source: RuleText): Promise<void> {
    const value = toPlain(source.values.construct(node)) as Record<string, unknown>
    const fault = ruleFault(value)
    if (fault !== null) return this.#error(placed(source, (fault.field && entryOf(node, fault.field)) || node), fault.message)
    const { id, ...spec } = value as unknown as RuleInput & { id: string }
    const before = this.#places.get(id)
    if (before !== undefined)
      return this.#error(
        placed(source, node),
        `rule '${id}' is also in ${relative(dirname(source.file), before.file)}, line ${before.line}`
      )
    this.#places.set(id, { ...placed(source, node), message: '' })
    for (const reference of spec.sls) await this.#readReference(reference, source, entryOf(node, 'sls') ?? node)
    this.rules.push({ id, spec: { ...RULE_DEFAULTS, ...spec } })
  }

  /** Files that are named relatively lie beside the file of the rule, and go along with it. */
  async #readReference(reference: string, source: RuleText, node: YamlNode): Promise<void> {
    if (!isRelative(reference)) return
    const dir = dirname(source.file)
    const path = normalize(reference)
    const isGlob = hasWildcards(path)
    const names = isGlob
      ? filesBelow(dir)
          .map(file => file.slice(dir.length + 1))
          .filter(compilePathGlob(path))
      : [path]
    if (names.length === 0) this.#error(placed(source, node), `'${reference}' means no file`)
    for (const name of names) {
      if (!isGlob && statSync(join(dir, name), { throwIfNoEntry: false })?.isFile() !== true) {
        this.#error(placed(source, node), `'${reference}' does not exist`)
        continue
      }
      const text = await this.#readSls(join(dir, name))
      if (text === null) continue
      await this.#follow(name, text, { base: dir, into: this.sls })
      this.#take(name, text, placed(source, node))
    }
  }

  /** A file that goes along with the rules. */
  #take(name: string, text: string, place: Omit<Finding, 'message'>): void {
    const other = this.sls.get(name)
    if (other !== undefined && other !== text) this.#error(place, `there is another '${name}' in another directory`)
    else this.sls.set(name, text)
  }

  /** Checks what a file imports, and takes it along. `name`: the file below the directory that stands for the server's reactor root. */
  async #follow(name: string, text: string, along: Along): Promise<void> {
    const file = join(along.base, name)
    const key = `${along.base}\0${name}`
    if (this.#followed.has(key)) return
    this.#followed.add(key)
    for (const wanted of importsIn(text)) {
      const place = { file, line: wanted.line, column: wanted.column }
      const places = wanted.names.map(each => importPlace(each, name))
      const found = places.find(each => each !== null && isFileInside(along.base, each))
      if (found) await this.#import(found, place, along)
      else if (!wanted.optional) this.#notHere(wanted, places, place, along)
    }
  }

  async #import(name: string, place: Omit<Finding, 'message'>, along: Along): Promise<void> {
    const text = await this.#readSls(join(along.base, name))
    if (text === null) return
    await this.#follow(name, text, along)
    if (along.into !== null) this.#take(name, text, place)
  }

  #notHere({ names }: TemplateImport, places: readonly (string | null)[], place: Omit<Finding, 'message'>, { base, into }: Along): void {
    const quoted = names.map(each => `'${each}'`).join(' or ')
    const below = places.filter(each => each !== null)
    if (below.length === 0) this.#error(place, `imports ${quoted}, which leaves the directory of the rules`)
    else if (names.every(isBeside)) this.#error(place, `imports ${quoted}, which is not beside it${linkNote(base, below)}`)
    else this.outside.push({ ...place, names: below, ofRule: into !== null, message: `imports ${quoted}, which is not here` })
  }

  /** The setting `reactor`, as it stands in a configuration. */
  async #readConfig(node: YamlNode, source: RuleText): Promise<void> {
    if (node.kind !== 'sequence') {
      if (node.kind !== 'scalar')
        this.#error(placed(source, node), "'reactor' must be a list of {tag: files}, or the path of a file with one")
      return
    }
    for (const item of node.items) {
      if (item.kind !== 'mapping' || item.pairs.length !== 1) {
        this.#error(placed(source, item), 'is no mapping with one tag, and is left out')
        continue
      }
      try {
        const [rule] = readConfigRules([toPlain(source.values.construct(item))])
        const sls = rule!.sls.map(file => (isRelative(file) ? `/${file}` : file))
        checkRule({ ...rule!, sls })
        for (const file of rule!.sls) await this.#lookAt(file, source, item)
      } catch (error) {
        if (!isBrineError(error)) throw error
        this.#error(placed(source, item), error.message.replace(/^.*\n\s*/s, ''))
      }
    }
  }

  /** An SLS file that a configuration names. Absolute paths are those of the server, which may be another machine. */
  async #lookAt(reference: string, source: RuleText, node: YamlNode): Promise<void> {
    if (reference.startsWith('salt://') || /[*?[]/.test(reference)) return
    const file = resolve(dirname(source.file), reference)
    if (statSync(file, { throwIfNoEntry: false })?.isFile() === true) await this.readLoose(file, dirname(file))
    else if (isRelative(reference)) this.#error(placed(source, node), `'${reference}' does not exist`)
    else this.warnings.push({ ...placed(source, node), message: `'${reference}' does not exist here` })
  }
}

interface Along {
  /** What the names of imports are below. */
  readonly base: string
  /** Where imported files are gathered to go along; null: they are only looked at. */
  readonly into: Map<string, string> | null
}

/** Of a text that does not parse nothing is told but that. */
function importsIn(text: string): TemplateImport[] {
  try {
    return importsOf(text)
  } catch (error) {
    if (error instanceof TemplateError) return []
    throw error
  }
}

/** Where the file `from` would find an import, below the common directory; null when outside of it. */
function importPlace(name: string, from: string): string | null {
  if (isBeside(name)) return belowRoot(`salt://${join(dirname(from), name)}`)
  return belowRoot(name.startsWith('salt://') ? name : `salt://${name}`)
}

/** A plain file that no link leads out to: what is put on a server comes from the repository. */
function isFileInside(base: string, name: string): boolean {
  const file = join(base, name)
  return statSync(file, { throwIfNoEntry: false })?.isFile() === true && isInside(realpathSync(base), realpathSync(file))
}

function linkNote(base: string, names: readonly string[]): string {
  const there = names.some(name => statSync(join(base, name), { throwIfNoEntry: false }) !== undefined)
  return there ? ' as a plain file (a link leads out of the directory)' : ''
}

interface RuleText {
  readonly file: string
  readonly text: string
  readonly values: YamlConstructor
}

export function isRelative(reference: string): boolean {
  return !reference.startsWith('/') && !reference.startsWith('salt://')
}

function placed({ file, text }: RuleText, { at }: YamlNode): Omit<Finding, 'message'> {
  return { file, ...placeOf(text, at) }
}

/** What stands under a key of a mapping; null when nothing does. */
function entryOf(node: YamlNode | undefined, key: string): YamlNode | null {
  if (node?.kind !== 'mapping') return null
  return (node as YamlMapping).pairs.find(pair => pair.key.kind === 'scalar' && pair.key.text === key)?.value ?? null
}

/** The first thing that a rule of a file cannot have, and the field where it stands. */
function ruleFault(value: unknown): { field: string; message: string } | null {
  const errors = [...Value.Errors(NewRule, value)]
  // Of a choice the choice itself says more than each of its branches; what is unknown says more than "schema is false".
  const wrong =
    errors.find(({ keyword }) => keyword === 'additionalProperties') ?? errors.find(({ keyword }) => keyword === 'anyOf') ?? errors[0]
  if (wrong !== undefined) return { field: wrong.instancePath.split('/')[1] ?? unknownName(wrong), message: schemaText(wrong) }
  const { id, ...spec } = value as RuleInput & { id?: string }
  try {
    if (id === undefined) return { field: '', message: "field 'id' is missing" }
    checkRuleId(id)
    const leaves = spec.sls.find(file => isRelative(file) && (/^\.\.(?:\/|$)/.test(normalize(file)) || normalize(file) === '.'))
    if (leaves !== undefined) return { field: 'sls', message: `'${leaves}' leaves the directory of this file` }
    checkRule({ ...RULE_DEFAULTS, ...spec, sls: spec.sls.map(file => (isRelative(file) ? `/${file}` : file)) })
    return null
  } catch (error) {
    if (!isBrineError(error)) throw error
    return { field: (error.values[0] ?? '').split(/[[.]/)[0]!, message: error.message }
  }
}

type SchemaError = ReturnType<typeof Value.Errors>[number]

function unknownName({ params }: SchemaError): string {
  return (params as { additionalProperties?: string[] } | undefined)?.additionalProperties?.[0] ?? ''
}

function schemaText({ keyword, instancePath, params, message }: SchemaError): string {
  const field = instancePath.slice(1).replaceAll('/', '.')
  const names = (params as { additionalProperties?: string[]; requiredProperties?: string[] }) ?? {}
  if (keyword === 'additionalProperties') return `field '${names.additionalProperties?.[0] ?? field}' is not known`
  if (keyword === 'required') return `field '${names.requiredProperties?.[0] ?? field}' is missing`
  if (keyword === 'anyOf') return `field '${field}' has none of the forms that it may have`
  return field === '' ? `a rule ${message}` : `field '${field}' ${message}`
}

/** The files that concern rules, sorted; hidden ones left out. */
function filesBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && (SLS.test(entry.name) || RULES.test(entry.name)))
    .map(entry => join(entry.parentPath, entry.name))
    .filter(file => !/(?:^|\/)(?:\.|node_modules\/)/.test(file.slice(dir.length + 1)))
    .sort()
    .slice(0, MAX_FILES)
}

/** `brine reactor validate`, `diff` and `apply`: rules that live in files, checked here and put on a server. */
import { relative, resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { brineError } from '../errors.js'
import { placedText } from '../reactor/check.js'
import { serverSignatures, slsCompiler } from '../reactor/compile.js'
import { type FileRule, type Finding, isRelative, type OutsideImport, type RuleFiles, readRuleFiles } from '../reactor/rule-files.js'
import { RULE_DEFAULTS, ruleText, specOf } from '../reactor/rules.js'
import { textDiff } from '../reactor/text-diff.js'
import { RUNNERS } from '../runners/index.js'
import type { RuleSpec } from '../store/store.js'
import { WHEEL } from '../wheel/index.js'
import { type Client, connect, type RemoteOptions, ServerError } from './client.js'
import type { Exit } from './exit.js'
import { allRules } from './reactor.js'
import type { Terminal } from './terminal.js'

export interface ApplyOptions extends RemoteOptions {
  /** Remove rules of the server that the files do not have; those of the configuration stay. */
  readonly prune?: boolean
  /** With `prune`: only those of this owner. */
  readonly owner?: string
  readonly dryRun?: boolean
}

/** `brine reactor validate PATH…`: without a server. Each mistake is a line `file:line:column: message`, and the exit code is 1. */
export async function validate(terminal: Terminal, paths: readonly string[]): Promise<Exit> {
  const read = await readHere(terminal, paths)
  const { errors, outside } = read
  const asWarnings = outside.map(each => ({ ...each, message: `${each.message}: the server must have it in file_roots or reactor_roots` }))
  tellFindings(terminal, { errors, warnings: [...read.warnings, ...asWarnings] })
  if (errors.length > 0) return 'failed'
  terminal.out(`${read.files.length} ${read.files.length === 1 ? 'file is' : 'files are'} right, ${read.rules.length} rules\n`)
  return 'ok'
}

/** `brine reactor diff PATH…`: what `apply` would change, as patches; the exit code is 1 when that is anything, as diff's. */
export async function diff(terminal: Terminal, paths: readonly string[], options: ApplyOptions): Promise<Exit> {
  const changes = await changesFor(terminal, paths, connect(terminal, options), options)
  if (changes === null) return 'usage'
  for (const { name, patch } of changes) terminal.out(`${name}\n${patch}`)
  return changes.length === 0 ? 'ok' : 'failed'
}

/** `brine reactor apply PATH…`: makes the server's rules and SLS files what the files say. Doing it again changes nothing. */
export async function apply(terminal: Terminal, paths: readonly string[], options: ApplyOptions): Promise<Exit> {
  const client = connect(terminal, options)
  const changes = await changesFor(terminal, paths, client, options)
  if (changes === null) return 'usage'
  for (const { name, send } of changes) {
    if (options.dryRun !== true) await send(client)
    terminal.out(`${options.dryRun === true ? 'would ' : ''}${name}\n`)
  }
  if (changes.length === 0) terminal.out('nothing to do\n')
  return 'ok'
}

interface Change {
  /** `create rule deploy` */
  readonly name: string
  readonly patch: string
  send(client: Client): Promise<unknown>
}

async function readHere(terminal: Terminal, paths: readonly string[]): Promise<RuleFiles> {
  const compile = slsCompiler({ include: () => null, signatureOf: serverSignatures(RUNNERS, WHEEL) })
  return readRuleFiles(
    paths.map(path => resolve(terminal.cwd, path)),
    compile
  )
}

/** Paths are told as from here, as compilers do. */
function tellFindings(terminal: Terminal, { errors, warnings }: Pick<RuleFiles, 'errors' | 'warnings'>): void {
  const line = (finding: Finding, kind = '') =>
    `${placedText({ ...finding, file: relative(terminal.cwd, finding.file) || '.' }, `${kind}${finding.message.replaceAll('\n', ' ')}`)}\n`
  for (const finding of errors) terminal.out(line(finding))
  for (const finding of warnings) terminal.err(line(finding, 'warning: '))
}

/** All changes in their order: files before the rules that name them, then new and changed rules, then what goes. Null: the files are wrong. */
async function changesFor(terminal: Terminal, paths: readonly string[], client: Client, options: ApplyOptions): Promise<Change[] | null> {
  const read = await readHere(terminal, paths)
  tellFindings(terminal, read)
  if (read.errors.length > 0) return null
  if (read.rules.length === 0) throw brineError('USAGE', 'these files have no rules')
  const missing = await missingThere(client, read.outside)
  tellFindings(terminal, missing)
  if (missing.errors.length > 0) return null
  const changes: Change[] = []
  const places = new Map<string, string>()
  const root = read.sls.size === 0 ? '' : await rootOf(client)
  for (const [path, text] of read.sls) {
    const there = await slsOf(client, path)
    places.set(path, there?.file ?? `${root}/${path}`)
    if (there?.text !== text) changes.push(slsChange(path, text, there))
  }
  const ours = new Map(read.rules.map(rule => [rule.id, rule]))
  const theirs = (await allRules(client, new URLSearchParams())).filter(({ source }) => source === 'api')
  for (const rule of ours.values()) {
    const spec = onServer(rule, places, root)
    const there = theirs.find(({ id }) => id === rule.id)
    if (there === undefined || !isDeepStrictEqual(specOf({ ...RULE_DEFAULTS, ...there }), specOf(spec)))
      changes.push(ruleChange(rule.id, spec, there))
  }
  if (options.prune !== true) return changes
  const gone = theirs.filter(({ id, owner }) => !ours.has(id) && (options.owner === undefined || owner === options.owner))
  return [...changes, ...gone.map(removal)]
}

/** The rule with the paths that its files have on the server. */
function onServer({ spec }: FileRule, places: ReadonlyMap<string, string>, root: string): RuleSpec {
  const place = (file: string) =>
    isRelative(file) ? (places.get(file.replace(/^(?:\.\/)+/, '')) ?? `${root}/${file.replace(/^(?:\.\/)+/, '')}`) : file
  return { ...spec, sls: spec.sls.map(place) }
}

async function rootOf(client: Client): Promise<string> {
  const { roots } = (await client.json('GET', '/reactor/sls')) as { roots: string[] }
  if (roots[0] === undefined) throw brineError('NO_REACTOR_ROOTS')
  return roots[0]
}

/** Imports of the rules' files that neither are here nor on the server. Whoever may not ask it is warned. */
async function missingThere(client: Client, outside: readonly OutsideImport[]): Promise<Pick<RuleFiles, 'errors' | 'warnings'>> {
  const errors: Finding[] = []
  const warnings: Finding[] = []
  for (const wanted of outside.filter(({ ofRule }) => ofRule)) {
    const answers = await Promise.all(wanted.names.map(name => isThere(client, name)))
    if (answers.includes(true)) continue
    const unsure = answers.includes(null)
    const message = unsure ? 'nor may file_roots.find be called to look on the server' : 'nor on the server, in file_roots or reactor_roots'
    ;(unsure ? warnings : errors).push({ ...wanted, message: `${wanted.message}, ${message}` })
  }
  return { errors, warnings }
}

/** Whether an import of this name would find a file there; null: the server does not say. */
async function isThere(client: Client, name: string): Promise<boolean | null> {
  try {
    const { data } = (await client.run({ client: 'wheel', fun: 'file_roots.find', path: name })) as { data: { return: unknown } }
    if (Array.isArray(data.return) && data.return.length > 0) return true
    return (await slsOf(client, name)) !== null
  } catch (error) {
    if (error instanceof ServerError && error.code === 'NO_REACTOR_ROOTS') return false
    if (error instanceof ServerError && (error.status === 401 || error.status === 403)) return null
    throw error
  }
}

interface ThereSls {
  readonly file: string
  readonly text: string
  readonly etag: string
}

async function slsOf(client: Client, path: string): Promise<ThereSls | null> {
  try {
    const response = await client.fetch(slsUrl(path), { headers: { accept: 'application/json' } })
    return { ...((await response.json()) as { file: string; text: string }), etag: response.headers.get('etag')! }
  } catch (error) {
    if (error instanceof ServerError && error.status === 404) return null
    throw error
  }
}

const slsUrl = (path: string) => `/reactor/sls/${path.split('/').map(encodeURIComponent).join('/')}`

function slsChange(path: string, text: string, there: ThereSls | null): Change {
  return {
    name: `${there === null ? 'create' : 'change'} file ${path}`,
    patch: textDiff(there?.text ?? '', text, 'server', 'here'),
    send: client => send(client, 'PUT', slsUrl(path), there?.etag, { text })
  }
}

function ruleChange(id: string, spec: RuleSpec, there: (RuleSpec & { readonly version: number }) | undefined): Change {
  return {
    name: `${there === undefined ? 'create' : 'change'} rule ${id}`,
    patch: textDiff(there === undefined ? '' : ruleText({ ...RULE_DEFAULTS, ...there }), ruleText(spec), 'server', 'here'),
    send: client => send(client, 'PUT', `/reactor/rules/${id}`, there && `"${there.version}"`, told(spec))
  }
}

/** What has its default is not sent: a server that does not know an option yet need not. */
function told(spec: RuleSpec): object {
  const defaults: Partial<RuleSpec> = RULE_DEFAULTS
  return Object.fromEntries(
    Object.entries(specOf(spec)).filter(([name, value]) => !isDeepStrictEqual(value, defaults[name as keyof RuleSpec]))
  )
}

function removal(rule: RuleSpec & { readonly id: string; readonly version: number }): Change {
  return {
    name: `remove rule ${rule.id}`,
    patch: textDiff(ruleText({ ...RULE_DEFAULTS, ...rule }), '', 'server', 'here'),
    send: client => send(client, 'DELETE', `/reactor/rules/${rule.id}`, `"${rule.version}"`)
  }
}

/** Only over what was compared: a change that somebody makes meanwhile is not undone. */
function send(client: Client, method: 'PUT' | 'DELETE', path: string, over: string | undefined, body?: object): Promise<Response> {
  const condition = over === undefined ? { 'if-none-match': '*' } : { 'if-match': over }
  const content = body === undefined ? {} : { 'content-type': 'application/json' }
  return client.fetch(path, {
    method,
    headers: { ...condition, ...content },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
}

import { readFile } from 'node:fs/promises'
import { dumpYaml, parseYaml } from '../../shared/yaml.js'
import type { ModuleContext } from '../context.js'
import { parseSaltUrl } from '../files.js'
import { localCopy } from '../sources.js'
import { renderTemplate } from '../template.js'
import { CommandExecutionError, InvocationError } from './errors.js'
import { doc, fn, type Module } from './module.js'
import { pyRepr, pyStr } from './python.js'
import { flag, isMapping, type Mapping, number, setOwn, text, textOrNull } from './values.js'

const MERGE = "strategy='smart', renderer='yaml', merge_lists=False"

/** Salt's `slsutil` module: what templates of SLS files need beside the template language. */
export const slsutil: Module = {
  name: 'slsutil',
  functions: [
    fn(
      "renderer(path=None, string=None, default_renderer='jinja|yaml', **kwargs)",
      doc(
        'Renders a file (salt:// or of the minion) or a text, as its first line or default_renderer says.',
        'slsutil.renderer salt://a.sls'
      ),
      renderer,
      { isolated: true }
    ),
    fn('serialize(serializer, obj, **mod_kwargs)', doc('Prints data as yaml or json.', 'slsutil.serialize json {foo: bar}'), (_ctx, a) =>
      serialize(text(a.serializer, 'serializer'), a.obj, isMapping(a.mod_kwargs) ? a.mod_kwargs : {})
    ),
    fn('deserialize(serializer, stream_or_string, **mod_kwargs)', doc('Reads yaml or json.', "slsutil.deserialize json '{}'"), (_ctx, a) =>
      deserialize(text(a.serializer, 'serializer'), text(a.stream_or_string, 'stream_or_string'))
    ),
    fn(
      'update(dest, upd, recursive_update=True, merge_lists=False)',
      doc('Puts a mapping over another one.', "slsutil.update '{a: 1}' '{b: 2}'"),
      (_ctx, a) =>
        flag(a.recursive_update) ? recurse(a.dest, a.upd, flag(a.merge_lists)) : { ...(a.dest as Mapping), ...(a.upd as Mapping) }
    ),
    fn(`merge(obj_a, obj_b, ${MERGE})`, doc('Merges data.', "slsutil.merge '{a: 1}' '{b: 2}' strategy=recurse"), (_ctx, a) =>
      mergeBy(text(a.strategy, 'strategy'), a.obj_a, a.obj_b, flag(a.merge_lists))
    ),
    fn(`merge_all(lst, ${MERGE})`, doc('Merges the data in a list.', "slsutil.merge_all '[{a: 1}, {b: 2}]'"), (_ctx, a) => {
      if (!Array.isArray(a.lst)) throw new InvocationError(`lst must be a list, not ${pyRepr(a.lst)}`)
      return a.lst.reduce((below, above) => mergeBy(text(a.strategy, 'strategy'), below, above, flag(a.merge_lists)), {})
    }),
    fn("boolstr(value, true='true', false='false')", doc('Returns one of two texts.', 'slsutil.boolstr yes'), (_ctx, a) =>
      flag(a.value) ? a.true : a.false
    ),
    fn(
      "banner(width=72, commentchar='#', borderchar='#', blockstart=None, blockend=None, title=None, text=None, newline=True)",
      doc('Returns a comment for the head of a managed file.', 'slsutil.banner'),
      banner
    ),
    fn('file_exists(path, saltenv=None)', doc('Returns whether the server has a file.', 'slsutil.file_exists a.sls'), async (ctx, a) =>
      (await filesOf(ctx, a)).includes(place(a))
    ),
    fn('dir_exists(path, saltenv=None)', doc('Returns whether the server has a directory.', 'slsutil.dir_exists a'), async (ctx, a) =>
      (await filesOf(ctx, a)).some(file => file.startsWith(`${place(a)}/`))
    ),
    fn(
      'path_exists(path, saltenv=None)',
      doc('Returns whether the server has a file or directory.', 'slsutil.path_exists a'),
      async (ctx, a) => (await filesOf(ctx, a)).some(file => file === place(a) || file.startsWith(`${place(a)}/`))
    ),
    fn(
      'findup(startpath, filenames, saltenv=None)',
      doc('Returns the first of the named files in a directory of the server or one above it.', 'slsutil.findup a/b/c shared.jinja'),
      findup
    )
  ]
}

async function renderer(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const path = textOrNull(a.path, 'path')
  if (path === null && a.string === null) throw new InvocationError('Must pass either path or string')
  if (path !== null && a.string !== null) throw new InvocationError('Must not pass both path and string')
  const given = Object.fromEntries(Object.entries(isMapping(a.kwargs) ? a.kwargs : {}).filter(([key]) => !key.startsWith('__pub_')))
  const saltenv = textOrNull(given.saltenv, 'saltenv') ?? ctx.options.saltenv ?? 'base'
  const source = path === null ? text(a.string, 'string') : await sourceOf(ctx, path, saltenv)
  const first = /^#!([^\n]*)\n?/.exec(source)
  const pipeline = (first?.[1] ?? text(a.default_renderer, 'default_renderer')).split('|').map(name => name.trim())
  const unknown = pipeline.find(name => !['jinja', 'yaml', 'json', 'text'].includes(name))
  if (unknown !== undefined) throw new CommandExecutionError(`the renderer '${unknown}' is not available`)
  const body = first ? source.slice(first[0].length) : source
  const file = path?.replace(/^salt:\/\//, '') ?? 'string'
  const context = { ...given, ...(isMapping(given.context) ? given.context : {}) }
  const rendered = pipeline.includes('jinja') ? await renderTemplate(ctx, body, { file, saltenv, context }) : body
  if (pipeline.includes('yaml')) return parseYaml(rendered)
  return pipeline.includes('json') ? JSON.parse(rendered) : rendered
}

async function sourceOf(ctx: ModuleContext, path: string, saltenv: string): Promise<string> {
  const copy = await localCopy(ctx, path, saltenv)
  if (copy === null) throw new CommandExecutionError(`Path does not exist: ${path}`)
  return readFile(copy, 'utf8')
}

function serialize(kind: string, value: unknown, options: Mapping): string {
  if (kind === 'json') return JSON.stringify(value, null, options.indent === undefined ? undefined : Number(options.indent))
  if (kind === 'yaml') return dumpYaml(value, { flow: flag(options.default_flow_style ?? false) }).replace(/\n(\.\.\.\n)?$/, '')
  throw new CommandExecutionError(`The ${kind} serializer is not available`)
}

function deserialize(kind: string, source: string): unknown {
  if (kind === 'json') return JSON.parse(source)
  if (kind === 'yaml') return parseYaml(source)
  throw new CommandExecutionError(`The ${kind} serializer is not available`)
}

// ── merging ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Salt's strategies; `smart` is `recurse` for mappings. */
function mergeBy(strategy: string, below: unknown, above: unknown, lists: boolean): unknown {
  switch (strategy) {
    case 'smart':
    case 'recurse':
      return recurse(below, above, lists)
    case 'list':
      return isMapping(below) && isMapping(above) ? asLists(below, above) : [below, above]
    case 'aggregate':
      return recurse(below, above, true)
    case 'overwrite':
      return isMapping(below) && isMapping(above) ? { ...below, ...above } : above
    case 'none':
      return below
    default:
      throw new CommandExecutionError(`Unknown merging strategy '${strategy}'`)
  }
}

function recurse(below: unknown, above: unknown, lists: boolean): unknown {
  if (lists && Array.isArray(below) && Array.isArray(above)) {
    return [...below, ...above.filter(item => !below.some(other => JSON.stringify(other) === JSON.stringify(item)))]
  }
  if (!isMapping(below) || !isMapping(above)) return above
  const both: Mapping = { ...below }
  for (const [key, value] of Object.entries(above)) setOwn(both, key, Object.hasOwn(both, key) ? recurse(both[key], value, lists) : value)
  return both
}

/** Keys that both have become lists of both values. */
function asLists(below: Mapping, above: Mapping): Mapping {
  const both: Mapping = { ...below }
  for (const [key, value] of Object.entries(above)) {
    if (!Object.hasOwn(both, key)) setOwn(both, key, value)
    else setOwn(both, key, isMapping(both[key]) && isMapping(value) ? asLists(both[key], value) : [both[key], value])
  }
  return both
}

// ── files of the server ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

function filesOf(ctx: ModuleContext, a: Mapping): Promise<string[]> {
  return ctx.files.listFiles(textOrNull(a.saltenv, 'saltenv') ?? ctx.options.saltenv ?? 'base')
}

function place(a: Mapping): string {
  const path = text(a.path, 'path')
  return parseSaltUrl(path)?.path ?? path.replace(/^\/+|\/+$/g, '')
}

async function findup(ctx: ModuleContext, a: Mapping): Promise<string> {
  const names = [a.filenames].flat().map(name => text(name, 'filenames'))
  const files = new Set(await filesOf(ctx, a))
  const start = text(a.startpath, 'startpath').replace(/^salt:\/\//, '')
  const parts = start.split('/').filter(part => part !== '')
  if (files.has(parts.join('/'))) parts.pop()
  for (let depth = parts.length; depth >= 0; depth--) {
    const dir = parts.slice(0, depth)
    const found = names.map(name => [...dir, name].join('/')).find(path => files.has(path))
    if (found !== undefined) return found
  }
  throw new CommandExecutionError(`File pattern(s) not found in path ${start}`)
}

// ── banner ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const TITLE = 'THIS FILE IS MANAGED BY SALT - DO NOT EDIT'
const WARNING =
  'The contents of this file are managed by Salt. Any changes to this file may be overwritten automatically and without warning.'

function banner(_ctx: ModuleContext, a: Mapping): string {
  const [width, comment] = [number(a.width, 'width'), text(a.commentchar, 'commentchar')]
  const [left, right] = [`${comment.trimEnd()} `, ` ${comment.trim()}`]
  const room = width - left.length - right.length
  if (room <= 0) throw new InvocationError('Width is too small to render banner')
  const border =
    comment +
    text(a.borderchar, 'borderchar')
      .slice(0, 1)
      .repeat(Math.max(0, width - comment.trimEnd().length - comment.trim().length)) +
    comment.trim()
  const spacer = comment + ' '.repeat(Math.max(0, width - comment.length * 2)) + comment
  const title = wrapped(textOrNull(a.title, 'title') ?? TITLE, room).map(line => `${left}${centred(line, room)}${right}`)
  const body = wrapped(textOrNull(a.text, 'text') ?? WARNING, room).map(line => `${left}${line.padEnd(room)}${right}`)
  const [start, end] = [a.blockstart, a.blockend].map(edge => (edge === null ? [] : [pyStr(edge)]))
  return [...start!, border, spacer, ...title, spacer, ...body, border, ...end!].join('\n') + (flag(a.newline) ? '\n' : '')
}

function wrapped(source: string, width: number): string[] {
  const lines: string[] = []
  for (const word of source.split(/\s+/).filter(piece => piece !== '')) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines
}

/** Python's `str.center`: of an odd rest the left side gets the larger half when the width is odd. */
function centred(line: string, width: number): string {
  const rest = Math.max(0, width - line.length)
  const before = Math.floor(rest / 2) + (rest & width & 1)
  return `${' '.repeat(before)}${line}${' '.repeat(rest - before)}`
}

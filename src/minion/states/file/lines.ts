import { readFile, realpath } from 'node:fs/promises'
import { CommandExecutionError, messageOf } from '../../modules/errors.js'
import { linesOf, linesWithEnds } from '../../modules/file/edits.js'
import { escapePattern, FilePattern, looseLines, MULTILINE } from '../../modules/file/pattern.js'
import { decodeContent } from '../../modules/file/rewrite.js'
import { flag, isMapping, type Mapping, text } from '../../modules/values.js'
import { localCopy } from '../../sources.js'
import { renderTemplate } from '../../template.js'
import { type StateContext, type StateResult, stateFn } from '../state.js'
import { refusedName, touchFile } from './basic.js'
import { looksBinary, unifiedDiff } from './diff.js'
import { answer, exists, replaceContent } from './place.js'

/** Where states that put text into a file take it from. */
export const SOURCE_PARAMETERS =
  "source=None, source_hash=None, template='jinja', sources=None, source_hashes=None, defaults=None, context=None"

/** `file.append`. Recorded in golden/events/job_concurrent_state.jsonl. */
export const append = stateFn(
  `append(name, text=None, makedirs=False, ${SOURCE_PARAMETERS}, ignore_whitespace=True)`,
  'Puts lines at the end of a file that does not hold them yet.',
  (ctx, a) => add(ctx, a, 'append')
)

export const prepend = stateFn(
  `prepend(name, text=None, makedirs=False, ${SOURCE_PARAMETERS}, header=None)`,
  'Puts lines at the beginning of a file that does not hold them yet; with header they must stand there, in this order.',
  (ctx, a) => add(ctx, a, 'prepend')
)

type Where = 'append' | 'prepend'

async function add(ctx: StateContext, a: Mapping, where: Where): Promise<StateResult> {
  const name = text(a.name, 'name')
  const refused = refusedName(name, where)
  if (refused) return refused
  try {
    const fromSources = await chunksOf(ctx, a)
    const chunks = fromSources.length > 0 ? fromSources : textsOf(a.text, where)
    if (!(await exists(name))) {
      const touched = await touchFile(ctx, a)
      if (ctx.test || touched.result === false) return touched
    }
    return await addLines(ctx, a, where, chunks)
  } catch (error) {
    return answer(name, false, messageOf(error))
  }
}

async function addLines(ctx: StateContext, a: Mapping, where: Where, chunks: readonly string[]): Promise<StateResult> {
  const name = text(a.name, 'name')
  const path = await realpath(name)
  const content = await readFile(path)
  const { text: source, encode } = decodeContent(content)
  const fresh = where === 'prepend' && flag(a.header ?? false) ? missingHeader(source, chunks) : missingChunks(source, chunks, a, where)
  if (fresh.length === 0) return answer(name, true, `File ${name} is in correct state`)
  const after = joined(source, fresh, where)
  const changes = { diff: looksBinary(content) ? 'Replace binary file' : difference(source, after, where) }
  if (ctx.test) return answer(name, null, `File ${name} is set to be updated`, changes)
  await replaceContent(path, encode(after), null)
  return answer(name, true, `${where === 'append' ? 'Appended' : 'Prepended'} ${fresh.length} lines`, changes)
}

/** Salt compares appended lines without their ends, and puts one behind each line of the difference; prepended lines with them. */
function difference(before: string, after: string, where: Where): string {
  return where === 'append'
    ? unifiedDiff(linesOf(before), linesOf(after)).join('\n')
    : unifiedDiff(linesWithEnds(before), linesWithEnds(after)).join('')
}

function missingHeader(source: string, chunks: readonly string[]): string[] {
  const wanted = chunks.flatMap(linesOf)
  const head = linesOf(source).slice(0, wanted.length)
  return wanted.every((line, index) => line === head[index]) ? [] : wanted
}

/** The lines of the chunks that the text does not hold; loosely: whatever white space is around their words. */
function missingChunks(source: string, chunks: readonly string[], a: Mapping, where: Where): string[] {
  const loosely = where === 'prepend' || flag(a.ignore_whitespace)
  const expression = (chunk: string): string => (loosely ? looseLines(chunk) : `^${escapePattern(chunk.replace(/\n$/, ''))}$`)
  return chunks.filter(chunk => !new FilePattern(expression(chunk), MULTILINE).test(source)).flatMap(linesOf)
}

function joined(source: string, fresh: readonly string[], where: Where): string {
  const block = fresh.map(line => `${line}\n`).join('')
  if (where === 'prepend') return block + source
  return source === '' || source.endsWith('\n') ? source + block : `${source}\n${block}`
}

function textsOf(given: unknown, where: Where): string[] {
  if (given === null || given === undefined) throw new CommandExecutionError(`No text found to ${where}. Nothing ${where}ed`)
  return [given].flat().map(chunk => text(chunk, 'text'))
}

/** The rendered texts of `source` or `sources`; none when neither is given. Throws with the comment of a state that fails. */
export async function chunksOf(ctx: StateContext, a: Mapping): Promise<string[]> {
  const given = (value: unknown): unknown[] => [value].flat().filter(item => item !== null && item !== undefined && item !== '')
  const [one, many] = [given(a.source), given(a.sources)]
  if (one.length > 0 && many.length > 0) throw new CommandExecutionError('source and sources are mutually exclusive')
  if (given(a.source_hash).length > 0 && given(a.source_hashes).length > 0)
    throw new CommandExecutionError('source_hash and source_hashes are mutually exclusive')
  const chunks: string[] = []
  for (const source of one.length > 0 ? one : many) {
    chunks.push(await sourceText(ctx, a, text(isMapping(source) ? Object.keys(source)[0] : source, 'source')))
  }
  return chunks
}

async function sourceText(ctx: StateContext, a: Mapping, source: string): Promise<string> {
  const path = await localCopy(ctx, source, ctx.saltenv)
  if (path === null) throw new CommandExecutionError(`Failed to load template file ${source}`)
  const content = await readFile(path, 'utf8')
  if (a.template !== 'jinja') return content
  const context = { ...(isMapping(a.defaults) ? a.defaults : {}), ...(isMapping(a.context) ? a.context : {}) }
  return renderTemplate(ctx, content, { file: source, saltenv: ctx.saltenv, context })
}

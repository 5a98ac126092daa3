import { readFile, realpath } from 'node:fs/promises'
import { CommandExecutionError, messageOf } from '../../modules/errors.js'
import { flag, isMapping, type Mapping, text } from '../../modules/values.js'
import { localCopy } from '../../sources.js'
import { renderTemplate } from '../../template.js'
import { type StateContext, type StateResult, stateFn } from '../state.js'
import { refusedName, touchFile } from './basic.js'
import { looksBinary, unifiedDiff } from './diff.js'
import { answer, exists, replaceContent } from './place.js'

const PARAMETERS =
  "name, text=None, makedirs=False, source=None, source_hash=None, template='jinja', sources=None, source_hashes=None, defaults=None, context=None"

/** `file.append`. Recorded in golden/events/job_concurrent_state.jsonl. */
export const append = stateFn(
  `append(${PARAMETERS}, ignore_whitespace=True, **kwargs)`,
  'Puts lines at the end of a file that does not hold them yet.',
  (ctx, a) => add(ctx, a, 'append')
)

export const prepend = stateFn(
  `prepend(${PARAMETERS}, header=None, **kwargs)`,
  'Puts lines at the beginning of a file that does not hold them yet.',
  (ctx, a) => add(ctx, a, 'prepend')
)

type Where = 'append' | 'prepend'

async function add(ctx: StateContext, a: Mapping, where: Where): Promise<StateResult> {
  const name = text(a.name, 'name')
  const refused = refusedName(name, where)
  if (refused) return refused
  try {
    const chunks = await wantedChunks(ctx, a)
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
  const source = content.toString('utf8')
  const loosely = where === 'append' ? flag(a.ignore_whitespace) : true
  const fresh = chunks.filter(chunk => !holds(source, chunk, loosely)).flatMap(linesOf)
  const old = linesOf(source)
  if (fresh.length === 0) return answer(name, true, `File ${name} is in correct state`)
  const after = where === 'append' ? [...old, ...fresh] : [...fresh, ...old]
  const changes = { diff: looksBinary(content) ? 'Replace binary file' : unifiedDiff(old, after).join('\n') }
  if (ctx.test) return answer(name, null, `File ${name} is set to be updated`, changes)
  await replaceContent(path, Buffer.from(joined(source, fresh, where)), null)
  return answer(name, true, `${where === 'append' ? 'Appended' : 'Prepended'} ${fresh.length} lines`, changes)
}

function joined(source: string, fresh: readonly string[], where: Where): string {
  const block = fresh.map(line => `${line}\n`).join('')
  if (where === 'prepend') return block + source
  return source === '' || source.endsWith('\n') ? source + block : `${source}\n${block}`
}

function linesOf(source: string): string[] {
  const lines = source.split(/\r\n|\n|\r/)
  if (lines.at(-1) === '') lines.pop()
  return lines
}

/** Whether the chunk's lines stand in the text one after the other; loosely: whatever white space is around their words. */
function holds(source: string, chunk: string, loosely: boolean): boolean {
  const quoted = (literal: string): string => literal.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')
  if (!loosely) return new RegExp(`^${quoted(chunk.replace(/\n$/, ''))}$`, 'm').test(source)
  const tokens = chunk.match(/[\p{L}\p{N}_]+|[^\p{L}\p{N}_\s]/gu) ?? []
  return tokens.length > 0 ? new RegExp(`^\\s*${tokens.map(quoted).join('\\s*')}\\s*$`, 'mu').test(source) : /^\s*$/m.test(source)
}

/** `text` (one or a list), else the rendered `source` or `sources`. */
async function wantedChunks(ctx: StateContext, a: Mapping): Promise<string[]> {
  if (a.text !== null && a.text !== undefined) return [a.text].flat().map(chunk => text(chunk, 'text'))
  const sources = [a.source, a.sources].flat().filter(source => source !== null && source !== undefined)
  if (sources.length === 0) throw new CommandExecutionError("'text' or 'source' is needed")
  return Promise.all(sources.map(source => sourceText(ctx, a, text(isMapping(source) ? Object.keys(source)[0] : source, 'source'))))
}

async function sourceText(ctx: StateContext, a: Mapping, source: string): Promise<string> {
  const path = await localCopy(ctx, source, ctx.saltenv)
  if (path === null) throw new CommandExecutionError(`Source file ${source} not found in saltenv '${ctx.saltenv}'`)
  const content = await readFile(path, 'utf8')
  if (a.template !== 'jinja') return content
  const context = { ...(isMapping(a.defaults) ? a.defaults : {}), ...(isMapping(a.context) ? a.context : {}) }
  return renderTemplate(ctx, content, { file: source, saltenv: ctx.saltenv, context })
}

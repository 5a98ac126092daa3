/** States that edit a file in place: replace, line, blockreplace, comment, uncomment, keyvalue. The edits are those of the `file` module. */
import { readFile, realpath } from 'node:fs/promises'
import { isAbsolute } from 'node:path'
import { messageOf } from '../../modules/errors.js'
import {
  type Block,
  commentLines,
  editKeyValues,
  editLine,
  type LineEdit,
  linesWithEnds,
  replaceBlock,
  replaceText
} from '../../modules/file/edits.js'
import { FilePattern, flagNumber, MULTILINE } from '../../modules/file/pattern.js'
import { backupExtension, decodeContent, rewrite, shownChanges } from '../../modules/file/rewrite.js'
import { flag, isMapping, type Mapping, number, text, textOrNull } from '../../modules/values.js'
import { type StateContext, type StateResult, stateFn } from '../state.js'
import { accumulatedFor } from './accumulated.js'
import { unifiedDiff } from './diff.js'
import { chunksOf, SOURCE_PARAMETERS } from './lines.js'
import { manageFile } from './managed.js'
import { answer, exists, replaceContent } from './place.js'

/** Why a file cannot be edited; null: it can. */
async function unfit(name: string, fun: string): Promise<StateResult | null> {
  if (name === '') return answer(name, false, `Must provide name to file.${fun}`)
  if (!isAbsolute(name)) return answer(name, false, `Specified file ${name} is not an absolute path`)
  return (await exists(name)) ? null : answer(name, false, `${name}: file not found`)
}

/** The result of an edit that says what changed. */
function edited(ctx: StateContext, name: string, diff: string | boolean, wouldBe: string): StateResult {
  if (diff === '' || diff === false) return answer(name, true, 'No changes needed to be made')
  return ctx.test ? answer(name, null, wouldBe, { diff }) : answer(name, true, 'Changes were made', { diff })
}

// ── replace ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

export const replace = stateFn(
  "replace(name, pattern, repl, count=0, flags=8, bufsize=1, append_if_not_found=False, prepend_if_not_found=False, not_found_content=None, backup='.bak', show_changes=True, ignore_if_missing=False, backslash_literal=False)",
  `Replaces what a regular expression (Python's, over lines unless flags say otherwise) finds in a file; \\1 in repl is its first group.
append_if_not_found and prepend_if_not_found add not_found_content (else repl) where it finds nothing.`,
  async (ctx, a) => {
    const name = text(a.name, 'name')
    const refused = await unfit(name, 'replace')
    if (refused?.comment.endsWith(': file not found') && flag(a.ignore_if_missing))
      return answer(name, true, 'No changes needed to be made')
    if (refused) return refused
    const wish = {
      ...{ pattern: text(a.pattern, 'pattern'), repl: text(a.repl, 'repl'), count: number(a.count, 'count'), flags: flagNumber(a.flags) },
      ...{ append: flag(a.append_if_not_found), prepend: flag(a.prepend_if_not_found) },
      ...{ notFoundContent: textOrNull(a.not_found_content, 'not_found_content'), backslashLiteral: flag(a.backslash_literal) }
    }
    const done = await rewrite(name, source => replaceText(source, wish), { dryRun: ctx.test, backup: backupExtension(a.backup) })
    return edited(ctx, name, shownChanges(done, flag(a.show_changes)), 'Changes would have been made')
  }
)

// ── line ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

export const line = stateFn(
  'line(name, content=None, match=None, mode=None, location=None, before=None, after=None, show_changes=True, backup=False, quiet=False, indent=True, create=False, user=None, group=None, file_mode=None)',
  `Edits one line. mode: ensure (the line stands between, before or after the lines that are named), insert (also at location start or end),
replace or delete (the first line that match finds).`,
  async (ctx, a) => {
    const name = text(a.name, 'name')
    if (name === '') return answer(name, false, 'Must provide name to file.line')
    await manageFile(ctx, { name, create: a.create, user: a.user, group: a.group, mode: a.file_mode, replace: false })
    const fresh = ctx.test && flag(a.create) && isAbsolute(name) && !(await exists(name))
    const refused = fresh ? null : await unfit(name, 'line')
    if (refused) return refused
    if (a.mode === null) return answer(name, false, 'Mode was not defined. How to process the file?')
    const mode = text(a.mode, 'mode').toLowerCase()
    if (mode !== 'delete' && a.content === null) return answer(name, false, "Content can only be empty if mode is ['delete']")
    const edit = lineEdit({ ...a, mode })
    const done = fresh
      ? { before: '', after: editLine('', edit) }
      : await rewrite(name, source => editLine(source, edit), { dryRun: ctx.test, backup: lineBackup(a.backup) })
    return edited(ctx, name, shownChanges(done, flag(a.show_changes)), 'Changes would be made')
  }
)

/** The arguments of `file.line`, of the state and of the function. */
export function lineEdit(a: Mapping): LineEdit {
  const [content, match, mode, location] = ['content', 'match', 'mode', 'location'].map(key => textOrNull(a[key], key)) as (string | null)[]
  const [before, after] = ['before', 'after'].map(key => textOrNull(a[key], key))
  return {
    ...{ content: content!, match: match!, mode: mode!, location: location!, before: before!, after: after! },
    indent: flag(a.indent ?? true)
  }
}

/** `file.line` names its copies by the time: `.2026-01-31-12-00-59`. */
export function lineBackup(wish: unknown): string | null {
  if (!flag(wish ?? false)) return null
  const now = new Date()
  const two = (value: number): string => String(value).padStart(2, '0')
  const date = [now.getFullYear(), now.getMonth() + 1, now.getDate()].map(two)
  return `.${[...date, ...[now.getHours(), now.getMinutes(), now.getSeconds()].map(two)].join('-')}`
}

// ── blockreplace ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

export const blockreplace = stateFn(
  `blockreplace(name, marker_start='#-- start managed zone --', marker_end='#-- end managed zone --', ${SOURCE_PARAMETERS}, content='', append_if_not_found=False, prepend_if_not_found=False, backup='.bak', show_changes=True, append_newline=None, insert_before_match=None, insert_after_match=None)`,
  `Manages what stands between two marked lines of a file: content, what file.accumulated has gathered, and source or sources. A block that is
not there is made with append_if_not_found, prepend_if_not_found, insert_before_match or insert_after_match.`,
  async (ctx, a) => {
    const name = text(a.name, 'name')
    const refused = await unfit(name, 'blockreplace')
    if (refused) return refused
    try {
      const gathered = Object.values(accumulatedFor(ctx, name))
        .flat()
        .map(item => text(item, 'text'))
      const content = [textOrNull(a.content, 'content') ?? '', ...gathered].filter((part, index) => index > 0 || part !== '').join('\n')
      const block = blockOf({ ...a, content: content + (await chunksOf(ctx, a)).join('') })
      const done = await rewrite(name, source => replaceBlock(source, block), { dryRun: ctx.test, backup: backupExtension(a.backup) })
      return edited(ctx, name, shownChanges(done, flag(a.show_changes)), 'Changes would be made')
    } catch (error) {
      return answer(name, false, `Encountered error managing block: ${messageOf(error)}. See the log for details.`)
    }
  }
)

/** The arguments of `file.blockreplace`, of the state and of the function. */
export function blockOf(a: Mapping): Block {
  return {
    ...{ markerStart: text(a.marker_start, 'marker_start'), markerEnd: text(a.marker_end, 'marker_end') },
    ...{ content: textOrNull(a.content, 'content') ?? '', append: flag(a.append_if_not_found), prepend: flag(a.prepend_if_not_found) },
    insertBefore: textOrNull(a.insert_before_match, 'insert_before_match'),
    insertAfter: textOrNull(a.insert_after_match, 'insert_after_match'),
    appendNewline: a.append_newline === null || a.append_newline === undefined ? null : flag(a.append_newline)
  }
}

// ── comment, uncomment ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

export const comment = stateFn(
  "comment(name, regex, char='#', backup='.bak', ignore_missing=False)",
  'Puts a sign in front of the lines that a regular expression finds.',
  (ctx, a) => turnLines(ctx, a, true)
)

export const uncomment = stateFn(
  "uncomment(name, regex, char='#', backup='.bak')",
  'Removes the sign from lines that are commented out.',
  (ctx, a) => turnLines(ctx, a, false)
)

async function turnLines(ctx: StateContext, a: Mapping, commenting: boolean): Promise<StateResult> {
  const name = text(a.name, 'name')
  const [regex, char] = [text(a.regex, 'regex'), text(a.char, 'char')]
  const refused = await unfit(name, commenting ? 'comment' : 'uncomment')
  if (refused) return refused
  const source = decodeContent(await readFile(name)).text
  const bare = regex.replace(/^\^+/, '')
  const unanchored = /^(?:\(\?[iLmsux]\))?\^?([\s\S]*?)\$?$/.exec(regex)![1]!
  const finds = (pattern: string): boolean => new FilePattern(pattern, MULTILINE).test(source)
  const toDo = commenting ? finds(regex) : finds(`${char}[ \\t]*${bare}`)
  if (!toDo) {
    const done = commenting ? finds(char + unanchored) : finds(`^[ \\t]*${bare}`)
    if (done) return answer(name, true, `Pattern already ${commenting ? 'commented' : 'uncommented'}`)
    if (commenting && flag(a.ignore_missing)) return answer(name, true, 'Pattern not found and ignore_missing set to True')
    return answer(name, false, `${commenting ? unanchored : regex}: Pattern not found`)
  }
  if (ctx.test) return answer(name, null, `File ${name} is set to be updated`, { [name]: 'updated' })
  const edit = (before: string): string => commentLines(before, regex, char, commenting)?.text ?? before
  const { before, after } = await rewrite(name, edit, { dryRun: false, backup: backupExtension(a.backup) })
  const changes = before === after ? {} : { diff: unifiedDiff(linesWithEnds(before), linesWithEnds(after)).join('') }
  const success = new FilePattern(commenting ? unanchored : `^[ \\t]*${bare}`, MULTILINE).test(after)
  if (!success) return answer(name, false, `Expected ${commenting ? 'commented' : 'uncommented'} lines not found`, changes)
  return answer(name, true, `${commenting ? 'Commented' : 'Uncommented'} lines successfully`, changes)
}

// ── keyvalue ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

export const keyvalue = stateFn(
  "keyvalue(name, key=None, value=None, key_values=None, separator='=', append_if_not_found=False, prepend_if_not_found=False, search_only=False, show_changes=True, ignore_if_missing=False, count=1, uncomment=None, key_ignore_case=False, value_ignore_case=False)",
  `Sets values of keys, one per line (key, separator, value). uncomment: characters that may stand before a key and go. count: so many lines
with a key stay; -1 sets all, 0 removes all.`,
  async (ctx, a) => {
    const name = text(a.name, 'name')
    if (name === '') return answer(name, false, 'Must provide name to file.keyvalue')
    const values = keyValuesOf(a)
    if (typeof values === 'string') return answer(name, false, values)
    const content = await readFile(name).catch(() => null)
    if (content === null) return answer(name, flag(a.ignore_if_missing), `unable to open ${name}`)
    const { text: source, encode } = decodeContent(content)
    const edit = editKeyValues(source, {
      ...{ values, separator: text(a.separator, 'separator'), count: number(a.count, 'count') },
      ...{ append: flag(a.append_if_not_found), prepend: flag(a.prepend_if_not_found), uncomment: textOrNull(a.uncomment, 'uncomment') },
      ...{ keyIgnoreCase: flag(a.key_ignore_case), valueIgnoreCase: flag(a.value_ignore_case) }
    })
    if (edit.changes === 0) return answer(name, true, '')
    const changes = flag(a.show_changes) ? { diff: edit.diff.join('') } : {}
    if (ctx.test) {
      const predicted = flag(a.show_changes) ? `\nPredicted diff:\n\r\t\t${edit.diff.join('\r\t\t')}` : ''
      return answer(name, null, `File ${name} is set to be changed (${edit.changes} lines)${predicted}`, changes)
    }
    try {
      await replaceContent(await realpath(name), encode(edit.text), null)
    } catch {
      return answer(name, false, `${name} not writable`, changes)
    }
    return answer(name, true, `Changed ${edit.changes} lines`, changes)
  }
)

/** The keys and values of a state; a text: why there are none. */
function keyValuesOf({ key, value, key_values: given }: Mapping): Mapping | string {
  if (key !== null && value !== null) {
    return isMapping(given) ? 'file.keyvalue can not combine key_values with key and value' : { [text(key, 'key')]: value }
  }
  if (isMapping(given) && Object.keys(given).length > 0) return given
  const empty = given === null || (isMapping(given) && Object.keys(given).length === 0) || given === ''
  return `file.keyvalue key and value not supplied and key_values ${empty ? 'is empty' : 'is not a dictionary'}`
}

import type { Stats } from 'node:fs'
import { lstat, open, rm, stat, utimes } from 'node:fs/promises'
import { dirname, isAbsolute, normalize } from 'node:path'
import { messageOf } from '../../modules/errors.js'
import { flag, type Mapping, numberOrNull, text } from '../../modules/values.js'
import { type StateContext, type StateResult, stateFn } from '../state.js'
import { answer, exists, makeParents } from './place.js'

const AS_IT_IS = { user: null, group: null, uid: null, gid: null, mode: null }

/** Refuses names that no file state may have; null: fine. */
export function refusedName(name: string, fun: string): StateResult | null {
  if (name === '') return answer(name, false, `Must provide name to file.${fun}`)
  return isAbsolute(name) ? null : answer(name, false, `Specified file ${name} is not an absolute path`)
}

export const absent = stateFn('absent(name, **kwargs)', 'Removes a file, link or directory with all that is in it.', async (ctx, a) => {
  const name = text(a.name, 'name')
  const refused = refusedName(name, 'absent')
  if (refused) return refused
  if (normalize(name) === '/') return answer(name, false, 'Refusing to make "/" absent')
  const now = await lstat(name).catch(() => null)
  if (!now) return answer(name, true, `File ${name} is not present`)
  const kind = now.isDirectory() ? 'directory' : 'file'
  if (ctx.test) return answer(name, null, `${kind === 'file' ? 'File' : 'Directory'} ${name} is set for removal`, { removed: name })
  try {
    await rm(name, { recursive: true })
    return answer(name, true, `Removed ${kind} ${name}`, { removed: name })
  } catch (error) {
    return answer(name, false, messageOf(error))
  }
})

export const existsState = stateFn('exists(name, **kwargs)', 'Fails unless a path exists.', (_ctx, a) => presence(a, 'exists', true))
export const missing = stateFn('missing(name, **kwargs)', 'Fails when a path exists.', (_ctx, a) => presence(a, 'missing', false))

async function presence(a: Mapping, fun: string, wanted: boolean): Promise<StateResult> {
  const name = text(a.name, 'name')
  if (name === '') return answer(name, false, `Must provide name to file.${fun}`)
  const there = await exists(name)
  const said = there ? `Specified path ${name} exists` : `Specified path ${name} ${wanted ? 'does not exist' : 'is missing'}`
  return answer(name, there === wanted, there && wanted ? `Path ${name} exists` : !there && !wanted ? `Path ${name} is missing` : said)
}

export const touch = stateFn(
  'touch(name, atime=None, mtime=None, makedirs=False)',
  'Makes an empty file, or sets the times of a file (seconds since 1970).',
  touchFile
)

/** Also what file.append does first with a file that is not there. */
export async function touchFile(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const name = text(a.name, 'name')
  const refused = refusedName(name, 'touch')
  if (refused) return refused
  const now = await stat(name).catch(() => null)
  const times = { atime: numberOrNull(a.atime, 'atime'), mtime: numberOrNull(a.mtime, 'mtime') }
  if (now && hasTimes(now, times)) return answer(name, true, `File ${name} exists and has the correct times`)
  if (ctx.test) return predictTouch(name, now)
  if (!(await exists(dirname(name)))) {
    if (!flag(a.makedirs)) return answer(name, false, `Directory not present to touch file ${name}`)
    await makeParents(name, AS_IT_IS, null)
  }
  if (!now) await (await open(name, 'a')).close()
  const seconds = Date.now() / 1000
  await utimes(name, times.atime ?? seconds, times.mtime ?? seconds)
  if (!now) return answer(name, true, `Created empty file ${name}`, { new: name })
  return answer(name, true, `Updated times on ${now.isDirectory() ? 'directory' : 'file'} ${name}`, { touched: name })
}

/** Whether a file has the times that are asked for. None asked for: they are to be those of now, which no file has. */
function hasTimes(now: Stats, times: { atime: number | null; mtime: number | null }): boolean {
  const right = (wish: number | null, ms: number): boolean => wish === null || Math.floor(wish) === Math.floor(ms / 1000)
  const given = times.atime !== null || times.mtime !== null
  return given && right(times.atime, now.atimeMs) && right(times.mtime, now.mtimeMs)
}

function predictTouch(name: string, now: Stats | null): StateResult {
  if (!now) return answer(name, null, `File ${name} is set to be created`, { new: name })
  return answer(name, null, `Times set to be updated on ${now.isDirectory() ? 'directory' : 'file'} ${name}`, { touched: name })
}

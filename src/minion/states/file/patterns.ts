import { compileGlob } from '../../../tags/glob.js'
import { FilePattern } from '../../modules/file/pattern.js'

/** Salt's include_pat and exclude_pat: globs, or regular expressions behind `E@`. */
export function isIncluded(path: string, include: string | null, exclude: string | null): boolean {
  return (!include || matches(include, path)) && (!exclude || !matches(exclude, path))
}

function matches(pattern: string, path: string): boolean {
  return pattern.startsWith('E@') ? new FilePattern(pattern.slice(2), 0).test(path) : compileGlob(pattern)(path)
}

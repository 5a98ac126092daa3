export { type Facts, type Matched, matchTarget } from './match.js'
export { parseTarget, type Target, type TargetOptions } from './parse.js'

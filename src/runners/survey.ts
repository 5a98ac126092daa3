/** `survey.*`: minions that answer alike, pooled. */
import { createHash } from 'node:crypto'
import { brineError } from '../errors.js'
import { diffOf } from '../minion/states/file/diff.js'
import { parseArguments } from '../shared/arguments.js'
import { dumpYaml } from '../shared/yaml.js'
import { askMinions } from './ask.js'
import { ArgumentError, type CallContext, type ServerFunction, serverFunction } from './function.js'

interface Pool {
  readonly pool: string[]
  readonly result: unknown
}

/** Who answers alike, the largest pool first unless `up`. `args`: target, function, its arguments, as on the command line. */
async function pools(
  context: CallContext,
  args: readonly unknown[],
  kwargs: Readonly<Record<string, unknown>>,
  up: boolean
): Promise<Pool[]> {
  const { survey_timeout, survey_sort: _, survey_expr_form, tgt_type, ...rest } = kwargs
  const [tgt, fun, ...given] = args
  if (typeof fun !== 'string') throw new ArgumentError('signature', 'a target and a function are needed')
  const parsed = parseArguments(given)
  const all = { ...parsed.kwargs, ...rest }
  const arg = Object.keys(all).length === 0 ? parsed.args : [...parsed.args, { ...all, __kwarg__: true }]
  const tgtType = String(tgt_type ?? survey_expr_form ?? 'glob')
  // the function is the caller's choice, so the caller must be permitted to run it
  if (!context.caller.may({ kind: 'local', fun, args: parsed.args, kwargs: all, tgt, tgtType })) throw brineError('AUTHORIZATION')
  const timeoutSeconds = typeof survey_timeout === 'number' ? survey_timeout : null
  const byHash = new Map<string, Pool>()
  for (const [minion, result] of await askMinions(context, { fun, arg, tgt, tgtType, timeoutSeconds })) {
    const hash = createHash('sha256')
      .update(JSON.stringify(result) ?? 'null')
      .digest('hex')
    const pool = byHash.get(hash) ?? { pool: [], result }
    pool.pool.push(minion)
    byHash.set(hash, pool)
  }
  for (const { pool } of byHash.values()) pool.sort()
  return [...byHash.values()].sort((a, b) => (up ? a.pool.length - b.pool.length : b.pool.length - a.pool.length))
}

const hash = serverFunction({
  name: 'survey.hash',
  doc: "Run a function on minions and pool those that answer alike: [{pool: [minions], result}].\n\nCLI Example:\n\n    brine run survey.hash '*' file.get_hash /etc/salt/minion",
  takesArgs: true,
  takesKwargs: true,
  run: (context, _, { args, kwargs }) => pools(context, args, kwargs, kwargs.survey_sort === 'up')
})

const diff = serverFunction({
  name: 'survey.diff',
  doc: "Run a function on minions and pool those that answer alike; each pool beside the largest shows how it differs.\n\nCLI Example:\n\n    brine run survey.diff '*' cp.get_file_str /etc/hosts",
  takesArgs: true,
  takesKwargs: true,
  async run(context, _, { args, kwargs }) {
    const found = await pools(context, args, kwargs, kwargs.survey_sort === 'up')
    const norm = found[0]
    return found.map(({ pool, result }, at) => {
      if (at === 0 || norm === undefined) return { pool, result }
      return { pool, diff: diffOf(Buffer.from(textOf(norm.result)), Buffer.from(textOf(result))) }
    })
  }
})

function textOf(result: unknown): string {
  return typeof result === 'string' ? result : dumpYaml(result)
}

/** The runner's functions that compare minions. */
export const surveyRunners: readonly ServerFunction[] = [hash, diff]

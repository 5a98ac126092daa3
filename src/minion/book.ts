/** What the books of beacons and of scheduled jobs have in common: a file of what was changed, and Salt's events around each call. */
import { parseYaml } from '../shared/yaml.js'
import { readIfThere } from './disk.js'
import { CommandExecutionError, messageOf } from './modules/errors.js'
import { isMapping, type Mapping } from './modules/values.js'

export interface BookLog {
  warn(fields: object, text: string): void
}

/** What the file keeps under this name; null when it keeps nothing. A broken file is told and passed over. */
export async function keptIn(file: string, name: 'beacons' | 'schedule', log?: BookLog): Promise<Mapping | null> {
  try {
    const source = await readIfThere(file)
    const kept = source === null ? null : parseYaml(source)
    return isMapping(kept) && isMapping(kept[name]) ? kept[name] : null
  } catch (error) {
    log?.warn({ file, error: messageOf(error) }, `what was kept as ${name} cannot be read and is left out`)
    return null
  }
}

export interface Asked {
  readonly name: 'beacons' | 'schedule'
  readonly func: string
  readonly args: Mapping
  /** Tags of the answers by function, without what all begin with. */
  readonly answers: Readonly<Record<string, string>>
  /** Tells the minion's bus. */
  readonly fire?: ((tag: string, data: Mapping) => void) | undefined
}

/** Performs a function; the minion's bus hears of the question and of the answer. Throws CommandExecutionError for one that is not known, and what `perform` throws. */
export async function answered({ name, func, args, answers, fire }: Asked, perform: () => Promise<Mapping>): Promise<Mapping> {
  const tag = Object.hasOwn(answers, func) ? answers[func] : undefined
  if (tag === undefined) throw new CommandExecutionError(`the ${name} has no function '${func}'`)
  fire?.(`manage_${name}`, { func, ...args })
  const answer = { complete: true, ...(await perform()) }
  fire?.(`/salt/minion/${tag}`, answer)
  return answer
}

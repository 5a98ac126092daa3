import { cmd } from './cmd.js'
import { cron } from './cron.js'
import { event } from './event.js'
import { file } from './file/index.js'
import { grains } from './grains.js'
import { group } from './group.js'
import { module } from './module.js'
import { pkg } from './pkg/index.js'
import { schedule } from './schedule.js'
import { service } from './service.js'
import type { StateFunction, StateModule } from './state.js'
import { test } from './test.js'
import { user } from './user.js'

/** All state modules. */
export const stateModules: readonly StateModule[] = [cmd, cron, event, file, grains, group, module, pkg, schedule, service, test, user]

const byName = new Map(stateModules.map(module => [module.name, module]))

/** A state function, or the reaction to a watched state under the name `mod_watch`. */
export function findState(state: string, fun: string): StateFunction | undefined {
  const module = byName.get(state)
  return fun === 'mod_watch' ? module?.watch : module?.functions.find(entry => entry.name === fun)
}

/** Whether states of a module can react to changes of others. */
export function watcherOf(state: string): StateFunction | undefined {
  return byName.get(state)?.watch
}

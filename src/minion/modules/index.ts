import { cmd } from './cmd.js'
import { config } from './config.js'
import { cp } from './cp.js'
import { event } from './event.js'
import { grains } from './grains.js'
import { http } from './http.js'
import { mine } from './mine.js'
import type { Module } from './module.js'
import { pillar } from './pillar.js'
import { saltutil } from './saltutil.js'
import { schedule } from './schedule.js'
import { state } from './state.js'
import { sys } from './sys.js'
import { ModuleTable } from './table.js'
import { test } from './test.js'

/** All execution modules. */
const MODULES: readonly Module[] = [cmd, config, cp, event, grains, http, mine, pillar, saltutil, schedule, state, sys, test]

let table: ModuleTable | undefined

/** All functions of a minion; made once. */
export function loadModules(): ModuleTable {
  table ??= new ModuleTable(MODULES)
  return table
}

/** The same with further modules, whose functions win (custom.ts). */
export function modulesWith(custom: readonly Module[]): ModuleTable {
  return new ModuleTable([...MODULES, ...custom])
}

import { beacons } from './beacons.js'
import { cmd } from './cmd.js'
import { config } from './config.js'
import { cp } from './cp.js'
import { cron } from './cron.js'
import { disk } from './disk.js'
import { event } from './event.js'
import { file } from './file.js'
import { grains } from './grains.js'
import { group } from './group.js'
import { http } from './http.js'
import { match } from './match.js'
import { mine } from './mine.js'
import type { Module } from './module.js'
import { network } from './network.js'
import { pillar } from './pillar.js'
import { pkg } from './pkg.js'
import { ps } from './ps.js'
import { saltutil } from './saltutil.js'
import { schedule } from './schedule.js'
import { service } from './service.js'
import { shadow } from './shadow.js'
import { slsutil } from './slsutil.js'
import { state } from './state.js'
import { status } from './status.js'
import { sys } from './sys.js'
import { ModuleTable } from './table.js'
import { test } from './test.js'
import { user } from './user.js'

/** All execution modules. */
const MODULES: readonly Module[] = [
  beacons,
  cmd,
  config,
  cp,
  cron,
  disk,
  event,
  file,
  grains,
  group,
  http,
  match,
  mine,
  network,
  pillar,
  pkg,
  ps,
  saltutil,
  schedule,
  service,
  shadow,
  slsutil,
  state,
  status,
  sys,
  test,
  user
]

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

import type { Beacon } from './beacon.js'
import { inotify } from './inotify.js'
import { diskusage, load, memusage, networkInfo, swapusage } from './measures.js'
import { ps, status } from './processes.js'

/** All kinds of beacons, by name. */
export const BEACONS: ReadonlyMap<string, Beacon> = new Map(
  [diskusage, inotify, load, memusage, networkInfo, ps, status, swapusage].map(beacon => [beacon.name, beacon])
)

import { join } from 'node:path'
import type { Mapping } from '../modules/values.js'
import type { MinionOptions } from '../options.js'
import { BeaconBook } from './book.js'

/** Where `beacons.save` writes; the name is that of Salt's file in minion.d. */
export function beaconsFileOf(options: Pick<MinionOptions, 'conf_dir'>): string {
  return join(options.conf_dir, 'beacons.conf')
}

/** The beacons of a minion that does not run: only what is saved lasts. */
export function beaconsFile(options: MinionOptions): { manage(func: string, args: Mapping): Promise<Mapping> } {
  return {
    async manage(func, args) {
      const book = await new BeaconBook({ config: options.beacons, file: beaconsFileOf(options) }).load()
      return book.manage(func, args)
    }
  }
}

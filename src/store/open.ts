import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Config } from '../config/schema.js'
import type { Clock } from '../shared/clock.js'
import { openSqliteStore } from './sqlite/open.js'
import type { Store } from './store.js'

/**
 * Opens the log that the configuration names: `<data_dir>/brine.db`.
 * Throws STORE_LOCKED, STORE_CORRUPT, STORE_NEWER or STORE_FULL, each with what to do about it.
 */
export function openStore(
  config: Pick<Config, 'data_dir' | 'max_waiting_writes'>,
  parts: { clock: Clock; log?: Pick<Logger, 'error' | 'warn' | 'info'> }
): Promise<Store> {
  return openSqliteStore({ file: join(config.data_dir, 'brine.db'), maxWaiting: config.max_waiting_writes, ...parts })
}

/** An agent in a process of its own whose jobs never end, to be killed. Arguments: directory, server URL. */
import { Masters } from '../../src/minion/masters.js'
import { Minion } from '../../src/minion/minion.js'
import { silent } from './log.js'

const [dir, url] = process.argv.slice(2) as [string, string]
const minion = new Minion({
  id: 'web1',
  masters: new Masters({ urls: [url] }),
  dir,
  spoolBytes: 1024 * 1024,
  acceptanceWaitMs: 50,
  reconnectMs: { first: 10, max: 50 },
  runner: async () => ({
    grains: {},
    execute: () => new Promise(() => {}),
    stop: async () => {}
  }),
  log: silent
})
await minion.start()

import { param, type ServerFunction, serverFunction } from './function.js'

/** Kinds of Salt's extension modules for a master. They are Python, which nothing here runs: there is never anything to sync. */
const KINDS =
  'auth beacons cache clouds engines eauth_tokens executors fileserver grains log_handlers matchers modules output pillar proxymodules queues renderers returners roster runners sdb serializers states thorium tops tokens utils wheel wrapper'.split(
    ' '
  )
const params = { saltenv: param.textOr('base'), extmod_whitelist: param.anyOr(null), extmod_blacklist: param.anyOr(null) }
const doc = "Sync the server's own extension modules. There are none: Salt's are Python files. Returns what was synced."

/** `saltutil.sync_*`, so that clients which sync before they run find the answer of a master that has nothing to sync. */
export const saltutilRunners: readonly ServerFunction[] = [
  serverFunction({ name: 'saltutil.sync_all', doc, params, run: () => Object.fromEntries(KINDS.map(kind => [kind, []])) }),
  ...KINDS.map(kind => serverFunction({ name: `saltutil.sync_${kind}`, doc, params, run: () => [] }))
]

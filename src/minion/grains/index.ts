import { delimiter } from 'node:path'
import { messageOf } from '../modules/errors.js'
import type { Mapping } from '../modules/values.js'
import type { MinionOptions } from '../options.js'
import { BRINE_VERSION, SALT_VERSION, SALT_VERSION_INFO } from '../version.js'
import { readGrainsFile } from './custom.js'
import { hardwareGrains } from './hardware.js'
import { networkGrains } from './network.js'
import { osGrains } from './os.js'
import { shellOf } from './shell.js'
import { siteGrains } from './site.js'
import { serverId, systemGrains } from './system.js'

/**
 * All grains of this machine, with Salt's names. Files are read and (but for systemctl) no program is started, so it takes a few milliseconds.
 * Order of precedence, weakest first: the machine's, those of `_grains`, the grains file's, the configuration's; `id` is the minion's own.
 */
export async function collectGrains(options: MinionOptions): Promise<Mapping> {
  const [os, hardware, network, system, site, file] = await Promise.all([
    osGrains(),
    hardwareGrains(),
    networkGrains(),
    systemGrains(),
    siteGrains(options),
    grainsOfFile(options)
  ])
  return {
    ...{ ...system, ...os, ...hardware, ...network, groupname: system.groupname, ...agentGrains(options), server_id: serverId(options.id) },
    ...site,
    ...file,
    ...options.grains,
    id: options.id
  }
}

function agentGrains(options: MinionOptions): Mapping {
  const master = options.settings.master
  return {
    ...{ saltversion: SALT_VERSION, saltversioninfo: SALT_VERSION_INFO, brineversion: BRINE_VERSION, nodeversion: process.versions.node },
    ...{ path: process.env.PATH ?? '', systempath: (process.env.PATH ?? '').split(delimiter), shell: shellOf(process.env) },
    ...{ pid: process.pid, pathsep: delimiter },
    ...(typeof master === 'string' ? { master: hostOf(master) } : {})
  }
}

/** The server's name or address, as Salt's setting has it, where brine's is a URL: templates put it into other services' settings. */
function hostOf(master: string): string {
  return /^https?:\/\//i.test(master) && URL.canParse(master) ? new URL(master).hostname : master
}

/** A broken file must not keep the minion from starting; `grains.setval` names the mistake. */
async function grainsOfFile(options: MinionOptions): Promise<Mapping> {
  try {
    return await readGrainsFile(options)
  } catch (error) {
    process.emitWarning(messageOf(error), 'GrainsWarning')
    return {}
  }
}

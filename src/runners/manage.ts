import { meantMinions } from '../jobs/target.js'
import { askMinions } from './ask.js'
import { type CallContext, param, type ServerFunction, serverFunction } from './function.js'

const target = {
  tgt: param.anyOr('*'),
  tgt_type: param.textOr('glob'),
  timeout: param.numberOr(null),
  gather_job_timeout: param.numberOr(null)
}

interface Target {
  readonly tgt: unknown
  readonly tgt_type: string
  readonly timeout: number | null
  readonly gather_job_timeout: number | null
}

/** Accepted minions that the target means, split by whether they answer a test.ping. */
async function ping(
  context: CallContext,
  { tgt, tgt_type, timeout, gather_job_timeout }: Target
): Promise<{ up: string[]; down: string[] }> {
  const question = { tgt, tgtType: tgt_type, timeoutSeconds: timeout, gatherSeconds: gather_job_timeout }
  const answers = await askMinions(context, { fun: 'test.ping', ...question })
  const { minions } = meantMinions(tgt, tgt_type, { ...context, nodegroups: context.config.nodegroups })
  const down = minions.filter(id => !answers.has(id))
  return { up: [...answers.keys()].sort(), down: down.sort() }
}

const byPing = [
  serverFunction({
    name: 'manage.status',
    doc: 'Ask all minions with test.ping who is there: {up: [...], down: [...]}.\n\nCLI Example:\n\n    brine run manage.status',
    params: target,
    run: ping
  }),
  serverFunction({
    name: 'manage.up',
    doc: 'List the minions that answer a test.ping.',
    params: target,
    run: async (context, args) => (await ping(context, args)).up
  }),
  serverFunction({
    name: 'manage.down',
    doc: 'List the accepted minions that do not answer a test.ping.',
    params: target,
    run: async (context, args) => (await ping(context, args)).down
  })
]

/** Salt has several names for "connected now" and for "accepted, and not connected now". No command is sent. */
const CONNECTED = ['list_state', 'present', 'alived', 'joined', 'allowed', 'reaped']
const NOT_CONNECTED = ['list_not_state', 'not_present', 'not_alived', 'not_joined', 'not_allowed', 'not_reaped']

/** Salt's parameters of these functions: which ids to keep, and a flag for addresses, which are not known here. */
const presence = { subset: param.textsOr(null), show_ip: param.anyOr(false) }

function keep(ids: readonly string[], subset: readonly string[] | null): string[] {
  return ids.filter(id => subset === null || subset.includes(id)).sort()
}

const byPresence = [
  ...CONNECTED.map(name =>
    serverFunction({
      name: `manage.${name}`,
      doc: 'List the minions that are connected now. No command is sent to them.',
      params: presence,
      run: ({ link }, { subset }) => keep(link.connected(), subset)
    })
  ),
  ...NOT_CONNECTED.map(name =>
    serverFunction({
      name: `manage.${name}`,
      doc: 'List the accepted minions that are not connected now. No command is sent to them.',
      params: presence,
      run: ({ link, keys }, { subset }) =>
        keep(
          keys.accepted().filter(id => !link.isConnected(id)),
          subset
        )
    })
  )
]

/** The runner's functions that tell which minions are there. */
export const manageRunners: readonly ServerFunction[] = [...byPing, ...byPresence]

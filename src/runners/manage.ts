import { meantMinions } from '../jobs/target.js'
import { SALT_VERSION } from '../minion/version.js'
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
    // Salt's first parameter says whether to print; there is nothing to print here
    params: { output: param.anyOr(true), ...target },
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
    doc: 'List the accepted minions that do not answer a test.ping. removekeys=True deletes their keys.',
    params: { removekeys: param.flagOr(false), ...target },
    async run(context, { removekeys, ...args }) {
      const { down } = await ping(context, args)
      if (removekeys && down.length > 0) await context.keys.delete(down.filter(id => context.keys.isAccepted(id)))
      return down
    }
  })
]

/** Connected to the server, whatever the word: here a minion that is connected has an accepted key, and jobs can be sent. */
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

const versions = serverFunction({
  name: 'manage.versions',
  doc: "Ask all minions for their version and compare it with the server's: {Master: version, Up to date: {minion: version}, …}.",
  params: { timeout: param.numberOr(null), gather_job_timeout: param.numberOr(null) },
  async run(context, { timeout, gather_job_timeout }) {
    const question = { fun: 'test.version', timeoutSeconds: timeout, gatherSeconds: gather_job_timeout }
    const kinds: Record<string, Record<string, string>> = {}
    const answers = [...(await askMinions(context, question))].sort(([a], [b]) => (a < b ? -1 : 1))
    for (const [minion, answer] of answers) {
      if (typeof answer !== 'string') continue
      const kind = VERSION_KINDS[1 + compareVersions(answer, SALT_VERSION)]!
      kinds[kind] = { ...kinds[kind], [minion]: answer }
    }
    return { ...kinds, Master: SALT_VERSION }
  }
})

/** Salt's words, by how a minion's version compares with the server's: older, the same, newer. */
const VERSION_KINDS = ['Minion requires update', 'Up to date', 'Minion newer than master']

/** -1, 0 or 1, by the numbers before a `+` or `rc`: what is built on a version counts as that version. */
function compareVersions(a: string, b: string): number {
  const numbers = (version: string) => (/^[\d.]*/.exec(version)![0] || '0').split('.').map(Number)
  const [left, right] = [numbers(a), numbers(b)]
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0)
    if (difference !== 0) return Math.sign(difference)
  }
  return 0
}

/** The runner's functions that tell which minions are there. */
export const manageRunners: readonly ServerFunction[] = [...byPing, ...byPresence, versions]

import { meantMinions, type TargetContext } from '../../src/jobs/target.js'
import { absolute, type Bench, type Figure, percentile, short } from './figures.js'

const MINIONS = 10_000
const ROUNDS = 15
const LIMIT_MS = 20

interface Minion {
  readonly id: string
  readonly grains: Record<string, unknown>
  readonly pillar: Record<string, unknown>
}

/** A site as it is: a few roles, systems and places, addresses of their own, and the other fifty grains that nobody asks for. */
function fleet(): Minion[] {
  const others = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`other_${i}`, `value ${i}`]))
  return Array.from({ length: MINIONS }, (_, i) => {
    const role = ['web', 'db', 'cache', 'queue', 'build'][i % 5]!
    const address = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`
    const minion: Minion = {
      id: `${role}${i}.dc${i % 7}.example.com`,
      grains: {
        ...others,
        ...{ os: ['Debian', 'Ubuntu', 'Rocky'][i % 3], osrelease: '12', kernel: 'Linux', roles: [role, i % 2 ? 'prod' : 'stage'] },
        ...{ ipv4: ['127.0.0.1', address], ipv6: ['::1', `fe80::${i.toString(16)}`], place: { dc: `dc${i % 7}`, rack: i % 40 } }
      },
      pillar: { users: { [`user${i % 100}`]: { uid: i } }, tier: i % 4 }
    }
    return JSON.parse(JSON.stringify(minion)) as Minion // as the server has them, from what minions have sent
  })
}

function contextOf(minions: readonly Minion[]): TargetContext {
  const byId = new Map(minions.map(minion => [minion.id, minion]))
  const ids = [...byId.keys()].sort()
  return {
    keys: { accepted: () => ids, grainsOf: id => byId.get(id)?.grains },
    pillars: { cached: id => byId.get(id)?.pillar },
    nodegroups: { prod_web: 'G@roles:web and G@roles:prod', site: 'N@prod_web or ( E@^db.* and not G@place:dc:dc3 )' }
  }
}

/** Each with the decision that a program made for it alone would take. */
const TARGETS: readonly [string, unknown, string, (minion: Minion) => boolean][] = [
  ['*', '*', 'glob', () => true],
  ['web*.dc[1-3].*', 'web*.dc[1-3].*', 'glob', ({ id }) => /^web.*\.dc[1-3]\..*$/s.test(id)],
  ['pcre', '(web|db)\\d+5\\.dc', 'pcre', ({ id }) => /^(web|db)\d+5\.dc/.test(id)],
  ['a list of 1,000', null, 'list', ({ id }) => LISTED.has(id)],
  ['os:Deb*', 'os:Deb*', 'grain', ({ grains }) => /^deb.*$/s.test(String(grains.os).toLowerCase())],
  ['roles:prod', 'roles:prod', 'grain', ({ grains }) => (grains.roles as string[]).includes('prod')],
  ['os:(Debian|Rocky)', 'os:(Debian|Rocky)', 'grain_pcre', ({ grains }) => /^(debian|rocky)/.test(String(grains.os).toLowerCase())],
  ['place:dc:dc3', 'place:dc:dc3', 'grain', ({ grains }) => (grains.place as { dc: string }).dc === 'dc3'],
  ['users:user7:*', 'users:user7:*', 'pillar', ({ pillar }) => Object.hasOwn(pillar.users as object, 'user7')],
  ['10.0.8.0/22', '10.0.8.0/22', 'ipcidr', ({ grains }) => (grains.ipv4 as string[]).some(text => /^10\.0\.(8|9|10|11)\./.test(text))],
  [
    'compound of five',
    'G@os:Debian and ( web* or E@^db ) and not I@tier:3 and not L@web0.dc0.example.com',
    'compound',
    ({ id, grains, pillar }) => grains.os === 'Debian' && /^(web|db)/.test(id) && pillar.tier !== 3 && id !== 'web0.dc0.example.com'
  ],
  [
    'nested nodegroup',
    'site',
    'nodegroup',
    ({ id, grains }) => {
      const roles = grains.roles as string[]
      return (roles.includes('web') && roles.includes('prod')) || (/^db.*/.test(id) && (grains.place as { dc: string }).dc !== 'dc3')
    }
  ]
]
const LISTED = new Set<string>()

/** Who is meant among ten thousand minions, from the text of the target on, for each kind of target; beside it the same by a bare loop. */
export const bench: Bench = async () => {
  const minions = fleet()
  for (let i = 0; i < 1000; i++) LISTED.add(minions[i * 7]!.id)
  const context = contextOf(minions)
  return TARGETS.map(([name, tgt, type, decides]) => measured(name, tgt ?? [...LISTED], type, { context, minions, decides }))
}

interface Measuring {
  readonly context: TargetContext
  readonly minions: readonly Minion[]
  readonly decides: (minion: Minion) => boolean
}

function measured(name: string, tgt: unknown, type: string, { context, minions, decides }: Measuring): Figure {
  const [ours, bare]: [number[], number[]] = [[], []]
  for (let round = 0; round < ROUNDS; round++) {
    let [found, wanted] = [0, 0]
    ours.push(
      busy(() => {
        found = meantMinions(tgt, type, context).minions.length
      })
    )
    bare.push(
      busy(() => {
        wanted = minions.filter(decides).length
      })
    )
    if (found !== wanted || found === 0) throw new Error(`${name}: ${found} minions, ${wanted} are meant`)
  }
  const loop = `a bare loop: ${short(percentile(bare, 0.5))} ms`
  return absolute(`${type} ${name}`, percentile(ours, 0.5), { atMost: LIMIT_MS }, 'ms', `worst ${short(Math.max(...ours))} ms; ${loop}`)
}

/** Milliseconds of processor time: none of it waits for anything, and neighbours on the machine do not count. */
function busy(work: () => void): number {
  const from = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(from)
  return (user + system) / 1000
}

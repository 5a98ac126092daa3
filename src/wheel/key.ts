import { generateKeyPair } from 'node:crypto'
import { promisify } from 'node:util'
import { fingerprint } from '../keys/fingerprint.js'
import { ArgumentError, type CallContext, param, type ServerFunction, serverFunction } from '../runners/function.js'
import type { KeyRecord, KeyState } from '../store/store.js'
import { compileGlob } from '../tags/glob.js'

/** Salt's names for the states, in its order. */
const DIRECTORIES = { accepted: 'minions', pending: 'minions_pre', rejected: 'minions_rejected', denied: 'minions_denied' } as const
type Directory = (typeof DIRECTORIES)[KeyState]
type ByDirectory<T> = Partial<Record<Directory, T>>
const ALL = Object.values(DIRECTORIES)

/** Words of `key.list` for a state; the first letters are enough where Salt takes them. */
const STATE_WORDS: Readonly<Record<string, readonly Directory[]>> = {
  acc: ['minions'],
  accepted: ['minions'],
  pre: ['minions_pre'],
  un: ['minions_pre'],
  unacc: ['minions_pre'],
  unaccepted: ['minions_pre'],
  rej: ['minions_rejected'],
  rejected: ['minions_rejected'],
  den: ['minions_denied'],
  denied: ['minions_denied'],
  all: ALL
}

/** Bits of an RSA key: Salt's default, and what still can be made in seconds. */
const KEY_BITS = { fallback: 2048, min: 2048, max: 8192 }

const isDirectory = (name: string): name is Directory => (ALL as readonly string[]).includes(name)

/** `{minions: [...], …}` of the states that have any of the keys, ids sorted. */
function byDirectory(keys: readonly KeyRecord[]): ByDirectory<string[]> {
  return collect(keys, list => list.map(key => key.id))
}

function collect<T>(keys: readonly KeyRecord[], make: (keys: readonly KeyRecord[]) => T): ByDirectory<T> {
  const sorted = [...keys].sort((a, b) => (a.id < b.id ? -1 : 1))
  const found = Object.entries(DIRECTORIES).map(([state, directory]) => [directory, sorted.filter(key => key.state === state)] as const)
  return Object.fromEntries(found.filter(([, list]) => list.length > 0).map(([directory, list]) => [directory, make(list)]))
}

function fullList(keys: readonly KeyRecord[]): Record<string, string[]> {
  const found = byDirectory(keys)
  return { ...Object.fromEntries(ALL.map(directory => [directory, found[directory] ?? []])), local: [] }
}

/** Which keys a call means: ids, globs (one, a list, or separated by commas), or `{state: [ids]}`. */
type Match = (key: KeyRecord) => boolean

function matchNames(patterns: readonly string[]): Match {
  const tests = patterns.map(compileGlob)
  return key => tests.some(matches => matches(key.id))
}

function matchDict(match: unknown): { readonly before: Match; readonly after: Match } {
  if (typeof match !== 'object' || match === null || Array.isArray(match))
    throw new ArgumentError('value', 'expected a mapping of states to ids')
  const wanted = new Map<Directory, ReadonlySet<string>>()
  for (const [directory, ids] of Object.entries(match)) {
    if (!isDirectory(directory)) continue
    if (!Array.isArray(ids)) throw new ArgumentError('value', `'${directory}': expected a list of ids`)
    wanted.set(directory, new Set(ids.map(String)))
  }
  const ids = new Set([...wanted.values()].flatMap(set => [...set]))
  return { before: key => wanted.get(DIRECTORIES[key.state])?.has(key.id) ?? false, after: key => ids.has(key.id) }
}

const allKeys = ({ store }: CallContext) => store.keys.all()

/** Moves the matching keys that are in one of these states, then tells the matching keys by the state they are in now. */
async function move(
  context: CallContext,
  act: 'accept' | 'reject',
  match: { before: Match; after: Match },
  from: readonly KeyState[]
): Promise<ByDirectory<string[]>> {
  const ids = (await allKeys(context)).filter(key => from.includes(key.state) && match.before(key)).map(key => key.id)
  await context.keys[act]([...new Set(ids)])
  return byDirectory((await allKeys(context)).filter(match.after))
}

async function remove(context: CallContext, match: Match): Promise<ByDirectory<string[]>> {
  const ids = (await allKeys(context)).filter(match).map(key => key.id)
  await context.keys.delete([...new Set(ids)])
  return byDirectory((await allKeys(context)).filter(match))
}

const names = (patterns: readonly string[]) => {
  const match = matchNames(patterns)
  return { before: match, after: match }
}

const acceptFrom = (rejected: boolean, denied: boolean): KeyState[] => [
  'pending',
  ...(rejected ? ['rejected' as const] : []),
  ...(denied ? ['denied' as const] : [])
]
const rejectFrom = (accepted: boolean, denied: boolean): KeyState[] => [
  'pending',
  ...(accepted ? ['accepted' as const] : []),
  ...(denied ? ['denied' as const] : [])
]

const acceptFlags = { include_rejected: param.flagOr(false), include_denied: param.flagOr(false) }
const rejectFlags = { include_accepted: param.flagOr(false), include_denied: param.flagOr(false) }

const looking: readonly ServerFunction[] = [
  serverFunction({
    name: 'key.list',
    doc: 'List the keys of a state: accepted (acc), unaccepted (un, pre), rejected (rej), denied (den), all.',
    params: { match: param.text() },
    async run(context, { match }) {
      const directories = STATE_WORDS[match.toLowerCase()] ?? []
      const full = fullList(await allKeys(context))
      return directories === ALL ? full : Object.fromEntries(directories.map(directory => [directory, full[directory]]))
    }
  }),
  serverFunction({
    name: 'key.list_all',
    doc: 'List all keys: {minions, minions_pre, minions_rejected, minions_denied, local}.',
    run: async context => fullList(await allKeys(context))
  }),
  serverFunction({
    name: 'key.name_match',
    doc: 'List the keys whose ids match, by state.',
    params: { match: param.texts() },
    run: async (context, { match }) => byDirectory((await allKeys(context)).filter(matchNames(match)))
  }),
  serverFunction({
    name: 'key.finger',
    doc: 'Show the fingerprints of the matching keys, by state. hash_type: sha256 (default), or md5 and others that Node knows.',
    params: { match: param.texts(), hash_type: param.textOr(null) },
    async run(context, { match, hash_type }) {
      const found = (await allKeys(context)).filter(matchNames(match))
      return collect(found, keys => Object.fromEntries(keys.map(key => [key.id, fingerprint(key.pub, hash_type ?? 'sha256')])))
    }
  }),
  serverFunction({
    name: 'key.print',
    doc: 'Show the matching public keys, by state.',
    params: { match: param.texts() },
    async run(context, { match }) {
      const found = (await allKeys(context)).filter(matchNames(match))
      return collect(found, keys => Object.fromEntries(keys.map(key => [key.id, key.pub])))
    }
  })
]

const moving: readonly ServerFunction[] = [
  serverFunction({
    name: 'key.accept',
    doc: 'Accept the pending keys that match; with include_rejected and include_denied those too. Returns the matching keys by the state they are in now.',
    params: { match: param.texts(), ...acceptFlags },
    run: (context, args) => move(context, 'accept', names(args.match), acceptFrom(args.include_rejected, args.include_denied))
  }),
  serverFunction({
    name: 'key.accept_dict',
    doc: "Accept the keys of a mapping of states to ids: {'minions_pre': ['web1']}.",
    params: { match: param.any(), ...acceptFlags },
    run: (context, args) => move(context, 'accept', matchDict(args.match), acceptFrom(args.include_rejected, args.include_denied))
  }),
  serverFunction({
    name: 'key.reject',
    doc: 'Reject the pending keys that match; with include_accepted and include_denied those too. Returns the matching keys by the state they are in now.',
    params: { match: param.texts(), ...rejectFlags },
    run: (context, args) => move(context, 'reject', names(args.match), rejectFrom(args.include_accepted, args.include_denied))
  }),
  serverFunction({
    name: 'key.reject_dict',
    doc: "Reject the keys of a mapping of states to ids: {'minions_pre': ['web1']}.",
    params: { match: param.any(), ...rejectFlags },
    run: (context, args) => move(context, 'reject', matchDict(args.match), rejectFrom(args.include_accepted, args.include_denied))
  }),
  serverFunction({
    name: 'key.delete',
    doc: 'Delete the keys that match, whatever their state. A minion that comes back is new.',
    params: { match: param.texts() },
    run: (context, { match }) => remove(context, matchNames(match))
  }),
  serverFunction({
    name: 'key.delete_dict',
    doc: "Delete the keys of a mapping of states to ids: {'minions_rejected': ['web1']}.",
    params: { match: param.any() },
    run: (context, { match }) => remove(context, matchDict(match).before)
  })
]

const making: readonly ServerFunction[] = [
  serverFunction({
    name: 'key.gen',
    doc: 'Make a key pair and return it: {priv, pub}. Nothing is stored.',
    params: { id_: param.textOr(''), keysize: param.numberOr(KEY_BITS.fallback) },
    redact: () => ({ priv: '(private key removed)', pub: '(made for the caller)' }),
    run: (_context, { keysize }) => makeKeys(keysize)
  })
]

/** The wheel's functions for minion keys. */
export const keyWheel: readonly ServerFunction[] = [...looking, ...moving, ...making]

async function makeKeys(bits: number): Promise<{ priv: string; pub: string }> {
  if (!Number.isInteger(bits) || bits < KEY_BITS.min || bits > KEY_BITS.max) {
    throw new ArgumentError('value', `argument 'keysize': must be ${KEY_BITS.min} to ${KEY_BITS.max}`)
  }
  const { privateKey, publicKey } = await promisify(generateKeyPair)('rsa', { modulusLength: bits })
  const priv = privateKey.export({ type: 'pkcs1', format: 'pem' })
  return { priv: String(priv), pub: String(publicKey.export({ type: 'spki', format: 'pem' })) }
}

import { generateKeyPair } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { writePrivateFile } from '../auth/private-file.js'
import { isBrineError } from '../errors.js'
import { ENROLMENT_SECONDS, enrolmentId } from '../keys/enrolment.js'
import { DIRECTORIES, type Directory } from '../keys/keys.js'
import { LOCAL_KEYS, masterKey } from '../keys/master-key.js'
import { ArgumentError, type CallContext, type Param, param, type ServerFunction, serverFunction } from '../runners/function.js'
import { fingerprint } from '../shared/fingerprint.js'
import type { KeyState } from '../store/store.js'
import { compileGlob } from '../tags/glob.js'

const STATES = Object.entries(DIRECTORIES) as [KeyState, Directory][]

/** Words of `key.list` for a state, as in Salt. */
const STATE_WORDS: Readonly<Record<string, KeyState>> = {
  acc: 'accepted',
  accepted: 'accepted',
  pre: 'pending',
  un: 'pending',
  unacc: 'pending',
  unaccepted: 'pending',
  rej: 'rejected',
  rejected: 'rejected',
  den: 'denied',
  denied: 'denied'
}

/** Bits of an RSA key: Salt's default, what is still safe, and what still can be made in seconds. */
export const KEY_BITS = { fallback: 2048, min: 2048, max: 8192 }

type ByDirectory = Partial<Record<Directory, string[]>>

/** `{minions: [...], …}` of the states that have keys whose ids match. */
function matching({ keys }: CallContext, matches: (id: string) => boolean): ByDirectory {
  const list = keys.list()
  const found = STATES.map(([, directory]) => [directory, list[directory].filter(matches)] as const)
  return Object.fromEntries(found.filter(([, ids]) => ids.length > 0))
}

function byName(patterns: readonly string[]): (id: string) => boolean {
  const tests = patterns.map(compileGlob)
  return id => tests.some(test => test(id))
}

/** `{minions_pre: [ids], …}` as pairs of state and ids; names that are no states are left out, as in Salt. */
function readDict(match: unknown): [KeyState, string[]][] {
  if (typeof match !== 'object' || match === null || Array.isArray(match))
    throw new ArgumentError('value', 'expected a mapping of states to ids')
  return Object.entries(match).flatMap(([directory, ids]) => {
    const state = STATES.find(each => each[1] === directory)?.[0]
    if (state === undefined) return []
    if (!Array.isArray(ids)) throw new ArgumentError('value', `'${directory}': expected a list of ids`)
    return [[state, ids.map(String)] as [KeyState, string[]]]
  })
}

type Act = 'accept' | 'reject' | 'delete'

/** Moves the keys that match and are in one of these states; tells the matching keys by the state they are in now. */
async function move(context: CallContext, act: Act, patterns: readonly string[], from: readonly KeyState[]): Promise<ByDirectory> {
  await context.keys[act](patterns, from)
  return matching(context, byName(patterns))
}

/** The same for a mapping of states to ids. */
async function moveDict(context: CallContext, act: Act, match: unknown, from: readonly KeyState[]): Promise<ByDirectory> {
  const wanted = readDict(match)
  const list = context.keys.list()
  for (const [state, ids] of wanted) {
    // ids that are there, and so are names and no globs
    const known = ids.filter(id => list[DIRECTORIES[state]].includes(id))
    if (from.includes(state) && known.length > 0) await context.keys[act](known, [state])
  }
  const all = new Set(wanted.flatMap(([, ids]) => ids))
  return matching(context, id => all.has(id))
}

const ANY_STATE = STATES.map(([state]) => state)
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

/** What `key.finger` can hash with. Salt takes what Python's hashlib has; nobody compares with anything else than these. */
const HASHES = ['sha256', 'sha512', 'sha384', 'sha224', 'sha1', 'md5']
const hashType: Param<string> = {
  required: false,
  fallback: 'sha256',
  read(value) {
    const name = value === null ? 'sha256' : String(value).toLowerCase()
    if (!HASHES.includes(name)) throw new ArgumentError('value', `must be one of ${HASHES.join(', ')}`)
    return name
  }
}

/** Fingerprints of the server's own keys, by Salt's names of their files. */
async function localFingers(dataDir: string, names: readonly string[], hash: string): Promise<Record<string, string>> {
  const own = await masterKey(dataDir)
  return Object.fromEntries(names.map(name => [name, fingerprint(name === 'master.pem' ? own.priv : own.pub, hash)]))
}

const looking: readonly ServerFunction[] = [
  serverFunction({
    name: 'key.list',
    doc: 'List the keys of a state: accepted (acc), unaccepted (un, pre), rejected (rej), denied (den), all.',
    params: { match: param.text() },
    run({ keys }, { match }) {
      if (match === 'all') return { ...keys.list(), local: [...LOCAL_KEYS] }
      const state = Object.hasOwn(STATE_WORDS, match) ? STATE_WORDS[match]! : null
      return state === null ? {} : { [DIRECTORIES[state]]: keys.list()[DIRECTORIES[state]] }
    }
  }),
  serverFunction({
    name: 'key.list_all',
    doc: 'List all keys: {minions, minions_pre, minions_rejected, minions_denied, local}.',
    run: ({ keys }) => ({ ...keys.list(), local: [...LOCAL_KEYS] })
  }),
  serverFunction({
    name: 'key.name_match',
    doc: 'List the keys whose ids match, by state.',
    params: { match: param.texts() },
    run: (context, { match }) => matching(context, byName(match))
  }),
  serverFunction({
    name: 'key.list_match',
    doc: 'List the keys whose ids match, by state: the same as key.name_match.',
    params: { match: param.texts() },
    run: (context, { match }) => matching(context, byName(match))
  }),
  serverFunction({
    name: 'key.glob_match',
    doc: "List the keys whose ids match, by state, the server's own among them.",
    params: { match: param.texts() },
    run: (context, { match }) => {
      const local = LOCAL_KEYS.filter(byName(match))
      return { ...matching(context, byName(match)), ...(local.length > 0 ? { local } : {}) }
    }
  }),
  serverFunction({
    name: 'key.finger',
    doc: "Show the fingerprints of the matching keys, by state; the server's own are under local. hash_type: sha256 (default), md5, sha1, sha512.",
    params: { match: param.texts(), hash_type: hashType },
    async run({ keys, config }, { match, hash_type }) {
      const found = keys.finger(match, hash_type)
      const local = LOCAL_KEYS.filter(byName(match))
      return local.length === 0 ? found : { ...found, local: await localFingers(config.data_dir, local, hash_type) }
    }
  }),
  serverFunction({
    name: 'key.finger_master',
    doc: "Show the fingerprint of the server's own public key.",
    params: { hash_type: hashType },
    run: async ({ config }, { hash_type }) => ({ local: await localFingers(config.data_dir, ['master.pub'], hash_type) })
  }),
  serverFunction({
    name: 'key.master_key_str',
    doc: "Show the server's own public key.",
    run: async ({ config }) => ({ local: { 'master.pub': (await masterKey(config.data_dir)).pub } })
  }),
  serverFunction({
    name: 'key.print',
    doc: 'Show the matching public keys, by state.',
    params: { match: param.texts() },
    async run({ store }, { match }) {
      const found = (await store.keys.all()).filter(key => byName(match)(key.id))
      const entries = STATES.map(([state, directory]) => {
        const keys = found.filter(key => key.state === state).sort((a, b) => (a.id < b.id ? -1 : 1))
        return [directory, Object.fromEntries(keys.map(key => [key.id, `${key.pub}\n`]))] as const
      })
      return Object.fromEntries(entries.filter(([, keys]) => Object.keys(keys).length > 0))
    }
  })
]

const moving: readonly ServerFunction[] = [
  serverFunction({
    name: 'key.accept',
    doc: 'Accept the pending keys that match; with include_rejected and include_denied those too. Returns the matching keys by the state they are in now.',
    params: { match: param.texts(), ...acceptFlags },
    run: (context, args) => move(context, 'accept', args.match, acceptFrom(args.include_rejected, args.include_denied))
  }),
  serverFunction({
    name: 'key.accept_dict',
    doc: "Accept the keys of a mapping of states to ids: {'minions_pre': ['web1']}.",
    params: { match: param.any(), ...acceptFlags },
    run: (context, args) => moveDict(context, 'accept', args.match, acceptFrom(args.include_rejected, args.include_denied))
  }),
  serverFunction({
    name: 'key.reject',
    doc: 'Reject the pending keys that match; with include_accepted and include_denied those too. Returns the matching keys by the state they are in now.',
    params: { match: param.texts(), ...rejectFlags },
    run: (context, args) => move(context, 'reject', args.match, rejectFrom(args.include_accepted, args.include_denied))
  }),
  serverFunction({
    name: 'key.reject_dict',
    doc: "Reject the keys of a mapping of states to ids: {'minions_pre': ['web1']}.",
    params: { match: param.any(), ...rejectFlags },
    run: (context, args) => moveDict(context, 'reject', args.match, rejectFrom(args.include_accepted, args.include_denied))
  }),
  serverFunction({
    name: 'key.delete',
    doc: 'Delete the keys that match, whatever their state. A minion that comes back is new.',
    params: { match: param.texts() },
    run: (context, { match }) => move(context, 'delete', match, ANY_STATE)
  }),
  serverFunction({
    name: 'key.delete_dict',
    doc: "Delete the keys of a mapping of states to ids: {'minions_rejected': ['web1']}.",
    params: { match: param.any() },
    run: (context, { match }) => moveDict(context, 'delete', match, ANY_STATE)
  })
]

const redact = () => ({ priv: '(private key removed)', pub: '(made for the caller)' })

const making: readonly ServerFunction[] = [
  serverFunction({
    name: 'key.gen',
    doc: 'Make a key pair and return it: {priv, pub}. Nothing is stored.',
    params: { id_: param.textOr(''), keysize: param.numberOr(KEY_BITS.fallback) },
    redact,
    run: (_context, { keysize }) => makeKeys(keysize)
  }),
  serverFunction({
    name: 'key.gen_accept',
    doc: 'Make a key pair for a minion, accept it and return it: {priv, pub}. {} when the id has an accepted key, unless force=True.',
    params: { id_: param.text(), keysize: param.numberOr(KEY_BITS.fallback), force: param.flagOr(false) },
    redact,
    async run({ keys }, { id_, keysize, force }) {
      if (keys.isAccepted(id_) && !force) return {}
      const pair = await makeKeys(keysize)
      if ((await keys.vouch(id_, pair.pub)) !== 'accepted') throw new Error(`the key of minion '${id_}' is not accepted`)
      return pair
    }
  }),
  serverFunction({
    name: 'key.gen_keys',
    doc: `Make a key pair and write it on the server: KEYDIR/KEYNAME.pem and .pub. keydir lies below the data directory (default: made-keys), and
nothing that is there is replaced. Returns the path of the private key.`,
    params: {
      keydir: param.textOr('made-keys'),
      keyname: param.textOr('minion'),
      keysize: param.numberOr(KEY_BITS.fallback),
      user: param.anyOr(null)
    },
    async run({ config }, { keydir, keyname, keysize }) {
      for (const [name, text] of Object.entries({ keydir, keyname })) {
        if (!/^[\w][\w.-]{0,199}$/.test(text)) throw new ArgumentError('value', `argument '${name}': must be a plain name`)
      }
      const file = join(config.data_dir, keydir, `${keyname}.pem`)
      if (existsSync(file)) throw new ArgumentError('value', `${file} exists`)
      const pair = await makeKeys(keysize)
      writePrivateFile(file, pair.priv)
      writePrivateFile(join(config.data_dir, keydir, `${keyname}.pub`), pair.pub)
      return file
    }
  })
]

const enrolling: readonly ServerFunction[] = [
  serverFunction({
    name: 'key.token_create',
    doc: `Make a one-time token with which a new minion's key is accepted. tgt: globs of the ids that it is for, separated by commas; ttl: seconds.
Returns {id, token, tgt, expires}; the token is shown here and never again.`,
    params: { tgt: param.text(), ttl: param.numberOr(ENROLMENT_SECONDS.fallback), label: param.textOr('') },
    redact: value => ({ ...(value as object), token: '(made for the caller)' }),
    async run({ keys, caller }, { tgt, ttl, label }) {
      try {
        const { token, record } = await keys.enrolments.create({ tgt, ttlSeconds: ttl, label, createdBy: caller.user })
        return { id: enrolmentId(record.hash), token, tgt, expires: isoTime(record.expiresUs) }
      } catch (error) {
        if (isBrineError(error, 'FIELD_INVALID')) throw new ArgumentError('value', `argument '${error.values[0]}': ${error.values[1]}`)
        throw error
      }
    }
  }),
  serverFunction({
    name: 'key.token_list',
    doc: 'List the enrolment tokens that have not expired, without themselves: {id, tgt, label, created_by, expires, used_by}.',
    run: async ({ keys }) =>
      (await keys.enrolments.list()).map(({ hash, tgt, label, createdBy, expiresUs, usedBy }) => ({
        ...{ id: enrolmentId(hash), tgt, label, created_by: createdBy, expires: isoTime(expiresUs), used_by: usedBy }
      }))
  }),
  serverFunction({
    name: 'key.token_revoke',
    doc: 'End an enrolment token, by its id. False when there is none.',
    params: { id_: param.text() },
    run: ({ keys }, { id_ }) => keys.enrolments.revoke(id_)
  })
]

function isoTime(us: number): string {
  return new Date(us / 1000).toISOString()
}

/** The wheel's functions for minion keys. */
export const keyWheel: readonly ServerFunction[] = [...looking, ...moving, ...making, ...enrolling]

async function makeKeys(bits: number): Promise<{ priv: string; pub: string }> {
  if (!Number.isInteger(bits) || bits < KEY_BITS.min || bits > KEY_BITS.max) {
    throw new ArgumentError('value', `argument 'keysize': must be ${KEY_BITS.min} to ${KEY_BITS.max}`)
  }
  const { privateKey, publicKey } = await promisify(generateKeyPair)('rsa', { modulusLength: bits })
  const priv = privateKey.export({ type: 'pkcs1', format: 'pem' })
  return { priv: String(priv), pub: String(publicKey.export({ type: 'spki', format: 'pem' })) }
}

import { generateKeyPair } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { writePrivateFile } from '../auth/private-file.js'
import { dataFiles } from '../shared/data-dir.js'

export interface MasterKey {
  /** PEM, PKCS#1. Leaves the server never; its fingerprint does. */
  readonly priv: string
  /** PEM, SubjectPublicKeyInfo. */
  readonly pub: string
}

/** Salt's names of the server's own key, as `key.list_all` has them under `local`. */
export const LOCAL_KEYS = ['master.pem', 'master.pub'] as const

const BITS = 2048
/** One making per directory, however many ask while it is made. */
const making = new Map<string, Promise<MasterKey>>()

/** The server's own key pair, `DATA/master.pem` and `master.pub`; made when it is first asked for. Throws what the file system says. */
export function masterKey(dataDir: string): Promise<MasterKey> {
  const under = making.get(dataDir)
  if (under) return under
  const made = readOrMake(dataDir).finally(() => making.delete(dataDir))
  making.set(dataDir, made)
  return made
}

async function readOrMake(dataDir: string): Promise<MasterKey> {
  const files = dataFiles(dataDir)
  const priv = readIfThere(files.masterKey)
  const pub = readIfThere(files.masterPub)
  if (priv !== null && pub !== null) return { priv, pub }
  const { privateKey, publicKey } = await promisify(generateKeyPair)('rsa', { modulusLength: BITS })
  const made = {
    priv: String(privateKey.export({ type: 'pkcs1', format: 'pem' })),
    pub: String(publicKey.export({ type: 'spki', format: 'pem' }))
  }
  writePrivateFile(files.masterKey, made.priv)
  writePrivateFile(files.masterPub, made.pub)
  return made
}

function readIfThere(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

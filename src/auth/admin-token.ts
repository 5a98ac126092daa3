import { readFileSync } from 'node:fs'
import { isBrineError } from '../errors.js'
import type { Clock } from '../shared/clock.js'
import type { Authenticator } from './authenticator.js'
import { ADMIN_EAUTH } from './permissions.js'
import { writePrivateFile } from './private-file.js'

/** The administrator's token lasts a year and is made anew at a start in its last month. */
const LIFETIME_SECONDS = 365 * 86_400
const RENEW_SECONDS = 30 * 86_400

/**
 * The token in `DATA/admin.token` (0600): the one that is there, while it counts, else a new one. It may do everything; who can read the file
 * can read the whole data directory anyway. To end it: `brine token revoke`, or delete the file and revoke its id.
 */
export async function ensureAdminToken(auth: Authenticator, file: string, clock: Clock): Promise<{ token: string; expiresUs: number }> {
  const kept = await readKept(auth, file, clock)
  if (kept !== null) return kept
  const { token, expiresUs } = await auth.issue({ user: 'admin', eauth: ADMIN_EAUTH, label: 'admin', expiresSeconds: LIFETIME_SECONDS })
  writePrivateFile(file, `${token}\n`)
  return { token, expiresUs }
}

async function readKept(auth: Authenticator, file: string, clock: Clock): Promise<{ token: string; expiresUs: number } | null> {
  try {
    const token = readFileSync(file, 'utf8').trim()
    const { expiresUs } = await auth.verify(token)
    return expiresUs > clock.nowUs() + RENEW_SECONDS * 1_000_000 ? { token, expiresUs } : null
  } catch (error) {
    if (isBrineError(error, 'NO_TOKEN') || (error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { createApp } from '../../src/app.js'
import { defaultConfig } from '../../src/config/schema.js'
import { jidOf } from '../../src/jobs/jid.js'
import type { NewJob } from '../../src/store/store.js'
import { absolute, type Bench, percentile } from './figures.js'

const JOBS = 1_000_000
/** So many jobs wait for the disk at a time while the store is filled. */
const AT_ONCE = 5_000
const ROUNDS = 21
/** A search by POST also writes the two events of a runner call to the disk. */
const SEARCH_MS = 150
const FIRST_US = 1_790_000_000_000_000

const FUNCTIONS = ['test.ping', 'state.apply', 'cmd.run', 'pkg.list_upgrades', 'grains.items', 'service.status']

/** Jobs as a site has them: few functions, a few thousand targets, one rare function among them. */
function job(n: number): NewJob {
  const publishedUs = FIRST_US + n * 1_000_000
  const fun = n % 250_000 === 7 ? 'disk.usage' : FUNCTIONS[n % FUNCTIONS.length]!
  const common = { arg: [], tgtType: 'glob', user: 'ada', missing: [], cause: null }
  return {
    ...common,
    jid: jidOf(publishedUs),
    fun,
    tgt: `web${n % 3000}`,
    minions: [`web${n % 3000}`],
    deadlineUs: publishedUs + 5_000_000,
    publishedUs
  }
}

/** GET /jobs and searches with a million jobs in the store, over HTTP. */
export const bench: Bench = async () => {
  const dir = mkdtempSync(join(tmpdir(), 'brine-bench-jobs-'))
  const config = defaultConfig({ data_dir: dir, keep_jobs_seconds: 10 * 365 * 86_400 })
  const app = await createApp(config, pino({ level: 'silent' }))
  try {
    for (let from = 0; from < JOBS; from += AT_ONCE) {
      await Promise.all(Array.from({ length: AT_ONCE }, (_, n) => app.services.store.jobs.publish(job(from + n), [])))
    }
    const { token } = await app.services.auth.issue({ user: 'admin', eauth: 'admin', label: 'bench', expiresSeconds: 3600 })
    await app.http.listen({ host: '127.0.0.1', port: 0 })
    const address = app.http.server.address()
    const url = typeof address === 'object' && address !== null ? `http://127.0.0.1:${address.port}` : ''
    const headers = { 'x-auth-token': token, 'content-type': 'application/json' }
    const get = () => fetch(`${url}/jobs`, { headers })
    const search = (fields: object) => () =>
      fetch(url, { method: 'POST', headers, body: JSON.stringify([{ client: 'runner', fun: 'jobs.list_jobs', ...fields }]) })
    const note = `${JOBS.toLocaleString('en')} jobs`
    return [
      absolute('GET /jobs, first page of 1,000, median', await median(get, 1000), { atMost: 50 }, 'ms', note),
      absolute(
        'jobs.list_jobs, a rare function',
        await median(search({ search_function: 'disk.*' }), 4),
        { atMost: SEARCH_MS },
        'ms',
        note
      ),
      absolute(
        'jobs.list_jobs, one of many targets',
        await median(search({ search_target: 'web77' }), 300),
        { atMost: SEARCH_MS },
        'ms',
        note
      ),
      absolute(
        'jobs.list_jobs, an hour of long ago',
        await median(
          search({ start_time: new Date(FIRST_US / 1000).toISOString(), end_time: new Date(FIRST_US / 1000 + 900_000).toISOString() }),
          900
        ),
        { atMost: SEARCH_MS },
        'ms',
        note
      )
    ]
  } finally {
    await app.close()
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** Milliseconds of one answer; it must list at least so many jobs. */
async function median(ask: () => Promise<Response>, atLeast: number): Promise<number> {
  const times: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const from = performance.now()
    const text = await (await ask()).text()
    times.push(performance.now() - from)
    const listed = Object.keys((JSON.parse(text) as { return: [object] }).return[0]).length
    if (listed < atLeast) throw new Error(`${listed} jobs were listed, not ${atLeast}`)
  }
  return percentile(times, 0.5)
}

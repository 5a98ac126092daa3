import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import jwt from '@fastify/jwt'
import Database from 'better-sqlite3'
import Fastify from 'fastify'
import { gauges, serve } from '../processes.js'

const file = join(tmpdir(), `brine-bench-bare-${process.pid}.db`)

/** What is left of a hook without brine: a Fastify route that checks the same kind of token and parses the same body. */
async function start({ commitEach }: { commitEach: boolean }): Promise<{ url: string; token: string }> {
  const app = Fastify()
  await app.register(jwt, { secret: randomBytes(32), sign: { algorithm: 'HS256' }, verify: { algorithms: ['HS256'], cache: true } })
  app.addHook('onRequest', async request => {
    request.headers.authorization = `Bearer ${String(request.headers['x-auth-token'])}`
    await request.jwtVerify()
  })
  const store = commitEach ? committer() : () => {}
  app.post('/hook/*', async request => {
    store(`salt/netapi/hook/${(request.params as { '*': string })['*']}`, request.body)
    return { success: true }
  })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  return { url, token: app.jwt.sign({ sub: 'admin', jti: randomBytes(16).toString('hex') }) }
}

/** One synced transaction per event: what is durable without a group. */
function committer(): (tag: string, body: unknown) => void {
  const db = new Database(file)
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = FULL')
  db.exec('CREATE TABLE events (seq INTEGER PRIMARY KEY, tag TEXT NOT NULL, json TEXT NOT NULL, stamp_us INTEGER NOT NULL)')
  const insert = db.prepare('INSERT INTO events (tag, json, stamp_us) VALUES (?, ?, ?)')
  return (tag, body) => void insert.run(tag, JSON.stringify(body), Date.now() * 1000)
}

serve({
  ...gauges,
  start,
  remove: () => {
    for (const end of ['', '-wal', '-shm']) rmSync(file + end, { force: true })
  }
})

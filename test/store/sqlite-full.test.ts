import { execFileSync } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { openSqliteStore } from '../../src/store/sqlite/open.js'
import type { Store } from '../../src/store/store.js'
import { newEvent, TestClock, tempFolder, tempStore } from '../helpers/store.js'

const filler = 'y'.repeat(4_000)

/** Appends until the store is full; returns how many appends were acknowledged. */
async function fill(store: Store): Promise<number> {
  for (let acknowledged = 0; ; acknowledged++) {
    try {
      await store.events.append([newEvent('x', { filler })])
    } catch (error) {
      if ((error as { code?: string }).code !== 'STORE_FULL') throw error
      return acknowledged
    }
  }
}

async function fillWithTokens(store: Store): Promise<void> {
  const label = filler
  for (let n = 0; n < 1_000; n++) await store.tokens.put({ jti: `j${n}`, user: 'u', eauth: 'e', label, issuedUs: 1, expiresUs: 2 })
}

t.test('a store that is full refuses with 503, keeps what it acknowledged, and goes on when there is room', async t => {
  const file = join(await tempFolder(t), 'brine.db')
  const store = await tempStore(t, { file, maxPages: 400 })
  const acknowledged = await fill(store)
  t.ok(acknowledged > 100)
  t.equal(store.stats().failing, 'the disk is full')
  t.equal(await store.events.head(), acknowledged)

  const several = await Promise.allSettled(
    [1, 2, 3].map(n => store.events.append([newEvent('x', { n, filler })], { idempotencyKey: `k${n}` }))
  )
  t.ok(several.every(({ status }) => status === 'rejected'))
  t.match(several[0], { reason: { code: 'STORE_FULL', status: 503, retryAfter: 1 } })

  t.equal(await store.events.trim({ keep: 20, limit: 1_000 }), acknowledged - 20)
  t.strictSame((await store.events.append([newEvent('x', { filler })], { idempotencyKey: 'k1' })).seqs, [acknowledged + 1])
  t.equal(store.stats().failing, null)
  await store.close()

  const again = await tempStore(t, { file })
  t.equal(await again.events.head(), acknowledged + 1)
  t.equal(await again.events.count(), 21)
})

t.test('a full disk refuses writes, answers reads, damages nothing, and is noticed to have room again although nobody writes', async t => {
  const disk = await tinyDisk(t, 6)
  if (disk === null) return t.plan(0, 'mounting a small file system needs root')
  const options = { file: join(disk, 'brine.db'), clock: new TestClock() }
  const store = await openSqliteStore(options)
  t.teardown(() => store.close())
  const ballast = join(disk, 'ballast')
  await writeFile(ballast, Buffer.alloc(1024 * 1024))
  const acknowledged = await fill(store)
  t.ok(store.stats().failing)
  t.equal((await store.events.get(acknowledged))?.seq, acknowledged)
  // What is left is less than an event, and may yet hold something smaller.
  await t.rejects(fillWithTokens(store), { code: 'STORE_FULL' })

  await rm(ballast)
  while (store.stats().failing !== null) await pause(20)
  t.strictSame((await store.events.append([newEvent('after')])).seqs, [acknowledged + 1])
  await store.close()

  const again = await openSqliteStore(options)
  t.teardown(() => again.close())
  t.equal(await again.events.count(), acknowledged + 1)
  let read = 0
  for await (const page of again.events.read({ after: 0, upTo: acknowledged })) {
    t.ok(page.every(event => JSON.parse(event.json).filler === filler))
    read += page.length
  }
  t.equal(read, acknowledged)
})

/** A file system of so many MiB, or null where one cannot be mounted. Unmounted when the test ends. */
async function tinyDisk(t: Test, megabytes: number): Promise<string | null> {
  const folder = join(await tempFolder(t), 'disk')
  await mkdir(folder)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder], { stdio: 'ignore' })
  } catch {
    return null
  }
  t.teardown(() => execFileSync('umount', [folder], { stdio: 'ignore' }))
  return folder
}

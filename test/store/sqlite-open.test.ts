import { fork } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import t from 'tap'
import { assertDurable, openForWriting } from '../../src/store/sqlite/database.js'
import { openSqliteStore } from '../../src/store/sqlite/open.js'
import { newEvent, TestClock, tempFolder, tempStore } from '../helpers/store.js'

const clock = new TestClock()

t.test('commits are synced: WAL with synchronous=FULL is in force after the first write', async t => {
  const db = openForWriting(join(await tempFolder(t), 'brine.db'))
  t.teardown(async () => {
    db.close()
  })
  db.prepare('UPDATE log SET head = 1').run()
  t.equal(db.pragma('journal_mode', { simple: true }), 'wal')
  t.equal(db.pragma('synchronous', { simple: true }), 2)
})

t.test('a start refuses to go on when commits would not be synced', async t => {
  const db = openForWriting(join(await tempFolder(t), 'brine.db'))
  t.teardown(async () => {
    db.close()
  })
  // What the driver would do by itself: its build has NORMAL as the default in WAL mode.
  db.pragma('synchronous = NORMAL')
  t.throws(() => assertDurable(db), { code: 'STORE_FAILED' })
})

t.test('folder and files of the log are made for their owner alone', async t => {
  const file = join(await tempFolder(t), 'deep', 'data', 'brine.db')
  const store = await tempStore(t, { file })
  t.strictSame((await store.events.append([newEvent('x')])).seqs, [1])
  t.equal(store.location, file)
  t.equal((await stat(join(file, '..'))).mode & 0o777, 0o700)
  for (const name of [file, `${file}-wal`]) t.equal((await stat(name)).mode & 0o777, 0o600, name)
})

t.test('a place where no log can be is refused by its name', async t => {
  const folder = await tempFolder(t)
  await writeFile(join(folder, 'file'), '')
  await t.rejects(openSqliteStore({ file: join(folder, 'file', 'brine.db'), clock }), { code: 'STORE_FAILED', message: /brine\.db/ })
})

t.test('a log that another store has open is refused, with the pid of its server', async t => {
  const file = join(await tempFolder(t), 'brine.db')
  const store = await tempStore(t, { file })
  await t.rejects(openSqliteStore({ file, clock }), { code: 'STORE_LOCKED', values: [file, String(process.pid)] })
  await store.events.append([newEvent('x')])
  await store.close()
  const next = await tempStore(t, { file })
  t.equal(await next.events.head(), 1)
})

t.test('a server that was killed leaves a lock that does not block', async t => {
  const file = join(await tempFolder(t), 'brine.db')
  const child = fork(join(import.meta.dirname, '../helpers/crash-store-child.js'), [file])
  await once(child, 'message')
  await t.rejects(openSqliteStore({ file, clock }), { code: 'STORE_LOCKED', values: [file, String(child.pid)] })
  child.kill('SIGKILL')
  await once(child, 'exit')
  const store = await tempStore(t, { file })
  t.ok((await store.events.head()) > 0)
})

t.test('a damaged file is refused with what to do about it, and is left as it is', async t => {
  const folder = await tempFolder(t)
  const whole = join(folder, 'whole.db')
  const store = await openSqliteStore({ file: whole, clock })
  for (let i = 0; i < 20; i++) await store.events.append(Array.from({ length: 200 }, (_, n) => newEvent('x', { n, text: 'y'.repeat(200) })))
  await store.close()
  const damage: Record<string, (file: string) => Promise<void>> = {
    'is no database at all': file => writeFile(file, 'a text that somebody saved under this name\n'.repeat(200)),
    'lost its header': file => overwrite(file, 0, 100),
    'was cut short': file => truncate(file, 200_000),
    'has rubbish where the log begins': file => overwrite(file, 4_096, 8_192)
  }
  for (const [what, spoil] of Object.entries(damage)) {
    const file = join(folder, `${what}.db`)
    await copyFile(whole, file)
    await spoil(file)
    const before = await readFile(file)
    await t.rejects(openSqliteStore({ file, clock }), { code: 'STORE_CORRUPT', hint: /\.recover/ }, what)
    t.ok(before.equals(await readFile(file)), `${what}: untouched`)
  }
})

t.test("another program's database is refused and left as it is", async t => {
  const file = join(await tempFolder(t), 'brine.db')
  const db = new Sqlite(file)
  db.exec('CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)')
  db.close()
  const before = await readFile(file)
  await t.rejects(openSqliteStore({ file, clock }), { code: 'STORE_CORRUPT', message: /no brine log/ })
  t.ok(before.equals(await readFile(file)))
})

t.test('a file of a newer brine is refused and left as it is', async t => {
  const file = join(await tempFolder(t), 'brine.db')
  await (await openSqliteStore({ file, clock })).close()
  const db = new Sqlite(file)
  const known = db.pragma('user_version', { simple: true }) as number
  db.pragma(`user_version = ${known + 1}`)
  db.pragma('wal_checkpoint(TRUNCATE)')
  db.close()
  const before = await readFile(file)
  await t.rejects(openSqliteStore({ file, clock }), { code: 'STORE_NEWER', values: [file, String(known + 1), String(known)] })
  t.ok(before.equals(await readFile(file)))
})

t.test('an empty file becomes a log', async t => {
  const file = join(await tempFolder(t), 'brine.db')
  await writeFile(file, '')
  const store = await tempStore(t, { file })
  t.strictSame((await store.events.append([newEvent('x')])).seqs, [1])
})

async function overwrite(file: string, from: number, length: number): Promise<void> {
  const content = await readFile(file)
  content.fill(0xa5, from, from + length)
  await writeFile(file, content)
}

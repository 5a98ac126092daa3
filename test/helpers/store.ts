import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { NewEvent } from '../../src/events/event.js'
import { type Clock, stampOf } from '../../src/shared/clock.js'
import { openSqliteStore, type SqliteOptions } from '../../src/store/sqlite/open.js'
import type { Store } from '../../src/store/store.js'

/** A clock that the test owns: each look is a microsecond later, and time passes when the test says so. */
export class TestClock implements Clock {
  us: number

  constructor(us = 1_800_000_000_000_000) {
    this.us = us
  }

  nowUs(): number {
    return this.us++
  }

  pass(seconds: number): void {
    this.us += seconds * 1_000_000
  }
}

interface Teardown {
  teardown(handler: () => Promise<void>): unknown
}

/** A folder of its own that goes when the test ends. */
export async function tempFolder(t: Teardown): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'brine-store-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A store in a temporary folder; closed and removed when the test ends. */
export async function tempStore(t: Teardown, options: Partial<SqliteOptions> = {}): Promise<Store> {
  const file = options.file ?? join(await tempFolder(t), 'brine.db')
  const store = await openSqliteStore({ clock: new TestClock(), ...options, file })
  t.teardown(() => store.close())
  return store
}

/** An event ready to be written, for tests that do not care what is in it. */
export function newEvent(tag: string, fields: Record<string, unknown> = {}, more: Partial<NewEvent> = {}): NewEvent {
  const stampUs = more.stampUs ?? 1_800_000_000_000_000
  const json = JSON.stringify({ ...fields, _stamp: stampOf(stampUs) })
  return { tag, json, source: 'server', cause: null, ...more, stampUs }
}

/**
 * A process that writes to a log as fast as it can and is killed for it. Each acknowledged write goes to standard output at once, one line
 * `<kind> <writer> <number> <seq>`: whatever the parent has read of it must be in the log afterwards.
 *
 * Arguments: the log's file. Tells its parent (IPC) when the first write is acknowledged.
 */
import { writeSync } from 'node:fs'
import { SystemClock, stampOf } from '../../src/shared/clock.js'
import { openSqliteStore } from '../../src/store/sqlite/open.js'
import type { Store } from '../../src/store/store.js'
import { crashEvent, crashJob } from './crash-store.js'

/** Loops that write at the same time; each waits for its own commits. */
const WRITERS = 24

const clock = new SystemClock()
const run = stampOf(clock.nowUs())

/** Writes to stdout at once; waits where the parent is behind with reading (stdout is a pipe that does not block). */
function say(line: string): void {
  for (let rest = Buffer.from(line); rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(1, rest))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    }
  }
}

async function main(): Promise<void> {
  const store = await openSqliteStore({ file: process.argv[2]!, clock })
  let told = false
  const acknowledge = (kind: string, writer: string, number: number, seq: number) => {
    say(`${kind} ${writer} ${number} ${seq}\n`)
    if (!told) process.send?.('writing')
    told = true
  }
  for (let i = 0; i < WRITERS; i++) void write(store, `${run}/${i}`, acknowledge)
}

async function write(store: Store, writer: string, acknowledge: (kind: string, writer: string, number: number, seq: number) => void) {
  for (let number = 1; ; number++) {
    if (number % 5 === 0) {
      await store.jobs.publish(crashJob(writer, number, clock.nowUs()), [crashEvent('job', writer, number, clock.nowUs())])
      acknowledge('job', writer, number, 0)
    } else {
      const { seqs } = await store.events.append([crashEvent('event', writer, number, clock.nowUs())])
      acknowledge('event', writer, number, seqs[0]!)
    }
  }
}

await main()

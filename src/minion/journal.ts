/**
 * Which jobs this minion has had, so that each runs once: a job is on disk here before the server is told that it arrived.
 *
 * The file has a line per step: `{"job": {…}}` when a job arrives, `{"done": "<jid>"}` when its return lies in the spool (or nothing will
 * return). A job that is in it without its end when the minion starts was interrupted.
 */
import { rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { LineFile, readIfThere, syncDirectory, writeDurably } from './disk.js'
import type { Job } from './job.js'

/** Ids of ended jobs that are known: the server repeats a job only until it is acknowledged, which takes seconds, and Salt's minions know 100. */
const REMEMBERED = 10_000
/** The file is written anew when it has grown by so much. */
const COMPACT_BYTES = 4 * 1024 * 1024

export class JobJournal {
  readonly #path: string
  #file: LineFile
  /** Arrived and not ended. */
  readonly #open = new Map<string, Job>()
  readonly #ended = new Set<string>()
  #compactAt: number
  #compacting: Promise<void> | null = null

  private constructor(path: string, file: LineFile) {
    this.#path = path
    this.#file = file
    this.#compactAt = file.size + COMPACT_BYTES
  }

  /** Reads what an earlier run left; `interrupted` are the jobs that it did not end. Lines that do not parse (a torn end) are dropped. */
  static async open(dir: string): Promise<{ journal: JobJournal; interrupted: Job[] }> {
    const path = join(dir, 'jobs.ndjson')
    const open = new Map<string, Job>()
    const ended = new Set<string>()
    for (const line of ((await readIfThere(path)) ?? '').split('\n')) readLine(line, open, ended)
    const text = lines(open, ended)
    await writeDurably(path, text)
    const journal = new JobJournal(path, await LineFile.open(path, Buffer.byteLength(text)))
    for (const jid of ended) journal.#remember(jid)
    for (const [jid, job] of open) journal.#open.set(jid, job)
    return { journal, interrupted: [...open.values()] }
  }

  /** Notes that a job has arrived; `known`: it had before, and must not run again. Resolves once it is on disk. */
  async arrived(job: Job): Promise<'new' | 'known'> {
    if (this.#open.has(job.jid) || this.#ended.has(job.jid)) return 'known'
    this.#open.set(job.jid, job)
    try {
      await this.#add({ job })
    } catch (error) {
      this.#open.delete(job.jid)
      throw error
    }
    return 'new'
  }

  /** Notes that nothing more has to be done for this job. */
  async ended(jid: string): Promise<void> {
    this.#open.delete(jid)
    this.#remember(jid)
    await this.#add({ done: jid })
    if (this.#file.size <= this.#compactAt) return
    this.#compacting ??= this.#compact().finally(() => {
      this.#compacting = null
    })
  }

  async close(): Promise<void> {
    await this.#compacting
    await this.#file.close()
  }

  #remember(jid: string): void {
    this.#ended.add(jid)
    if (this.#ended.size > REMEMBERED) this.#ended.delete(this.#ended.values().next().value!)
  }

  async #add(entry: object): Promise<void> {
    // A loop, and no await when there is nothing to wait for: another line could slip in between, onto the file that is being replaced.
    while (this.#compacting !== null) await this.#compacting
    await this.#file.add(JSON.stringify(entry))
  }

  /** Writes what counts into a new file and goes on with that. Others wait for it, so no line gets lost; if it fails the old file stays. */
  async #compact(): Promise<void> {
    const next = `${this.#path}.compact`
    try {
      const text = lines(this.#open, this.#ended)
      await writeDurably(next, text)
      const file = await LineFile.open(next, Buffer.byteLength(text))
      await rename(next, this.#path)
      await syncDirectory(dirname(this.#path))
      await this.#file.close()
      this.#file = file
    } catch {
      // A full disk: the next line says so to those who can tell. Here it is only tried again later.
      await rm(next, { force: true })
    }
    this.#compactAt = this.#file.size + COMPACT_BYTES
  }
}

function readLine(line: string, open: Map<string, Job>, ended: Set<string>): void {
  let entry: { job?: Job; done?: string }
  try {
    entry = JSON.parse(line) as typeof entry
  } catch {
    return
  }
  if (entry.job) open.set(entry.job.jid, entry.job)
  if (entry.done === undefined) return
  open.delete(entry.done)
  ended.add(entry.done)
}

function lines(open: ReadonlyMap<string, Job>, ended: ReadonlySet<string>): string {
  const done = [...ended].slice(-REMEMBERED).map(jid => `${JSON.stringify({ done: jid })}\n`)
  const jobs = [...open.values()].map(job => `${JSON.stringify({ job })}\n`)
  return [...done, ...jobs].join('')
}

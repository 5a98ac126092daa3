/** Files that outlive a crash of the machine. */
import { type FileHandle, mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Writes a file that only its owner may read (0600), so that a crash leaves the old or the new content and never half of it. Its directory is
 * made (0700) when it is missing.
 */
export async function writeDurably(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  const next = `${file}.new`
  const handle = await open(next, 'w', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(next, file)
  await syncDirectory(dirname(file))
}

/** New, renamed and removed names in this directory are on disk. */
export async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The file's text; null when there is none. */
export async function readIfThere(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** Bytes of lines that wait for the disk at most: a disk that takes none for so long is broken, and memory is not the place for it. */
const MAX_WAITING = 160 * 1024 * 1024

interface Waiting {
  readonly bytes: Buffer
  readonly resolve: (end: number) => void
  readonly reject: (error: unknown) => void
}

/**
 * A file to which lines are added. While one write syncs the next one gathers, so that many lines cost one sync. A write that failed leaves
 * nothing behind: what it may have written is cut off before the next one.
 */
export class LineFile {
  readonly path: string
  readonly #handle: FileHandle
  /** Bytes that are whole lines on disk. */
  #size: number
  #dirty = false
  #waiting: Waiting[] = []
  #waitingBytes = 0
  #writing: Promise<void> | null = null

  private constructor(path: string, handle: FileHandle, size: number) {
    this.path = path
    this.#handle = handle
    this.#size = size
  }

  /** Opens or makes the file (0600) and cuts it to `size` bytes: what lies beyond is the torn end of a crash. */
  static async open(path: string, size: number): Promise<LineFile> {
    const handle = await open(path, 'a', 0o600)
    try {
      if ((await handle.stat()).size > size) await handle.truncate(size)
      await handle.sync()
      await syncDirectory(dirname(path))
    } catch (error) {
      await handle.close()
      throw error
    }
    return new LineFile(path, handle, size)
  }

  /** Bytes that are on disk. */
  get size(): number {
    return this.#size
  }

  /** Adds a line (without its end). Resolves once it is on disk, with the offset behind it. */
  add(line: string): Promise<number> {
    const bytes = Buffer.from(`${line}\n`)
    if (this.#waitingBytes + bytes.length > MAX_WAITING) return Promise.reject(new Error(`${this.path}: too much waits for the disk`))
    this.#waitingBytes += bytes.length
    return new Promise((resolve, reject) => {
      this.#waiting.push({ bytes, resolve, reject })
      this.#writing ??= this.#write().finally(() => {
        this.#writing = null
      })
    })
  }

  /** Waits for what was added, then closes. */
  async close(): Promise<void> {
    await this.#writing
    await this.#handle.close()
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting
      this.#waiting = []
      try {
        await this.#writeAll(Buffer.concat(batch.map(each => each.bytes)))
      } catch (error) {
        this.#dirty = true
        for (const { reject } of batch) reject(error)
        continue
      } finally {
        for (const { bytes } of batch) this.#waitingBytes -= bytes.length
      }
      for (const { bytes, resolve } of batch) {
        this.#size += bytes.length
        resolve(this.#size)
      }
    }
  }

  async #writeAll(bytes: Buffer): Promise<void> {
    if (this.#dirty) await this.#handle.truncate(this.#size)
    this.#dirty = false
    await this.#handle.appendFile(bytes)
    await this.#handle.datasync()
  }
}

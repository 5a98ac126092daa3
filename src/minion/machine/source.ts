/** Where facts about the running system come from: /proc, /sys and a few files, or recordings of them below another directory. */
import { readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'

export class Source {
  readonly root: string

  constructor(root = '/') {
    this.root = root
  }

  /** The text of a file; null when it is not there or not for this user. */
  text(path: string): Promise<string | null> {
    return readFile(join(this.root, path), 'utf8').catch(() => null)
  }

  bytes(path: string): Promise<Buffer | null> {
    return readFile(join(this.root, path)).catch(() => null)
  }

  /** Lines that are not empty; none when there is no such file. */
  async lines(path: string): Promise<string[]> {
    return ((await this.text(path)) ?? '').split('\n').filter(line => line.trim() !== '')
  }

  /** Names in a directory; none when there is no such directory. */
  names(path: string): Promise<string[]> {
    return readdir(join(this.root, path)).catch(() => [])
  }

  link(path: string): Promise<string | null> {
    return readlink(join(this.root, path)).catch(() => null)
  }
}

/** The words of a line. */
export function words(line: string): string[] {
  return line.trim().split(/\s+/)
}

/** A number where the text is one, else the text. */
export function numberOr(text: string): number | string {
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text
}

/** Rounded to so many digits behind the point, as psutil does. */
export function rounded(value: number, digits = 1): number {
  return Number(value.toFixed(digits))
}

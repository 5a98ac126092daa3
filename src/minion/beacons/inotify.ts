import { type FSWatcher, statSync, watch } from 'node:fs'
import { join } from 'node:path'
import { isMapping, type Mapping } from '../modules/values.js'
import type { Beacon, Item, Watching } from './beacon.js'

/** Changes of one pass that are told; a directory in which more happens is told of by these. */
const MAX_CHANGES = 1000
/** Of Salt's masks those that Node's watcher tells apart. */
const MASKS = ['create', 'delete', 'modify', 'attrib', 'delete_self', 'close_write'] as const
const MASKS_DEFAULT = ['create', 'delete', 'modify']

/**
 * Changes of files and directories, as the kernel tells them (Node's watcher is inotify on Linux). A path that is not there yet is watched for from
 * the pass on in which it is.
 */
export const inotify: Beacon = {
  name: 'inotify',
  doc: `Tells of changes of files and directories: files: {/etc/app: {mask: [${MASKS_DEFAULT.join(', ')}], recurse: true}}.`,
  validate({ files }) {
    if (!isMapping(files) || Object.keys(files).length === 0)
      return 'Configuration for inotify beacon must include files, a mapping of paths.'
    const wrong = Object.entries(files).find(([path, wanted]) => !path.startsWith('/') || !(wanted === null || isWanted(wanted)))
    return wrong ? `files: '${wrong[0]}' must be an absolute path with a mask of ${MASKS.join(', ')}.` : null
  },
  open(options) {
    const paths = Object.entries(options.files as Mapping).map(([path, wanted]) => new Path(path, (wanted ?? {}) as Mapping))
    return {
      look: async () => paths.flatMap(path => path.taken()),
      close: () => {
        for (const path of paths) path.close()
      }
    } satisfies Watching
  }
}

function isWanted(wanted: unknown): boolean {
  if (!isMapping(wanted)) return false
  return [wanted.mask ?? []].flat().every(mask => (MASKS as readonly unknown[]).includes(mask))
}

/** One path that is watched, and what has happened there since the last pass. */
class Path {
  readonly #path: string
  readonly #masks: ReadonlySet<string>
  readonly #recursive: boolean
  #watcher: FSWatcher | null = null
  /** By place and kind: what happens again within a pass is told once. */
  readonly #changes = new Map<string, Item>()
  /** Times of change of what was seen, to tell new content from new attributes. */
  readonly #modified = new Map<string, number>()

  constructor(path: string, wanted: Mapping) {
    this.#path = path
    this.#masks = new Set([wanted.mask ?? MASKS_DEFAULT].flat().map(String))
    this.#recursive = wanted.recurse === true
    this.#begin()
  }

  taken(): Item[] {
    if (this.#watcher === null) this.#begin()
    const items = [...this.#changes.values()]
    this.#changes.clear()
    return items
  }

  close(): void {
    this.#watcher?.close()
    this.#watcher = null
  }

  #begin(): void {
    const stats = statSync(this.#path, { throwIfNoEntry: false })
    if (!stats) return
    this.#modified.set(this.#path, stats.mtimeMs)
    try {
      this.#watcher = watch(this.#path, { recursive: this.#recursive && stats.isDirectory(), persistent: false }, (kind, name) =>
        this.#note(kind, stats.isDirectory() && name !== null ? join(this.#path, name) : this.#path)
      )
      this.#watcher.on('error', () => this.close())
    } catch {
      // It went away between the two calls, or may not be watched: the next pass tries again.
    }
  }

  #note(kind: string, path: string): void {
    const stats = statSync(path, { throwIfNoEntry: false })
    const itself = path === this.#path
    if (!stats) {
      this.#modified.delete(path)
      this.#add(itself ? 'delete_self' : 'delete', path, itself ? 'IN_DELETE_SELF' : 'IN_DELETE')
      if (itself) this.close()
      return
    }
    const before = this.#modified.get(path)
    if (this.#modified.size < MAX_CHANGES) this.#modified.set(path, stats.mtimeMs)
    const suffix = stats.isDirectory() ? '|IN_ISDIR' : ''
    if (kind === 'rename' && !itself) this.#add('create', path, `IN_CREATE${suffix}`)
    else if (before === stats.mtimeMs) this.#add('attrib', path, `IN_ATTRIB${suffix}`)
    else {
      this.#add('modify', path, `IN_MODIFY${suffix}`)
      this.#add('close_write', path, `IN_CLOSE_WRITE${suffix}`)
    }
    // an editor may have put another file in the place of the one that is watched
    if (kind === 'rename' && itself) this.close()
  }

  #add(mask: string, path: string, change: string): void {
    if (!this.#masks.has(mask) || this.#changes.size >= MAX_CHANGES) return
    this.#changes.set(`${change} ${path}`, { tag: this.#path, path, change })
  }
}

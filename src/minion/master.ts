/**
 * What a minion's functions need of the server. The connection implements it (over HTTP today, over another transport later); functions and
 * states see nothing of the transport.
 */

/** A file of the server's file_roots. */
export interface MasterFile {
  /** SHA-256 of the content, 64 hex digits; the minion's cache knows a file by it. */
  readonly hash: string
  /** Bytes. */
  readonly size: number
  /** Read once, at once or never: an abandoned content must be destroyed by the implementation after a time. */
  readonly content: AsyncIterable<Uint8Array>
}

/** Directories (empty ones too) and symbolic links (path → target) of an environment's roots. */
export interface RootsShape {
  readonly directories: readonly string[]
  readonly links: Readonly<Record<string, string>>
}

export interface SendOptions {
  /** Merged into the event's envelope beside `id` and `tag`: `{jid}` for the progress events of a state run. */
  readonly preload?: Readonly<Record<string, unknown>>
  /** The job whose function sends it: the event then has the job's cause, which is what stops reactions that set each other off. */
  readonly jid?: string
}

export interface PillarAsk {
  /** The environment of the minion's states; templates see it. */
  readonly saltenv?: string | null
  /** Only this environment's pillar; null: all. */
  readonly pillarenv?: string | null
  /** Values over the compiled ones; templates see them as `pillar`. */
  readonly override?: Record<string, unknown>
  /** The server tells of it: `minion/refresh/<id>`, as Salt's does whenever a state run or saltutil.refresh_pillar asks. */
  readonly refresh?: boolean
}

/** What a minion asks of the mine (Salt's mine: results of functions that other minions may read). */
export type MineAsk =
  /** Adds to the minion's own entries; `clear`: nothing else stays. */
  | { readonly kind: 'send'; readonly data: Readonly<Record<string, unknown>>; readonly clear?: boolean }
  | { readonly kind: 'delete'; readonly fun: string }
  | { readonly kind: 'flush' }
  /** One function, or several: then the answer is a mapping by function. */
  | { readonly kind: 'get'; readonly tgt: unknown; readonly tgt_type: string; readonly fun: string | readonly string[] }

/**
 * Every method rejects with an `Error` whose message is fit for a job's return (no secrets, no stack) when the server refuses or stays away
 * longer than the implementation waits.
 */
export interface MasterClient {
  /**
   * The file `path` (relative to the roots, `/` between its parts, no leading slash) of an environment. `known`: the hash of the copy that the
   * minion has; `'unchanged'` when it is still the right one. `null`: there is no such file.
   */
  fetchFile(path: string, saltenv: string, known?: string): Promise<MasterFile | 'unchanged' | null>
  /** Paths of all files of an environment, sorted; empty when the environment does not exist. */
  listFiles(saltenv: string): Promise<string[]>
  /** What there is beside files. */
  listTree?(saltenv: string): Promise<RootsShape>
  /** Names of the environments of file_roots. */
  listEnvironments(): Promise<string[]>
  /**
   * Fires an event on the server's bus as this minion. Resolves as soon as the event can no longer be lost (on the minion's disk, or
   * acknowledged). On the master it arrives in Salt's envelope: without preload `{id, cmd: '_minion_event', pretag: null, data, tag}`, with
   * preload `{id, tag, data, cmd: '_minion_event', …preload}`.
   */
  sendEvent(tag: string, data: unknown, options?: SendOptions): Promise<void>
  /** Fires an event on the minion's own bus; the server does not see it. */
  fireLocal(tag: string, data: unknown): Promise<void>
  /** Compiles this minion's pillar from its last grains. With an override or a pillarenv it is for the asker alone, else targets match it too. */
  pillar?(ask?: PillarAsk): Promise<Record<string, unknown>>
  /** True for what was sent; for `get` minion → value. */
  mine?(ask: MineAsk): Promise<unknown>
}

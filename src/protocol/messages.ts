/**
 * What server and minion say to each other over HTTP. Bodies and answers are JSON; the stream down is one JSON object per line (NDJSON).
 *
 * 1. `POST /minion/enroll`  `EnrollRequest` → `EnrollAnswer`: who am I, with which key. An accepted key gets a challenge, any other its state.
 * 2. `POST /minion/token`   `TokenRequest` → `TokenAnswer`: the signed challenge proves the key and buys a short token (as `Authorization: Bearer`).
 * 3. `GET /minion/stream`   lines of `Down`: jobs, pings, and a `bye` that says why the stream ends.
 * 4. `POST /minion/up`      `Up` → `UpAnswer`: acknowledgements of jobs, returns, events, grains. Repeating a request changes nothing.
 * 5. `GET /minion/file`, `/minion/files`, `/minion/environments`: the server's file_roots.
 */
export interface EnrollRequest {
  readonly protocol: number
  readonly id: string
  /** PEM, SubjectPublicKeyInfo, RSA. */
  readonly pub: string
  /** Salt's autosign_grains: facts by which the server may let a new minion in. */
  readonly autosign_grains?: Readonly<Record<string, unknown>>
  /** A one-time token that lets a new minion in. */
  readonly enrolment_token?: string
}

export type EnrollAnswer =
  | { readonly state: 'accepted'; readonly nonce: string; readonly expires_seconds: number }
  /** `denied`: the id is known with another key. The minion asks again later; people decide. */
  | { readonly state: 'pending' | 'rejected' | 'denied' }

/** What a minion signs (RSASSA-PKCS1-v1_5, SHA-256). It names its purpose, so that no other signature of this key can stand in for it. */
export function challengeText(id: string, nonce: string): string {
  return `brine minion token\n${id}\n${nonce}\n`
}

export interface TokenRequest extends EnrollRequest {
  readonly nonce: string
  /** Base64 of the signature over `challengeText`. */
  readonly signature: string
  /** A new token for a minion that is connected: nothing that anybody needs to be told. */
  readonly renewal: boolean
}

export interface TokenAnswer {
  readonly token: string
  /** From now on; relative, because the clocks may differ. */
  readonly expires_seconds: number
}

/** A job on its way down, with Salt's names of a published load. */
export interface JobMessage {
  readonly jid: string
  readonly fun: string | readonly string[]
  readonly arg: readonly unknown[]
  readonly tgt: unknown
  readonly tgt_type: string
  readonly user: string
  readonly ret: string
  readonly metadata?: unknown
}

/** Why the server ends a stream. After `replaced`, `rejected` and `deleted` the minion waits before it comes back, else it comes back soon. */
export type ByeReason = 'replaced' | 'rejected' | 'deleted' | 'expired' | 'stopping' | 'slow' | 'silent'

export type Down =
  /**
   * First line. `heartbeat_seconds`: a line comes at least so often, and the minion is heard of at least so often. `grains`: the server has none.
   * `gzip`: bodies of requests may be packed.
   */
  | {
      readonly type: 'hello'
      readonly protocol: number
      readonly heartbeat_seconds: number
      readonly grains: boolean
      readonly gzip?: boolean
    }
  | { readonly type: 'job'; readonly job: JobMessage }
  | { readonly type: 'ping' }
  | { readonly type: 'bye'; readonly reason: ByeReason | string }

/** An event that the minion fires on the server's bus. */
export interface UpEvent {
  readonly kind: 'event'
  /** Place in the spool: 1, 2, 3 …, never used twice in one spool. */
  readonly n: number
  readonly tag: string
  readonly data: unknown
  /** Stand in the envelope beside `id` and `tag`. */
  readonly preload?: Readonly<Record<string, unknown>>
  /** A beacon's: `data` is the event's own, without an envelope around it (golden/README section 3). For tags below `salt/beacon/<id>/` alone. */
  readonly flat?: boolean
  /** The job whose function fired it: the event then has the job's cause. */
  readonly jid?: string
}

/** What came of a job. Fields have Salt's names; the server checks them. */
export interface UpReturn {
  readonly kind: 'return'
  readonly n: number
  readonly return: Readonly<Record<string, unknown>>
}

export type UpItem = UpEvent | UpReturn

export interface Up {
  /** Names the spool: another name means that `n` starts anew. */
  readonly spool: string
  /** In order of `n`. */
  readonly items: readonly UpItem[]
  /** Jobs that are on the minion's disk now. */
  readonly acks: readonly string[]
  readonly grains?: Readonly<Record<string, unknown>>
  /** Of an item that is too long for a request. Comes alone. */
  readonly part?: UpPart
}

/** A piece of the JSON text of a return. When the last one is here, the whole is taken as if it had come in `items`. */
export interface UpPart {
  /** The item's place in the spool. */
  readonly n: number
  /** Characters (UTF-16) of the text before this piece. */
  readonly at: number
  /** Characters of the whole text. */
  readonly length: number
  readonly text: string
}

/** Everything that was sent is settled: recorded, or refused for good. Anything else is answered with an error, and the minion repeats the request. */
export interface UpAnswer {
  readonly refused: readonly { readonly n: number; readonly code: string; readonly error: string }[]
  /** To a part, when the whole is not there yet: so many characters are, and the next part begins behind them. */
  readonly have?: number
}

/** Items of one request at most: the server works on a request as a whole. */
export const MAX_ITEMS = 1000
/** Acknowledgements of one request at most. */
export const MAX_ACKS = 1000
/** Bytes of one request's body, unpacked: a batch, a megabyte of grains, or a part with all its characters escaped. */
export const MAX_UP_BYTES = 8 * 1024 * 1024
/** Characters of the text of one item that comes in parts: a return of 64 MiB (what a job may return at most) with what stands around it. */
export const MAX_ITEM_CHARS = 65 * 1024 * 1024
/** Characters of a part: the server is never busy with one for long, and what a broken connection costs is little. */
export const PART_CHARS = 1024 * 1024
/** A request holds so many bytes of items, unless a single one is larger. */
export const BATCH_BYTES = 1024 * 1024

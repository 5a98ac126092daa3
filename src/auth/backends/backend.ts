/** A way to prove who one is: an eauth of /login. Which users it may let in stands in `external_auth`. */
export interface Backend {
  /**
   * Whether the password is this user's; null when it is not. Unknown user and wrong password take the same time as far as the backend decides
   * it; the caller bounds how many run at once. Throws when it could not be found out (a directory that is away).
   */
  login(user: string, password: string): Promise<LoggedIn | null>
  /** What is known of a user now. Null: the user is gone, and with it every token. */
  account(user: string): Account | null
  /** Called when accounts have changed. Returns its undo. */
  onChange(listener: () => void): () => void
  /** True when a login waits for another program or machine: it has other bounds than one that hashes here. */
  readonly remote?: boolean
}

export interface LoggedIn {
  /** The user's groups, where the backend only learns them at a login: they go with the token. */
  readonly groups?: readonly string[]
}

export interface Account {
  readonly groups: readonly string[]
  /** Tokens from before do not count; microseconds since 1970 UTC. */
  readonly sinceUs: number
}

/** The account of a backend that is only asked at logins: nothing more is known of its users, and tokens last as long as they were made for. */
export const ONLY_AT_LOGIN: Account = { groups: [], sinceUs: 0 }

/** Groups that go with a token at most; more are a directory's whole tree, and each is compared with `external_auth`. */
export const MAX_GROUPS = 1000

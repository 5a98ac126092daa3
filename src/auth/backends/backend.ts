/** A way to prove who one is: an eauth of /login. Which users it may let in stands in `external_auth`. */
export interface Backend {
  /**
   * True when the password is this user's. Unknown user and wrong password take the same time; the caller bounds how many run at once.
   */
  login(user: string, password: string): Promise<boolean>
  /** What is known of a user now. Null: the user is gone, and with it every token. */
  account(user: string): Account | null
  /** Called when accounts have changed. Returns its undo. */
  onChange(listener: () => void): () => void
}

export interface Account {
  readonly groups: readonly string[]
  /** Tokens from before do not count; microseconds since 1970 UTC. */
  readonly sinceUs: number
}

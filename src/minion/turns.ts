/** Who may run states: one job at a time, the others are told or wait in order. */
export class StateTurns {
  readonly #inside = new Set<string>()
  readonly #waiting: { jid: string; go: () => void }[] = []

  /**
   * Answers with the jids that are in the way; none: `jid` is inside until it leaves. `concurrent` goes in beside others, `queue` waits for its
   * turn (bounded by the time limit of jobs; a job that ends meanwhile gives its place up).
   */
  async enter(jid: string, { queue, concurrent }: { queue: boolean; concurrent: boolean }): Promise<readonly string[]> {
    if (this.#inside.has(jid)) return []
    if (!concurrent && (this.#inside.size > 0 || this.#waiting.length > 0)) {
      if (!queue) return [...this.#inside]
      await new Promise<void>(go => this.#waiting.push({ jid, go }))
    }
    this.#inside.add(jid)
    return []
  }

  leave(jid: string): void {
    const place = this.#waiting.findIndex(waiting => waiting.jid === jid)
    if (place >= 0) this.#waiting.splice(place, 1)
    if (!this.#inside.delete(jid) || this.#inside.size > 0) return
    const next = this.#waiting.shift()
    if (!next) return
    this.#inside.add(next.jid)
    next.go()
  }
}

interface Entry<T> {
  readonly us: number
  readonly item: T
}

/**
 * What is due when: a heap, so that ten thousand windows cost little more than ten. An item may stand in it several times, and at times that are no
 * longer its own: whoever takes it looks.
 */
export class DueTimes<T> {
  readonly #heap: Entry<T>[] = []

  /** Nothing is due before this (microseconds); Infinity when nothing is. */
  get nextUs(): number {
    return this.#heap[0]?.us ?? Number.POSITIVE_INFINITY
  }

  clear(): void {
    this.#heap.length = 0
  }

  add(us: number, item: T): void {
    const heap = this.#heap
    let at = heap.push({ us, item }) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (heap[parent]!.us <= heap[at]!.us) return
      this.#swap(at, parent)
      at = parent
    }
  }

  /** Takes the next item whose time is not after `us`; undefined when there is none. */
  take(us: number): T | undefined {
    const heap = this.#heap
    if (this.nextUs > us) return undefined
    const { item } = heap[0]!
    const last = heap.pop()!
    if (heap.length > 0) {
      heap[0] = last
      this.#sink()
    }
    return item
  }

  #sink(): void {
    const heap = this.#heap
    for (let at = 0; ; ) {
      const left = 2 * at + 1
      if (left >= heap.length) return
      const child = left + 1 < heap.length && heap[left + 1]!.us < heap[left]!.us ? left + 1 : left
      if (heap[at]!.us <= heap[child]!.us) return
      this.#swap(at, child)
      at = child
    }
  }

  #swap(a: number, b: number): void {
    const heap = this.#heap
    const held = heap[a]!
    heap[a] = heap[b]!
    heap[b] = held
  }
}

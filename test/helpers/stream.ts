import { type IncomingMessage, request } from 'node:http'

export interface Frame {
  readonly id?: string
  readonly event?: string
  readonly tag?: string
  /** The `data:` line, parsed. */
  readonly data: { readonly tag?: string; readonly data?: Record<string, unknown>; readonly [name: string]: unknown }
}

/** An SSE client that shows what it got, byte for byte. */
export class StreamClient {
  readonly response: IncomingMessage
  /** The body so far, without HTTP's chunks. */
  text = ''
  closed = false
  readonly #waiting = new Set<() => void>()

  private constructor(response: IncomingMessage) {
    this.response = response
    response.setEncoding('utf8').on('data', (text: string) => {
      this.text += text
      this.#changed()
    })
    // A connection that is dropped is an end, too.
    response
      .on('error', () => {})
      .on('close', () => {
        this.closed = true
        this.#changed()
      })
  }

  static open(url: string, headers: Record<string, string> = {}): Promise<StreamClient> {
    return new Promise((resolve, reject) => {
      const asking = request(url, { headers, agent: false }, response => resolve(new StreamClient(response)))
      asking.on('error', reject).end()
    })
  }

  /** Resolves when `test` holds for what was received; rejects when the stream ends without. */
  async until(test: (client: this) => boolean): Promise<this> {
    while (!test(this)) {
      if (this.closed) throw new Error(`the stream ended with: ${this.text}`)
      await new Promise<void>(resolve => this.#waiting.add(resolve))
    }
    return this
  }

  /** Resolves when there are so many frames (comments are none), with them. */
  async frames(count: number): Promise<readonly Frame[]> {
    await this.until(() => framesOf(this.text).length >= count)
    return framesOf(this.text)
  }

  /** Resolves with all frames when the server has ended the stream. */
  async end(): Promise<readonly Frame[]> {
    while (!this.closed) await new Promise<void>(resolve => this.#waiting.add(resolve))
    return framesOf(this.text)
  }

  close(): void {
    this.response.destroy()
  }

  #changed(): void {
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
  }
}

export function framesOf(text: string): Frame[] {
  return text
    .split('\n\n')
    .slice(0, -1)
    .flatMap(block => {
      const fields = Object.fromEntries(
        block
          .split('\n')
          .flatMap(line => (/^(id|event|tag|data): /.test(line) ? [[line.split(': ', 1)[0]!, line.slice(line.indexOf(': ') + 2)]] : []))
      )
      return fields.data === undefined ? [] : [{ ...fields, data: JSON.parse(fields.data) as Frame['data'] }]
    })
}

export const tagsOf = (frames: readonly Frame[]) => frames.flatMap(frame => frame.tag ?? [])

import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Outlet } from './subscription.js'

/**
 * An HTTP answer whose head and first bytes are sent, as a place for prepared bytes: they go to the socket itself, past the answer's own
 * framing, which the encoding has done already. The end goes through the answer again, so that it closes its framing.
 */
export class HttpOutlet implements Outlet {
  readonly #response: ServerResponse
  readonly #socket: Socket

  private constructor(response: ServerResponse, socket: Socket) {
    this.#response = response
    this.#socket = socket
  }

  /**
   * Sends the head (status and headers are set) and the first text. With pipelined requests the socket is another answer's until that is
   * done; null when the connection is gone by then.
   */
  static async open(response: ServerResponse, first: string): Promise<HttpOutlet | null> {
    response.write(first)
    if (response.socket === null && !response.destroyed) await Promise.race([once(response, 'socket'), once(response, 'close')])
    return response.socket === null || response.socket.destroyed ? null : new HttpOutlet(response, response.socket)
  }

  get sink(): Socket {
    return this.#socket
  }

  writeAll(parts: readonly Uint8Array[]): void {
    if (this.#socket.destroyed) return
    this.#socket.cork()
    for (const bytes of parts) this.#socket.write(bytes)
    this.#socket.uncork()
  }

  async drained(withinMs: number): Promise<boolean> {
    if (!this.#socket.writableNeedDrain) return true
    return new Promise(resolve => {
      const done = (drained: boolean) => {
        clearTimeout(timer)
        this.#socket.off('drain', onDrain).off('close', onClose)
        resolve(drained)
      }
      const onDrain = () => done(true)
      const onClose = () => done(false)
      const timer = setTimeout(onClose, withinMs)
      this.#socket.on('drain', onDrain).on('close', onClose)
    })
  }

  end(last: Uint8Array, withinMs: number): void {
    if (this.#socket.destroyed) return
    this.#socket.write(last)
    this.#response.end()
    // Node ends the connection when all is written; a reader that does not take it must not hold the server.
    this.#socket.destroySoon()
    const timer = setTimeout(() => this.#socket.destroy(), withinMs)
    timer.unref()
    this.#socket.once('close', () => clearTimeout(timer))
  }

  cut(): void {
    this.#socket.destroy()
  }
}

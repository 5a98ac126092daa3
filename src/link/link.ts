import type { Delivery } from '../store/store.js'

/**
 * The server's way to its minions. Jobs, keys and presence know a minion by its id and reach it through this alone, so that another
 * transport (Salt's own wire protocol) can stand beside the HTTP one.
 */
export interface MinionLink {
  /** Ids with an open stream, sorted. */
  connected(): string[]
  isConnected(id: string): boolean
  /** Hands a job to a connected minion; false when it is not connected (the delivery stays pending in the store and goes out when it comes back). */
  send(id: string, job: Delivery): boolean
  /** Ends the minion's stream at once (key rejected or deleted, server stopping); the minion is told why. */
  disconnect(id: string, reason: string): void
  /** Called on connect and disconnect. Returns its undo. */
  onPresence(listener: (id: string, connected: boolean) => void): () => void
}

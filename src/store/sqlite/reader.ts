/** A reading thread: one connection, one question after the other. */
import { parentPort, type TransferListItem, workerData } from 'node:worker_threads'
import { openForReading } from './database.js'
import { failureOf } from './failures.js'
import { type OperationTable, reads } from './operations.js'
import type { Answer, Question, ReaderData } from './readers.js'

const port = parentPort!
const { file } = workerData as ReaderData

/** Set once the file is open. The first question comes after the writer made and migrated it; one that fails to open it does not stop the next. */
let table: OperationTable | null = null

function answer([number, name, args]: Question): void {
  try {
    table ??= reads(openForReading(file))
    const operation = table[name]
    if (operation === undefined) throw new Error(`unknown question ${name}`)
    const value = operation(args as never)
    port.postMessage([number, null, value] satisfies Answer, transferable(value))
  } catch (error) {
    port.postMessage([number, failureOf(error, file), null] satisfies Answer)
  }
}

/** Encoded pages change hands instead of being copied. */
function transferable(value: unknown): TransferListItem[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.values(value)
    .filter(part => ArrayBuffer.isView(part))
    .map(part => part.buffer as ArrayBuffer)
}

port.on('message', answer)

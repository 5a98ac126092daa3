import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** What was recorded of one request; the fields are described in golden/api/README section 1. */
export interface RecordedResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Json
  readonly raw?: string
  readonly wire_prefix?: string
  readonly frames?: readonly RecordedFrame[]
}

export interface RecordedFrame {
  readonly from: 'client' | 'server' | 'other'
  readonly frame?: 'text' | 'binary' | 'ping' | 'pong' | 'close'
  readonly data?: string
  readonly do?: string
}

export interface Case {
  readonly name: string
  readonly seq: number
  readonly after?: string
  readonly config?: Readonly<Record<string, Json>>
  readonly request: {
    readonly method: string
    readonly path: string
    readonly headers: Readonly<Record<string, string>>
    readonly body: string | null
  }
  readonly response: RecordedResponse
  readonly events?: readonly { readonly tag: string; readonly data: Json }[]
  readonly capture?: Readonly<Record<string, string>>
  readonly volatile: readonly string[]
  readonly host_specific?: readonly string[]
  readonly trimmed?: string
  readonly diverge?: string
  readonly note: string
  /** Name of the file it stands in, without `.json`. */
  readonly group: string
}

/** The cases of all files and directories, in the order of recording. Throws for what holds no cases. */
export function readCases(paths: readonly string[]): Case[] {
  return paths
    .flatMap(filesIn)
    .flatMap(readFile)
    .sort((a, b) => a.seq - b.seq)
}

function filesIn(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path]
  const names = readdirSync(path).filter(name => name.endsWith('.json'))
  if (names.length === 0) throw new Error(`${path}: no .json file in it`)
  return names.sort().map(name => join(path, name))
}

function readFile(file: string): Case[] {
  const list = JSON.parse(readFileSync(file, 'utf8')) as unknown
  const isCase = (each: unknown) => typeof each === 'object' && each !== null && 'request' in each && 'response' in each && 'name' in each
  if (!Array.isArray(list) || !list.every(isCase)) throw new Error(`${file}: no list of cases`)
  return list.map(each => ({ ...(each as Case), group: basename(file, '.json') }))
}

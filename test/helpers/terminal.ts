import { Readable } from 'node:stream'
import { main } from '../../src/cli/index.js'
import type { Terminal } from '../../src/cli/terminal.js'

export interface CommandRun {
  readonly code: number
  readonly out: string
  readonly err: string
}

export interface RunningCommand {
  readonly done: Promise<CommandRun>
  /** Ctrl-C. */
  interrupt(): void
  /** Resolves when stdout has this text. */
  printed(text: string): Promise<void>
}

export interface CommandOptions {
  readonly env?: Record<string, string>
  readonly cwd?: string
  readonly stdin?: string
  /** What is typed when a password is asked for. */
  readonly secrets?: readonly string[]
}

/** Starts a command line in this process. */
export function begin(args: readonly string[], options: CommandOptions = {}): RunningCommand {
  let out = ''
  let err = ''
  const abort = new AbortController()
  const secrets = [...(options.secrets ?? [])]
  const waiting: { text: string; resolve: () => void }[] = []
  const terminal: Terminal = {
    env: options.env ?? {},
    cwd: options.cwd ?? process.cwd(),
    stdin: Readable.from([Buffer.from(options.stdin ?? '')]),
    out: text => {
      out += text
      for (const each of waiting) if (out.includes(each.text)) each.resolve()
    },
    err: text => {
      err += text
    },
    askSecret: async () => secrets.shift() ?? null,
    interrupted: () => abort.signal
  }
  const done = main(args, terminal, '0.0.0').then(code => ({ code, out, err }))
  return {
    done,
    interrupt: () => abort.abort(),
    printed: text => (out.includes(text) ? Promise.resolve() : new Promise<void>(resolve => waiting.push({ text, resolve })))
  }
}

/** Runs a command line to its end. */
export function brine(args: readonly string[], options: CommandOptions = {}): Promise<CommandRun> {
  return begin(args, options).done
}

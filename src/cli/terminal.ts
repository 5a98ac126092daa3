import type { Readable } from 'node:stream'

/** What a command sees of the process around it; tests give another one. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  readonly stdin: Readable & { readonly isTTY?: boolean }
  /** Writes to stdout. */
  out(text: string): void
  /** Writes to stderr. */
  err(text: string): void
  /** Asks for a line without showing what is typed. Null when there is nobody to ask. */
  askSecret(question: string): Promise<string | null>
  /** Aborted by Ctrl-C. Asking for it means to take care of Ctrl-C. */
  interrupted(): AbortSignal
}

export function processTerminal(): Terminal {
  let abort: AbortController | null = null
  return {
    env: process.env,
    cwd: process.cwd(),
    stdin: process.stdin,
    out: text => void process.stdout.write(text),
    err: text => void process.stderr.write(text),
    askSecret,
    interrupted() {
      if (abort === null) {
        const controller = new AbortController()
        for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort())
        abort = controller
      }
      return abort.signal
    }
  }
}

async function askSecret(question: string): Promise<string | null> {
  const { stdin } = process
  if (!stdin.isTTY) return null
  process.stderr.write(question)
  stdin.setRawMode(true)
  let typed = ''
  try {
    for await (const chunk of stdin.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      for (const char of chunk.toString('utf8')) {
        if (char === '\r' || char === '\n') return typed
        if (char === '\u0003' || char === '\u0004') return null
        typed = char === '\u007f' || char === '\b' ? typed.slice(0, -1) : typed + char
      }
    }
    return null
  } finally {
    stdin.setRawMode(false)
    stdin.pause()
    process.stderr.write('\n')
  }
}

/** Everything that stands on stdin, `limit` characters at most. */
export async function readAll(stdin: Readable, limit: number): Promise<string> {
  let text = ''
  const decoder = new TextDecoder()
  for await (const chunk of stdin as AsyncIterable<Buffer>) {
    text += decoder.decode(chunk, { stream: true })
    if (text.length > limit) return text.slice(0, limit)
  }
  return text
}

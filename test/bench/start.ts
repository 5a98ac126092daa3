import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CLI } from '../helpers/server.js'
import { absolute, type Bench, percentile } from './figures.js'
import { Child } from './processes.js'

const EVENTS = 1_000_000
const ROUNDS = 3
const DATA = { status: 'success', repository: 'octo/hello-world', text: 'x'.repeat(100) }

/** From `brine start` to the first request that is answered, with a long log. */
export const bench: Bench = async () => {
  const dir = mkdtempSync(join(tmpdir(), 'brine-bench-start-'))
  const filler = new Child('servers/brine')
  try {
    await filler.call('start', { dir })
    const count = await filler.call<number>('fill', { count: EVENTS, tag: 'old/event', data: DATA })
    await filler.call('close')
    const seconds: number[] = []
    for (let round = 0; round < ROUNDS; round++) seconds.push(await firstAnswer(dir))
    return [
      absolute(
        'start to first answered request',
        percentile(seconds, 0.5),
        { atMost: 1.5 },
        's',
        `log of ${count.toLocaleString('en')} events`
      )
    ]
  } finally {
    await filler.call('remove').catch(() => {})
    await filler.stop()
  }
}

async function firstAnswer(dir: string): Promise<number> {
  const port = await freePort()
  const from = performance.now()
  const server = spawn(process.execPath, [CLI, 'start', '--no-minion', '--port', String(port), '--data', dir], {
    stdio: ['ignore', 'ignore', 'inherit']
  })
  try {
    for (;;) {
      const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null)
      if (answer?.ok) return (performance.now() - from) / 1000
      if (server.exitCode !== null) throw new Error(`brine start ended with ${server.exitCode}`)
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  } finally {
    const ended = once(server, 'exit')
    if (server.exitCode === null) {
      server.kill('SIGINT')
      await ended
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

import { request } from 'node:http'
import { serve } from '../processes.js'

interface Place {
  readonly url: string
  readonly token: string
}

/** When each event was posted, by its number. */
const sent = new Map<number, number>()
let arrived: ((latency: number) => void) | null = null
let number = 0

/** Opens the live stream. */
function open({ url, token, path }: Place & { path: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    const asking = request(`${url}${path}`, { headers: { 'x-auth-token': token }, agent: false }, response => {
      response.setEncoding('utf8')
      response.once('data', () => resolve())
      let rest = ''
      response.on('data', (text: string) => {
        rest += text
        const blocks = rest.split('\n\n')
        rest = blocks.pop()!
        for (const block of blocks) {
          const n = Number(/"n": (\d+)/.exec(block)?.[1])
          const from = sent.get(n)
          if (from === undefined) continue
          sent.delete(n)
          arrived?.(performance.now() - from)
        }
      })
    })
    asking.on('error', reject).end()
  })
}

/** Posts so many events, one every `paceMs`, and returns the milliseconds from each POST to its frame. */
async function measure({ url, token, times, paceMs }: Place & { times: number; paceMs: number }): Promise<number[]> {
  const latencies: number[] = []
  for (let i = 0; i < times; i++) {
    const pause = new Promise(resolve => setTimeout(resolve, paceMs))
    const frame = new Promise<number>(resolve => {
      arrived = resolve
    })
    const n = ++number
    sent.set(n, performance.now())
    const headers = { 'x-auth-token': token, 'content-type': 'application/json' }
    const answer = fetch(`${url}/events`, { method: 'POST', headers, body: JSON.stringify({ tag: 'live/event', data: { n } }) })
    latencies.push(await frame)
    await (await answer).arrayBuffer()
    await pause
  }
  return latencies
}

/**
 * Posts so many events a second, whether those before were answered or not, and returns the milliseconds from each POST to its frame (of the event,
 * or of what it led to). Those without a frame ten seconds after the last POST are left out.
 */
async function pace({
  url,
  token,
  tag,
  perSecond,
  seconds
}: Place & { tag: string; perSecond: number; seconds: number }): Promise<number[]> {
  const latencies: number[] = []
  const times = perSecond * seconds
  const headers = { 'x-auth-token': token, 'content-type': 'application/json' }
  const all = new Promise<void>(resolve => {
    arrived = latency => {
      latencies.push(latency)
      if (latencies.length === times) resolve()
    }
  })
  const answers: Promise<unknown>[] = []
  const from = performance.now()
  while (answers.length < times) {
    const due = Math.min(times, Math.floor(((performance.now() - from) / 1000) * perSecond) + 1)
    while (answers.length < due) {
      const n = ++number
      sent.set(n, performance.now())
      const body = JSON.stringify({ tag, data: { n, id: 'minion00000', version: '1.10', status: 'ok' } })
      answers.push(fetch(`${url}/events`, { method: 'POST', headers, body }).then(answer => answer.arrayBuffer()))
    }
    await new Promise(resolve => setTimeout(resolve, 1))
  }
  await Promise.all(answers)
  await Promise.race([all, new Promise(resolve => setTimeout(resolve, 10_000))])
  return latencies
}

serve({ open, measure, pace })

import type { Test } from 'tap'
import { httpServer } from './http.js'
import { reactorBench } from './reactor.js'

/** What a backtest says of a rule. */
export interface OfRule {
  readonly matched: number
  readonly reacted: number
  readonly waiting: number
  readonly passed: Record<string, number>
  readonly calls: number
  readonly failed: number
}

export interface Report {
  readonly done: boolean
  readonly scanned: number
  readonly total: number
  readonly counts: Record<string, number>
  readonly passed: Record<string, number>
  readonly rules: Record<string, OfRule>
  readonly samples: Record<string, { event: string; call: Record<string, unknown> }[]>
}

/** A reactor behind HTTP, and ways to ask `POST /reactor/backtest`. */
export async function backtestServer(t: Test, options: Parameters<typeof reactorBench>[1] = {}) {
  const bench = await reactorBench(t, options)
  const http = await httpServer(t, {
    users: { looker: [{ '@wheel': ['reactor.list'] }, '@events'], narrow: ['@wheel', { '@events': ['a/*'] }] },
    clock: bench.clock,
    services: { store: bench.store, events: bench.events, reactor: bench.reactor }
  })
  const ask = async (body: object, headers: Record<string, string> = {}) => {
    const url = '/reactor/backtest'
    const answer = await http.app.inject({ method: 'POST', url, headers: { 'x-auth-token': http.token, ...headers }, payload: body })
    return { status: answer.statusCode, type: answer.headers['content-type'], text: answer.body }
  }
  const result = async (body: object) => {
    const { status, text } = await ask(body)
    if (status !== 200) throw new Error(text)
    return JSON.parse(text.trimEnd().split('\n').at(-1)!) as Report
  }
  return { bench, http, ask, result }
}

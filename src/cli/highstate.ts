/** Salt's outputter for state runs, `highstate`, without colours. */
import { format } from './output.js'

interface StateResult {
  readonly result: boolean | null
  readonly comment: unknown
  readonly changes: unknown
  readonly __run_num__?: number
  readonly __id__?: string
  readonly name?: unknown
  readonly start_time?: unknown
  readonly duration?: unknown
  readonly warnings?: readonly unknown[]
}

/** The return of a state run under its host; null when the value is none. */
export function highstate(host: string, value: unknown): string | null {
  if (Array.isArray(value))
    return `${host}:\n    Data failed to compile:\n${value.map(text => `----------\n    ${String(text)}\n`).join('')}`
  if (!isStates(value)) return null
  const states = Object.entries(value).sort(([, a], [, b]) => (a.__run_num__ ?? 0) - (b.__run_num__ ?? 0))
  return `${host}:\n${states.map(([tag, state]) => stateText(tag, state)).join('')}\n${summary(
    host,
    states.map(([, state]) => state)
  )}`
}

function isStates(value: unknown): value is Record<string, StateResult> {
  if (typeof value !== 'object' || value === null) return false
  return Object.entries(value).every(
    ([tag, state]) => tag.split('_|-').length === 4 && typeof state === 'object' && state !== null && 'result' in state
  )
}

const FURTHER = ' '.repeat(14)

function stateText(tag: string, state: StateResult): string {
  const [module, id, name, fun] = tag.split('_|-')
  const comment = String(Array.isArray(state.comment) ? state.comment.join('\n') : (state.comment ?? '')).trim()
  const lines = [
    '----------',
    `          ID: ${id}`,
    `    Function: ${module}.${fun}`,
    ...(id === name ? [] : [`        Name: ${name}`]),
    `      Result: ${state.result === null ? 'None' : state.result ? 'True' : 'False'}`,
    `     Comment: ${comment.replaceAll('\n', `\n${FURTHER}`)}`,
    ...(state.start_time === undefined ? [] : [`     Started: ${String(state.start_time)}`]),
    ...(state.duration === undefined ? [] : [`    Duration: ${String(state.duration)} ms`]),
    ...(state.warnings?.length ? [`    Warnings: ${state.warnings.map(String).join(`\n${FURTHER}`)}`] : []),
    '     Changes:   '
  ]
  return `${lines.join('\n')}\n${changesText(state.changes)}`
}

/** Changes as the nested outputter has them, below where they begin. */
function changesText(changes: unknown): string {
  if (!changed(changes)) return ''
  if (typeof changes !== 'object') return `${FURTHER}Invalid Changes data: ${String(changes)}\n`
  const lines = format(changes, 'nested').trimEnd().split('\n')
  return `${[...(Array.isArray(changes) ? [] : ['----------']), ...lines].map(line => FURTHER + line).join('\n')}\n`
}

function changed(changes: unknown): boolean {
  return typeof changes === 'object' && changes !== null ? Object.keys(changes).length > 0 : Boolean(changes)
}

/** Salt's `Summary for`. The width grows with the largest count. */
function summary(host: string, states: readonly StateResult[]): string {
  const count = (result: boolean | null) => states.filter(state => state.result === result).length
  const warnings = states.filter(state => state.warnings?.length).length
  const largest = Math.max(count(true), count(false), count(null), warnings)
  const width = 'Succeeded'.length + String(largest).length + 2
  const line = (label: string, number: number) => `${label}: ${String(number).padStart(width - label.length - 2)}`
  const changes = states.filter(state => changed(state.changes)).length
  const details = [...(count(null) > 0 ? [`unchanged=${count(null)}`] : []), ...(changes > 0 ? [`changed=${changes}`] : [])]
  const ms = states.reduce((sum, { duration }) => sum + (Number(duration) || 0), 0)
  const [total, unit] = ms > 999 ? [ms / 1000, 's'] : [ms, 'ms']
  return [
    `Summary for ${host}`,
    '-'.repeat(width),
    line('Succeeded', count(true) + count(null)) + (details.length > 0 ? ` (${details.join(', ')})` : ''),
    line('Failed', count(false)),
    ...(warnings > 0 ? [line('Warnings', warnings)] : []),
    '-'.repeat(width),
    `Total states run: ${String(states.length).padStart(width - 7)}`,
    `Total run time: ${total.toFixed(3).padStart(width - 5)} ${unit}\n`
  ].join('\n')
}

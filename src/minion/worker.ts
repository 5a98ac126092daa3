/**
 * The program of a job's own process: runs one job at a time with the agent's services at the other end of the channel. When the agent is gone,
 * it ends with all that it started.
 */
import { SystemClock } from '../shared/clock.js'
import type { Agent, EventSender, FileClient, MinionLog, ModuleContext } from './context.js'
import { invoke } from './invoke.js'
import type { AnswerMessage, FromWorker, RunMessage, ServiceName, Services, ToWorker } from './ipc.js'
import { SERVICE_METHODS } from './ipc.js'
import { allModules } from './modules/custom.js'
import { CommandExecutionError } from './modules/errors.js'
import { signalGroup } from './process.js'

const clock = new SystemClock()
const groups = new Set<number>()
const waiting = new Map<number, (answer: AnswerMessage) => void>()
let calls = 0

process.on('message', (message: ToWorker) => {
  if (message.type === 'run') void run(message)
  else waiting.get(message.call)?.(message)
})
process.on('disconnect', () => {
  for (const group of groups) signalGroup(group, 'SIGKILL')
  process.exit(1)
})
// Node would open its debugger on this signal; here it is one that `saltutil.signal_job` may pass on.
process.on('SIGUSR1', () => {})

async function run({ job, options, grains, pillar }: RunMessage): Promise<void> {
  const modules = await allModules(options, { grains, pillar })
  const ctx: ModuleContext = {
    ...{ id: options.id, job, options, grains, pillar, modules, clock, log },
    files: service('files') as FileClient,
    events: service('events') as EventSender,
    agent: service('agent') as Agent,
    processes: { started: group => track(group, true), ended: group => track(group, false) },
    signal: new AbortController().signal, // a job's process is ended from outside
    outcome: { retcode: 0 }
  }
  send({ type: 'outcome', outcome: await invoke(ctx, job) })
}

function track(group: number, alive: boolean): void {
  if (alive) groups.add(group)
  else groups.delete(group)
  send({ type: 'group', group, alive })
}

function service(name: ServiceName): Services[ServiceName] {
  const methods = SERVICE_METHODS[name].map(method => [method, (...args: unknown[]) => ask(name, method, args)])
  return Object.fromEntries(methods) as unknown as Services[ServiceName]
}

function ask(name: ServiceName, method: string, args: readonly unknown[]): Promise<unknown> {
  const call = ++calls
  send({ type: 'call', call, service: name, method, args })
  return new Promise((resolve, reject) => {
    waiting.set(call, answer => {
      waiting.delete(call)
      if (answer.error === undefined) resolve(answer.value)
      else reject(new CommandExecutionError(answer.error))
    })
  })
}

function send(message: FromWorker): void {
  process.send?.(message, undefined, undefined, () => {}) // a failure means that the agent is gone: `disconnect` follows
}

const log: MinionLog = {
  debug: (fields, text) => send({ type: 'log', level: 'debug', fields, text }),
  info: (fields, text) => send({ type: 'log', level: 'info', fields, text }),
  warn: (fields, text) => send({ type: 'log', level: 'warn', fields, text }),
  error: (fields, text) => send({ type: 'log', level: 'error', fields, text })
}

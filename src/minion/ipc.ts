/** Messages between the agent and the process that runs a job. They travel by Node's channel with structured cloning. */
import type { Agent, EventSender, FileClient, MinionLog } from './context.js'
import type { Job, Outcome } from './job.js'
import type { Mapping } from './modules/values.js'
import type { MinionOptions } from './options.js'

/** The agent's services, as a job's process reaches them. */
export interface Services {
  readonly files: FileClient
  readonly events: EventSender
  readonly agent: Agent
}

export type ServiceName = keyof Services

/** The methods that may be called; anything else from a job's process is refused. */
export const SERVICE_METHODS = {
  files: ['cacheFile', 'listFiles', 'listTree', 'listEnvironments'],
  events: ['sendEvent', 'fireLocal'],
  agent: ['running', 'signal', 'enterState', 'refreshGrains', 'refreshPillar', 'compilePillar', 'schedule', 'beacons', 'mine']
} as const satisfies { [S in ServiceName]: readonly (keyof Services[S])[] }

export interface RunMessage {
  readonly type: 'run'
  readonly job: Job
  readonly options: MinionOptions
  readonly grains: Mapping
  readonly pillar: Mapping
}

export interface AnswerMessage {
  readonly type: 'answer'
  readonly call: number
  readonly value?: unknown
  /** Set when the call failed. */
  readonly error?: string
}

export interface CallMessage {
  readonly type: 'call'
  readonly call: number
  readonly service: string
  readonly method: string
  readonly args: readonly unknown[]
}

export interface OutcomeMessage {
  readonly type: 'outcome'
  readonly outcome: Outcome
}

export interface GroupMessage {
  readonly type: 'group'
  readonly group: number
  readonly alive: boolean
}

export interface LogMessage {
  readonly type: 'log'
  readonly level: keyof MinionLog
  readonly fields: object
  readonly text: string
}

export type ToWorker = RunMessage | AnswerMessage
export type FromWorker = CallMessage | OutcomeMessage | GroupMessage | LogMessage

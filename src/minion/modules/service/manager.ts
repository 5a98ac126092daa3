/** What a system's way of running services can do, for the functions of service.ts. */
import type { ModuleContext } from '../../context.js'
import type { Mapping } from '../values.js'

export type Action = 'start' | 'stop' | 'restart' | 'reload' | 'force-reload'

export interface ServiceManager {
  /** Whether it could be done; throws CommandExecutionError with what the tool said where Salt does so. `a`: the arguments of the call. */
  act(ctx: ModuleContext, action: Action, name: string, a: Mapping): Promise<boolean>
  /** Whether it runs. `waitSeconds`: how long a change that is under way is waited for. */
  running(ctx: ModuleContext, name: string, waitSeconds: number): Promise<boolean>
  available(ctx: ModuleContext, name: string): Promise<boolean>
  enable(ctx: ModuleContext, name: string, a: Mapping): Promise<boolean>
  disable(ctx: ModuleContext, name: string, a: Mapping): Promise<boolean>
  enabled(ctx: ModuleContext, name: string, root: string | null): Promise<boolean>
  /** Names, sorted; those of services without `.service`. */
  all(ctx: ModuleContext, root: string | null): Promise<string[]>
  allEnabled(ctx: ModuleContext, root: string | null): Promise<string[]>
  allDisabled(ctx: ModuleContext, root: string | null): Promise<string[]>
  allRunning(ctx: ModuleContext): Promise<string[]>
}

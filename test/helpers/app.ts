import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import type { Test } from 'tap'
import { type App, createApp } from '../../src/app.js'
import type { Caller } from '../../src/auth/caller.js'
import { type Config, defaultConfig } from '../../src/config/schema.js'
import { callerNamed, shown } from './commands.js'

export interface AppBench {
  readonly app: App
  readonly dir: string
  /** Calls a runner function as an administrator, or as `caller`; its value. */
  run(fun: string, fields?: object, caller?: Caller): Promise<unknown>
  /** The same for a wheel function. */
  wheel(fun: string, fields?: object): Promise<unknown>
  /** Everything that was committed, without times. */
  log(): Promise<{ tag: string; data: Record<string, unknown> }[]>
}

/** A whole server without its HTTP port and without minions, in a temporary directory. */
export async function appBench(t: Test, settings: Partial<Config> = {}): Promise<AppBench> {
  const dir = mkdtempSync(join(tmpdir(), 'brine-app-'))
  const config = defaultConfig({ data_dir: dir, timeout: 0.05, gather_job_timeout: 0.05, file_roots: {}, pillar_roots: {}, ...settings })
  const app = await createApp(config, pino({ level: 'silent' }))
  t.teardown(async () => {
    await app.close()
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  })
  const { commands, store } = app.services
  const admin = callerNamed('admin')
  return {
    app,
    dir,
    run: (fun, fields = {}, caller = admin) => commands.run({ client: 'runner', fun, ...fields }, caller),
    async wheel(fun, fields = {}) {
      const { data } = (await commands.run({ client: 'wheel', fun, ...fields }, admin)) as { data: { return: unknown } }
      return data.return
    },
    async log() {
      const all: { tag: string; data: Record<string, unknown> }[] = []
      for await (const page of store.events.read({ after: 0, upTo: await store.events.head() })) all.push(...page.map(shown))
      return all
    }
  }
}

import type { Module, ModuleFunction } from './module.js'

/** All functions of a minion by their full name (`test.ping`). */
export class ModuleTable {
  readonly #functions = new Map<string, ModuleFunction>()
  readonly #modules: readonly string[]

  constructor(modules: readonly Module[]) {
    this.#modules = [...new Set(modules.map(module => module.name))].sort()
    for (const module of modules) for (const entry of module.functions) this.#functions.set(`${module.name}.${entry.name}`, entry)
  }

  get(fun: string): ModuleFunction | undefined {
    return this.#functions.get(fun)
  }

  /** Full names, sorted. */
  functions(): string[] {
    return [...this.#functions.keys()].sort()
  }

  /** Names of modules, sorted. */
  modules(): readonly string[] {
    return this.#modules
  }

  /** Full name → documentation, of the functions whose name fulfils the predicate, sorted. */
  docs(wanted: (fun: string) => boolean): Record<string, string> {
    return Object.fromEntries(
      this.functions()
        .filter(wanted)
        .map(fun => [fun, this.get(fun)!.doc])
    )
  }
}

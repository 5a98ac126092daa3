/** What a package manager can do, for the functions of pkg.ts. */
import type { CommandResult } from '../../command.js'
import type { ModuleContext } from '../../context.js'
import type { Mapping } from '../values.js'
import type { Compare } from './versions.js'

/** Name → versions that are installed (more than one: kernels and the like), oldest first. */
export type Versions = Record<string, string[]>

export interface Target {
  readonly name: string
  /** null: the newest. */
  readonly version: string | null
}

export interface Installation {
  readonly targets: readonly Target[]
  /** Package files, absolute paths. */
  readonly files: readonly string[]
  readonly reinstall: boolean
  /** Names of targets whose wanted version is older than the one that is there. */
  readonly downgrades: readonly string[]
  /** The arguments of the call: fromrepo, skip_verify, downloadonly, … */
  readonly options: Mapping
}

/** `installed`; `removed`: only its configuration is left; `purge`: installed, but marked to be purged. */
export type Kind = 'installed' | 'removed' | 'purge'

export interface PackageManager {
  readonly compare: Compare
  /** The name without what only says the machine's own architecture. */
  plainName(ctx: ModuleContext, name: string): string
  list(ctx: ModuleContext, kind: Kind, root: string | null): Promise<Versions>
  /** The newest version that the repositories offer, '' for none. */
  candidates(ctx: ModuleContext, names: readonly string[], options: Mapping): Promise<Record<string, string>>
  /** All versions that the repositories offer, newest first; no entry for a name without any. */
  offered(ctx: ModuleContext, names: readonly string[], options: Mapping): Promise<Versions>
  upgrades(ctx: ModuleContext, options: Mapping): Promise<Record<string, string>>
  /** Repository → true (fetched), null (unchanged), false (failed); for dnf one value for all. */
  refresh(ctx: ModuleContext, options: Mapping): Promise<{ value: unknown; errors: string[] }>
  install(ctx: ModuleContext, wish: Installation): Promise<CommandResult>
  remove(ctx: ModuleContext, names: readonly string[], purge: boolean, options: Mapping): Promise<CommandResult>
  upgrade(ctx: ModuleContext, names: readonly string[], options: Mapping): Promise<CommandResult>
  autoremove(ctx: ModuleContext, purge: boolean, listOnly: boolean): Promise<{ done: CommandResult; names: string[] }>
  holds(ctx: ModuleContext): Promise<string[]>
  setHold(ctx: ModuleContext, name: string, on: boolean): Promise<CommandResult>
  /** Files of a package; null: it is not installed. */
  files(ctx: ModuleContext, name: string, root: string | null): Promise<string[] | null>
  /** The package that a file belongs to, '' for none. */
  owner(ctx: ModuleContext, path: string, root: string | null): Promise<string>
  /** What is known of the installed packages with these names (all when there are none). */
  info(ctx: ModuleContext, names: readonly string[], root: string | null): Promise<Record<string, Mapping>>
  repositories(ctx: ModuleContext): Promise<Mapping>
  /** What a package file holds; null: it is none. */
  inFile(ctx: ModuleContext, path: string): Promise<{ name: string; version: string } | null>
}

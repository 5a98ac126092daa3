/** The site's own modules on this machine: where they lie, and how they come here (custom.ts loads them). */
import { copyFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { ModuleContext } from '../context.js'
import { hashFile } from '../files.js'
import type { MinionOptions } from '../options.js'

/** Kinds of files that are taken from file_roots. */
export type Synced = 'modules' | 'grains'

/** Custom files at most: a job's process reads them all. */
const MAX_FILES = 500

function customDir(options: Pick<MinionOptions, 'cachedir'>, kind: Synced): string {
  return join(options.cachedir, 'extmods', kind)
}

/** Paths of the custom files of a kind, sorted. */
export async function customFiles(options: Pick<MinionOptions, 'cachedir'>, kind: Synced): Promise<string[]> {
  const dir = customDir(options, kind)
  const names = await readdir(dir).catch(() => [])
  return names
    .filter(name => /\.m?js$/.test(name))
    .sort()
    .slice(0, MAX_FILES)
    .map(name => join(dir, name))
}

/**
 * Brings the custom files of a kind here, of several environments the later ones over the earlier ones, and removes those that are gone. Names of
 * what was changed, as Salt's (`modules.shop`).
 */
export async function syncFiles(ctx: ModuleContext, kind: Synced, saltenvs: readonly string[]): Promise<string[]> {
  const dir = customDir(ctx.options, kind)
  const wanted = new Map<string, { path: string; saltenv: string }>()
  for (const saltenv of saltenvs) {
    const paths = (await ctx.files.listFiles(saltenv)).filter(path => new RegExp(`^_${kind}/[^/]+\\.m?js$`).test(path))
    for (const path of paths) wanted.set(basename(path), { path, saltenv })
  }
  const changed: string[] = []
  const label = (name: string) => `${kind}.${name.replace(/\.m?js$/, '')}`
  if (wanted.size > 0) await prepare(dir)
  for (const [name, { path, saltenv }] of wanted) {
    const file = await ctx.files.cacheFile(path, saltenv)
    const target = join(dir, name)
    if (!file || (await hashFile(target).catch(() => null)) === file.hash) continue
    await copyFile(file.path, target)
    changed.push(label(name))
  }
  for (const file of await customFiles(ctx.options, kind)) {
    if (wanted.has(basename(file))) continue
    await rm(file, { force: true })
    changed.push(label(basename(file)))
  }
  return changed
}

/** The files are ESM, whatever their extension. */
async function prepare(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  await writeFile(join(dirname(dir), 'package.json'), '{"type": "module"}\n')
}

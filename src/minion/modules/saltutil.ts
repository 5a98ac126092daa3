import { readdir, rm, stat } from 'node:fs/promises'
import { constants } from 'node:os'
import { join } from 'node:path'
import { compileGlob } from '../../tags/glob.js'
import type { ModuleContext } from '../context.js'
import { callFunction } from '../invoke.js'
import type { RunningJob } from '../job.js'
import { type Synced, syncFiles } from './custom-sync.js'
import { InvocationError } from './errors.js'
import { doc, fn, type Module } from './module.js'
import { flag, type Mapping, number, text, texts } from './values.js'

/** Kinds of extension modules, in the order in which Salt names them (golden/events/job_sync_all.jsonl). */
const SYNC_KINDS = [
  ...['clouds', 'beacons', 'modules', 'states', 'sdb', 'grains', 'renderers', 'returners', 'output', 'utils', 'log_handlers', 'executors'],
  ...['proxymodules', 'engines', 'thorium', 'serializers', 'matchers']
]

/** Salt's `saltutil` module: jobs that run on the minion, and what it keeps of the server. */
export const saltutil: Module = {
  name: 'saltutil',
  functions: [
    fn('running()', doc('Returns the jobs that run on the minion.', 'saltutil.running'), ctx => ctx.agent.running()),
    fn('find_job(jid)', doc('Returns a job that runs on the minion, or {}.', 'saltutil.find_job 20260101000000000000'), findJob),
    fn('is_running(fun)', doc('Returns the running jobs of a function (a glob).', 'saltutil.is_running state.highstate'), isRunning),
    fn(
      'signal_job(jid, sig)',
      doc("Sends a signal (number or name) to a job's processes.", 'saltutil.signal_job 20260101000000000000 15'),
      signalJob
    ),
    fn(
      'term_job(jid)',
      doc("Sends SIGTERM to a job's processes; it returns nothing then.", 'saltutil.term_job 20260101000000000000'),
      (ctx, a) => signalJob(ctx, { ...a, sig: 15 })
    ),
    fn(
      'kill_job(jid)',
      doc("Sends SIGKILL to a job's processes; it returns nothing then.", 'saltutil.kill_job 20260101000000000000'),
      (ctx, a) => signalJob(ctx, { ...a, sig: 9 })
    ),
    fn('term_all_jobs()', doc('Sends SIGTERM to all jobs.', 'saltutil.term_all_jobs'), ctx => signalAll(ctx, 15)),
    fn('kill_all_jobs()', doc('Sends SIGKILL to all jobs.', 'saltutil.kill_all_jobs'), ctx => signalAll(ctx, 9)),
    fn('signal_all_jobs(sig)', doc('Sends a signal to all jobs.', 'saltutil.signal_all_jobs 15'), (ctx, { sig }) =>
      signalAll(ctx, signalNumber(sig))
    ),
    fn(
      'find_cached_job(jid)',
      doc('Returns what the minion keeps of a job.', 'saltutil.find_cached_job 20260101000000000000'),
      () => NO_JOB_CACHE
    ),
    fn('refresh_grains(**kwargs)', doc('Collects the grains anew.', 'saltutil.refresh_grains'), refreshGrains),
    fn(
      'sync_grains(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None)',
      doc('Brings the grains modules of file_roots/_grains here (ESM files) and collects the grains anew.', 'saltutil.sync_grains'),
      syncGrains
    ),
    fn(
      'refresh_pillar(wait=False, timeout=30, clean_cache=True)',
      doc('Asks the server for the pillar anew.', 'saltutil.refresh_pillar'),
      refreshPillar
    ),
    fn(
      'pillar_refresh(wait=False, timeout=30, clean_cache=True)',
      doc('Asks the server for the pillar anew.', 'saltutil.pillar_refresh'),
      refreshPillar
    ),
    fn('refresh_modules(**kwargs)', doc('Modules are part of the program; nothing is to be done.', 'saltutil.refresh_modules'), ctx =>
      told(ctx, 'module_refresh')
    ),
    fn('refresh_beacons()', doc('Reads the beacons of the configuration anew.', 'saltutil.refresh_beacons'), ctx =>
      told(ctx, 'beacons_refresh')
    ),
    fn('refresh_matchers()', doc('Matchers are part of the program; nothing is to be done.', 'saltutil.refresh_matchers'), ctx =>
      told(ctx, 'matchers_refresh')
    ),
    fn(
      'sync_all(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None)',
      doc('Brings the site’s modules here, refreshes grains and pillar; returns what was changed, by kind.', 'saltutil.sync_all'),
      syncAll
    ),
    fn(
      'sync_modules(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None)',
      doc('Brings the modules of file_roots/_modules here (ESM files); returns those that were changed.', 'saltutil.sync_modules'),
      (ctx, a) => syncKind(ctx, 'modules', a)
    ),
    ...SYNC_KINDS.filter(kind => !['modules', 'grains', 'proxymodules', 'log_handlers'].includes(kind)).map(kind =>
      fn(
        `sync_${kind}(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None)`,
        doc(`Returns the ${kind} that were changed: none, the site has no such modules here.`, `saltutil.sync_${kind}`),
        () => []
      )
    ),
    fn('mmodule(saltenv, fun, *args, **kwargs)', doc('Runs a function of this minion.', 'saltutil.mmodule base test.sleep 3'), mmodule, {
      isolated: true
    }),
    fn('clear_cache(days=-1)', doc('Removes cached files, or those older than so many days.', 'saltutil.clear_cache days=7'), clearCache, {
      isolated: true
    }),
    fn('clear_job_cache(hours=24)', doc('Removes cached jobs. This minion keeps none.', 'saltutil.clear_job_cache hours=12'), () => true),
    fn(
      'regen_keys()',
      doc("Removes the minion's key. The next start makes another, which has to be accepted.", 'saltutil.regen_keys'),
      regenKeys
    ),
    fn('revoke_auth(preserve_minion_cache=False)', doc('Tells that only the server can revoke a key.', 'saltutil.revoke_auth'), () => false)
  ]
}

const NO_JOB_CACHE = 'Local jobs cache directory not found; you may need to enable cache_jobs on this minion'

async function findJob(ctx: ModuleContext, { jid }: Mapping): Promise<RunningJob | Record<string, never>> {
  const wanted = text(jid, 'jid')
  return (await ctx.agent.running()).find(job => job.jid === wanted) ?? {}
}

async function isRunning(ctx: ModuleContext, { fun }: Mapping): Promise<RunningJob[]> {
  const matches = compileGlob(text(fun, 'fun'))
  return (await ctx.agent.running()).filter(job => [job.fun].flat().some(name => matches(name)))
}

async function signalJob(ctx: ModuleContext, { jid, sig }: Mapping): Promise<string> {
  return ctx.agent.signal(text(jid, 'jid'), signalNumber(sig))
}

async function signalAll(ctx: ModuleContext, signal: number): Promise<string[]> {
  const jobs = await ctx.agent.running()
  return Promise.all(jobs.map(job => ctx.agent.signal(job.jid, signal)))
}

/** A number, or a name with or without `SIG`. */
function signalNumber(given: unknown): number {
  const name = typeof given === 'string' ? given.toUpperCase().replace(/^(?!SIG)/, 'SIG') : ''
  const known = constants.signals as Readonly<Record<string, number>>
  const signal = known[name] ?? number(given, 'sig')
  if (!Object.values(known).includes(signal)) throw new InvocationError(`${given} is no signal`)
  return signal
}

/** The pillar depends on the grains: the next job that needs it has it compiled anew, and listeners are told of both, as in Salt. */
async function refreshGrains(ctx: ModuleContext): Promise<boolean> {
  await ctx.events.fireLocal('pillar_refresh', { clean_cache: true })
  await ctx.agent.refreshGrains()
  await ctx.events.fireLocal('/salt/minion/minion_pillar_refresh_complete', { complete: true })
  return true
}

async function syncGrains(ctx: ModuleContext, a: Mapping): Promise<string[]> {
  const changed = await syncKind(ctx, 'grains', a)
  await ctx.agent.refreshGrains()
  return changed
}

/** In Salt's environments, base unless named; several as a list or with commas. */
async function syncKind(ctx: ModuleContext, kind: Synced, { saltenv }: Mapping): Promise<string[]> {
  const environments = texts(saltenv ?? ctx.options.saltenv ?? 'base', 'saltenv')
  return syncFiles(ctx, kind, environments)
}

async function mmodule(ctx: ModuleContext, { fun, args, kwargs }: Mapping): Promise<unknown> {
  const named = Object.fromEntries(Object.entries(kwargs as Mapping).filter(([key]) => !key.startsWith('__pub_')))
  return callFunction(ctx, text(fun, 'fun'), args as unknown[], named)
}

async function clearCache(ctx: ModuleContext, { days }: Mapping): Promise<boolean> {
  const dir = join(ctx.options.cachedir, 'files')
  const keep = number(days, 'days')
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => [])
  for (const entry of entries.filter(each => each.isFile())) {
    const path = join(entry.parentPath, entry.name)
    const { mtimeMs } = await stat(path)
    if (keep < 0 || Date.now() - mtimeMs > keep * 86_400_000) await rm(path, { force: true })
  }
  return true
}

async function regenKeys(ctx: ModuleContext): Promise<null> {
  for (const name of ['minion.pem', 'minion.pub']) await rm(join(ctx.options.conf_dir, 'pki', name), { force: true })
  return null
}

async function refreshPillar(ctx: ModuleContext, { clean_cache }: Mapping): Promise<boolean> {
  await ctx.events.fireLocal('pillar_refresh', { clean_cache: flag(clean_cache ?? true) })
  await ctx.agent.refreshPillar()
  await ctx.events.fireLocal('/salt/minion/minion_pillar_refresh_complete', { complete: true })
  return true
}

/** Who listens on the minion's own bus hears of it (golden/events/minion_bus_refresh.jsonl). */
async function told(ctx: ModuleContext, tag: string): Promise<boolean> {
  await ctx.events.fireLocal(tag, {})
  return true
}

async function syncAll(ctx: ModuleContext, a: Mapping): Promise<Record<string, string[]>> {
  const changed: Record<string, string[]> = { modules: await syncKind(ctx, 'modules', a), grains: await syncGrains(ctx, a) }
  // The server has told of the refresh with the grains.
  await ctx.agent.compilePillar({})
  return Object.fromEntries(SYNC_KINDS.map(kind => [kind, changed[kind] ?? []]))
}

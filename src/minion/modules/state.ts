import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { compileGlob } from '../../tags/glob.js'
import type { ModuleContext } from '../context.js'
import { readIfThere, writeDurably } from '../disk.js'
import { callFunction } from '../invoke.js'
import type { RunningJob } from '../job.js'
import { compileHigh, compileLow } from '../states/compile.js'
import { declareStates, type High, renderHigh, renderTextHigh } from '../states/high.js'
import { runStates } from '../states/run.js'
import type { Low } from '../states/state.js'
import { type Top, topMatches } from '../states/top.js'
import { InvocationError } from './errors.js'
import { doc, fn, type Module, type ModuleFunction } from './module.js'
import { pyRepr } from './python.js'
import { flag, isMapping, type Mapping, setOwn, text, textOrNull, texts } from './values.js'

/** Salt's `state` module. Shapes: golden/events/state_*.jsonl, golden/api/gui.json (state-*). */
export const state: Module = {
  name: 'state',
  functions: [
    run(
      'apply_(mods=None, **kwargs)',
      `Runs SLS files (names as a list, or as text with commas), or without names the highstate. test=True only predicts. pillar: values over the
pillar. queue=True waits for a state run that is under way, concurrent=True runs beside it. state_events=True fires an event for each state.`,
      'state.apply webserver test=True',
      apply
    ),
    run(
      'sls(mods, test=None, exclude=None, queue=None, **kwargs)',
      'Runs SLS files. Parameters as in state.apply.',
      'state.sls webserver,users',
      sls
    ),
    run('highstate(test=None, queue=None, **kwargs)', 'Runs what the top file has for this minion.', 'state.highstate', highstate),
    run('single(fun, name, test=None, queue=None, **kwargs)', 'Runs one state.', 'state.single pkg.installed name=vim', single),
    run('sls_id(id_, mods, test=None, queue=None, **kwargs)', 'Runs one id of SLS files.', 'state.sls_id my_state my_module', slsId),
    run('high(data, test=None, queue=None, **kwargs)', 'Runs high data.', 'state.high \'{"vim": {"test": ["nop"]}}\'', high),
    run('low(data, queue=None, **kwargs)', 'Runs one low chunk.', 'state.low \'{"state": "test", "fun": "nop", "name": "x"}\'', low),
    show('show_sls(mods, test=None, queue=None, **kwargs)', 'Shows the high data of SLS files.', 'state.show_sls webserver', showSls),
    show(
      'show_low_sls(mods, test=None, queue=None, **kwargs)',
      'Shows the low data of SLS files.',
      'state.show_low_sls webserver',
      showLowSls
    ),
    show('show_highstate(queue=None, **kwargs)', 'Shows the high data of the highstate.', 'state.show_highstate', showHighstate),
    show('show_lowstate(queue=None, **kwargs)', 'Shows the low data of the highstate.', 'state.show_lowstate', showLowstate),
    show('show_top(queue=None, **kwargs)', 'Shows what the top file has for this minion.', 'state.show_top', showTop),
    show('show_states(queue=None, **kwargs)', 'Shows the names of the SLS files of the highstate.', 'state.show_states', showStates),
    show(
      'sls_exists(mods, test=None, queue=None, **kwargs)',
      'Returns whether SLS files can be rendered.',
      'state.sls_exists core',
      slsExists
    ),
    show(
      'id_exists(ids, mods, test=None, queue=None, **kwargs)',
      'Returns whether SLS files have ids.',
      'state.id_exists a,b web',
      idExists
    ),
    run('test(*args, **kwargs)', 'The same as state.apply with test=True.', 'state.test webserver', (ctx, a) => {
      const [mods, ...rest] = a.args as unknown[]
      if (rest.length > 0) throw new InvocationError('state.test takes the names of SLS files, and keywords')
      const kwargs = keywords(a)
      return apply(ctx, { mods: mods ?? kwargs.mods ?? null, kwargs: { ...kwargs, test: true } })
    }),
    run('template(tem, queue=None, **kwargs)', 'Runs an SLS file of this machine.', 'state.template /path/to/file.sls', async (ctx, a) => {
      const path = text(a.tem, 'tem')
      const source = await readFile(path, 'utf8').catch(() => {
        throw new InvocationError(`${path} cannot be read`)
      })
      return runText(ctx, a, source, path)
    }),
    run('template_str(tem, queue=None, **kwargs)', 'Runs the text of an SLS file.', "state.template_str 'x: test.nop'", (ctx, a) =>
      runText(ctx, a, text(a.tem, 'tem'), 'template_str')
    ),
    run(
      'request(mods=None, **kwargs)',
      'Predicts a state run and keeps it as a request, which state.run_request runs. name: what it is kept under (default).',
      'state.request webserver',
      request
    ),
    show('check_request(name=None)', 'Returns the requests that are kept, with what they would do.', 'state.check_request', checkRequest),
    show('clear_request(name=None)', 'Drops a request, or all.', 'state.clear_request', clearRequest),
    run("run_request(name='default', **kwargs)", 'Runs a request and drops it.', 'state.run_request', runRequest),
    show('disable(states)', 'Forbids SLS files (globs), or highstate, on this minion.', 'state.disable highstate', (ctx, a) =>
      setDisabled(ctx, a, true)
    ),
    show('enable(states)', 'Allows what state.disable has forbidden.', 'state.enable highstate', (ctx, a) => setDisabled(ctx, a, false)),
    show('list_disabled()', 'Returns what state.disable has forbidden.', 'state.list_disabled', ctx => disabledStates(ctx)),
    show('get_test_value(test=None, **kwargs)', 'Returns whether states would only predict.', 'state.get_test_value', (ctx, a) => {
      return a.test === null ? ctx.options.test : flag(a.test)
    }),
    fn('running(concurrent=False)', doc('Returns the state runs that are under way, as texts.', 'state.running'), running)
  ]
}

/** Functions that change the machine: one at a time. */
function run(signature: string, says: string, example: string, work: ModuleFunction['run']): ModuleFunction {
  const exclusively: ModuleFunction['run'] = async (ctx, a) => {
    const kwargs = keywords(a)
    const inTheWay = await ctx.agent.enterState({
      queue: flag(a.queue ?? kwargs.queue ?? false),
      concurrent: flag(kwargs.concurrent ?? false)
    })
    if (inTheWay.length === 0) return work(ctx, a)
    ctx.outcome.retcode = COMPILER_ERROR
    return inTheWay.map(conflictText)
  }
  return fn(signature, doc(says, example), exclusively, { isolated: true, out: 'highstate' })
}

/** Functions that only look, or change nothing but what is kept about states. */
function show(signature: string, says: string, example: string, work: ModuleFunction['run']): ModuleFunction {
  return fn(signature, doc(says, example), work, { isolated: true })
}

/** Return codes of state runs: SLS files that do not compile, states that failed, a pillar that could not be compiled. */
const COMPILER_ERROR = 1
const STATE_FAILURE = 2
const PILLAR_FAILURE = 5

/** Keys of published fields do not reach states. */
function keywords(a: Mapping): Mapping {
  return Object.fromEntries(Object.entries((a.kwargs ?? {}) as Mapping).filter(([key]) => !key.startsWith('__pub_')))
}

function conflictText({ fun, pid, jid }: RunningJob): string {
  return `The function "${[fun].flat().join(', ')}" is running as PID ${pid} and was started at ${startedAt(jid)} with jid ${jid}`
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** `2026, Nov 22 21:01:26.195871`, from the digits of a jid; '' when it has no date. */
function startedAt(jid: string): string {
  const [, year, month, day, hour, minute, second, micros] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d{6})/.exec(jid) ?? []
  return year === undefined ? '' : `${year}, ${MONTHS[Number(month) - 1]} ${day} ${hour}:${minute}:${second}.${micros}`
}

async function running(ctx: ModuleContext, { concurrent }: Mapping): Promise<string[]> {
  if (flag(concurrent)) return []
  return (await ctx.agent.running())
    .filter(job => [job.fun].flat().some(name => name.startsWith('state.') && name !== 'state.running'))
    .map(conflictText)
}

// ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

async function apply(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const { test, queue, exclude, mods: _mods, ...others } = keywords(a)
  const given = { ...a, test: test ?? null, queue: queue ?? null, exclude: exclude ?? null, kwargs: others }
  return a.mods === null || a.mods === undefined || (Array.isArray(a.mods) && a.mods.length === 0) || a.mods === ''
    ? highstate(ctx, given)
    : sls(ctx, given)
}

async function sls(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const scope = await withPillar(ctx, a)
  const refused = await notAllowed(scope, a, modsOf(a.mods))
  if (refused) return refused
  return runHigh(scope, a, await renderMods(scope, a))
}

/** The named SLS files of one environment. */
function renderMods(ctx: ModuleContext, a: Mapping): Promise<High> {
  const saltenv = saltenvOf(ctx, a) ?? 'base'
  return renderHigh(
    ctx,
    modsOf(a.mods).map(name => ({ sls: name, saltenv }))
  )
}

function modsOf(mods: unknown): string[] {
  const names = texts(mods, 'mods')
  if (names.length === 0) throw new InvocationError('no SLS file is named')
  return names
}

function saltenvOf(ctx: ModuleContext, a: Mapping): string | null {
  return textOrNull(keywords(a).saltenv, 'saltenv') ?? ctx.options.saltenv
}

async function highstate(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const scope = await withPillar(ctx, a)
  const refused = await notAllowed(scope, a, ['highstate'])
  if (refused) return refused
  const top = await topMatches(scope, saltenvOf(scope, a))
  if (top.errors.length === 0 && Object.keys(top.matches).length === 0) {
    ctx.outcome.retcode = STATE_FAILURE
    return NO_STATES
  }
  return runHigh(scope, a, await renderTop(scope, top))
}

/** A pillar that could not be compiled, or states that are disabled: what is answered instead of a run. null: go ahead. */
async function notAllowed(ctx: ModuleContext, a: Mapping, names: readonly string[]): Promise<string[] | null> {
  const pillarErrors = Array.isArray(ctx.pillar._errors) ? ctx.pillar._errors.map(String) : []
  if (pillarErrors.length > 0 && !flag(keywords(a).force ?? false)) {
    ctx.outcome.retcode = PILLAR_FAILURE
    return ['Pillar failed to render with the following messages:', ...pillarErrors]
  }
  const disabled = disabledStates(ctx)
  const [found] = names.filter(name => disabled.some(pattern => compileGlob(pattern)(name)))
  if (found === undefined) return null
  ctx.outcome.retcode = COMPILER_ERROR
  return [
    `The state file "${found}" is currently disabled by "${disabled.find(pattern => compileGlob(pattern)(found))}", to re-enable, run state.enable ${found}.`
  ]
}

const DISABLED = 'state_runs_disabled'

/** What is disabled is kept in a grain, as in Salt, so that it outlives a restart. */
function disabledStates(ctx: ModuleContext): string[] {
  const kept = ctx.grains[DISABLED]
  return Array.isArray(kept) ? kept.map(String) : []
}

async function setDisabled(ctx: ModuleContext, a: Mapping, disable: boolean): Promise<Mapping> {
  let now = disabledStates(ctx)
  const messages = texts(a.states, 'states').map(name => {
    const there = now.includes(name)
    if (there === disable) return `Info: ${name} state already ${disable ? 'disabled' : 'enabled'}.`
    now = disable ? [...now, name] : now.filter(other => other !== name)
    return `Info: ${name} state ${disable ? 'disabled' : 'enabled'}.`
  })
  await callFunction(ctx, 'grains.setval', [DISABLED, now])
  return { msg: messages.join('\n'), res: true }
}

// ── texts and requests ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** An SLS file that is not the server's. */
async function runText(ctx: ModuleContext, a: Mapping, source: string, sls: string): Promise<unknown> {
  const scope = await withPillar(ctx, a)
  return runHigh(scope, a, await renderTextHigh(scope, source, sls, saltenvOf(scope, a) ?? 'base'))
}

interface StateRequest {
  readonly mods: unknown
  readonly kwargs: Mapping
  readonly test_run: unknown
}

function requestFile(ctx: ModuleContext): string {
  return join(ctx.options.cachedir, 'req_state.json')
}

async function requests(ctx: ModuleContext): Promise<Record<string, StateRequest>> {
  const kept = await readIfThere(requestFile(ctx))
  return kept === null ? {} : (JSON.parse(kept) as Record<string, StateRequest>)
}

function keepRequests(ctx: ModuleContext, kept: Record<string, StateRequest>): Promise<void> {
  return writeDurably(requestFile(ctx), JSON.stringify(kept))
}

async function request(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const { name, ...kwargs } = keywords(a)
  const predicted = await apply(ctx, { mods: a.mods, kwargs: { ...kwargs, test: true } })
  const entry: StateRequest = { test_run: predicted, mods: a.mods, kwargs }
  await keepRequests(ctx, { ...(await requests(ctx)), [textOrNull(name, 'name') ?? 'default']: entry })
  return predicted
}

async function checkRequest(ctx: ModuleContext, { name }: Mapping): Promise<unknown> {
  const kept = await requests(ctx)
  return name === null ? kept : (kept[text(name, 'name')] ?? {})
}

async function clearRequest(ctx: ModuleContext, { name }: Mapping): Promise<boolean> {
  const kept = await requests(ctx)
  if (name !== null && !Object.hasOwn(kept, text(name, 'name'))) return false
  const left = name === null ? {} : Object.fromEntries(Object.entries(kept).filter(([key]) => key !== name))
  await keepRequests(ctx, left)
  return true
}

async function runRequest(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const name = text(a.name, 'name')
  const entry = (await requests(ctx))[name]
  if (!entry) return {}
  const done = await apply(ctx, { mods: entry.mods, kwargs: { ...entry.kwargs, ...keywords(a) } })
  await clearRequest(ctx, { name })
  return done
}

const NO_STATES = {
  'no_|-states_|-states_|-None': {
    result: false,
    comment: 'No Top file or master_tops data matches found. Please see master log for details.',
    name: 'No States',
    changes: {},
    __run_num__: 0
  }
}

async function renderTop(ctx: ModuleContext, top: Top): Promise<High> {
  const wanted = Object.entries(top.matches).flatMap(([saltenv, names]) => names.map(name => ({ sls: name, saltenv })))
  const rendered = await renderHigh(ctx, wanted)
  return { ...rendered, errors: [...top.errors, ...rendered.errors] }
}

/**
 * The pillar of a run is compiled for it, so that a run never works with values that have been changed since; those of its `pillar` argument are on
 * top. `brine call` has compiled its pillar a moment ago.
 */
async function withPillar(ctx: ModuleContext, a: Mapping): Promise<ModuleContext> {
  const { pillar } = keywords(a)
  const override = pillar === undefined || pillar === null ? {} : pillar
  if (!isMapping(override)) throw new InvocationError(`Pillar data must be formatted as a dictionary, not ${pyRepr(pillar)}`)
  if (ctx.job.published?.tgt === 'salt-call') return { ...ctx, pillar: merged(ctx.pillar, override) }
  const ask = Object.keys(override).length > 0 ? { override } : {}
  return { ...ctx, pillar: await ctx.agent.compilePillar({ ...ask, refresh: true }) }
}

function merged(below: Mapping, above: Mapping): Mapping {
  const both: Mapping = { ...below }
  for (const [key, value] of Object.entries(above)) {
    const there = both[key]
    setOwn(both, key, isMapping(there) && isMapping(value) ? merged(there, value) : value)
  }
  return both
}

async function runHigh(ctx: ModuleContext, a: Mapping, rendered: High, pick?: (chunk: Low) => boolean): Promise<unknown> {
  const excluded = typeof a.exclude === 'string' ? texts(a.exclude, 'exclude') : [a.exclude ?? []].flat()
  const { chunks, errors } =
    rendered.errors.length > 0 ? refused(rendered) : compileHigh({ ...rendered, excludes: [...rendered.excludes, ...excluded] })
  if (errors.length > 0) {
    ctx.outcome.retcode = COMPILER_ERROR
    return errors
  }
  return runLow(ctx, a, chunks, pick)
}

function refused({ errors }: High): { chunks: Low[]; errors: string[] } {
  return { chunks: [], errors }
}

async function runLow(ctx: ModuleContext, a: Mapping, chunks: readonly Low[], only?: (chunk: Low) => boolean): Promise<Mapping> {
  const kwargs = keywords(a)
  const test = a.test ?? kwargs.test ?? null
  const results = await runStates(ctx, chunks, {
    test: test === null ? ctx.options.test : flag(test),
    saltenv: saltenvOf(ctx, a) ?? 'base',
    events: flag(kwargs.state_events ?? ctx.options.state_events),
    failhard: ctx.options.failhard,
    ...(only ? { only } : {})
  })
  const outcomes = Object.values(results)
  const failed = outcomes.length === 0 || outcomes.some(({ result }) => result === false)
  ctx.outcome.retcode = failed ? STATE_FAILURE : 0
  return results
}

async function single(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const [module, fun, ...more] = text(a.fun, 'fun').split('.')
  if (!module || !fun || more.length > 0) {
    ctx.outcome.retcode = COMPILER_ERROR
    return 'Invalid function passed'
  }
  const { pillar: _pillar, queue: _queue, concurrent: _concurrent, saltenv: _saltenv, state_events: _events, ...args } = keywords(a)
  const name = text(a.name, 'name')
  const chunk = {
    state: module,
    fun,
    name,
    __id__: name,
    __sls__: null,
    __env__: saltenvOf(ctx, a) ?? 'base',
    order: 0,
    ...args
  } as unknown as Low
  return runLow(await withPillar(ctx, a), a, [chunk])
}

async function slsId(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const scope = await withPillar(ctx, a)
  const id = text(a.id_, 'id_')
  const rendered = await renderMods(scope, a)
  if (rendered.errors.length > 0) return runHigh(scope, a, rendered)
  if (!rendered.data.has(id))
    throw new InvocationError(
      `No matches for ID '${id}' found in SLS '${modsOf(a.mods).join(',')}' within saltenv '${saltenvOf(ctx, a) ?? 'base'}'`
    )
  return runHigh(scope, a, rendered, chunk => chunk.__id__ === id)
}

async function high(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  if (!isMapping(a.data)) throw new InvocationError('data must be a mapping')
  const errors: string[] = []
  const data = declareStates(new Map(Object.entries(a.data)), null, saltenvOf(ctx, a) ?? 'base', errors)
  return runHigh(await withPillar(ctx, a), a, { data, extensions: [], excludes: [], errors })
}

async function low(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const { data } = a
  if (!isMapping(data) || ['state', 'fun', 'name'].some(key => typeof data[key] !== 'string'))
    throw new InvocationError('data needs state, fun and name')
  const chunk = { __id__: data.name, __sls__: null, __env__: saltenvOf(ctx, a) ?? 'base', order: 0, ...data } as unknown as Low
  const [result] = Object.values(await runLow(ctx, a, [chunk]))
  return result
}

// ── looking ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function highOrErrors(ctx: ModuleContext, { data, errors }: High): unknown {
  if (errors.length === 0) return Object.fromEntries(data)
  ctx.outcome.retcode = COMPILER_ERROR
  return errors
}

function lowOrErrors(ctx: ModuleContext, rendered: High): unknown {
  const { chunks, errors } = rendered.errors.length > 0 ? refused(rendered) : compileHigh(rendered)
  if (errors.length === 0) return chunks
  ctx.outcome.retcode = COMPILER_ERROR
  return errors
}

async function showSls(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  return highOrErrors(ctx, await renderMods(await withPillar(ctx, a), a))
}

async function showLowSls(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  return lowOrErrors(ctx, await renderMods(await withPillar(ctx, a), a))
}

async function renderedHighstate(ctx: ModuleContext, a: Mapping): Promise<High> {
  const scope = await withPillar(ctx, a)
  return renderTop(scope, await topMatches(scope, saltenvOf(scope, a)))
}

async function showHighstate(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  return highOrErrors(ctx, await renderedHighstate(ctx, a))
}

async function showLowstate(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  return lowOrErrors(ctx, await renderedHighstate(ctx, a))
}

async function showTop(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const { matches, errors } = await topMatches(await withPillar(ctx, a), saltenvOf(ctx, a))
  if (errors.length === 0) return matches
  ctx.outcome.retcode = COMPILER_ERROR
  return errors
}

/** All SLS files of the highstate, included ones too, sorted. */
async function showStates(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const { data, errors } = await renderedHighstate(ctx, a)
  if (errors.length === 0) return [...new Set([...data.values()].map(body => String(body.__sls__)))].sort()
  ctx.outcome.retcode = COMPILER_ERROR
  return errors
}

async function slsExists(ctx: ModuleContext, a: Mapping): Promise<boolean> {
  return (await renderMods(await withPillar(ctx, a), a)).errors.length === 0
}

async function idExists(ctx: ModuleContext, a: Mapping): Promise<boolean> {
  const { data } = await renderMods(await withPillar(ctx, a), a)
  const chunks = compileLow(data)
  return texts(a.ids, 'ids').every(id => chunks.some(chunk => chunk.__id__ === id))
}

import type { ModuleContext } from '../context.js'
import type { RunningJob } from '../job.js'
import { compileHigh, compileLow } from '../states/compile.js'
import { declareStates, type High, renderHigh } from '../states/high.js'
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

/** Functions that only look. */
function show(signature: string, says: string, example: string, work: ModuleFunction['run']): ModuleFunction {
  return fn(signature, doc(says, example), work, { isolated: true })
}

/** Return codes of state runs: SLS files that do not compile, states that failed. */
const COMPILER_ERROR = 1
const STATE_FAILURE = 2

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
  const scope = withPillar(ctx, a)
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
  const scope = withPillar(ctx, a)
  const top = await topMatches(scope, saltenvOf(scope, a))
  if (top.errors.length === 0 && Object.keys(top.matches).length === 0) {
    ctx.outcome.retcode = STATE_FAILURE
    return NO_STATES
  }
  return runHigh(scope, a, await renderTop(scope, top))
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

/** The pillar of a run has the values of its `pillar` argument on top. */
function withPillar(ctx: ModuleContext, a: Mapping): ModuleContext {
  const { pillar } = keywords(a)
  if (pillar === undefined || pillar === null) return ctx
  if (!isMapping(pillar)) throw new InvocationError(`Pillar data must be formatted as a dictionary, not ${pyRepr(pillar)}`)
  return { ...ctx, pillar: merged(ctx.pillar, pillar) }
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
  const excluded = a.exclude === null || a.exclude === undefined ? [] : [a.exclude].flat()
  const { chunks, errors } =
    rendered.errors.length > 0 ? refused(rendered) : compileHigh({ ...rendered, excludes: [...rendered.excludes, ...excluded] })
  if (errors.length > 0) {
    ctx.outcome.retcode = COMPILER_ERROR
    return errors
  }
  return runLow(ctx, a, pick ? chunks.filter(pick) : chunks)
}

function refused({ errors }: High): { chunks: Low[]; errors: string[] } {
  return { chunks: [], errors }
}

async function runLow(ctx: ModuleContext, a: Mapping, chunks: readonly Low[]): Promise<Mapping> {
  const kwargs = keywords(a)
  const test = a.test ?? kwargs.test ?? null
  const results = await runStates(ctx, chunks, {
    test: test === null ? ctx.options.test : flag(test),
    saltenv: saltenvOf(ctx, a) ?? 'base',
    events: flag(kwargs.state_events ?? ctx.options.state_events),
    failhard: ctx.options.failhard
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
  return runLow(withPillar(ctx, a), a, [chunk])
}

async function slsId(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const scope = withPillar(ctx, a)
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
  return runHigh(withPillar(ctx, a), a, { data, extensions: [], excludes: [], errors })
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
  return highOrErrors(ctx, await renderMods(withPillar(ctx, a), a))
}

async function showLowSls(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  return lowOrErrors(ctx, await renderMods(withPillar(ctx, a), a))
}

async function renderedHighstate(ctx: ModuleContext, a: Mapping): Promise<High> {
  const scope = withPillar(ctx, a)
  return renderTop(scope, await topMatches(scope, saltenvOf(scope, a)))
}

async function showHighstate(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  return highOrErrors(ctx, await renderedHighstate(ctx, a))
}

async function showLowstate(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  return lowOrErrors(ctx, await renderedHighstate(ctx, a))
}

async function showTop(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const { matches, errors } = await topMatches(withPillar(ctx, a), saltenvOf(ctx, a))
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
  return (await renderMods(withPillar(ctx, a), a)).errors.length === 0
}

async function idExists(ctx: ModuleContext, a: Mapping): Promise<boolean> {
  const { data } = await renderMods(withPillar(ctx, a), a)
  const chunks = compileLow(data)
  return texts(a.ids, 'ids').every(id => chunks.some(chunk => chunk.__id__ === id))
}

import { randomInt } from 'node:crypto'
import { pyStr } from '../modules/python.js'
import { flag, isMapping, type Mapping, text, traverse } from '../modules/values.js'
import { type StateContext, type StateModule, type StateResult, stateFn, tagOf } from './state.js'

/** Salt's `test` states: results without work. */
export const test: StateModule = {
  name: 'test',
  functions: [
    stateFn('nop(name, **kwargs)', 'Does nothing, successfully.', (ctx, a) => succeed(ctx, a)),
    stateFn('succeed_without_changes(name, **kwargs)', 'Succeeds without changes.', (ctx, a) => succeed(ctx, a)),
    stateFn('fail_without_changes(name, **kwargs)', 'Fails without changes.', fail),
    stateFn('succeed_with_changes(name, **kwargs)', 'Succeeds and says that something changed.', succeedWithChanges),
    stateFn('fail_with_changes(name, **kwargs)', 'Fails and says that something changed.', failWithChanges),
    stateFn(
      "configurable_test_state(name, changes=True, result=True, comment='', warnings=None)",
      'Answers as told: changes (True, False, Random, or a mapping), result (True, False, Random), comment, warnings.',
      configurable
    ),
    stateFn('show_notification(name, text=None, **kwargs)', 'Shows a text as its comment.', showNotification),
    stateFn(
      'check_pillar(name, present=None, boolean=None, integer=None, string=None, listing=None, dictionary=None, verbose=False)',
      'Fails unless pillar keys are there, or have the named type.',
      checkPillar
    )
  ],
  watch: stateFn('mod_watch(name, sfun=None, **kwargs)', 'Says which watched states changed.', watchFired)
}

const PRETENDED = { testing: { old: 'Unchanged', new: 'Something pretended to change' } }

function result(name: unknown, changes: Mapping, outcome: boolean | null, comment: string): StateResult {
  return { name: String(name), changes, result: outcome, comment }
}

function commentOf({ kwargs }: Mapping, fallback: string): string {
  const comment = isMapping(kwargs) ? kwargs.comment : undefined
  return typeof comment === 'string' ? comment : fallback
}

function succeed(_ctx: StateContext, a: Mapping): StateResult {
  return result(a.name, {}, true, commentOf(a, 'Success!'))
}

function fail(_ctx: StateContext, a: Mapping): StateResult {
  return result(a.name, {}, false, commentOf(a, 'Failure!'))
}

function succeedWithChanges(ctx: StateContext, a: Mapping): StateResult {
  if (ctx.test) return result(a.name, PRETENDED, null, "If we weren't testing, this would be successful with changes")
  return result(a.name, PRETENDED, true, commentOf(a, 'Success!'))
}

function failWithChanges(ctx: StateContext, a: Mapping): StateResult {
  if (ctx.test) return result(a.name, PRETENDED, null, "If we weren't testing, this would be failed with changes")
  return result(a.name, PRETENDED, false, commentOf(a, 'Failure!'))
}

const coin = (): boolean => randomInt(2) === 1

function configurable(ctx: StateContext, a: Mapping): StateResult {
  const changes = changesOf(a.changes)
  if (changes === null)
    return result(
      a.name,
      {},
      false,
      "You have specified the state option 'changes' with invalid arguments. It must be either True, False, or 'Random'"
    )
  if (typeof a.result !== 'boolean' && a.result !== 'Random') {
    return result(
      a.name,
      changes,
      false,
      "You have specified the state option 'result' with invalid arguments. It must be either True, False, or 'Random'"
    )
  }
  const outcome = a.result === 'Random' ? coin() : a.result
  const planned = ctx.test ? testOutcome(outcome, changes) : outcome
  const comment = ctx.test && a.comment === '' ? 'This is a test' : text(a.comment, 'comment')
  const warnings = typeof a.warnings === 'string' ? [a.warnings] : a.warnings
  return { ...result(a.name, changes, planned, comment), ...(Array.isArray(warnings) && warnings.length > 0 ? { warnings } : {}) }
}

function changesOf(wish: unknown): Mapping | null {
  if (isMapping(wish)) return wish
  if (wish === 'Random') return coin() ? PRETENDED : {}
  if (typeof wish === 'boolean') return wish ? PRETENDED : {}
  return null
}

/** What would change has no result yet in test mode. */
function testOutcome(outcome: boolean, changes: Mapping): boolean | null {
  return Object.keys(changes).length > 0 ? null : outcome
}

function showNotification(_ctx: StateContext, a: Mapping): StateResult {
  if (a.text === null || a.text === undefined || a.text === '') return result(a.name, {}, false, 'Missing required argument: text')
  return result(a.name, {}, true, text(a.text, 'text'))
}

const TYPE_CHECKS: Readonly<Record<string, (value: unknown) => boolean>> = {
  present: value => value !== undefined && value !== null,
  boolean: value => typeof value === 'boolean',
  integer: value => Number.isInteger(value),
  string: value => typeof value === 'string',
  listing: value => Array.isArray(value),
  dictionary: value => isMapping(value)
}

function checkPillar(ctx: StateContext, a: Mapping): StateResult {
  const failed: Record<string, string[]> = {}
  for (const [kind, fits] of Object.entries(TYPE_CHECKS)) {
    const keys = a[kind] === null || a[kind] === undefined ? [] : [a[kind]].flat().map(String)
    const wrong = keys.filter(key => !fits(traverse(ctx.pillar, key)))
    if (wrong.length > 0) failed[kind] = wrong
  }
  const problems = Object.entries(failed).map(([kind, keys]) => `${kind}: ${keys.map(pyStr).join(', ')}`)
  if (problems.length === 0) return result(a.name, {}, true, '')
  return result(a.name, {}, false, flag(a.verbose) ? `Pillar failed: ${problems.join('; ')}` : problems.join('\n'))
}

function watchFired(ctx: StateContext, a: Mapping): StateResult {
  const watched = [...(ctx.requisites.watch ?? []), ...(ctx.requisites.watch_any ?? [])]
  const changed = watched.filter(low => Object.keys(ctx.results.get(tagOf(low))?.changes ?? {}).length > 0)
  const names = changed.map(low => `${low.state}: ${low.__id__}`)
  return { name: String(a.name), result: true, comment: 'Watch statement fired.', changes: { 'Requisites with changes': names } }
}

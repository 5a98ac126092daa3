/**
 * The reactor's rules as Salt shows them: a list of `{tag: [files]}` (golden/events/reactor_manage.jsonl). Rules of the configuration are
 * read-only; those that are added here are kept, unlike Salt's, which are gone after a restart. Rules with more to them (other kinds of
 * matching, switched off) are managed under /reactor.
 */
import { brineError, isBrineError } from '../errors.js'
import type { EventData } from '../events/event.js'
import type { Rule } from '../reactor/rules.js'
import { type CallContext, param, type ServerFunction, serverFunction } from './function.js'

const list = serverFunction({
  name: 'reactor.list',
  doc: 'List the rules of the reactor: [{tag: [SLS files]}].\n\nCLI Example:\n\n    brine run reactor.list',
  params: { saltenv: param.textOr('base'), test: param.anyOr(null) },
  async run(context) {
    const reactors = shownRules(context)
    await tell(context, 'list-results', { reactors })
    return reactors
  }
})

const add = serverFunction({
  name: 'reactor.add',
  doc: "Add a rule: events with this tag (a glob) have these SLS files rendered.\n\nCLI Example:\n\n    brine run reactor.add 'salt/cloud/*/destroyed' reactors='/srv/reactor/destroy/*.sls'",
  params: { event: param.text(), reactors: param.texts(), saltenv: param.textOr('base'), test: param.anyOr(null) },
  async run(context, { event, reactors }) {
    const known = rulesOf(context)
      .all()
      .some(rule => rule.tag === event)
    if (!known) await rulesOf(context).create({ tag: event, sls: reactors }, author(context))
    return told(context, 'add', known ? { status: false, comment: 'Reactor already exists.' } : { status: true, comment: 'Reactor added.' })
  }
})

const remove = serverFunction({
  name: 'reactor.delete',
  doc: "Delete the rules for this tag. Rules of the configuration stay.\n\nCLI Example:\n\n    brine run reactor.delete 'salt/cloud/*/destroyed'",
  params: { event: param.text(), saltenv: param.textOr('base'), test: param.anyOr(null) },
  async run(context, { event }) {
    const rules = rulesOf(context)
      .all()
      .filter(rule => rule.tag === event)
    const ours = rules.filter(rule => rule.source === 'api')
    for (const rule of ours) await removeRule(context, rule)
    if (ours.length > 0) return told(context, 'delete', { status: true, comment: 'Reactor deleted.' })
    const comment = rules.length > 0 ? 'Reactor is of the configuration file and can only be deleted there.' : 'Reactor does not exists.'
    return told(context, 'delete', { status: false, comment })
  }
})

/** Somebody else may have been quicker. */
async function removeRule(context: CallContext, rule: Rule): Promise<void> {
  await rulesOf(context)
    .remove(rule.id, author(context))
    .catch(error => {
      if (!isBrineError(error, 'NOT_FOUND')) throw error
    })
}

const isLeader = serverFunction({
  name: 'reactor.is_leader',
  doc: 'Tell whether the reactor of this server acts on events.',
  params: { value: param.anyOr(true) },
  async run(context) {
    const result = leads(context)
    await tell(context, 'leader/value', { result })
    return result
  }
})

const setLeader = serverFunction({
  name: 'reactor.set_leader',
  doc: 'Have the reactor of this server act on events (True), or not (False). What happens meanwhile is reacted to later: nothing is lost.',
  params: { value: param.flagOr(true) },
  async run(context, { value }) {
    const control = context.reactor
    if (value && control?.resume) await control.resume(author(context))
    else if (!value && control?.pause) await control.pause(author(context))
    else if (!value) throw brineError('CONFLICT', 'the reactor of this server cannot be paused')
    const result = leads(context)
    await tell(context, 'leader/value', { result })
    return result
  }
})

/** The runner's functions for the reactor. */
export const reactorRunners: readonly ServerFunction[] = [list, add, remove, isLeader, setLeader]

function rulesOf({ reactor }: CallContext) {
  if (!reactor) throw brineError('SHUTTING_DOWN')
  return reactor.rules
}

function leads({ reactor }: CallContext): boolean {
  return reactor !== undefined && reactor.paused !== true
}

function shownRules(context: CallContext): Record<string, readonly string[]>[] {
  return rulesOf(context)
    .all()
    .filter(rule => rule.enabled)
    .map(rule => ({ [rule.tag]: rule.sls }))
}

function author({ user, source }: CallContext) {
  return { user, source }
}

async function told(context: CallContext, act: 'add' | 'delete', result: { status: boolean; comment: string }) {
  await tell(context, `${act}-complete`, { reactors: shownRules(context), result })
  return result
}

/** Salt's answers of its reactor to its runner, which others may wait for too. */
async function tell({ events, source, cause }: CallContext, what: string, data: EventData): Promise<void> {
  await events.fire(`salt/reactors/manage/${what}`, data, { source, cause })
}

import { brineError } from '../errors.js'
import { ArgumentError, param, type ServerFunction, serverFunction } from './function.js'

const send = serverFunction({
  name: 'event.send',
  doc: `Fire an event with this tag and data (a mapping).

CLI Example:

    brine run event.send 'myco/mytag' '{"answer": 42}'`,
  params: { tag: param.text(), data: param.anyOr(null) },
  async run({ caller, events, source, cause }, { tag, data }) {
    if (data !== null && (typeof data !== 'object' || Array.isArray(data)))
      throw new ArgumentError('value', "argument 'data': expected a mapping")
    // who may call event.send may fire any tag, as in Salt; but tags under salt/ are the server's word, and ask for the permission to fire them
    if (tag.startsWith('salt/') && !caller.may({ kind: 'fire', tag })) throw brineError('NOT_PERMITTED', caller.user, `fire '${tag}'`)
    await events.fire(tag, { ...data }, { source, cause })
    return true
  }
})

/** The runner's functions for events. */
export const eventRunners: readonly ServerFunction[] = [send]

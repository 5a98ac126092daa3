import { callFunction } from '../invoke.js'
import { flag, isMapping, type Mapping, text } from '../modules/values.js'
import { type StateContext, type StateModule, type StateResult, stateFn } from './state.js'

const PARAMETERS = 'name, data=None, preload=None, with_env=False, with_grains=False, with_pillar=False, show_changed=True'

/** Salt's `event` states. Recorded in golden/events/state_fire_event.jsonl. */
export const event: StateModule = {
  name: 'event',
  functions: [
    stateFn(`send(${PARAMETERS}, **kwargs)`, 'Sends an event to the server. Keyword arguments become data.', send),
    stateFn('wait(name, sfun=None, data=None)', 'Sends an event only when a watched state changed.', (_ctx, { name }) => ({
      name: String(name),
      changes: {},
      result: true,
      comment: ''
    }))
  ],
  watch: stateFn(`mod_watch(${PARAMETERS}, **kwargs)`, 'Sends the event.', send)
}

async function send(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const name = text(a.name, 'name')
  const changes = flag(a.show_changed) ? { tag: name, data: a.data ?? null } : {}
  if (ctx.test) return { name, changes, result: null, comment: 'Event would have been fired' }
  const { with_env, with_grains, with_pillar, data, preload } = a
  const given = { data, preload, with_env, with_grains, with_pillar }
  await callFunction(ctx, 'event.send', [name], { ...(isMapping(a.kwargs) ? a.kwargs : {}), ...given })
  return { name, changes, result: true, comment: 'Event fired' }
}

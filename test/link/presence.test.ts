import t from 'tap'
import { Presence } from '../../src/link/presence.js'

t.test('who is connected is told every round, and before that who came and went, as Salt does', async t => {
  let connected: string[] = ['db1', 'web1']
  const fired: unknown[] = []
  const events = { fire: async (tag: string, data: unknown) => void fired.push([tag, data]) }
  const config = { presence_events: true, loop_interval: 60 }
  const presence = new Presence({ link: { connected: () => connected }, events: events as never, config, log: { error() {} } })
  await presence.round()
  await presence.round()
  connected = ['new1', 'web1']
  await presence.round()
  t.same(fired, [
    ['salt/presence/change', { new: ['db1', 'web1'], lost: [] }],
    ['salt/presence/present', { present: ['db1', 'web1'] }],
    ['salt/presence/present', { present: ['db1', 'web1'] }],
    ['salt/presence/change', { new: ['new1'], lost: ['db1'] }],
    ['salt/presence/present', { present: ['new1', 'web1'] }]
  ])
})

t.test('a change that could not be told is told in the next round', async t => {
  let fails = true
  const fired: unknown[] = []
  const events = {
    fire: async (tag: string) => {
      if (fails) throw new Error('full')
      fired.push(tag)
    }
  }
  const config = { presence_events: true, loop_interval: 60 }
  const presence = new Presence({ link: { connected: () => ['web1'] }, events: events as never, config, log: { error() {} } })
  await t.rejects(presence.round())
  fails = false
  await presence.round()
  t.same(fired, ['salt/presence/change', 'salt/presence/present'])
})

import t from 'tap'
import type { Case } from './cases.js'
import { Comparison } from './compare.js'
import { expectedOf, type Rule } from './differences.js'

const base: Case = {
  name: 'a-case',
  group: 'test',
  seq: 1,
  note: '',
  request: { method: 'GET', path: '/', headers: {}, body: null },
  response: { status: 200, headers: {} },
  volatile: []
}

function differences(played: Partial<Case>, expected: unknown, got: unknown, names: Record<string, string> = {}) {
  const comparison = new Comparison({ ...base, ...played }, new Map(Object.entries(names)))
  comparison.compare('/body', expected as never, got)
  return comparison.differences.map(({ pointer }) => pointer)
}

t.test('a difference is told with its place, and everything that is not marked must be equal', async t => {
  t.strictSame(differences({}, { a: [1, { b: 'x' }] }, { a: [1, { b: 'x' }] }), [])
  t.strictSame(differences({}, { a: [1, { b: 'x' }] }, { a: [2, { b: 'y' }] }), ['/body/a/0', '/body/a/1/b'])
  t.strictSame(differences({}, { a: 1 }, { a: 1, b: 2 }), ['/body/b'], 'something more is a difference')
  t.strictSame(differences({}, { a: 1, b: 2 }, { a: 1 }), ['/body/b'], 'something less too')
  t.strictSame(differences({}, [1, 2], [1]), ['/body'])
  t.strictSame(differences({}, 1, '1'), ['/body'])
})

t.test('a volatile text keeps its form, and the same text is the same again within the case', async t => {
  const volatile = ['/body/tag', '/body/jid', '/body/n']
  const recorded = { tag: 'salt/run/20261122211718112041', jid: '20261122211718112041', n: 1.5 }
  const here = { tag: 'salt/run/20271122211718112041', jid: '20271122211718112041', n: 7 }
  t.strictSame(differences({ volatile }, recorded, here), [])
  t.strictSame(differences({ volatile }, recorded, { ...here, jid: '20281122211718112041' }), ['/body/jid'])
  t.strictSame(differences({ volatile }, recorded, { ...here, tag: 'salt/wheel/20271122211718112041' }), ['/body/tag'])
  t.strictSame(differences({ volatile }, recorded, { ...here, n: 'many' }), ['/body/n'])
  t.strictSame(differences({ volatile: ['/body/{minion}'] }, { m1: true }, { m2: true }), [], 'the key itself may vary')
  t.strictSame(differences({ volatile: ['/body (order)'] }, [1, 2], [2, 1]), [])
  t.strictSame(differences({ volatile: ['/body (order)'] }, [1, 2], [2, 2]), ['/body/0', '/body'])
  t.strictSame(differences({ volatile: ['/body (values)'] }, { a: 'int', b: ['x', 'y'] }, { a: 5, b: { y: 1, x: 2 } }), [])
  t.strictSame(differences({ volatile: ['/body (values)'] }, { a: 'int', b: ['x'] }, { a: 5.5, b: { y: 1 } }), ['/body/a', '/body/b'])
})

t.test('placeholders stand for what was seen before, or for their kind, the same one everywhere in a case', async t => {
  const [one, other] = ['a'.repeat(40), 'b'.repeat(40)]
  t.strictSame(differences({}, ['{{token}}', '{{token}}'], [one, one], { token: one }), [])
  t.strictSame(differences({}, ['{{token}}'], [other], { token: one }), ['/body/0'])
  t.strictSame(differences({}, ['{{new_session_id}}', '{{new_session_id}}'], [one, other]), ['/body/1'])
  t.strictSame(differences({}, ['{{new_session_id}}'], ['short']), ['/body/0'])
  t.strictSame(
    differences({}, 'job {{jid_a}} began {{jid_a_start}}', 'job 20261122203758556109 began 2026, Nov 22 20:37:58.556109', {
      jid_a: '20261122203758556109'
    }),
    []
  )
  t.strictSame(differences({}, { '{{jid_x}}': 1 }, { '20261122203758556109': 1 }), [], 'in keys too')
  t.strictSame(differences({}, 'Traceback:\n  [...]\nend', 'Traceback:\n  many\n  lines\nend'), [])
})

t.test('a volatile text with a placeholder that nothing stands for yet shows what it is, and is captured', async t => {
  const volatile = ['/body/jid']
  t.strictSame(differences({ volatile }, { jid: '{{jid_x}}' }, { jid: '20261122203758556109' }), [])
  t.strictSame(differences({ volatile }, { jid: '{{jid_x}}' }, { jid: 'soon' }), ['/body/jid'])
  const text = 'Signal 9 sent to job {{jid_a}} at pid 17'
  const names = { jid_a: '20261122203758556109' }
  t.strictSame(differences({ volatile }, { jid: text }, { jid: 'Signal 9 sent to job 20261122203758556109 at pid 4' }, names), [])
})

t.test('asking whether something would be the same leaves no trace', async t => {
  const comparison = new Comparison({ ...base, volatile: [] }, new Map())
  const [one, other] = ['a'.repeat(40), 'b'.repeat(40)]
  t.equal(comparison.would('/body', ['{{new_session_id}}', 1], [one, 2]), false)
  t.strictSame(comparison.differences, [])
  comparison.compare('/body', '{{new_session_id}}', other)
  t.strictSame(comparison.differences, [], 'the name is still free')
})

t.test('what was cut when it was stored is compared as far as it is there', async t => {
  const trimmed = 'a few entries kept'
  t.strictSame(differences({ trimmed }, { return: [{ a: 1 }] }, { return: [{ a: 1, b: 2 }] }), [])
  t.strictSame(differences({ trimmed }, { return: [{ a: 1 }] }, { return: [{ a: 2, b: 2 }] }), ['/body/return/0/a'])
  t.strictSame(differences({ host_specific: ['/body/os'] }, { os: 'Debian' }, { os: 'Alpine' }), [])
  t.strictSame(differences({ host_specific: ['/body/os'] }, { os: 'Debian' }, { os: 5 }), ['/body/os'])
})

t.test('a rule changes what is expected of the cases that it is about, and of no others', async t => {
  const rule: Rule = {
    name: 'a rule',
    because: 'section 15',
    reason: 'a reason',
    client: 'a client',
    when: { diverge: '^401' },
    instead: { status: 'diverge', headers: { allow: null }, body: 'error' }
  }
  const recorded = { ...base, response: { status: 200, headers: { allow: 'GET' } } }
  t.match(expectedOf({ ...recorded, diverge: '401/403: no' }, [rule]), {
    statuses: [401, 403],
    response: { headers: { allow: null } },
    body: 'error',
    rules: [{ name: 'a rule' }]
  })
  t.match(expectedOf(recorded, [rule]), { statuses: [200], response: { headers: { allow: 'GET' } }, body: null, rules: [] })
})

t.test('a rule may change texts, values and order of what was recorded, and which of its events count', async t => {
  const rule: Rule = {
    ...{ name: 'a rule', because: 'section 15', reason: 'a reason', client: 'a client' },
    when: { sent: 'wheel', body: 'Traceback' },
    instead: {
      texts: [['Traceback.*: ', '']],
      values: { '/b/0': 2, '/c': null },
      volatile: ['/body/d (order)'],
      events: { at: [1], user: 'u' }
    }
  }
  const recorded: Case = {
    ...base,
    request: { ...base.request, body: 'client=wheel' },
    response: { status: 200, headers: {}, body: { a: 'in x: Traceback (many): boom', b: [1], c: 5 } },
    events: [
      { tag: 'one', data: { user: 'x' } },
      { tag: 'two', data: { user: 'y' } }
    ]
  }
  t.match(expectedOf(recorded, [rule]), {
    response: { body: { a: 'in x: boom', b: [2], c: 5 } },
    volatile: ['/body/d (order)', '/body/c'],
    events: [{ tag: 'two', data: { user: 'u' } }]
  })
  const other = { ...recorded, request: { ...base.request, body: 'client=local' } }
  t.match(expectedOf(other, [rule]), { rules: [], response: { body: { b: [1] } }, events: [{ tag: 'one' }, { tag: 'two' }] })
})

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { renderSls, renderText, TemplateError } from '../../src/reactor/render.js'
import { packageRoot } from '../../src/shared/paths.js'

interface Sandbox {
  escapes: string[]
  harmless: [template: string, printed: string][]
  limits: string[]
  stopped: string[]
  repeated: { start: string; repeat: string; times: number; end: string }[]
}

const sandbox: Sandbox = JSON.parse(readFileSync(join(packageRoot(), 'test/fixtures/reactor/sandbox.json'), 'utf8'))

const event = { tag: 'a/b', data: { v: '{{ 7 * 7 }}', id: 'web1' } }

/** What rendering as a reactor file gives: the value, or the kind of error. */
function reacted(template: string): string {
  return outcome(() => JSON.stringify(renderSls(template, { ...event, loader: name => (name === 'self' ? template : null) })))
}

function printed(template: string): string {
  return outcome(() => renderText(template, event, { loader: name => (name === 'self' ? template : null) }))
}

function outcome(render: () => string): string {
  try {
    return `rendered: ${render()}`
  } catch (error) {
    if (error instanceof TemplateError) return error.kind
    throw error
  }
}

t.test('a template reaches nothing but what it was given', async t => {
  for (const template of sandbox.escapes) {
    t.match(printed(template), /^(?:undefined|syntax|runtime)$/, template)
    t.match(reacted(template), /^(?:undefined|syntax|runtime)$/, template)
  }
})

t.test('names that mean something to JavaScript are names like any other', async t => {
  for (const [template, text] of sandbox.harmless) t.equal(printed(template), `rendered: ${text}`, template)
  t.equal(({} as Record<string, unknown>).polluted, undefined)
})

t.test('functions of the host are called with plain values and give plain values', async t => {
  const calls: unknown[] = []
  const salt = {
    'test.arg': (args: unknown[], kwargs: Record<string, unknown>) => {
      calls.push([args, kwargs])
      return { constructor: 1, nested: [{ a: 2 }] }
    }
  }
  const template =
    "{% set r = salt['test.arg'](1, [2.0, none], k={'a': (1, 2)}) %}{{ r.nested[0].a }}{{ r.constructor }}{{ salt.test.arg().nested }}"
  t.equal(renderText(template, { salt }), "21[{'a': 2}]")
  t.strictSame(calls, [
    [[1, [2, null]], { k: { a: [1, 2] } }],
    [[], {}]
  ])
})

t.test('what a template changes in its data stays within that rendering', async t => {
  const data = { list: [1], map: { a: 1 } }
  const template = '{% do data.list.append(2) %}{% do data.map.update(b=2) %}{% do data.update(x=1) %}{{ data }}'
  const first = renderText(template, { data })
  t.equal(first, "{'list': [1, 2], 'map': {'a': 1, 'b': 2}, 'x': 1}")
  t.equal(renderText(template, { data }), first)
  t.strictSame(data, { list: [1], map: { a: 1 } })
})

t.test('a template that wants too much is stopped, soon', async t => {
  const repeated = sandbox.repeated.map(({ start, repeat, times, end }) => start + repeat.repeat(times) + end)
  for (const template of [...sandbox.limits, ...repeated]) {
    const name = template.length > 100 ? `${template.slice(0, 100)}… (${template.length})` : template
    t.equal(printed(template), 'limit', name)
    t.equal(reacted(template), 'limit', name)
  }
})

t.test('a template that would be busy for ever in one piece of work is stopped from outside', async t => {
  const limits = { milliseconds: 5 }
  for (const template of sandbox.stopped) {
    t.equal(
      outcome(() => JSON.stringify(renderSls(`x: ${template}`, { ...event, limits }))),
      'limit',
      template
    )
  }
})

t.test('each limit can be set, and the error says which one was reached', async t => {
  const loop = '{% for i in range(1000) %}{{ i }}{% endfor %}'
  const reason = (limits: object) => {
    try {
      return renderText(loop, {}, { limits })
    } catch (error) {
      return (error as TemplateError).reason
    }
  }
  t.match(reason({ steps: 100 }), /more than 100 steps/)
  t.match(reason({ size: 50 }), /more than 50 characters or items/)
  t.match(reason({ depth: 0 }), /deeper than 0 calls/)
  t.match(reason({ milliseconds: 0 }), /longer than 0 ms/)
  t.equal(reason({}).length, 2890)
})

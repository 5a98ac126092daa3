import t from 'tap'
import {
  checkSls,
  checkTemplate,
  type EventContext,
  evaluateExpression,
  renderSls,
  renderText,
  TemplateError
} from '../../src/reactor/render.js'
import { WholeFloat } from '../../src/shared/numbers.js'

const event: EventContext = { tag: 'a/b', data: { id: 'web1', v: 'it’s', n: 3, data: { version: '1.10' } }, file: '/srv/r.sls' }

function plain(value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [key, plain(item)]))
  if (value instanceof WholeFloat) return value.value
  return Array.isArray(value) ? value.map(plain) : value
}

const sls = (source: string, context: Partial<EventContext> = {}) => plain(renderSls(source, { ...event, ...context }))

function failure(render: () => unknown): { kind: string; text: string } {
  try {
    render()
  } catch (error) {
    if (error instanceof TemplateError) return { kind: error.kind, text: error.describe() }
    throw error
  }
  return { kind: 'none', text: '' }
}

t.test('a printed value that is a whole scalar is the value: numbers, lists and dicts as they are, text as YAML reads it', async t => {
  const source = (expression: string) => `x: {{ ${expression} }}\n`
  const values: [expression: string, value: unknown][] = [
    ['data.n', 3],
    ['1.0', 1],
    ['10 ** 20', 100_000_000_000_000_000_000n],
    ["'5'", 5],
    ["'1.10'", 1.1],
    ["'yes'", true],
    ["' yes '", true],
    ["''", null],
    ["'~'", null],
    ['none', 'None'],
    ['true', true],
    ["'{a: b}'", '{a: b}'],
    ["[1, {'a': none}]", [1, { a: null }]],
    ['(1, 2)', '(1, 2)'],
    ['data.data', { version: '1.10' }],
    ['data.data | json', { version: '1.10' }],
    ["'5' | json", '5'],
    ["'5' | yaml_encode", '5']
  ]
  for (const [expression, value] of values) t.strictSame(sls(source(expression)), { x: value }, expression)
  t.ok((renderSls('x: {{ 1.0 }}', event) as Map<string, unknown>).get('x') instanceof WholeFloat)
})

t.test('inside quotes, blocks and longer scalars a value is text', async t => {
  t.strictSame(sls(`a: '{{ data.n }}'\nb: "{{ data.v }}"\nc: v{{ data.n }}\nd: |\n  {{ [1] }} x\ne: {{ data.n }}.{{ data.n }}\n`), {
    a: '3',
    b: 'it’s',
    c: 'v3',
    d: '[1] x\n',
    e: 3.3
  })
})

t.test('a line that prints nothing is an empty line', async t => {
  t.strictSame(sls("x:\n  - a\n  {{ '' }}\n  {{ '- never' if false }}\n  - b\n"), { x: ['a', 'b'] })
})

t.test('data[data] of an event without that field is the event’s data itself', async t => {
  const flat = { data: { id: 'larry', path: '/etc/important_file', change: 'IN_MODIFY' } }
  t.strictSame(sls("x: {{ data['data']['id'] }}\ny: {{ data.data.path }}\n", flat), { x: 'larry', y: '/etc/important_file' })
  t.strictSame(sls("x: {{ 'data' in data }}\ny: {{ data.keys() | list }}\n", flat), { x: false, y: ['id', 'path', 'change'] })
  t.strictSame(sls("x: {{ data['data']['version'] }}\n"), { x: 1.1 })
  t.equal(failure(() => sls('x: {{ data.data.nosuch }}\n', flat)).kind, 'undefined')
})

t.test('an event given as JSON keeps the order of its keys and the kind of its numbers', async t => {
  const json = '{"10": 1, "2": 2.0, "a": 12345678901234567890, "b": [1e2, 1]}'
  const { data: _, ...rest } = event
  t.equal(
    JSON.stringify(plain(renderSls("x: '{{ data }}'", { ...rest, json }))),
    "{\"x\":\"{'10': 1, '2': 2.0, 'a': 12345678901234567890, 'b': [100.0, 1]}\"}"
  )
})

t.test('the first line chooses the renderers', async t => {
  t.strictSame(sls("#!yaml\nx: '{{ tag }}'\n"), { x: '{{ tag }}' })
  t.strictSame(sls('#!jinja|yaml\nx: {{ tag }}\n'), { x: 'a/b' })
  t.strictSame(sls('#!jinja\nx: {{ tag }}\n'), { x: 'a/b' })
  t.strictSame(sls('#!json\n{"x": "{{ tag }}", "y": 1}'), { x: '{{ tag }}', y: 1 })
  t.strictSame(sls('#!jinja|json\n{"x": "{{ tag }}", "y": {{ data.n }}, "z": {{ data.data | json }}}'), {
    x: 'a/b',
    y: 3,
    z: { version: '1.10' }
  })
  t.strictSame(sls('#!/usr/bin/env salt\nx: 1\n'), { x: 1 })
  t.strictSame(sls('#!yaml_jinja\nx: {{ tag }}\n'), { x: 'a/b' }, "Salt's old names")
  t.strictSame(sls('#!json_jinja\n{"x": "{{ tag }}"}'), { x: 'a/b' })
  t.strictSame(sls('\ufeff#! jinja | yaml \r\nx: {{ tag }}\r\ny: |\r\n  a\r\n  b\r\n'), { x: 'a/b', y: 'a\nb\n' }, 'BOM, blanks, CRLF')
  t.match(
    failure(() => sls('#!mako|yaml\nx: 1\n')),
    { kind: 'unknown_renderer', text: '/srv/r.sls, line 1, column 1: The renderer "mako" is not available' }
  )
  t.match(
    failure(() => sls('#!py\ndef run():\n  return {}\n')),
    { kind: 'unknown_renderer', text: '/srv/r.sls, line 1, column 1: The renderer "py" is not available' }
  )
})

t.test('a mistake is told with file, line and column of the template', async t => {
  const mistakes: [source: string, kind: string, text: RegExp][] = [
    ['x:\n  y: {{ nosuch }}\n', 'undefined', /^\/srv\/r\.sls, line 2, column 6: 'nosuch' is undefined$/],
    ['x: 1\n{% if data.id %\n', 'syntax', /line 2, column \d+: unexpected 'end of template'/],
    ['x: 1\n{% endfor %}', 'syntax', /line 2, column 1: Encountered unknown tag 'endfor'/],
    ["x: 1\n\n  {{ 'a' + 1 }}", 'runtime', /line 3, column 3: can only concatenate str/],
    ['{# a\nb #}x: 1\nx: 2\n', 'yaml', /line 3, column 1: found conflicting ID 'x'/],
    ['{% for i in [1, 2] %}\nx: 1\n{% endfor %}', 'yaml', /line 2, column 1: found conflicting ID 'x'/],
    ['x: {{ data.n }}\ny: [\n', 'yaml', /line 2, column 5|line 3, column 1/],
    ['x: {{ data.id }} {{ data.id }}: 1\n', 'yaml', /line 1, column \d+: /],
    ['x: *nosuch\n', 'yaml', /line 1, column 5: found undefined alias 'nosuch'/],
    ['x: 1 | nosuchfilter }}', 'none', /^$/],
    ['a: 1\nx: {{ 1 | nosuchfilter }}', 'syntax', /line 2, column 9: No filter named 'nosuchfilter'/]
  ]
  for (const [source, kind, text] of mistakes)
    t.match(
      failure(() => sls(source)),
      { kind, text },
      source
    )
})

t.test('an error in an imported template names that file', async t => {
  const files: Record<string, string> = { 'map.jinja': '{% set a = 1 %}\n{{ nosuch }}', 'bad.jinja': '{% if %}' }
  const loader = (name: string) => files[name] ?? null
  t.match(failure(() => sls("{% include 'map.jinja' %}", { loader })).text, /^map\.jinja, line 2, column 1: 'nosuch'/)
  t.match(failure(() => sls("\n{% import 'bad.jinja' as b %}", { loader })).text, /^bad\.jinja, line 1, column 7: /)
  t.match(failure(() => sls("\n{% import 'none.jinja' as b %}", { loader })).text, /^\/srv\/r\.sls, line 2, column 1: none\.jinja/)
})

t.test('names set in a template that is imported are seen, with and without context', async t => {
  const files: Record<string, string> = {
    'map.jinja': "{% set targets = {'prod': 'web*'} %}{% macro id() %}{{ data.id }}{% endmacro %}{% set _hidden = 1 %}",
    'ctx.jinja': '{% set seen = local is defined %}'
  }
  const loader = (name: string) => files[name] ?? null
  t.strictSame(sls("{% from 'map.jinja' import targets, id with context %}\nx: {{ targets.prod }}\ny: {{ id() }}\n", { loader }), {
    x: 'web*',
    y: 'web1'
  })
  t.strictSame(sls("{% set local = 1 %}{% from 'ctx.jinja' import seen %}x: {{ seen }}", { loader }), { x: false })
  t.strictSame(sls("{% set local = 1 %}{% from 'ctx.jinja' import seen with context %}x: {{ seen }}", { loader }), { x: true })
  t.equal(failure(() => sls("{% import 'map.jinja' as m %}x: {{ m._hidden }}", { loader })).kind, 'undefined')
})

t.test('the classic reactor files work as written', async t => {
  const beacon = {
    tag: 'salt/beacon/larry/inotify//etc/important_file',
    data: { change: 'IN_MODIFY', id: 'larry', path: '/etc/important_file' }
  }
  t.strictSame(
    sls(
      "revert-file:\n  local.state.apply:\n    - tgt: {{ data['data']['id'] }}\n    - arg:\n      - maintain_important_file\n    - kwarg:\n      - saltenv: central\n",
      beacon
    ),
    {
      'revert-file': { 'local.state.apply': [{ tgt: 'larry' }, { arg: ['maintain_important_file'] }, { kwarg: [{ saltenv: 'central' }] }] }
    }
  )
  t.strictSame(
    sls(
      "deploy_app:\n  runner.state.orchestrate:\n    - args:\n      - mods: orchestrate.deploy_app\n      - pillar:\n          event_tag: {{ tag }}\n          event_data: {{ data['data']|json }}\n",
      { tag: 'foo', data: { data: { bar: 'baz' } } }
    ),
    {
      deploy_app: {
        'runner.state.orchestrate': [
          { args: [{ mods: 'orchestrate.deploy_app' }, { pillar: { event_tag: 'foo', event_data: { bar: 'baz' } } }] }
        ]
      }
    }
  )
})

t.test('a template is parsed once: changing data gives changing results', async t => {
  const source = '{% for i in data.l %}\nx{{ i }}: {{ i }}\n{% endfor %}'
  for (const l of [[1], [1, 2], ['a'], [1]]) {
    t.strictSame(sls(source, { data: { l } }), Object.fromEntries(l.map(i => [`x${i}`, i])))
  }
})

t.test('a lone expression is a value of the event', async t => {
  t.equal(evaluateExpression("data.n > 2 and tag.startswith('a/')", event), true)
  t.strictSame(evaluateExpression('[data.id, data.n]', event), ['web1', 3])
  t.equal(failure(() => evaluateExpression('data.nosuch > 2', event)).kind, 'undefined')
  t.equal(failure(() => evaluateExpression('1 }} {{ 2', event)).kind, 'syntax')
})

t.test('a template, and the YAML around it, can be checked without an event', async t => {
  t.doesNotThrow(() => checkTemplate('x: {{ data.nosuch }}', 'r.sls'))
  t.match(
    failure(() => checkTemplate('x: {{ 1 | nosuch }}', 'r.sls')),
    { kind: 'syntax', text: /^r\.sls, line 1/ }
  )
  t.match(
    failure(() => checkSls('#!yaml\na: [', 'r.sls')),
    { kind: 'yaml' }
  )
})

t.test('text keeps one trailing newline, and what the template does not print', async t => {
  t.equal(renderText('a\n', {}), 'a\n')
  t.equal(renderText('a\n\n', {}), 'a\n\n')
  t.equal(renderText('{% if true %}a{% endif -%}\n', {}), 'a\n')
})

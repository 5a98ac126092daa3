import t from 'tap'
import { renderText, TemplateError } from '../../src/reactor/render.js'

const print = (template: string, context: Record<string, unknown> = {}, files: Record<string, string> = {}) =>
  renderText(template, context, { loader: name => files[name] ?? null })

function kind(template: string, context: Record<string, unknown> = {}, files: Record<string, string> = {}): string {
  try {
    return `printed ${print(template, context, files)}`
  } catch (error) {
    if (error instanceof TemplateError) return error.kind
    throw error
  }
}

t.test('what does not exist prints as Undefined in a list, and is an error as a value of a dict', async t => {
  t.equal(print('{{ [nosuch] }}{{ [{"a": nosuch}] }}'), "[Undefined][{'a': Undefined}]")
  t.equal(kind('{{ {"a": nosuch} }}'), 'undefined')
  t.equal(kind('{{ {"a": {"b": nosuch}} }}'), 'undefined')
})

t.test('the pairs of groupby are unpacked and counted, but do not print', async t => {
  const rows = { rows: [{ k: 1 }, { k: 2 }] }
  t.equal(kind('{{ rows | groupby("k") }}', rows), 'runtime')
  t.equal(
    print('{% for k, items in rows | groupby("k") %}{{ k }}{{ items }}{% endfor %}{{ rows | groupby("k") | length }}', rows),
    "1[{'k': 1}]2[{'k': 2}]2"
  )
})

t.test('what Jinja itself refuses as an argument of a filter is a mistake of syntax', async t => {
  for (const template of ["{{ 1.5 | round(1, 'up') }}", "{{ {} | dictsort(by='size') }}", '{{ 5 | reverse }}', '{{ [1] | map | list }}'])
    t.equal(kind(template), 'syntax', template)
})

t.test('text that is marked as safe escapes what is added to it, and stays marked', async t => {
  t.equal(print("{{ ('<b>' | safe) + '<' }}{{ '<' + ({'a': 1} | json) }}"), '<b>&lt;&lt;{"a": 1}')
  t.equal(print("{{ ['<b>' | safe] }}{{ ('<%s>' | safe) % '<' }}{{ '<b>' | safe | e }}"), "[Markup('<b>')]<&lt;><b>")
  t.equal(print("{{ ({'a': 1} | json) ~ '<' }}"), '{"a": 1}<')
})

t.test('a template that is included without context sees functions only, one with context all but the loop', async t => {
  const files = { a: '{{ range(2) | list }}{{ x is defined }}', b: '{{ x }}{{ loop is defined }}' }
  t.equal(print("{% include 'a' without context %}", { x: 1 }, files), '[0, 1]False')
  t.equal(print("{% for y in [1] %}{% include 'b' %}{% endfor %}", { x: 1 }, files), '1False')
})

t.test('imported data sees what is global; what the template has set only with context', async t => {
  const files = { 'd.yaml': "{a: {{ g }}, b: {{ x | default('none') }}}" }
  t.equal(print("{% set x = 2 %}{% import_yaml 'd.yaml' as d %}{{ d }}", { g: 1 }, files), "{'a': 1, 'b': 'none'}")
  t.equal(print("{% set x = 2 %}{% import_yaml 'd.yaml' as d with context %}{{ d }}", { g: 1 }, files), "{'a': 1, 'b': 2}")
})

t.test('a filter that does not exist is found before the template runs, in an if only when it gets there', async t => {
  t.equal(kind('{% for x in nosuch %}{{ x | nofilter }}{% endfor %}'), 'syntax')
  t.equal(kind('{% if false %}{{ 1 | nofilter }}{% endif %}'), 'printed ')
  t.equal(kind('{% if false %}{% for x in [] %}{{ 1 | nofilter }}{% endfor %}{% endif %}'), 'syntax')
})

t.test('what a function of the host gives back as it got it keeps its type', async t => {
  t.equal(print('{{ echo((1, 2)) }}{{ echo(2.0) }}{{ echo(none) }}', { echo: (args: unknown[]) => args[0] }), '(1, 2)2.0None')
})

t.test('fields of a format are numbered by hand or by themselves', async t => {
  t.equal(print("{{ '{:>{}}|{:{}}'.format(1, 3, 2, 4) }}"), '  1|   2')
  t.equal(kind("{{ '{}{0}'.format(1) }}"), 'runtime')
  t.equal(print("{{ '%.3d|%05.3d|%a' % (7, -7, 'é') }}"), "007|-0007|'\\xe9'")
})

import t from 'tap'
import { importsOf } from '../../src/reactor/imports.js'

const names = (source: string) => importsOf(source).map(({ names }) => names.join('|'))

t.test('every way to ask for another file is found, at any depth, with its place', async t => {
  t.strictSame(names("{% import 'a' as a %}{% from \"b\" import x with context %}{% include 'c' %}{% extends 'd' %}"), ['a', 'b', 'c', 'd'])
  t.strictSame(names("{% import_yaml 'e.yaml' as e %}{% import_json 'f.json' as f %}{% import_text 'g' as g %}"), ['e.yaml', 'f.json', 'g'])
  t.strictSame(names("{% if data.x %}{% for y in data.l %}{% include 'h' %}{% else %}{% include 'i' %}{% endfor %}{% endif %}"), ['h', 'i'])
  t.strictSame(names("{% macro m() %}{% set z %}{% include 'j' %}{% endset %}{% endmacro %}{% block b %}{% include 'k' %}{% endblock %}"), [
    'j',
    'k'
  ])
  t.strictSame(importsOf("x: 1\n  {% include './l' ignore missing %}"), [{ names: ['./l'], optional: true, line: 2, column: 3 }])
})

t.test('of a list the first that exists counts; of a choice each must; computed names are known only when it runs', async t => {
  t.strictSame(names("{% include ['a', 'b'] %}"), ['a|b'])
  t.strictSame(names("{% include 'a' if data.x else 'b' %}"), ['a', 'b'])
  t.strictSame(names("{% include data.file %}{% include 'a' ~ data.x %}{% include [data.file, 'b'] %}"), [])
})

t.test('a file that is no template imports nothing; what does not parse is an error', async t => {
  t.strictSame(names("#!yaml\nx: {% include 'a' %}\n"), [])
  t.strictSame(names("#!jinja|yaml\n{% include 'a' %}\n"), ['a'])
  t.throws(() => importsOf('{% include %}'))
})

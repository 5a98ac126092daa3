import t from 'tap'
import { lintTemplate } from '../../src/reactor/lint.js'

const lines = (source: string) => lintTemplate(source).map(({ line, column }) => `${line}:${column}`)
const run = (argument: string) => `x:\n  local.cmd.run:\n    - tgt: {{ data.id }}\n    - arg:\n      - ${argument}\n`

t.test('event data in a command line without quote is worth a warning, with its place', async t => {
  t.strictSame(lines(run('rm {{ data.file }}')), ['5:12'])
  t.strictSame(lines(run("'rm {{ tag.split('/')[1] }} {{ data['a'] | upper }}'")), ['5:13', '5:37'])
  t.strictSame(lines('x:\n  cmd.cmd.script:\n    - tgt: a\n    - args:\n      - source: {{ data | json }}\n'), ['5:17'])
  t.match(lintTemplate(run('{{ data.x }}')), [{ message: /'cmd\.run'; put it through the filter quote/ }])
})

t.test('data is followed through names, loops, macros and conditions', async t => {
  t.strictSame(lines(`{% set f = data.file %}${run('rm {{ f }}')}`), ['5:12'])
  t.strictSame(lines(`{% for k, v in data.items() %}${run('rm {{ v }}')}{% endfor %}`), ['5:12'])
  t.strictSame(lines(`{% macro m(f) %}${run('rm {{ f }}')}{% endmacro %}{{ m(data.f) }}`), ['5:12'])
  t.strictSame(lines(run("{{ 'a' if data.x else data.y }}")), ['5:9'])
  t.strictSame(lines(run("{{ 'a' ~ data.x }}")), ['5:9'])
})

t.test('what is quoted, is no text, or is no argument is not', async t => {
  t.strictSame(lines(run('rm {{ data.file | quote }} {{ data.n | int }} {{ (data.l | length) + 1 }}')), [])
  t.strictSame(lines(run("{{ 'a' if data.x == 1 else 'b' }} {{ data.x is defined }} {{ 1 }}")), [])
  t.strictSame(lines('x:\n  local.state.apply:\n    - tgt: a\n    - arg:\n      - {{ data.x }}\n'), [])
  t.strictSame(lines('#!jinja|yaml\nx:\n  local.cmd.run:\n    - tgt: a\n    - timeout: {{ data.x }}\n'), [])
})

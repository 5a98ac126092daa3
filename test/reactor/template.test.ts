import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { renderText } from '../../src/reactor/render.js'
import { packageRoot } from '../../src/shared/paths.js'
import { play } from '../vectors/play.js'

t.test('templates print what jinja2 prints', async t => {
  const content = JSON.parse(readFileSync(join(packageRoot(), 'test/fixtures/reactor/jinja2.json'), 'utf8'))
  const results = play(content)
  t.ok(results.length >= 1000)
  t.strictSame(
    results.filter(({ outcome }) => outcome !== 'passed'),
    []
  )
})

const print = (template: string, context: Record<string, unknown> = {}) => renderText(template, context)

t.test('whole floats are floats, large integers are exact', async t => {
  t.equal(print('{{ 4 / 2 }} {{ 7 // 2.0 }} {{ 2.0 ** 2 }} {{ 6 % 4.0 }} {{ -7 // 2 }} {{ -7 % 3 }}'), '2.0 3.0 4.0 2.0 -4 2')
  t.equal(
    print('{{ 9007199254740993 + 1 }} {{ 3 ** 50 }} {{ 10 ** 18 * 10 }}'),
    '9007199254740994 717897987691852588770249 10000000000000000000'
  )
  t.equal(
    print('{{ 1e22 }} {{ 1e-5 }} {{ 0.1 + 0.2 }} {{ 1e16 }} {{ 123456789.125 }}'),
    '1e+22 1e-05 0.30000000000000004 1e+16 123456789.125'
  )
})

t.test('rounding and formatting take exact halves to the even digit', async t => {
  t.equal(
    print("{{ 0.5 | round }} {{ 1.5 | round }} {{ 2.675 | round(2) }} {{ '%.0f' % 2.5 }} {{ '%.1f' % 0.25 }} {{ '{:.2f}'.format(0.125) }}"),
    '0.0 2.0 2.67 2 0.2 0.12'
  )
})

t.test('dict keys are compared as Python compares them', async t => {
  t.equal(
    print("{% set d = {1: 'a', 'x': 'b', (1, 2): 'c'} %}{% do d.update({1.0: 'A', true: 'B'}) %}{{ d }}{{ d[(1, 2)] }}"),
    "{1: 'B', 'x': 'b', (1, 2): 'c'}c"
  )
})

t.test('what is set in a loop stays in its pass; a namespace carries it out', async t => {
  t.equal(print('{% set x = 0 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}'), '120')
  t.equal(print('{% set n = namespace(x=0) %}{% for i in [1, 2] %}{% set n.x = n.x + i %}{% endfor %}{{ n.x }}'), '3')
  t.equal(print('{% if true %}{% set y = 1 %}{% endif %}{{ y }}'), '1')
})

t.test('a macro sees the names of the place where it is defined, not of its call', async t => {
  t.equal(print('{% set a = 1 %}{% macro m() %}{{ a }}{{ b is defined }}{% endmacro %}{% for b in [2] %}{{ m() }}{% endfor %}'), '1False')
  t.equal(print('{% macro m() %}{{ a }}{% endmacro %}{% set a = 2 %}{{ m() }}'), '2')
})

t.test('blocks of a child stand where the parent has them', async t => {
  const files: Record<string, string> = {
    base: 'A{% block one %}1{% endblock %}B{% block two scoped %}2{% endblock %}C',
    middle: "{% extends 'base' %}{% block one %}m{{ super() }}{% endblock %}"
  }
  const loader = (name: string) => files[name] ?? null
  const child = "{% extends 'middle' %}{% block one %}c{{ super() }}{{ self.two() }}{% endblock %}ignored"
  t.equal(renderText(child, {}, { loader }), 'Acm12B2C')
})

t.test('Salt’s functions and filters do what its documentation says', async t => {
  const cases: [template: string, printed: string][] = [
    ["{{ 'defabcdef' | regex_search('(abc)(?P<x>d)?') }}", "('abc', 'd')"],
    ["{{ 'ab' | regex_search('(x)?b') }}", '(None,)'],
    ["{{ 'yes, he is' | regex_replace('(?P<w>he)', '<\\\\g<w>>') }}", 'yes, <he> is'],
    ["{{ '/a/b/' | path_join('..', 'c') }}", '/a/c'],
    ["{{ 'AbcDefGHI' | to_snake_case }} {{ 'a_b' | to_camelcase(uppercamel=True) }}", 'abc_def_ghi AB'],
    ['{{ [1, [2, none, [3]]] | flatten(preserve_nulls=True) }}', '[1, 2, None, 3]'],
    ["{{ {'a': [{'b': 1}, {'c': 2}]} | traverse('a:1:c') }} {{ {'a': [{'b': 1}]} | traverse('a:b') }}", '2 1'],
    ["{{ {'a': {}} | update_dict_key_value('a:b', {'c': 1}) }}", "{'a': {'b': {'c': 1}}}"],
    ["{{ {} | extend_dict_key_value('a:b', [1, 2]) }}", "{'a': {'b': [1, 2]}}"],
    ["{{ {'a': 1} | compare_dicts({'b': 2}) }}", "{'a': {'new': '', 'old': 1}, 'b': {'old': '', 'new': 2}}"],
    ["{{ ['10.0.0.1', '10.1.0.1'] | filter_by_networks(['10.0.0.0/24']) }}", "['10.0.0.1']"],
    [
      "{{ '2001:db8:0:0:0:0:0:1' | ipaddr }} {{ '192.168.0.1/30' | ip_host }} {{ '::/127' | network_hosts }}",
      "2001:db8::1 192.168.0.1/30 ['::', '::1']"
    ],
    ["{{ '10.0.0.1' | is_ip(options='private') }} {{ '8.8.8.8' | is_ipv4(options='private') }}", 'True False'],
    ["{{ '1.5G' | human_to_bytes }} {{ '1KB' | human_to_bytes(handle_metric=True) }} {{ 'x' | human_to_bytes }}", '1610612736 1000 0'],
    ["{{ ifelse('web*', 'w', 'db*', 'd', 'other', minion_id='db1') }}", 'd'],
    ["{{ {'user': {'name': 'bob', 'id': 1}} | xml }}", '<?xml version="1.0" ?>\n<user name="bob" id="1"/>\n'],
    ["{{ 0 | strftime('%A %d %b %Y %H:%M:%S %j %U') }} {{ '2002-12-25' | strftime('%y') }}", 'Thursday 01 Jan 1970 00:00:00 001 00 02'],
    ["{{ {'p': [{'n': 'a', 'v': 3}, {'n': 'b', 'v': 1}]} | json_query('sort_by(p, &v)[?v > `0`].{name: n} | [0].name') }}", 'b'],
    ["{{ 'a\tb' | yaml_dquote }} {{ \"it's\" | yaml_squote }} {{ none | yaml_encode }}", "\"a\\tb\" 'it''s' null"],
    ["{{ 'test' | hmac_compute('secret') }}", '0329a06b62cd16b33eb6792be8c60b158d89a2ee3a876fce9a881ebb488c0914']
  ]
  for (const [template, printed] of cases) t.equal(print(template), printed, template)
})

t.test('groups have names for their parts', async t => {
  const users = [
    { n: 'a', g: 2 },
    { n: 'b', g: 1 },
    { n: 'c', g: 2 }
  ]
  const template =
    "{% for x in users | groupby('g') %}{{ x.grouper }}:{{ x.list | map(attribute='n') | join }}={{ x[1] | length }} {% endfor %}"
  t.equal(print(template, { users }), '1:b=1 2:ac=2 ')
})

t.test('encoded text is bytes', async t => {
  t.equal(
    print("{{ 'é' | to_bytes }} {{ 'a'.encode() }} {{ 'é'.encode().decode() }} {{ 'a'.encode() | md5 }}"),
    "b'\\xc3\\xa9' b'a' é 0cc175b9c0f1b6a831c399e269772661"
  )
})

t.test('show_full_context shows the names in sight', async t => {
  t.equal(print('{% set a = 1 %}{{ show_full_context().a }}{{ show_full_context().b }}', { b: 2 }), '12')
})

t.test('chance is chance: hashes and texts differ, one seed gives one order', async t => {
  t.not(print("{{ 'x' | random_hash }}"), print("{{ 'x' | random_hash }}"))
  t.match(print('{{ 12 | random_str }}'), /^[A-Za-z0-9]{12}$/)
  t.equal(print('{{ range(20) | list | random_shuffle(seed=1) }}'), print('{{ range(20) | list | random_shuffle(seed=1) }}'))
  t.equal(print('{{ range(20) | list | random_sample(5, 1) | length }}'), '5')
})

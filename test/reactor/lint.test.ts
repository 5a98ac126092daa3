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

/** A call of a function with these lines below it. */
const call = (fun: string, ...lines: string[]) => `x:\n  ${fun}:\n    - tgt: web1\n${lines.map(line => `    ${line}\n`).join('')}`
const warned = (source: string) => lintTemplate(source).length

const RISKY: Readonly<Record<string, string>> = {
  'the positional argument': call('local.cmd.run', '- arg:', '  - rm {{ data.x }}'),
  'a list in brackets': call('local.cmd.run', "- arg: ['rm {{ data.x }}']"),
  'args as a mapping': call('local.cmd.run', '- args:', '    cmd: rm {{ data.x }}'),
  'args as a list of mappings': call('local.cmd.run', '- args:', '  - cmd: rm {{ data.x }}'),
  'args in braces': call('local.cmd.run', "- args: {cwd: /tmp, cmd: 'rm {{ data.x }}'}"),
  'the old kwarg': call('local.cmd.run', '- kwarg:', '    cmd: rm {{ data.x }}'),
  'the name of kwarg': call('local.cmd.run', '- kwarg:', '    name: rm {{ data.x }}'),
  'a parameter written directly': call('local.cmd.run', '- cmd: rm {{ data.x }}'),
  'a block scalar': call('local.cmd.run', '- arg:', '  - |', '    set -e', '    rm {{ data.x }}'),
  'a list at the indent of its key': 'x:\n  local.cmd.run:\n  - tgt: a\n  - arg:\n    - rm {{ data.x }}\n',
  'a quoted function': call("'local.cmd.run'", '- arg: [{{ data.x }}]'),
  'the old type cmd': call('cmd.cmd.run', '- arg: [{{ data.x }}]'),
  'the caller': call('caller.cmd.run', '- args: [{cmd: {{ data.x }}}]'),
  'cmd.shell': call('local.cmd.shell', '- arg: [{{ data.x }}]'),
  'cmd.run_all': call('local.cmd.run_all', '- arg: [{{ data.x }}]'),
  'cmd.run_stdout': call('local.cmd.run_stdout', '- arg: [{{ data.x }}]'),
  'cmd.exec_code': call('local.cmd.exec_code', '- arg: [python, {{ data.x }}]'),
  'the args of cmd.script': call('local.cmd.script', '- arg:', '  - salt://x.sh', '  - args: {{ data.x }}'),
  'state.single with the function first': call('local.state.single', '- args:', '  - fun: cmd.run', '  - name: rm {{ data.x }}'),
  'state.single with the function last': call('local.state.single', '- args:', '  - name: rm {{ data.x }}', '  - fun: cmd.run'),
  'state.single by position': call('local.state.single', '- arg:', '  - cmd.run', "  - name='rm {{ data.x }}'"),
  'the runner salt.cmd': 'x:\n  runner.salt.cmd:\n    - args:\n      - fun: cmd.run\n      - cmd: rm {{ data.x }}\n',
  'the runner salt.execute': "x:\n  runner.salt.execute:\n    - args: ['*', cmd.run, ['rm {{ data.x }}']]\n",
  'a schedule': call('local.schedule.add', '- arg: [job]', '- kwarg: {function: cmd.run, job_args: ["{{ data.x }}"], seconds: 60}'),
  'a command in the pillar': call('local.state.apply', '- arg: [deploy]', '- kwarg:', '    pillar:', '      command: rm {{ data.x }}'),
  'a command in a pillar in braces': call('local.state.apply', "- args: [{mods: deploy, pillar: {cmd: 'rm {{ data.x }}'}}]"),
  'cron.set_job': call('local.cron.set_job', "- arg: [root, '*', '*', '*', '*', '*', '{{ data.x }}']"),
  'a set block': `{% set c %}rm {{ data.x }}{% endset %}${run('{{ c }}')}`,
  'a set block behind its use': `{% for i in [1, 2] %}${run('{{ c }}')}{% set c %}rm {{ data.x }}{% endset %}{% endfor %}`,
  'a chain of names': `{% set a = data %}{% set b = a.x %}{% set c = 'rm ' ~ b %}${run('{{ c }}')}`,
  'a namespace': `{% set ns = namespace(c='') %}{% set ns.c = data.x %}${run('{{ ns.c }}')}`,
  'a list that is filled': `{% set l = [] %}{% do l.append(data.x) %}${run("{{ l | join(' ') }}")}`,
  'a dict that is filled': `{% set d = {} %}{% do d.update({'a': data.x}) %}${run('{{ d.a }}')}`,
  'a block of YAML': `{% load_yaml as y %}\na: {{ data.x }}\n{% endload %}${run('{{ y.a }}')}`,
  'a macro that prints it': `{% macro m(f) %}rm {{ f }}{% endmacro %}${run('{{ m(data.x) }}')}`,
  'a macro by name': `{% macro m(f) %}rm {{ f }}{% endmacro %}${run('{{ m(f=data.x) }}')}`,
  'a macro with the whole call': `{% macro m(f) %}${run('{{ f }}')}{% endmacro %}{{ m(tag) }}`,
  'a macro that reads the event itself': `{% macro m() %}rm {{ data.x }}{% endmacro %}${run('{{ m() }}')}`,
  'a macro for other files': `{% macro m(f) %}${run('{{ f }}')}{% endmacro %}`,
  'a filter that keeps it': run('{{ data.x | upper | trim }}'),
  'a filter that quotes for JSON alone': run('{{ data.x | json }}'),
  'a default that is the event’s': run("{{ 'a' | default(data.x) }}"),
  format: run("{{ 'rm %s' | format(data.x) }}"),
  'the method format': run("{{ 'rm {}'.format(data.x) }}"),
  'a default of get': run("{{ {'a': 'b'}.get(data.k, data.x) }}"),
  'the tag': run("{{ tag.split('/')[2] }}"),
  'the events of a window': `{% for event in events %}${run('{{ event.data.x }}')}{% endfor %}`,
  'a with block': `{% with c = data.x %}${run('{{ c }}')}{% endwith %}`,
  'the other branch': run("{{ 'a' if data.y == 1 else data.x }}"),
  'quoted in part': run('{{ data.a | quote }} {{ data.x }}'),
  'a second call': `${run('ls')}${run('rm {{ data.x }}').replace('x:', 'y:')}`,
  'the shell itself': call('local.cmd.run', '- arg: [ls]', '- kwarg: {shell: {{ data.x }}}')
}

const FINE: Readonly<Record<string, string>> = {
  constants: run('ls'),
  'a constant that is printed': `{% set c = 'ls' %}${run('{{ c }}')}`,
  quoted: run('rm {{ data.x | quote }}'),
  'quoted after other filters': run('rm {{ data.x | upper | quote }}'),
  'each in a list quoted': run("rm {{ data.l | map('quote') | join(' ') }}"),
  'quoted when it is assigned': `{% set c = data.x | quote %}${run('rm {{ c }}')}`,
  'a set block that quotes': `{% set c | quote %}{{ data.x }}{% endset %}${run('rm {{ c }}')}`,
  'a set block with quoted parts': `{% set c %}rm {{ data.x | quote }}{% endset %}${run('{{ c }}')}`,
  'a filter block': run('rm {% filter quote %}{{ data.x }}{% endfilter %}'),
  'a macro that quotes': `{% macro m(f) %}rm {{ f | quote }}{% endmacro %}${run('{{ m(data.x) }}')}`,
  'a macro called with constants': `{% macro m(f) %}${run('{{ f }}')}{% endmacro %}{{ m('ls') }}`,
  'a macro that gets what is quoted': `{% macro m(f) %}rm {{ f }}{% endmacro %}${run('{{ m(data.x | quote) }}')}`,
  'a table looked up by it': `{% set t = {'a': 'ls'} %}${run("{{ t[data.x] }} {{ t.get(data.x, 'true') }}")}`,
  'numbers, lengths, hashes': run('{{ data.n | int }} {{ data.l | length }} {{ data.x | sha256 }} {{ data.x == 1 }}'),
  'the target': 'x:\n  local.cmd.run:\n    - tgt: {{ data.id }}\n    - arg: [ls]\n',
  'directory, user and input': call('local.cmd.run', '- arg: [ls]', '- kwarg:', '    cwd: {{ data.dir }}', '    stdin: {{ data.x }}'),
  'the environment': call('local.cmd.run', '- arg: [ls]', '- kwarg:', '    env:', '      X: {{ data.x }}'),
  'a comment': call('local.cmd.run', '# {{ data.x }}', '- arg: [ls]'),
  'another function': call('local.state.apply', '- arg: [{{ data.x }}]'),
  'a pillar without commands': call('local.state.apply', '- kwarg:', '    pillar:', '      version: {{ data.x }}'),
  'state.single of no command': call('local.state.single', '- args:', '  - fun: pkg.installed', '  - name: {{ data.x }}'),
  'the runner salt.cmd of no command': 'x:\n  runner.salt.cmd:\n    - args:\n      - fun: test.echo\n      - text: {{ data.x }}\n',
  'a call after one of a command': `${run('ls')}y:\n  local.test.echo:\n    - tgt: a\n    - arg: [{{ data.x }}]\n`,
  'whether a program is there': call('local.cmd.which', '- arg: [{{ data.x }}]'),
  'a name that only asks': run("{{ 'a' if data.x in ['a', 'b'] else 'c' }}")
}

for (const [way, source] of Object.entries(RISKY))
  t.test(`event data without quote is worth a warning: ${way}`, async t => t.ok(warned(source) >= 1, source))
for (const [way, source] of Object.entries(FINE))
  t.test(`nothing is worth a warning: ${way}`, async t => t.strictSame(lintTemplate(source), [], source))

t.test('a text of any form is looked at within a moment: macros in macros, long lines', async t => {
  const depth = 40
  const nested = `${'{% macro m(a) %}'.repeat(depth)}{{ a }}${'{% endmacro %}'.repeat(depth)}`
  const long = run(`${'{{ data.x }} '.repeat(20_000)}`)
  t.strictSame(warned(nested), 0)
  t.equal(warned(long), 20_000)
})

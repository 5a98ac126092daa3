import t from 'tap'
import { serverSignatures, slsCompiler } from '../../src/reactor/compile.js'
import { parseDocuments, parseReactions, publishedArguments, type SignatureOf } from '../../src/reactor/parse.js'
import { param, type ServerFunction } from '../../src/runners/function.js'
import { parseYamlValue } from '../../src/shared/yaml.js'

const parse = (text: string, signatureOf?: SignatureOf) => parseReactions(parseYamlValue(text), 'r.sls', signatureOf)

t.test('an id without a function, with two, or of the wrong form costs its file its reactions, and says where', async t => {
  const mistakes: [text: string, kind: string, message: RegExp][] = [
    ['- x\n', 'not_a_mapping_of_reactions', /a list stands where/],
    ['x: 5\n', 'not_a_mapping_of_reactions', /'x' holds a number/],
    ['5:\n  local.test.ping: []\n', 'compile_exception', /the ID 5 is a number; put it into quotes/],
    ['x:\n  local: []\n', 'invalid_high_data', /No function declared in state 'local'/],
    ['x:\n  local:\n    - a\n    - b\n', 'invalid_high_data', /Too many functions/],
    ['x:\n  local.test.ping:\n    tgt: a\n', 'invalid_high_data', /not formed as a list/],
    ['x:\n  local.test.ping:\n    - tgt web1\n', 'invalid_high_data', /has whitespace/],
    ['x:\n  local.test.ping:\n    - tgt: a\n      arg: b\n', 'invalid_high_data', /Multiple dictionaries/],
    ['x:\n  5: []\n', 'invalid_high_data', /Function 5 in ID 'x'/]
  ]
  for (const [text, kind, message] of mistakes) {
    const { calls, errors } = parse(text)
    t.strictSame(calls, [])
    t.match(errors, [{ kind, message, file: 'r.sls', section: null }], JSON.stringify(text))
  }
  for (const nothing of ['', '{}\n', '[]\n', "''\n", 'false\n']) t.strictSame(parse(nothing), { chunks: [], calls: [], errors: [] })
})

t.test('a mistake in one file or reaction leaves the others as they are', async t => {
  const good = parseYamlValue("ok:\n  local.test.ping:\n    - tgt: '*'\n")
  const bad = parseYamlValue('x:\n  local: []\n')
  const { calls, errors } = parseDocuments([
    { file: 'bad.sls', high: bad },
    { file: 'good.sls', high: good }
  ])
  t.match(calls, [{ section: 'ok', file: 'good.sls' }])
  t.match(errors, [{ file: 'bad.sls' }])
  const mixed = parse("a:\n  zzz.test.ping: []\nb:\n  local.test.ping: []\nc:\n  local.test.ping:\n    - tgt: '*'\n")
  t.match(mixed.calls, [{ section: 'c' }])
  t.match(mixed.errors, [
    { kind: 'invocation', section: 'b', client: 'local', fun: 'test.ping' },
    { kind: 'unknown_type', section: 'a' }
  ])
})

t.test('kwarg may be a list of mappings with one key each', async t => {
  const { calls } = parse(
    'x:\n  local.state.apply:\n    - tgt: a\n    - arg: [m]\n    - kwarg:\n      - saltenv: central\n      - test: true\n'
  )
  t.match(calls, [{ arg: ['m'], kwarg: { saltenv: 'central', test: true } }])
  t.match(parse('x:\n  local.test.ping:\n    - tgt: a\n    - kwarg: [5]\n').errors, [{ kind: 'invocation' }])
})

t.test('texts that come from events never become arguments with names', async t => {
  // Salt reads a text in `args` as YAML once more
  t.match(parse("x:\n  local.test.ping:\n    - tgt: a\n    - args: '{cmd: id}'\n").errors, [{ kind: 'bad_args_format' }])
})

t.test('the published arguments hold job ids as text and keywords last', async t => {
  t.strictSame(publishedArguments({ arg: ['a', 20261122203758556109n, 5], kwarg: { b: 1 } }), [
    'a',
    '20261122203758556109',
    5,
    { __kwarg__: true, b: 1 }
  ])
  t.strictSame(publishedArguments({ arg: 'ab', kwarg: {} }), ['a', 'b'])
})

t.test('keys named like JavaScript’s own are arguments like any other', async t => {
  const { calls } = parse(
    'x:\n  local.test.arg:\n    - tgt: a\n    - args:\n      - __proto__: {polluted: 1}\n      - constructor: 2\n    - toString: 3\n'
  )
  t.strictSame(Object.keys(calls[0]!.kwarg), ['__proto__', 'constructor'])
  t.strictSame(calls[0]!.other, { toString: 3 })
  t.equal(({} as Record<string, unknown>).polluted, undefined)
})

const lookup: ServerFunction = {
  name: 'jobs.lookup',
  doc: '',
  params: { jid: param.text(), missing: param.flagOr(false) },
  takesArgs: false,
  takesKwargs: false,
  run: () => null
}

t.test('parameters written directly are matched to the function’s own', async t => {
  const signatureOf = serverSignatures(new Map([['jobs.lookup', lookup]]), new Map())
  t.match(parse('x:\n  runner.jobs.lookup:\n    - jid: a\n', signatureOf).calls, [{ arg: ['a'], kwarg: { missing: false } }])
  t.match(parse('x:\n  runner.jobs.lookup:\n    - missing: true\n', signatureOf).errors, [
    { kind: 'invocation', message: /needs the argument 'jid'/ }
  ])
  t.match(parse('x:\n  runner.jobs.lookup:\n    - jid: a\n    - b: 1\n', signatureOf).errors, [{ message: /'b' is an invalid keyword/ }])
  t.match(parse('x:\n  wheel.jobs.lookup:\n    - jid: a\n', signatureOf).errors, [{ kind: 'unknown_function' }])
})

/** What templates import, by name and importing file: where names lead is the matter of `SlsFiles`. */
const IMPORTS = ['reactor/map.jinja from /srv/reactor/r.sls', '../map.jinja from salt://reactor/sub/r.sls']

const compile = slsCompiler({
  include: (name, from) => (IMPORTS.includes(`${name} from ${from}`) ? { file: name, text: "{% set where = 'web*' %}" } : null),
  signatureOf: () => null,
  context: () => ({ grains: { id: 'master' } })
})
const source = (text: string) => ({ file: '/srv/reactor/r.sls', text })
const event = { tag: 'a/b', json: '{"id": "web1", "n": 12345678901234567890}' }

t.test('an SLS is compiled to the reactions it asks for; what cannot be made is kept with the reason', async t => {
  const text = `a:\n  local.cmd.run:\n    - tgt: {{ data.id }}\n    - arg: [{{ data.n }}, '{{ grains.id }}']\n    - timeout: 5\nb:\n  local.test.ping: []\nc:\n  cmd.test.ping:\n    - tgt: x\n`
  t.strictSame(compile(source(text), event), {
    error: null,
    rendered:
      "a:\n  local.cmd.run:\n    - tgt: web1\n    - arg: [12345678901234567890, 'master']\n    - timeout: 5\nb:\n  local.test.ping: []\nc:\n  cmd.test.ping:\n    - tgt: x\n",
    reactions: [
      {
        section: 'a',
        call: {
          client: 'local',
          fun: 'cmd.run',
          order: 1,
          arg: [12345678901234567890n, 'master'],
          kwarg: {},
          tgt: 'web1',
          tgt_type: 'glob',
          other: { timeout: 5 }
        }
      },
      { section: 'c', call: { client: 'local', fun: 'test.ping', order: 1, arg: [], kwarg: {}, tgt: 'x', tgt_type: 'glob' } },
      {
        section: 'b',
        call: { client: 'local', fun: 'test.ping', order: 1, error: "Reactor 'b' failed to execute local 'test.ping': 'tgt' is missing" }
      }
    ]
  })
})

t.test('several reactions under one id have names of their own', async t => {
  const text = 'x:\n  local.test.ping:\n    - tgt: a\n    - names: [n1, n2]\n  runner.test.arg:\n    - args: {a: 1}\n'
  t.strictSame(
    compile(source(text), event).reactions.map(({ section }) => section),
    ['x (runner.test.arg)', 'x (local.test.ping)', 'x (local.test.ping) #2']
  )
})

t.test('a file that cannot be rendered or is no reactor file gives one error and no reactions', async t => {
  t.match(compile(source('a: {{ nosuch }}'), event), {
    reactions: [],
    error: "/srv/reactor/r.sls, line 1, column 4: 'nosuch' is undefined"
  })
  t.match(compile(source('a: [b]'), event), { reactions: [], error: /'a' holds a list/ })
  t.strictSame(compile(source('{% if false %}a: b{% endif %}'), event), { rendered: '', reactions: [], error: null })
})

t.test('templates import what is found for a name in the importing file', async t => {
  const use = (path: string) => `{% from '${path}' import where %}x:\n  local.test.ping:\n    - tgt: {{ where }}\n`
  t.match(compile(source(use('reactor/map.jinja')), event).reactions, [{ call: { tgt: 'web*' } }])
  t.match(compile(source(use('../etc/passwd')), event), { error: /passwd/ })
  const named = { file: 'salt://reactor/sub/r.sls', text: use('../map.jinja') }
  t.match(compile(named, event).reactions, [{ call: { tgt: 'web*' } }])
})

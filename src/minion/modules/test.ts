import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ModuleContext } from '../context.js'
import { BRINE_VERSION, SALT_VERSION } from '../version.js'
import { errorLine, InvocationError, PlainException } from './errors.js'
import { doc, fn, type Module } from './module.js'
import { pyType } from './python.js'
import { flag, type Mapping, number, text } from './values.js'

/** Longest sleep that a timer can measure: 24 days. */
const MAX_SLEEP_SECONDS = 2 ** 31 / 1000 - 1

/** Salt's `test` module: functions that do nothing but show that, and how, a minion answers. */
export const test: Module = {
  name: 'test',
  functions: [
    fn('ping()', doc('Used to make sure the minion is up and responding. Not an ICMP ping. Returns True.', 'test.ping'), () => true),
    fn('echo(text)', doc('Returns the text that it is given.', "test.echo 'foo bar baz quo qux'"), (_ctx, { text }) => text),
    fn('true_()', doc('Always returns True.', 'test.true'), () => true),
    fn('false_()', doc('Always returns False.', 'test.false'), () => false),
    fn('none()', doc('Always returns None.', 'test.none'), () => null),
    fn('arg(*args, **kwargs)', doc('Shows the arguments as the function gets them.', 'test.arg 1 "two" 3.1 txt="hello"'), (_ctx, a) => a),
    fn(
      'kwarg(**kwargs)',
      doc('Shows the keyword arguments as the function gets them.', 'test.kwarg num=1 txt="two"'),
      (_ctx, a) => a.kwargs
    ),
    fn('arg_type(*args, **kwargs)', doc('Shows the types of the arguments.', 'test.arg_type 1 int'), argType),
    fn('arg_repr(*args, **kwargs)', doc('Shows the arguments as text.', 'test.arg_repr 1'), (_ctx, a) => mapArguments(a, JSON.stringify)),
    fn('version()', doc('Returns the version of Salt whose behaviour the minion has.', 'test.version'), () => SALT_VERSION),
    fn('versions_information()', doc('Versions of the minion and what it runs on.', 'test.versions_information'), versions),
    fn('versions_report()', doc('Versions of the minion and what it runs on, as text.', 'test.versions_report'), versionsReport),
    fn('conf_test()', doc('Returns the value of the option test.foo.', 'test.conf_test'), ctx => ctx.options.settings['test.foo'] ?? null),
    fn('get_opts()', doc("Returns the minion's options; secrets are masked.", 'test.get_opts'), getOpts),
    fn('sleep(length)', doc('Waits for so many seconds, then returns True.', 'test.sleep 20'), wait, { isolated: true }),
    fn('rand_sleep(max=60)', doc('Waits for a random time, at most `max` seconds.', 'test.rand_sleep 60'), randSleep, { isolated: true }),
    fn('fib(num)', doc('Returns a Fibonacci number and the seconds that its making took.', 'test.fib 3'), fib, { isolated: true }),
    fn('collatz(start)', doc('Returns the Collatz sequence from a number, and the seconds.', 'test.collatz 3'), collatz, {
      isolated: true
    }),
    fn('outputter(data)', doc('Returns the data, to see how it is shown.', 'test.outputter foobar'), (_ctx, { data }) => data),
    fn('retcode(code=42)', doc('Returns True with the given return code.', 'test.retcode 42'), retcode),
    fn('provider(module)', doc('Returns the name of the module that provides a module.', 'test.provider service'), provider),
    fn('providers()', doc('Returns all modules with the names of their providers.', 'test.providers'), providers),
    fn('not_loaded()', doc('Returns the modules that are not available here.', 'test.not_loaded'), () => []),
    fn('opts_pkg()', doc("Returns the minion's options and grains.", 'test.opts_pkg'), async ctx => ({
      ...(getOpts(ctx) as Mapping),
      grains: ctx.grains
    })),
    fn('rand_str(size=9999999999)', doc('Returns a random number in hexadecimal digits.', 'test.rand_str'), randStr),
    fn("exception(message='Test Exception')", doc('Raises an exception with the message.', "test.exception 'Oh noes!'"), raise),
    fn('stack()', doc('Returns the call stack of the function.', 'test.stack'), () => new Error('test.stack').stack ?? ''),
    fn(
      'try_(module, return_try_exception=False, **kwargs)',
      doc('Runs a function and returns whether it threw.', 'test.try test.ping'),
      tryCall,
      { isolated: true }
    ),
    fn('module_report()', doc('Lists modules and functions.', 'test.module_report'), moduleReport)
  ]
}

function mapArguments(a: Mapping, map: (value: unknown) => unknown): Mapping {
  const kwargs = Object.entries(a.kwargs as Mapping).map(([name, value]) => [name, map(value)])
  return { args: (a.args as unknown[]).map(item => map(item)), kwargs: Object.fromEntries(kwargs) }
}

function argType(_ctx: ModuleContext, a: Mapping): Mapping {
  return mapArguments(a, value => `<class '${pyType(value)}'>`)
}

function versions(): Mapping {
  const { node, v8, uv, openssl } = process.versions
  return {
    'Salt Version': { Salt: SALT_VERSION, brine: BRINE_VERSION },
    'Dependency Versions': { Node: node, V8: v8, libuv: uv, OpenSSL: openssl }
  }
}

function versionsReport(): string {
  const lines = Object.entries(versions()).flatMap(([title, list]) => [
    `${title}:`,
    ...Object.entries(list as Mapping).map(([name, version]) => `${name.padStart(20)}: ${version}`),
    ''
  ])
  return lines.join('\n')
}

function getOpts(ctx: ModuleContext): unknown {
  const { settings, ...options } = ctx.options
  return { ...settings, ...options }
}

async function wait(ctx: ModuleContext, { length }: Mapping): Promise<boolean> {
  const seconds = number(length, 'length')
  if (seconds < 0) throw new PlainException('sleep length must be non-negative')
  if (seconds > MAX_SLEEP_SECONDS) throw new InvocationError(`length must be at most ${Math.floor(MAX_SLEEP_SECONDS)} seconds`)
  await sleep(seconds * 1000, undefined, { signal: ctx.signal })
  return true
}

async function randSleep(ctx: ModuleContext, { max }: Mapping): Promise<boolean> {
  return wait(ctx, { length: randomInt(0, Math.max(1, Math.floor(number(max, 'max'))) + 1) })
}

function fib(_ctx: ModuleContext, { num }: Mapping): [number, number] {
  const wanted = number(num, 'num')
  const start = performance.now()
  let [current, next] = [0, 1]
  for (let step = 0; step < wanted; step++) [current, next] = [next, current + next]
  return [current, (performance.now() - start) / 1000]
}

function collatz(_ctx: ModuleContext, { start }: Mapping): [number[], number] {
  const begin = performance.now()
  const steps: number[] = []
  let value = Math.floor(number(start, 'start'))
  if (value < 1) throw new InvocationError('start must be a positive number')
  while (value !== 1) {
    steps.push(value)
    value = value % 2 === 0 ? value / 2 : value * 3 + 1
  }
  return [steps, (performance.now() - begin) / 1000]
}

function retcode(ctx: ModuleContext, { code }: Mapping): boolean {
  ctx.outcome.retcode = number(code, 'code')
  return true
}

function provider(ctx: ModuleContext, { module }: Mapping): string {
  const name = text(module, 'module')
  return ctx.modules.modules().includes(name) ? name : ''
}

function providers(ctx: ModuleContext): Record<string, string> {
  return Object.fromEntries(ctx.modules.modules().map(name => [name, name]))
}

function randStr(_ctx: ModuleContext, { size }: Mapping): string {
  const limit = Math.min(2 ** 48 - 1, Math.max(1, Math.floor(number(size, 'size'))))
  return randomInt(limit).toString(16)
}

function raise(_ctx: ModuleContext, { message }: Mapping): never {
  throw new PlainException(text(message, 'message'))
}

async function tryCall(ctx: ModuleContext, { module, return_try_exception }: Mapping): Promise<unknown> {
  const name = text(module, 'module')
  const entry = ctx.modules.get(name)
  if (!entry) return flag(return_try_exception) ? `'${name}' is not available.` : false
  try {
    return await entry.run(ctx, Object.fromEntries(entry.params.map(param => [param.name, param.default ?? null])))
  } catch (error) {
    return flag(return_try_exception) ? errorLine(error) : false
  }
}

function moduleReport(ctx: ModuleContext): Mapping {
  const functions = ctx.modules.functions()
  return {
    functions: [...new Set(functions.map(fun => fun.slice(fun.indexOf('.') + 1)))].sort(),
    modules: ctx.modules.modules(),
    function_attrs: functions,
    missing: [],
    function_subs: [],
    module_attrs: [],
    missing_subs: []
  }
}

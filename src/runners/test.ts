import { setTimeout as sleep } from 'node:timers/promises'
import { runProgress } from '../tags/tags.js'
import { shownConfig } from './config.js'
import { ArgumentError, param, type ServerFunction, serverFunction } from './function.js'

/** test.sleep ends here at the latest: an hour holds one of the places for calls, a day would hold it for nothing. */
const MAX_SLEEP_SECONDS = 3600

const arg = serverFunction({
  name: 'test.arg',
  doc: 'Give back the positional and keyword arguments.\n\nCLI Example:\n\n    brine run test.arg 1 two foo=bar',
  takesArgs: true,
  takesKwargs: true,
  run: (_context, _args, { args, kwargs }) => ({ args, kwargs })
})

const rest = serverFunction({
  name: 'test.sleep',
  doc: 'Wait so many seconds, then return True.',
  params: { s_time: param.numberOr(1) },
  async run({ signal }, { s_time }) {
    if (s_time < 0 || s_time > MAX_SLEEP_SECONDS) throw new ArgumentError('value', `argument 's_time': must be 0 to ${MAX_SLEEP_SECONDS}`)
    await sleep(s_time * 1000, undefined, { signal })
    return true
  }
})

const stream = serverFunction({
  name: 'test.stream',
  doc: 'Fire a progress event for each percent, a tenth of a second apart, then return True.',
  async run({ events, jid, source, cause, signal }) {
    for (let percent = 1; percent < 100; percent++) {
      await events.fire(runProgress(jid), { message: `Runner is ${percent}% done` }, { source, cause })
      await sleep(100, undefined, { signal })
    }
    return true
  }
})

const rawArg = serverFunction({
  name: 'test.raw_arg',
  doc: 'Give back the arguments as they came: {args, kwargs}.',
  takesArgs: true,
  takesKwargs: true,
  run: (_context, _args, { args, kwargs }) => ({ args, kwargs })
})

const stdoutPrint = serverFunction({
  name: 'test.stdout_print',
  doc: "Return a text. (Salt prints 'foo' to the master's standard output besides.)",
  run: () => 'bar'
})

const getOpts = serverFunction({
  name: 'test.get_opts',
  doc: 'Show the settings. Secrets are masked.',
  run: ({ config }) => shownConfig(config)
})

const WORDS = 'foo bar baz qux quux quuz corge grault garply waldo fred plugh xyzzy thud'.split(' ')

const metasyntactic = serverFunction({
  name: 'test.metasyntactic',
  doc: 'Give a list of words that mean nothing.',
  params: { locality: param.textOr('us') },
  run: () => WORDS
})

/** The runner's functions for trying things out. */
export const testRunners: readonly ServerFunction[] = [arg, rawArg, rest, stream, stdoutPrint, getOpts, metasyntactic]

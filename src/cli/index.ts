import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { BrineError } from '../errors.js'
import { ServerError } from './client.js'
import { EXIT, type Exit, exitCodeTable, exitOf, exitOfStatus } from './exit.js'
import { FORMATS } from './output.js'
import type { Terminal } from './terminal.js'

/**
 * Runs one command. Resolves with the exit code; `start` and `minion` when they have been stopped.
 * What a command does is loaded when it is called, so that `brine --help` need not load the server.
 */
export async function main(args: readonly string[], terminal: Terminal, version = 'unknown'): Promise<number> {
  let exit: Exit | number = 'ok'
  const program = build(terminal, version, result => {
    exit = result
  })
  try {
    await program.parseAsync([...args], { from: 'user' })
  } catch (error) {
    exit = tell(error, terminal)
  }
  return typeof exit === 'number' ? exit : EXIT[exit].code
}

/** Says what went wrong, for people: the text, what to do about it, never a stack for what is foreseen. */
function tell(error: unknown, terminal: Terminal): Exit {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 'ok' : 'usage'
  if (error instanceof ServerError || error instanceof BrineError) {
    terminal.err(`brine: ${error.message}\n${error.hint === undefined ? '' : `       ${error.hint}\n`}`)
    return error instanceof ServerError ? exitOfStatus(error.status) : exitOf(error)
  }
  if (terminal.interrupted().aborted) return 'interrupted'
  if (isFileError(error)) {
    terminal.err(`brine: ${error.message}\n       look at the data directory (--data), what is in it, and its permissions\n`)
    return 'config'
  }
  terminal.err(`brine: an unexpected error occurred: ${error instanceof Error ? error.stack : String(error)}\n`)
  return 'internal'
}

/** What the file system refuses is not brine's fault: no permission, a file where a directory should be, a disk that may not be written. */
function isFileError(error: unknown): error is NodeJS.ErrnoException {
  const { code, syscall = '' } = error as NodeJS.ErrnoException
  return error instanceof Error && typeof code === 'string' && FILE_CALLS.has(syscall)
}

const FILE_CALLS: ReadonlySet<string> = new Set([
  'access',
  'chmod',
  'fsync',
  'lstat',
  'mkdir',
  'open',
  'read',
  'rename',
  'scandir',
  'stat',
  'write'
])

/** A number is the exit code of what was run (`brine call --retcode-passthrough`). */
type Done = (exit: Exit | number) => void
/** What a command does: its arguments, then its options, then the command itself, as commander passes them. */
type Action = (...values: never[]) => Promise<Exit | number>

function build(terminal: Terminal, version: string, done: Done): Command {
  const program = new Command('brine')
    .description('An event-driven automation server that speaks Salt’s API.')
    .version(version, '-V, --version')
    .configureOutput({ writeOut: text => terminal.out(text), writeErr: text => terminal.err(text) })
    .exitOverride()
    .showHelpAfterError('(--help tells more)')
    .addHelpText(
      'after',
      `\nExit codes:\n${exitCodeTable()}\n\nCommands that talk to a server find it by --url and --token, BRINE_URL and BRINE_TOKEN,\nor the data directory (./data, or --data) of a server on this machine.`
    )
  const context: Context = { terminal, done }
  addProcesses(program, context)
  addEvents(program, context)
  addRun(program, context)
  addJobs(program, context)
  addKeys(program, context)
  addUsers(program, context)
  addTokens(program, context)
  addReactor(program, context)
  addConfig(program, context)
  return program
}

interface Context {
  readonly terminal: Terminal
  readonly done: Done
}

function does(command: Command, { done }: Context, action: Action): Command {
  return command.action(async (...values: unknown[]) => {
    done(await (action as (...values: unknown[]) => Promise<Exit | number>)(...values))
  })
}

/** Adds what every command that talks to a server has. */
function remote(command: Command): Command {
  return command
    .option('--url <url>', 'the server (BRINE_URL)')
    .option('--token <token>', 'a token for it (BRINE_TOKEN, which does not show in the list of processes)')
    .option('--data <dir>', 'data directory of a server on this machine, which has both')
}

function formatted(command: Command): Command {
  return command.addOption(new Option('--out <format>', 'how to print').choices([...FORMATS]))
}

function examples(command: Command, text: string): Command {
  return command.addHelpText(
    'after',
    `\nExamples:\n${text
      .trim()
      .split('\n')
      .map(line => `  ${line.trim()}`)
      .join('\n')}`
  )
}

const several = (value: string, before: string[] | undefined) => [...(before ?? []), value]

// ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function addProcesses(program: Command, context: Context): void {
  const { terminal } = context
  const start = program
    .command('start')
    .description('run the server')
    .option('-c, --config <file>', 'configuration file or directory; repeatable, later ones win (BRINE_CONFIG)', several)
    .option('--host <address>', 'address to listen on')
    .option('--port <port>', 'port to listen on; 0 takes a free one')
    .option('--data <dir>', 'directory of everything that lasts')
    .option('--log-level <level>', 'least level that is logged')
    .option('--no-minion', 'do not run the embedded minion')
    .option('--minion-id <id>', 'id of the embedded minion')
  examples(start, 'brine start\nbrine start --port 0 --data /tmp/try --no-minion\nbrine start -c /etc/salt')
  does(start, context, async (options: never) => (await import('./start.js')).start(terminal, options))

  const minion = program
    .command('minion')
    .description('run a minion')
    .option('-c, --config <file>', 'configuration file or directory; repeatable, later ones win (BRINE_CONFIG)', several)
    .option('--id <id>', 'its id; the host name by default')
    .option('--master <url>', 'the server')
    .option('--dir <dir>', 'where it keeps key, spool and cache')
    .option('--data <dir>', 'data directory; its subdirectory minion is the default for --dir')
    .option(
      '--enrolment-token <token>',
      'lets a new minion in at once: of brine key token (BRINE_ENROLMENT_TOKEN does not show in the list of processes)'
    )
    .option('--log-level <level>', 'least level that is logged')
  examples(minion, 'brine minion --id web1 --master http://brine.example:8000 --dir /var/lib/brine-minion')
  does(minion, context, async (options: never) => (await import('./minion.js')).minion(terminal, options))
  addInstall(minion, context)
  addCall(program, context)
}

function addInstall(minion: Command, context: Context): void {
  const { terminal } = context
  const install = minion
    .command('install')
    .description('write a systemd unit that runs a minion with these options')
    .option('--print', 'print the unit instead of writing it')
    .option('--unit <file>', 'where it goes; /etc/systemd/system/brine-minion.service by default')
  examples(install, 'brine minion install --print\nbrine minion --master http://brine.example:8000 --dir /var/lib/brine-minion install')
  does(install, context, async (options: never, command: never) => {
    const given = (command as Command).optsWithGlobals()
    return (await import('./minion.js')).install(terminal, { ...given, ...(options as object) })
  })
}

/** Salt's salt-call. Arguments may look like options (`-1`): what is not known here belongs to the function. */
function addCall(program: Command, context: Context): void {
  const { terminal } = context
  const call = program
    .command('call [function] [argument...]')
    .description("run one function of this machine's minion and print what it returns (salt-call)")
    .option('--local', 'without a server: files, states and pillar of this machine')
    .addOption(
      new Option('--out <format>', 'how to print').choices(['nested', 'json', 'yaml', 'highstate', 'txt', 'raw', 'pprint', 'quiet'])
    )
    .option('--out-indent <columns>', 'indentation of json', number)
    .option('--retcode-passthrough', "exit with the function's own return code")
    .option('--file-root <dir>', 'file_roots of base; implies --local')
    .option('--pillar-root <dir>', 'pillar_roots of base')
    .option('--id <id>', "the minion's id")
    .option('--metadata', 'print jid, return code and arguments too')
    .option('-d, --doc', 'documentation of a function or module')
    .option('-g, --grains', 'the grains')
    .option('--master <url>', 'the server')
    .option('--dir <dir>', "the minion's directory")
    .option('--data <dir>', 'data directory; its subdirectory minion is the default for --dir')
    .option('-c, --config-dir <path>', 'configuration file or directory; repeatable (BRINE_CONFIG)', several)
    .option('--config <path>', 'the same', several)
    .option('-l, --log-level <level>', 'least level that is logged')
    .allowUnknownOption()
  examples(
    call,
    "brine call test.ping\nbrine call --local state.apply webserver test=True\nbrine call --local --file-root ./states state.apply pillar='{role: web}'\nbrine call event.send myco/deploy version=1.2\nbrine call --local --out json grains.items"
  )
  does(call, context, async (fun: never, arg: never, options: never) => (await import('./call.js')).call(terminal, fun, arg, options))
}

// ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function addEvents(program: Command, context: Context): void {
  const { terminal } = context
  const event = program.command('event').description('watch and fire events')

  const watch = formatted(remote(event.command('watch [glob...]')))
    .description('print events as they come, those with a tag that one of the globs matches')
    .option('--since <start>', 'begin there: earliest, an event id, a UTC time, or 15m (ago); now by default')
    .option('--exclude <glob>', 'leave these tags out; repeatable', several)
    .option('--count <n>', 'end after so many events')
    .option('--timeout <span>', 'end after that time (90, 15m, 12h); exit code 1 when --count was not reached')
    .option('--pretty', 'indent the data')
  examples(
    watch,
    "brine event watch\nbrine event watch 'salt/job/*' --since 15m\nbrine event watch 'ci/done/*' --count 1 --timeout 10m --out json"
  )
  does(watch, context, async (globs: never, options: never) => (await import('./event.js')).watch(terminal, globs, options))

  const send = formatted(remote(event.command('send [tag] [data...]')))
    .description('fire an event; done when it is on disk. Prints its id. The data: name=value, or a YAML mapping, or both')
    .option('--json <object>', 'the data as JSON; - reads stdin')
    .option('--lines', 'fire one event per line of stdin, each {"tag": …, "data": …}')
    .option('--idempotency-key <key>', 'firing again with this key fires nothing and prints the first id')
  examples(
    send,
    "brine event send ci/done/42 status=ok seconds=12\nbrine event send myco/tag '{success: True, message: It works!}'\nbrine event send ci/report --json - < report.json\nbrine event send --lines < events.ndjson"
  )
  does(send, context, async (tag: never, texts: never, options: never) => (await import('./event.js')).send(terminal, tag, texts, options))

  const trace = formatted(remote(event.command('trace <id>')))
    .description('what an event led to, as a tree: rules, SLS files, calls, jobs, returns, further events')
    .option('--rendered', 'also print what the SLS files rendered to')
  examples(trace, 'brine event trace 1a2b3c4d-42\nbrine event trace 1a2b3c4d-42 --rendered\nbrine event trace 1a2b3c4d-42 --out json')
  does(trace, context, async (id: never, options: never) => (await import('./trace.js')).trace(terminal, id, options))

  const reEmit = formatted(remote(event.command('re-emit <id>'))).description(
    'fire an event again, with the same data and itself as the cause; prints the new id'
  )
  examples(reEmit, 'brine event re-emit 1a2b3c4d-42')
  does(reEmit, context, async (id: never, options: never) => (await import('./trace.js')).reEmit(terminal, id, options))
}

// ── functions and keys ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

function addEnrolment(key: Command, context: Context): void {
  const { terminal } = context
  const token = key.command('token').description('one-time tokens with which the keys of new minions are accepted')
  const create = formatted(remote(token.command('create', { isDefault: true })))
    .description('make one and print it')
    .option('--for <globs>', 'the ids that it is for: globs, separated by commas')
    .option('--ttl <span>', 'how long it counts (90, 15m, 1h, 7d); 1h by default, 30d at most')
    .option('--label <text>', 'what it is for, for people')
  examples(
    create,
    "brine key token create --for 'web*' --ttl 1h\nbrine minion --master https://brine.example --id web7 --enrolment-token brine-enrol-…"
  )
  does(create, context, async (options: never) => (await import('./key.js')).createToken(terminal, options))

  const list = formatted(remote(token.command('list'))).description('those that have not expired, without themselves')
  examples(list, 'brine key token list')
  does(list, context, async (options: never) => (await import('./key.js')).listTokens(terminal, options))

  const revoke = remote(token.command('revoke <id>')).description('end one that is not used')
  examples(revoke, 'brine key token revoke 3f1c9a0b27de')
  does(revoke, context, async (id: never, options: never) => (await import('./key.js')).revokeToken(terminal, id, options))
}

function addRun(program: Command, context: Context): void {
  const run = formatted(remote(program.command('run <function> [argument...]')))
    .description('run a function: a runner, with --wheel a wheel function, with --target a function on minions')
    .option('-t, --target <target>', 'on these minions')
    .option('--target-type <type>', 'how the target is meant: glob (default), or one of those below')
    .option('-E, --pcre', 'a regular expression for ids')
    .option('-L, --list', 'ids, separated by commas')
    .option('-G, --grain', 'a grain: os:Debian')
    .option('-P, --grain-pcre', 'a grain, as a regular expression')
    .option('-C, --compound', 'G@os:Debian and not L@web1,web2')
    .option('-N, --nodegroup', 'a nodegroup of the configuration')
    .option('-I, --pillar', 'a pillar value: role:web')
    .option('-J, --pillar-pcre', 'a pillar value, as a regular expression')
    .option('-S, --ipcidr', 'an address or a network')
    .option('-b, --batch <size>', 'on so many minions at a time: 10, or 25%')
    .option('--subset <number>', 'on so many minions, taken by chance', number)
    .option('--metadata <data>', 'JSON or YAML that is kept with the job')
    .option('--wheel', 'a wheel function')
    .option('--timeout <seconds>', 'how long to wait for returns', number)
    .option('--async', 'do not wait; print the job id')
  examples(
    run,
    "brine run manage.up\nbrine run -t '*' test.ping\nbrine run -t web1 state.apply motd test=True\nbrine run -C -t 'G@os:Debian and not db*' -b 25% pkg.upgrade\nbrine run --wheel key.list_all --out json\nbrine run state.event 'salt/job/*' pretty=True"
  )
  does(run, context, async (fun: never, arg: never, options: never) => (await import('./run.js')).run(context.terminal, fun, arg, options))
}

function addJobs(program: Command, context: Context): void {
  const { terminal } = context
  const job = program.command('job').description('jobs on minions and what came back')
  const list = formatted(remote(job.command('list')))
    .description('the newest jobs, newest first')
    .option('--fun <glob>', 'only of these functions', several)
    .option('--target <glob>', 'only for these targets', several)
    .option('--since <time>', 'only after it')
    .option('--limit <number>', 'so many', number, '20')
  examples(list, "brine job list\nbrine job list --fun 'state.*' --limit 5")
  does(list, context, async (options: never) => (await import('./job.js')).list(terminal, options))

  const show = formatted(remote(job.command('show <jid>'))).description('one job with what each minion returned, and who is missing')
  examples(show, 'brine job show 20261122190145000001\nbrine job show 20261122190145000001 --out json')
  does(show, context, async (jid: never, options: never) => (await import('./job.js')).show(terminal, jid, options))

  const active = formatted(remote(job.command('active'))).description('jobs that run now, as the minions tell')
  examples(active, 'brine job active')
  does(active, context, async (options: never) => (await import('./job.js')).active(terminal, options))

  const kill = formatted(remote(job.command('kill <jid>')))
    .description('end a running job on its minions')
    .option('--term', 'ask its processes to end (SIGTERM) instead of ending them')
  examples(kill, 'brine job kill 20261122190145000001\nbrine job kill 20261122190145000001 --term')
  does(kill, context, async (jid: never, options: never) => (await import('./job.js')).kill(terminal, jid, options))
}

function addKeys(program: Command, context: Context): void {
  const { terminal } = context
  const key = program.command('key').description('minion keys')
  const list = formatted(remote(key.command('list [state]'))).description('keys by state: accepted, pending, rejected, denied, all')
  examples(list, 'brine key list\nbrine key list pending --out json')
  does(list, context, async (state: never, options: never) => (await import('./key.js')).list(terminal, state, options))

  const actions = {
    accept: ['accept pending keys', '--include-rejected', '--include-denied'],
    reject: ['reject pending keys', '--include-accepted', '--include-denied'],
    delete: ['delete keys, in whatever state']
  } as const
  for (const [action, [description, ...flags]] of Object.entries(actions)) {
    const command = formatted(remote(key.command(`${action} <match...>`))).description(`${description}; each argument is an id or a glob`)
    for (const flag of flags) command.option(flag, `also keys that are ${flag.slice('--include-'.length)} now`)
    examples(command, `brine key ${action} web1\nbrine key ${action} 'web*' db1`)
    does(command, context, async (matches: never, options: never) =>
      (await import('./key.js')).change(terminal, action as 'accept', matches, options)
    )
  }
  addEnrolment(key, context)

  const finger = formatted(remote(key.command('finger [match]'))).description(
    'fingerprints (SHA-256), to compare with what the minion shows'
  )
  examples(finger, 'brine key finger\nbrine key finger web1')
  does(finger, context, async (match: never, options: never) =>
    (await import('./key.js')).finger(terminal, match ?? ('*' as never), options)
  )
}

// ── users and tokens ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function addUsers(program: Command, context: Context): void {
  const { terminal } = context
  const user = program.command('user').description('users who log in with a password (eauth file); works on the data directory itself')
  const local = (command: Command) => command.option('--data <dir>', 'the data directory')
  const password = (command: Command) => local(command).option('--password-stdin', 'read the password from stdin instead of asking for it')

  const add = password(user.command('add <name>')).description('add a user').option('--groups <names>', 'groups, separated by commas')
  examples(add, 'brine user add alice\nbrine user add ci --groups build,deploy --password-stdin < secret')
  does(add, context, async (name: never, options: never) => (await import('./user.js')).add(terminal, name, options))

  const passwd = password(user.command('passwd <name>')).description("set a password; the user's tokens end")
  examples(passwd, 'brine user passwd alice')
  does(passwd, context, async (name: never, options: never) => (await import('./user.js')).passwd(terminal, name, options))

  const list = formatted(local(user.command('list'))).description('users and their groups')
  examples(list, 'brine user list --out json')
  does(list, context, async (options: never) => (await import('./user.js')).list(terminal, options))

  const remove = local(user.command('delete <name>')).description("delete a user; the user's tokens end")
  examples(remove, 'brine user delete alice')
  does(remove, context, async (name: never, options: never) => (await import('./user.js')).remove(terminal, name, options))
}

function addTokens(program: Command, context: Context): void {
  const { terminal } = context
  const token = program.command('token').description('tokens for programs')
  const create = formatted(remote(token.command('create')))
    .description('make a token and print it')
    .option('--user <name>', 'whose permissions it has: an entry of external_auth.token; your own by default')
    .option('--eauth <name>', 'another part of external_auth than token')
    .option('--label <text>', 'what it is for')
    .option('--expire <span>', 'how long it counts (90, 15m, 12h, 30d); 30d by default')
    .option('--read-only', 'good for watching events and nothing else')
    .option('--tag <glob>', 'with --read-only: these tags alone; repeatable', several)
  examples(create, "brine token create --user ci --label pipeline --expire 90d\nbrine token create --read-only --tag 'ci/*' --label board")
  does(create, context, async (options: never) => (await import('./token.js')).create(terminal, options))

  const list = formatted(remote(token.command('list'))).description('tokens that are alive, without themselves')
  examples(list, 'brine token list')
  does(list, context, async (options: never) => (await import('./token.js')).list(terminal, options))

  const revoke = remote(token.command('revoke <id>')).description('end a token, and the streams that were opened with it')
  examples(revoke, 'brine token revoke 3f1c…')
  does(revoke, context, async (id: never, options: never) => (await import('./token.js')).revoke(terminal, id, options))
}

// ── reactor and configuration ────────────────────────────────────────────────────────────────────────────────────────────────────────

function addReactor(program: Command, context: Context): void {
  const { terminal } = context
  const reactor = program.command('reactor').description('rules that react to events')
  const list = formatted(remote(reactor.command('list')))
    .description('the rules, in the order in which they apply')
    .option('--tagged <word>', 'those that have this word among their tags')
    .option('--owner <name>', 'those of this owner')
  examples(list, 'brine reactor list\nbrine reactor list --owner team-web')
  does(list, context, async (options: never) => (await import('./reactor.js')).list(terminal, options))

  const show = formatted(remote(reactor.command('show <id>')))
    .description('one rule')
    .option('--versions', 'its versions: when, and by whom')
    .option('--diff', 'what the newest version changed')
  examples(show, 'brine reactor show restart-app\nbrine reactor show restart-app --versions')
  does(show, context, async (id: never, options: never) => (await import('./reactor.js')).show(terminal, id, options))

  const validate = reactor
    .command('validate <path...>')
    .description('check files of rules, SLS files, or directories of them, without a server; mistakes as file:line:column: message')
  examples(validate, 'brine reactor validate reactor/\nbrine reactor validate rules.yaml deploy.sls /etc/salt/master.d/reactor.conf')
  does(validate, context, async (paths: never) => (await import('./reactor-files.js')).validate(terminal, paths))

  const pruning = (command: Command) =>
    remote(command)
      .option('--prune', 'also remove rules that the files do not have; those of the configuration stay')
      .option('--owner <name>', 'with --prune: only rules of this owner')
  const diff = pruning(reactor.command('diff <path...>')).description(
    'what apply would change on a server, as patches; exit code 1 when anything would'
  )
  examples(diff, 'brine reactor diff reactor/\nbrine reactor diff reactor/ --prune')
  does(diff, context, async (paths: never, options: never) => (await import('./reactor-files.js')).diff(terminal, paths, options))

  const apply = pruning(reactor.command('apply <path...>'))
    .description("make a server's rules, and the SLS files that they name relatively, what the files say; again: nothing to do")
    .option('--dry-run', 'only say what would be done')
  examples(apply, 'brine reactor apply reactor/ --dry-run\nbrine reactor apply reactor/ --prune --owner team-web')
  does(apply, context, async (paths: never, options: never) => (await import('./reactor-files.js')).apply(terminal, paths, options))

  const test = formatted(remote(reactor.command('test [tag] [name=value...]')))
    .description(
      'what would be done about an event, or several, by the rules of the configuration, or of a server (--url, --data, --event), and what each ' +
        'option of the rules says; nothing is executed'
    )
    .option('-c, --config <file>', 'configuration file or directory; repeatable (BRINE_CONFIG); ./brine.yaml by default', several)
    .option('--json <object>', "the event's data as JSON")
    .option('--event <id>', "an event of the server's log instead of a tag and data")
    .option(
      '--events <file>',
      'several events instead, one after the other: JSON, a list or one in each line; - reads stdin. Times are those of _stamp'
    )
    .option('--sls <file>', 'try this SLS file on the event, whatever the rules say; repeatable', several)
  examples(
    test,
    'brine reactor test salt/netapi/hook/ci/build --json \'{"post": {"status": "ok"}}\'\nbrine reactor test -c /etc/salt myco/deploy app=shop\nbrine reactor test --event 1a2b3c4d-42 --sls new.sls\nbrine reactor test -c brine.yaml --events burst.json'
  )
  does(test, context, async (tag: never, texts: never, options: never) =>
    (await import('./reactor-test.js')).test(terminal, tag, texts, options)
  )

  const filtered = (command: Command) =>
    formatted(remote(command))
      .option('--rule <id>', 'those of this rule')
      .option('--event <id>', 'those because of this event')
      .option('--since <start>', 'from this time on (UTC, or 15m ago)')
      .option('--until <end>', 'up to this time')
  for (const act of ['pause', 'resume'] as const) {
    const command = formatted(remote(reactor.command(`${act} [rule]`))).description(
      act === 'pause' ? 'hold what a rule, or the whole reactor, would do; it is planned and kept' : 'do what was held, in order, and go on'
    )
    examples(command, `brine reactor ${act}\nbrine reactor ${act} restart-app`)
    does(command, context, async (rule: never, options: never) =>
      (await import('./reactor-control.js')).setPaused(terminal, act, rule, options)
    )
  }

  const status = formatted(remote(reactor.command('status'))).description(
    'what waits, which rules are paused or broken; exit code 1 while the reactor is paused'
  )
  examples(status, 'brine reactor status')
  does(status, context, async (options: never) => (await import('./reactor-control.js')).status(terminal, options))

  const state = formatted(remote(reactor.command('state <rule>'))).description(
    "a rule's pause, breaker and rate, what waits, and its open windows"
  )
  examples(state, 'brine reactor state restart-app')
  does(state, context, async (rule: never, options: never) => (await import('./reactor-control.js')).state(terminal, rule, options))

  const breaker = formatted(remote(reactor.command('breaker <rule>')))
    .description('open or close the circuit breaker of a rule by hand')
    .addArgument(new Argument('<state>', 'what it shall be').choices(['open', 'closed']))
  examples(breaker, 'brine reactor breaker restart-app closed')
  does(breaker, context, async (rule: never, state: never, options: never) =>
    (await import('./reactor-control.js')).setBreaker(terminal, rule, state, options)
  )

  const reactions = filtered(reactor.command('reactions'))
    .description('what was done because of events, newest first')
    .addOption(
      new Option('--state <state>', 'in this state').choices(['planned', 'dispatched', 'succeeded', 'failed', 'dead', 'held', 'blocked'])
    )
    .option('--jid <jid>', 'the one with this job')
    .option('--limit <n>', 'so many at most; 100 by default', number)
  examples(reactions, 'brine reactor reactions --state dead\nbrine reactor reactions --rule restart-app --since 1h --out json')
  does(reactions, context, async (options: never) => (await import('./trace.js')).reactions(terminal, options))

  const retry = filtered(reactor.command('retry [id]'))
    .description('try a dead letter again: a reaction by its id, or all that match; --plan: an SLS that could not be rendered')
    .option('--plan', 'the id is one of a plan')
    .addOption(
      new Option('--state <state>', 'failed: reactions that ran and failed; blocked: what a guard stopped').choices([
        'dead',
        'failed',
        'blocked'
      ])
    )
  examples(retry, 'brine reactor retry 17\nbrine reactor retry --plan 12\nbrine reactor retry --rule restart-app --since 2h')
  does(retry, context, async (id: never, options: never) => (await import('./trace.js')).retry(terminal, id, options))

  const backtest = formatted(remote(reactor.command('backtest')))
    .description('what rules would have done about the events of the past, compared with what was done; nothing is executed')
    .option('--tag <glob>', 'with --sls: events with such tags')
    .option('--sls <file>', 'try this SLS file (as it is here); repeatable', several)
    .option('-c, --config <file>', 'try the rules of this configuration in the place of those in use; repeatable', several)
    .option('--rule <id>', 'only this rule of the server')
    .option('--since <start>', 'begin there: earliest (default), an event id, a UTC time, or 15m (ago)')
    .option('--until <end>', 'end there: an event id or a UTC time; now by default')
    .option('--samples <n>', 'so many examples of each kind; 5 by default', number)
    .option('--quiet', 'no progress on stderr')
  examples(
    backtest,
    "brine reactor backtest --since 7d\nbrine reactor backtest --tag 'salt/beacon/*/load/*' --sls new.sls --since 30d\nbrine reactor backtest -c candidate.yaml --since 24h --out json"
  )
  does(backtest, context, async (options: never) => (await import('./backtest.js')).backtest(terminal, options))
}

function addConfig(program: Command, context: Context): void {
  const { terminal } = context
  const config = program.command('config').description('the configuration')
  const files = (command: Command) =>
    command.option('-c, --config <file>', 'file or directory; repeatable (BRINE_CONFIG); ./brine.yaml by default', several)

  const check = files(config.command('check [file...]')).description('look for mistakes; all are told at once')
  examples(check, 'brine config check\nbrine config check /etc/salt/master')
  does(check, context, async (names: never, options: never) => (await import('./config.js')).check(terminal, names, options))

  const show = formatted(files(config.command('show [setting...]'))).description(
    'settings in effect, and where they come from; secrets masked'
  )
  examples(show, 'brine config show\nbrine config show port external_auth --out json')
  does(show, context, async (names: never, options: never) => (await import('./config.js')).show(terminal, names, options))

  const sample = config.command('sample').description('a commented file with every setting and its default')
  examples(sample, 'brine config sample > brine.yaml')
  does(sample, context, async () => (await import('./config.js')).sample(terminal))
}

function number(text: string): string {
  if (!/^\d+(\.\d+)?$/.test(text)) throw new InvalidArgumentError('It must be a number.')
  return text
}

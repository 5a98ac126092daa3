/** Where in the YAML of an SLS a template prints: in which call, under which keys; and whether a shell reads what stands there. */
import type { Place } from './template/nodes.js'

/** Functions whose arguments a shell reads. */
const COMMAND =
  /^(?:cmd\.(?!which|has_exec)\w+|ssh\.cmd|powershell\.\w+|at\.at|cron\.(?:set_job|present)|docker\.(?:run|exec)|lxc\.cmd_run\w*|cmdmod\.\w+)$/
/** Functions that run another one, whose name is among their arguments. */
const RUNS_OTHERS =
  /^(?:state\.(?:single|low)|salt\.(?:cmd|execute)|saltutil\.(?:cmd|runner)|schedule\.(?:add|modify)|module\.run|mine\.send|survey\.\w+)$/
const NAMED_COMMAND = /\bcmd\.(?!which|has_exec)[a-z]\w*/
/** Keys of a reaction that are no arguments. */
const NO_ARGUMENT = /^(?:tgt|tgt_type|ret|timeout|metadata|order|name|queue|batch)$/
/** Arguments of commands that no shell reads. */
const NOT_READ = /^(?:cwd|runas|user|group|stdin|umask|timeout|saltenv|env|environ|success_retcodes|output_loglevel|jid|tgt|tgt_type)$/
/** Keys under which states and pillars have command lines. */
const COMMAND_KEY = /^(?:cmd|cmds|command|commands|command_line|cmdline|shell_command)$/
const REACTION = /^(?:local|cmd|caller|runner|wheel)\.([\w.]+)$/
/** A key at the beginning of a line, maybe of list items. */
const KEY = /^(\s*(?:- +)*)(["']?)([\w./-]+)\2\s*:(?=\s|$)/
/** What matters within brackets: these, commas, keys; quoted texts are passed over. */
const FLOW = /'[^']*'(?!\s*:)|"[^"]*"(?!\s*:)|[{}[\],]|(["']?)([\w./-]+)\1\s*:(?=\s)/g

/** Characters of a line after which its keys are known: it is looked at again for each print in it. */
const MAX_LINE = 1000

interface Warning extends Place {
  readonly message: string
}

interface Open {
  readonly indent: number
  readonly key: string
}

export class SlsPlace {
  readonly #warn: (warning: Warning) => void
  readonly #open: Open[] = []
  #line = ''
  /** Of the call of a function that runs others: warnings that count once a command is named, before or behind them. */
  #held: Warning[] = []
  #named = false

  constructor(warn: (warning: Warning) => void) {
    this.#warn = warn
  }

  text(text: string): void {
    const lines = text.split('\n')
    lines.forEach((line, i) => {
      if (this.#line.length < MAX_LINE) this.#line += line
      if (i === lines.length - 1) return
      this.#close()
      this.#line = ''
    })
  }

  /** Something is printed here; `tainted`: event data as it is. */
  print(place: Place, tainted: boolean): void {
    if (tainted && !/^\s*#/.test(this.#line)) this.#look(place)
    if (this.#line.length < MAX_LINE) this.#line += '\0'
  }

  end(): void {
    this.#close()
    this.#line = ''
    this.#endCall()
  }

  #look({ line, column }: Place): void {
    const keys = this.#keys()
    const at = keys.findLastIndex(key => REACTION.test(key))
    if (at < 0) return
    const fun = REACTION.exec(keys[at]!)![1]!
    const path = keys.slice(at + 1)
    if (path.length > 0 && NO_ARGUMENT.test(path[0]!)) return
    const told = (what: string) => ({
      line,
      column,
      message: `event data becomes part of the command of '${what}'; put it through the filter quote`
    })
    const isRead = !path.some(key => NOT_READ.test(key))
    if (COMMAND.test(fun)) {
      if (isRead) this.#warn(told(fun))
    } else if (RUNS_OTHERS.test(fun)) {
      if (isRead) this.#held.push(told(fun))
    } else if (path.some(key => COMMAND_KEY.test(key))) this.#warn(told(`${fun}, ${path.findLast(key => COMMAND_KEY.test(key))}`))
  }

  /** The keys around what comes next, outermost first. */
  #keys(): string[] {
    const indent = indentOf(this.#line)
    const around = this.#open.filter(open => open.indent < indent).map(({ key }) => key)
    const own = KEY.exec(this.#line)?.[3]
    return [...around, ...(own === undefined ? [] : [own]), ...flowKeys(this.#line)]
  }

  #close(): void {
    const line = this.#line
    if (/^\s*(?:#|$)/.test(line)) return
    const indent = indentOf(line)
    while ((this.#open.at(-1)?.indent ?? -1) >= indent) if (REACTION.test(this.#open.pop()!.key)) this.#endCall()
    const key = KEY.exec(line)?.[3]
    if (key !== undefined) this.#open.push({ indent, key })
    if (NAMED_COMMAND.test(key !== undefined && REACTION.test(key) ? line.slice(line.indexOf(':')) : line)) this.#named = true
  }

  #endCall(): void {
    if (this.#named) for (const warning of this.#held) this.#warn(warning)
    this.#held = []
    this.#named = false
  }
}

function indentOf(line: string): number {
  return /^\s*(?:- +)*/.exec(line)![0].length
}

/** The keys of brackets that are still open at the end of a line. */
function flowKeys(line: string): string[] {
  const open: (string | null)[] = []
  for (const [token, , key] of line.matchAll(FLOW)) {
    if (token === '{' || token === '[') open.push(null)
    else if (token === '}' || token === ']') open.pop()
    else if (open.length > 0 && (token === ',' || key !== undefined)) open[open.length - 1] = key ?? null
  }
  return open.filter(key => key !== null)
}

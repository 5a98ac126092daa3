/**
 * A page of the documentation, done as it is written: files that it names are written, commands are run in one shell with real processes, and what
 * it shows of their output is compared. What a page may say:
 *
 * - A block below a paragraph that begins with a file's name and ends in a colon (`` `brine.yaml`: ``), or whose first line is the comment
 *   `# /path/of/file`, is that file.
 * - In a `console` block `$ ` begins a command (`> ` goes on with it) and what follows is its output; below `$ cat > FILE` it is what is typed.
 *   A command without output may print anything. In an `sh` block every command may.
 * - `…` stands for anything, alone on a line for any lines. Ids of events, jobs, rules and tokens, and times, are compared by their shape: what a
 *   page's id stands for is learnt where output shows it first, and then put into the commands.
 * - A command must succeed; `exit code N` in its comment says otherwise.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import type { Test } from 'tap'
import { packageRoot } from '../../src/shared/paths.js'
import { CLI } from './server.js'

/** One thing that a page asks for. */
export type Step = { readonly line: number } & (
  | { readonly do: 'write'; readonly file: string; readonly text: string }
  /** `output` null: anything. `typed`: standard input. */
  | { readonly do: 'run'; readonly command: string; readonly output: readonly string[] | null; readonly typed: string }
)

export interface Section {
  readonly title: string
  readonly steps: readonly Step[]
}

/** What a page asks for, by its headings; sections that ask for nothing are left out. */
export function readPage(text: string): Section[] {
  const sections: { title: string; steps: Step[] }[] = [{ title: 'beginning', steps: [] }]
  const lines = text.split('\n')
  let paragraph = ''
  let ended = false
  for (let i = 0; i < lines.length; i++) {
    const heading = /^#+ (.*)/.exec(lines[i]!)
    const fence = /^```(\w*)$/.exec(lines[i]!)
    if (fence !== null) {
      const end = lines.indexOf('```', i + 1)
      sections.at(-1)!.steps.push(...stepsOf(fence[1]!, lines.slice(i + 1, end), paragraph, i + 2))
      i = end
      paragraph = ''
    } else if (heading !== null) sections.push({ title: heading[1]!, steps: [] })
    else if (lines[i] === '') ended = true
    else {
      paragraph = `${ended ? '' : paragraph}${lines[i]}\n`
      ended = false
    }
  }
  return sections.filter(({ steps }) => steps.length > 0)
}

function stepsOf(language: string, block: readonly string[], paragraph: string, line: number): Step[] {
  if (language === 'console') return consoleSteps(block, line)
  if (language === 'sh') return shellSteps(block, line)
  const file = /^`([^`\s]+)`.*:\n$/s.exec(paragraph)?.[1] ?? /^(?:#|\/\/) (\/[^\s:]+)/.exec(block[0] ?? '')?.[1]
  return file === undefined ? [] : [{ do: 'write', line, file, text: `${block.join('\n')}\n` }]
}

function consoleSteps(block: readonly string[], line: number): Step[] {
  const steps: Step[] = []
  for (let i = 0; i < block.length; ) {
    const at = line + i
    let command = block[i++]!.replace(/^\$ /, '')
    for (; block[i]?.startsWith('> ') || command.endsWith('\\'); i++) command += `\n${block[i]!.replace(/^> /, '')}`
    const from = i
    while (i < block.length && !block[i]!.startsWith('$ ')) i++
    const output = block.slice(from, i)
    if (/^cat > \S+$/.test(command)) steps.push({ do: 'run', line: at, command, output: null, typed: `${output.join('\n')}\n` })
    else steps.push({ do: 'run', line: at, command, output: output.length === 0 ? null : output, typed: '' })
  }
  return steps
}

function shellSteps(block: readonly string[], line: number): Step[] {
  const steps: Step[] = []
  for (let i = 0; i < block.length; i++) {
    if (/^\s*(?:#|$)/.test(block[i]!)) continue
    const at = line + i
    let command = block[i]!
    while (command.endsWith('\\')) command += `\n${block[++i]}`
    steps.push({ do: 'run', line: at, command, output: null, typed: '' })
  }
  return steps
}

export interface WalkOptions {
  /** Ports of the page; each stands for a free one. */
  readonly ports: readonly number[]
  /** Directories of the page; each stands for one below a temporary directory. The first is where the walk begins. */
  readonly dirs: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Texts for which another stands here. */
  readonly instead?: Readonly<Record<string, string>>
}

/** Why pages cannot be done on this machine; false when they can. */
export function whyNoWalk(): string | false {
  const tried = spawnSync('bash', ['-c', 'curl --fail-with-body --version'])
  return tried.status === 0 ? false : 'the commands of a page need bash, and curl 7.76 or later'
}

/** Does a page, each section as a test of its own; the first mistake ends the walk. */
export async function walk(t: Test, page: string, options: WalkOptions): Promise<void> {
  t.setTimeout(PAGE_MS)
  const shell = await Shell.open(t, options)
  for (const { title, steps } of readPage(readFileSync(join(packageRoot(), page), 'utf8'))) {
    const right = await t
      .test(`${page}: ${title}`, async t => {
        t.setTimeout(PAGE_MS)
        for (const step of steps) {
          const fault = await shell.take(step)
          if (fault !== null) {
            t.comment(fault)
            return t.fail(`${page}:${step.line}`)
          }
          t.pass(`line ${step.line}`)
        }
      })
      .then(() => t.passing())
    if (!right) return
  }
}

/** A page takes some ten seconds; this is for machines that do much else. */
export const PAGE_MS = 240_000
/** A command that prints too late what it should is not waited for longer: a busy machine needs seconds. */
const PATIENCE_MS = 30_000
/** What only looks, and so may be asked again until what it should show has come about. */
const LOOKS =
  /^(?:brine (?:reactor (?:reactions|list|show|state|status)|event trace|key (?:token )?list|job (?:active|list)|run \S*(?:\.get|\.status|\.ping|\.present)\b)|curl (?!.*(?:-d|-X|--data)))/

class Shell {
  readonly #bash: ChildProcess
  readonly #dir: string
  /** What stands here for what the page says. */
  readonly #here: readonly (readonly [page: string, here: string])[]
  /** Ids of the page → ids here. */
  #ids = new Map<string, string>()
  #text = ''
  #heard: () => void = () => {}
  #commands = 0

  static async open(t: Test, { ports, dirs, env = {}, instead = {} }: WalkOptions): Promise<Shell> {
    const dir = realpathSync(mkdtempSync(join(tmpdir(), 'brine-walk-')))
    const here: [string, string][] = Object.entries(instead)
    for (const [i, name] of dirs.entries()) {
      here.push([name, join(dir, `d${i}`)])
      mkdirSync(join(dir, `d${i}`))
    }
    for (const port of ports) here.push([String(port), String(await freePort())])
    mkdirSync(join(dir, 'bin'))
    writeFileSync(join(dir, 'bin/brine'), `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`, { mode: 0o755 })
    return new Shell(t, dir, here, env)
  }

  constructor(t: Test, dir: string, here: readonly (readonly [string, string])[], env: Readonly<Record<string, string>>) {
    this.#dir = join(dir, 'd0')
    this.#here = here
    const path = [join(dir, 'bin'), process.env.PATH].join(delimiter)
    const { HOME, LANG } = process.env
    this.#bash = spawn('bash', ['--noprofile', '--norc'], {
      cwd: this.#dir,
      env: { HOME, LANG, PATH: path, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
      // a group of its own, so that what it has left running ends with it
      detached: true
    })
    for (const stream of [this.#bash.stdout!, this.#bash.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#text += text
        this.#heard()
      })
    }
    // a refusal of the server is a mistake of the page, unless it says so
    this.#bash.stdin!.write('curl() { command curl -s --fail-with-body "$@"; }\n')
    t.teardown(async () => {
      const ended = once(this.#bash, 'close')
      try {
        process.kill(-this.#bash.pid!, 'SIGTERM')
      } catch {
        return
      }
      const hard = setTimeout(() => process.kill(-this.#bash.pid!, 'SIGKILL'), 5000)
      await ended
      clearTimeout(hard)
      rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
    })
  }

  /** Does a step; what is wrong, or null. */
  async take(step: Step): Promise<string | null> {
    if (step.do === 'write') {
      const file = resolve(this.#dir, this.#toHere(step.file))
      if (!file.startsWith(dirname(this.#dir))) return `${step.file} lies outside of the directories of this walk`
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, this.#toHere(step.text))
      return null
    }
    const deadline = Date.now() + PATIENCE_MS
    for (;;) {
      const fault = await this.#try(step)
      if (fault === null || !LOOKS.test(step.command) || Date.now() > deadline) return fault
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }

  async #try({ command, output, typed }: Step & { do: 'run' }): Promise<string | null> {
    const { printed, code } = await this.#run(this.#toHere(command), this.#toHere(typed))
    const shown = this.#toPage(printed)
    const wanted = Number(/# .*exit code (\d+)/.exec(command)?.[1] ?? 0)
    if (code !== wanted) return `exit code ${code} of\n$ ${command}\n${shown}`
    if (output === null) return null
    const ids = matchOutput(output.join('\n'), shown.replace(/[ \t]+$/gm, '').trimEnd(), this.#ids)
    if (ids === null) return `\n$ ${command}\n--- the page\n${output.join('\n')}\n--- here\n${shown}`
    this.#ids = ids
    return null
  }

  /** Runs a command in the shell. One that stays in the background is waited for until it says that it is there. */
  async #run(command: string, typed: string): Promise<{ printed: string; code: number }> {
    const end = `end-of-command-${++this.#commands}`
    const input = join(dirname(this.#dir), `typed${this.#commands}`)
    writeFileSync(input, typed)
    const background = /(?<!&)&\s*(?:#.*)?$/.test(command)
    const log = join(dirname(this.#dir), `log${this.#commands}`)
    this.#text = ''
    this.#bash.stdin!.write(`{ ${command}\n} < ${input}${background ? ` > ${log} 2>&1` : ''}\nprintf '\\n%s %s\\n' ${end} $?\n`)
    const found = await this.#until(() => new RegExp(`^${end} (\\d+)$`, 'm').exec(this.#text))
    if (found === null) return { printed: `${this.#text}\n(it does not end)`, code: -1 }
    const printed = this.#text.slice(0, found.index).replace(/\n$/, '')
    if (!background) return { printed, code: Number(found[1]) }
    const waited = await this.#until(() => (IS_THERE.test(readFileSync(log, 'utf8')) ? true : null))
    return { printed: readFileSync(log, 'utf8'), code: waited === null ? -1 : 0 }
  }

  async #until<T>(look: () => T | null): Promise<T | null> {
    const deadline = Date.now() + PATIENCE_MS
    for (;;) {
      const found = look()
      if (found !== null || Date.now() > deadline) return found
      await new Promise<void>(resolve => {
        this.#heard = resolve
        setTimeout(resolve, 50)
      })
    }
  }

  #toHere(text: string): string {
    let here = text
    for (const [page, own] of [...this.#here, ...this.#ids]) here = here.replaceAll(page, own)
    return here
  }

  #toPage(text: string): string {
    let page = text
    for (const [said, own] of this.#here) page = page.replaceAll(own, said)
    return page
  }
}

/** What a server, and an agent, say once they are there. */
const IS_THERE = /http:\/\/\S+ · log:|the minion is connected|waits to be accepted|connected/

/** Shapes of what is another each time, those that contain others first. */
const SHAPES: readonly (readonly [kind: 'id' | 'time', shape: string])[] = [
  ['time', String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z?`],
  ['id', String.raw`\b20\d{18}\b`],
  ['id', String.raw`\b[0-9a-f]{8}-\d+\b`],
  ['id', String.raw`\bconfig-[0-9a-f]{10}\b`],
  ['id', String.raw`\b[0-9a-f]{12}\b`],
  ['time', String.raw`\+\d+\.\d{3}s`]
]

/** Compares what a page shows with what came; the ids that are known then, or null when it is something else. */
export function matchOutput(shown: string, came: string, known: ReadonlyMap<string, string>): Map<string, string> | null {
  const ids = new Map(known)
  const learnt: string[] = []
  const pattern = shown
    .split('\n')
    .map((line, i, all) =>
      line.trim() === '…' ? '(?:.*(?:\\n|$))*?' : `${linePattern(line, ids, learnt)}${i === all.length - 1 ? '' : '\\n'}`
    )
    .join('')
  const match = new RegExp(`^${pattern}$`).exec(came)
  if (match === null) return null
  learnt.forEach((id, i) => {
    ids.set(id, match[i + 1]!)
  })
  return ids
}

function linePattern(line: string, ids: ReadonlyMap<string, string>, learnt: string[]): string {
  const parts = new RegExp(`(${SHAPES.map(([, shape]) => shape).join('|')}|…|(?<=\\S)[ ]{2,})`)
  return line
    .split(parts)
    .map((part, i) => {
      if (i % 2 === 0) return escaped(part)
      if (part === '…') return '.*'
      if (part.startsWith(' ')) return ' {2,}'
      const [kind, shape] = SHAPES.find(([, shape]) => new RegExp(`^${shape}$`).test(part))!
      if (kind === 'time') return shape
      const own = ids.get(part)
      if (own !== undefined) return escaped(own)
      const at = learnt.indexOf(part)
      if (at >= 0) return `\\${at + 1}(?!\\d)`
      learnt.push(part)
      return `(${shape})`
    })
    .join('')
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

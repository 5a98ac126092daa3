import { dumpYaml } from '../shared/yaml.js'
import { environmentName, SETTINGS } from './schema.js'
import type { Setting } from './setting.js'

const WIDTH = 110

const HEADER = `# Every setting of brine with its default. This file is made from the table in src/config/schema.ts: brine config sample
#
# Where to put settings: ./brine.yaml, or any file or directory named with -c (a directory: its *.conf and *.yaml in lexical order; an
# /etc/salt with a master file loads as it is). Later files win; BRINE_* in the environment wins over files, flags win over both.
# Names are Salt's where Salt has the setting. Unknown names are errors; relative paths count from the file they stand in.
# brine config check looks for mistakes, brine config show prints what is in effect.
`

/** The sample file: the whole table as a commented YAML file. `examples/brine.yaml` is its text. */
export function sampleFile(): string {
  let group = ''
  const parts = [HEADER]
  for (const [name, row] of SETTINGS) {
    if (row.group !== group) parts.push(`# ── ${row.group} ${'─'.repeat(WIDTH - row.group.length - 6)}\n`)
    group = row.group
    parts.push(entry(name, row))
  }
  return parts.join('\n')
}

function entry(name: string, row: Setting<unknown>): string {
  const unit = row.unit === undefined ? '' : ` (${row.unit})`
  const flag = row.flag === undefined ? '' : `, ${row.flag}`
  const lines = [...wrap(row.meaning), ...wrap(`${row.type}${unit} · ${environmentName(name)}${flag}`)]
  const example = row.example === undefined ? [] : row.example.trim().split('\n')
  const value = dumpYaml({ [name]: row.default })
    .trimEnd()
    .split('\n')
  return [...lines.map(line => `# ${line}`), ...example.map(line => `# │ ${line}`), ...value.map(line => `#${line}`), ''].join('\n')
}

function wrap(text: string): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > WIDTH - 2) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import t from 'tap'
import { packageRoot } from '../src/shared/paths.js'

const SRC = join(packageRoot(), 'src')
const tour = readFileSync(join(SRC, 'README.md'), 'utf8')
const named = new Set([...tour.matchAll(/`([\w./-]+(?:\.ts|\/))`/g)].map(([, name]) => name!))

t.test('every file and folder that the tour of the code names exists', async t => {
  const all = readdirSync(SRC, { recursive: true, withFileTypes: true }).map(entry => entry.name + (entry.isDirectory() ? '/' : ''))
  const names = new Set(all)
  t.ok(named.size > 30, `${named.size} names`)
  for (const name of named) {
    const exists = existsSync(join(packageRoot(), name)) || existsSync(join(SRC, name))
    // A name alone is one of the folder that the sentence is about.
    t.ok(exists || (/^[^/]+\/?$/.test(name) && names.has(name)), name)
  }
})

t.test('the tour of the code names every folder, down to the second level', async t => {
  const below = (dir: string) => readdirSync(join(SRC, dir), { withFileTypes: true }).filter(entry => entry.isDirectory())
  const first = below('').map(({ name }) => name)
  const second = first.flatMap(parent => below(parent).map(({ name }) => `${parent}/${name}`))
  const isNamed = (path: string) => [...named].some(name => name.startsWith(`${path}/`)) || named.has(`${basename(path)}/`)
  for (const path of [...first, ...second]) t.ok(isNamed(path), `src/${path}`)
})

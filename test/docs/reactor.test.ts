import t from 'tap'
import { PAGE_MS, walk, whyNoWalk } from '../helpers/walk.js'

t.setTimeout(PAGE_MS)
t.test('docs/reactor.md is a session that can be repeated', { skip: whyNoWalk() }, t =>
  walk(t, 'docs/reactor.md', { ports: [8123], dirs: ['/tmp/try'] })
)

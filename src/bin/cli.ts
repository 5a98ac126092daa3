#!/usr/bin/env node
import './spare.js'

// Only now: loading the program is much of what an agent does.
await import('./command.js')

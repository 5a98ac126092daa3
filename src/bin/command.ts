import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { main } from '../cli/index.js'
import { processTerminal } from '../cli/terminal.js'
import { packageRoot } from '../shared/paths.js'

// `brine event watch | head`: whoever reads has enough; that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

const { version } = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as { version: string }
process.exitCode = await main(process.argv.slice(2), processTerminal(), version)
// Kept-alive connections would hold the process for seconds; what was printed must be out before it ends.
process.stdout.write('', () => process.stderr.write('', () => process.exit()))

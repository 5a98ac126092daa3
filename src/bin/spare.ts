/**
 * To be imported before everything else. An agent waits, and shares its machine with what the machine is for: new objects get no more room than
 * V8 begins with, and no code is compiled for speed (the compiler alone is 4 MB). Together a tenth of its memory. Jobs run in processes of their
 * own, where neither counts.
 */
import { setFlagsFromString } from 'node:v8'

if (process.argv[2] === 'minion') {
  setFlagsFromString('--semi-space-growth-factor=1')
  setFlagsFromString('--no-opt')
}

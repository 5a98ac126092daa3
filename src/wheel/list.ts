/**
 * The wheel functions, written out. Apart from `index.ts`, because doc.wheel, a runner function, shows this list.
 */
import { errorFunctions } from '../runners/error.js'
import { type ServerFunction, serverFunction } from '../runners/function.js'
import { configWheel } from './config.js'
import { keyWheel } from './key.js'
import { rootsWheel } from './roots.js'

const minions = [
  serverFunction({ name: 'minions.connected', doc: 'List the minions that are connected now.', run: ({ link }) => link.connected() })
]

export const wheelFunctions: readonly ServerFunction[] = [
  ...configWheel,
  ...errorFunctions,
  ...rootsWheel('file_roots'),
  ...keyWheel,
  ...minions,
  ...rootsWheel('pillar_roots')
]

/**
 * The wheel functions, written out. Apart from `index.ts`, because doc.wheel, a runner function, shows this list.
 */
import { errorFunctions } from '../runners/error.js'
import { type ServerFunction, serverFunction } from '../runners/function.js'
import { keyWheel } from './key.js'

const minions = [
  serverFunction({ name: 'minions.connected', doc: 'List the minions that are connected now.', run: ({ link }) => link.connected() })
]

export const wheelFunctions: readonly ServerFunction[] = [...errorFunctions, ...keyWheel, ...minions]

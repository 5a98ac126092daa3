/**
 * The wheel functions, written out. Apart from `index.ts`, because doc.wheel, a runner function, shows this list.
 */
import { shownConfig } from '../runners/config.js'
import { errorFunctions } from '../runners/error.js'
import { type ServerFunction, serverFunction } from '../runners/function.js'
import { keyWheel } from './key.js'

const minions = [
  serverFunction({ name: 'minions.connected', doc: 'List the minions that are connected now.', run: ({ link }) => link.connected() })
]

const config = [
  serverFunction({
    name: 'config.values',
    doc: 'Show all settings. Secrets are masked.',
    run: context => shownConfig(context.config)
  })
]

export const wheelFunctions: readonly ServerFunction[] = [...config, ...errorFunctions, ...keyWheel, ...minions]

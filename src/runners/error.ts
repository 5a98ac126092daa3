import { param, type ServerFunction, serverFunction } from './function.js'

/** `error.error`, which runners and wheel both have: raises what it is told to. */
export const errorFunctions: readonly ServerFunction[] = [
  serverFunction({
    name: 'error.error',
    doc: 'Fail with an error of this name and message; without a name return {}. For trying out how errors show.',
    params: { name: param.textOr(null), message: param.textOr('') },
    run(_context, { name, message }) {
      if (name === null) return {}
      throw new Error(message === '' ? name : `${name}: ${message}`)
    }
  })
]

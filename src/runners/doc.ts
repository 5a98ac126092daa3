import { askMinions } from './ask.js'
import { param, type ServerFunction, serverFunction } from './function.js'

function texts(functions: readonly ServerFunction[]): Record<string, string> {
  const sorted = [...functions].sort((a, b) => (a.name < b.name ? -1 : 1))
  return Object.fromEntries(sorted.map(fn => [fn.name, fn.doc]))
}

/** The runner's functions that print what functions there are. They get the lists late, because they stand in one of them. */
export function docRunners(lists: { runner: () => readonly ServerFunction[]; wheel: () => readonly ServerFunction[] }): ServerFunction[] {
  return [
    serverFunction({ name: 'doc.runner', doc: 'Show the doc texts of the runner functions.', run: () => texts(lists.runner()) }),
    serverFunction({ name: 'doc.wheel', doc: 'Show the doc texts of the wheel functions.', run: () => texts(lists.wheel()) }),
    serverFunction({
      name: 'doc.execution',
      doc: 'Collect the doc texts of the execution functions from the minions.',
      params: { module: param.textOr('') },
      async run(context, { module }) {
        const answers = await askMinions(context, { fun: 'sys.doc', arg: module === '' ? [] : [module] })
        return Object.assign({}, ...[...answers.values()].filter(docs => typeof docs === 'object'))
      }
    })
  ]
}

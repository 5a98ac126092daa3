import { pillarFunctions } from '../pillar/functions.js'

type Mapping = Readonly<Record<string, unknown>>

/**
 * What SLS files see besides `tag` and `data`. Of functions (`salt['…']`) only those that look something up: a template that could run something would
 * run it for every event, and for every trial.
 */
export function surroundings({ grains, opts, pillar = {} }: { grains: Mapping; opts: Mapping; pillar?: Mapping }): Record<string, unknown> {
  const id = String(opts.id ?? grains.id ?? '')
  const about = (of: Mapping) => pillarFunctions({ id, grains: of, pillar, nodegroups: {} })
  const everything = { ...pillar, ...grains, ...opts }
  const salt = { ...about(grains), 'config.get': about(everything)['grains.get'], 'test.echo': (args: unknown[]) => args[0] ?? null }
  return { salt, grains, opts, pillar, saltenv: 'base', sls: '' }
}

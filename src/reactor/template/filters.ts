/** All filters by name. Where Jinja and Salt have one of the same name, Salt's counts, as in Salt. */
import type { Filter } from './env.js'
import { TemplateError } from './errors.js'
import { dataFilters } from './filters-data.js'
import { listFilters } from './filters-lists.js'
import { netFilters } from './filters-net.js'
import { saltFilters } from './filters-salt.js'
import { textFilters } from './filters-text.js'

export const filters: ReadonlyMap<string, Filter> = new Map([...textFilters, ...listFilters, ...dataFilters, ...netFilters, ...saltFilters])

/** Filters that get what does not exist as it is. */
export const UNDEFINED_FILTERS: ReadonlySet<string> = new Set([
  'default',
  'd',
  'round',
  'abs',
  'items',
  'json',
  'tojson',
  'pprint',
  'to_bool',
  'is_list',
  'python',
  'sequence',
  'skip',
  'dictsort'
])

/** Salt's filters that look at the type of what they get: what does not exist is of a wrong one, a TypeError. */
export const TYPED_FILTERS: ReadonlySet<string> = new Set([
  'base64_decode',
  'base64_encode',
  'hmac',
  'hmac_compute',
  'md5',
  'path_join',
  'regex_escape',
  'regex_match',
  'regex_replace',
  'regex_search',
  'set_dict_key_value',
  'sha1',
  'sha256',
  'sha512',
  'strftime',
  'date_format',
  'substring_in_list',
  'to_bytes',
  'uuid',
  'yaml',
  'yaml_encode'
])

/** Filters that keep the author's text and the values in it apart; all others get plain text. */
export const RICH_FILTERS: ReadonlySet<string> = new Set(['upper', 'lower', 'trim', 'string', 'replace', 'indent', 'safe', 'load_yaml'])

/** Filters that do something else with text that is marked as safe. */
export const MARKUP_FILTERS: ReadonlySet<string> = new Set([
  'e',
  'escape',
  'urlize',
  'python',
  'sequence',
  'yaml',
  'load_yaml',
  'yaml_encode',
  'method_call'
])

/** Filters that leave such text marked. */
export const MARKED_FILTERS: ReadonlySet<string> = new Set(['upper', 'lower', 'trim', 'capitalize', 'indent', 'center', 'string'])

/** Reports a filter that does not exist. */
export function filterNamed(name: string): Filter {
  const filter = filters.get(name)
  if (filter === undefined) throw new TemplateError('syntax', `No filter named '${name}'.`)
  return filter
}

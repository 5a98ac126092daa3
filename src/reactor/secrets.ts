import { withoutSecrets } from '../shared/log.js'

/** Words that name secrets, as a whole or as a part of a name: `password`, `db_password`, `apiKey`, `X-Auth-Token`. */
const NAME = 'pass(?:wor[dt]|wd|phrase)|secret|token|credential|api[-_]?key|private[-_]?key|priv|sharedsecret'

/** `name: value` and `name=value`, also in JSON and in quotes: the name and its separator, then the value to its end. */
const VALUE = new RegExp(
  `((?:^|[\\s{,"'[(&?])["']?[\\w.-]{0,64}(?:${NAME})[\\w.-]{0,64}["']?[ \\t]*[:=][ \\t]*)("(?:[^"\\\\\\n]|\\\\.)*"|'(?:[^'\\n]|'')*'|[^\\s,}\\]&'"|>][^\\n,}\\]&]*)`,
  'gim'
)
const PEM = /-----BEGIN ([A-Z ]*PRIVATE KEY)-----[\s\S]*?(?:-----END \1-----|$)/g

/** Takes out of a rendered text what is called a secret there: values of keys like `password`, tokens in URLs, private keys. */
export function withoutSecretValues(text: string): string {
  return withoutSecrets(text)
    .replace(PEM, '-----BEGIN $1----- [redacted]')
    .replace(VALUE, (_, name: string) => `${name}[redacted]`)
}

const SECRET_KEY = new RegExp(`^[\\w.-]{0,64}(?:${NAME})[\\w.-]{0,64}$`, 'i')

/** The same for a value: what stands under such a key is not shown, whatever it is. */
export function withoutSecretKeys(value: unknown): unknown {
  if (typeof value === 'string') return withoutSecrets(value).replace(PEM, '-----BEGIN $1----- [redacted]')
  if (Array.isArray(value)) return value.map(withoutSecretKeys)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      SECRET_KEY.test(key) && item !== null && item !== '' ? '[redacted]' : withoutSecretKeys(item)
    ])
  )
}

/** Characters of rendered text that are shown and kept: more than any SLS that a person wrote for a person. */
export const MAX_RENDERED = 16 * 1024

/** Rendered text as it is kept and shown: without what looks like a secret, and not longer than is worth reading. */
export function keptText(text: string): string {
  const shown = text.length > MAX_RENDERED ? `${text.slice(0, MAX_RENDERED)}\n# … ${text.length - MAX_RENDERED} characters more` : text
  return withoutSecretValues(shown)
}

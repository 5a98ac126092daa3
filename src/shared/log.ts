import { type DestinationStream, type Logger, pino } from 'pino'

/** `token=` in URLs, JSON Web Tokens, and what follows `Bearer`. */
const SECRETS = /([?&](?:salt_)?token=)[^&\s"\\]+|\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*|(\bBearer\s+)[^\s"\\]+/gi

/** Takes tokens out of a text that may be logged. */
export function withoutSecrets(text: string): string {
  return text.replace(SECRETS, (_, parameter?: string, bearer?: string) => `${parameter ?? bearer ?? ''}[redacted]`)
}

/** Fields that are never logged with their value, at the places where such fields stand. */
const FIELDS = ['password', 'token', 'secret', 'sharedsecret', 'authorization', 'cookie', '["x-auth-token"]']

/**
 * The program's log, one JSON object per line on stderr (or `destination`). Nobody should log a secret; if somebody does (an error text that
 * quotes a URL), it is taken out of the finished line here.
 */
export function createLog(options: { level: string; destination?: DestinationStream }): Logger {
  return pino(
    {
      level: options.level,
      redact: { paths: FIELDS.flatMap(field => [field, field.startsWith('[') ? `*${field}` : `*.${field}`]), censor: '[redacted]' },
      hooks: { streamWrite: withoutSecrets }
    },
    options.destination ?? pino.destination({ fd: 2, sync: true })
  )
}

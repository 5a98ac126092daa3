import { STATUS_CODES } from 'node:http'
import type { FastifyRequest } from 'fastify'
import type { BrineError } from '../errors.js'
import { negotiate } from './answers.js'

/** Salt's words where brine's own say more than a client of salt-api expects in their place (golden/api section 7). */
const SALT_TEXTS: Partial<Record<BrineError['code'], string>> = {
  MEDIA_TYPE: 'Content type not supported',
  METHOD_NOT_ALLOWED: 'Specified method is invalid for this resource'
}

/** The documents that Salt knows by name: `Invalid JSON document`. */
const DOCUMENTS = ['JSON', 'YAML']

/**
 * Whether a refusal is answered as a page, as salt-api does: to who asks for no type or for HTML before JSON. Whoever names JSON, or takes
 * anything (any type, as curl and fetch do), gets it as JSON; no known client reads the pages (golden/api section 14, 3).
 */
export function wantsPage({ headers }: Pick<FastifyRequest, 'headers'>): boolean {
  const { accept } = headers
  if (accept === undefined || accept.trim() === '') return true
  return negotiate(accept, ['application/json', 'text/html']) !== 'application/json'
}

/** The page of salt-api's web server for a refusal: title and heading say the status, one paragraph the text. */
export function errorPage(error: BrineError, request: Pick<FastifyRequest, 'url' | 'is404'>): string {
  const title = `${error.status} ${STATUS_CODES[error.status] ?? 'Error'}`
  return `<!DOCTYPE html PUBLIC
"-//W3C//DTD XHTML 1.0 Transitional//EN"
"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html>
<head>
    <meta http-equiv="Content-Type" content="text/html; charset=utf-8"></meta>
    <title>${title}</title>
    <style type="text/css">
    #powered_by {
        margin-top: 20px;
        border-top: 2px solid black;
        font-style: italic;
    }

    #traceback {
        color: red;
    }
    </style>
</head>
    <body>
        <h2>${title}</h2>
        <p>${escaped(textOf(error, request))}</p>
        <pre id="traceback"></pre>
    <div id="powered_by">
      <span>
        Powered by brine
      </span>
    </div>
    </body>
</html>
`
}

function textOf(error: BrineError, { url, is404 }: Pick<FastifyRequest, 'url' | 'is404'>): string {
  const [first = ''] = error.values
  if (is404 && error.code === 'NOT_FOUND') return `The path '${decoded(url.split('?', 1)[0]!)}' was not found.`
  if (error.code === 'NOT_FOUND' && SURPLUS.test(first)) return 'Nothing matches the given URI'
  if (error.code === 'BODY_MALFORMED' && DOCUMENTS.includes(first)) return `Invalid ${first} document`
  return SALT_TEXTS[error.code] ?? error.message
}

/** What a known path does not take: salt-api does not say what of the URI it was. */
const SURPLUS = /^(?:query parameter|path segment) /

function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#x27;' }

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, character => ENTITIES[character]!)
}

/** A token as `/login` or `/token` gives it, or a signed one: no id of an event looks like that. */
const TOKEN_IN_PATH = /^\/+events\/+([0-9a-f]{40}|[0-9a-f]{64}|[\w-]+(?:\.[\w-]+){2})\/*(?:\?(.*))?$/s

/**
 * salt-api opens the stream of `/events/<token>` like that of `/events?token=<token>` (golden/api section 5); here a segment behind `/events` is the id
 * of an event, unless it has the form of a token. A token that stands in the query too is one too many: such a URL stays as it is.
 */
export function streamUrl(url: string): string {
  const [, token, query = ''] = TOKEN_IN_PATH.exec(url) ?? []
  if (token === undefined || /(?:^|&)token=/.test(query)) return url
  return `/events?token=${token}${query === '' ? '' : `&${query}`}`
}

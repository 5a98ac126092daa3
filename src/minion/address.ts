import { brineError } from '../errors.js'

const DEFAULT_PORT = 8000

/** `master`: one address, or several separated by commas, the preferred one first. Throws CONFIG_INVALID. */
export function serverUrls(master: string): string[] {
  const urls = master
    .split(/[\s,]+/)
    .filter(Boolean)
    .map(serverUrl)
  if (urls.length === 0) throw brineError('CONFIG_INVALID', 'a mistake', '  master: is empty')
  return urls
}

function serverUrl(address: string): string {
  const whole = /^https?:\/\//.test(address) ? address : `http://${address}${/:\d+$/.test(address) ? '' : `:${DEFAULT_PORT}`}`
  if (!URL.canParse(whole)) throw brineError('CONFIG_INVALID', 'a mistake', `  master: '${address}' is no address`)
  return whole.replace(/\/+$/, '')
}

/** A time of this machine's zone in C's format language (`%Y-%m-%d`). */
export async function localTime(seconds: number, format: string): Promise<string> {
  // Loaded when it is needed: it belongs to the templates.
  const { strftime } = await import('../../reactor/template/strftime.js')
  const offset = new Date(seconds * 1000).getTimezoneOffset() * 60
  return strftime(seconds - offset, format)
}

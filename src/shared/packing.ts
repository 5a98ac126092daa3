/** Whether what is sent to somebody may come packed, and pays for it. */

/** Bytes from which on packing is worth its work: less travels in one packet anyway. */
export const PACK_FROM = 1400

/** `Accept-Encoding: gzip`, and not `gzip;q=0`. */
export function acceptsGzip(header: string | readonly string[] | undefined): boolean {
  return /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?(?:,|$))/i.test(String(header ?? ''))
}

/** What is packed already gets no smaller. */
export function isPacked(path: string): boolean {
  return /\.(gz|tgz|bz2|xz|zst|lz4|lzma|zip|7z|rar|deb|rpm|jar|war|whl|apk|png|jpe?g|gif|webp|mp[34]|mkv|woff2?)$/i.test(path)
}

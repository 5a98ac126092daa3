import { buffer } from 'node:stream/consumers'
import { pack } from 'tar-stream'

/** A tar archive is padded to whole records of twenty blocks of 512 bytes (POSIX ustar); salt-api's answer is one record. */
const RECORD = 10_240

/** Both halves of a minion's key as the files that a minion has them in: an ustar archive, padded to 10240 bytes. */
export async function keyArchive({ priv, pub }: { readonly priv: string; readonly pub: string }): Promise<Buffer> {
  const archive = pack()
  for (const [name, text] of [
    ['minion.pub', pub],
    ['minion.pem', priv]
  ] as const) {
    archive.entry({ name, mode: 0o644, uid: 0, gid: 0, mtime: new Date(0) }, text)
  }
  archive.finalize()
  const bytes = await buffer(archive)
  return Buffer.concat([bytes, Buffer.alloc((RECORD - (bytes.length % RECORD)) % RECORD)])
}

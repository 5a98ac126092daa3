import { readFile } from 'node:fs/promises'

/** The text of a file, or null when it cannot be read: a grain that the system does not tell is left out or empty. */
export async function readText(path: string): Promise<string | null> {
  return readFile(path, 'utf8').catch(() => null)
}

/** `KEY=value` lines, quotes removed (os-release, lsb-release). */
export function parseAssignments(source: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const line of source.split('\n')) {
    const match = /^\s*([A-Za-z_][A-Za-z0-9_]*)=(.*)$/.exec(line)
    if (match) found[match[1]!] = match[2]!.trim().replace(/^(["'])(.*)\1$/, '$2')
  }
  return found
}

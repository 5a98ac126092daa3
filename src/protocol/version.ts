/**
 * Version of the link between server and minion. It grows when one side could misunderstand the other; fields that the other side may ignore are added
 * without a new version.
 */
export const PROTOCOL = 1

/** Versions that this program speaks, as either side. A minion offers one, the server refuses with PROTOCOL_VERSION and names its own. */
const SPOKEN: readonly number[] = [1]

export function speaks(version: number): boolean {
  return SPOKEN.includes(version)
}

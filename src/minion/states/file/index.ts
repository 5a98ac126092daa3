import type { StateModule } from '../state.js'
import { accumulated } from './accumulated.js'
import { absent, existsState, missing, touch } from './basic.js'
import { copy, hardlink, rename } from './copy.js'
import { directory } from './directory.js'
import { blockreplace, comment, keyvalue, line, replace, uncomment } from './edit.js'
import { append, prepend } from './lines.js'
import { managed } from './managed.js'
import { recurse } from './recurse.js'
import { serialize } from './serialize.js'
import { symlink } from './symlink.js'
import { tidied } from './tidied.js'

/** Salt's `file` states. They cannot react to a watched state: `watch` is `require` for them, as in Salt. */
export const file: StateModule = {
  name: 'file',
  functions: [
    ...[absent, accumulated, append, blockreplace, comment, copy, directory, existsState, hardlink, keyvalue, line, managed],
    ...[missing, prepend, recurse, rename, replace, serialize, symlink, tidied, touch, uncomment]
  ]
}

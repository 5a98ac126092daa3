import type { StateModule } from '../state.js'
import { absent, existsState, missing, touch } from './basic.js'
import { directory } from './directory.js'
import { append, prepend } from './lines.js'
import { managed } from './managed.js'
import { symlink } from './symlink.js'

/** Salt's `file` states. They cannot react to a watched state: `watch` is `require` for them, as in Salt. */
export const file: StateModule = {
  name: 'file',
  functions: [absent, append, directory, existsState, managed, missing, prepend, symlink, touch]
}

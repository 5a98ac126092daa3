import t from 'tap'
import { playRecorded } from './recorded.js'

await playRecorded(t, [
  ['info', 18],
  ['login', 37],
  ['logout', 10],
  ['token', 6],
  ['auth', 52],
  ['hook', 29],
  ['events', 22],
  ['ws', 19],
  ['stats', 5],
  ['app', 7],
  ['errors', 39],
  ['cors', 19],
  ['config', 46]
])

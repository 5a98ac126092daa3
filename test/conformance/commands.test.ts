import t from 'tap'
import { playRecorded } from './recorded.js'

await playRecorded(t, [
  ['jobs', 45],
  ['root-lowstate', 78],
  ['clients', 34],
  ['run', 26],
  ['minions', 25],
  ['gui', 101],
  ['keys', 63]
])

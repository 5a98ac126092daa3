import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import answers, { type AnswersOptions } from '../src/plugins/answers.js'
import { requireToken } from '../src/plugins/authenticate.js'
import { answerOptions, notePaths, type PathMethods, refuseOtherMethods, speakSalt } from '../src/plugins/errors.js'
import { requireMinion } from '../src/plugins/minion.js'
import { events, stream } from './events.js'
import { health } from './health.js'
import { hook } from './hook.js'
import { jobs } from './jobs.js'
import { keys, makeKeys } from './keys.js'
import { login } from './login.js'
import { logout } from './logout.js'
import { metrics } from './metrics.js'
import { enroll } from './minion/enroll.js'
import { files as minionFiles } from './minion/files.js'
import { mine as minionMine } from './minion/mine.js'
import { pillar as minionPillar } from './minion/pillar.js'
import { stream as minionStream } from './minion/stream.js'
import { token as minionToken } from './minion/token.js'
import { up as minionUp } from './minion/up.js'
import { minions } from './minions.js'
import { reactions } from './reactions.js'
import { reactor, reactorVersions } from './reactor.js'
import { reactorBacktest } from './reactor-backtest.js'
import { reactorSls } from './reactor-sls.js'
import { reactorTest } from './reactor-test.js'
import { lowstate, welcome } from './root.js'
import { run } from './run.js'
import { token as mint } from './token.js'
import { tokens } from './tokens.js'
import { trace } from './trace.js'

interface Area {
  /** What every request here must pass first. */
  readonly guard: (app: FastifyInstance) => void
  /** JSON or YAML by `Accept`; null: the routes see to it themselves. */
  readonly answers: AnswersOptions | null
  /** The paths are salt-api's, with its pages, headers and restrictions. */
  readonly salt?: true
  readonly routes: readonly FastifyPluginAsync[]
}

const open = () => {}
const token = (app: FastifyInstance) => requireToken(app)
const streamToken = (app: FastifyInstance) => requireToken(app, { query: true, tickets: true, eauthTokens: true })
const clientToken = (app: FastifyInstance) => requireToken(app, { refusal: 'NO_CREDENTIALS' })

/** The map of the server: a route is guarded by where it stands here. */
const AREAS: readonly Area[] = [
  // Event streams alone take tickets, and tokens in the URL.
  { guard: streamToken, answers: null, salt: true, routes: [stream] },
  {
    guard: token,
    answers: { lenient: true },
    routes: [events, trace, reactor, reactorVersions, reactorSls, reactions, reactorTest, reactorBacktest]
  },
  { guard: token, answers: {}, salt: true, routes: [hook, lowstate, jobs, minions, logout] },
  // Not a session's doings in salt-api, so refusals have another text; what other methods get, nobody needs a token for.
  { guard: open, answers: null, salt: true, routes: [makeKeys] },
  { guard: clientToken, answers: {}, salt: true, routes: [keys] },
  { guard: token, answers: {}, routes: [tokens] },
  // Behind a minion's own key.
  { guard: requireMinion, answers: null, routes: [minionStream, minionUp, minionFiles, minionMine, minionPillar] },
  // Open to all: they check credentials themselves, or have nothing to hide.
  { guard: open, answers: {}, salt: true, routes: [welcome, run, login, mint] },
  { guard: open, answers: { lenient: true }, routes: [health] },
  { guard: open, answers: null, routes: [enroll, minionToken] },
  { guard: open, answers: null, routes: [metrics] }
]

/** Registers all routes, and for every path 405 for the methods that it does not have, behind the path's own guard. */
export const routes: FastifyPluginAsync = async app => {
  const known: PathMethods = new Map()
  const allowed: PathMethods = new Map()
  notePaths(app, known)
  const found = AREAS.map(area => ({ area, paths: new Map() as PathMethods }))
  const enter = async (scope: FastifyInstance, area: Area) => {
    if (area.salt) speakSalt(scope, allowed)
    area.guard(scope)
  }
  for (const { area, paths } of found) {
    await app.register(async scope => {
      await enter(scope, area)
      if (area.answers) await scope.register(answers, area.answers)
      notePaths(scope, paths)
      for (const route of area.routes) await scope.register(route)
    })
  }
  for (const [url, methods] of known) allowed.set(url, new Set(methods))
  for (const { area, paths } of found) {
    await app.register(async scope => {
      await enter(scope, area)
      refuseOtherMethods(scope, paths, known)
    })
  }
  await app.register(async scope => answerOptions(scope, allowed))
}

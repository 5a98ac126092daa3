import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { WEBHOOK } from '../src/auth/permissions.js'
import type { Config } from '../src/config/schema.js'
import answers, { type AnswersOptions } from '../src/plugins/answers.js'
import { callAs, refuseOtherAddresses, requireToken } from '../src/plugins/authenticate.js'
import {
  answerOptions,
  notePaths,
  type PathMethods,
  refuseOtherMethods,
  refuseSurplusFirst,
  refuseSurplusSegments,
  speakSalt
} from '../src/plugins/errors.js'
import { requireMinion } from '../src/plugins/minion.js'
import { gui, guiFiles, sendAppToBrowsers } from './app.js'
import { events, refuseTokenInPath, stream } from './events.js'
import { health } from './health.js'
import { hook } from './hook.js'
import { jobs } from './jobs.js'
import { keys, makeKeys } from './keys.js'
import { login } from './login.js'
import { logout, logoutByGet } from './logout.js'
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
import { reactorControl } from './reactor-control.js'
import { reactorSls } from './reactor-sls.js'
import { reactorTest } from './reactor-test.js'
import { lowstate, welcome } from './root.js'
import { run } from './run.js'
import { stats } from './stats.js'
import { token as mint } from './token.js'
import { tokens } from './tokens.js'
import { trace } from './trace.js'
import { endRefusedUpgrades, ws } from './ws.js'

interface Area {
  /** What every request here must pass first. */
  readonly guard: (app: FastifyInstance) => void
  /** JSON or YAML by `Accept`; null: the routes see to it themselves. */
  readonly answers: AnswersOptions | null
  /** The paths are salt-api's, with its pages and headers. */
  readonly salt?: true
  /** Refuses what the guard need not be asked about. */
  readonly before?: (app: FastifyInstance) => void
  /** Files: what is none does not exist, whatever the method. */
  readonly files?: true
  /** For machines that no person sits at: `authorized_ips` does not mean them. */
  readonly anywhere?: true
  /** Not there unless the settings want it. */
  readonly when?: (config: Config) => boolean
  readonly routes: readonly FastifyPluginAsync[]
}

const open = () => {}
const hasSessions = (config: Config) => config['rest_cherrypy.enable_sessions']
const token = (app: FastifyInstance) => requireToken(app)
const streamToken = (app: FastifyInstance) => requireToken(app, { query: true, tickets: true, eauthTokens: true })
const webSocketToken = (app: FastifyInstance) => requireToken(app, { webSocket: true })
const hookToken = (app: FastifyInstance) =>
  app.services.config['rest_cherrypy.webhook_disable_auth'] ? callAs(app, WEBHOOK) : requireToken(app)
const statsToken = (app: FastifyInstance) => (app.services.config['rest_cherrypy.stats_disable_auth'] ? undefined : requireToken(app))
const clientToken = (app: FastifyInstance) => requireToken(app, { refusal: 'NO_CREDENTIALS' })

/** The map of the server: a route is guarded by where it stands here. */
const AREAS: readonly Area[] = [
  // Event streams alone take tickets, and tokens in the URL.
  { guard: streamToken, answers: null, salt: true, routes: [stream] },
  {
    guard: token,
    answers: { lenient: true },
    before: refuseTokenInPath,
    routes: [events, trace, reactor, reactorVersions, reactorSls, reactions, reactorControl, reactorTest, reactorBacktest]
  },
  { guard: webSocketToken, answers: null, salt: true, routes: [ws] },
  { guard: hookToken, answers: {}, salt: true, routes: [hook] },
  { guard: token, answers: {}, salt: true, routes: [lowstate] },
  { guard: token, answers: {}, salt: true, when: hasSessions, routes: [jobs, minions, logout] },
  { guard: statsToken, answers: {}, salt: true, routes: [stats] },
  // Not a session's doings in salt-api, so refusals have another text; what other methods get, nobody needs a token for.
  { guard: open, answers: null, salt: true, routes: [makeKeys] },
  { guard: clientToken, answers: {}, salt: true, before: refuseSurplusFirst, routes: [keys] },
  { guard: token, answers: {}, routes: [tokens] },
  // Behind a minion's own key.
  { guard: requireMinion, answers: null, anywhere: true, routes: [minionStream, minionUp, minionFiles, minionMine, minionPillar] },
  // Open to all: they check credentials themselves, or have nothing to hide.
  { guard: open, answers: {}, salt: true, routes: [welcome, run, mint] },
  { guard: open, answers: {}, salt: true, when: hasSessions, routes: [login, logoutByGet] },
  { guard: open, answers: null, salt: true, routes: [gui] },
  { guard: open, answers: null, salt: true, files: true, routes: [guiFiles] },
  { guard: open, answers: { lenient: true }, anywhere: true, routes: [health] },
  { guard: open, answers: null, anywhere: true, routes: [enroll, minionToken] },
  { guard: open, answers: null, anywhere: true, routes: [metrics] }
]

/** Registers all routes, and for every path 405 for the methods that it does not have, behind the path's own guard. */
const register: FastifyPluginAsync = async app => {
  sendAppToBrowsers(app)
  endRefusedUpgrades(app)
  const known: PathMethods = new Map()
  const allowed: PathMethods = new Map()
  notePaths(app, known)
  const { config } = app.services
  const found = AREAS.filter(({ when }) => when?.(config) ?? true).map(area => ({ area, paths: new Map() as PathMethods }))
  const enter = async (scope: FastifyInstance, area: Area) => {
    if (area.salt) speakSalt(scope, allowed)
    area.before?.(scope)
    // Streams look at addresses before tokens, everything else after them (golden/api section 3).
    if (area.guard === streamToken) refuseOtherAddresses(scope)
    area.guard(scope)
    if (area.guard !== streamToken && !area.anywhere) refuseOtherAddresses(scope)
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
  const taken: PathMethods = new Map()
  for (const { area, paths } of found.filter(({ area }) => !area.files)) {
    await app.register(async scope => {
      await enter(scope, area)
      refuseOtherMethods(scope, paths, known, allowed)
      if (area.salt) refuseSurplusSegments(scope, paths, allowed, taken)
    })
  }
  await app.register(async scope => answerOptions(scope, allowed))
}

/** Without a scope of its own, because what is said here of all requests holds for unknown paths too. */
export const routes = fp(register, { name: 'routes' })

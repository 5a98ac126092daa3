import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { type App, createApp } from '../../src/app.js'
import { loadConfig } from '../../src/config/load.js'
import { dumpYaml } from '../../src/shared/yaml.js'
import { CLI } from '../helpers/server.js'
import type { Json } from './cases.js'

/** A server to play cases against: one of our own, or (`--url`) one that runs somewhere with the fixture of golden/api/README section 1. */
export interface Fixture {
  readonly url: URL
  /** Makes the server run with these settings beside the base configuration (a case's `config`). False when that cannot be done. */
  configure(config: Readonly<Record<string, Json>>): Promise<boolean>
  /** What a recorded text says of the machine it was recorded on, and what that is here: paths, the host's name. */
  readonly here: ReadonlyMap<string, string>
  /** Brings back the pending, rejected and denied keys. False when that cannot be done. */
  restoreKeys(): Promise<boolean>
  stop(): Promise<void>
}

/** A server that somebody else runs: nothing of it can be set up from here. */
export function remoteFixture(url: string): Fixture {
  return {
    url: new URL(url),
    configure: async config => Object.keys(config).length === 0,
    restoreKeys: async () => false,
    here: new Map(),
    stop: async () => {}
  }
}

const MINIONS = { m1: { role: 'web' }, m2: { role: 'db' } } as const

/** golden/api/README section 1, word for word. */
const BASE = {
  external_auth: {
    sharedsecret: {
      admin: ['.*', '@wheel', '@runner', '@jobs', '@events'],
      ro: ['test.*', 'grains.*', '@jobs'],
      limited: [
        { m1: ['test.ping', { 'test.echo': { args: ['^hello$'] } }] },
        { '@runner': ['jobs.list_jobs', 'test.arg'] },
        { '@wheel': ['key.list_all'] }
      ],
      shorty: ['test.*', '@jobs'],
      noperms: []
    }
  },
  sharedsecret: 'secret',
  token_expire_user_override: { sharedsecret: ['shorty'] },
  netapi_enable_clients: ['local', 'local_async', 'local_batch', 'local_subset', 'runner', 'runner_async', 'wheel', 'wheel_async'],
  nodegroups: { group1: 'G@os:Debian', group2: 'L@m1' },
  timeout: 5
}

/** What brine needs beside it: the cases ask from two other origins, one of them listed; and they fail to log in more often than people do; salt-api keeps all headers of hooks. */
const OURS = {
  cors_origin: ['http://gui.example'],
  hook_headers: ['*'],
  login_attempts_per_minute: 100_000,
  max_request_body_size: 1_048_576
}

const CHERRYPY = { disable_ssl: true, webhook_disable_auth: false, debug: false }

const FILES: Readonly<Record<string, string>> = {
  'salt/tiny.sls': `hello:
  test.succeed_without_changes:
    - name: greeting
changed:
  test.succeed_with_changes:
    - name: did_change
`,
  'salt/broken.sls': dumpYaml({
    fails: { 'test.fail_without_changes': [{ name: 'nope' }] },
    needs: { 'test.nop': [{ require: [{ test: 'fails' }] }] }
  }),
  'pillar/top.sls': dumpYaml({ base: { m1: ['web'] } }),
  'pillar/web.sls': dumpYaml({ port: 8080, vhosts: ['a.example', 'b.example'] }),
  'www/app.html': '<html><body>my app</body></html>\n',
  'www/static/minions.txt': '{"id": "m1"}\n'
}

const KEYS = { p1: 'pending', p2: 'pending', p3: 'pending', r1: 'rejected', d1: 'denied' } as const

/** Starts a server and the minions m1 and m2, in a temporary directory that goes away with them. */
export async function localFixture(): Promise<Fixture> {
  const fixture = new LocalFixture(mkdtempSync(join(tmpdir(), 'brine-conformance-')))
  try {
    await fixture.start()
    return fixture
  } catch (error) {
    await fixture.stop()
    throw error
  }
}

/** So long may a minion take to connect: two processes start, on a machine that does other things too. */
const CONNECT_MS = 60_000

class LocalFixture implements Fixture {
  readonly #dir: string
  #app: App | null = null
  #port = 0
  #config = '{}'
  readonly #minions: ChildProcess[] = []

  constructor(dir: string) {
    this.#dir = dir
  }

  get url(): URL {
    return new URL(`http://127.0.0.1:${this.#port}`)
  }

  get here(): ReadonlyMap<string, string> {
    const name = hostname()
    return new Map([
      ['/srv/salt', join(this.#dir, 'salt')],
      ['/srv/pillar', join(this.#dir, 'pillar')],
      ['/etc/salt/pki/master', join(this.#dir, 'data')],
      ['host1_master', `${name}_master`]
    ])
  }

  async start(): Promise<void> {
    for (const [path, text] of Object.entries(FILES)) {
      mkdirSync(join(this.#dir, path, '..'), { recursive: true })
      writeFileSync(join(this.#dir, path), text)
    }
    await this.#startServer({})
    for (const [id, grains] of Object.entries(MINIONS)) this.#startMinion(id, grains)
    await this.#connected()
  }

  async configure(config: Readonly<Record<string, Json>>): Promise<boolean> {
    const wanted = JSON.stringify(config)
    if (wanted === this.#config) return true
    await this.#app?.close()
    await this.#startServer(config)
    this.#config = wanted
    await this.#connected()
    return true
  }

  async restoreKeys(): Promise<boolean> {
    const { keys, store } = this.#app!.services
    const others = Object.values(keys.list())
      .flat()
      .filter(id => !(id in MINIONS))
    if (others.length > 0) await keys.delete(others)
    for (const [id, state] of Object.entries(KEYS)) {
      const { publicKey } = generateKeyPairSync('rsa', {
        modulusLength: 2048,
        publicKeyEncoding: { type: 'spki', format: 'pem' },
        privateKeyEncoding: { type: 'pkcs8', format: 'pem' }
      })
      await store.keys.put({ id, state, pub: publicKey, changedUs: 1 }, [])
    }
    await keys.start()
    return true
  }

  async stop(): Promise<void> {
    for (const child of this.#minions) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      const ended = once(child, 'exit')
      process.kill(-child.pid!, 'SIGKILL')
      await ended
    }
    await this.#app?.close()
    rmSync(this.#dir, { recursive: true, force: true, maxRetries: 5 })
  }

  async #startServer(config: Readonly<Record<string, Json>>): Promise<void> {
    // A master beside the API that could be down is not what brine is; such cases meet a server that runs.
    const { '(master)': _, ...settings } = config
    const file = join(this.#dir, 'master.yaml')
    const moved = JSON.parse(JSON.stringify(settings).replaceAll('/srv/www', join(this.#dir, 'www'))) as Record<string, Json>
    const roots = { file_roots: { base: [join(this.#dir, 'salt')] }, pillar_roots: { base: [join(this.#dir, 'pillar')] } }
    writeFileSync(file, dumpYaml({ ...BASE, ...OURS, ...roots, rest_cherrypy: { ...CHERRYPY, port: this.#port, ...moved } }))
    const flags = { data_dir: join(this.#dir, 'data'), host: '127.0.0.1', embedded_minion: false }
    const app = await createApp(
      loadConfig({ files: [file], flags }).config,
      pino({ level: process.env.CONFORMANCE_LOG ?? 'silent' }, pino.destination(2))
    )
    this.#app = app
    app.services.keys.onChange((id, state) => {
      if (state === 'pending' && id in MINIONS) void app.services.keys.accept(id)
    })
    await app.http.listen({ host: '127.0.0.1', port: this.#port })
    this.#port = (app.http.server.address() as AddressInfo).port
  }

  #startMinion(id: string, grains: Readonly<Record<string, string>>): void {
    const file = join(this.#dir, `${id}.yaml`)
    writeFileSync(
      file,
      dumpYaml({
        id,
        master: this.url.origin,
        minion_dir: join(this.#dir, id),
        grains,
        acceptance_wait_time: 0.2,
        recon_default: 100,
        recon_max: 500
      })
    )
    const child = spawn(process.execPath, [CLI, 'minion', '-c', file], {
      stdio: 'ignore',
      detached: true,
      env: { PATH: process.env.PATH ?? '', SHELL: '/bin/bash', HOME: this.#dir }
    })
    this.#minions.push(child)
  }

  /** Resolves when both minions are connected and have told their grains. */
  async #connected(): Promise<void> {
    const { keys, link } = this.#app!.services
    const ready = () => Object.keys(MINIONS).every(id => link.isConnected(id) && keys.hasFacts(id))
    if (ready()) return
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the minions of the fixture did not connect')), CONNECT_MS)
      const look = setInterval(() => {
        if (!ready()) return
        clearTimeout(timer)
        clearInterval(look)
        resolve()
      }, 20)
      timer.unref()
    })
  }
}

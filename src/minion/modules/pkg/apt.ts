/** Debian and what descends from it: apt-get, apt-cache, apt-mark, dpkg. */
import { mkdtemp, readdir, readFile, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CommandResult } from '../../command.js'
import type { ModuleContext } from '../../context.js'
import { runTool } from '../tool.js'
import { flag, type Mapping, textOrNull } from '../values.js'
import type { Installation, Kind, PackageManager, Target, Versions } from './manager.js'
import { compareDeb } from './versions.js'

/** Nobody is there to answer a question; files of the administrator stay as they are. */
const ENVIRONMENT = {
  APT_LISTBUGS_FRONTEND: 'none',
  APT_LISTCHANGES_FRONTEND: 'none',
  DEBIAN_FRONTEND: 'noninteractive',
  UCF_FORCE_CONFFOLD: '1'
}
/** How long another run of apt or dpkg is waited for (an upgrade in the night); then it fails and names who holds the lock. */
const LOCK_SECONDS = 60
const KEEP_CONFIGURATION = ['-o', 'DPkg::Options::=--force-confold', '-o', 'DPkg::Options::=--force-confdef']

function aptGet(ctx: ModuleContext, words: readonly string[]): Promise<CommandResult> {
  return runTool(ctx, ['apt-get', '-q', '-y', '-o', `DPkg::Lock::Timeout=${LOCK_SECONDS}`, ...words], { env: ENVIRONMENT })
}

function admin(root: string | null): string[] {
  return root === null ? [] : [`--admindir=${join(root, 'var/lib/dpkg')}`]
}

/** The machine's own architecture as Debian calls it: packages of others have it in their name. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'amd64',
  arm64: 'arm64',
  ia32: 'i386',
  arm: 'armhf',
  ppc64: 'ppc64el',
  s390x: 's390x'
}

function ownArchitecture(ctx: ModuleContext): string {
  return String(ctx.grains.osarch ?? ARCHITECTURES[process.arch] ?? '')
}

/** Names of fields as dpkg-query's formats have them. */
function fieldsOf(names: readonly string[]): string[] {
  return names.map(name => `\${${name}}`)
}

const LINE = `${fieldsOf(['Status', 'Package', 'Version', 'Architecture']).join(' ')}\n`

async function list(ctx: ModuleContext, kind: Kind, root: string | null): Promise<Versions> {
  const { stdout } = await runTool(ctx, ['dpkg-query', ...admin(root), `--showformat=${LINE}`, '-W'])
  const own = ownArchitecture(ctx)
  const found: Versions = {}
  for (const line of stdout.split('\n')) {
    const [wanted, , status, name, version, arch] = line.split(' ')
    if (arch === undefined || kindOf(wanted!, status!) !== kind) continue
    const full = arch === 'all' || arch === own ? name! : `${name}:${arch}`
    found[full] = [...(found[full] ?? []), version!].sort(compareDeb)
  }
  return found
}

function kindOf(wanted: string, status: string): Kind | null {
  if (wanted === 'purge' && status === 'installed') return 'purge'
  if (status === 'installed') return 'installed'
  return wanted === 'deinstall' ? 'removed' : null
}

function release(options: Mapping): string[] {
  const repo = textOrNull(options.fromrepo, 'fromrepo')
  return repo === null || repo === '' ? [] : ['-o', `APT::Default-Release=${repo}`]
}

async function candidates(ctx: ModuleContext, names: readonly string[], options: Mapping): Promise<Record<string, string>> {
  const found: Record<string, string> = Object.fromEntries(names.map(name => [name, '']))
  const { stdout } = await runTool(ctx, ['apt-cache', '-q', ...release(options), 'policy', ...names])
  let name = ''
  for (const line of stdout.split('\n')) {
    if (/^\S.*:$/.test(line)) name = line.slice(0, -1)
    const candidate = /^ {2}Candidate: (\S+)/.exec(line)?.[1]
    if (candidate && candidate !== '(none)' && name in found) found[name] = candidate
  }
  return found
}

async function offered(ctx: ModuleContext, names: readonly string[]): Promise<Versions> {
  if (names.length === 0) return {}
  const { stdout } = await runTool(ctx, ['apt-cache', 'madison', ...names])
  const found: Versions = {}
  for (const line of stdout.split('\n')) {
    const [name, version, source] = line.split('|').map(column => column.trim())
    if (source === undefined || / Sources$/.test(source)) continue
    if (!(found[name!] ?? []).includes(version!)) found[name!] = [...(found[name!] ?? []), version!]
  }
  for (const versions of Object.values(found)) versions.sort((a, b) => compareDeb(b, a))
  return found
}

async function upgrades(ctx: ModuleContext, options: Mapping): Promise<Record<string, string>> {
  const verb = flag(options.dist_upgrade ?? true) ? 'dist-upgrade' : 'upgrade'
  const { stdout } = await aptGet(ctx, [...release(options), '--just-print', verb])
  return Object.fromEntries([...stdout.matchAll(/^Conf (\S+) \((\S+)/gm)].map(match => [match[1]!, match[2]!]))
}

async function refresh(ctx: ModuleContext, options: Mapping): Promise<{ value: unknown; errors: string[] }> {
  const seconds = Number(options.cache_valid_time ?? 0)
  if (seconds > 0) {
    const at = await stat('/var/lib/apt/lists').catch(() => null)
    if (at && Date.now() - at.mtimeMs < seconds * 1000) return { value: {}, errors: [] }
  }
  const { stdout, stderr, retcode } = await aptGet(ctx, ['update'])
  const value: Record<string, boolean | null> = {}
  for (const line of stdout.split('\n')) {
    const [, word, rest] = /^(Hit|Get|Ign|Err):?\d*\s+(.*)$/.exec(line) ?? []
    if (!word) continue
    const repo = rest!.replace(/ \[.+B\]$/, '')
    value[repo] = word === 'Hit' ? null : word === 'Get'
  }
  return { value, errors: retcode === 0 ? [] : stderr.split('\n').filter(line => line !== '') }
}

function word({ name, version }: Target): string {
  return version === null ? name : `${name}=${version}`
}

async function install(ctx: ModuleContext, { targets, files, reinstall, downgrades, options }: Installation): Promise<CommandResult> {
  const words = [
    ...KEEP_CONFIGURATION,
    ...release(options),
    ...(flag(options.skip_verify ?? false) ? ['--allow-unauthenticated'] : []),
    ...(downgrades.length > 0 ? ['--allow-downgrades'] : []),
    ...(flag(options.update_holds ?? false) ? ['--allow-change-held-packages'] : []),
    ...(options.install_recommends === undefined || options.install_recommends === null || flag(options.install_recommends)
      ? []
      : ['--no-install-recommends']),
    ...(flag(options.only_upgrade ?? false) ? ['--only-upgrade'] : []),
    ...(flag(options.downloadonly ?? false) ? ['--download-only'] : []),
    ...(reinstall ? ['--reinstall'] : []),
    'install'
  ]
  if (files.length === 0) return aptGet(ctx, [...words, ...targets.map(word)])
  return withPlainNames(files, links => aptGet(ctx, [...words, ...targets.map(word), ...links]))
}

/** apt-get passes over a file without a word when its name has a colon in it or no `.deb` at its end; each gets a name that is neither. */
async function withPlainNames<T>(files: readonly string[], act: (links: string[]) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'brine-packages-'))
  try {
    const links = files.map((_file, at) => join(dir, `${at}.deb`))
    for (const [at, file] of files.entries()) await symlink(file, links[at]!)
    return await act(links)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

function upgrade(ctx: ModuleContext, names: readonly string[], options: Mapping): Promise<CommandResult> {
  const verb = flag(options.dist_upgrade ?? false) ? 'dist-upgrade' : 'upgrade'
  const words = [
    ...KEEP_CONFIGURATION,
    ...release(options),
    ...(flag(options.skip_verify ?? false) ? ['--allow-unauthenticated'] : []),
    ...(flag(options.downloadonly ?? false) || flag(options.download_only ?? false) ? ['--download-only'] : []),
    ...(flag(options.allow_downgrades ?? false) ? ['--allow-downgrades'] : [])
  ]
  return aptGet(ctx, names.length > 0 ? [...words, '--only-upgrade', 'install', ...names] : [...words, verb])
}

async function autoremove(ctx: ModuleContext, purge: boolean, listOnly: boolean): Promise<{ done: CommandResult; names: string[] }> {
  const done = await aptGet(ctx, [...(purge ? ['--purge'] : []), ...(listOnly ? ['--just-print'] : []), 'autoremove'])
  return { done, names: [...done.stdout.matchAll(/^(?:Remv|Purg) (\S+)/gm)].map(match => match[1]!) }
}

async function holds(ctx: ModuleContext): Promise<string[]> {
  const { stdout } = await runTool(ctx, ['apt-mark', 'showhold'])
  return stdout.split('\n').filter(line => line !== '')
}

/** dpkg's own list knows nothing of directories above; `.` is what dpkg calls the root. */
async function files(ctx: ModuleContext, name: string, root: string | null): Promise<string[] | null> {
  const done = await runTool(ctx, ['dpkg-query', ...admin(root), '-L', name])
  if (done.retcode !== 0) return null
  return done.stdout.split('\n').filter(line => line.startsWith('/'))
}

async function owner(ctx: ModuleContext, path: string, root: string | null): Promise<string> {
  const { stdout } = await runTool(ctx, ['dpkg-query', ...admin(root), '-S', path])
  const line = stdout.split('\n').find(line => !line.startsWith('diversion ') && line.includes(': ')) ?? ''
  return line.split(': ')[0]!
}

/** Our names for the fields of dpkg-query. */
const FIELDS = {
  name: 'binary:Package',
  version: 'Version',
  architecture: 'Architecture',
  source: 'source:Package',
  section: 'Section',
  maintainer: 'Maintainer',
  size: 'Installed-Size',
  url: 'Homepage',
  license: 'License',
  description: 'Description',
  status: 'db:Status-Abbrev'
} as const

/** Between fields and packages: descriptions have lines. */
const [FIELD, RECORD] = ['\u001f', '\u001e']

async function info(ctx: ModuleContext, names: readonly string[], root: string | null): Promise<Record<string, Mapping>> {
  const format = `${fieldsOf(Object.values(FIELDS)).join(FIELD)}${RECORD}`
  const { stdout } = await runTool(ctx, ['dpkg-query', ...admin(root), `--showformat=${format}`, '-W', ...names])
  const found: Record<string, Mapping> = {}
  for (const record of stdout.split(RECORD)) {
    const values = record.split(FIELD)
    const field = Object.fromEntries(Object.keys(FIELDS).map((key, at) => [key, (values[at] ?? '').trim()]))
    if (!/^.i/.test(field.status ?? '')) continue
    const installed = await installTime(root, field.name!)
    const { name, version, architecture: arch, source, section: group, maintainer: packager, url, license, description } = field
    found[name!.split(':')[0]!] = {
      ...{ name: name!.split(':')[0], version, arch, source, group, packager, size: Number(field.size) * 1024, url },
      ...(license ? { license } : {}),
      ...{ description, ...installed, status: field.status }
    }
  }
  return found
}

/** dpkg notes no time; its list of a package's files is written when it is installed. */
async function installTime(root: string | null, name: string): Promise<Mapping> {
  for (const file of [`${name}.list`, `${name.split(':')[0]}.list`]) {
    const at = await stat(join(root ?? '/', 'var/lib/dpkg/info', file)).catch(() => null)
    if (at) {
      const seconds = Math.floor(at.mtimeMs / 1000)
      return { install_date: new Date(seconds * 1000).toISOString().replace('.000', ''), install_date_time_t: seconds }
    }
  }
  return {}
}

/** Salt's shape: URI → entries, from `*.list` (one line each) and `*.sources` (paragraphs). */
async function repositories(): Promise<Mapping> {
  const dir = '/etc/apt/sources.list.d'
  const names = (await readdir(dir).catch(() => [])).filter(name => /\.(list|sources)$/.test(name)).sort()
  const found: Record<string, Mapping[]> = {}
  for (const file of ['/etc/apt/sources.list', ...names.map(name => join(dir, name))]) {
    const content = await readFile(file, 'utf8').catch(() => '')
    for (const entry of file.endsWith('.sources') ? paragraphs(content, file) : lines(content, file)) {
      const uri = String(entry.uri)
      found[uri] = [...(found[uri] ?? []), entry]
    }
  }
  return found
}

function lines(content: string, file: string): Mapping[] {
  return content.split('\n').flatMap(line => {
    const match = /^(#\s*)?(deb|deb-src)\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line.trim())
    if (!match) return []
    const [, off, type, options = '', uri, dist, comps] = match
    const architectures = /arch=(\S+)/.exec(options)?.[1]?.split(',') ?? []
    return [{ file, comps: words(comps!), disabled: off !== undefined, dist, type, uri, line: line.trim(), architectures }]
  })
}

function paragraphs(content: string, file: string): Mapping[] {
  return content.split(/\n\s*\n/).flatMap(paragraph => {
    const field = (name: string): string => new RegExp(`^${name}:(.*(?:\\n[ \\t].*)*)`, 'im').exec(paragraph)?.[1] ?? ''
    const common = {
      comps: words(field('Components')),
      disabled: /^\s*no\s*$/i.test(field('Enabled')),
      architectures: words(field('Architectures'))
    }
    return words(field('Types')).flatMap(type =>
      words(field('URIs')).flatMap(uri =>
        words(field('Suites')).map(dist => ({
          file,
          ...common,
          dist,
          type,
          uri,
          line: `${type} ${uri} ${dist} ${common.comps.join(' ')}`.trim()
        }))
      )
    )
  })
}

function words(text: string): string[] {
  return text.split(/\s+/).filter(word => word !== '')
}

export const apt: PackageManager = {
  ...{
    compare: compareDeb,
    list,
    candidates,
    offered,
    upgrades,
    refresh,
    install,
    upgrade,
    autoremove,
    holds,
    files,
    owner,
    info,
    repositories
  },
  plainName: (ctx, name) => (name.endsWith(`:${ownArchitecture(ctx)}`) ? name.slice(0, name.lastIndexOf(':')) : name),
  remove: (ctx, names, purge) => aptGet(ctx, [...KEEP_CONFIGURATION, purge ? 'purge' : 'remove', ...names]),
  setHold: (ctx, name, on) => runTool(ctx, ['apt-mark', on ? 'hold' : 'unhold', name]),
  inFile: async (ctx, path) => {
    const { stdout } = await runTool(ctx, ['dpkg-deb', '-f', path, 'Package', 'Version'])
    const field = (name: string): string | undefined => new RegExp(`^${name}: (\\S+)$`, 'm').exec(stdout)?.[1]
    const [name, version] = [field('Package'), field('Version')]
    return name === undefined || version === undefined ? null : { name, version }
  }
}

/** Red Hat and what descends from it: dnf (or yum, which takes the same words) and rpm. Holds need the plugin versionlock. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CommandResult } from '../../command.js'
import type { ModuleContext } from '../../context.js'
import { runTool, systemProgram } from '../tool.js'
import { flag, type Mapping, texts } from '../values.js'
import type { Installation, Kind, PackageManager, Target, Versions } from './manager.js'
import { compareRpm } from './versions.js'

async function dnf(ctx: ModuleContext, words: readonly string[]): Promise<CommandResult> {
  return runTool(ctx, [(await systemProgram('dnf')) ? 'dnf' : 'yum', ...words])
}

function rpm(ctx: ModuleContext, root: string | null, words: readonly string[]): Promise<CommandResult> {
  return runTool(ctx, ['rpm', ...(root === null ? [] : ['--root', root]), ...words])
}

/** `fromrepo` is that one alone; enablerepo, disablerepo, disableexcludes as dnf has them. */
function repoOptions(options: Mapping): string[] {
  const given = (name: string): string[] => texts(options[name], name)
  const from = given('fromrepo').flatMap((repo, at) => [...(at === 0 ? ['--disablerepo=*'] : []), `--enablerepo=${repo}`])
  if (from.length > 0) return from
  return [
    ...given('disablerepo').map(repo => `--disablerepo=${repo}`),
    ...given('enablerepo').map(repo => `--enablerepo=${repo}`),
    ...given('disableexcludes').map(what => `--disableexcludes=${what}`),
    ...given('branch').map(branch => `--branch=${branch}`)
  ]
}

function ownArchitecture(ctx: ModuleContext): string {
  return String(ctx.grains.osarch ?? ctx.grains.cpuarch ?? '')
}

function plainName(ctx: ModuleContext, name: string): string {
  const [, bare, arch] = /^(.+)\.([^.]+)$/.exec(name) ?? []
  return arch === 'noarch' || arch === ownArchitecture(ctx) ? bare! : name
}

/** Version as Salt writes it: an epoch of 0 is left out. */
function versionOf(epoch: string, version: string, release: string): string {
  return `${epoch === '(none)' || epoch === '0' ? '' : `${epoch}:`}${version}${release === '' ? '' : `-${release}`}`
}

const LINE = '%{NAME}_|-%{EPOCH}_|-%{VERSION}_|-%{RELEASE}_|-%{ARCH}\\n'

async function list(ctx: ModuleContext, kind: Kind, root: string | null): Promise<Versions> {
  if (kind !== 'installed') return {} // rpm keeps nothing of a package that is removed
  const { stdout } = await rpm(ctx, root, ['-qa', '--queryformat', LINE])
  const found: Versions = {}
  for (const line of stdout.split('\n')) {
    const [name, epoch, version, release, arch] = line.split('_|-')
    if (arch === undefined || name === 'gpg-pubkey') continue
    const full = plainName(ctx, `${name}.${arch}`)
    found[full] = [...(found[full] ?? []), versionOf(epoch!, version!, release!)].sort(compareRpm)
  }
  return found
}

/** `name.arch  version  repository`, where long columns go on in the next line. */
function listed(ctx: ModuleContext, stdout: string): { name: string; version: string }[] {
  const words = stdout
    .split('\n')
    .filter(
      line =>
        !/^(Available|Installed|Upgrades?|Updated|Upgraded|Obsoleting|Available Upgrades|Last metadata)\b.*$/i.test(line) ||
        /\.\S+\s+\S+\s+\S+/.test(line)
    )
    .join(' ')
    .split(/\s+/)
    .filter(word => word !== '')
  const rows: { name: string; version: string }[] = []
  for (let at = 0; at + 2 < words.length; at += 3) {
    if (!/\.[^.]+$/.test(words[at]!)) continue
    rows.push({ name: plainName(ctx, words[at]!), version: words[at + 1]!.replace(/^0:/, '') })
  }
  return rows
}

async function offered(ctx: ModuleContext, names: readonly string[], options: Mapping): Promise<Versions> {
  const shown = await dnf(ctx, ['--quiet', ...repoOptions(options), 'list', '--showduplicates', '--available', ...names])
  const found: Versions = {}
  for (const { name, version } of listed(ctx, shown.stdout))
    if (!(found[name] ?? []).includes(version)) found[name] = [...(found[name] ?? []), version]
  for (const versions of Object.values(found)) versions.sort((a, b) => compareRpm(b, a))
  return found
}

async function candidates(ctx: ModuleContext, names: readonly string[], options: Mapping): Promise<Record<string, string>> {
  const all = await offered(ctx, names, options)
  return Object.fromEntries(names.map(name => [name, all[plainName(ctx, name)]?.[0] ?? '']))
}

async function upgrades(ctx: ModuleContext, options: Mapping): Promise<Record<string, string>> {
  const { stdout } = await dnf(ctx, ['--quiet', ...repoOptions(options), 'list', '--upgrades'])
  return Object.fromEntries(listed(ctx, stdout).map(({ name, version }) => [name, version]))
}

/** dnf check-update ends with 100 when there is something to update, with 0 when there is nothing, with 1 on errors. */
async function refresh(ctx: ModuleContext, options: Mapping): Promise<{ value: unknown; errors: string[] }> {
  await dnf(ctx, ['--quiet', '--assumeyes', ...repoOptions(options), 'clean', 'expire-cache'])
  const done = await dnf(ctx, ['--quiet', '--assumeyes', ...repoOptions(options), 'check-update'])
  const value = done.retcode === 100 ? true : done.retcode === 0 ? null : false
  return { value, errors: value === false ? done.stderr.split('\n').filter(line => line !== '') : [] }
}

function word({ name, version }: Target): string {
  return version === null ? name : `${name}-${version}`
}

/** Packages that go back to an older version need a verb of their own. */
async function install(ctx: ModuleContext, { targets, files, reinstall, downgrades, options }: Installation): Promise<CommandResult> {
  const common = [
    ...['-y', ...repoOptions(options)],
    ...(flag(options.skip_verify ?? false) ? ['--nogpgcheck'] : []),
    ...(flag(options.downloadonly ?? false) ? ['--downloadonly'] : []),
    ...texts(options.setopt, 'setopt').map(option => `--setopt=${option}`)
  ]
  const older = targets.filter(({ name }) => downgrades.includes(name))
  const others = [...targets.filter(({ name }) => !downgrades.includes(name)).map(word), ...files]
  const first = others.length > 0 ? await dnf(ctx, [...common, reinstall ? 'reinstall' : 'install', ...others]) : null
  if (older.length === 0 || (first && first.retcode !== 0)) return first ?? { pid: 0, retcode: 0, stdout: '', stderr: '' }
  return dnf(ctx, [...common, 'downgrade', ...older.map(word)])
}

async function autoremove(ctx: ModuleContext, _purge: boolean, listOnly: boolean): Promise<{ done: CommandResult; names: string[] }> {
  const done = await dnf(ctx, [listOnly ? '--assumeno' : '-y', 'autoremove'])
  const names = [...done.stdout.matchAll(/^ (\S+) +\S+ +\S+ +\S+ +[\d.]+ \S+$/gm)].map(match => match[1]!)
  return { done: listOnly ? { ...done, retcode: 0 } : done, names }
}

/** `name-epoch:version-release.*` of versionlock (dnf 4), `Package name: …` of dnf 5: the names. */
async function holds(ctx: ModuleContext): Promise<string[]> {
  const { stdout } = await dnf(ctx, ['--quiet', 'versionlock', 'list'])
  const names = stdout.split('\n').map(line => /^Package name: (\S+)/.exec(line)?.[1] ?? /^(\S+)-\d+:\S+-\S+$/.exec(line)?.[1] ?? '')
  return [...new Set(names.filter(name => name !== ''))].sort()
}

async function files(ctx: ModuleContext, name: string, root: string | null): Promise<string[] | null> {
  const done = await rpm(ctx, root, ['-ql', name])
  return done.retcode === 0 ? done.stdout.split('\n').filter(line => line.startsWith('/')) : null
}

async function owner(ctx: ModuleContext, path: string, root: string | null): Promise<string> {
  const done = await rpm(ctx, root, ['-qf', '--queryformat', '%{NAME}\\n', path])
  return done.retcode === 0 ? (done.stdout.split('\n')[0] ?? '') : ''
}

const FIELDS = [
  'NAME',
  'EPOCH',
  'VERSION',
  'RELEASE',
  'ARCH',
  'VENDOR',
  'LICENSE',
  'GROUP',
  'SIZE',
  'SOURCERPM',
  'URL',
  'PACKAGER',
  'SUMMARY'
] as const
const [FIELD, RECORD] = ['\u001f', '\u001e']

async function info(ctx: ModuleContext, names: readonly string[], root: string | null): Promise<Record<string, Mapping>> {
  const format = [...FIELDS.map(field => `%{${field}}`), '%{DESCRIPTION}', '%{INSTALLTIME}'].join(FIELD) + RECORD
  const { stdout } = await rpm(ctx, root, [...(names.length > 0 ? ['-q'] : ['-qa']), '--queryformat', format, ...names])
  const found: Record<string, Mapping> = {}
  for (const record of stdout.split(RECORD)) {
    const [name, epoch, version, release, arch, vendor, license, group, size, source, url, packager, summary, description, time] = record
      .trim()
      .split(FIELD)
    if (time === undefined || name === 'gpg-pubkey') continue
    const seconds = Number(time)
    found[plainName(ctx, `${name}.${arch}`)] = {
      ...{
        name,
        epoch: epoch === '(none)' ? null : epoch,
        version: versionOf(epoch!, version!, release!),
        release,
        arch,
        vendor,
        license,
        group
      },
      ...{ size: Number(size), source, url, packager, summary, description, install_date_time_t: seconds },
      install_date: new Date(seconds * 1000).toISOString().replace('.000', '')
    }
  }
  return found
}

async function repositories(): Promise<Mapping> {
  const found: Record<string, Record<string, unknown>> = {}
  for (const dir of ['/etc/yum.repos.d', '/etc/yum/repos.d', '/etc/distro.repos.d']) {
    for (const name of (await readdir(dir).catch(() => [])).filter(file => file.endsWith('.repo')).sort()) {
      const file = join(dir, name)
      let repo: Record<string, unknown> | undefined
      for (const line of (await readFile(file, 'utf8').catch(() => '')).split('\n')) {
        const section = /^\[(.+)\]\s*$/.exec(line)?.[1]
        if (section !== undefined) {
          repo = { file, enabled: true }
          found[section] = repo
        }
        const [, key, value] = /^([^#;=\s][^=]*?)\s*=\s*(.*)$/.exec(line) ?? []
        if (repo && key) repo[key] = /^(enabled|gpgcheck|repo_gpgcheck)$/.test(key) ? flag(value) : value
      }
    }
  }
  return found
}

export const rpmSystem: PackageManager = {
  ...{
    compare: compareRpm,
    plainName,
    list,
    candidates,
    offered,
    upgrades,
    refresh,
    install,
    autoremove,
    holds,
    files,
    owner,
    info,
    repositories
  },
  remove: (ctx, names) => dnf(ctx, ['-y', 'remove', ...names]),
  upgrade: (ctx, names, options) =>
    dnf(ctx, [
      '--quiet',
      '-y',
      ...repoOptions(options),
      ...(flag(options.skip_verify ?? false) ? ['--nogpgcheck'] : []),
      'upgrade',
      ...names
    ]),
  setHold: (ctx, name, on) => dnf(ctx, ['-y', 'versionlock', on ? 'add' : 'delete', name]),
  inFile: async (ctx, path) => {
    const done = await rpm(ctx, null, ['-qp', '--queryformat', '%{NAME}_|-%{EPOCH}_|-%{VERSION}_|-%{RELEASE}', path])
    const [name, epoch, version, release] = done.stdout.split('_|-')
    return done.retcode !== 0 || release === undefined ? null : { name: name!, version: versionOf(epoch!, version!, release) }
  }
}

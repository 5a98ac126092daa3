import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'

const run = promisify(execFile)

interface PackageSpec {
  readonly name: string
  readonly version: string
  /** A file of the administrator's that it brings, below /etc. */
  readonly conffile?: string
}

/** Builds a package that holds one text, and at wish one configuration file; the path of its file. */
export async function buildPackage(dir: string, { name, version, conffile }: PackageSpec): Promise<string> {
  const tree = join(dir, `${name}-${version}`)
  const share = join(tree, 'usr/share', name)
  await mkdir(join(tree, 'DEBIAN'), { recursive: true })
  await mkdir(share, { recursive: true })
  await writeFile(join(share, 'note'), `${name} ${version}\n`)
  const control = {
    Package: name,
    Version: version,
    Architecture: 'all',
    Maintainer: 'Nobody <nobody@example.com>',
    Section: 'misc',
    Homepage: 'http://example.com/',
    'Installed-Size': '4',
    Description: 'a package of a test\n it has a second line'
  }
  const lines = Object.entries(control).map(([key, value]) => `${key}: ${value}\n`)
  await writeFile(join(tree, 'DEBIAN/control'), lines.join(''))
  if (conffile) {
    await mkdir(join(tree, 'etc'), { recursive: true })
    await writeFile(join(tree, 'etc', conffile), 'setting=1\n')
    await writeFile(join(tree, 'DEBIAN/conffiles'), `/etc/${conffile}\n`)
  }
  const file = join(dir, `${name}_${version}_all.deb`)
  await run('dpkg-deb', ['--root-owner-group', '--build', tree, file])
  return file
}

export interface AptRepository {
  /** Offers these packages and no others; seen after the next `apt-get update`. */
  offer(files: readonly string[]): Promise<void>
}

/** A repository of a test: while the test runs, apt knows no other, and keeps its lists in the test's directory. */
export async function aptRepository(t: Test, dir: string): Promise<AptRepository> {
  const repo = join(dir, 'repo')
  for (const path of ['repo', 'lists/partial', 'cache/archives/partial', 'parts']) await mkdir(join(dir, path), { recursive: true })
  await writeFile(join(dir, 'sources.list'), `deb [trusted=yes] file:${repo} ./\n`)
  await writeFile(
    join(dir, 'apt.conf'),
    `Dir::Etc::sourcelist "${dir}/sources.list";
Dir::Etc::sourceparts "${dir}/parts";
Dir::State::lists "${dir}/lists";
Dir::Cache "${dir}/cache";
APT::Sandbox::User "root";
DPkg::Options { "--force-unsafe-io"; };
`
  )
  process.env.APT_CONFIG = join(dir, 'apt.conf')
  t.teardown(() => {
    delete process.env.APT_CONFIG
  })
  return {
    async offer(files) {
      const entries = await Promise.all(files.map(file => indexEntry(repo, file)))
      await writeFile(join(repo, 'Packages'), entries.join('\n'))
    }
  }
}

async function indexEntry(repo: string, file: string): Promise<string> {
  const name = file.slice(file.lastIndexOf('/') + 1)
  const content = await readFile(file)
  await writeFile(join(repo, name), content)
  const { stdout } = await run('dpkg-deb', ['-f', file])
  return `${stdout.trim()}\nFilename: ./${name}\nSize: ${content.length}\nSHA256: ${createHash('sha256').update(content).digest('hex')}\n`
}

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { kw, minionTest } from '../../helpers/executor.js'
import { fakePrograms, predictsAndRepeats, singleState } from '../../helpers/states.js'

/**
 * rpm(8) as far as it is asked. $RPMS/db has a line per installed package: name epoch version release arch. Queries are answered by putting the
 * fields into the format that was given, as rpm does.
 */
const RPM = `
format=''; mode=''; names=''
while [ $# -gt 0 ]; do
  case "$1" in
    --queryformat) format=$2; shift ;;
    --root) shift ;;
    -*) mode=$1 ;;
    *) names="$names $1" ;;
  esac
  shift
done
show() { # name epoch version release arch
  printf '%s' "$format" | sed -e "s/%{NAME}/$1/g; s/%{EPOCH}/$2/g; s/%{VERSION}/$3/g; s/%{RELEASE}/$4/g; s/%{ARCH}/$5/g" \\
    -e 's/%{INSTALLTIME}/1700000000/; s/%{SIZE}/4096/; s/%{LICENSE}/MIT/; s/%{SUMMARY}/A shell/; s/%{DESCRIPTION}/A shell/; s/%{[A-Z]*}/(none)/g; s/\\\\n/\\n/g'
}
case "$mode" in
  -qa|-q)
    while read -r name epoch version release arch; do
      if [ "$mode" = -q ]; then case " $names " in *" $name "*) ;; *) continue ;; esac; fi
      show "$name" "$epoch" "$version" "$release" "$arch"
    done < "$RPMS/db"
    for name in $names; do grep -q "^$name " "$RPMS/db" || { echo "package $name is not installed"; exit 1; }; done ;;
  -ql) grep -q "^\${names# } " "$RPMS/db" || { echo "package$names is not installed"; exit 1; }; echo "/usr/bin/\${names# }" ;;
  -qf) case "$names" in ' /usr/bin/bash') show bash '(none)' 5.1 1 x86_64 ;; *) echo "file$names is not owned by any package"; exit 1 ;; esac ;;
  -qp) show local '(none)' 1.0 1.el9 noarch ;;
esac`

/** dnf 4 as far as it is asked: lists in its columns, and changes of $RPMS/db. $RPMS/repo: what the repositories offer, as in db. */
const DNF = `
echo "$*" >> "$RPMS/calls"
words=''
for word in "$@"; do case "$word" in -*) ;; *) words="$words $word" ;; esac; done
set -- $words
verb=$1; [ $# -gt 0 ] && shift
split() { # name[-version-release] of the repository
  while read -r name epoch version release arch; do
    [ "$1" = "$name" ] || [ "$1" = "$name-$version-$release" ] || [ "$1" = "$name-$epoch:$version-$release" ] || continue
    echo "$name $epoch $version $release $arch"
  done < "$RPMS/repo" | tail -1
}
put() { grep -v "^\${1%% *} " "$RPMS/db" > "$RPMS/db.new"; echo "$1" >> "$RPMS/db.new"; mv "$RPMS/db.new" "$RPMS/db"; }
row() { [ "$2" = '(none)' ] || [ "$2" = 0 ] && v="$3-$4" || v="$2:$3-$4"; printf '%-40s %-25s %s\\n' "$1.$5" "$v" baseos; }
case "$verb" in
  list)
    case " $(tail -1 "$RPMS/calls") " in
      *' --upgrades '*)
        echo 'Available Upgrades'
        while read -r name epoch version release arch; do
          now=$(grep "^$name " "$RPMS/db") || continue
          newest=$(split "$name")
          line="$name $epoch $version $release $arch"
          if [ "$line" = "$newest" ] && [ "$now" != "$newest" ]; then row $newest; fi
        done < "$RPMS/repo" ;;
      *)
        found=no
        while read -r name epoch version release arch; do
          case " $* " in *" $name "*) [ $found = yes ] || echo 'Available Packages'; found=yes; row "$name" "$epoch" "$version" "$release" "$arch" ;; esac
        done < "$RPMS/repo"
        [ $found = yes ] || { echo 'Error: No matching Packages to list' >&2; exit 1; } ;;
    esac ;;
  install|downgrade|reinstall)
    for word in "$@"; do
      case "$word" in
        */*) put 'local (none) 1.0 1.el9 noarch' ;;
        *) line=$(split "$word"); [ -n "$line" ] || { echo "Error: Unable to find a match: $word" >&2; exit 1; }; put "$line" ;;
      esac
    done ;;
  upgrade)
    [ $# -gt 0 ] || set -- $(cut -d' ' -f1 "$RPMS/db")
    for word in "$@"; do line=$(split "$word"); [ -z "$line" ] || put "$line"; done ;;
  remove) for word in "$@"; do grep -v "^$word " "$RPMS/db" > "$RPMS/db.new"; mv "$RPMS/db.new" "$RPMS/db"; done ;;
  check-update) exit 100 ;;
  versionlock)
    action=$1; shift; touch "$RPMS/locks"
    case "$action" in
      list) while read -r name; do echo "$name-0:1.0-1.el9.*"; done < "$RPMS/locks" ;;
      add) echo "$1" >> "$RPMS/locks" ;;
      delete) grep -v "^$1$" "$RPMS/locks" > "$RPMS/locks.new"; mv "$RPMS/locks.new" "$RPMS/locks" ;;
    esac ;;
esac
exit 0`

const DB = `bash (none) 5.1.8 6.el9 x86_64
glibc (none) 2.34 60.el9 x86_64
glibc32 0 2.34 60.el9 i686
tzdata (none) 2023c 1.el9 noarch
gpg-pubkey (none) 8483c65d 5ccc5b19 (none)
`
const REPO = `bash (none) 5.1.8 6.el9 x86_64
bash (none) 5.1.8 9.el9 x86_64
vim-enhanced 2 8.2.2637 20.el9 x86_64
vim-enhanced 2 8.2.2637 21.el9 x86_64
zsh (none) 5.8 9.el9 x86_64
`

async function dnfTest(t: Test) {
  const minion = await minionTest(t, { grains: { os_family: 'RedHat', os: 'Rocky', cpuarch: 'x86_64', osarch: 'x86_64' } })
  const dir = join(minion.dir, 'rpms')
  await mkdir(dir)
  await writeFile(join(dir, 'db'), DB)
  await writeFile(join(dir, 'repo'), REPO)
  await fakePrograms(t, minion.dir, { rpm: RPM, dnf: DNF })
  process.env.RPMS = dir
  t.teardown(() => {
    delete process.env.RPMS
  })
  const look = async (): Promise<string[]> => (await readFile(join(dir, 'db'), 'utf8')).split('\n').sort()
  return { ...minion, look, calls: () => readFile(join(dir, 'calls'), 'utf8') }
}

t.test('pkg functions on dnf', async t => {
  const { value, calls, write, dir } = await dnfTest(t)
  t.same(await value('pkg.list_pkgs'), { bash: '5.1.8-6.el9', glibc: '2.34-60.el9', 'glibc32.i686': '2.34-60.el9', tzdata: '2023c-1.el9' })
  t.same(await value('pkg.list_pkgs', kw({ removed: true })), {})
  t.equal(await value('pkg.version', 'bash.x86_64'), '5.1.8-6.el9')
  t.same(await value('pkg.latest_version', 'bash', 'vim-enhanced', 'zsh', 'nix'), {
    ...{ bash: '5.1.8-9.el9', 'vim-enhanced': '2:8.2.2637-21.el9', zsh: '5.8-9.el9', nix: '' }
  })
  t.match(await calls(), /^--quiet --assumeyes clean expire-cache\n--quiet --assumeyes check-update\n/)
  t.equal(await value('pkg.refresh_db'), true, 'there is something to update')
  t.same(await value('pkg.list_upgrades'), { bash: '5.1.8-9.el9' })
  t.same(await value('pkg.list_repo_pkgs', 'vim-enhanced'), { 'vim-enhanced': ['2:8.2.2637-21.el9', '2:8.2.2637-20.el9'] })
  t.same(await value('pkg.install', 'vim-enhanced', kw({ fromrepo: 'appstream', skip_verify: true })), {
    'vim-enhanced': { old: '', new: '2:8.2.2637-21.el9' }
  })
  t.match(await calls(), /^-y --disablerepo=\* --enablerepo=appstream --nogpgcheck install vim-enhanced$/m)
  t.same(await value('pkg.install', 'vim-enhanced', kw({ version: '2:8.2.2637-20.el9' })), {
    'vim-enhanced': { old: '2:8.2.2637-21.el9', new: '2:8.2.2637-20.el9' }
  })
  t.match(await calls(), /^-y downgrade vim-enhanced-2:8\.2\.2637-20\.el9$/m, 'an older version needs a verb of its own')
  t.same(await value('pkg.install', 'zsh', kw({ version: '5.*', disablerepo: 'a,b' })), { zsh: { old: '', new: '5.8-9.el9' } })
  t.match(await calls(), /^-y --disablerepo=a --disablerepo=b install zsh-5\.8-9\.el9$/m)
  t.equal(
    await value('pkg.install', 'nix'),
    `ERROR: Problem encountered installing package(s). Additional info follows:

errors:
    - Error: Unable to find a match: nix
changes:
    ----------`
  )
  await write('local.rpm', '')
  t.same(await value('pkg.install', kw({ sources: [{ local: join(dir, 'local.rpm') }] })), { local: { old: '', new: '1.0-1.el9' } })
  t.same(await value('pkg.remove', 'zsh'), { zsh: { old: '5.8-9.el9', new: '' } })
  t.same(await value('pkg.purge', 'local'), { local: { old: '1.0-1.el9', new: '' } })
  t.match(await value('pkg.hold', 'bash'), { bash: { result: true, changes: { old: 'install', new: 'hold' } } })
  t.same(await value('pkg.list_holds'), ['bash'])
  t.match(await value('pkg.unhold', 'bash'), { bash: { result: true, changes: { old: 'hold', new: 'install' } } })
  t.same(await value('pkg.file_list', 'bash', 'nix'), { errors: ['Package nix is not installed.'], files: ['/usr/bin/bash'] })
  t.same(await value('pkg.owner', '/usr/bin/bash', '/nix'), { '/usr/bin/bash': 'bash', '/nix': '' })
  t.match(await value('pkg.info_installed', 'bash'), {
    bash: {
      name: 'bash',
      epoch: null,
      version: '5.1.8-6.el9',
      arch: 'x86_64',
      license: 'MIT',
      size: 4096,
      install_date: '2023-11-14T22:13:20Z'
    }
  })
  t.same([await value('pkg.version_cmp', '5.1.8-6.el9', '5.1.8-9.el9'), await value('pkg.version_cmp', '1:1', '2')], [-1, 1])
  t.same(await value('pkg.upgrade', kw({ refresh: false })), {
    bash: { old: '5.1.8-6.el9', new: '5.1.8-9.el9' },
    'vim-enhanced': { old: '2:8.2.2637-20.el9', new: '2:8.2.2637-21.el9' }
  })
})

t.test('every pkg state on dnf is idempotent, and test=True predicts it', async t => {
  const minion = await dnfTest(t)
  const single = singleState(minion)
  await minion.write('local.rpm', '')
  const holds = (): Promise<unknown> => minion.value('pkg.list_holds')
  const steps: [string, Record<string, unknown>, (() => unknown)?][] = [
    ['installed', { name: 'zsh' }],
    ['installed', { name: 'vim-enhanced', version: '2:8.2.2637-20.el9' }],
    ['latest', { name: 'both', pkgs: ['vim-enhanced', 'zsh'] }],
    ['installed', { name: 'vim-enhanced', version: '8.2.2637-20.el9' }],
    ['held', { name: 'zsh' }, holds],
    ['unheld', { name: 'zsh' }, holds],
    ['uptodate', { name: 'all' }],
    ['installed', { name: 'file', sources: [{ local: join(minion.dir, 'local.rpm') }] }],
    ['removed', { name: 'zsh' }],
    ['purged', { name: 'rest', pkgs: ['vim-enhanced', 'local'] }]
  ]
  for (const [fun, args, look] of steps) {
    const { predicted, first } = await predictsAndRepeats(t, single, [`pkg.${fun}`, args], look ?? minion.look)
    if (!look && !args.sources) t.same(predicted.changes, first.changes, 'what was predicted is what came')
  }
})

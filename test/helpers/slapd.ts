import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

interface Test {
  teardown(undo: () => unknown): void
}

/** Debian's directory server; null where it is not installed. */
export const SLAPD = ['/usr/sbin/slapd', '/usr/lib/openldap/slapd'].find(existsSync) ?? null

/** A directory with `ldif` below dc=example,dc=com, on a free port of this machine. Its administrator is cn=admin with the password `boss`. */
export async function startSlapd(t: Test, ldif: string): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), 'brine-slapd-'))
  mkdirSync(join(dir, 'db'))
  const config = join(dir, 'slapd.conf')
  writeFileSync(
    config,
    `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile ${dir}/pid
disallow bind_anon
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=admin,dc=example,dc=com" read by dn.exact="cn=reader,dc=example,dc=com" read by self read by * none
database mdb
suffix "dc=example,dc=com"
rootdn "cn=admin,dc=example,dc=com"
rootpw boss
directory ${dir}/db
overlay memberof
memberof-group-oc groupOfNames
`
  )
  writeFileSync(join(dir, 'all.ldif'), ldif)
  const added = spawnSync('/usr/sbin/slapadd', ['-f', config, '-l', join(dir, 'all.ldif')], { encoding: 'utf8' })
  if (added.status !== 0) throw new Error(`slapadd: ${added.stderr}`)
  const port = await freePort()
  const url = `ldap://127.0.0.1:${port}`
  const child = spawn(SLAPD!, ['-f', config, '-h', url, '-d', '0'], { stdio: ['ignore', 'ignore', 'inherit'] })
  t.teardown(async () => {
    if (child.exitCode === null) {
      child.kill('SIGTERM')
      await once(child, 'exit')
    }
    rmSync(dir, { recursive: true, force: true })
  })
  await listening(port, child)
  return url
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function listening(port: number, child: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    if (child.exitCode !== null) throw new Error(`slapd ended with ${child.exitCode}`)
    const socket = connect(port, '127.0.0.1')
    const there = await Promise.race([once(socket, 'connect').then(() => true), once(socket, 'error').then(() => false)]).catch(() => false)
    socket.destroy()
    if (there) return
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  throw new Error('slapd does not listen')
}

import t, { type Test } from 'tap'
import { LdapBackend } from '../../src/auth/backends/ldap.js'
import { type LdapSettings, ldapSettings } from '../../src/auth/backends/ldap-settings.js'
import { defaultConfig } from '../../src/config/schema.js'
import { startAuth } from '../helpers/auth.js'
import { SLAPD, startSlapd } from '../helpers/slapd.js'

const LDIF = `dn: dc=example,dc=com
objectClass: domain
dc: example

dn: cn=reader,dc=example,dc=com
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: read

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: ou=Groups,dc=example,dc=com
objectClass: organizationalUnit
ou: Groups

dn: uid=ada,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: ada
cn: Ada
sn: L
userPassword: pä ss

dn: uid=bob,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: B
userPassword: builder
memberOf: cn=staff,ou=Groups,dc=example,dc=com

dn: uid=odd\\2Cname,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: odd,name
cn: Odd
sn: O
userPassword: odd

dn: cn=ops,ou=Groups,dc=example,dc=com
objectClass: posixGroup
cn: ops
gidNumber: 1
memberUid: ada

dn: cn=devs,ou=Groups,dc=example,dc=com
objectClass: posixGroup
cn: devs
gidNumber: 2
memberUid: ada
memberUid: bob

dn: cn=staff,ou=Groups,dc=example,dc=com
objectClass: groupOfNames
cn: staff
member: uid=bob,ou=people,dc=example,dc=com
`

const SEARCHING: Partial<LdapSettings> = { basedn: 'dc=example,dc=com', binddn: 'cn=reader,dc=example,dc=com', bindpw: 'read' }

function backend(uri: string, settings: Partial<LdapSettings>): LdapBackend {
  return new LdapBackend({ ...ldapSettings(defaultConfig()), uri, ...settings })
}

t.test('users of a directory', { skip: SLAPD === null && 'slapd is not installed (.ci/tools.sh installs it)' }, async (t: Test) => {
  const uri = await startSlapd(t, LDIF)

  await t.test('a password is tried on the one entry that the search finds', async t => {
    const ldap = backend(uri, SEARCHING)
    t.strictSame(await ldap.login('ada', 'pä ss'), { groups: ['ops', 'devs'] })
    t.equal(await ldap.login('ada', 'wrong'), null)
    t.equal(await ldap.login('nobody', 'pä ss'), null)
    t.equal(await ldap.login('ada', ''), null, 'a bind without a password would succeed as nobody')
    t.equal(await ldap.login('', 'pä ss'), null)
  })

  await t.test('without a password of its own the server binds as the user', async t => {
    const ldap = backend(uri, { basedn: 'dc=example,dc=com', binddn: 'uid={{ username }},ou=people,dc=example,dc=com' })
    t.ok(await ldap.login('bob', 'builder'))
    t.equal(await ldap.login('bob', 'wrong'), null)
    t.ok(await ldap.login('odd,name', 'odd'), 'a comma in a name does not end it')
  })

  await t.test('what is typed is a value, never syntax of filters or names', async t => {
    const searching = backend(uri, SEARCHING)
    const binding = backend(uri, { basedn: 'dc=example,dc=com', binddn: 'uid={{ username }},ou=people,dc=example,dc=com' })
    const names = ['*', 'a*', 'ada)(uid=*', '*)(objectClass=*', 'ada,ou=people', 'x,uid=ada', '\\', '\0', '(', '$&', 'ada\\2a']
    for (const name of names) {
      t.equal(await searching.login(name, 'pä ss'), null, `search: ${JSON.stringify(name)}`)
      t.equal(await binding.login(name, 'pä ss'), null, `bind: ${JSON.stringify(name)}`)
    }
  })

  await t.test('two entries that fit are nobody', async t => {
    t.equal(await backend(uri, { ...SEARCHING, filter: '(|(uid={{ username }})(uid=bob))' }).login('ada', 'pä ss'), null)
    t.ok(await backend(uri, { ...SEARCHING, filter: '(&(uid={{username}})(sn=L))' }).login('ada', 'pä ss'))
  })

  await t.test('groups are those that name the user, and those that the user names', async t => {
    t.strictSame(await backend(uri, SEARCHING).login('bob', 'builder'), { groups: ['devs', 'staff'] })
    const byName = { ...SEARCHING, groupclass: 'groupOfNames', accountattributename: 'member', groupattribute: 'description' }
    t.strictSame(await backend(uri, byName).login('bob', 'builder'), { groups: ['staff'] })
    t.strictSame(await backend(uri, { ...SEARCHING, groupou: 'nowhere' }).login('ada', 'pä ss'), { groups: [] })
  })

  await t.test('a directory that is away, or that refuses the server, is an error and no refusal of the user', async t => {
    await t.rejects(backend('ldap://127.0.0.1:1', SEARCHING).login('ada', 'pä ss'))
    await t.rejects(backend(uri, { ...SEARCHING, bindpw: 'wrong' }).login('ada', 'pä ss'))
    await t.rejects(
      backend(uri, { ...SEARCHING, starttls: true }).login('ada', 'pä ss'),
      'no password goes over a line that was to be secret'
    )
  })

  await t.test("permissions of a user's groups hold as long as the token, over a restart too", async t => {
    const settings = {
      'auth.ldap.uri': uri,
      'auth.ldap.basedn': 'dc=example,dc=com',
      'auth.ldap.binddn': 'cn=reader,dc=example,dc=com',
      'auth.ldap.bindpw': 'read',
      external_auth: { ldap: { 'ops%': ['state.*'], ada: ['test.*'] } }
    }
    const { auth, again } = await startAuth(t, { settings })
    const login = { eauth: 'ldap', address: '192.0.2.1' }
    const { token, caller } = await auth.login({ ...login, username: 'ada', password: 'pä ss' })
    t.strictSame(caller.perms, ['state.*', 'test.*'])
    await t.rejects(auth.login({ ...login, username: 'ada', password: 'wrong' }), { code: 'LOGIN_FAILED' })
    await t.rejects(auth.login({ ...login, username: 'bob', password: 'builder' }), { code: 'LOGIN_FAILED' }, 'no entry, no login')
    const restarted = await again()
    t.strictSame((await restarted.auth.verify(token)).perms, ['state.*', 'test.*'])
  })
})

t.test('a directory that is away lets nobody in, is told of in the log, and holds up no other login', async t => {
  const settings = {
    'auth.ldap.uri': 'ldap://127.0.0.1:1',
    'auth.ldap.bindpw': 'a secret of the server',
    external_auth: { ldap: { ada: ['.*'] }, sharedsecret: { ada: ['.*'] } },
    sharedsecret: 'hush'
  }
  const { auth, lines } = await startAuth(t, { settings })
  const login = { username: 'ada', password: 'hush', address: '192.0.2.1' }
  await t.rejects(auth.login({ ...login, eauth: 'ldap' }), { code: 'LOGIN_FAILED' })
  t.match(lines.join(''), /the login backend could not be asked/)
  t.notMatch(lines.join(''), /hush|a secret of the server/)
  t.ok(await auth.login({ ...login, eauth: 'sharedsecret' }))
})

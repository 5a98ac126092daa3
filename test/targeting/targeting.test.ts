import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { packageRoot } from '../../src/shared/paths.js'
import { type Facts, matchTarget, parseTarget } from '../../src/targeting/index.js'

const golden = JSON.parse(readFileSync(join(packageRoot(), 'test/fixtures/golden/targeting.json'), 'utf8'))
const fleet: Facts[] = Object.entries(golden.fleet as Record<string, { grains: object; pillar: object; cached_on_master: boolean }>).map(
  ([id, known]) => ({ id, grains: { ...known.grains }, pillar: { ...known.pillar }, cached: known.cached_on_master })
)
const minions = (tgt: unknown, type: string, facts: Iterable<Facts> = fleet) =>
  matchTarget(parseTarget(tgt, type, { nodegroups: golden.nodegroups }), facts).minions

t.test('a target means the minions that Salt means by it', async t => {
  // Every vector of golden/targeting.json is played by test/vectors; here is one of each type.
  t.strictSame(minions('web[12]', 'glob'), ['web1', 'web2'])
  t.strictSame(minions('db1,web1', 'list'), ['db1', 'web1'])
  t.strictSame(minions('(web|db)1$', 'pcre'), ['db1', 'web1'])
  t.strictSame(minions('locale_info:timezone:UTC', 'grain'), ['nocache1', 'web1'])
  t.strictSame(minions('os:(Alpine|FreeBSD)', 'grain_pcre'), ['mail.example.com', 'nocache1', 'ns1.dns.example.org'])
  t.strictSame(minions('users:alice', 'pillar'), ['nocache1', 'web1', 'web2'])
  t.strictSame(minions('10.0.1.0/24', 'ipcidr'), ['Web3', 'arm-lab', 'db1', 'nocache1', 'web1', 'web2'])
  t.strictSame(minions('prodweb', 'nodegroup'), ['web1', 'web10'])
  t.strictSame(minions('G@dc:ams and not ( E@web.* or nocache1 )', 'compound'), ['Web3', 'arm-lab', 'db1'])
})

t.test('a minion without known data is kept by data matchers and marked as uncertain', async t => {
  const { minions, uncertain } = matchTarget(parseTarget('os:Alpine', 'grain'), fleet)
  t.strictSame(minions, ['nocache1', 'ns1.dns.example.org'])
  t.strictSame(uncertain, ['nocache1'])
})

t.test('ids in a list that no minion has are missing, and each id counts once', async t => {
  const { minions, missing } = matchTarget(parseTarget('web1,absent,web1,absent', 'list'), fleet)
  t.strictSame({ minions, missing }, { minions: ['web1'], missing: ['absent'] })
  t.strictSame(matchTarget(parseTarget('L@web1,absent or db1', 'compound'), fleet).missing, ['absent'])
})

t.test('a target that does not parse is refused with a reason', async t => {
  const cases: [unknown, string, RegExp][] = [
    ['web1 and', 'compound', /operand/],
    ['web1 web2', 'compound', /unexpected 'web2'/],
    ['and web1', 'compound', /'and' where an operand/],
    ['web1 )', 'compound', /unexpected '\)'/],
    ['', 'compound', /operand/],
    ['(unclosed', 'pcre', /missing \)/],
    ['10.0.0.1/8', 'ipcidr', /no IP/],
    ['R@%x', 'compound', /range/],
    ['loop1', 'nodegroup', /contains itself/],
    ['nosuch', 'nodegroup', /unknown/],
    [{ a: 1 }, 'glob', /text is expected/],
    [null, 'glob', /text is expected/]
  ]
  for (const [tgt, type, message] of cases) t.throws(() => minions(tgt, type), { code: 'TARGET_SYNTAX', message }, `${type} ${String(tgt)}`)
  t.throws(() => minions('*', 'nosuchtype'), { code: 'TARGET_TYPE' })
  t.throws(() => minions('%cluster', 'range'), { code: 'TARGET_TYPE' })
})

t.test('no expression takes the server down: nesting, nodegroups that grow, and costly regular expressions end in an error', async t => {
  t.throws(() => minions(`${'( '.repeat(5000)}web1`, 'compound'), { code: 'TARGET_SYNTAX', message: /nested/ })
  t.throws(() => minions('web1 or '.repeat(20_000), 'compound'), { code: 'TARGET_SYNTAX', message: /words/ })
  const groups = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`g${i}`, `N@g${i + 1} or N@g${i + 1}`]))
  t.throws(() => parseTarget('g0', 'nodegroup', { nodegroups: { ...groups, g40: 'web*' } }), { code: 'TARGET_SYNTAX', message: /words/ })
  const odd: Facts[] = [{ id: 'a'.repeat(200), grains: { x: `${'a'.repeat(200)}!` }, cached: true }]
  t.throws(() => minions('(a+)+!', 'pcre', odd), { code: 'TARGET_SYNTAX', message: /too long/ })
  t.throws(() => minions('x:(a|a)*$', 'grain_pcre', odd), { code: 'TARGET_SYNTAX', message: /too long/ })
})

t.test('names from outside never reach into the objects themselves', async t => {
  t.strictSame(minions('constructor:*', 'grain'), ['nocache1'])
  t.strictSame(minions('__proto__:toString:*', 'grain'), ['nocache1'])
  t.throws(() => minions('constructor', 'nodegroup'), { code: 'TARGET_SYNTAX', message: /unknown/ })
})

t.test('ipcidr: only what is an address is compared, in either version, with netmasks too', async t => {
  const of = (...ipv4: unknown[]): Facts[] => [{ id: 'm', grains: { ipv4, ipv6: ['::1', '2001:db8::1f'] }, cached: true }]
  const meant = (tgt: string, ...ipv4: unknown[]): boolean => minions(tgt, 'ipcidr', of(...ipv4)).length === 1
  t.ok(meant('10.0.0.0/8', '127.0.0.1', '10.255.255.255'))
  t.ok(meant('0.0.0.0/0', '255.255.255.255'))
  t.ok(meant('10.0.0.0/255.0.0.0', '10.1.1.1'))
  t.ok(meant('192.168.0.0/0.0.255.255', '192.168.9.9'))
  t.ok(meant('10.0.0.1', '10.0.0.1'))
  t.ok(meant('2001:db8::/64'))
  t.ok(meant('2001:DB8:0:0::1f'))
  for (const odd of [
    '10.0.0',
    '10.0.0.0.1',
    '010.0.0.1',
    '10.0.0.256',
    '10..0.1',
    '10.0.0.',
    '.10.0.0',
    '10.0.0.1 ',
    '1e1.0.0.1',
    '',
    10,
    null
  ])
    t.notOk(meant('10.0.0.0/8', odd), String(odd))
  t.notOk(meant('10.0.0.0/8', '11.0.0.0'))
  t.notOk(meant('2001:db9::/64', '10.0.0.1'))
})

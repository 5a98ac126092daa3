import { createHash } from 'node:crypto'
import t from 'tap'
import { collectGrains } from '../../../src/minion/grains/index.js'
import { gateways, hostNames, networkGrains, resolver } from '../../../src/minion/grains/network.js'
import { distributionGrains } from '../../../src/minion/grains/os.js'
import { parseAssignments } from '../../../src/minion/grains/read.js'
import { kernelParameters, localeInfo, raidArrays, serverId } from '../../../src/minion/grains/system.js'
import { minionOptions } from '../../../src/minion/options.js'
import { minionTest } from '../../helpers/executor.js'
import { recordedMachine } from '../../helpers/machine.js'

t.test('distributions have the names that Salt gives them', async t => {
  const systems: [string, string | null, object][] = [
    [
      'NAME="Debian GNU/Linux"\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nID=debian\n',
      '12.5\n',
      {
        os: 'Debian',
        os_family: 'Debian',
        osrelease: '12',
        osmajorrelease: 12,
        oscodename: 'bookworm',
        osfinger: 'Debian GNU/Linux-12',
        osarch: 'amd64'
      }
    ],
    [
      'NAME="Ubuntu"\nVERSION_ID="22.04"\nVERSION_CODENAME=jammy\nID=ubuntu\nID_LIKE=debian\n',
      'bookworm/sid',
      {
        os: 'Ubuntu',
        os_family: 'Debian',
        osrelease: '22.04',
        osmajorrelease: 22,
        osrelease_info: [22, 4],
        osfinger: 'Ubuntu-22.04',
        osarch: 'amd64'
      }
    ],
    [
      'NAME="Red Hat Enterprise Linux"\nVERSION_ID="9.3"\nID="rhel"\nID_LIKE="fedora"\nVERSION="9.3 (Plow)"\n',
      null,
      {
        os: 'RedHat',
        os_family: 'RedHat',
        osrelease: '9.3',
        osmajorrelease: 9,
        oscodename: 'Plow',
        osfinger: 'Red Hat Enterprise Linux-9',
        osarch: 'x86_64'
      }
    ],
    ['NAME="Rocky Linux"\nVERSION_ID="9.2"\nID="rocky"\n', null, { os: 'Rocky', os_family: 'RedHat' }],
    ['NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.19.1\n', null, { os: 'Alpine', os_family: 'Alpine', osmajorrelease: 3 }],
    ['NAME="Arch Linux"\nID=arch\n', null, { os: 'Arch', os_family: 'Arch', osrelease: '' }],
    ['NAME="openSUSE Leap"\nID="opensuse-leap"\nVERSION_ID="15.5"\n', null, { os: 'Leap', os_family: 'Suse' }],
    ['NAME="Neon"\nID=neon\nID_LIKE="ubuntu debian"\n', null, { os: 'Neon', os_family: 'Debian' }],
    ['', null, { os: 'Unknown', os_family: 'Unknown' }]
  ]
  for (const [release, version, wanted] of systems) {
    t.match(distributionGrains(parseAssignments(release), 'x86_64', version?.trim() ?? null), wanted)
  }
})

t.test('names: a full name comes from the machine or its hosts file, never from a name server', async t => {
  const hosts = '127.0.0.1 localhost\n10.0.0.5 web1.example.com web1 # comment\n'
  t.same(hostNames('web1', hosts), {
    ...{ nodename: 'web1', localhost: 'web1', fqdn: 'web1.example.com', host: 'web1', domain: 'example.com' },
    ...{ fqdn_ip4: ['10.0.0.5'], fqdn_ip6: [], fqdns: ['web1.example.com'] }
  })
  t.match(hostNames('db.example.org', hosts), { fqdn: 'db.example.org', host: 'db', domain: 'example.org' })
  t.match(hostNames('other', hosts), { fqdn: 'other', host: 'other', domain: '' })
})

t.test('the gateway and the name servers are read from the system', async t => {
  const routes = 'Iface\tDestination\tGateway \tFlags\neth0\t00000000\t010011AC\t0003\neth0\t000011AC\t00000000\t0001\n'
  t.same(gateways(routes), { ip_gw: true, ip4_gw: '172.17.0.1', ip6_gw: false })
  t.same(gateways(''), { ip_gw: false, ip4_gw: false, ip6_gw: false })
  const zeros = '0'.repeat(32)
  const routes6 = `${zeros} 00 ${zeros} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n`
  t.same(gateways('', routes6), { ip_gw: true, ip4_gw: false, ip6_gw: 'fe80::1' })
  t.match(resolver('# x\nnameserver 10.0.0.1\nnameserver fd00::1\nsearch a.example b.example\n'), {
    nameservers: ['10.0.0.1', 'fd00::1'],
    ip4_nameservers: ['10.0.0.1'],
    ip6_nameservers: ['fd00::1'],
    search: ['a.example', 'b.example']
  })
})

t.test('kernel parameters, locale, arrays and server_id have Salt’s forms', t => {
  t.same(kernelParameters('ro quiet root=UUID=ab-c panic="a b"\n'), [
    ['ro', null],
    ['quiet', null],
    ['root', 'UUID=ab-c'],
    ['panic', 'a b']
  ])
  t.match(localeInfo({ LANG: 'de_DE.UTF-8' }), { defaultlanguage: 'de_DE', defaultencoding: 'UTF-8', timezone: String })
  t.same(raidArrays('Personalities : [raid1]\nmd0 : active raid1 sda1[0]\nmd1 : inactive sdb\n'), ['md0'])
  // hashlib.sha256(b'web1').hexdigest() as an integer, modulo 2 ** 31
  t.equal(serverId('web1'), Number(BigInt(`0x${createHash('sha256').update('web1').digest('hex')}`) % BigInt(2 ** 31)))
  t.end()
})

t.test('the site’s own grains come from files of _grains, once they are synced; one that hangs or breaks costs itself', async t => {
  const { value } = await minionTest(t, {
    files: {
      '_grains/site.js':
        "export const rack = () => ({ rack: 'r7' })\nexport async function zlate(all) { return { also: all.rack } }\nexport const no = () => 5",
      '_grains/zbroken.js': 'throw new Error("no")'
    }
  })
  const warned = new Promise<Error>(resolve => process.once('warning', resolve))
  t.same(await value('saltutil.sync_grains'), ['grains.site', 'grains.zbroken'])
  t.match(await value('grains.item', 'rack', 'also'), { rack: 'r7', also: 'r7' })
  t.match((await warned).message, /zbroken\.js: no/)
})

t.test('a minion has the grains that targeting and states rely on', async t => {
  const { value } = await minionTest(t)
  const grains = (await value('grains.items')) as Record<string, unknown>
  t.match(grains, {
    id: 'web1',
    kernel: 'Linux',
    saltversion: '3006.0',
    num_cpus: Number,
    mem_total: Number,
    fqdn: String,
    virtual: String,
    init: String
  })
  for (const name of ['ipv4', 'ipv6', 'saltversioninfo', 'systempath']) t.ok(Array.isArray(grains[name]), name)
  t.ok((grains.ipv4 as string[]).includes('127.0.0.1'))
  t.equal(JSON.stringify(grains).includes('undefined'), false)
})

t.test('custom grains: the configuration over the file over the machine, the id over all', async t => {
  const { dir, write } = await minionTest(t)
  await write('conf/grains', 'role: file\nos: Mine\nid: other\n')
  const options = minionOptions({ id: 'web1', cachedir: dir, conf_dir: `${dir}/conf`, grains: { role: 'config', id: 'third' } })
  t.match(await collectGrains(options), { role: 'config', os: 'Mine', id: 'web1' })
})

t.test('a broken grains file does not keep the minion from starting', async t => {
  const { dir, write, options } = await minionTest(t)
  await write('conf/grains', 'a: [')
  const warned = new Promise<Error>(resolve => process.once('warning', resolve))
  t.match(await collectGrains({ ...options, conf_dir: `${dir}/conf` }), { id: 'web1' })
  t.match((await warned).message, /^Error reading existing grains file/)
})

t.test('network grains: every interface, also one that is down, with its addresses and its hardware address', async t => {
  const source = await recordedMachine(t, {
    'sys/class/net/eth0/flags': '0x1003\n',
    'sys/class/net/eth0/address': '02:00:00:00:00:01\n',
    'sys/class/net/eth1/flags': '0x1002\n',
    'sys/class/net/eth1/address': '02:00:00:00:00:09\n',
    'etc/resolv.conf': 'nameserver 192.0.2.53\n'
  })
  const mac = '02:00:00:00:00:01'
  const grains = await networkGrains(source, {
    eth0: [
      { address: '10.1.2.10', netmask: '255.255.255.0', family: 'IPv4', mac, internal: false, cidr: '10.1.2.10/24' },
      { address: 'fe80::1', netmask: 'ffff:ffff:ffff:ffff::', family: 'IPv6', mac, internal: false, cidr: 'fe80::1/64', scopeid: 2 }
    ]
  })
  t.match(grains, {
    ...{ ipv4: ['10.1.2.10'], ipv6: ['fe80::1'], ip_interfaces: { eth0: ['10.1.2.10', 'fe80::1'], eth1: [] } },
    ...{ ip4_interfaces: { eth0: ['10.1.2.10'], eth1: [] }, ip6_interfaces: { eth0: ['fe80::1'], eth1: [] } },
    ...{ hwaddr_interfaces: { eth0: mac, eth1: '02:00:00:00:00:09' }, ip_gw: false, dns: { nameservers: ['192.0.2.53'] } }
  })
})

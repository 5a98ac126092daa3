import { createServer } from 'node:net'
import os from 'node:os'
import t from 'tap'
import { networkModule } from '../../../src/minion/modules/network.js'
import { systemProgram } from '../../../src/minion/modules/tool.js'
import { kw, minionTest } from '../../helpers/executor.js'
import { minionWith, recordedMachine } from '../../helpers/machine.js'

const SEEN: ReturnType<typeof os.networkInterfaces> = {
  lo: [
    { address: '127.0.0.1', netmask: '255.0.0.0', family: 'IPv4', mac: '00:00:00:00:00:00', internal: true, cidr: '127.0.0.1/8' },
    { address: '::1', netmask: 'ffff::', family: 'IPv6', mac: '00:00:00:00:00:00', internal: true, cidr: '::1/128', scopeid: 0 }
  ],
  eth0: [
    { address: '10.1.2.10', netmask: '255.255.255.0', family: 'IPv4', mac: '02:00:00:00:00:01', internal: false, cidr: '10.1.2.10/24' },
    { address: '10.1.2.9', netmask: '255.255.255.0', family: 'IPv4', mac: '02:00:00:00:00:01', internal: false, cidr: '10.1.2.9/24' },
    {
      address: 'fe80::1',
      netmask: 'ffff:ffff:ffff:ffff::',
      family: 'IPv6',
      mac: '02:00:00:00:00:01',
      internal: false,
      cidr: 'fe80::1/64',
      scopeid: 2
    }
  ],
  wan: [{ address: '8.8.4.4', netmask: '255.255.255.255', family: 'IPv4', mac: '02:00:00:00:00:02', internal: false, cidr: '8.8.4.4/32' }]
}

const socket = (local: string, remote: string, state: string, rest = '00000002:00000001 00:00000000 00000000  1000        0 4242 1') =>
  `   0: ${local} ${remote} ${state} ${rest}\n`

/** Numbers of /proc/net are in the byte order of the machine that recorded them. */
const FILES = {
  'sys/class/net/lo/flags': '0x9\n',
  'sys/class/net/eth0/flags': '0x1003\n',
  'sys/class/net/eth0/address': '02:00:00:00:00:01\n',
  'sys/class/net/eth1/flags': '0x1002\n',
  'sys/class/net/eth1/address': '02:00:00:00:00:09\n',
  'sys/class/net/wan/flags': '0x1003\n',
  'sys/class/net/bonding_masters': '\n',
  'proc/net/route': [
    'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT',
    'eth0\t00000000\t0102010A\t0003\t0\t0\t100\t00000000\t0\t0\t0',
    'eth0\t0002010A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0',
    'wan\t0000010A\t00000000\t0001\t0\t0\t5\t0000FFFF\t0\t0\t0',
    'wan\t00000000\t04040808\t0003\t0\t0\t50\t00000000\t0\t0\t0',
    'eth1\t00000C0A\t00000000\t0000\t0\t0\t0\t00FFFFFF\t0\t0\t0\n'
  ].join('\n'),
  'proc/net/ipv6_route': [
    'fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0',
    '00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0',
    '00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n'
  ].join('\n'),
  'proc/net/tcp': `head\n${socket('0100007F:1F40', '00000000:0000', '0A')}${socket('0A02010A:0016', '0102010A:D431', '01', '00000000:00000000 02:000A 0 0 0 4343 1')}`,
  'proc/net/tcp6': `head\n${socket('00000000000000000000000001000000:0050', '00000000000000000000000000000000:0000', '0A')}`,
  'proc/net/udp': `head\n${socket('00000000:0044', '00000000:0000', '07')}`,
  'proc/net/arp':
    'IP address       HW type     Flags       HW address            Mask     Device\n10.1.2.1         0x1         0x2         02:00:00:00:00:aa     *        eth0\n10.1.2.7         0x1         0x0         00:00:00:00:00:00     *        eth0\n',
  'proc/77/comm': 'sshd\n',
  'proc/77/fd/3': '-> socket:[4343]'
}

const LITTLE = os.endianness() === 'LE'

async function machine(t: Parameters<typeof minionWith>[0]) {
  return minionWith(t, networkModule({ source: await recordedMachine(t, FILES), seen: () => SEEN }))
}

t.test('network: interfaces and addresses', async t => {
  const { value, run } = await machine(t)
  t.same(await value('network.interfaces'), {
    eth0: {
      ...{ up: true, hwaddr: '02:00:00:00:00:01', inet6: [{ address: 'fe80::1', prefixlen: '64', scope: 'link' }] },
      inet: [
        { address: '10.1.2.10', netmask: '255.255.255.0', broadcast: '10.1.2.255', label: 'eth0' },
        { address: '10.1.2.9', netmask: '255.255.255.0', broadcast: '10.1.2.255', label: 'eth0' }
      ]
    },
    eth1: { up: false, hwaddr: '02:00:00:00:00:09' },
    lo: {
      ...{ up: true, hwaddr: '00:00:00:00:00:00', inet6: [{ address: '::1', prefixlen: '128', scope: 'host' }] },
      inet: [{ address: '127.0.0.1', netmask: '255.0.0.0', broadcast: null, label: 'lo' }]
    },
    wan: {
      up: true,
      hwaddr: '02:00:00:00:00:02',
      inet: [{ address: '8.8.4.4', netmask: '255.255.255.255', broadcast: null, label: 'wan' }]
    }
  })
  t.match(await value('network.interface', 'wan'), [{ address: '8.8.4.4' }])
  t.equal(await value('network.interface', 'eth1'), '')
  t.equal(await value('network.interface_ip', 'eth0'), '10.1.2.10')
  t.equal(await value('network.interface_ip', 'eth1'), '')
  t.equal(await value('network.hw_addr', 'eth1'), '02:00:00:00:00:09')
  t.equal(await value('network.hwaddr', 'toString'), 'Interface "toString" not in available interfaces: "eth0", "eth1", "lo", "wan"')
  t.same(await value('network.ip_addrs'), ['8.8.4.4', '10.1.2.9', '10.1.2.10'])
  t.same(await value('network.ip_addrs', 'eth0'), ['10.1.2.9', '10.1.2.10'])
  t.same(await value('network.ipaddrs', kw({ include_loopback: true, cidr: '127.0.0.0/8' })), ['127.0.0.1'])
  t.same(await value('network.ip_addrs', kw({ type: 'public' })), ['8.8.4.4'])
  t.same(await value('network.ip_addrs', kw({ type: 'private' })), ['10.1.2.9', '10.1.2.10'])
  t.same(await value('network.ip_addrs6'), ['fe80::1'])
  t.same(await value('network.ifacestartswith', '10.1'), ['eth0'])
  t.same(await value('network.subnets'), ['10.1.2.0/24', '8.8.4.4/32'])
  t.same(await value('network.subnets', 'eth0'), ['10.1.2.0/24'])
  t.same(await value('network.subnets6'), ['fe80::/64'])
  t.same(await value('network.ip_networks', kw({ interface: 'lo', include_loopback: true })), ['127.0.0.0/8'])
  t.equal(await value('network.in_subnet', '10.1.0.0/16'), true)
  t.equal(await value('network.in_subnet', '10.2.0.0/16'), false)
  t.match(await run('network.in_subnet', 'x/8'), { success: false, return: /does not appear to be/ })
})

t.test('network: what needs no machine', async t => {
  const { value, run } = await machine(t)
  const all = async (fun: string, cases: readonly (readonly [unknown[], unknown])[]) => {
    for (const [args, wanted] of cases) t.same(await value(`network.${fun}`, ...args), wanted, `${fun} ${args.join(' ')}`)
  }
  await all('is_private', [
    [['192.168.1.1'], true],
    [['172.32.0.1'], false],
    [['8.8.8.8'], false],
    [['fd12::1'], true],
    [['2600::1'], false]
  ])
  await all('is_loopback', [
    [['127.9.9.9'], true],
    [['::1'], true],
    [['::2'], false]
  ])
  await all('reverse_ip', [
    [['10.2.3.4'], '4.3.2.10.in-addr.arpa'],
    [['2001:db8::1'], `1.${'0.'.repeat(23)}8.b.d.0.1.0.0.2.ip6.arpa`]
  ])
  await all('iphexval', [[['10.0.0.255'], '0A0000FF']])
  await all('ip_in_subnet', [
    [['172.17.0.4', '172.16.0.0/12'], true],
    [['172.32.0.4', '172.16.0.0/12'], false],
    [['::1', '10.0.0.0/8'], false]
  ])
  await all('convert_cidr', [
    [['10.1.2.3/20'], { network: '10.1.0.0', netmask: '255.255.240.0', broadcast: '10.1.15.255' }],
    [['10.1.2.3/0'], { network: '0.0.0.0', netmask: '0.0.0.0', broadcast: '255.255.255.255' }],
    [['nonsense'], { network: null, netmask: null, broadcast: null }]
  ])
  await all('calc_net', [
    [['172.17.0.5', '255.255.255.240'], '172.17.0.0/28'],
    [['2001:db8::ffff/64'], '2001:db8::/64'],
    [['10.0.0.1'], '10.0.0.1/32']
  ])
  for (const [fun, ...args] of [
    ['is_private', 'x'],
    ['reverse_ip', '1.2.3'],
    ['calc_net', '10.0.0.1', '255.0.255.0'],
    ['ip_in_subnet', '10.0.0.1', '10.0.0.0/33']
  ])
    t.match(await run(`network.${fun}`, ...args), { success: false, return: /does not appear to be/ })
})

t.test('network: routes, sockets and neighbours', { skip: LITTLE ? false : 'recorded on a machine of the other byte order' }, async t => {
  const { value, run } = await machine(t)
  const routes = (await value('network.routes')) as object[]
  t.equal(routes.length, 6, 'what is down or refuses is no route')
  t.same(routes[1], {
    addr_family: 'inet',
    destination: '10.1.2.0',
    gateway: '0.0.0.0',
    netmask: '255.255.255.0',
    flags: 'U',
    interface: 'eth0'
  })
  t.same(routes[4], { addr_family: 'inet6', destination: 'fe80::/64', gateway: '::', netmask: '', flags: 'U', interface: 'eth0' })
  t.same(
    ((await value('network.default_route')) as { gateway: string; interface: string }[]).map(({ gateway, interface: name }) => [
      gateway,
      name
    ]),
    [
      ['10.1.2.1', 'eth0'],
      ['8.8.4.4', 'wan'],
      ['fe80::1', 'eth0']
    ]
  )
  t.equal(((await value('network.default_route', 'inet6')) as object[]).length, 1)
  t.match(await run('network.routes', 'ipx'), { success: false, return: /Invalid address family/ })
  const route = (ip: string) => value('network.get_route', ip)
  t.same(
    await route('10.1.2.77'),
    { destination: '10.1.2.77', gateway: null, interface: 'eth0', source: '10.1.2.10' },
    'the longest prefix'
  )
  t.same(await route('10.1.9.9'), { destination: '10.1.9.9', gateway: null, interface: 'wan', source: '8.8.4.4' })
  t.same(await route('1.1.1.1'), { destination: '1.1.1.1', gateway: '8.8.4.4', interface: 'wan', source: '8.8.4.4' }, 'the smallest metric')
  t.same(await route('2600::1'), { destination: '2600::1', gateway: 'fe80::1', interface: 'eth0', source: 'fe80::1' })
  t.same(await route('10.1.2.9'), { destination: '10.1.2.9', gateway: null, interface: 'lo', source: '10.1.2.9' })
  t.same(await value('network.netstat'), [
    {
      ...{ proto: 'tcp', 'recv-q': '1', 'send-q': '2', 'local-address': '127.0.0.1:8000', 'remote-address': '0.0.0.0:*' },
      ...{ state: 'LISTEN', user: '1000', inode: '4242', program: '-' }
    },
    {
      ...{ proto: 'tcp', 'recv-q': '0', 'send-q': '0', 'local-address': '10.1.2.10:22', 'remote-address': '10.1.2.1:54321' },
      ...{ state: 'ESTABLISHED', user: '0', inode: '4343', program: '77/sshd' }
    },
    {
      ...{ proto: 'tcp6', 'recv-q': '1', 'send-q': '2', 'local-address': '::1:80', 'remote-address': ':::*' },
      ...{ state: 'LISTEN', user: '1000', inode: '4242', program: '-' }
    },
    {
      ...{ proto: 'udp', 'recv-q': '1', 'send-q': '2', 'local-address': '0.0.0.0:68', 'remote-address': '0.0.0.0:*' },
      ...{ user: '1000', inode: '4242', program: '-' }
    }
  ])
  t.same(await value('network.active_tcp'), {
    0: { local_addr: '10.1.2.10', local_port: '22', remote_addr: '10.1.2.1', remote_port: '54321' }
  })
  t.same(await value('network.arp'), { '02:00:00:00:00:aa': '10.1.2.1' })
  t.same(await value('network.ip_neighs'), { '10.1.2.1': '02:00:00:00:00:aa' })
})

t.test('network: this machine', async t => {
  const { value, run } = await minionTest(t, { grains: { fqdn: 'web1.example.com', fqdns: ['web1.example.com'] } })
  t.match(await value('network.interface', 'lo'), [{ address: '127.0.0.1', netmask: '255.0.0.0' }])
  t.equal(await value('network.get_hostname'), os.hostname())
  t.equal(await value('network.get_fqdn'), 'web1.example.com')
  t.same(await value('network.fqdns'), { fqdns: ['web1.example.com'] })
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  t.ok(
    ((await value('network.netstat')) as { 'local-address': string; program: string }[]).some(
      each => each['local-address'] === `127.0.0.1:${port}` && each.program.startsWith(`${process.pid}/`)
    )
  )
  t.same(await value('network.connect', '127.0.0.1', port), {
    result: true,
    comment: `Successfully connected to 127.0.0.1 (127.0.0.1) on tcp port ${port}`
  })
  await new Promise(resolve => server.close(resolve))
  t.same(await value('network.connect', '127.0.0.1', port), {
    result: false,
    comment: `Unable to connect to 127.0.0.1 (127.0.0.1) on tcp port ${port}`
  })
  t.match(await value('network.connect', '127.0.0.1', port, kw({ proto: 'udp' })), { result: true })
  t.match(await value('network.connect', 'no.such.host.invalid', 80), { result: false, comment: /\(unknown\)/ })
  t.match(await value('network.connect', '127.0.0.1'), { result: false, comment: 'Required argument, port, is missing.' })
  for (const fun of ['ping', 'traceroute', 'dig']) t.match(await run(`network.${fun}`, '-f'), { success: false, return: /is no host/ })
})

const ping = await systemProgram('ping')

t.test('network.ping', { skip: ping === null && 'there is no ping (.ci/tools.sh installs it)' }, async t => {
  const { value } = await minionTest(t)
  t.match(await value('network.ping', '127.0.0.1'), /4 packets transmitted/)
})

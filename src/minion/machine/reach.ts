/** Whether a port of another machine can be reached, in the words of Salt's network.connect. */
import { createSocket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { connect } from 'node:net'
import { type Mapping, number, textOrNull } from '../modules/values.js'

export interface Reached {
  readonly result: boolean
  readonly comment: string
}

/** `proto`: tcp or udp (for which it only says that something could be sent). `family`: ipv4, ipv6. `timeout`: seconds, 5 by default. */
export async function tryToConnect(givenHost: unknown, givenPort: unknown, { proto, family, timeout }: Mapping): Promise<Reached> {
  const host = textOrNull(givenHost, 'host')
  if (!host) return { result: false, comment: 'Required argument, host, is missing.' }
  if (givenPort === null || givenPort === undefined || givenPort === '')
    return { result: false, comment: 'Required argument, port, is missing.' }
  const port = number(givenPort, 'port')
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return { result: false, comment: `${port} is no port.` }
  const kind = textOrNull(proto, 'proto') ?? 'tcp'
  if (kind !== 'tcp' && kind !== 'udp') return { result: false, comment: `${kind} is no protocol that can be tried: tcp, udp.` }
  const wanted = ({ ipv4: 4, ipv6: 6 } as const)[textOrNull(family, 'family') as 'ipv4'] ?? 0
  let address: { address: string; family: number }
  try {
    address = await lookup(host, { family: wanted })
  } catch {
    return { result: false, comment: `Unable to connect to ${host} (unknown) on ${kind} port ${port}` }
  }
  const shown = `${host} (${address.address}) on ${kind} port ${port}`
  const ms = number(timeout ?? 5, 'timeout') * 1000
  const reached = kind === 'tcp' ? await tcp(address.address, port, ms) : await udp(address, port)
  return { result: reached, comment: reached ? `Successfully connected to ${shown}` : `Unable to connect to ${shown}` }
}

function tcp(host: string, port: number, ms: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ host, port })
    const end = (result: boolean) => {
      socket.destroy()
      resolve(result)
    }
    socket.setTimeout(ms, () => end(false))
    socket.on('connect', () => end(true)).on('error', () => end(false))
  })
}

function udp({ address, family }: { address: string; family: number }, port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
    const end = (result: boolean) => {
      socket.close()
      resolve(result)
    }
    socket.on('error', () => end(false))
    socket.connect(port, address, () => socket.send('', error => end(!error)))
  })
}

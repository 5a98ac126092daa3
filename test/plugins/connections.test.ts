import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { httpServer } from '../helpers/http.js'

async function open(url: string) {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** A reset is a way to close, too. */
const closed = (socket: Socket) => new Promise(resolve => socket.once('close', resolve))

t.test('closing does not wait for a connection that never sent a request, nor for half of a request', async t => {
  const http = await httpServer(t)
  const url = await http.listen()
  const spare = await open(url)
  const half = await open(url)
  half.write('POST /hook/x HTTP/1.1\r\nHost: x\r\n')
  const ends = Promise.all([closed(spare), closed(half)])
  await http.close()
  await ends
  t.pass('it is closed')
})

t.test('closing cuts a request whose body does not end', async t => {
  const http = await httpServer(t)
  const url = await http.listen()
  const upload = await open(url)
  upload.write(
    `POST /hook/x HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${http.token}\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\n123`
  )
  // An answer to somebody else: the server has read what was sent before.
  await fetch(`${url}/healthz`)
  const ends = closed(upload)
  await http.close()
  await ends
  t.equal(await http.store.events.head().catch(() => 0), 0, 'half an event is none')
})

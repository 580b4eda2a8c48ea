// A forward proxy as companies run them: makes tunnels by CONNECT, to one server whatever name was asked for.
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'

export interface ForwardProxy {
  /** `http://` or `https://`, host and port. */
  readonly url: string
  /** What each tunnel was asked for: `host:port`. */
  readonly asked: readonly string[]
  readonly headers: readonly IncomingMessage['headers'][]
  /** By which names TLS was spoken to it; false = without one, as to an address. */
  readonly named: ReadonlySet<string | false | null | undefined>
  /** In place of a tunnel: the status that it answers, silence, a connection that ends, or bytes that come from nobody behind it. */
  mood: 'tunnel' | number | 'silent' | 'hang up' | 'say more'
  close(): Promise<void>
}

/** @param port of the server at this machine that all tunnels end at */
export async function startForwardProxy(port: number, tls?: { key: Buffer; cert: Buffer }): Promise<ForwardProxy> {
  const sockets = new Set<Socket>()
  const keep = (socket: Socket): void => {
    sockets.add(socket)
    socket.on('error', () => {}).once('close', () => sockets.delete(socket))
  }
  const server = tls ? createTlsServer(tls) : createServer()
  server.on(tls ? 'secureConnection' : 'connection', keep)
  server.on('connect', ({ url, headers }: IncomingMessage, socket: Socket) => {
    proxy.asked.push(url!)
    proxy.headers.push(headers)
    proxy.named.add((socket as Partial<TLSSocket>).servername)
    if (proxy.mood === 'silent') return
    if (proxy.mood === 'hang up') return void socket.destroy()
    if (proxy.mood === 'say more') return void socket.write('HTTP/1.1 200 OK\r\n\r\nhello')
    if (proxy.mood !== 'tunnel') return void socket.end(`HTTP/1.1 ${proxy.mood} No\r\ncontent-length: 4\r\n\r\nnope`)
    const through = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      socket.pipe(through).pipe(socket)
    })
    keep(through)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy = {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: [] as string[],
    headers: [] as IncomingMessage['headers'][],
    named: new Set<string | false | null | undefined>(),
    mood: 'tunnel' as ForwardProxy['mood'],
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
  return proxy
}

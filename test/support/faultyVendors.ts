// The three kinds of upstream that one simulator plays, and addresses at which there is no vendor at all.
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { Nowhere, WireName } from './faultTable.ts'

const basePaths: Record<WireName, string> = { openai: '/v1', anthropic: '/v1', gemini: '/v1beta' }

/** A provider that speaks the wire at an address. */
export const vendorAt = (wire: WireName, url: string, more: Record<string, unknown> = {}): Record<string, unknown> => ({
  kind: wire,
  baseUrl: url + basePaths[wire],
  apiKey: 'sk-test-upstream-0123456789',
  ...more,
})

export interface NowhereServers {
  /** Base addresses without a path. */
  readonly urls: Record<Nowhere, string>
  close(): Promise<void>
}

/** Takes the addresses: one where nothing listens, one that never answers a TLS handshake, one that answers it with a page. */
export async function startNowhere(): Promise<NowhereServers> {
  const sockets = new Set<Socket>()
  const listening = async (onSocket: (socket: Socket) => void): Promise<Server> => {
    const server = createServer((socket) => {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
      socket.on('error', () => {})
      onSocket(socket)
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return server
  }
  const portOf = (server: Server): number => (server.address() as AddressInfo).port
  const mute = await listening((socket) => socket.resume())
  const plain = await listening((socket) =>
    socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n')),
  )
  return {
    urls: {
      // Reserved, and nobody's for decades: one that was free a moment ago may be another test's by now.
      closed: 'http://127.0.0.1:1',
      mute: `https://127.0.0.1:${portOf(mute)}`,
      plain: `https://127.0.0.1:${portOf(plain)}`,
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      mute.close()
      plain.close()
      await Promise.all([once(mute, 'close'), once(plain, 'close')])
    },
  }
}

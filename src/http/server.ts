// The listening server: its deadlines, its answers to broken connections, and its slow, complete stop.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ServerSettings } from '../config/snapshot.ts'
import { answerClientErrors } from './clientError.ts'

export interface ListeningServer {
  readonly url: string
  readonly port: number
  /**
   * Stops accepting, lets what runs finish for at most `ms`, then cuts it off.
   * @returns how many connections were cut off
   */
  drain(ms: number): Promise<number>
}

export async function listen(
  listener: (req: IncomingMessage, res: ServerResponse) => void,
  settings: ServerSettings,
): Promise<ListeningServer> {
  const server = createServer(
    {
      keepAlive: true,
      noDelay: true,
      keepAliveTimeout: settings.keepAliveTimeout,
      headersTimeout: settings.headersTimeout,
      requestTimeout: settings.bodyTimeout,
      connectionsCheckingInterval: 1_000,
    },
    listener,
  )
  answerClientErrors(server)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(settings.port, settings.host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const { port, address, family } = server.address() as AddressInfo
  return {
    port,
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`,
    drain: (ms) => drain(server, ms),
  }
}

function drain(server: Server, ms: number): Promise<number> {
  return new Promise((resolve) => {
    let cut = 0
    const timer = setTimeout(() => {
      server.getConnections((_error, count) => {
        cut = count
        server.closeAllConnections()
      })
    }, ms)
    server.close(() => {
      clearTimeout(timer)
      resolve(cut)
    })
    server.closeIdleConnections()
  })
}

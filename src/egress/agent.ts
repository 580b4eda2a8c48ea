// Agents for calls beside the traffic: messages to webhooks, key sets, price lists, spans.
import type { Agent as HttpAgent } from 'node:http'
import type { Agent } from 'undici'
import { authorityOf, connectorThrough, type Done, dialThrough, type Secure } from './tunnel.ts'

/**
 * An agent of undici.
 * @param proxy URL of the proxy that its calls go through; undefined = straight
 * @param timeout milliseconds for a connection
 */
export async function openAgent(
  proxy: string | undefined,
  timeout: number,
  options: Omit<Agent.Options, 'connect'> = {},
): Promise<Agent> {
  const { Agent, buildConnector } = await import('undici')
  const connect = proxy === undefined ? { timeout } : connectorThrough(proxy, buildConnector({ timeout }), timeout)
  return new Agent({ ...options, connect })
}

/** An agent for Node's own client, whose calls go through a proxy. */
export async function openHttpAgent(proxy: string, protocol: string, timeout: number): Promise<HttpAgent> {
  const isSecure = protocol === 'https:'
  const [{ Agent }, { connect }] = await Promise.all([
    isSecure ? import('node:https') : import('node:http'),
    import('node:tls'),
  ])
  const agent = new Agent({ keepAlive: true })
  agent.createConnection = (options, callback) => {
    const { host, port } = options as { host: string; port: string | number }
    const secure: Secure = (socket, done) => {
      const secured = connect({ ...(options as object), socket })
      const failed = (error: Error): void => done(error, null)
      secured.once('error', failed).once('secureConnect', () => {
        secured.off('error', failed)
        done(null, secured)
      })
    }
    dialThrough({ proxy, authority: authorityOf(host, port), timeout }, isSecure ? secure : undefined, callback as Done)
    return undefined
  }
  return agent
}

// Reaches an address through an HTTP proxy: by a tunnel (CONNECT, RFC 9110, 9.3.6), so that TLS reaches from us to the address itself.
import type { RequestOptions } from 'node:http'
import { isIP, type Socket } from 'node:net'
import { unescape as unescaped } from 'node:querystring'
import type { buildConnector } from 'undici'

/** The tunnel is not there: the proxy cannot be reached, or will not make it. The message names neither the proxy nor its password. */
export class TunnelError extends Error {
  readonly code: 'ERR_PROXY' | 'UND_ERR_CONNECT_TIMEOUT'

  constructor(message: string, code: TunnelError['code'] = 'ERR_PROXY') {
    super(message)
    this.name = 'TunnelError'
    this.code = code
  }
}

export type Done = (...result: [error: null, socket: Socket] | [error: Error, socket: null]) => void

/** Speaks TLS over a tunnel. */
export type Secure = (socket: Socket, done: Done) => void

/**
 * A connector of undici that dials through a proxy.
 * @param proxy URL of the proxy, `http:` or `https:`, with user and password where it asks for them
 * @param direct speaks TLS over the tunnel
 * @param timeout milliseconds for all of it: the proxy, the tunnel and TLS
 */
export function connectorThrough(
  proxy: string,
  direct: buildConnector.connector,
  timeout: number,
): buildConnector.connector {
  return (options, callback) => {
    const { hostname, port, protocol } = options
    const isSecure = protocol === 'https:'
    const way = { proxy, authority: authorityOf(hostname, port || (isSecure ? 443 : 80)), timeout }
    dialThrough(
      way,
      isSecure ? (socket, done) => direct({ ...options, httpSocket: socket }, done) : undefined,
      callback,
    )
  }
}

/**
 * Dials `authority` (`host:port`) through a proxy, and calls back once: within `timeout` milliseconds, with a socket or with what went wrong.
 * @param secure undefined = no TLS
 */
export function dialThrough(
  { proxy, authority, timeout }: { proxy: string; authority: string; timeout: number },
  secure: Secure | undefined,
  callback: Done,
): void {
  let socket: Socket | undefined
  let over = false
  const done: Done = (...result) => {
    if (over) return
    over = true
    clearTimeout(late)
    callback(...result)
  }
  const asked = new AbortController()
  const late = setTimeout(() => {
    done(new TunnelError('The proxy took too long.', 'UND_ERR_CONNECT_TIMEOUT'), null)
    asked.abort()
    socket?.destroy()
  }, timeout)
  openTunnel(proxy, authority, asked.signal, (...result) => {
    if (result[0] !== null || secure === undefined) return done(...result)
    socket = result[1]
    secure(socket, done)
  })
}

/** @param host a name or an address, one of IPv6 with or without its brackets */
export function authorityOf(host: string, port: string | number): string {
  return host.includes(':') && !host.startsWith('[') ? `[${host}]:${port}` : `${host}:${port}`
}

/** Asks the proxy for a tunnel to `authority` (`host:port`). Calls back at once when it is there, since whoever takes its socket must hear its errors. */
function openTunnel(proxy: string, authority: string, signal: AbortSignal, callback: Done): void {
  const { protocol, hostname, port, username, password } = new URL(proxy)
  const headers: Record<string, string> = { host: authority }
  const account = `${username}:${password}`
  // A `%` that escapes nothing stands for itself, as for curl.
  if (account !== ':') headers['proxy-authorization'] = `Basic ${Buffer.from(unescaped(account)).toString('base64')}`
  const host = hostname.replace(/^\[(.+)\]$/, '$1')
  const options: RequestOptions & { servername: string } = {
    method: 'CONNECT',
    path: authority,
    host,
    // Node would take the name in the header `host`: that of the address behind the proxy.
    servername: isIP(host) === 0 ? host : '',
    port: port || (protocol === 'https:' ? 443 : 80),
    headers,
    agent: false,
    signal,
  }
  // TLS is loaded where it is spoken.
  const loaded = protocol === 'https:' ? import('node:https') : import('node:http')
  loaded.then(({ request }) => {
    request(options)
      .once('connect', ({ statusCode }, socket: Socket, first) => {
        // We speak first in a tunnel: what stands behind the answer comes from nobody at its other end.
        if (statusCode !== 200 || first.length > 0) {
          socket.destroy()
          const more = statusCode === 200 ? ', and more behind it' : ''
          callback(new TunnelError(`The proxy answered ${statusCode} to CONNECT${more}.`), null)
          return
        }
        socket.setNoDelay(true).setKeepAlive(true, 60_000)
        callback(null, socket)
      })
      .once('error', ({ code, message }: NodeJS.ErrnoException) =>
        callback(new TunnelError(`The proxy cannot be reached (${code ?? message}).`), null),
      )
      .end()
  })
}

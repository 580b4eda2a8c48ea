// What went wrong on the wire, from the error that undici or the system reports.
import { type FaultKind, UpstreamFault } from '../dialects/errors.ts'

const kinds: Record<string, [FaultKind, string]> = {
  ECONNREFUSED: ['dial_failed', 'The upstream refused the connection.'],
  ENOTFOUND: ['dial_failed', "The upstream's name does not resolve."],
  EAI_AGAIN: ['dial_failed', "The upstream's name does not resolve at the moment."],
  EHOSTUNREACH: ['dial_failed', 'The upstream cannot be reached.'],
  ENETUNREACH: ['dial_failed', 'The upstream cannot be reached.'],
  EADDRNOTAVAIL: ['no_socket', 'The machine has no port or address left for a connection to the upstream.'],
  EMFILE: ['no_socket', 'The gateway has no file descriptor left for a connection to the upstream.'],
  ENFILE: ['no_socket', 'The machine has no file descriptor left for a connection to the upstream.'],
  ENOBUFS: ['no_socket', 'The machine has no memory left for a connection to the upstream.'],
  ENOMEM: ['no_socket', 'The machine has no memory left for a connection to the upstream.'],
  ETIMEDOUT: ['connect_timeout', 'The connection to the upstream timed out.'],
  UND_ERR_CONNECT_TIMEOUT: ['connect_timeout', 'The connection to the upstream timed out.'],
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: ['cut', 'The upstream sent fewer or more bytes than it announced.'],
  UND_ERR_HEADERS_OVERFLOW: ['garbage', "The upstream's headers are too large."],
  EPROTO: ['tls_failed', 'The TLS handshake with the upstream failed.'],
}

/** How far a call had come. `sent`: bytes of the request may have reached the upstream; `responded`: its headers had come. */
export interface Reached {
  sent: boolean
  responded: boolean
}

/** Classifies an error of the connection by its code, and by how far the call had come. */
export function dialFaultOf(error: Error, { sent, responded }: Reached): UpstreamFault {
  const code = codeOf(error)
  if (code === 'ERR_PROXY') return new UpstreamFault('dial_failed', error.message, { code: 'dial_failed' })
  const known = kinds[code]
  if (known) return new UpstreamFault(known[0], known[1], { code: known[0] })
  if (/^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/.test(code)) {
    return new UpstreamFault('tls_failed', `The TLS handshake with the upstream failed (${code}).`)
  }
  if (isUnasked(error))
    return new UpstreamFault('garbage', 'The upstream answered 100 or 101, for which nobody had asked.')
  if (isNoHttp(error)) return new UpstreamFault('garbage', 'What the upstream sent is not HTTP.')
  if (!sent) return new UpstreamFault('dial_failed', 'The upstream closed the connection before the request was sent.')
  return responded
    ? new UpstreamFault('cut', 'The upstream closed the connection in the middle of its reply.')
    : new UpstreamFault('reset', 'The upstream closed the connection before it replied.')
}

/** undici (7) closes the connection itself then, and says so in these words alone. */
const isUnasked = (error: Error): boolean =>
  error.name === 'SocketError' && (error.message === 'bad response' || error.message === 'bad upgrade')

/** undici holds the end of a reply that was to go on for unreadable, too: then there are no bytes that could not be read. */
const isNoHttp = (error: Error & { data?: unknown }): boolean =>
  error.name === 'HTTPParserError' && typeof error.data === 'string' && error.data !== ''

/** What an address of a family says that this machine does not speak: it is in `/etc/hosts` or the DNS all the same. */
const unspoken: ReadonlySet<string> = new Set(['EADDRNOTAVAIL', 'EAFNOSUPPORT', 'ENETUNREACH'])

/** A dial to several addresses fails with one error that holds the others: what one says that could be tried tells more. */
function codeOf(error: Error & { code?: unknown; errors?: unknown; cause?: unknown }): string {
  if (Array.isArray(error.errors)) {
    const codes = error.errors.map(codeOf)
    return codes.find((code) => !unspoken.has(code)) ?? codes[0] ?? ''
  }
  if (typeof error.code === 'string' && error.code !== 'UND_ERR_SOCKET') return error.code
  return error.cause instanceof Error ? codeOf(error.cause) : ''
}

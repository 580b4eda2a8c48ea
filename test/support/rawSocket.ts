// A bare TCP connection to a server, for requests that no HTTP client would send.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface RawReply {
  status: number
  headers: Record<string, string>
  body: string
}

export interface RawSocket {
  readonly socket: Socket
  /** Everything that has come so far, as latin1 so that one character is one byte. */
  readonly text: string
  write(bytes: string | Buffer): void
  /** Resolves as soon as the predicate holds for what has come; rejects when the connection ends first. */
  until(predicate: (text: string) => boolean): Promise<string>
  /** Resolves when the connection is closed, however that happens. */
  readonly closed: Promise<string>
  close(): void
}

/** Connects to a port of loopback. */
export async function openRaw(port: number): Promise<RawSocket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  let text = ''
  const looks = new Set<() => void>()
  socket.on('data', (bytes) => {
    text += bytes.toString('latin1')
    for (const look of [...looks]) look()
  })
  socket.on('error', () => {})
  const closed = once(socket, 'close').then(() => text)
  await once(socket, 'connect')
  return {
    socket,
    get text() {
      return text
    },
    write: (bytes) => void socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes),
    until(predicate) {
      return new Promise((resolve, reject) => {
        const look = (): void => {
          if (!predicate(text)) return
          looks.delete(look)
          resolve(text)
        }
        looks.add(look)
        void closed.then(() => reject(new Error(`closed after: ${text.slice(0, 500)}`)))
        look()
      })
    },
    closed,
    close: () => void socket.destroy(),
  }
}

/** Sends bytes on a connection of their own and reads until the server closes it. */
export async function rawExchange(port: number, bytes: string | Buffer): Promise<RawReply> {
  const raw = await openRaw(port)
  raw.write(bytes)
  return parseReply(await raw.closed)
}

/** The first reply of what a server sent; chunked bodies are put together. */
export function parseReply(text: string): RawReply {
  const [head = '', ...rest] = text.split('\r\n\r\n')
  const [statusLine = '', ...lines] = head.split('\r\n')
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  )
  const body = rest.join('\r\n\r\n')
  return {
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(statusLine)?.[1] ?? 0),
    headers,
    body: headers['transfer-encoding'] === 'chunked' ? joinChunks(body) : body,
  }
}

function joinChunks(text: string): string {
  let joined = ''
  let at = 0
  for (;;) {
    const end = text.indexOf('\r\n', at)
    const size = Number.parseInt(text.slice(at, end), 16)
    if (end === -1 || !(size > 0)) return joined
    joined += text.slice(end + 2, end + 2 + size)
    at = end + 2 + size + 2
  }
}

/** A POST as text, with the length of its body. */
export function rawPost(path: string, body: string, headers: readonly string[] = []): string {
  const own = ['host: 127.0.0.1', 'content-type: application/json', `content-length: ${Buffer.byteLength(body)}`]
  return [`POST ${path} HTTP/1.1`, ...own, ...headers, '', body].join('\r\n')
}

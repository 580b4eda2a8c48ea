// A tiny raw upstream for tests: each test scripts by hand, byte by byte, what it answers.
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** Answers one request. `n` counts from 1. What it throws becomes a rejection of `close`. */
export type Handler = (req: IncomingMessage, res: ServerResponse, body: Buffer, n: number) => void | Promise<void>

export interface SeenRequest {
  method: string
  /** With the query. */
  path: string
  headers: IncomingHttpHeaders
  body: Buffer
  /** The other side went before the answer was complete. */
  closedEarly: boolean
  /** The exchange is over, one way or the other. */
  done: boolean
}

export interface FakeUpstream {
  url: string
  requests: SeenRequest[]
  /** Resolves with the first request, past or to come, for which the predicate holds. Default 60 s. */
  waitFor(predicate: (request: SeenRequest) => boolean, timeoutMs?: number): Promise<SeenRequest>
  /** Destroys all connections. Rejects with the first error that a handler threw. */
  close(): Promise<void>
}

/** Starts an upstream on a free loopback port. */
export async function startFakeUpstream(handler: Handler): Promise<FakeUpstream> {
  const requests: SeenRequest[] = []
  const waiters = new Set<() => void>()
  const tell = () => {
    for (const look of [...waiters]) look()
  }
  let failure: unknown
  const server = createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      const seen: SeenRequest = {
        method: req.method ?? '',
        path: req.url ?? '',
        headers: req.headers,
        body: Buffer.concat(chunks),
        closedEarly: false,
        done: false,
      }
      // Says nothing about our own cuts: a handler that destroys its socket did not end the response either.
      res.on('close', () => {
        seen.closedEarly = !res.writableFinished && !ours.has(res)
        seen.done = true
        tell()
      })
      const n = requests.push(seen)
      tell()
      Promise.resolve()
        .then(() => handler(req, res, seen.body, n))
        .catch((error: unknown) => {
          failure ??= error
          res.destroy()
        })
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    waitFor(predicate, timeoutMs = 60_000) {
      return new Promise((resolve, reject) => {
        const look = () => {
          const found = requests.find(predicate)
          if (!found) return
          waiters.delete(look)
          clearTimeout(timer)
          resolve(found)
        }
        const timer = setTimeout(() => {
          waiters.delete(look)
          reject(new Error(`No such request within ${timeoutMs} ms; ${requests.length} came.`))
        }, timeoutMs)
        waiters.add(look)
        look()
      })
    },
    async close() {
      if (server.listening) {
        const closed = once(server, 'close')
        server.close()
        server.closeAllConnections()
        await closed
      }
      if (failure !== undefined) throw failure
    },
  }
}

/** Responses that we broke off ourselves. */
const ours = new WeakSet<ServerResponse>()

/** Events as text: a string is sent as it is, anything else as JSON; `done` adds `[DONE]`. */
export function sseText(
  events: readonly unknown[],
  options: { done?: boolean; eol?: '\n' | '\r\n' | '\r' } = {},
): string {
  const { done = true, eol = '\n' } = options
  const data = events.map((event) => (typeof event === 'string' ? event : JSON.stringify(event)))
  if (done) data.push('[DONE]')
  return data.map((line) => `data: ${line}${eol}${eol}`).join('')
}

/** A named event, as Anthropic sends them. */
export function namedEvent(event: string, data: unknown, eol: '\n' | '\r\n' | '\r' = '\n'): string {
  return `event: ${event}${eol}data: ${JSON.stringify(data)}${eol}${eol}`
}

/** Cuts bytes into pieces of n. */
export function piecesOf(bytes: Buffer | string, n: number): Buffer[] {
  const whole = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes)
  const pieces: Buffer[] = []
  for (let at = 0; at < whole.length; at += n) pieces.push(whole.subarray(at, at + n))
  return pieces
}

/** Answers JSON and ends. */
export function sendJson(
  res: ServerResponse,
  status: number,
  value: unknown,
  headers: Record<string, string | string[]> = {},
): void {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  res.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...headers })
  res.end(text)
}

/** Sends the headers of an event stream at once. */
export function openSse(res: ServerResponse, headers: Record<string, string> = {}): void {
  res.writeHead(200, { 'content-type': 'text/event-stream', ...headers })
  res.flushHeaders()
}

/** Writes the same piece again and again, as fast as it is taken, until the client goes. */
export async function pour(res: ServerResponse, piece: Buffer | string): Promise<void> {
  const gone = once(res, 'close')
  while (!res.destroyed) if (!res.write(piece)) await Promise.race([once(res, 'drain'), gone])
}

/** Writes the pieces, each in its own turn of the event loop, so that each is a TCP segment. Stops if the client goes. */
export async function writePieces(res: ServerResponse, pieces: readonly (Buffer | string)[]): Promise<void> {
  for (const piece of pieces) {
    if (res.destroyed) return
    if (!res.write(piece)) await Promise.race([once(res, 'drain'), once(res, 'close')])
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Answers an event stream, in pieces of n bytes where given, and ends it. */
export async function sendSse(
  res: ServerResponse,
  text: string,
  options: { pieces?: number; headers?: Record<string, string> } = {},
): Promise<void> {
  openSse(res, options.headers)
  await writePieces(res, options.pieces === undefined ? [text] : piecesOf(text, options.pieces))
  res.end()
}

/** Closes the connection in the middle of the message, after what was written has left. */
export function cut(res: ServerResponse): void {
  ours.add(res)
  const { socket } = res
  // A newer Node hands what was written to the socket later in the same turn.
  setImmediate(() => socket?.end(() => socket.destroy()))
}

/** Sends a TCP RST, after what was written has left. */
export function reset(res: ServerResponse): void {
  ours.add(res)
  const { socket } = res
  socket?.write('', () => socket.resetAndDestroy())
}

/** Says nothing more; resolves when the client has gone. */
export async function stall(res: ServerResponse): Promise<void> {
  if (!res.destroyed) await once(res, 'close')
}

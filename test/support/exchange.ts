// One raw HTTP exchange, told as it came: pieces, times, and how the connection ended.
import { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'

export interface Exchange {
  /** 0 = no headers came. */
  status: number
  headers: IncomingHttpHeaders
  pieces: Buffer[]
  text: string
  /** The message ended as HTTP says it must. */
  complete: boolean
  /** Code of the error that ended it, as `ECONNRESET`. */
  error: string | undefined
  /** Milliseconds from the request to the headers, and to the end. */
  headersMs: number
  endMs: number
}

export interface Sent {
  request: ClientRequest
  /** Resolves with the headers, or rejects. */
  response: Promise<IncomingMessage>
  /** Resolves at the end, whatever it is; never rejects. */
  done: Promise<Exchange>
}

/** Sends a request on a connection of its own. A body that is no text and no bytes is sent as JSON. */
export function send(method: string, url: string, body?: unknown, headers: Record<string, string> = {}): Sent {
  const payload = body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
  const begin = performance.now()
  const it: Exchange = {
    status: 0,
    headers: {},
    pieces: [],
    text: '',
    complete: false,
    error: undefined,
    headersMs: 0,
    endMs: 0,
  }
  // Node's client does not frame the body of a DELETE by itself.
  const framed = method === 'DELETE' && payload !== undefined ? { 'content-length': Buffer.byteLength(payload) } : {}
  const all = { 'content-type': 'application/json', ...framed, ...headers }
  const sent = request(url, { method, agent: false, headers: all })
  const response = new Promise<IncomingMessage>((resolve, reject) => {
    sent.once('response', resolve)
    sent.once('error', reject)
  })
  const done = new Promise<Exchange>((resolve) => {
    const end = () => {
      it.text = Buffer.concat(it.pieces).toString('utf8')
      it.endMs = performance.now() - begin
      resolve(it)
    }
    const fail = (error: NodeJS.ErrnoException) => {
      it.error ??= error.code ?? error.message
      end()
    }
    sent.on('error', fail)
    sent.on('response', (reply) => {
      it.status = reply.statusCode ?? 0
      it.headers = reply.headers
      it.headersMs = performance.now() - begin
      reply.on('data', (piece: Buffer) => it.pieces.push(piece))
      reply.on('error', fail)
      reply.on('close', () => {
        it.complete = reply.complete && it.error === undefined
        end()
      })
    })
  })
  response.catch(() => {})
  sent.end(payload)
  return { request: sent, response, done }
}

/** POSTs and waits for the end. */
export function post(url: string, body: unknown, headers?: Record<string, string>): Promise<Exchange> {
  return send('POST', url, body, headers).done
}

/** GETs and waits for the end. */
export function get(url: string, headers?: Record<string, string>): Promise<Exchange> {
  return send('GET', url, undefined, headers).done
}

/** The data of each event of a stream's text; any line end, comments passed over. */
export function dataOf(text: string): string[] {
  return text
    .split(/\r\n\r\n|\n\n|\r\r/)
    .filter((frame) => frame.startsWith('data: '))
    .map((frame) => frame.slice(6))
}

/** The JSON of each event, the end marker left out. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into wire objects freely
export function eventsOf(text: string): any[] {
  return dataOf(text)
    .filter((data) => data !== '[DONE]')
    .map((data) => JSON.parse(data))
}

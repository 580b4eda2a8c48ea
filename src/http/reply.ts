// Short answers of the doors themselves: JSON bodies and errors in OpenAI's shape.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { errorOf, type Refusal } from '../dialects/errors.ts'
import { dialects } from '../dialects/index.ts'
import { retryHeaders } from '../gateway/refuse.ts'

const encodeError = dialects.get('openai-chat')!.inbound!.error

/** `headers`: flat name-value list. */
export function sendJson(
  req: IncomingMessage,
  res: ServerResponse,
  status: number,
  value: unknown,
  headers: readonly string[] = [],
): void {
  send(req, res, status, 'application/json', JSON.stringify(value), headers)
}

/** Answers with the refusal's status and body, with `x-turnout-error` and, where it has one, `retry-after`. */
export function sendRefusal(
  req: IncomingMessage,
  res: ServerResponse,
  refusal: Refusal,
  headers: readonly string[] = [],
): void {
  send(req, res, refusal.status, 'application/json', encodeError(errorOf(refusal)), [
    ...headers,
    'x-turnout-error',
    refusal.code,
    ...(refusal.metadata?.retry_after_seconds === undefined ? [] : retryHeaders(refusal)),
  ])
}

/** Sends a whole body, never cached. `headers`: flat name-value list. A HEAD request gets the headers alone. */
export function send(
  req: IncomingMessage,
  res: ServerResponse,
  status: number,
  type: string,
  body: string,
  headers: readonly string[] = [],
): void {
  const bytes = Buffer.from(body)
  res.writeHead(status, [
    ...headers,
    'content-type',
    type,
    'content-length',
    String(bytes.length),
    'cache-control',
    'no-store',
  ])
  res.end(req.method === 'HEAD' ? undefined : bytes)
}

/** The bytes of a whole HTTP reply, for sockets on which no request could be read. */
export function rawRefusal(refusal: Refusal, reason: string): string {
  const body = encodeError(errorOf(refusal))
  return [
    `HTTP/1.1 ${refusal.status} ${reason}`,
    'content-type: application/json',
    `x-turnout-error: ${refusal.code}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
    '',
    body,
  ].join('\r\n')
}

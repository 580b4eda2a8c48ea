// Sends what a route of the control plane answers: JSON with exact integers, or text as it is made.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { send } from '../reply.ts'
import type { AdminAnswer, Streamed } from './route.ts'

/** For pages that a browser might show, now or later: nothing of it is script, a frame or a guess. */
export const securityHeaders: readonly (readonly [string, string])[] = [
  ['cache-control', 'no-store'],
  ['x-content-type-options', 'nosniff'],
  ['x-frame-options', 'DENY'],
  ['content-security-policy', "default-src 'none'; frame-ancestors 'none'"],
  ['referrer-policy', 'no-referrer'],
  ['cross-origin-resource-policy', 'same-origin'],
]

export async function sendAnswer(req: IncomingMessage, res: ServerResponse, answer: AdminAnswer): Promise<void> {
  if ('json' in answer) send(req, res, 200, 'application/json', toJson(answer.json), (answer.headers ?? []).flat())
  else await sendPieces(req, res, answer.streamed)
}

/** Reads the next piece when the client has room for it, and none once it is gone. */
async function sendPieces(req: IncomingMessage, res: ServerResponse, streamed: Streamed): Promise<void> {
  const gone = new AbortController()
  res.once('close', () => gone.abort())
  const head = (): void => {
    res.writeHead(200, {
      'content-type': streamed.contentType,
      // Events are told when they happen: nginx, unless it hears this, keeps them until there are 4 KB of them.
      ...(streamed.contentType === 'text/event-stream' ? { 'x-accel-buffering': 'no' } : {}),
      ...(streamed.fileName === undefined
        ? {}
        : { 'content-disposition': `attachment; filename="${streamed.fileName}"` }),
    })
  }
  if (req.method === 'HEAD') {
    head()
    res.end()
    return
  }
  for await (const piece of streamed.pieces) {
    if (gone.signal.aborted) return
    // With the first piece, so that a failure before it can still be told as one.
    if (!res.headersSent) head()
    if (!res.write(piece)) await once(res, 'drain', { signal: gone.signal }).catch(() => {})
  }
  if (gone.signal.aborted) return
  if (!res.headersSent) head()
  res.end()
}

const mark = `n${randomBytes(12).toString('hex')}:`
const marked = new RegExp(`"${mark}(-?\\d+)"`, 'g')

/** JSON in which a bigint is a whole number: sums of nano-USD may be beyond what a double holds. */
export function toJson(value: unknown): string {
  const text = JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? `${mark}${part}` : part))
  return text.replace(marked, '$1')
}

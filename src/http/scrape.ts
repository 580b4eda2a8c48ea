// GET /metrics: who may read it, and a port of its own for it where the configuration wants one.
import { createHash, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Snapshot } from '../config/snapshot.ts'
import { Refusal } from '../dialects/errors.ts'
import type { Exposition } from '../telemetry/exposition.ts'
import { sendRefusal } from './reply.ts'
import { type ListeningServer, listen } from './server.ts'

export type Expose = () => Promise<Pick<Exposition, 'contentType' | 'pieces'>>

/** Why an address may not come in. */
export type Stop = (req: IncomingMessage) => Refusal | undefined

/** Answers a scrape. @throws Refusal `invalid_api_key` when a token is configured and another or none is shown */
export async function answerScrape(
  req: IncomingMessage,
  res: ServerResponse,
  snapshot: Snapshot,
  expose: Expose,
): Promise<void> {
  if (!mayKnowNames(req, snapshot))
    throw new Refusal('invalid_api_key', "Send the token of `metrics.token` as 'Authorization: Bearer TOKEN'.")
  const { contentType, pieces } = await expose()
  const bytes = pieces.reduce((sum, { length }) => sum + length, 0)
  res.writeHead(200, ['content-type', contentType, 'content-length', String(bytes), 'cache-control', 'no-store'])
  if (req.method !== 'HEAD') await writeAsRead(res, pieces)
  res.end()
}

/** The next piece when the scraper has room for it, and none once it is gone. */
async function writeAsRead(res: ServerResponse, pieces: readonly Buffer[]): Promise<void> {
  const gone = new AbortController()
  res.once('close', () => gone.abort())
  for (const piece of pieces) {
    if (gone.signal.aborted || res.destroyed) return
    if (!res.write(piece)) await once(res, 'drain', { signal: gone.signal }).catch(() => {})
  }
}

/** Opens `metrics.port`, which answers /metrics and nothing else; undefined where none is configured. */
export async function listenForScrapes(
  snapshot: () => Snapshot,
  expose: Expose,
  stop: Stop,
): Promise<ListeningServer | undefined> {
  const { metrics, server } = snapshot()
  if (metrics.port === undefined) return undefined
  const listener = (req: IncomingMessage, res: ServerResponse): void => {
    const refusal = stop(req)
    if (refusal) return sendRefusal(req, res, refusal)
    answer(req, res, snapshot(), expose).catch((error: unknown) => {
      if (res.headersSent) res.destroy()
      else sendRefusal(req, res, error instanceof Refusal ? error : new Refusal('internal_error', 'The scrape failed.'))
    })
  }
  return listen(listener, { ...server, port: metrics.port, host: metrics.host })
}

async function answer(req: IncomingMessage, res: ServerResponse, snapshot: Snapshot, expose: Expose): Promise<void> {
  if ((req.url ?? '').split('?', 1)[0] !== '/metrics')
    throw new Refusal('invalid_url', 'This port has /metrics and nothing else.')
  if (req.method !== 'GET' && req.method !== 'HEAD')
    throw new Refusal('method_not_allowed', 'Not allowed on this URL: use GET.')
  await answerScrape(req, res, snapshot, expose)
}

/** Whether pages without a key may name routes and targets: to everybody, or to those who show the token where one is configured. */
export function mayKnowNames(req: IncomingMessage, { metrics: { token } }: Pick<Snapshot, 'metrics'>): boolean {
  return token === undefined || showsToken(req, token)
}

/** Compared by digest: neither the length nor the first wrong character shows in the time it takes. */
function showsToken(req: IncomingMessage, token: string): boolean {
  const [, shown = ''] = /^bearer +(\S+)$/i.exec(req.headers.authorization ?? '') ?? []
  return timingSafeEqual(digest(shown), digest(token))
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

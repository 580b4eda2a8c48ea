// Answers a request with an answer that another one got: in the client's own framing, with an id of its own.
import type { ChatEvent } from '../dialects/chat.ts'
import type { ToldOfUsage } from '../dialects/dialect.ts'
import type { CacheEntry, Framing } from '../state/cache/entry.ts'
import { unpack } from '../state/cache/pack.ts'
import type { CacheStatus } from '../state/cache/responseCache.ts'
import { armLeft } from './armEvents.ts'
import { idToken } from './cacheFlight.ts'
import { eventsOf } from './cacheJudge.ts'
import { type CacheReason, framingOf } from './cacheTurn.ts'
import { asksForCost, type Call, ClientGone, overheadOf } from './call.ts'
import { costLine } from './costHeaders.ts'
import { writeHead } from './headers.ts'
import { overheadLine, type Settle, wantsCost, withCost } from './relay.ts'

/** How an answer out of the cache is marked. */
export interface Mark {
  readonly status: CacheStatus
  readonly reason?: CacheReason | undefined
}

/**
 * Answers with the entry. False where the client's framing cannot be made of it; nothing has happened then.
 * @throws ClientGone; Refusal when the request cannot be recorded
 */
export async function replay(call: Call, entry: CacheEntry, mark: Mark, settle: Settle): Promise<boolean> {
  const unpacked = unpack(entry)
  const whole = unpacked instanceof Promise ? await unpacked : unpacked
  const framing = framingOf(call)
  const same = framing === entry.framing
  const cost = wantsCost(call)
  let body: Buffer | string | undefined
  if (!same) body = reframe(call, entry, whole)
  else if (cost || whole.length > SMALL) body = withId(whole, idToken(entry.replyId), newId(call))
  else body = withIdAsText(entry, whole, `"chatcmpl-${call.id}"`)
  if (!body) return false
  const turn = call.cache!
  turn.status = mark.status
  turn.reason = mark.reason ?? (same ? undefined : 'reframed')
  turn.age = Math.max(0, Math.floor((Date.now() - entry.storedAt) / 1000))
  turn.entry = entry
  turn.saved = entry.cost
  withoutExposure(call)
  call.status = 200
  call.outcome = 'ok'
  call.firstTokenAt = performance.now()
  const settled = settle(call)
  if (settled) await settled
  if (call.gone) throw new ClientGone()
  const { stream } = call.inspected!.ask
  if (cost) body = withCost(call, body as Buffer, stream)
  const overhead = overheadOf(call, performance.now())
  const headers = [
    'content-type',
    same ? entry.contentType : stream ? 'text/event-stream; charset=utf-8' : 'application/json',
  ]
  if (stream) headers.push('cache-control', 'no-cache', 'x-accel-buffering', 'no')
  headers.push('content-length', String(body.length))
  writeHead(call, 200, headers, costLine(call) + overheadLine(overhead))
  // One piece with the head, where Node can join them: as a text of single bytes.
  if (typeof body === 'string') call.res.end(body, 'latin1')
  else call.res.end(body)
  return true
}

/** Bytes up to which an answer is handed on as a text. */
const SMALL = 64 * 1024

/** Where the vendor's id stands in an answer, and how long it is with its quotes. Found when it is first replayed. */
const idPlaces = new WeakMap<CacheEntry, { readonly at: readonly number[]; readonly length: number }>()

/** As `withId`, byte by byte as characters (latin1): what a hit costs most is the calls that copy bytes. */
function withIdAsText(entry: CacheEntry, bytes: Buffer, id: string): string {
  let places = idPlaces.get(entry)
  if (!places) {
    const token = idToken(entry.replyId)
    places = { at: token ? placesOf(bytes, token) : [], length: token?.length ?? 0 }
    idPlaces.set(entry, places)
  }
  let text = ''
  let from = 0
  for (const at of places.at) {
    text += bytes.latin1Slice(from, at) + id
    from = at + places.length
  }
  return text + bytes.latin1Slice(from)
}

/** Whoever is answered without a call of its own tells nothing about the arm that it was assigned to. */
export function withoutExposure(call: Call): void {
  if (call.attempts.length > 0) return
  armLeft(call)
}

/** Where a field `id` has this value. Some servers number their replies, and "0" alone may be a piece of the answer. */
function placesOf(bytes: Buffer, token: Buffer): number[] {
  const places: number[] = []
  for (let at = bytes.indexOf(token); at !== -1; at = bytes.indexOf(token, at + token.length))
    if (/"id"\s*:\s*$/.test(bytes.latin1Slice(Math.max(0, at - 16), at))) places.push(at)
  return places
}

/** An id that no other request has. */
export const newId = (call: Call): Buffer => Buffer.from(`"chatcmpl-${call.id}"`)

/**
 * A copy with each id replaced. Within a text the quotes around it would be escaped, so that only whole values are found.
 * @param token the id that it has, with its quotes
 * @param id the other one, with its quotes
 */
export function withId(bytes: Buffer, token: Buffer | undefined, id: Buffer): Buffer {
  if (!token) return bytes
  const pieces: Buffer[] = []
  let from = 0
  for (const at of placesOf(bytes, token)) {
    pieces.push(bytes.subarray(from, at), id)
    from = at + token.length
  }
  if (from === 0) return bytes
  pieces.push(bytes.subarray(from))
  return Buffer.concat(pieces)
}

/**
 * Frames of a stream with the usage or without it as the client asked: the vendor's bytes but for that chunk. Not every vendor tells of the
 * usage last: it is taken out of whatever is given.
 * @param from how the stream is framed
 * @param told of it all; undefined before its ending is there
 */
export function withFraming(call: Call, bytes: Buffer, from: Framing, told: ToldOfUsage | undefined): Buffer {
  const wanted = framingOf(call)
  if (wanted === from) return bytes
  const inbound = call.dialect.inbound!
  if (wanted === 'stream') return inbound.withoutUsageChunk(bytes)
  return told ? inbound.withUsageChunk(bytes, told) : bytes
}

/** JSON from a stream, and a stream from JSON: by way of the hub's events. */
function reframe(call: Call, entry: CacheEntry, body: Buffer): Buffer | undefined {
  const inbound = call.dialect.inbound!
  const { wire, ask } = call.inspected!
  if (ask.stream && entry.framing !== 'json') {
    const told = { id: entry.replyId, model: entry.model, usage: entry.usage }
    return withId(withFraming(call, body, entry.framing, told), idToken(entry.replyId), newId(call))
  }
  // The deprecated `functions` have a form of their own, which depends on the request.
  if (!inbound.reply || !inbound.stream || (wire as { functions?: unknown }).functions != null) return undefined
  const events = eventsOf(call.dialect, entry.framing, body)
  if (!events) return undefined
  const id = `chatcmpl-${call.id}`
  const told: ChatEvent[] = events.map((event) => (event.type === 'start' ? { ...event, id } : event))
  if (entry.usage && !told.some(({ type }) => type === 'usage'))
    told.splice(-1, 0, { type: 'usage', usage: entry.usage })
  const context = { id, created: Math.floor(entry.storedAt / 1000) }
  if (!ask.stream) return Buffer.from(inbound.reply(told, ask, context))
  const write = inbound.stream(asksForCost(call) ? { ...ask, includeUsage: true } : ask, context)
  return Buffer.from(told.map(write).join(''))
}

// Makes a reply fail: each kind of fault is one change of the draft.
import type { Draft, Origin, Raw } from './draft.ts'
import { draftJson } from './draft.ts'
import type { Reply } from './reply.ts'
import type { Fault } from './script.ts'
import type { Frame, VendorError } from './wires/wire.ts'

/** Where a redirect leads when the script names no place; the server counts who goes there. */
export const FOLLOWED_PATH = '/__sim/followed'

/** Milliseconds before the headers of `slowHeaders` when the script's `headersDelayMs` says nothing. */
const SLOW_HEADERS_MS = 30_000
const WRONG_BY = 16

const GARBAGE_JSON = '{"id":"chatcmpl-broken","object":"chat.completion","choices":[{"index":0,"message":{"role":"assi'
/** A proxy's error page with bytes that are no UTF-8. */
const GARBAGE_SSE = Buffer.concat([
  Buffer.from('<html><head><title>Bad Gateway</title></head><body>\n<h1>upstream ended '),
  Buffer.from([0xff, 0xfe, 0x00, 0xc3, 0x28]),
  Buffer.from('</h1></body></html>\n\n'),
])

/** Returns the draft that fails as the fault says. The given draft may be changed. */
export function applyFault(draft: Draft, reply: Reply, origin: Origin, fault: Fault): Draft {
  const failed = change(draft, reply, origin, fault)
  failed.fault = fault.kind
  if (fault.retryAfter !== undefined) failed.headers.set('retry-after', String(fault.retryAfter))
  return failed
}

function change(draft: Draft, reply: Reply, origin: Origin, fault: Fault): Draft {
  switch (fault.kind) {
    case 'status':
      return statusDraft(origin, fault)
    case 'redirect': {
      const moved = draftJson(fault.status ?? 307, bodyText(fault) ?? '', origin.key, draft.headersDelayMs)
      moved.headers.set('location', fault.location ?? FOLLOWED_PATH)
      return moved
    }
    case 'firstEventError':
      return inBand(draft, origin, fault, [])
    case 'midStreamError':
      return inBand(draft, origin, fault, keptFrames(draft, fault.afterTokens ?? half(draft)))
    case 'cut':
      return breakOff(draft, fault.afterTokens ?? half(draft), 'cut')
    case 'truncate':
      return breakOff(draft, fault.afterTokens ?? half(draft), 'end')
    case 'stall':
      return breakOff(draft, fault.afterTokens ?? 0, 'stall')
    case 'reset':
      if (fault.afterTokens !== undefined) return breakOff(draft, fault.afterTokens, 'reset')
      return { ...draft, status: 0, body: { form: 'sse', frames: [] }, ending: 'reset', usage: undefined }
    case 'garbageJson':
      return garbageJson(draft, reply, origin, fault)
    case 'garbageSse': {
      const raw = fault.body === undefined ? GARBAGE_SSE : Buffer.from(bodyText(fault) as string)
      draft.headers.set('content-type', 'text/event-stream; charset=utf-8')
      const kept = fault.afterTokens === undefined ? [] : keptFrames(draft, fault.afterTokens)
      const frames = [...kept, { raw, tokens: 0 }]
      return { ...draft, body: { form: 'sse', frames } }
    }
    case 'slowHeaders':
      return { ...draft, headersDelayMs: origin.script.headersDelayMs ?? SLOW_HEADERS_MS }
    case 'emptySuccess':
      return draft
    case 'wrongLength':
      return { ...draft, lengthOff: fault.lengthOff ?? WRONG_BY, ending: 'cut' }
  }
}

function statusDraft(origin: Origin, fault: Fault): Draft {
  const error = errorOf(fault, 500)
  const text = bodyText(fault)
  const draft = draftJson(error.status, text ?? origin.wire.error(error), origin.key, origin.script.headersDelayMs ?? 0)
  if (typeof fault.body === 'string') draft.headers.set('content-type', typeOf(fault.body))
  return draft
}

/** An error under status 200: the last event of a stream, or the whole JSON body, as some routers send it. */
function inBand(draft: Draft, origin: Origin, fault: Fault, before: (Frame | Raw)[]): Draft {
  const error = errorOf(fault, 503)
  const text = bodyText(fault)
  if (draft.body.form === 'json') {
    const bytes = Buffer.from(text ?? origin.wire.error(error))
    return { ...draft, body: { form: 'json', bytes, tokens: 0 }, usage: undefined }
  }
  const frame = origin.wire.errorFrame(error)
  if (text !== undefined) frame.data = text
  const begun = before.some((kept) => kept.tokens > 0)
  return { ...draft, body: { form: 'sse', frames: [...before, frame] }, usage: begun ? draft.usage : undefined }
}

/** Ends the reply early. A JSON body keeps the same share of its bytes as of its tokens. */
function breakOff(draft: Draft, afterTokens: number, ending: Draft['ending']): Draft {
  if (draft.body.form === 'sse')
    return { ...draft, ending, body: { form: 'sse', frames: keptFrames(draft, afterTokens) } }
  const { bytes, tokens } = draft.body
  const share = tokens === 0 ? 0 : Math.min(1, afterTokens / tokens)
  // At least one byte is missing: a body that came whole is no fault.
  const kept = bytes.subarray(0, Math.min(bytes.length - 1, Math.floor(bytes.length * share)))
  // A clean end means that the length fits what is sent; otherwise it still promises the whole.
  const lengthOff = ending === 'end' ? 0 : bytes.length - kept.length
  return { ...draft, ending, lengthOff, body: { form: 'json', bytes: kept, tokens } }
}

function garbageJson(draft: Draft, reply: Reply, origin: Origin, fault: Fault): Draft {
  const text = bodyText(fault)
  if (draft.body.form === 'json') {
    return { ...draft, body: { ...draft.body, bytes: Buffer.from(text ?? GARBAGE_JSON) } }
  }
  const kept = keptFrames(draft, fault.afterTokens ?? 0)
  const broken = origin.wire.garbageFrame(reply)
  if (text !== undefined) broken.data = text
  // The rest follows as if nothing was wrong: only a reader that looks at the data can tell.
  return { ...draft, body: { form: 'sse', frames: [...kept, broken, ...draft.body.frames.slice(kept.length)] } }
}

/** The frames up to so many tokens; never any of the ending. */
function keptFrames(draft: Draft, tokens: number): (Frame | Raw)[] {
  if (draft.body.form === 'json') return []
  const kept: (Frame | Raw)[] = []
  let generated = 0
  for (const frame of draft.body.frames) {
    generated += frame.tokens
    if (frame.final || generated > tokens) break
    kept.push(frame)
  }
  return kept
}

function half(draft: Draft): number {
  if (draft.body.form === 'json') return draft.body.tokens / 2
  return Math.ceil(draft.body.frames.reduce((sum, frame) => sum + frame.tokens, 0) / 2)
}

function errorOf(fault: Fault, status: number): VendorError {
  return { status: fault.status ?? status, message: fault.message, code: fault.code, retryAfter: fault.retryAfter }
}

function bodyText(fault: Fault): string | undefined {
  return typeof fault.body === 'object' ? JSON.stringify(fault.body) : fault.body
}

function typeOf(body: string): string {
  const start = body.trimStart()[0]
  if (start === '{' || start === '[') return 'application/json'
  return start === '<' ? 'text/html; charset=utf-8' : 'text/plain; charset=utf-8'
}

// A reply between its making and its bytes: status, headers, events. Faults change it, `plan.ts` turns it into a timetable.
import type { Asked } from './asked.ts'
import { emptyReply, makeReply, type Reply, type ReplyUsage } from './reply.ts'
import type { Fault, FaultKind, Script } from './script.ts'
import type { Frame, VendorError, Wire } from './wires/wire.ts'

/** How the connection is left. `cut` closes it before the message is complete, `reset` sends a TCP RST. */
export type Ending = 'end' | 'cut' | 'reset' | 'stall'

/** Bytes that are not an event of the wire, sent as they are. */
export interface Raw {
  raw: Buffer
  tokens: number
  final?: boolean
}

export interface Draft {
  /** Vendor's id of the reply, empty for errors. */
  id: string
  /** 0 = nothing is answered at all. */
  status: number
  headers: Map<string, string>
  body: { form: 'json'; bytes: Buffer; tokens: number } | { form: 'sse'; frames: (Frame | Raw)[] }
  ending: Ending
  headersDelayMs: number
  /** Added to the true `content-length`; a stream gets one only if this is set. */
  lengthOff?: number | undefined
  /** What the whole reply would bill; undefined = nothing. */
  usage: ReplyUsage | undefined
  fault?: FaultKind
}

/** What a draft is made from. `key` is the digest of the seed and of the request's bytes. */
export interface Origin {
  wire: Wire
  asked: Asked
  script: Script
  seed: number
  key: Buffer
}

/** The reply as scripted, before any fault. With the fault `emptySuccess` it says nothing. */
export function draftReply(origin: Origin, fault: Fault | undefined): { draft: Draft; reply: Reply } {
  const { wire, asked, script, seed, key } = origin
  const empty = fault?.kind === 'emptySuccess'
  const reply = empty ? emptyReply(asked, seed, key) : makeReply(asked, script, seed, key)
  const mode = script.usageMode ?? 'ask'
  const told = !empty && mode !== 'never' && (!asked.stream || mode === 'always' || asked.includeUsage)
  const usage = told ? reply.usage : undefined
  const body: Draft['body'] = asked.stream
    ? { form: 'sse', frames: wire.stream(reply, asked, script, usage) }
    : {
        form: 'json',
        bytes: Buffer.from(wire.whole(reply, asked, script, usage)),
        tokens: reply.usage.completionTokens,
      }
  const draft: Draft = {
    id: reply.id,
    status: 200,
    headers: baseHeaders(key, asked.stream ? 'text/event-stream; charset=utf-8' : 'application/json'),
    body,
    ending: 'end',
    headersDelayMs: script.headersDelayMs ?? 0,
    usage: empty ? undefined : reply.usage,
  }
  if (asked.stream) draft.headers.set('cache-control', 'no-cache')
  return { draft, reply }
}

/** A JSON body that is no generated reply: an error or a list of models. */
export function draftJson(status: number, text: string, key: Buffer, delayMs = 0): Draft {
  return {
    id: '',
    status,
    headers: baseHeaders(key, 'application/json'),
    body: { form: 'json', bytes: Buffer.from(text), tokens: 0 },
    ending: 'end',
    headersDelayMs: delayMs,
    usage: undefined,
  }
}

export function draftError(wire: Wire, error: VendorError, key: Buffer, delayMs = 0): Draft {
  return draftJson(error.status, wire.error(error), key, delayMs)
}

function baseHeaders(key: Buffer, type: string): Map<string, string> {
  return new Map([
    ['content-type', type],
    ['x-request-id', `req_${key.toString('hex', 16, 32)}`],
  ])
}

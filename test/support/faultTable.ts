// Every way in which an upstream can fail, and what must come of it: the rules of the failure matrix, told once.
import type { Script } from '../../src/simulator/index.ts'

export type WireName = 'openai' | 'anthropic' | 'gemini'
export const wireNames: readonly WireName[] = ['openai', 'anthropic', 'gemini']

/** Where there is no vendor at all: a closed port, one that accepts and says nothing, one that speaks no TLS. */
export type Nowhere = 'closed' | 'mute' | 'plain'

/** What one form of reply (JSON or stream) must come to. */
export interface Verdict {
  /** Stable name of the fault: metric label, ledger value, `x-turnout-error`. */
  kind: string
  /** The same where a vendor has another word for it. */
  named?: Partial<Record<WireName, string>>
  /** What the client gets when nobody else answers. */
  status: number
  /** `same`: the same target may do, asked again. `next`: only another one. `nobody`: it would be the same everywhere. */
  helps: 'same' | 'next' | 'nobody'
  /** `fault`: one more in a row. `gone`: unhealthy at once, for long. `innocent`: not the target's doing. */
  blame: 'fault' | 'gone' | 'innocent'
  /** The vendor asks for more patience than the route has: the only target is not asked again. */
  impatient?: true
  /** Content has reached the client: from then on there is an error frame, no other target and no end marker. */
  committed?: true
}

export interface FaultRow {
  name: string
  at: Nowhere | Script
  /** Limits of the failing target, where the fault is one of time. All others have time enough. */
  timeouts?: Record<string, string>
  json: Verdict
  stream: Verdict
}

const SHORT = '600ms'
const TOKENS = 24
/** Seconds that a vendor asks to wait: more than the matrix has the patience for. */
export const RETRY_AFTER = 30

const upstream = (kind: string, status: number, more: Partial<Verdict> = {}): Verdict => ({
  kind,
  status,
  helps: 'same',
  blame: 'fault',
  ...more,
})

const both = (verdict: Verdict): Pick<FaultRow, 'json' | 'stream'> => ({ json: verdict, stream: verdict })

/** An error status. The client gets the vendor's own. */
const status = (number: number, kind: string, more: Partial<Verdict> = {}, name = String(number)): FaultRow => ({
  name,
  at: { fault: { kind: 'status', status: number } },
  ...both(upstream(kind, number, more)),
})

const users: Partial<Verdict> = { helps: 'nobody', blame: 'innocent' }
const gone: Partial<Verdict> = { helps: 'next', blame: 'gone' }

export const faultTable: readonly FaultRow[] = [
  { name: 'dial refused', at: 'closed', ...both(upstream('dial_failed', 502)) },
  {
    name: 'connect timeout',
    at: 'mute',
    timeouts: { connect: SHORT },
    ...both(upstream('connect_timeout', 504)),
  },
  { name: 'TLS fault', at: 'plain', ...both(upstream('tls_failed', 502, { helps: 'next' })) },
  {
    name: 'slow headers',
    at: { fault: { kind: 'slowHeaders' } },
    // A whole reply says nothing until all of it is generated: there is no first token to wait for, only the limit of the call.
    timeouts: { firstToken: SHORT, total: '1200ms' },
    json: upstream('total_timeout', 504, { helps: 'next' }),
    stream: upstream('first_token_timeout', 504),
  },
  status(400, 'bad_request', users),
  status(401, 'auth_failed', gone),
  status(403, 'permission_denied', gone),
  status(404, 'model_not_found', gone, '404 model'),
  status(408, 'upstream_request_timeout', {
    // Google's word for it is DEADLINE_EXCEEDED, whatever the number before it.
    named: { gemini: 'server_error' },
  }),
  status(413, 'bad_request', users),
  {
    name: '429 + Retry-After',
    at: { fault: { kind: 'status', status: 429, retryAfter: RETRY_AFTER } },
    ...both(upstream('rate_limited', 429, { impatient: true })),
  },
  status(500, 'server_error'),
  status(502, 'server_error', { named: { gemini: 'overloaded' } }),
  status(503, 'overloaded', { named: { anthropic: 'server_error' } }),
  status(529, 'overloaded'),
  {
    name: 'error in first event',
    at: { fault: { kind: 'firstEventError', status: 500 } },
    ...both(upstream('server_error', 502, { named: { openai: 'in_band' } })),
  },
  {
    name: 'overloaded in first event',
    at: { fault: { kind: 'firstEventError', status: 529 } },
    ...both(upstream('overloaded', 503)),
  },
  {
    name: 'error mid-stream',
    at: { tokens: TOKENS, fault: { kind: 'midStreamError', status: 500 } },
    json: upstream('server_error', 502, { named: { openai: 'in_band' } }),
    stream: upstream('server_error', 502, { named: { openai: 'in_band' }, committed: true }),
  },
  {
    name: 'cut before content',
    at: { tokens: TOKENS, fault: { kind: 'cut', afterTokens: 0 } },
    ...both(upstream('cut', 502)),
  },
  {
    name: 'cut',
    at: { tokens: TOKENS, fault: { kind: 'cut' } },
    json: upstream('cut', 502),
    stream: upstream('cut', 502, { committed: true }),
  },
  {
    name: 'end too soon',
    at: { tokens: TOKENS, fault: { kind: 'truncate' } },
    json: upstream('garbage', 502),
    stream: upstream('cut', 502, { committed: true }),
  },
  {
    name: 'stall',
    at: { tokens: TOKENS, fault: { kind: 'stall' } },
    timeouts: { firstToken: SHORT },
    ...both(upstream('first_token_timeout', 504)),
  },
  {
    name: 'stall under keep-alive comments',
    at: { tokens: TOKENS, keepAliveMs: 20, fault: { kind: 'stall' } },
    timeouts: { firstToken: SHORT, idle: SHORT, total: '60s' },
    json: upstream('first_token_timeout', 504),
    stream: upstream('first_token_timeout', 504),
  },
  {
    name: 'stall mid-stream',
    at: { tokens: TOKENS, fault: { kind: 'stall', afterTokens: TOKENS / 2 } },
    timeouts: { idle: SHORT },
    json: upstream('idle_timeout', 504),
    stream: upstream('idle_timeout', 504, { committed: true }),
  },
  { name: 'reset', at: { fault: { kind: 'reset' } }, ...both(upstream('reset', 502)) },
  {
    name: 'reset mid-stream',
    at: { tokens: TOKENS, fault: { kind: 'reset', afterTokens: TOKENS / 2 } },
    json: upstream('cut', 502),
    stream: upstream('cut', 502, { committed: true }),
  },
  { name: 'garbage JSON', at: { fault: { kind: 'garbageJson' } }, ...both(upstream('garbage', 502)) },
  {
    name: 'garbage SSE',
    at: { fault: { kind: 'garbageSse' } },
    json: upstream('garbage', 502),
    // No line of it is an event: for a reader of events the stream ended before it began.
    stream: upstream('cut', 502),
  },
  { name: 'empty success', at: { fault: { kind: 'emptySuccess' } }, ...both(upstream('empty', 502)) },
]

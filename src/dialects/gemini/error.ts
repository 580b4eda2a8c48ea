// Classifies what Google answers instead of a reply: error statuses, and errors inside a 200 stream.
import { codeOf, type FaultKind, faultOfStatus, isOfNamedThing, UpstreamFault } from '../errors.ts'
import { asObject, type Json, ownEntry } from '../field.ts'
import { retryAfterOf } from '../retryAfter.ts'

type Headers = Readonly<Record<string, string | string[] | undefined>>

/** The fault of a reply with a status other than 2xx. `now` is in milliseconds since the epoch. */
export function decodeFault(status: number, headers: Headers, body: Buffer, now = Date.now()): UpstreamFault {
  const error = readError(parse(body.toString('utf8')))
  const kind = kindOf(error, status)
  return new UpstreamFault(kind, error.message ?? `The upstream answered with status ${status}.`, {
    status,
    // The later of two waits: the header's and the one in the body.
    retryAfterMs: later(retryAfterOf(headers, now), error.retryAfterMs),
    body,
    headers,
    ...codeOf(kind, error.status, error.details),
  })
}

/** The fault of an `error` object inside a 200 reply or stream. */
export function decodeInBand(wire: unknown): UpstreamFault {
  const error = readError(wire)
  const kind = error.status === undefined && error.code === undefined ? 'in_band' : kindOf(error, error.code)
  return new UpstreamFault(kind, error.message ?? 'The upstream reported an error inside its reply.', {
    retryAfterMs: error.retryAfterMs,
    body: Buffer.from(JSON.stringify(wire)),
    ...codeOf(kind, error.status, error.details),
  })
}

interface GoogleError {
  code: number | undefined
  status: string | undefined
  message: string | undefined
  /** `ErrorInfo.reason`, such as API_KEY_INVALID. */
  reason: string | undefined
  retryAfterMs: number | undefined
  quotas: readonly string[]
  details: Record<string, unknown> | undefined
}

/** `{error: {code, message, status, details: [{"@type": …}]}}`, alone or as the only item of a list. */
function readError(wire: unknown): GoogleError {
  const top = asObject(Array.isArray(wire) ? wire[0] : wire)
  const error = asObject(top?.error) ?? {}
  const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined)
  const details = Array.isArray(error.details) ? error.details.map(asObject).filter((item) => item !== undefined) : []
  const typed = (name: string): Json | undefined => details.find((item) => String(item['@type']).endsWith(`.${name}`))
  const violations = typed('QuotaFailure')?.violations
  const quotas = (Array.isArray(violations) ? violations : []).flatMap((item: unknown) => {
    const violation = asObject(item)
    return text(violation?.quotaId) ?? text(violation?.quotaMetric) ?? text(violation?.subject) ?? []
  })
  const reason = text(typed('ErrorInfo')?.reason)
  const told = {
    ...(reason === undefined ? {} : { reason }),
    ...(quotas.length > 0 ? { quotas } : {}),
    ...(violations === undefined ? {} : { violations }),
  }
  return {
    code: typeof error.code === 'number' ? error.code : undefined,
    status: text(error.status),
    message: (text(error.message) ?? text(top?.error) ?? text(top?.message))?.slice(0, 2000),
    reason,
    retryAfterMs: durationOf(typed('RetryInfo')?.retryDelay),
    quotas,
    details: Object.keys(told).length > 0 ? told : undefined,
  }
}

/** A protobuf duration as JSON, such as `34.4s`, in milliseconds. */
function durationOf(value: unknown): number | undefined {
  const seconds = typeof value === 'string' ? /^(\d+(?:\.\d+)?)s$/.exec(value)?.[1] : undefined
  return seconds === undefined ? undefined : Math.round(Number(seconds) * 1000)
}

const byStatus: Readonly<Record<string, FaultKind>> = {
  INVALID_ARGUMENT: 'bad_request',
  OUT_OF_RANGE: 'bad_request',
  FAILED_PRECONDITION: 'permission_denied',
  UNAUTHENTICATED: 'auth_failed',
  PERMISSION_DENIED: 'permission_denied',
  NOT_FOUND: 'model_not_found',
  ABORTED: 'conflict',
  ALREADY_EXISTS: 'conflict',
  RESOURCE_EXHAUSTED: 'rate_limited',
  CANCELLED: 'server_error',
  DATA_LOSS: 'server_error',
  UNKNOWN: 'server_error',
  INTERNAL: 'server_error',
  UNIMPLEMENTED: 'bad_request',
  UNAVAILABLE: 'overloaded',
  DEADLINE_EXCEEDED: 'server_error',
}
const context = /exceeds? the maximum number of tokens|input token count|context (length|window)|too many tokens/i
/** Only at a beginning: further on it may be the name of a client's field that Google says back. */
const auth = /^api key (not valid|expired|not found)/i
/** Files and caches that a client names, which are not there, not ours, or not ready yet: nothing is wrong with the account. */
const named =
  /^(?:you do not have permission to access the file |the file \S+ is not in an active state|cachedcontent not found)/i
// Not the word "billing" alone: Google's advice for every exceeded quota has it.
const money = /billing (account )?(is )?(disabled|not (active|enabled))|credits? (are |is )?depleted|limit: 0\b/i

/** Google's status word first; account troubles hide behind INVALID_ARGUMENT and RESOURCE_EXHAUSTED. */
function kindOf(error: GoogleError, code: number | undefined): FaultKind {
  if (code !== undefined && code >= 300 && code < 400) return 'redirect'
  const words = `${error.reason ?? ''}\n${error.message ?? ''}`
  const kind = ownEntry(byStatus, error.status ?? '') ?? (code === undefined ? 'bad_request' : faultOfStatus(code))
  if (kind === 'bad_request') {
    if (error.reason === 'API_KEY_INVALID' || auth.test(error.message ?? '')) return 'auth_failed'
    return context.test(words) ? 'context_window' : kind
  }
  if (kind === 'permission_denied' && named.test(error.message ?? '')) return 'bad_request'
  if (kind === 'model_not_found' && isOfNamedThing(error.message)) return 'bad_request'
  if (kind !== 'rate_limited') return kind
  // A quota by the day, or one of nothing, does not come back in seconds.
  const spent = error.quotas.some((quota) => /PerDay/i.test(quota)) || money.test(words)
  return spent ? 'quota_exhausted' : kind
}

const later = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined ? b : b === undefined ? a : Math.max(a, b)

/** An error of a stream comes framed as an event. */
function parse(body: string): unknown {
  const text = body.trimStart().startsWith('data:') ? body.trimStart().slice(5) : body
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

// Classifies what Anthropic answers instead of a message: error statuses, and errors inside a 200 stream.
import { codeOf, type FaultKind, faultOfStatus, faultRules, isOfNamedThing, UpstreamFault } from '../errors.ts'
import { asObject, ownEntry } from '../field.ts'
import { retryAfterOf } from '../retryAfter.ts'

type Headers = Readonly<Record<string, string | string[] | undefined>>

/** The fault of a reply with a status other than 2xx. `now` is in milliseconds since the epoch. */
export function decodeFault(status: number, headers: Headers, body: Buffer, now = Date.now()): UpstreamFault {
  const { type, message, requestId } = errorFieldsOf(parse(body))
  const kind = kindOf(type, message, status)
  const details = { ...rateLimitsOf(headers), ...(requestId === undefined ? {} : { request_id: requestId }) }
  return new UpstreamFault(kind, message ?? `The upstream answered with status ${status}.`, {
    status,
    retryAfterMs: retryAfterOf(headers, now) ?? (kind === 'rate_limited' ? untilReset(headers, now) : undefined),
    body,
    headers,
    ...codeOf(kind, type, details),
  })
}

/** The fault of an `error` event inside a 200 stream, or of an error body that came with status 200. */
export function decodeInBand(wire: unknown): UpstreamFault {
  const { type, message, requestId } = errorFieldsOf(wire)
  const kind = type === undefined ? 'in_band' : kindOf(type, message, undefined)
  return new UpstreamFault(kind, message ?? 'The upstream reported an error inside its reply.', {
    body: Buffer.from(JSON.stringify(wire)),
    ...codeOf(kind, type, requestId === undefined ? {} : { request_id: requestId }),
  })
}

const byType: Readonly<Record<string, FaultKind>> = {
  invalid_request_error: 'bad_request',
  authentication_error: 'auth_failed',
  billing_error: 'quota_exhausted',
  permission_error: 'permission_denied',
  not_found_error: 'model_not_found',
  request_too_large: 'bad_request',
  rate_limit_error: 'rate_limited',
  timeout_error: 'server_error',
  api_error: 'server_error',
  overloaded_error: 'overloaded',
}
/**
 * Said to the account, from the sentence's first word on: elsewhere it may be a tool's name, or an id, that the vendor says back. An apostrophe
 * within a word begins no quotation.
 */
const quota =
  /^(?:your?|this|the) (?:[^'"`:]|\b'\b)*(?:credit balance is too low|usage limits?|spend(?:ing)? limit|billing)/i
const shut = /^(?:this|your) organization has been disabled/i
const context = /prompt is too long|exceed(s|ed)? (the )?context (limit|window)|maximum context|too many tokens/i
const policy = /content filtering policy|blocked by .*polic/i

/** The vendor's type first; its words tell apart what hides behind `invalid_request_error`. */
function kindOf(type: string | undefined, message: string | undefined, status: number | undefined): FaultKind {
  if (status !== undefined && status >= 300 && status < 400) return 'redirect'
  const told = ownEntry(byType, type ?? '') ?? (status === undefined ? 'in_band' : faultOfStatus(status))
  if (told === 'model_not_found' && isOfNamedThing(message)) return 'bad_request'
  if (told !== 'bad_request') return told
  const words = message ?? ''
  if (quota.test(words)) return 'quota_exhausted'
  if (shut.test(words)) return 'permission_denied'
  if (context.test(words)) return 'context_window'
  if (policy.test(words)) return 'content_policy'
  // What a proxy says in Anthropic's shape: where its status is one of the upstream's own faults, that is the better witness.
  const said = status === undefined ? told : faultOfStatus(status)
  return faultRules[said].scope === 'retry' ? said : told
}

interface ErrorFields {
  type: string | undefined
  message: string | undefined
  requestId: string | undefined
}

/** `{type: "error", error: {type, message}, request_id}`. */
function errorFieldsOf(wire: unknown): ErrorFields {
  const top = asObject(wire)
  const error = asObject(top?.error)
  const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined)
  return {
    type: text(error?.type),
    message: (text(error?.message) ?? text(top?.error) ?? text(top?.message))?.slice(0, 2000),
    requestId: text(top?.request_id),
  }
}

const limitHeader = /^anthropic-ratelimit-/

/** What the rate-limit headers say, by their names. */
function rateLimitsOf(headers: Headers): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name, value]) => limitHeader.test(name) && value !== undefined),
  )
}

/** Without `Retry-After`: the latest reset among the limits that have nothing left. */
function untilReset(headers: Headers, now: number): number | undefined {
  let latest: number | undefined
  for (const [name, value] of Object.entries(headers)) {
    if (!limitHeader.test(name) || !name.endsWith('-remaining') || Number(value) !== 0) continue
    const reset = Date.parse(String(headers[name.replace(/-remaining$/, '-reset')] ?? ''))
    if (!Number.isNaN(reset)) latest = Math.max(latest ?? 0, reset - now, 0)
  }
  return latest
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}

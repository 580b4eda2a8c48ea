// Errors in Anthropic's shape: `{"type":"error","error":{"type","message"},"request_id"}`.
import { digest } from '../../random.ts'
import type { Frame, VendorError } from '../wire.ts'

interface Kind {
  type: string
  message: string
}

// Statuses and types as Anthropic documents them (docs.claude.com, API errors).
const kinds: Readonly<Record<number, Kind>> = {
  400: { type: 'invalid_request_error', message: 'The request is not valid.' },
  401: { type: 'authentication_error', message: 'invalid x-api-key' },
  402: { type: 'billing_error', message: 'There is a problem with the billing of this account.' },
  403: { type: 'permission_error', message: 'This key may not use this model.' },
  404: { type: 'not_found_error', message: 'model: not found' },
  413: { type: 'request_too_large', message: 'Request exceeds the maximum size' },
  429: { type: 'rate_limit_error', message: 'This request would exceed the rate limit of this account.' },
  500: { type: 'api_error', message: 'Internal server error' },
  504: { type: 'timeout_error', message: 'The request timed out.' },
  529: { type: 'overloaded_error', message: 'Overloaded' },
}

/** What Anthropic says where others have a code: all of it is an `invalid_request_error`. */
const byCode: Readonly<Record<string, Kind>> = {
  context_length_exceeded: {
    type: 'invalid_request_error',
    message: 'prompt is too long: 210000 tokens > 200000 maximum',
  },
  content_policy_violation: {
    type: 'invalid_request_error',
    message: 'Output blocked by content filtering policy',
  },
  insufficient_quota: { type: 'rate_limit_error', message: 'The quota is used up.' },
}

/** The JSON text of an error. A code that is one of Anthropic's types is taken as the type. */
export function errorBody(error: VendorError): string {
  const { status, code = '' } = error
  const kind = byCode[code] ?? kinds[status] ?? (kinds[status >= 500 ? 500 : 400] as Kind)
  const known = Object.values(kinds).some(({ type }) => type === code)
  const message = error.message ?? kind.message
  const id = digest(status, code, message).toString('hex', 0, 12)
  return JSON.stringify({
    type: 'error',
    error: { type: known ? code : kind.type, message },
    request_id: `req_${id}`,
  })
}

export function errorFrame(error: VendorError): Frame {
  return { event: 'error', data: errorBody(error), tokens: 0 }
}

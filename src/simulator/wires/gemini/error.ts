// Errors in Google's shape: `{"error":{"code","message","status","details"}}`.
import type { Frame, VendorError } from '../wire.ts'

interface Kind {
  word: string
  message: string
}

// Google's canonical codes (google.rpc.Code) and how they become HTTP statuses; 529 is not theirs.
const kinds: Readonly<Record<number, Kind>> = {
  400: { word: 'INVALID_ARGUMENT', message: 'Request contains an invalid argument.' },
  401: { word: 'UNAUTHENTICATED', message: 'Request had invalid authentication credentials.' },
  403: { word: 'PERMISSION_DENIED', message: 'The caller does not have permission' },
  404: { word: 'NOT_FOUND', message: 'The model is not found or is not supported for generateContent.' },
  408: { word: 'DEADLINE_EXCEEDED', message: 'The deadline expired before the operation could complete.' },
  409: { word: 'ABORTED', message: 'The operation was aborted.' },
  413: { word: 'INVALID_ARGUMENT', message: 'Request payload size exceeds the limit.' },
  429: { word: 'RESOURCE_EXHAUSTED', message: 'Resource has been exhausted (e.g. check quota).' },
  500: { word: 'INTERNAL', message: 'An internal error has occurred. Please retry.' },
  501: { word: 'UNIMPLEMENTED', message: 'The operation is not implemented.' },
  503: { word: 'UNAVAILABLE', message: 'The model is overloaded. Please try again later.' },
  504: { word: 'DEADLINE_EXCEEDED', message: 'The deadline expired before the operation could complete.' },
  529: { word: 'UNAVAILABLE', message: 'The model is overloaded. Please try again later.' },
}

/** What Google says where others have a code. */
const byCode: Readonly<Record<string, string>> = {
  context_length_exceeded: 'The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).',
  insufficient_quota: 'You exceeded your current quota, please check your plan and billing details.',
  API_KEY_INVALID: 'API key not valid. Please pass a valid API key.',
}

const typeOf = (name: string): string => `type.googleapis.com/google.rpc.${name}`

/** The JSON text of an error. A code in capitals is the reason in its details; waits and spent quotas are told there, too. */
export function errorBody(error: VendorError): string {
  const { status, code = '' } = error
  const kind = kinds[status] ?? (kinds[status >= 500 ? 503 : 400] as Kind)
  const details = detailsOf(error)
  return JSON.stringify({
    error: {
      code: status,
      message: error.message ?? byCode[code] ?? kind.message,
      status: kind.word,
      ...(details.length > 0 ? { details } : {}),
    },
  })
}

export function errorFrame(error: VendorError): Frame {
  return { data: errorBody(error), tokens: 0 }
}

function detailsOf({ code = '', retryAfter }: VendorError): Record<string, unknown>[] {
  const details: Record<string, unknown>[] = []
  if (/^[A-Z][A-Z_]+$/.test(code)) {
    details.push({ '@type': typeOf('ErrorInfo'), reason: code, domain: 'googleapis.com' })
  }
  if (code === 'insufficient_quota' || code === 'rate_limit_exceeded') {
    const span = code === 'insufficient_quota' ? 'PerDay' : 'PerMinute'
    const quotaId = `GenerateRequests${span}PerProjectPerModel`
    details.push({ '@type': typeOf('QuotaFailure'), violations: [{ quotaId, quotaValue: '10' }] })
  }
  if (typeof retryAfter === 'number') {
    details.push({ '@type': typeOf('RetryInfo'), retryDelay: `${retryAfter}s` })
  }
  return details
}

// Errors in OpenAI's shape: all four keys, always.
import type { Frame, VendorError } from '../wire.ts'

interface Kind {
  type: string
  code: string | null
  message: string
}

// Types and codes as OpenAI documents them (platform.openai.com/docs/guides/error-codes); 529 is not theirs, gateways pass it on.
const kinds: Readonly<Record<number, Kind>> = {
  400: { type: 'invalid_request_error', code: null, message: 'The request is not valid.' },
  401: { type: 'invalid_request_error', code: 'invalid_api_key', message: 'The API key is not valid.' },
  403: { type: 'permission_error', code: null, message: 'This key may not use this model.' },
  404: { type: 'invalid_request_error', code: 'model_not_found', message: 'The model does not exist.' },
  408: { type: 'timeout', code: null, message: 'The request took too long.' },
  409: { type: 'conflict', code: null, message: 'The resource is in use.' },
  413: { type: 'invalid_request_error', code: 'request_too_large', message: 'The request is too large.' },
  422: { type: 'invalid_request_error', code: null, message: 'The request cannot be processed.' },
  429: { type: 'requests', code: 'rate_limit_exceeded', message: 'Too many requests, try again later.' },
  500: { type: 'server_error', code: null, message: 'The server had an error while it processed the request.' },
  502: { type: 'server_error', code: null, message: 'Bad gateway.' },
  503: { type: 'server_error', code: null, message: 'The engine is overloaded, try again later.' },
  504: { type: 'server_error', code: null, message: 'Gateway timeout.' },
  529: { type: 'overloaded_error', code: 'overloaded', message: 'Overloaded.' },
}

/** What is said with a code, where the script says nothing. */
const byCode: Readonly<Record<string, string>> = {
  insufficient_quota: 'The quota is used up.',
  context_length_exceeded: 'The messages are longer than the context window of this model.',
  content_policy_violation: 'The prompt was refused by the content policy.',
}

/** `{"error":{"message","type","param","code"}}` as JSON text. */
export function errorBody(error: VendorError): string {
  const fallback = error.status >= 500 ? 500 : 400
  const kind = (kinds[error.status] ?? kinds[fallback]) as Kind
  return JSON.stringify({
    error: {
      message: error.message ?? byCode[error.code ?? ''] ?? kind.message,
      type: error.code === 'insufficient_quota' ? 'insufficient_quota' : kind.type,
      param: error.param ?? null,
      code: error.code ?? kind.code,
    },
  })
}

export function errorFrame(error: VendorError): Frame {
  return { data: errorBody(error), tokens: 0 }
}

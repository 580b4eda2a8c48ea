// An error as OpenAI's clients expect it: all four keys, `code` a string.
import type { GatewayError } from '../errors.ts'

/** The JSON body of an error reply. */
export function encodeError(error: GatewayError): string {
  const { message, type, param, code, metadata } = error
  return JSON.stringify({ error: { message, type, param, code, ...(metadata ? { metadata } : {}) } })
}

/** The stream frame that OpenAI's SDKs turn into an exception. No `[DONE]` may follow. */
export function encodeErrorFrame(error: GatewayError): string {
  return `data: ${encodeError(error)}\n\n`
}

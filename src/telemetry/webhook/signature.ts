// Signs what is posted to webhooks as Standard Webhooks 1.0 says, so that receivers can verify it with any library of that name.
import { createHmac } from 'node:crypto'

export interface SignedParts {
  /** The message's id, the same at each attempt. */
  readonly id: string
  /** When this attempt is made, in whole seconds since 1970. */
  readonly timestamp: number
  /** The body, as it is posted. */
  readonly body: string
}

/** The value of `webhook-signature`: one `v1,` and base64 of HMAC-SHA-256 for each secret, with spaces between. */
export function signMessage(secrets: readonly string[], { id, timestamp, body }: SignedParts): string {
  const signed = `${id}.${timestamp}.${body}`
  return secrets.map((secret) => `v1,${createHmac('sha256', keyOf(secret)).update(signed).digest('base64')}`).join(' ')
}

/** A secret in the standard's own form holds its bytes as base64; any other is taken as it is. */
function keyOf(secret: string): Buffer {
  return secret.startsWith('whsec_')
    ? Buffer.from(secret.slice('whsec_'.length), 'base64')
    : Buffer.from(secret, 'utf8')
}

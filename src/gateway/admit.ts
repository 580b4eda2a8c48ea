// Decides who may come in: the key that a client shows, or loopback alone where no key is configured.
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { isLoopback } from '../config/binding.ts'
import type { ApiKey, Snapshot } from '../config/snapshot.ts'
import { Refusal } from '../dialects/errors.ts'
import type { Keyring } from '../state/keyring.ts'

/**
 * The key of a request; undefined where the gateway has no keys.
 * @throws Refusal `invalid_api_key`, `key_disabled`, `key_expired`; without any key configured `host_not_allowed` and `unsupported_media_type`, because a web page
 * can make a browser send simple requests to loopback, or resolve its own name to it (DNS rebinding)
 */
export function authenticate(
  req: IncomingMessage,
  snapshot: Snapshot,
  insecure: boolean,
  keyring?: Pick<Keyring, 'find' | 'size'>,
): ApiKey | undefined {
  if (snapshot.keys.size === 0 && !keyring?.size) {
    refuseStrangers(req, snapshot, insecure)
    if (req.method === 'POST') requireJson(req)
    return undefined
  }
  const shown = credentialOf(req)
  if (shown === undefined) {
    throw new Refusal(
      'invalid_api_key',
      "You didn't provide an API key. Send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'.",
    )
  }
  const key = snapshot.keys.get(createHash('sha256').update(shown).digest('hex')) ?? keyring?.find(shown)?.key
  if (!key) throw new Refusal('invalid_api_key', 'Incorrect API key provided.')
  if (key.disabled) throw new Refusal('key_disabled', 'This API key is switched off.')
  if (key.expiresAt !== undefined && key.expiresAt <= Date.now())
    throw new Refusal('key_expired', 'This API key has expired.')
  return key
}

/** The credential of a request, whatever it may hold. Looked up by digest only, so that its characters mean nothing. */
function credentialOf(req: IncomingMessage): string | undefined {
  const authorization = req.headers.authorization
  if (authorization !== undefined) {
    const space = authorization.indexOf(' ')
    if (space > 0 && authorization.slice(0, space).toLowerCase() === 'bearer')
      return authorization.slice(space + 1).trim()
  }
  const header = req.headers['x-api-key']
  return typeof header === 'string' && header !== '' ? header : undefined
}

/**
 * Pages without a key of their own: where no key is configured, they are for this machine alone, too.
 * @throws Refusal `host_not_allowed`
 */
export function refuseStrangers(req: IncomingMessage, snapshot: Snapshot, insecure: boolean): void {
  if (snapshot.keys.size === 0 && !insecure) requireLoopbackHost(req)
}

function requireLoopbackHost(req: IncomingMessage): void {
  const host = req.headers.host ?? ''
  if (isLoopback(host.replace(/:\d*$/, ''))) return
  throw new Refusal(
    'host_not_allowed',
    'Without keys this gateway answers only to localhost. Configure keys or TURNOUT_MASTER_KEY.',
  )
}

function requireJson(req: IncomingMessage): void {
  const type = (req.headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase()
  if (type === 'application/json' || type.endsWith('+json')) return
  throw new Refusal('unsupported_media_type', "The content-type must be 'application/json'.")
}

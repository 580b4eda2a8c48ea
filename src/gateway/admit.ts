// Decides who may come in: the key that a client shows, or loopback alone where no key is configured.
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { isLoopback } from '../config/binding.ts'
import type { ApiKey, Snapshot } from '../config/snapshot.ts'
import type { FoundKey, Keyring } from '../state/keyring.ts'
import type { AuthFailure } from '../telemetry/metricTable.ts'
import type { ClientTokens } from './clientTokens.ts'
import { Denied } from './denied.ts'
import { createFreshMap } from './freshMap.ts'
import { looksSigned } from './signed.ts'

export interface Gatekeeper {
  /**
   * The key of a request for models; undefined where the gateway has no keys. A promise only where a signed token is judged for the first
   * time.
   * Throws and rejects with `Denied`: `invalid_api_key`, `key_disabled`, `key_expired`; without any key configured `host_not_allowed` and
   * `unsupported_media_type`, because a web page can make a browser send simple requests to loopback, or resolve its own name to it
   * (DNS rebinding)
   */
  admit(req: IncomingMessage, snapshot: Snapshot): ApiKey | undefined | Promise<ApiKey>
  /** The key of a request for the control plane, whatever its role. No token of an end user is one. Not counted. @throws Denied */
  operator(req: IncomingMessage, snapshot: Snapshot): ApiKey
  /** Runs a check that may throw or reject with `Denied`, and counts it if it does. */
  counted<Result>(req: IncomingMessage, check: () => Result): Result
}

export interface GatekeeperParts {
  /** Answer any `Host` although no key is configured. */
  readonly insecure: boolean
  readonly keyring?: Pick<Keyring, 'find' | 'size' | 'revision'> | undefined
  /** Judges tokens of end users, where the configuration takes any. */
  readonly tokens?: ClientTokens | undefined
  /** Told of everybody who was not let in. */
  readonly failed?: ((reason: AuthFailure, req: IncomingMessage) => void) | undefined
  readonly now?: (() => number) | undefined
}

/** Keys that are remembered by what was shown: two generations of as many, about 200 bytes each. */
const remembered = 10_000
/** Milliseconds after which a key that nobody shows any more begins to be forgotten. */
const forgetAfter = 300_000

/**
 * Who was let in once is found again by the text that was shown, in place of a SHA-256 and an HMAC for every request.
 *
 * - Revoked and changed keys: what is remembered belongs to one snapshot and one revision of the keyring, and is dropped whole with either.
 *   Whether a key is switched off, expired or past its time of grace is asked each time.
 * - Timing: a lookup by text hashes all of it with a seed of this process, and compares characters only with an entry of the same hash.
 *   Whoever does not know the seed cannot aim at a hash, so that nothing of a secret can be felt for character by character.
 * - Secrets in memory: only good ones are remembered, so that strangers cannot fill it or push anybody out; and those that were not shown
 *   for ten minutes are dropped. Requests hold the same text while they run: whoever can read this memory can read those.
 */
export function createGatekeeper(parts: GatekeeperParts): Gatekeeper {
  const { insecure, keyring, tokens, failed, now = Date.now } = parts
  /** By the whole header: a part of it would be another text, to be hashed for each request. */
  const seen = {
    authorization: createFreshMap<FoundKey>(remembered, forgetAfter, now),
    'x-api-key': createFreshMap<FoundKey>(remembered, forgetAfter, now),
    'api-key': createFreshMap<FoundKey>(remembered, forgetAfter, now),
  }
  let seenIn: Snapshot | undefined
  let seenAt = 0

  /** The key of the credential that a request shows; undefined for one that nobody has. @throws Denied without any */
  const find = (req: IncomingMessage, snapshot: Snapshot): FoundKey | undefined => {
    const revision = keyring?.revision ?? 0
    if (seenIn !== snapshot || seenAt !== revision) {
      for (const known of Object.values(seen)) known.clear()
      seenIn = snapshot
      seenAt = revision
    }
    const { headers } = req
    const name = headers.authorization === undefined ? keyHeaderOf(req) : 'authorization'
    const header = headers[name] as string | undefined
    const known = header === undefined ? undefined : seen[name].get(header)
    if (known) return known.until === undefined || known.until > now() ? known : undefined
    const shown = credentialOf(req)
    if (shown === undefined) throw missing()
    const own = snapshot.keys.get(createHash('sha256').update(shown).digest('hex'))
    const found = own ? { key: own, until: undefined } : keyring?.find(shown)
    // Not where the key stood in the other header, beside an `authorization` that is none.
    if (found && (name !== 'authorization' || bearerOf(header!) !== undefined)) seen[name].set(header!, found)
    return found
  }

  const check = (key: ApiKey): ApiKey => {
    if (key.disabled) throw new Denied('disabled', 'key_disabled', 'This API key is switched off.')
    if (key.expiresAt !== undefined && key.expiresAt <= now())
      throw new Denied('expired', 'key_expired', 'This API key has expired.')
    return key
  }

  const count = (req: IncomingMessage, error: unknown): never => {
    if (error instanceof Denied) failed?.(error.reason, req)
    throw error
  }

  const operator = (req: IncomingMessage, snapshot: Snapshot): ApiKey => {
    const found = find(req, snapshot)
    if (!found) throw unknown()
    return check(found.key)
  }

  return {
    admit(req, snapshot) {
      try {
        const takesTokens = tokens !== undefined && snapshot.clientJwt !== undefined
        if (snapshot.keys.size === 0 && !takesTokens && !keyring?.size) {
          refuseStrangers(req, snapshot, insecure)
          if (req.method === 'POST') requireJson(req)
          return undefined
        }
        const found = find(req, snapshot)
        if (found) return check(found.key)
        const shown = credentialOf(req)!
        if (!takesTokens || !looksSigned(shown)) throw unknown()
        const key = tokens.find(shown, snapshot)
        return key instanceof Promise ? key.then(check).catch((error) => count(req, error)) : check(key)
      } catch (error) {
        return count(req, error)
      }
    },
    operator,
    counted(req, work) {
      try {
        const result = work()
        return result instanceof Promise ? (result.catch((error) => count(req, error)) as typeof result) : result
      } catch (error) {
        return count(req, error)
      }
    },
  }
}

const missing = (): Denied =>
  new Denied(
    'missing',
    'invalid_api_key',
    "You didn't provide an API key. Send it as 'Authorization: Bearer KEY', 'x-api-key: KEY' or 'api-key: KEY'.",
  )

const unknown = (): Denied => new Denied('unknown', 'invalid_api_key', 'Incorrect API key provided.')

function bearerOf(authorization: string): string | undefined {
  const space = authorization.indexOf(' ')
  return space > 0 && authorization.slice(0, space).toLowerCase() === 'bearer'
    ? authorization.slice(space + 1).trim()
    : undefined
}

/** Anthropic's clients say `x-api-key`, Azure's `api-key`. */
const keyHeaderOf = ({ headers }: IncomingMessage): 'x-api-key' | 'api-key' =>
  headers['x-api-key'] === undefined && headers['api-key'] !== undefined ? 'api-key' : 'x-api-key'

/** The credential of a request, whatever it may hold. */
function credentialOf(req: IncomingMessage): string | undefined {
  const { authorization } = req.headers
  const bearer = authorization === undefined ? undefined : bearerOf(authorization)
  if (bearer !== undefined) return bearer
  const header = req.headers[keyHeaderOf(req)]
  return typeof header === 'string' && header !== '' ? header : undefined
}

/**
 * Pages without a key of their own: where no key is configured, they are for this machine alone, too.
 * @throws Denied `host_not_allowed`
 */
export function refuseStrangers(req: IncomingMessage, snapshot: Snapshot, insecure: boolean): void {
  if (snapshot.keys.size === 0 && snapshot.clientJwt === undefined && !insecure) requireLoopbackHost(req)
}

function requireLoopbackHost(req: IncomingMessage): void {
  const host = req.headers.host ?? ''
  if (isLoopback(host.replace(/:\d*$/, ''))) return
  throw new Denied(
    'host',
    'host_not_allowed',
    'Without keys this gateway answers only to localhost. Configure keys or TURNOUT_MASTER_KEY.',
  )
}

function requireJson(req: IncomingMessage): void {
  const type = (req.headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase()
  if (type === 'application/json' || type.endsWith('+json')) return
  throw new Denied('content_type', 'unsupported_media_type', "The content-type must be 'application/json'.")
}

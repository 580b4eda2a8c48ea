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
  const seen = createFreshMap<FoundKey>(remembered, forgetAfter, now)
  let seenIn: Snapshot | undefined
  let seenAt = 0

  const find = (shown: string, snapshot: Snapshot): FoundKey | undefined => {
    const revision = keyring?.revision ?? 0
    if (seenIn !== snapshot || seenAt !== revision) {
      seen.clear()
      seenIn = snapshot
      seenAt = revision
    }
    let found = seen.get(shown)
    if (found) return found.until === undefined || found.until > now() ? found : undefined
    const own = snapshot.keys.get(createHash('sha256').update(shown).digest('hex'))
    found = own ? { key: own, until: undefined } : keyring?.find(shown)
    if (found) seen.set(shown, found)
    return found
  }

  const check = (key: ApiKey): ApiKey => {
    if (key.disabled) throw new Denied('disabled', 'key_disabled', 'This API key is switched off.')
    if (key.expiresAt !== undefined && key.expiresAt <= now())
      throw new Denied('expired', 'key_expired', 'This API key has expired.')
    return key
  }

  const counted = <Result>(req: IncomingMessage, work: () => Result): Result => {
    const count = (error: unknown): never => {
      if (error instanceof Denied) failed?.(error.reason, req)
      throw error
    }
    try {
      const result = work()
      return result instanceof Promise ? (result.catch(count) as Result) : result
    } catch (error) {
      return count(error)
    }
  }

  const admit = (req: IncomingMessage, snapshot: Snapshot): ApiKey | undefined | Promise<ApiKey> => {
    const takesTokens = tokens !== undefined && snapshot.clientJwt !== undefined
    if (snapshot.keys.size === 0 && !keyring?.size && !takesTokens) {
      refuseStrangers(req, snapshot, insecure)
      if (req.method === 'POST') requireJson(req)
      return undefined
    }
    const shown = credentialOf(req)
    if (shown === undefined) throw missing()
    const found = find(shown, snapshot)
    if (found) return check(found.key)
    if (!takesTokens || !looksSigned(shown)) throw unknown()
    const key = tokens.find(shown, snapshot)
    return key instanceof Promise ? key.then(check) : check(key)
  }

  return {
    admit: (req, snapshot) => counted(req, () => admit(req, snapshot)),
    operator(req, snapshot) {
      const shown = credentialOf(req)
      if (shown === undefined) throw missing()
      const found = find(shown, snapshot)
      if (!found) throw unknown()
      return check(found.key)
    },
    counted,
  }
}

const missing = (): Denied =>
  new Denied(
    'missing',
    'invalid_api_key',
    "You didn't provide an API key. Send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'.",
  )

const unknown = (): Denied => new Denied('unknown', 'invalid_api_key', 'Incorrect API key provided.')

/** The credential of a request, whatever it may hold. */
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

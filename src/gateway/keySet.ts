// The key set of an issuer of tokens (JWKS, RFC 7517), read from its address or a file: kept, refreshed, and never waited for long.
import { readFile, stat } from 'node:fs/promises'
import type { JSONWebKeySet, JWTVerifyGetKey } from 'jose'
import { openAgent } from '../egress/agent.ts'
import { Denied } from './denied.ts'
import { tokenDenied } from './signed.ts'

export interface KeySet {
  /** Another number each time that other keys were read: what was judged by the old ones has to be judged again. */
  readonly version: number
  /** For `jwtVerify`. @throws Denied `keys_unavailable` when no keys could be read, `token_invalid` for a key that is not in the set */
  readonly find: JWTVerifyGetKey
}

/** All in milliseconds. */
export interface KeySetTimes {
  /** After this the set is read again, behind the request that asks. */
  readonly fresh: number
  /** After this it is not believed any more, unless it is read again. */
  readonly stale: number
  /** Between two readings that were started by unknown key ids: whoever sends made-up ids must not make us ask each time. */
  readonly pause: number
  /** Between a reading that failed and the next. */
  readonly retry: number
  /** The longest that a reading may take. */
  readonly patience: number
}

/** Issuers publish a new key long before they use it, and withdraw an old one long after: minutes are soon enough for both. */
const keySetTimes: KeySetTimes = {
  fresh: 600_000,
  stale: 86_400_000,
  pause: 30_000,
  retry: 5_000,
  patience: 3_000,
}

const maxBytes = 1024 * 1024

export interface KeySetParts {
  readonly times?: Partial<KeySetTimes> | undefined
  readonly now?: (() => number) | undefined
  /** URL of the proxy that the address is reached through. */
  readonly proxy?: string | undefined
  /** Told of each reading that failed. The text names no token and no key. */
  readonly trouble?: ((why: string) => void) | undefined
}

/** @param where an address or the path of a file */
export function createKeySet(where: string, parts: KeySetParts = {}): KeySet {
  const { now = Date.now, trouble } = parts
  const times = { ...keySetTimes, ...parts.times }
  let version = 0
  let text: string | undefined
  let keys: JWTVerifyGetKey | undefined
  let readAt = Number.NEGATIVE_INFINITY
  let triedAt = Number.NEGATIVE_INFINITY
  let failed = false
  let reading: Promise<void> | undefined

  /** One reading at a time, which everybody waits for who waits at all. Never rejects. */
  const read = (): Promise<void> => {
    reading ??= readNow().finally(() => {
      reading = undefined
    })
    return reading
  }
  const readNow = async (): Promise<void> => {
    triedAt = now()
    try {
      const got = await readText(where, times.patience, parts.proxy)
      if (got !== text) {
        keys = await keysOf(got)
        text = got
        version++
      }
      readAt = now()
      failed = false
    } catch (error) {
      failed = true
      trouble?.(reasonOf(error))
    }
  }
  const mayRead = (pause: number): boolean => reading !== undefined || now() - triedAt >= pause

  return {
    get version() {
      return version
    },
    async find(header, token) {
      const age = now() - readAt
      if (age > times.stale) {
        if (mayRead(failed ? times.retry : 0)) await read()
        if (now() - readAt > times.stale) throw unavailable()
      } else if (age > times.fresh && mayRead(times.retry)) void read()
      try {
        return await keys!(header, token)
      } catch (error) {
        if (!isUnknown(error)) throw error
      }
      // A key that was published since. Those that were unknown a moment ago are still unknown.
      if (!mayRead(failed ? times.retry : times.pause)) throw failed ? unavailable() : unknownKey()
      await read()
      if (failed) throw unavailable()
      try {
        return await keys!(header, token)
      } catch (error) {
        throw isUnknown(error) ? unknownKey() : error
      }
    },
  }
}

const isUnknown = (error: unknown): boolean => (error as { code?: string }).code === 'ERR_JWKS_NO_MATCHING_KEY'

const unknownKey = (): Denied => tokenDenied('token_invalid', 'its issuer has no key of that id and algorithm')

/** Nobody's fault who shows a token: so no 401, after which clients throw theirs away. */
const unavailable = (): Denied =>
  new Denied('keys_unavailable', 'not_available', 'The keys that tokens are judged by cannot be read at the moment.', {
    retry_after_seconds: 5,
  })

async function keysOf(text: string): Promise<JWTVerifyGetKey> {
  const { createLocalJWKSet } = await import('jose')
  return createLocalJWKSet(JSON.parse(text) as JSONWebKeySet)
}

/** Redirects are not followed: whoever the configuration trusts is the one at that address. */
async function readText(where: string, patience: number, proxy: string | undefined): Promise<string> {
  if (!/^https?:\/\//i.test(where)) {
    if ((await stat(where)).size > maxBytes) throw new Error('it is larger than 1 MB')
    return readFile(where, 'utf8')
  }
  const { request } = await import('undici')
  const dispatcher = await openAgent(proxy, patience)
  try {
    const reply = await request(where, {
      dispatcher,
      headers: { accept: 'application/jwk-set+json, application/json' },
      signal: AbortSignal.timeout(patience),
    })
    if (reply.statusCode !== 200) throw new Error(`it answered ${reply.statusCode}`)
    const pieces: Buffer[] = []
    let size = 0
    for await (const piece of reply.body as AsyncIterable<Buffer>) {
      size += piece.length
      if (size > maxBytes) throw new Error('it is larger than 1 MB')
      pieces.push(piece)
    }
    return Buffer.concat(pieces).toString('utf8')
  } finally {
    await dispatcher.destroy()
  }
}

/** JSON errors quote what they read, which could be a page with somebody's secret on it. */
function reasonOf(error: unknown): string {
  if (error instanceof SyntaxError) return 'it is not JSON'
  const { code, name, message } = error as NodeJS.ErrnoException
  if (name === 'TimeoutError' || name === 'AbortError') return 'it took too long'
  if (code === 'ERR_JWKS_INVALID') return 'it is no key set'
  return code ?? message
}

// Signed tokens of end users: judged once, remembered until they expire, and turned into the key that they stand for.
import type { CryptoKey, JWTPayload } from 'jose'
import type { ApiKey, ClientJwtSettings, Snapshot } from '../config/snapshot.ts'
import type { Keyring } from '../state/keyring.ts'
import { createFreshMap } from './freshMap.ts'
import { createKeySet, type KeySetParts } from './keySet.ts'
import { denialOf, keyObjectOf, tokenDenied } from './signed.ts'

export interface ClientTokens {
  /**
   * The key that a token stands for: with the token's user, and never with a role. A promise where the token was not judged before.
   * Throws and rejects with `Denied`.
   */
  find(token: string, snapshot: Snapshot): ApiKey | Promise<ApiKey>
}

export interface ClientTokensParts {
  readonly keyring?: Pick<Keyring, 'named' | 'revision'> | undefined
  readonly now?: (() => number) | undefined
  readonly times?: KeySetParts['times']
  /** Told when the issuer's keys cannot be read. */
  readonly trouble?: KeySetParts['trouble']
}

/** What is kept of a token that was good. */
interface Judged {
  readonly key: string | undefined
  readonly team: string | undefined
  readonly user: string
  /** Unix milliseconds: its expiry, with the tolerance, or when it is judged again. */
  readonly until: number
  /** Of the keys that it was judged by. */
  readonly version: number
  /** The key that it stood for last, and when that was so. */
  stands: { readonly key: ApiKey; readonly snapshot: Snapshot; readonly revision: number } | undefined
}

interface Judge {
  readonly settings: ClientJwtSettings
  readonly version: () => number
  verify(token: string): Promise<JWTPayload>
}

/** About 1 KB each: a few megabytes at most. */
const remembered = 2_500
/** Also a token that is good for a day is judged again now and then, so that a key which its issuer withdrew stops counting. */
const longest = 600_000
const maxUser = 512
/** Teams stand in the ledger, its exports and the metrics as they are, and some issuers let people write their own. */
const control = /\p{Cc}/u

/** Asymmetric alone: with a key set everybody knows the keys, and one of them taken for an HMAC secret would sign anything. */
const setAlgorithms = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
]

/**
 * Judges the tokens of one gateway. Judged tokens, and the keys of their issuer, are remembered across configurations that do not change
 * them.
 */
export function createClientTokens(parts: ClientTokensParts = {}): ClientTokens {
  const { keyring, now = Date.now } = parts
  const good = createFreshMap<Judged>(remembered, longest, now)
  let judge: Judge | undefined

  /** A swap that changes nothing of this leaves the issuer's keys and the judged tokens where they are. */
  const judgeFor = (settings: ClientJwtSettings): Judge => {
    if (judge?.settings === settings) return judge
    if (judge && isSame(judge.settings, settings)) judge = { ...judge, settings }
    else {
      good.clear()
      judge = makeJudge(settings, parts)
    }
    return judge
  }

  const verify = async (token: string, by: Judge, snapshot: Snapshot): Promise<ApiKey> => {
    // Taken before: keys that are read meanwhile may no longer hold the one that is judged by.
    const version = by.version()
    let payload: JWTPayload
    try {
      payload = await by.verify(token)
    } catch (error) {
      throw denialOf(error)
    }
    const { claims, clockTolerance } = by.settings
    const judged: Judged = {
      user: userOf(payload, claims.user),
      key: textOf(payload, claims.key),
      team: textOf(payload, claims.team),
      until: Math.min(payload.exp! * 1000 + clockTolerance, now() + longest),
      version,
      stands: undefined,
    }
    const key = standFor(judged, by.settings, snapshot)
    // Only what is good: made-up tokens cannot push it out.
    if (judge === by) good.set(token, judged)
    return key
  }

  const standFor = (judged: Judged, settings: ClientJwtSettings, snapshot: Snapshot): ApiKey => {
    const revision = keyring?.revision ?? 0
    const { stands } = judged
    if (stands?.snapshot === snapshot && stands.revision === revision) return stands.key
    const wanted = judged.key ?? settings.standIn
    if (wanted === undefined) throw tokenDenied('token_key', 'it names no key that it stands for')
    const own = typeof wanted === 'string' ? (fileKeys(snapshot).get(wanted) ?? keyring?.named(wanted)) : wanted
    if (!own) throw tokenDenied('token_key', 'the key that it stands for is not there')
    const key: ApiKey = { ...own, role: 'app', team: judged.team ?? own.team, user: judged.user }
    judged.stands = { key, snapshot, revision }
    return key
  }

  return {
    find(token, snapshot) {
      const by = judgeFor(snapshot.clientJwt!)
      const known = good.get(token)
      if (known && known.until > now() && known.version === by.version()) return standFor(known, by.settings, snapshot)
      return verify(token, by, snapshot)
    },
  }
}

function makeJudge(settings: ClientJwtSettings, { now = Date.now, times, trouble }: ClientTokensParts): Judge {
  const { judge, audience, issuer, clockTolerance, claims } = settings
  const set = 'jwks' in judge ? createKeySet(judge.jwks, { now, times, trouble, proxy: judge.proxy }) : undefined
  const options = {
    algorithms: 'jwks' in judge ? setAlgorithms : [judge.algorithm],
    audience,
    requiredClaims: ['exp', 'aud', claims.user],
    clockTolerance: clockTolerance / 1000,
    ...(issuer === undefined ? {} : { issuer }),
  }
  return {
    settings,
    version: () => set?.version ?? 0,
    async verify(token) {
      // Only where tokens are taken: not everybody needs the library in memory.
      const { jwtVerify } = await import('jose')
      const at = { ...options, currentDate: new Date(now()) }
      if (!set)
        return (await jwtVerify(token, keyObjectOf(judge as Exclude<typeof judge, { readonly jwks: string }>), at))
          .payload
      try {
        return (await jwtVerify(token, set.find, at)).payload
      } catch (error) {
        const several = error as { code?: string } & AsyncIterable<CryptoKey>
        if (several.code !== 'ERR_JWKS_MULTIPLE_MATCHING_KEYS') throw error
        return tryEach(several, (key) => jwtVerify(token, key, at))
      }
    },
  }
}

/** A token without a key id may be signed with any key of its algorithm. The set is the issuer's and short. */
async function tryEach(
  keys: AsyncIterable<CryptoKey>,
  verify: (key: CryptoKey) => Promise<{ payload: JWTPayload }>,
): Promise<JWTPayload> {
  let last: unknown
  for await (const key of keys) {
    try {
      return (await verify(key)).payload
    } catch (error) {
      last = error
      if ((error as { code?: string }).code !== 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED') break
    }
  }
  throw last
}

const byName = new WeakMap<Snapshot, Map<string, ApiKey>>()

function fileKeys(snapshot: Snapshot): Map<string, ApiKey> {
  let keys = byName.get(snapshot)
  if (!keys) {
    keys = new Map([...snapshot.keys.values()].map((key) => [key.name, key]))
    byName.set(snapshot, keys)
  }
  return keys
}

/** Undefined where the claim is not there or not asked for. @throws Denied where it is no text: taking it for none would widen it */
function textOf(payload: JWTPayload, claim: string | undefined): string | undefined {
  if (claim === undefined || !Object.hasOwn(payload, claim)) return undefined
  const value = payload[claim]
  if (typeof value === 'string' && value !== '' && value.length <= 128 && !control.test(value)) return value
  throw tokenDenied('token_claims', `its claim '${claim}' is no text of 1 to 128 characters in one line`)
}

function userOf(payload: JWTPayload, claim: string): string {
  const value = payload[claim]
  if (typeof value === 'string' && value !== '' && value.length <= maxUser) return value
  throw tokenDenied('token_claims', `its claim '${claim}' is no text of 1 to ${maxUser} characters`)
}

const isSame = (a: ClientJwtSettings, b: ClientJwtSettings): boolean => JSON.stringify(a) === JSON.stringify(b)

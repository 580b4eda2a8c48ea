// Judges the signed tokens that may operate Turnout: one key, its one algorithm, an expiry, an audience and a role.
import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto'
import type { JWTPayload } from 'jose'
import type { ApiKey, JwtSettings } from '../../config/snapshot.ts'
import { Refusal } from '../../dialects/errors.ts'
import { roles } from './role.ts'

const keys = new WeakMap<JwtSettings, KeyObject>()
/** Clocks of two machines differ by a little. */
const toleranceSeconds = 5

/** Whether a credential has the form of a signed token; keys of ours never have. */
export const looksSigned = (credential: string): boolean => /^eyJ[\w-]*\.[\w-]+\.[\w-]*$/.test(credential)

/**
 * The key that a token stands for, named `jwt:` and its subject.
 * @throws Refusal `invalid_api_key` without saying what is wrong with the signature; `permission_denied` without a role
 */
export async function verifyToken(token: string, settings: JwtSettings): Promise<ApiKey> {
  // Only where tokens are taken: not everybody needs the library in memory.
  const { jwtVerify } = await import('jose')
  let payload: JWTPayload
  try {
    const verified = await jwtVerify(token, keyOf(settings), {
      algorithms: [settings.algorithm],
      audience: settings.audience,
      requiredClaims: ['exp', 'aud', 'sub'],
      clockTolerance: toleranceSeconds,
      ...(settings.issuer === undefined ? {} : { issuer: settings.issuer }),
    })
    payload = verified.payload
  } catch (error) {
    throw new Refusal('invalid_api_key', `The token is not accepted: ${reasonOf(error)}.`)
  }
  const role = roles.find((known) => known === payload.role)
  if (role === undefined)
    throw new Refusal('permission_denied', `The token's claim 'role' has to be one of ${roles.join(', ')}.`)
  return { name: `jwt:${nameOf(payload.sub!)}`, role }
}

function keyOf(settings: JwtSettings): KeyObject {
  let key = keys.get(settings)
  if (!key) {
    key =
      settings.algorithm === 'HS256'
        ? createSecretKey(Buffer.from(settings.key, 'utf8'))
        : createPublicKey(settings.key)
    keys.set(settings, key)
  }
  return key
}

/** The library's codes are few and name no value of the token. */
function reasonOf(error: unknown): string {
  const { code, claim } = error as { code?: string; claim?: string }
  if (code === 'ERR_JWT_EXPIRED') return 'it has expired'
  if (code === 'ERR_JWT_CLAIM_VALIDATION_FAILED') return `its claim '${claim}' is missing or not the one that is wanted`
  return 'it is not signed with the key and the algorithm that are configured'
}

/** Whoever issues tokens chooses subjects: they end up in logs and rows. */
const nameOf = (subject: string): string => subject.replace(/[^\x21-\x7e]+/g, '_').slice(0, 128)

// Judges the signed tokens that may operate Turnout: one key, its one algorithm, an expiry, an audience and a role.
import type { JWTPayload } from 'jose'
import type { ApiKey, JwtSettings } from '../../config/snapshot.ts'
import { Denied } from '../../gateway/denied.ts'
import { denialOf, keyObjectOf } from '../../gateway/signed.ts'
import { roles } from './role.ts'

/** Clocks of two machines differ by a little. */
const toleranceSeconds = 5

/**
 * The key that a token stands for, named `jwt:` and its subject.
 * @throws Denied `invalid_api_key` without saying what is wrong with the signature; `permission_denied` without a role
 */
export async function verifyToken(token: string, settings: JwtSettings): Promise<ApiKey> {
  // Only where tokens are taken: not everybody needs the library in memory.
  const { jwtVerify } = await import('jose')
  let payload: JWTPayload
  try {
    const verified = await jwtVerify(token, keyObjectOf(settings), {
      algorithms: [settings.algorithm],
      audience: settings.audience,
      requiredClaims: ['exp', 'aud', 'sub'],
      clockTolerance: toleranceSeconds,
      ...(settings.issuer === undefined ? {} : { issuer: settings.issuer }),
    })
    payload = verified.payload
  } catch (error) {
    throw denialOf(error)
  }
  const role = roles.find((known) => known === payload.role)
  if (role === undefined)
    throw new Denied('role', 'permission_denied', `The token's claim 'role' has to be one of ${roles.join(', ')}.`)
  return { name: `jwt:${nameOf(payload.sub!)}`, role }
}

/** Whoever issues tokens chooses subjects: they end up in logs and rows. */
const nameOf = (subject: string): string => subject.replace(/[^\x21-\x7e]+/g, '_').slice(0, 128)

// What signed tokens of operators and of end users have in common: their form, the key they are judged by, and why one is turned down.
import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto'
import type { JwtJudge } from '../config/snapshot.ts'
import type { AuthFailure } from '../telemetry/metricTable.ts'
import { Denied } from './denied.ts'

/** Whether a credential has the form of a signed token; keys of ours never have. */
export const looksSigned = (credential: string): boolean => /^eyJ[\w-]*\.[\w-]+\.[\w-]*$/.test(credential)

const made = new WeakMap<JwtJudge, KeyObject>()

/** The one key of a configuration, made once. */
export function keyObjectOf(judge: JwtJudge): KeyObject {
  let key = made.get(judge)
  if (!key) {
    key = judge.algorithm === 'HS256' ? createSecretKey(Buffer.from(judge.key, 'utf8')) : createPublicKey(judge.key)
    made.set(judge, key)
  }
  return key
}

/** The refusal for an error of the library, whose codes are few and name no value of the token. */
export function denialOf(error: unknown): Denied {
  if (error instanceof Denied) return error
  const { code, claim } = error as { code?: string; claim?: string }
  if (code === 'ERR_JWT_EXPIRED') return tokenDenied('token_expired', 'it has expired')
  if (code === 'ERR_JWT_CLAIM_VALIDATION_FAILED')
    return tokenDenied('token_claims', `its claim '${claim}' is missing or not the one that is wanted`)
  return tokenDenied('token_invalid', 'it is not signed with the key and the algorithm that are configured')
}

export const tokenDenied = (reason: AuthFailure, why: string): Denied =>
  new Denied(reason, 'invalid_api_key', `The token is not accepted: ${why}.`)

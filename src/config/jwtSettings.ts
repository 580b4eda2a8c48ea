// Decides how signed tokens are judged: by one key, with the one algorithm that belongs to it.
import { createPublicKey, type KeyObject } from 'node:crypto'
import { defaults } from './defaults.ts'
import { firstSet } from './env.ts'
import type { Env } from './interpolation.ts'
import { weaknessOf } from './keySettings.ts'
import type { Path, Report } from './problem.ts'
import type { AdminSettings } from './schema.ts'
import type { JwtJudge, JwtSettings } from './snapshot.ts'

/** An HS256 secret shorter than its hash can be searched for (RFC 7518, 3.2). */
const leastSecret = 32

/** The file wins over TURNOUT_JWT_SECRET and TURNOUT_JWT_PUBLIC_KEY. Tells of keys that cannot be used. */
export function buildJwt(settings: AdminSettings, env: Env, report: Report): JwtSettings | undefined {
  const written = settings?.jwt
  const path = ['admin', 'jwt']
  const inFile = written?.secret !== undefined || written?.publicKey !== undefined
  const secret = written?.secret ?? (inFile ? undefined : firstSet(env, ['TURNOUT_JWT_SECRET'])?.value)
  // Env files and orchestrators often hold a PEM on one line.
  const publicKey =
    written?.publicKey ??
    (inFile ? undefined : firstSet(env, ['TURNOUT_JWT_PUBLIC_KEY'])?.value)?.replaceAll('\\n', '\n')
  const place = (field: 'secret' | 'publicKey', variable: string) => (inFile ? [...path, field] : [variable])
  const judge = buildJudge(
    { secret, publicKey },
    {
      both: inFile ? path : ['TURNOUT_JWT_SECRET'],
      secret: place('secret', 'TURNOUT_JWT_SECRET'),
      publicKey: place('publicKey', 'TURNOUT_JWT_PUBLIC_KEY'),
    },
    report,
  )
  if (judge) return { ...judge, audience: written?.audience ?? defaults.jwtAudience, issuer: written?.issuer }
  if (written && secret === undefined && publicKey === undefined)
    report(path, 'needs a `secret` or a `publicKey`', 'key')
  return undefined
}

/** The one key that tokens are judged by, and its one algorithm. Undefined without one; tells of one that cannot be used. */
export function buildJudge(
  { secret, publicKey }: { secret?: string | undefined; publicKey?: string | undefined },
  paths: { readonly both: Path; readonly secret: Path; readonly publicKey: Path },
  report: Report,
): JwtJudge | undefined {
  if (secret !== undefined && publicKey !== undefined) {
    report(paths.both, 'a secret and a public key: tokens are judged by one of them', 'key')
    return undefined
  }
  if (secret !== undefined) {
    const weak = secret.length < leastSecret ? `needs at least ${leastSecret} characters` : weaknessOf(secret)
    if (weak) report(paths.secret, weak)
    return { algorithm: 'HS256', key: secret }
  }
  if (publicKey === undefined) return undefined
  const algorithm = algorithmOf(publicKey)
  if (algorithm) return { algorithm, key: publicKey }
  report(paths.publicKey, 'expected a public key in PEM: RSA of at least 2048 bits, P-256, or Ed25519')
  return undefined
}

/** The one algorithm of a public key; undefined for private keys, other kinds, and RSA keys that are too short. */
function algorithmOf(pem: string): JwtJudge['algorithm'] | undefined {
  // Node would make a public key of a private one without a word.
  if (!pem.includes('PUBLIC KEY-----')) return undefined
  let key: KeyObject
  try {
    key = createPublicKey(pem)
  } catch {
    return undefined
  }
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType === 'rsa') return modulusLength >= 2048 ? 'RS256' : undefined
  if (key.asymmetricKeyType === 'ec') return namedCurve === 'prime256v1' ? 'ES256' : undefined
  return key.asymmetricKeyType === 'ed25519' ? 'EdDSA' : undefined
}

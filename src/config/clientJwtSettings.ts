// Decides how signed tokens of end users are judged, and what they stand for.
import { resolve } from 'node:path'
import type { AuthSettings } from './authSchema.ts'
import { isLoopback } from './binding.ts'
import { defaults } from './defaults.ts'
import type { ProxyOf } from './egress.ts'
import { buildJudge } from './jwtSettings.ts'
import { buildOwnRules } from './limitSettings.ts'
import type { Path, Report } from './problem.ts'
import type { ApiKey, ClientJwtSettings, JwtSettings } from './snapshot.ts'

type Written = NonNullable<NonNullable<AuthSettings>['jwt']>

/** Longer tolerances would make an expiry meaningless. */
const maxTolerance = 300_000

interface Around {
  /** How tokens of the admin API are judged. */
  readonly admin: JwtSettings | undefined
  readonly keyNames: ReadonlySet<string>
  readonly routes: readonly string[]
  readonly proxyOf: ProxyOf
  readonly report: Report
}

/** Undefined = no tokens of end users are taken. Tells of settings with which everybody, or nobody, would come in. */
export function buildClientJwt(settings: AuthSettings, around: Around): ClientJwtSettings | undefined {
  const written = settings?.jwt
  if (!written) return undefined
  const path = ['auth', 'jwt']
  const { admin, report } = around
  const { claims = {}, defaultKey, standAlone, clockTolerance = defaults.clientJwt.clockTolerance } = written
  const audience = written.audience ?? defaults.clientJwt.audience
  // One token for both would let an end user with a claim `role` operate the gateway.
  if (admin?.audience === audience)
    report([...path, 'audience'], 'is that of `admin.jwt` too: tokens of end users need one of their own')
  if (clockTolerance > maxTolerance) report([...path, 'clockTolerance'], 'at most 5m')
  if (defaultKey !== undefined && standAlone !== undefined)
    report([...path, 'standAlone'], 'beside `defaultKey`: tokens stand for one of them', 'key')
  if (claims.key === undefined && defaultKey === undefined && standAlone === undefined)
    report(path, 'needs `claims.key`, `defaultKey` or `standAlone`: what does a token stand for?', 'key')
  const judge = judgeOf(written, path, around)
  if (!judge) return undefined
  return {
    judge,
    audience,
    issuer: written.issuer,
    clockTolerance,
    claims: { key: claims.key, team: claims.team, user: claims.user ?? defaults.clientJwt.user },
    standIn: defaultKey ?? (standAlone && buildStandIn(standAlone, [...path, 'standAlone'], around)),
  }
}

function judgeOf(written: Written, path: Path, { proxyOf, report }: Around): ClientJwtSettings['judge'] | undefined {
  const { jwks, secret, publicKey } = written
  if (jwks === undefined) {
    const paths = { both: path, secret: [...path, 'secret'], publicKey: [...path, 'publicKey'] }
    if (secret === undefined && publicKey === undefined)
      report(path, 'needs `jwks`, a `secret` or a `publicKey`', 'key')
    return buildJudge({ secret, publicKey }, paths, report)
  }
  if (secret !== undefined || publicKey !== undefined) {
    report([...path, 'jwks'], 'beside a secret or a public key: tokens are judged by one of them', 'key')
    return undefined
  }
  if (!/^[a-z][a-z0-9+.-]+:\/\//i.test(jwks)) return { jwks: resolve(jwks) }
  if (isSafeAddress(jwks)) return { jwks, proxy: proxyOf(jwks) }
  // Whoever stands in between could hand out keys of his own.
  report([...path, 'jwks'], 'expected an https:// address without a password (http:// only on this machine), or a file')
  return undefined
}

function isSafeAddress(address: string): boolean {
  if (!URL.canParse(address)) return false
  const { protocol, hostname, username, password } = new URL(address)
  if (username !== '' || password !== '') return false
  return protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname))
}

function buildStandIn(
  written: NonNullable<Written['standAlone']>,
  path: Path,
  { keyNames, routes: known, report }: Around,
): ApiKey {
  const { name = defaults.clientJwt.name, team, routes, models, ...rules } = written
  // Two keys of one name would share their limits, and the ledger could not tell them apart.
  if (keyNames.has(name)) report([...path, 'name'], `a key is called "${name}" already: name it in \`defaultKey\``)
  return {
    name,
    role: 'app',
    team,
    routes,
    models,
    ...buildOwnRules(rules, { kind: 'key', name, path, routes: known }, report),
  }
}

// An issuer of signed tokens: makes keys, serves its key set over HTTP as fast or slow as a test wants, signs.
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type CryptoKey, exportJWK, exportSPKI, generateKeyPair, type JWK, SignJWT } from 'jose'

export const audience = 'turnout-clients'

export interface IssuerKey {
  readonly kid: string
  readonly alg: string
  readonly privateKey: CryptoKey
  readonly jwk: JWK
  readonly pem: string
}

export interface Issuer {
  /** Where its key set is. */
  readonly url: string
  /** What it serves, in order; a test may put others in. */
  keys: IssuerKey[]
  /** What is done with each request for the set. `hang`: never answered. */
  mood: 'good' | 'hang' | 'broken' | 'garbage' | 'redirect'
  /** Requests for the set so far. */
  readonly asked: number
  close(): Promise<void>
}

export async function makeIssuerKey(kid: string, alg = 'RS256'): Promise<IssuerKey> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
  return {
    kid,
    alg,
    privateKey,
    jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' },
    pem: await exportSPKI(publicKey),
  }
}

export interface TokenParts {
  claims?: Record<string, unknown>
  /** Seconds from `at`, or none. */
  lasts?: number | null
  header?: Record<string, unknown>
  /** Unix milliseconds that the token is made at. */
  at?: number
}

/** A token for `audience` and the user `user-1`, good for an hour, unless told otherwise. A claim of undefined is left out. */
export function sign(
  key: IssuerKey,
  { claims = {}, lasts = 3600, header = {}, at = Date.now() }: TokenParts = {},
): Promise<string> {
  const seconds = Math.floor(at / 1000)
  const payload = {
    aud: audience,
    sub: 'user-1',
    iat: seconds,
    ...(lasts === null ? {} : { exp: seconds + lasts }),
    ...claims,
  }
  return new SignJWT(payload).setProtectedHeader({ alg: key.alg, kid: key.kid, ...header }).sign(key.privateKey)
}

export async function startIssuer(...keys: IssuerKey[]): Promise<Issuer> {
  let asked = 0
  const server: Server = createServer((_req, res) => {
    asked++
    if (issuer.mood === 'hang') return
    if (issuer.mood === 'broken') res.writeHead(500).end()
    else if (issuer.mood === 'redirect') res.writeHead(302, { location: `${issuer.url}/elsewhere` }).end()
    else if (issuer.mood === 'garbage') res.end('<html>sk-planted-page-secret</html>')
    else res.end(JSON.stringify({ keys: issuer.keys.map(({ jwk }) => jwk) }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const issuer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`,
    keys,
    mood: 'good' as Issuer['mood'],
    get asked() {
      return asked
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return issuer
}

// Signed tokens of end users, judged: which are good and which are not, whose keys judge them, for how long, and what a slow issuer costs.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SignJWT, UnsecuredJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import type { ApiKey, Snapshot } from '../src/config/snapshot.ts'
import { type ClientTokensParts, createClientTokens } from '../src/gateway/clientTokens.ts'
import { Denied } from '../src/gateway/denied.ts'
import {
  audience,
  type Issuer,
  type IssuerKey,
  makeIssuerKey,
  sign,
  startIssuer,
  type TokenParts,
} from './support/issuer.ts'

const secret = 'a-secret-of-more-than-32-characters-0123456789'
const folder = mkdtempSync(join(tmpdir(), 'turnout-tokens-'))
let rsa: IssuerKey
let other: IssuerKey
let ec: IssuerKey
let issuer: Issuer
beforeAll(async () => {
  ;[rsa, other, ec] = await Promise.all([
    makeIssuerKey('rsa-1'),
    makeIssuerKey('rsa-2'),
    makeIssuerKey('ec-1', 'ES256'),
  ])
  issuer = await startIssuer(rsa, ec)
})
afterAll(async () => {
  await issuer.close()
  rmSync(folder, { recursive: true })
})

const snapshotOf = (jwt: Record<string, unknown>): Snapshot =>
  parseConfig(
    JSON.stringify({
      providers: { ollama: null },
      routes: { chat: 'ollama/x' },
      keys: [
        { name: 'web', key: 'sk-test-web-0123456789', team: 'red', limits: { requests: 5 } },
        { name: 'boss', key: 'sk-test-boss-0123456789', role: 'admin' },
      ],
      auth: { jwt: { standAlone: { name: 'people', routes: ['chat'] }, ...jwt } },
    }),
    { file: 'f.yaml', env: {}, version: 1 },
  ).snapshot

/** Judges tokens by settings; the clock stands still until it is moved. */
function judge(jwt: Record<string, unknown>, parts: ClientTokensParts = {}) {
  const clock = { at: Date.now() }
  const trouble: string[] = []
  const tokens = createClientTokens({ now: () => clock.at, trouble: (why) => void trouble.push(why), ...parts })
  const snapshot = snapshotOf(jwt)
  return { clock, trouble, snapshot, find: async (token: string, by = snapshot) => tokens.find(token, by), tokens }
}

/** The reason for which a token is turned down; the key's name for one that is not. */
async function verdict(work: Promise<ApiKey>): Promise<string> {
  try {
    return (await work).name
  } catch (error) {
    if (!(error instanceof Denied)) throw error
    expect(error.status).toBe(error.reason === 'keys_unavailable' ? 503 : 401)
    return error.reason
  }
}

describe('a token of an end user', () => {
  it('stands for the key that its claim names, with its own user and team, and never with a role', async () => {
    const { find } = judge({ jwks: issuer.url, claims: { key: 'turnout_key', team: 'department' } })
    expect(await find(await sign(rsa, { claims: { turnout_key: 'web', department: 'blue' } }))).toMatchObject({
      name: 'web',
      role: 'app',
      team: 'blue',
      user: 'user-1',
      limits: [{ name: 'key web', requests: 5 }],
    })
    const boss = await find(await sign(rsa, { claims: { turnout_key: 'boss', role: 'admin', sub: 'user-2' } }))
    expect(boss).toMatchObject({ name: 'boss', role: 'app', user: 'user-2' })
    expect(await find(await sign(ec))).toMatchObject({
      name: 'people',
      routes: ['chat'],
      user: 'user-1',
      team: undefined,
    })
  })

  it('is judged by a secret, a public key, or a key set from an address or a file', async () => {
    const file = join(folder, 'jwks.json')
    writeFileSync(file, JSON.stringify({ keys: [rsa.jwk] }))
    expect(await verdict(judge({ jwks: file }).find(await sign(rsa)))).toBe('people')
    expect(await verdict(judge({ jwks: issuer.url }).find(await sign(ec)))).toBe('people')
    expect(await verdict(judge({ publicKey: ec.pem }).find(await sign(ec)))).toBe('people')
    const mine = await new SignJWT({ sub: 'u' })
      .setProtectedHeader({ alg: 'HS256' })
      .setAudience(audience)
      .setExpirationTime('1h')
      .sign(Buffer.from(secret))
    expect(await verdict(judge({ secret }).find(mine))).toBe('people')
  })

  it.each([
    ['expired', { lasts: -60 }, 'token_expired', 'it has expired'],
    ['without an expiry', { lasts: null }, 'token_claims', "'exp'"],
    ['of another audience', { claims: { aud: 'somebody-else' } }, 'token_claims', "'aud'"],
    ['without an audience', { claims: { aud: undefined } }, 'token_claims', "'aud'"],
    ['of another issuer', { claims: { iss: 'https://evil.example/' } }, 'token_claims', "'iss'"],
    ['without an issuer', { claims: { iss: undefined } }, 'token_claims', "'iss'"],
    ['that is not valid yet', { claims: { nbf: 4_000_000_000 } }, 'token_claims', "'nbf'"],
    ['without a user', { claims: { sub: undefined } }, 'token_claims', "'sub'"],
    ['with a user that is no text', { claims: { sub: 7 } }, 'token_claims', "'sub'"],
    ['with an endless user', { claims: { sub: 'u'.repeat(513) } }, 'token_claims', "'sub'"],
    ['with a key that is no text', { claims: { k: ['web'] } }, 'token_claims', "'k'"],
    ['with a team of two lines', { claims: { t: 'blue\nturnout_bypass 1' } }, 'token_claims', "'t'"],
    ['with a team that gives a terminal orders', { claims: { t: '\u001b[2J' } }, 'token_claims', "'t'"],
    ['with a key that is not there', { claims: { k: 'nobody' } }, 'token_key', 'not there'],
    ['signed with a key that its issuer does not have', { header: { kid: 'rsa-2' } }, 'token_invalid', 'no key'],
    ['that is good', {}, 'people', ''],
  ] as [string, TokenParts, string, string][])('%s is %o: %s', async (_, parts, expected, told) => {
    const { find } = judge({ jwks: issuer.url, issuer: 'https://login.example/', claims: { key: 'k', team: 't' } })
    const token = await sign(rsa, { ...parts, claims: { iss: 'https://login.example/', ...parts.claims } })
    expect(await verdict(find(token))).toBe(expected)
    if (told) await expect(find(token)).rejects.toThrow(told)
  })

  it('within the tolerance of clocks is good, and no longer', async () => {
    const { find, clock } = judge({ publicKey: rsa.pem, clockTolerance: '30s' })
    const token = await sign(rsa, { at: clock.at, lasts: 60 })
    clock.at += 85_000
    expect(await verdict(find(token))).toBe('people')
    clock.at += 10_000
    expect(await verdict(find(token))).toBe('token_expired')
  })

  it('names no key and stands for none alone: refused', async () => {
    const { find } = judge({ jwks: issuer.url, claims: { key: 'k' }, standAlone: undefined })
    expect(await verdict(find(await sign(rsa)))).toBe('token_key')
    expect(await verdict(find(await sign(rsa, { claims: { k: 'web' } })))).toBe('web')
  })
})

describe('a forged token', () => {
  it('with alg none, or with no signature, is refused', async () => {
    const { find } = judge({ jwks: issuer.url })
    const none = new UnsecuredJWT({ sub: 'u' }).setAudience(audience).setExpirationTime('1h').encode()
    expect(await verdict(find(none))).toBe('token_invalid')
    const [header, payload, signature] = (await sign(rsa)).split('.')
    expect(await verdict(find(`${header}.${payload}.`))).toBe('token_invalid')
    const changed = Buffer.from(JSON.stringify({ sub: 'boss', aud: audience, exp: 4e9 })).toString('base64url')
    expect(await verdict(find(`${header}.${changed}.${signature}`))).toBe('token_invalid')
    for (const alg of ['none', 'None', 'NONE', 'nOnE', '']) {
      const head = Buffer.from(JSON.stringify({ alg, typ: 'JWT' })).toString('base64url')
      expect(await verdict(find(`${head}.${changed}.`)), alg).toBe('token_invalid')
    }
  })

  it('signed by HMAC with the public key as its secret (key confusion) is refused', async () => {
    const hmac = (key: string): Promise<string> =>
      new SignJWT({ sub: 'u' })
        .setProtectedHeader({ alg: 'HS256', kid: rsa.kid })
        .setAudience(audience)
        .setExpirationTime('1h')
        .sign(Buffer.from(key))
    for (const key of [rsa.pem, rsa.pem.trim(), JSON.stringify(rsa.jwk), rsa.jwk.n!]) {
      expect(await verdict(judge({ publicKey: rsa.pem }).find(await hmac(key)))).toBe('token_invalid')
      expect(await verdict(judge({ jwks: issuer.url }).find(await hmac(key)))).toBe('token_invalid')
    }
    // And the other way round: a secret is no public key.
    expect(await verdict(judge({ secret }).find(await sign(rsa)))).toBe('token_invalid')
  })

  it('that brings its own key along, or names where it is, is refused, and nobody is asked', async () => {
    const evil = await startIssuer(other)
    try {
      const { find } = judge({ jwks: issuer.url })
      for (const header of [{ jwk: other.jwk }, { jku: evil.url }, { x5u: evil.url }, { kid: rsa.kid, jwk: other.jwk }])
        expect(await verdict(find(await sign(other, { header })))).toBe('token_invalid')
      expect(evil.asked).toBe(0)
    } finally {
      await evil.close()
    }
  })

  it('of an algorithm that the key is not for is refused', async () => {
    const { find } = judge({ publicKey: rsa.pem })
    const pss = { ...rsa, alg: 'PS256' }
    await expect(sign(pss)).rejects.toThrow()
    expect(await verdict(find(await sign(ec)))).toBe('token_invalid')
  })

  it('is never remembered, and does not push out those that are good', async () => {
    const { find } = judge({ jwks: issuer.url })
    const good = await sign(rsa)
    await find(good)
    const before = issuer.asked
    issuer.mood = 'broken'
    try {
      for (let n = 0; n < 200; n++) expect(await verdict(find(`${good}${n}`))).toBe('token_invalid')
      expect(await verdict(find(good))).toBe('people')
      expect(issuer.asked).toBe(before)
    } finally {
      issuer.mood = 'good'
    }
  })
})

describe('what a token stands for', () => {
  it('follows the key and the configuration at once, although the token was judged before', async () => {
    const named = new Map<string, ApiKey>([['app', { name: 'app', role: 'app', routes: ['chat'] }]])
    const keyring = { revision: 1, named: (name: string) => named.get(name) }
    const { find, snapshot } = judge({ jwks: issuer.url, defaultKey: 'app', standAlone: undefined }, { keyring })
    const token = await sign(rsa)
    expect(await find(token)).toMatchObject({ name: 'app', routes: ['chat'], user: 'user-1' })
    expect(await find(token)).toBe(await find(token))
    named.set('app', { name: 'app', role: 'app', disabled: true })
    keyring.revision++
    expect(await find(token)).toMatchObject({ disabled: true })
    named.delete('app')
    keyring.revision++
    expect(await verdict(find(token))).toBe('token_key')
    const swapped = snapshotOf({ jwks: issuer.url, audience: 'another', defaultKey: 'web', standAlone: undefined })
    expect(await verdict(find(token, swapped))).toBe('token_claims')
    const back = snapshotOf({ jwks: issuer.url, defaultKey: 'web', standAlone: undefined })
    expect(await verdict(find(token, back))).toBe('web')
    expect(snapshot).not.toBe(back)
  })

  it('is asked of the issuer once: a swap that changes nothing of it reads no keys again', async () => {
    const { find } = judge({ jwks: issuer.url })
    const before = issuer.asked
    await find(await sign(rsa))
    expect(issuer.asked).toBe(before + 1)
    expect(await verdict(find(await sign(rsa, { claims: { sub: 'u2' } }), snapshotOf({ jwks: issuer.url })))).toBe(
      'people',
    )
    expect(issuer.asked).toBe(before + 1)
  })

  it('ends with the token: what was judged is not remembered beyond its expiry', async () => {
    const { find, clock } = judge({ jwks: issuer.url, clockTolerance: '1s' })
    const token = await sign(rsa, { at: clock.at, lasts: 60 })
    expect(await verdict(find(token))).toBe('people')
    clock.at += 62_000
    expect(await verdict(find(token))).toBe('token_expired')
  })
})

describe('the key set of an issuer', () => {
  it('that changes its keys: the new one is taken with the first token, the old one ends when it is withdrawn', async () => {
    const moving = await startIssuer(rsa)
    try {
      const { find, clock } = judge({ jwks: moving.url })
      const old = await sign(rsa, { at: clock.at, lasts: 86_400 })
      expect(await verdict(find(old))).toBe('people')
      moving.keys = [rsa, other]
      clock.at += 31_000
      expect(await verdict(find(await sign(other)))).toBe('people')
      expect(moving.asked).toBe(2)
      moving.keys = [other]
      // Judged before: good until the set is read again, ten minutes later at the latest, behind a request.
      expect(await verdict(find(old))).toBe('people')
      clock.at += 601_000
      await find(await sign(other, { claims: { sub: 'u3' } }))
      await expect.poll(() => moving.asked).toBe(3)
      await expect.poll(async () => verdict(find(old))).toBe('token_invalid')
    } finally {
      await moving.close()
    }
  })

  it('is not asked for each made-up key id', async () => {
    const { find, clock } = judge({ jwks: issuer.url })
    await find(await sign(rsa))
    const before = issuer.asked
    const bad = await Promise.all([...Array(20).keys()].map((n) => sign(other, { header: { kid: `made-up-${n}` } })))
    expect(new Set(await Promise.all(bad.map((token) => verdict(find(token)))))).toEqual(new Set(['token_invalid']))
    expect(issuer.asked).toBe(before)
    clock.at += 31_000
    await Promise.all(bad.map((token) => verdict(find(token))))
    expect(issuer.asked).toBe(before + 1)
  })

  it('that hangs is waited for a bounded time, by all together, and not again at once', async () => {
    const slow = await startIssuer(rsa)
    slow.mood = 'hang'
    try {
      const { find, clock, trouble } = judge({ jwks: slow.url }, { times: { patience: 100 } })
      const token = await sign(rsa)
      const begin = performance.now()
      const all = await Promise.all([...Array(50).keys()].map(() => verdict(find(token))))
      expect(new Set(all)).toEqual(new Set(['keys_unavailable']))
      expect(performance.now() - begin).toBeLessThan(60_000)
      expect([slow.asked, trouble]).toEqual([1, ['it took too long']])
      expect(await verdict(find(token))).toBe('keys_unavailable')
      expect(slow.asked).toBe(1)
      slow.mood = 'good'
      clock.at += 5_001
      expect(await verdict(find(token))).toBe('people')
    } finally {
      await slow.close()
    }
  })

  it('that cannot be read again serves on from what was read, for a day', async () => {
    const { find, clock, trouble } = judge({ jwks: issuer.url })
    expect(await verdict(find(await sign(rsa)))).toBe('people')
    issuer.mood = 'broken'
    try {
      clock.at += 3_600_000
      expect(await verdict(find(await sign(rsa, { at: clock.at })))).toBe('people')
      await expect.poll(() => trouble).toEqual(['it answered 500'])
      // A key that is not in it may be a new one: nobody knows.
      expect(await verdict(find(await sign(other, { at: clock.at })))).toBe('keys_unavailable')
      clock.at += 86_400_000
      expect(await verdict(find(await sign(rsa, { at: clock.at })))).toBe('keys_unavailable')
    } finally {
      issuer.mood = 'good'
    }
  })

  it.each([
    ['broken', 'it answered 500'],
    ['redirect', 'it answered 302'],
    ['garbage', 'it is not JSON'],
  ] as const)('that is %s is told of without quoting it', async (mood, told) => {
    const bad = await startIssuer(rsa)
    bad.mood = mood
    try {
      const { find, trouble } = judge({ jwks: bad.url })
      expect(await verdict(find(await sign(rsa)))).toBe('keys_unavailable')
      expect(trouble).toEqual([told])
      expect(bad.asked).toBe(1)
    } finally {
      await bad.close()
    }
  })

  it('in a file is read again when the file has changed', async () => {
    const file = join(folder, 'moving.json')
    writeFileSync(file, JSON.stringify({ keys: [rsa.jwk] }))
    const { find, clock } = judge({ jwks: file })
    expect(await verdict(find(await sign(rsa)))).toBe('people')
    writeFileSync(file, JSON.stringify({ keys: [rsa.jwk, other.jwk] }))
    clock.at += 31_000
    expect(await verdict(find(await sign(other)))).toBe('people')
    const missing = judge({ jwks: join(folder, 'nowhere.json') })
    expect(await verdict(missing.find(await sign(rsa)))).toBe('keys_unavailable')
    expect(missing.trouble).toEqual(['ENOENT'])
  })

  it('with several keys for a token that names none: each is tried', async () => {
    const several = await startIssuer(rsa, other)
    try {
      const { find } = judge({ jwks: several.url })
      expect(await verdict(find(await sign(other, { header: { kid: undefined } })))).toBe('people')
      const third = await makeIssuerKey('third')
      expect(await verdict(find(await sign(third, { header: { kid: undefined } })))).toBe('token_invalid')
    } finally {
      await several.close()
    }
  })
})

// Signed tokens of end users at the door of a whole gateway: whom a request is booked on, what they never open, what is logged of them.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ask, CHAT } from './support/chatBodies.ts'
import { type ControlGateway, document, startControl } from './support/control.ts'
import { get, post, send } from './support/exchange.ts'
import { startGateway, upstreamAt } from './support/gateway.ts'
import { type Issuer, type IssuerKey, makeIssuerKey, sign, startIssuer } from './support/issuer.ts'
import fc from './support/seededCheck.ts'

let key: IssuerKey
let issuer: Issuer
let gateway: ControlGateway
beforeAll(async () => {
  key = await makeIssuerKey('k1', 'ES256')
  issuer = await startIssuer(key)
  gateway = await startControl({
    text: document(`auth:
  jwt:
    jwks: ${issuer.url}
    claims: { key: turnout_key, team: department }
    standAlone: { name: people, routes: [chat] }
access: { failuresPerMinute: 0 }
`),
  })
})
afterAll(async () => {
  await gateway.close()
  await issuer.close()
})

const chat = (token: string, model = 'chat', more: Record<string, unknown> = {}) =>
  post(gateway.url + CHAT, ask(model, more), { authorization: `Bearer ${token}` })
const codeOf = async (reply: Promise<{ status: number; text: string }>): Promise<unknown[]> => {
  const { status, text } = await reply
  return [status, status === 200 ? undefined : JSON.parse(text).error.code]
}
const failures = async (reason: string): Promise<number> => {
  const { text } = await get(`${gateway.url}/metrics`)
  return Number(new RegExp(`turnout_auth_failures_total{reason="${reason}"} (\\d+)`).exec(text)?.[1] ?? 0)
}

describe('a signed token', () => {
  it('calls models within what it stands for, with either header', async () => {
    const token = await sign(key)
    expect(await codeOf(chat(token))).toEqual([200, undefined])
    expect((await post(gateway.url + CHAT, ask('chat'), { 'x-api-key': token })).status).toBe(200)
    expect(await codeOf(chat(token, 'single'))).toEqual([403, 'model_not_allowed'])
  })

  it('is booked on the key, the team and the user that it names, whatever the body says of the user', async () => {
    await gateway.ask('POST', '/keys', { name: 'mobile', team: 'apps' })
    const token = await sign(key, { claims: { sub: 'ada@example.com', turnout_key: 'mobile', department: 'maths' } })
    expect((await chat(token, 'chat', { user: 'somebody-else' })).status).toBe(200)
    const { body } = await gateway.ask('GET', '/requests?limit=1')
    expect(body.data[0]).toMatchObject({ key: 'mobile', team: 'maths' })
    const theirs = await gateway.ask('GET', `/requests?user=${encodeURIComponent('ada@example.com')}`)
    expect(theirs.body.data.map(({ id }: { id: string }) => id)).toEqual([body.data[0].id])
    const others = await gateway.ask('GET', '/requests?user=somebody-else')
    expect(others.body.data).toEqual([])
  })

  it('counts for the team that it names, and its key for the one that it is moved to', async () => {
    const { body } = await gateway.ask('POST', '/keys', { name: 'shared', team: 'before' })
    const of = async (team: string): Promise<number> => {
      const { text } = await get(`${gateway.url}/metrics`)
      const line = new RegExp(`^turnout_key_requests_total{outcome="ok",key="shared",team="${team}"} (\\d+)`, 'm')
      return Number(line.exec(text)?.[1] ?? 0)
    }
    for (const department of ['maths', 'arts', 'maths']) {
      const token = await sign(key, { claims: { turnout_key: 'shared', department } })
      expect((await chat(token)).status).toBe(200)
    }
    expect((await chat(body.secret)).status).toBe(200)
    await gateway.ask('PATCH', `/keys/${body.id}`, { team: 'after' })
    expect((await chat(body.secret)).status).toBe(200)
    expect([await of('maths'), await of('arts'), await of('before'), await of('after')]).toEqual([2, 1, 1, 1])
  })

  it('stops with its key: switched off, changed and taken away with the next request', async () => {
    const { body } = await gateway.ask('POST', '/keys', { name: 'tablet' })
    const token = await sign(key, { claims: { turnout_key: 'tablet' } })
    expect(await codeOf(chat(token))).toEqual([200, undefined])
    await gateway.ask('PATCH', `/keys/${body.id}`, { disabled: true })
    expect(await codeOf(chat(token))).toEqual([401, 'key_disabled'])
    await gateway.ask('PATCH', `/keys/${body.id}`, { disabled: false, routes: ['single'] })
    expect(await codeOf(chat(token))).toEqual([403, 'model_not_allowed'])
    await gateway.ask('DELETE', `/keys/${body.id}`)
    expect(await codeOf(chat(token))).toEqual([401, 'invalid_api_key'])
  })

  it('never operates the gateway, whatever it claims and whatever key it stands for', async () => {
    const before = await failures('unknown')
    for (const claims of [{}, { role: 'admin' }, { turnout_key: 'admin' }, { turnout_key: 'admin', role: 'admin' }]) {
      const token = await sign(key, { claims })
      expect((await get(`${gateway.url}/admin/keys`, { authorization: `Bearer ${token}` })).status).toBe(401)
      expect((await get(`${gateway.url}/admin/keys`, { 'x-api-key': token })).status).toBe(401)
    }
    expect(await failures('unknown')).toBe(before + 8)
    // With a key that operates, too, it only calls models.
    expect(await codeOf(chat(await sign(key, { claims: { turnout_key: 'admin' } })))).toEqual([200, undefined])
  })

  it('that is turned down: 401 in the shape of the client, not to be retried, counted by its reason', async () => {
    const before = await failures('token_expired')
    const reply = await chat(await sign(key, { lasts: -60 }))
    expect(reply.status).toBe(401)
    expect(reply.headers['x-should-retry']).toBe('false')
    expect(JSON.parse(reply.text).error).toEqual({
      message: 'The token is not accepted: it has expired.',
      type: 'authentication_error',
      param: null,
      code: 'invalid_api_key',
    })
    expect(await failures('token_expired')).toBe(before + 1)
  })

  it('leaves nothing of itself in logs, metrics and rows', async () => {
    const open = await startGateway({
      providers: { up: upstreamAt(gateway.simulator.url) },
      routes: { chat: 'up/sim-text' },
      auth: { jwt: { jwks: issuer.url, standAlone: {} } },
    })
    const tokens = [
      await sign(key, { claims: { sub: 'planted-subject' } }),
      await sign(key, { claims: { sub: 'planted-subject' }, lasts: -60 }),
      'eyJmb3JnZWQ.eyJwYXJ0cw.c2lnbmF0dXJl',
    ]
    try {
      for (const token of tokens) {
        await chat(token)
        await post(open.url + CHAT, ask('chat'), { authorization: `Bearer ${token}` })
      }
      await open.settled(3)
      const kept = [
        JSON.stringify([open.lines, open.notes]),
        (await get(`${open.url}/metrics`)).text,
        (await get(`${gateway.url}/metrics`)).text,
        (await gateway.ask('GET', '/requests?limit=50')).text,
        (await gateway.ask('GET', '/audit?limit=100')).text,
      ].join('\n')
      expect(open.lines.map(({ status }) => status)).toEqual([200, 401, 401])
      for (const token of tokens) for (const part of token.split('.')) expect(kept).not.toContain(part)
      expect(kept).not.toContain('planted-subject')
    } finally {
      await open.close()
    }
  })
})

it('C43 two people whose tokens stand for one key share no cached answer', async () => {
  const cached = await startGateway({
    providers: { up: upstreamAt(gateway.simulator.url) },
    routes: { chat: { targets: ['up/sim-text'], cache: true } },
    auth: { jwt: { jwks: issuer.url, standAlone: {} } },
  })
  const from = async (sub: string): Promise<unknown> => {
    const token = await sign(key, { claims: { sub } })
    const reply = await post(cached.url + CHAT, ask('chat', { temperature: 0 }), { authorization: `Bearer ${token}` })
    expect(reply.status).toBe(200)
    return String(reply.headers['x-turnout-cache']).split(';')[0]
  }
  try {
    expect([await from('ada'), await from('ada'), await from('bob'), await from('bob')]).toEqual([
      'miss',
      'hit',
      'miss',
      'hit',
    ])
  } finally {
    await cached.close()
  }
})

it('a user whom a token names keeps a side of a rollout by user, whatever header and body say', async () => {
  const moved = { target: 'other/sim-fast', percent: 50, unit: 'user' }
  expect((await gateway.ask('PUT', '/routes/chat/canary', moved)).status).toBe(200)
  for (let person = 0; person < 6; person++) {
    const token = await sign(key, { claims: { sub: `person-${person}` } })
    const replies = ['', 'a', 'b', 'c', 'd', 'e', 'f', 'g'].map((word) =>
      post(gateway.url + CHAT, ask('chat', word === '' ? {} : { user: word, safety_identifier: word }), {
        authorization: `Bearer ${token}`,
        ...(word === '' ? {} : { 'x-turnout-unit': word }),
      }),
    )
    const sides = (await Promise.all(replies)).map(({ headers }) => headers['x-turnout-rollout'])
    expect(sides[0]).toMatch(/arm=(stable|canary)/)
    expect(new Set(sides).size).toBe(1)
  }
  expect((await gateway.ask('PUT', '/routes/chat/canary', { percent: 0 })).status).toBe(200)
})

it('a client that leaves while its token is judged is let go, and opens no call', async () => {
  const slow = await startIssuer(key)
  slow.mood = 'hang'
  const open = await startGateway({
    providers: { up: upstreamAt(gateway.simulator.url) },
    routes: { chat: 'up/sim-text' },
    auth: { jwt: { jwks: slow.url, standAlone: {} } },
  })
  try {
    const sent = send('POST', open.url + CHAT, ask('chat'), { authorization: `Bearer ${await sign(key)}` })
    await expect.poll(() => slow.asked).toBe(1)
    sent.request.destroy()
    await sent.done
    const [line] = await open.settled(1)
    expect(line).toMatchObject({ outcome: 'client_disconnected', attempts: 0 })
    expect(open.metrics.inFlight).toBe(0)
  } finally {
    await open.close()
    await slow.close()
  }
})

it('tokens that were good and have expired shut nobody out; forged ones do, but not those who were in before', async () => {
  const careful = await startGateway({
    providers: { up: upstreamAt(gateway.simulator.url) },
    routes: { chat: 'up/sim-text' },
    keys: [{ name: 'web', key: 'sk-test-web-0123456789' }],
    access: { failuresPerMinute: 3 },
    auth: { jwt: { jwks: issuer.url, standAlone: {} } },
  })
  const show = async (token: string): Promise<number> =>
    (await post(careful.url + CHAT, ask('chat'), { authorization: `Bearer ${token}` })).status
  try {
    const old = await sign(key, { lasts: -60 })
    const good = await sign(key)
    for (let n = 0; n < 6; n++) expect(await show(old)).toBe(401)
    expect(await show(good)).toBe(200)
    const statuses = []
    for (let n = 0; n < 5; n++) statuses.push(await show(`${good.slice(0, -8)}AAAAAAA${n}`))
    expect(statuses).toEqual([401, 401, 401, 429, 429])
    expect([await show(good), await show('sk-test-web-0123456789')]).toEqual([200, 429])
  } finally {
    await careful.close()
  }
})

describe('C47 whatever stands in the header', () => {
  it('C47 only the right key and a good token come in; everything else is 401 in the shape of the client', async () => {
    const good = await sign(key)
    const [head, payload, signature] = good.split('.') as [string, string, string]
    const visible = fc.string({
      unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
      maxLength: 200,
    })
    const part = fc.oneof(fc.constantFrom(head, payload, signature, '', 'eyJhbGciOiJub25lIn0'), visible)
    const credential = fc.oneof(
      visible,
      fc.tuple(part, part, part).map((parts) => parts.join('.')),
      visible.map((text) => `tk-${text}`),
      visible.map((text) => `${good}${text}`),
    )
    const scheme = fc.constantFrom(
      'Bearer ',
      'bearer ',
      'BEARER  ',
      'Basic ',
      'Digest ',
      '',
      'Bearer\t',
      'Bearer Bearer ',
    )
    await fc.assert(
      fc.asyncProperty(scheme, credential, fc.boolean(), async (first, text, asKey) => {
        fc.pre(text !== good)
        const header: Record<string, string> = asKey ? { 'x-api-key': text } : { authorization: first + text }
        const reply = await post(gateway.url + CHAT, ask('chat'), header)
        expect(reply.status).toBe(401)
        const { error } = JSON.parse(reply.text)
        expect(error).toMatchObject({ type: 'authentication_error', code: 'invalid_api_key' })
        if (text.length > 20) expect(error.message).not.toContain(text)
      }),
      { numRuns: 300 },
    )
    expect((await chat(good)).status).toBe(200)
  })
})

it('a gateway whose only way in is a token lets nobody in without one, from this machine too', async () => {
  const only = await startControl({
    text: document().replace(/\nkeys:[\s\S]*/, `\nauth: { jwt: { jwks: "${issuer.url}", standAlone: {} } }\n`),
  })
  try {
    const url = only.url + CHAT
    expect((await post(url, ask('chat'))).status).toBe(401)
    expect((await post(url, ask('chat'), { authorization: `Bearer ${await sign(key)}` })).status).toBe(200)
    expect((await get(`${only.url}/admin/keys`, { authorization: `Bearer ${await sign(key)}` })).status).toBe(401)
  } finally {
    await only.close()
  }
})

it('no token is shown what a target is sent, although the file has no key', async () => {
  const only = await startControl({
    text: document()
      .replace('[sim/sim-text, small]', '[small]')
      .replace('provider: sim,', 'provider: sim, systemPrefix: our-own-prompt, params: { api_token: our-own-token },')
      .replace(/\nkeys:[\s\S]*/, `\nauth: { jwt: { jwks: "${issuer.url}", standAlone: {} } }\n`),
  })
  try {
    const headers = { authorization: `Bearer ${await sign(key)}`, 'x-turnout-echo': 'request' }
    const { status, text } = await post(only.url + CHAT, ask('chat'), headers)
    expect([status, JSON.parse(text).object]).toEqual([200, 'chat.completion'])
    expect(text).not.toContain('our-own')
  } finally {
    await only.close()
  }
})

// GET /v1/limits, limits of virtual keys, and what official clients make of a refusal.
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ask, CHAT } from './support/chatBodies.ts'
import { type ControlGateway, document, keys, type Reply, startControl } from './support/control.ts'
import { get, post, send } from './support/exchange.ts'

let gateway: ControlGateway
const limits = (most: number): string => `limits:
  each: { per: key, requests: ${most}, concurrency: 4 }
  address: { per: ip, tokens: 1000000, window: 1h }
  users: { per: user, requests: 5 }
`
const routeLimit = 'single: { targets: [other/sim-text], limits: { per: key, requests: 2, window: 10m } }'
const withLimits = (most: number): string => document(limits(most)).replace('single: other/sim-text', routeLimit)

beforeAll(async () => {
  gateway = await startControl({ text: withLimits(50) })
})
afterAll(() => gateway.close())

const bearer = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` })
async function limitsOf(key: string, query = ''): Promise<Reply> {
  const { status, headers, text } = await get(`${gateway.url}/v1/limits${query}`, bearer(key))
  return { status, headers, text, body: JSON.parse(text) }
}
const remaining = (reply: Reply): Record<string, number> =>
  Object.fromEntries(
    reply.body.limits.map((one: { name: string; kind: string; remaining: number }) => [
      `${one.name} ${one.kind}`,
      one.remaining,
    ]),
  )

describe('GET /v1/limits', () => {
  it('tells a caller its own limits and what is left, and counts nothing', async () => {
    const first = await limitsOf(keys.viewer)
    expect(first).toMatchObject({ status: 200, body: { object: 'limits', key: 'viewer', team: null, route: null } })
    expect(first.body.limits[0]).toEqual({
      name: 'each',
      kind: 'requests',
      scope: 'key',
      limit: 50,
      remaining: 50,
      reset_seconds: 0,
      window_seconds: 60,
    })
    expect(first.body.limits[1]).toMatchObject({ kind: 'concurrency', reset_seconds: null, window_seconds: null })
    const { headers } = await post(gateway.url + CHAT, ask('single', { user: 'ann' }), bearer(keys.viewer))
    const then = await limitsOf(keys.viewer)
    expect(remaining(then)).toMatchObject({ 'each requests': 49, 'each concurrency': 4 })
    // Headers tell of the tightest, which is the route's two.
    expect(headers['x-ratelimit-remaining-requests']).toBe('1')
    expect(remaining(await limitsOf(keys.responder))).toMatchObject({ 'each requests': 50 })
  })

  it('tells those of a route and of an end user where they are asked for', async () => {
    const route = await limitsOf(keys.viewer, '?model=single')
    expect(route.body.route).toBe('single')
    expect(remaining(route)).toMatchObject({ 'route single requests': 1 })
    expect(remaining(await limitsOf(keys.viewer, '?user=ann'))).toMatchObject({ 'users requests': 4 })
    expect(remaining(await limitsOf(keys.viewer, '?user=bob'))).toMatchObject({ 'users requests': 5 })
  })

  it('takes nothing else, and tells nothing of what a key may not use', async () => {
    for (const [query, status, code] of [
      ['?modell=single', 400, 'invalid_value'],
      ['?model=unheard-of', 404, 'model_not_found'],
    ] as const) {
      const reply = await limitsOf(keys.viewer, query)
      expect([reply.status, reply.body.error.code]).toEqual([status, code])
    }
    expect((await limitsOf('sk-test-nobody-0123456789')).status).toBe(401)
    const { body } = await gateway.ask('POST', '/keys', { name: 'narrow', routes: ['chat'] })
    expect((await limitsOf(body.secret, '?model=single')).body.error.code).toBe('model_not_allowed')
    expect((await limitsOf(body.secret, '?model=chat')).status).toBe(200)
  })
})

describe('limits of virtual keys', () => {
  it('hold with the next request, change at once, and count on', async () => {
    const made = await gateway.ask('POST', '/keys', { name: 'virtual', limits: { requests: 2 } })
    const { secret, id } = made.body
    const chat = (): Promise<number> => post(gateway.url + CHAT, ask('chat'), bearer(secret)).then((it) => it.status)
    expect([await chat(), await chat(), await chat()]).toEqual([200, 200, 429])
    expect(remaining(await limitsOf(secret))).toMatchObject({ 'key virtual requests': 0 })
    await gateway.ask('PATCH', `/keys/${id}`, { limits: { requests: 3 } })
    expect([await chat(), await chat()]).toEqual([200, 429])
    await gateway.ask('PATCH', `/keys/${id}`, { limits: null })
    expect(await chat()).toBe(200)
    expect(Object.keys(remaining(await limitsOf(secret)))).not.toContain('key virtual requests')
  })
})

describe('a change of the file', () => {
  it('holds at once and forgets no count', async () => {
    const { body } = await gateway.ask('POST', '/keys', { name: 'counted' })
    const chat = () => post(gateway.url + CHAT, ask('chat'), bearer(body.secret))
    for (let n = 0; n < 3; n++) expect((await chat()).status).toBe(200)
    const write = (text: string) => gateway.ask('PUT', '/config', { document: text }, 'admin', { 'if-match': '*' })
    await write(withLimits(3))
    expect((await chat()).status).toBe(429)
    await write(withLimits(5))
    expect((await chat()).headers['x-ratelimit-remaining-requests']).toBe('1')
    await write(withLimits(50))
  })
})

describe('a refusal', () => {
  it('comes before a large body is read, where no request is left', async () => {
    const { body } = await gateway.ask('POST', '/keys', { name: 'large', limits: { requests: 1 } })
    const chat = ask('chat', { messages: [{ role: 'user', content: 'x'.repeat(200_000) }] })
    expect((await post(gateway.url + CHAT, chat, bearer(body.secret))).status).toBe(200)
    // Of this body nothing ever comes: whoever waited for it would not answer.
    const waiting = send('POST', gateway.url + CHAT, undefined, { ...bearer(body.secret), 'content-length': '200000' })
    waiting.request.flushHeaders()
    const reply = await waiting.response
    expect([reply.statusCode, reply.headers['x-ratelimit-remaining-requests']]).toEqual([429, '0'])
    waiting.request.destroy()
    await waiting.done
  })

  it('is a RateLimitError to the SDK, which waits as it is told', async () => {
    const { body } = await gateway.ask('POST', '/keys', {
      name: 'sdk',
      limits: [
        { requests: 1, window: '6s' },
        { tokens: 100_000, answerTokens: 10 },
      ],
    })
    const client = (maxRetries: number) => new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: body.secret, maxRetries })
    const chat = (maxRetries: number, more = {}) =>
      client(maxRetries).chat.completions.create({
        model: 'chat',
        messages: [{ role: 'user', content: 'hi' }],
        ...more,
      })
    await chat(0)
    await expect(chat(0)).rejects.toMatchObject({ status: 429, code: 'rate_limit_exceeded', type: 'rate_limit_error' })
    const begin = performance.now()
    expect((await chat(1)).choices[0]!.message.content).toBeTruthy()
    expect(performance.now() - begin).toBeGreaterThan(500)
    // What waiting cannot help is not tried again.
    const asked = gateway.simulator.calls.length
    await expect(chat(5, { max_tokens: 200_000 })).rejects.toBeInstanceOf(OpenAI.RateLimitError)
    expect(gateway.simulator.calls.length).toBe(asked)
  })
})

// Errors of Anthropic and Google through the gateway: OpenAI's shape, the vendor's words, statuses, waits; before and after the first token.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Script, type Simulator, startSimulator } from '../src/simulator/index.ts'
import { ask, CHAT } from './support/chatBodies.ts'
import { dataOf, type Exchange, eventsOf, post } from './support/exchange.ts'
import { vendorsAt } from './support/hubVendors.ts'
import { complaints, openAiValidators } from './support/openaiSchema.ts'
import { type RecordedGateway, startRecordedGateway } from './support/recordedGateway.ts'
import { hasShared } from './support/shared.ts'

type Json = Record<string, unknown>

interface Row {
  about: string
  script: Script
  status: number
  /** Our name of the failure, in `x-turnout-error` and the ledger. */
  kind: string
  type: string
  /** OpenAI's word where it has one, else the vendor's. */
  code: string
  /** The vendor's, where it is another. */
  word?: string
  says: string | RegExp
  retryAfter?: string | RegExp
}

const status = (code: number, more: Json = {}): Script => ({ fault: { kind: 'status', status: code, ...more } })
const anthropicBody = (type: string, message: string): Json => ({
  type: 'error',
  error: { type, message },
  request_id: 'req_1',
})
const googleBody = (code: number, word: string, message: string, details: Json[] = []): Json => ({
  error: {
    code,
    status: word,
    message,
    details: details.map(({ name, ...more }) => ({ '@type': `type.googleapis.com/google.rpc.${name}`, ...more })),
  },
})

const rows: Record<'anthropic' | 'gemini', Row[]> = {
  anthropic: [
    {
      about: 'a bad request',
      script: status(400, { body: anthropicBody('invalid_request_error', 'messages.3.content: Field required') }),
      status: 400,
      kind: 'bad_request',
      type: 'invalid_request_error',
      code: 'invalid_request_error',
      says: 'messages.3.content: Field required',
    },
    {
      about: 'a wrong key',
      script: status(401),
      status: 401,
      kind: 'auth_failed',
      type: 'authentication_error',
      code: 'authentication_error',
      says: 'invalid x-api-key',
    },
    {
      about: 'an empty purse behind a 400',
      script: status(400, { message: 'Your credit balance is too low to access the Anthropic API.' }),
      status: 400,
      kind: 'quota_exhausted',
      type: 'insufficient_quota',
      code: 'insufficient_quota',
      word: 'invalid_request_error',
      says: /credit balance is too low/,
    },
    {
      about: 'a forbidden model',
      script: status(403),
      status: 403,
      kind: 'permission_denied',
      type: 'permission_error',
      code: 'permission_error',
      says: /may not use/,
    },
    {
      about: 'a prompt that is too long',
      script: status(400, { code: 'context_length_exceeded' }),
      status: 400,
      kind: 'context_window',
      type: 'invalid_request_error',
      code: 'context_length_exceeded',
      word: 'invalid_request_error',
      says: 'prompt is too long: 210000 tokens > 200000 maximum',
    },
    {
      about: 'a filter',
      script: status(400, { code: 'content_policy_violation' }),
      status: 400,
      kind: 'content_policy',
      type: 'invalid_request_error',
      code: 'content_policy_violation',
      word: 'invalid_request_error',
      says: /content filtering policy/,
    },
    {
      about: 'a body too large',
      script: status(413),
      status: 413,
      kind: 'bad_request',
      type: 'invalid_request_error',
      code: 'request_too_large',
      says: /maximum size/,
    },
    {
      about: 'too many requests',
      script: status(429, { retryAfter: 17 }),
      status: 429,
      kind: 'rate_limited',
      type: 'rate_limit_error',
      code: 'rate_limit_exceeded',
      word: 'rate_limit_error',
      says: /rate limit/,
      retryAfter: '17',
    },
    {
      about: 'a wait that only the reset tells',
      script: {
        ...status(429),
        headers: {
          'anthropic-ratelimit-requests-remaining': '0',
          'anthropic-ratelimit-requests-reset': new Date(Date.now() + 3_600_000).toISOString(),
        },
      },
      status: 429,
      kind: 'rate_limited',
      type: 'rate_limit_error',
      code: 'rate_limit_exceeded',
      word: 'rate_limit_error',
      says: /rate limit/,
      retryAfter: /^3[56]\d\d$/,
    },
    {
      about: 'a server error',
      script: status(500),
      status: 500,
      kind: 'server_error',
      type: 'upstream_error',
      code: 'api_error',
      says: 'Internal server error',
    },
    {
      about: 'overload',
      script: status(529),
      status: 529,
      kind: 'overloaded',
      type: 'upstream_error',
      code: 'overloaded_error',
      says: 'Overloaded',
    },
    {
      about: 'a proxy’s page',
      script: status(502, { body: '<html>Bad Gateway</html>' }),
      status: 502,
      kind: 'server_error',
      type: 'upstream_error',
      code: 'server_error',
      says: 'The upstream answered with status 502.',
    },
  ],
  gemini: [
    {
      about: 'a bad request',
      script: status(400, {
        body: googleBody(400, 'INVALID_ARGUMENT', '* GenerateContentRequest.contents[0].parts: must not be empty.'),
      }),
      status: 400,
      kind: 'bad_request',
      type: 'invalid_request_error',
      code: 'INVALID_ARGUMENT',
      says: /contents\[0\]\.parts: must not be empty/,
    },
    {
      about: 'a wrong key behind a 400',
      script: status(400, { code: 'API_KEY_INVALID' }),
      status: 400,
      kind: 'auth_failed',
      type: 'authentication_error',
      code: 'INVALID_ARGUMENT',
      says: /API key not valid/,
    },
    {
      about: 'a forbidden model',
      script: status(403),
      status: 403,
      kind: 'permission_denied',
      type: 'permission_error',
      code: 'PERMISSION_DENIED',
      says: /does not have permission/,
    },
    {
      about: 'a prompt that is too long',
      script: status(400, { code: 'context_length_exceeded' }),
      status: 400,
      kind: 'context_window',
      type: 'invalid_request_error',
      code: 'context_length_exceeded',
      word: 'INVALID_ARGUMENT',
      says: /exceeds the maximum number of tokens/,
    },
    {
      about: 'too many requests, with the wait in the body alone',
      script: status(429, {
        body: googleBody(429, 'RESOURCE_EXHAUSTED', 'You exceeded your current quota.', [
          { name: 'RetryInfo', retryDelay: '34.4s' },
          { name: 'QuotaFailure', violations: [{ quotaId: 'GenerateRequestsPerMinutePerProjectPerModel' }] },
        ]),
      }),
      status: 429,
      kind: 'rate_limited',
      type: 'rate_limit_error',
      code: 'rate_limit_exceeded',
      word: 'RESOURCE_EXHAUSTED',
      says: 'You exceeded your current quota.',
      retryAfter: '35',
    },
    {
      about: 'of two waits the longer one',
      script: status(429, {
        retryAfter: 5,
        body: googleBody(429, 'RESOURCE_EXHAUSTED', 'Slow down.', [{ name: 'RetryInfo', retryDelay: '60s' }]),
      }),
      status: 429,
      kind: 'rate_limited',
      type: 'rate_limit_error',
      code: 'rate_limit_exceeded',
      word: 'RESOURCE_EXHAUSTED',
      says: 'Slow down.',
      retryAfter: '60',
    },
    {
      about: 'a quota of the day',
      script: status(429, { code: 'insufficient_quota' }),
      status: 429,
      kind: 'quota_exhausted',
      type: 'insufficient_quota',
      code: 'insufficient_quota',
      word: 'RESOURCE_EXHAUSTED',
      says: /check your plan and billing/,
    },
    {
      about: 'a server error',
      script: status(500),
      status: 500,
      kind: 'server_error',
      type: 'upstream_error',
      code: 'INTERNAL',
      says: /internal error/,
    },
    {
      about: 'overload',
      script: status(503, { retryAfter: 3 }),
      status: 503,
      kind: 'overloaded',
      type: 'upstream_error',
      code: 'UNAVAILABLE',
      says: /overloaded/,
      retryAfter: '3',
    },
    {
      about: 'a deadline',
      script: status(504),
      status: 504,
      kind: 'server_error',
      type: 'upstream_error',
      code: 'DEADLINE_EXCEEDED',
      says: /deadline/,
    },
    {
      about: 'a page',
      script: status(502, { body: '<html>Bad Gateway</html>' }),
      status: 502,
      kind: 'server_error',
      type: 'upstream_error',
      code: 'server_error',
      says: 'The upstream answered with status 502.',
    },
  ],
}
const vendors = ['anthropic', 'gemini'] as const
const cells = vendors.flatMap((vendor) =>
  rows[vendor].flatMap((row, at) =>
    [false, true].map((stream) => ({ ...row, vendor, stream, name: `${vendor}-${at}-${stream ? 's' : 'j'}` })),
  ),
)
const inBand: Record<string, Script> = {
  first: { fault: { kind: 'firstEventError', status: 529, message: 'Not now.' } },
  'first-limit': { fault: { kind: 'firstEventError', status: 429, message: 'Not now.' } },
  later: { tokens: 20, fault: { kind: 'midStreamError', status: 529, message: 'No more.', afterTokens: 6 } },
  cut: { tokens: 20, fault: { kind: 'truncate', afterTokens: 6 } },
}

let simulator: Simulator
let gateway: RecordedGateway
beforeAll(async () => {
  const scripts = { ...Object.fromEntries(cells.map(({ name, script }) => [name, script])), ...inBand }
  simulator = await startSimulator({ scripts })
  // Each cell has a target of its own, so that no breaker that one of them opens is in another's way.
  const own = (route: string, vendor: string, model: string): [string, Json] => [
    route,
    { targets: [`${vendor}/${model}`], retries: { attempts: 1 } },
  ]
  gateway = await startRecordedGateway({
    providers: vendorsAt(simulator.url),
    routes: Object.fromEntries([
      ...cells.map(({ name, vendor }) => own(name, vendor, name)),
      ...vendors.flatMap((vendor) => Object.keys(inBand).map((model) => own(`${vendor}-${model}`, vendor, model))),
      ...vendors.map((vendor, at) => [
        `${vendor}-saved`,
        { targets: [`${vendor}/saved-first`, `${vendors[1 - at]}/other`] },
      ]),
    ]),
  })
  simulator.script('saved-first', inBand.first)
})
afterAll(async () => {
  await gateway?.close()
  await simulator?.close()
})

/** The error of a reply that is one, in OpenAI's shape. */
function errorOf(reply: Exchange): Json {
  const body = JSON.parse(reply.text)
  if (hasShared) {
    const { error } = openAiValidators()
    expect(error(body), complaints(error)).toBe(true)
  }
  expect(reply.headers['content-type']).toBe('application/json')
  return body.error
}

describe.each(vendors)('%s', (vendor) => {
  describe('a status', () => {
    it.each(cells.filter((cell) => cell.vendor === vendor))('$about, stream: $stream', async (cell) => {
      const reply = await post(gateway.url + CHAT, ask(cell.name, { stream: cell.stream }))
      expect([reply.status, reply.headers['x-turnout-error']]).toEqual([cell.status, cell.kind])
      const error = errorOf(reply)
      expect(error).toMatchObject({
        type: cell.type,
        code: cell.code,
        param: null,
        metadata: {
          attempts: [{ target: `${vendor}/${cell.name}`, provider: vendor, fault: cell.kind, status: cell.status }],
        },
      })
      expect((error.metadata as { details?: { code?: string } }).details?.code).toBe(cell.word)
      if (typeof cell.says === 'string') expect(error.message).toBe(cell.says)
      else expect(error.message).toMatch(cell.says)
      const wait = reply.headers['retry-after']
      if (cell.retryAfter instanceof RegExp) expect(wait).toMatch(cell.retryAfter)
      else expect(wait).toBe(cell.retryAfter)
      const { request, attempts } = await gateway.rowsOf(String(reply.headers['x-request-id']))
      expect([request.outcome, attempts[0]]).toMatchObject([
        'failed',
        { fault: cell.kind, status: cell.status, lane: 'hub' },
      ])
    })
  })

  describe('inside a 200', () => {
    it.each([
      {
        model: 'first',
        status: 503,
        kind: 'overloaded',
        code: vendor === 'anthropic' ? 'overloaded_error' : 'UNAVAILABLE',
      },
      {
        model: 'first-limit',
        status: 429,
        kind: 'rate_limited',
        code: 'rate_limit_exceeded',
      },
    ])('$model: before the first token it is a status of its own', async ({ model, status: expected, kind, code }) => {
      for (const stream of [false, true]) {
        const reply = await post(gateway.url + CHAT, ask(`${vendor}-${model}`, { stream }))
        expect([reply.status, reply.headers['x-turnout-error']]).toEqual([expected, kind])
        expect(errorOf(reply)).toMatchObject({ message: 'Not now.', code })
      }
    })

    it('before the first token another vendor answers in its place', async () => {
      const reply = await post(gateway.url + CHAT, ask(`${vendor}-saved`, { stream: true }))
      expect([reply.status, reply.headers['x-turnout-attempts']]).toEqual([200, '2'])
      expect(dataOf(reply.text).at(-1)).toBe('[DONE]')
      const { attempts } = await gateway.rowsOf(String(reply.headers['x-request-id']))
      expect(attempts).toMatchObject([{ fault: 'overloaded', provider: vendor }, { fault: '' }])
    })

    it('after it the stream ends with an error frame and no [DONE], and the row says partial', async () => {
      const reply = await post(gateway.url + CHAT, ask(`${vendor}-later`, { stream: true }))
      expect(reply.status).toBe(200)
      const events = eventsOf(reply.text)
      expect(
        events
          .slice(0, -1)
          .map(({ choices }) => choices[0].delta.content ?? '')
          .join(''),
      ).toMatch(/^You said/)
      expect(events.at(-1).error).toMatchObject({
        message: 'No more.',
        type: 'upstream_error',
        code: vendor === 'anthropic' ? 'overloaded_error' : 'UNAVAILABLE',
        param: null,
      })
      expect(reply.text).not.toContain('[DONE]')
      expect(reply.text).not.toContain('"finish_reason":"')
      const { request, attempts } = await gateway.rowsOf(String(reply.headers['x-request-id']))
      expect([request.outcome, attempts[0]]).toMatchObject(['partial', { fault: 'overloaded', status: 200 }])
    })

    it('a stream that just ends is no success either', async () => {
      const reply = await post(gateway.url + CHAT, ask(`${vendor}-cut`, { stream: true }))
      expect(eventsOf(reply.text).at(-1).error).toMatchObject({ type: 'upstream_error', code: 'cut' })
      expect(reply.text).not.toContain('[DONE]')
    })
  })
})

describe('what a vendor says about its limits', () => {
  it('Anthropic’s rate-limit headers pass, and stand in the error', async () => {
    const at = rows.anthropic.findIndex(({ about }) => about.startsWith('a wait'))
    const reply = await post(gateway.url + CHAT, ask(`anthropic-${at}-j`))
    expect(reply.headers['anthropic-ratelimit-requests-remaining']).toBe('0')
    expect(errorOf(reply).metadata).toMatchObject({ details: { 'anthropic-ratelimit-requests-remaining': '0' } })
  })

  it('Google’s quotas stand in the error', async () => {
    const at = rows.gemini.findIndex(({ about }) => about.includes('in the body alone'))
    expect(errorOf(await post(gateway.url + CHAT, ask(`gemini-${at}-j`))).metadata).toMatchObject({
      details: { quotas: ['GenerateRequestsPerMinutePerProjectPerModel'] },
    })
  })
})

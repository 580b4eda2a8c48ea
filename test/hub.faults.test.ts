// Vendor errors, decoded: what failed, whose fault it is, how long to wait, and what the vendor said about its limits.
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { decodeFault as anthropicFault } from '../src/dialects/anthropic-messages/error.ts'
import type { Annotation } from '../src/dialects/chat.ts'
import type { FaultKind } from '../src/dialects/errors.ts'
import { decodeFault as geminiFault } from '../src/dialects/gemini/error.ts'
import { Citations } from '../src/dialects/gemini/grounding.ts'
import fc from './support/seededCheck.ts'

const now = Date.parse('2026-01-01T00:00:00Z')
type Headers = Record<string, string>

const anthropic = (status: number, type: string, message: string, headers: Headers = {}) =>
  anthropicFault(
    status,
    headers,
    Buffer.from(JSON.stringify({ type: 'error', error: { type, message }, request_id: 'req_1' })),
    now,
  )
const google = (code: number, status: string, message: string, details: unknown[] = [], headers: Headers = {}) =>
  geminiFault(code, headers, Buffer.from(JSON.stringify({ error: { code, status, message, details } })), now)

/** For what OpenAI has a word of its own. */
const openaiCode: Partial<Record<FaultKind, string>> = {
  context_window: 'context_length_exceeded',
  content_policy: 'content_policy_violation',
  rate_limited: 'rate_limit_exceeded',
  quota_exhausted: 'insufficient_quota',
  model_not_found: 'model_not_found',
}

describe('anthropic errors', () => {
  const rows: [number, string, string, FaultKind][] = [
    [400, 'invalid_request_error', 'max_tokens: Field required', 'bad_request'],
    [400, 'invalid_request_error', 'Your credit balance is too low to access the Anthropic API.', 'quota_exhausted'],
    [400, 'invalid_request_error', "You have reached your organization's API usage limits.", 'quota_exhausted'],
    // What the client wrote must not shut the target for everybody.
    [400, 'invalid_request_error', "Tool 'get_billing' not found in provided tools", 'bad_request'],
    [400, 'invalid_request_error', 'messages.1.content.0: unexpected `tool_use_id`: usage_limit', 'bad_request'],
    [400, 'invalid_request_error', 'prompt is too long: 210000 tokens > 200000 maximum', 'context_window'],
    [
      400,
      'invalid_request_error',
      'input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000',
      'context_window',
    ],
    [400, 'invalid_request_error', 'Output blocked by content filtering policy', 'content_policy'],
    [400, 'invalid_request_error', 'You have reached your specified API usage limits.', 'quota_exhausted'],
    [400, 'invalid_request_error', 'This organization has been disabled.', 'permission_denied'],
    [400, 'invalid_request_error', "tools.0.name: 'this organization has been disabled' is no name", 'bad_request'],
    [401, 'authentication_error', 'invalid x-api-key', 'auth_failed'],
    [402, 'billing_error', 'Payment required', 'quota_exhausted'],
    [403, 'permission_error', 'Not allowed', 'permission_denied'],
    [404, 'not_found_error', 'model: claude-nope', 'model_not_found'],
    [404, 'not_found_error', 'model: files-1', 'model_not_found'],
    [404, 'not_found_error', 'File not found: file_011CNha8iCJcU1wXNR6q4V8w', 'bad_request'],
    [404, 'not_found_error', 'Container not found: container_01', 'bad_request'],
    [413, 'request_too_large', 'Request exceeds the maximum size', 'bad_request'],
    [429, 'rate_limit_error', 'This request would exceed your rate limit', 'rate_limited'],
    [500, 'api_error', 'Internal server error', 'server_error'],
    [504, 'timeout_error', 'Timed out', 'server_error'],
    [529, 'overloaded_error', 'Overloaded', 'overloaded'],
    [503, 'unheard_of', 'Soon', 'overloaded'],
  ]
  for (const [status, type, message, kind] of rows) {
    it(`${status} ${type}: ${message.slice(0, 40)}`, () => {
      expect(anthropic(status, type, message)).toMatchObject({
        kind,
        status,
        message,
        code: openaiCode[kind] ?? type,
        details: { request_id: 'req_1' },
      })
    })
  }

  it('Retry-After in seconds and as a date', () => {
    expect(anthropic(429, 'rate_limit_error', 'x', { 'retry-after': '17' }).retryAfterMs).toBe(17_000)
    expect(
      anthropic(429, 'rate_limit_error', 'x', { 'retry-after': 'Thu, 01 Jan 2026 00:00:30 GMT' }).retryAfterMs,
    ).toBe(30_000)
  })

  it('without it, the latest reset among the limits that are used up', () => {
    const fault = anthropic(429, 'rate_limit_error', 'x', {
      'anthropic-ratelimit-requests-remaining': '3',
      'anthropic-ratelimit-requests-reset': '2026-01-01T00:09:00Z',
      'anthropic-ratelimit-input-tokens-remaining': '0',
      'anthropic-ratelimit-input-tokens-reset': '2026-01-01T00:00:20Z',
      'anthropic-ratelimit-tokens-remaining': '0',
      'anthropic-ratelimit-tokens-reset': '2026-01-01T00:00:45Z',
    })
    expect(fault.retryAfterMs).toBe(45_000)
    expect(fault.details).toMatchObject({ 'anthropic-ratelimit-tokens-remaining': '0' })
  })

  it('bodies that are not theirs', () => {
    const of = (status: number, body: string) => anthropicFault(status, {}, Buffer.from(body), now)
    expect(of(502, '<html>Bad gateway</html>')).toMatchObject({ kind: 'server_error', status: 502 })
    expect(of(400, '')).toMatchObject({ kind: 'bad_request' })
    expect(of(302, '')).toMatchObject({ kind: 'redirect' })
    expect(of(418, '{"error":"teapot"}')).toMatchObject({ kind: 'bad_request', message: 'teapot' })
  })
})

describe('gemini errors', () => {
  const typed = (name: string, more: object) => ({ '@type': `type.googleapis.com/google.rpc.${name}`, ...more })
  const quota = (quotaId: string) => typed('QuotaFailure', { violations: [{ quotaId }] })
  const exceeded = 'You exceeded your current quota, please check your plan and billing details.'
  const rows: [number, string, string, unknown[], FaultKind][] = [
    [400, 'INVALID_ARGUMENT', 'Invalid JSON payload received.', [], 'bad_request'],
    [
      400,
      'INVALID_ARGUMENT',
      'The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).',
      [],
      'context_window',
    ],
    [
      400,
      'INVALID_ARGUMENT',
      'API key not valid. Please pass a valid API key.',
      [typed('ErrorInfo', { reason: 'API_KEY_INVALID' })],
      'auth_failed',
    ],
    [400, 'INVALID_ARGUMENT', 'response_schema.properties[API_KEY_INVALID].items: missing field.', [], 'bad_request'],
    [400, 'FAILED_PRECONDITION', 'The File x1 is not in an ACTIVE state and usage is not allowed.', [], 'bad_request'],
    [
      403,
      'PERMISSION_DENIED',
      'You do not have permission to access the File x1 or it may not exist.',
      [],
      'bad_request',
    ],
    [403, 'PERMISSION_DENIED', 'CachedContent not found (or permission denied)', [], 'bad_request'],
    [400, 'FAILED_PRECONDITION', 'User location is not supported for the API use.', [], 'permission_denied'],
    [401, 'UNAUTHENTICATED', 'Request had invalid authentication credentials.', [], 'auth_failed'],
    [403, 'PERMISSION_DENIED', 'The caller does not have permission', [], 'permission_denied'],
    [404, 'NOT_FOUND', 'models/x is not found', [], 'model_not_found'],
    [404, 'NOT_FOUND', 'File files/x1 was not found.', [], 'bad_request'],
    [
      429,
      'RESOURCE_EXHAUSTED',
      exceeded,
      [quota('GenerateRequestsPerMinutePerProjectPerModel-FreeTier')],
      'rate_limited',
    ],
    [
      429,
      'RESOURCE_EXHAUSTED',
      exceeded,
      [quota('GenerateRequestsPerDayPerProjectPerModel-FreeTier')],
      'quota_exhausted',
    ],
    [429, 'RESOURCE_EXHAUSTED', `${exceeded} Quota exceeded for metric: x, limit: 0`, [], 'quota_exhausted'],
    [500, 'INTERNAL', 'An internal error has occurred.', [], 'server_error'],
    [503, 'UNAVAILABLE', 'The model is overloaded. Please try again later.', [], 'overloaded'],
    [504, 'DEADLINE_EXCEEDED', 'Deadline expired', [], 'server_error'],
  ]
  for (const [code, status, message, details, kind] of rows) {
    it(`${code} ${status}: ${message.slice(0, 40)} ${kind}`, () => {
      expect(google(code, status, message, details)).toMatchObject({
        kind,
        status: code,
        message,
        code: openaiCode[kind] ?? status,
      })
    })
  }

  it('quota details and the wait that the body names; of two waits the later', () => {
    const details = [quota('PerMinute-X'), typed('RetryInfo', { retryDelay: '34.4s' })]
    expect(google(429, 'RESOURCE_EXHAUSTED', exceeded, details)).toMatchObject({
      retryAfterMs: 34_400,
      details: { quotas: ['PerMinute-X'] },
    })
    expect(google(429, 'RESOURCE_EXHAUSTED', exceeded, details, { 'retry-after': '60' }).retryAfterMs).toBe(60_000)
    expect(google(429, 'RESOURCE_EXHAUSTED', exceeded, details, { 'retry-after': '5' }).retryAfterMs).toBe(34_400)
  })

  it('bodies in other wrappings', () => {
    const error = { error: { code: 404, status: 'NOT_FOUND', message: 'gone' } }
    for (const body of [JSON.stringify([error]), `data: ${JSON.stringify(error)}\r\n\r\n`]) {
      expect(geminiFault(404, {}, Buffer.from(body), now)).toMatchObject({ kind: 'model_not_found', message: 'gone' })
    }
    expect(geminiFault(502, {}, Buffer.from('<html>'), now)).toMatchObject({ kind: 'server_error' })
  })
})

describe('gemini sources', () => {
  const MB = 1024 * 1024
  const cite = (text: string, segments: object[]) => {
    const citations = new Citations()
    citations.say(text)
    citations.learnGrounding({
      groundingChunks: [{ web: { uri: 'https://a.example' } }],
      groundingSupports: segments.map((segment) => ({ segment, groundingChunkIndices: [0] })),
    })
    return citations.annotations()
  }

  const placed = (annotations: Annotation[]) => annotations.filter(({ start }) => start !== undefined).length

  it('have a place wherever they come in the text, in any order', () => {
    const text = 'aé漢😀'.repeat(50)
    const bytes = Buffer.from(text)
    const starts = Array.from({ length: 200 }, (_, at) => (at * 77) % bytes.length)
    for (const order of [starts, starts.toSorted((a, b) => a - b)]) {
      const segments = order.map((startIndex, at) => ({ startIndex, endIndex: startIndex + 1 + (at % 5) }))
      const points = ({ startIndex, endIndex }: (typeof segments)[number]) => {
        const start = [...bytes.toString('utf8', 0, startIndex)].length
        return { start, end: start + [...bytes.toString('utf8', startIndex, endIndex)].length }
      }
      const unlike = new Map(segments.map((segment) => [JSON.stringify(points(segment)), points(segment)]))
      expect(cite(text, segments).map(({ start, end }) => ({ start, end }))).toEqual([...unlike.values()])
    }
  })

  it('have a place as long as looking for it ends', () => {
    const text = 'a'.repeat(MB)
    // In their order they are come upon, backwards each is looked for from the start.
    const forwards = Array.from({ length: 1_000 }, (_, at) => ({ startIndex: at * 1_000, endIndex: at * 1_000 + 9 }))
    expect(placed(cite(text, forwards))).toBe(1_000)
    expect(placed(cite(text, forwards.toReversed()))).toBeLessThan(40)
    // Words that are nowhere are looked for everywhere.
    const lost = Array.from({ length: 50 }, (_, at) => ({ startIndex: at, endIndex: at + 1, text: 'b' }))
    const found = { startIndex: 3, endIndex: 4, text: 'a' }
    expect(placed(cite(text, [found, ...lost]))).toBe(1)
    expect(placed(cite(text, [...lost, found]))).toBe(0)
  })

  it('are found by their words where their place does not fit', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('a', 'b', '😀'), maxLength: 30 }),
        fc.nat(30),
        fc.nat(6),
        (text, at, length) => {
          const words = [...text].slice(at, at + length).join('')
          fc.pre(words !== '')
          const [{ start, end } = {}] = cite(text, [{ startIndex: 1_000, endIndex: 1_001, text: words }])
          const before = [...text.slice(0, text.indexOf(words))].length
          expect([start, end]).toEqual([before, before + [...words].length])
          expect(placed(cite(text, [{ startIndex: 0, endIndex: 1, text: `${words}c` }]))).toBe(0)
        },
      ),
    )
  })

  it('are looked for no longer where their words all but come everywhere', () => {
    // The engine's own search takes twenty seconds.
    const search = vi.spyOn(String.prototype, 'indexOf')
    onTestFinished(() => search.mockRestore())
    const half = 'a'.repeat(20_000)
    expect(placed(cite('a'.repeat(MB), [{ startIndex: 0, endIndex: 1, text: `${half}b${half}` }]))).toBe(0)
    expect(search.mock.calls.filter(([words]) => words.length > half.length)).toEqual([])
  })
})

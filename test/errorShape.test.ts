// Every error body and every chunk that Turnout itself makes is what OpenAI's published schema says it is.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  errorOf,
  type FaultKind,
  faultRules,
  Refusal,
  type RefusalCode,
  refusalRules,
  UpstreamFault,
} from '../src/dialects/errors.ts'
import { encodeError, encodeErrorFrame } from '../src/dialects/openai-chat/error.ts'
import { ask, CHAT, chunk, event, reply, roleChunk } from './support/chatBodies.ts'
import { dataOf, type Exchange, get, post } from './support/exchange.ts'
import { cut, type FakeUpstream, openSse, reset, sendJson, stall, startFakeUpstream } from './support/fakeUpstream.ts'
import { single } from './support/freshTargets.ts'
import { startGateway, type TestGateway, upstreamAt } from './support/gateway.ts'
import { complaints, loadDefinition, openAiValidators, validatorOf } from './support/openaiSchema.ts'
import { openRaw, parseReply, rawExchange, rawPost } from './support/rawSocket.ts'
import { hasShared, needsShared } from './support/shared.ts'

const refusalCodes = Object.keys(refusalRules) as RefusalCode[]
const faultKinds = Object.keys(faultRules) as FaultKind[]

/** Codes that no request to this gateway can bring about today; their shape is still checked, from the table. */
const unprovoked = new Set<string>([
  'internal_error', // a fault of our own
  'shutting_down', // see server.test.ts
  'no_target',
  'not_found', // only the admin API, see admin.test.ts
  'precondition_failed', // these too, see adminControl.test.ts
  'precondition_required',
  'idempotency_key_reused', // see rolloutDesk.test.ts
  'invalid_configuration',
  'not_available',
  'key_expired', // need keys with limits of their own
  'key_disabled',
  'model_not_allowed',
  'ledger_unavailable', // needs a failing disk
  'unsupported_content', // only other dialects refuse content
  'unsupported_parameter',
  'rollout_conflict', // see canary.test.ts
  'withdrawn', // see rolloutPath.test.ts
  'address_not_allowed', // need limits, see cases/limits.test.ts
  'blocked',
  'rate_limit_exceeded',
  'budget_exceeded', // needs budgets
  'not_cached', // see cache.test.ts
  'loop', // see replyHeaders.test.ts
  'no_socket', // see blame.test.ts
  'connect_timeout', // needs an address that swallows packets
])

/** The published schema, and what it leaves open but clients rely on. */
function expectErrorShape(text: string): { message: string; type: string; param: string | null; code: string } {
  const body = JSON.parse(text)
  const { error: validate } = openAiValidators()
  expect(validate(body), `${text.slice(0, 300)}: ${complaints(validate)}`).toBe(true)
  expect(Object.keys(body)).toEqual(['error'])
  expect(Object.keys(body.error).filter((key) => key !== 'metadata')).toEqual(['message', 'type', 'param', 'code'])
  expect(typeof body.error.code).toBe('string')
  expect(body.error.code).not.toBe('')
  expect(body.error.message).not.toBe('')
  return body.error
}

describe.skipIf(!hasShared)(`errors made by Turnout${needsShared}`, () => {
  it.each(refusalCodes)('the refusal %s has the published shape, as a body and as a frame', (code) => {
    for (const refusal of [
      new Refusal(code, 'No.'),
      new Refusal(code, 'No: "quoted" \u2028 🚂.', 'messages[0].content', { scope: 'key', limit: 3 }),
    ]) {
      const error = errorOf(refusal)
      expect(error.status).toBeGreaterThanOrEqual(400)
      expect(error.status).toBeLessThan(600)
      expect(expectErrorShape(encodeError(error)).code).toBe(code)
      const frame = encodeErrorFrame(error)
      expect(frame.endsWith('\n\n')).toBe(true)
      expect(dataOf(frame)).toHaveLength(1)
      expectErrorShape(dataOf(frame)[0]!)
    }
  })

  it.each(faultKinds)('the fault %s has the published shape, as a body and as a frame', (kind) => {
    for (const fault of [
      new UpstreamFault(kind, 'It broke.'),
      new UpstreamFault(kind, 'It broke.', {
        status: 429,
        code: '429',
        param: 'x',
        retryAfterMs: 5,
        details: { a: 1 },
      }),
      new UpstreamFault(kind, 'It moved.', { status: 302 }),
    ]) {
      const error = errorOf(fault)
      expect(error.status).toBeGreaterThanOrEqual(400)
      expect(error.status).toBeLessThan(600)
      expectErrorShape(encodeError({ ...error, metadata: { attempts: [] } }))
      expectErrorShape(dataOf(encodeErrorFrame(error))[0]!)
    }
  })

  describe('through real HTTP', () => {
    let upstream: FakeUpstream
    let gateway: TestGateway
    let looped: TestGateway
    let locked: TestGateway
    let hasty: TestGateway
    /** Codes seen on the wire. */
    const seen = new Set<string>()

    beforeAll(async () => {
      upstream = await startFakeUpstream(async (_req, res, body) => {
        const { model } = JSON.parse(body.toString()) as { model: string }
        await scripts[model]!(res)
      })
      const routes = Object.fromEntries(
        Object.keys(scripts).map((name) => [
          name,
          {
            targets: [`p/${name}`],
            // Short where nothing comes, and long for whoever answers, however busy the machine.
            timeouts: Object.fromEntries(
              Object.entries({ firstToken: 'silent', idle: 'idle', total: 'total' }).map(([limit, silent]) => [
                limit,
                name === silent ? '150ms' : '120s',
              ]),
            ),
          },
        ]),
      )
      gateway = await startGateway({
        ...single,
        server: {
          maxBody: '4KB',
          maxReply: '4KB',
          maxMessages: 3,
          maxJsonDepth: 8,
          maxJsonValues: 1000,
        },
        providers: {
          p: upstreamAt(upstream.url),
          dead: upstreamAt('http://127.0.0.1:1'),
          tls: upstreamAt(upstream.url.replace('http:', 'https:')),
        },
        routes: { ...routes, dead: 'dead/x', tls: 'tls/x', m: 'p/m' },
      })
      locked = await startGateway({
        ...single,
        providers: { p: upstreamAt(upstream.url) },
        routes: { m: 'p/m' },
        keys: [{ name: 'a', key: 'sk-test-0123456789abcdef' }],
      })
      hasty = await startGateway({
        ...single,
        server: { headersTimeout: '100ms', bodyTimeout: '100ms' },
        providers: { p: upstreamAt(upstream.url) },
        routes: { m: 'p/m' },
      })
      looped = await startLoop()
    })

    afterAll(async () => {
      await Promise.all([gateway?.close(), locked?.close(), hasty?.close(), looped?.close()])
      await upstream?.close()
    })

    /** What upstreams do, by model name. */
    const scripts: Record<string, (res: import('node:http').ServerResponse) => void | Promise<void>> = {
      m: (res) => sendJson(res, 200, reply()),
      total: stall,
      silent: (res) => {
        openSse(res)
        return stall(res)
      },
      idle: (res) => {
        openSse(res)
        res.write(event(roleChunk) + event(chunk({ content: 'a' })))
        return stall(res)
      },
      reset: (res) => reset(res),
      cut: (res) => {
        openSse(res)
        res.write(event(chunk({ content: 'a' })))
        cut(res)
      },
      garbage: (res) => sendJson(res, 200, '<html>'),
      empty: (res) => sendJson(res, 200, { ...reply(''), usage: undefined }),
      large: (res) => sendJson(res, 200, reply('x'.repeat(10_000))),
      redirect: (res) => {
        res.writeHead(302, { location: 'http://127.0.0.1:1/' })
        res.end()
      },
      inBand: (res) => sendJson(res, 200, { error: { message: 'inside', type: 'odd' } }),
      noChoices: (res) => sendJson(res, 200, { object: 'chat.completion', choices: null }),
      ...Object.fromEntries(
        // A proxy's page in place of a vendor's error body: the status is all there is to go by.
        [400, 401, 402, 403, 404, 408, 409, 413, 422, 425, 429, 500, 502, 503, 529].map((status) => [
          `html-${status}`,
          (res: import('node:http').ServerResponse) => {
            res.writeHead(status, { 'content-type': 'text/html' })
            res.end('<html><body>no</body></html>')
          },
        ]),
      ),
      ...Object.fromEntries(
        Object.entries({
          context: 'This model has a maximum context length of 10 tokens.',
          policy: 'content_policy_violation',
        }).map(([name, message]) => [
          name,
          // Text that says what is wrong but is no JSON object: ours to put into shape.
          (res: import('node:http').ServerResponse) => sendJson(res, 200, { error: { message, code: '400' } }),
        ]),
      ),
    }

    function check(
      exchange: Pick<Exchange, 'status' | 'text'> & { headers: Record<string, unknown> },
      code: string,
      status: number,
    ): void {
      expect(exchange.status, exchange.text).toBe(status)
      expect(exchange.headers['content-type']).toBe('application/json')
      const error = expectErrorShape(exchange.text)
      expect(error.code).toBe(code)
      seen.add(code)
    }

    const refusals: [RefusalCode, number, () => Promise<Exchange>][] = [
      ['invalid_json', 400, () => post(gateway.url + CHAT, '{"model":')],
      ['invalid_encoding', 400, () => post(gateway.url + CHAT, Buffer.from([0x7b, 0xff, 0x7d]))],
      ['duplicate_key', 400, () => post(gateway.url + CHAT, '{"model":"m","model":"m"}')],
      ['json_too_deep', 400, () => post(gateway.url + CHAT, `{"a":${'['.repeat(20)}`)],
      ['too_many_values', 400, () => post(gateway.url + CHAT, `{"a":[${'1,'.repeat(1_000)}1]}`)],
      ['missing_required_parameter', 400, () => post(gateway.url + CHAT, { model: 'm' })],
      ['invalid_type', 400, () => post(gateway.url + CHAT, ask('m', { stream: 'yes' }))],
      ['invalid_value', 400, () => post(gateway.url + CHAT, ask('m', { n: 0 }))],
      ['too_many_messages', 400, () => post(gateway.url + CHAT, ask('m', { messages: [{}, {}, {}, {}] }))],
      [
        'invalid_tool_arguments',
        400,
        () => post(gateway.url + CHAT, ask('m', { messages: [{ tool_calls: [{ function: { arguments: '{' } }] }] })),
      ],
      ['model_not_found', 404, () => post(gateway.url + CHAT, ask('unheard-of'))],
      ['invalid_url', 404, () => get(`${gateway.url}/v1/elsewhere`)],
      ['method_not_allowed', 405, () => get(gateway.url + CHAT)],
      ['request_too_large', 413, () => post(gateway.url + CHAT, ask('m', { user: 'x'.repeat(9000) }))],
      ['unsupported_media_type', 415, () => post(gateway.url + CHAT, ask(), { 'content-encoding': 'zstd' })],
      ['host_not_allowed', 403, () => post(gateway.url + CHAT, ask(), { host: 'evil.example.com' })],
      ['invalid_api_key', 401, () => post(locked.url + CHAT, ask(), { authorization: 'Bearer wrong' })],
      ['loop_detected', 508, () => post(looped.url + CHAT, ask())],
    ]
    it.each(refusals)('%s is told with status %i', async (code, status, provoke) => {
      const exchange = await provoke()
      check(exchange, code, status)
      expect(exchange.headers['x-turnout-error']).toBeDefined()
    })

    it('headers_too_large, bad_http and request_timeout are told on the bare socket', async () => {
      const large = await rawExchange(
        gateway.port,
        `GET / HTTP/1.1\r\nhost: x\r\nauthorization: ${'a'.repeat(1_000_000)}\r\n\r\n`,
      )
      check({ ...large, text: large.body }, 'headers_too_large', 431)
      const bad = await rawExchange(gateway.port, 'NONSENSE\r\n\r\n')
      check({ ...bad, text: bad.body }, 'bad_http', 400)
      const slow = await openRaw(hasty.port)
      slow.write(rawPost(CHAT, '{"model":"m"}').slice(0, -5))
      const timedOut = parseReply(await slow.closed)
      check({ ...timedOut, text: timedOut.body }, 'request_timeout', 408)
    })

    const faults: [string, string, number, Record<string, unknown>][] = [
      ['dead', 'dial_failed', 502, {}],
      ['tls', 'tls_failed', 502, {}],
      ['total', 'total_timeout', 504, {}],
      ['silent', 'first_token_timeout', 504, { stream: true }],
      ['reset', 'reset', 502, {}],
      ['garbage', 'garbage', 502, {}],
      ['empty', 'empty', 502, {}],
      ['noChoices', 'empty', 502, {}],
      ['large', 'too_large', 502, {}],
      ['redirect', 'redirect', 502, {}],
      ['inBand', 'in_band', 502, {}],
      ['html-400', 'bad_request', 400, {}],
      ['html-401', 'auth_failed', 401, {}],
      ['html-402', 'quota_exhausted', 402, {}],
      ['html-403', 'permission_denied', 403, {}],
      ['html-404', 'model_not_found', 404, {}],
      ['html-408', 'upstream_request_timeout', 408, {}],
      ['html-409', 'conflict', 409, {}],
      ['html-413', 'bad_request', 413, {}],
      ['html-422', 'bad_request', 422, {}],
      ['html-425', 'conflict', 425, {}],
      ['html-429', 'rate_limited', 429, {}],
      ['html-500', 'server_error', 500, {}],
      ['html-502', 'server_error', 502, {}],
      ['html-503', 'overloaded', 503, {}],
      ['html-529', 'overloaded', 529, {}],
    ]
    it.each(faults)('an upstream that is %s becomes %s with status %i', async (model, code, status, more) => {
      const exchange = await post(gateway.url + CHAT, ask(model, more))
      check(exchange, code, status)
      expect(exchange.headers['x-turnout-error']).toBe(code)
      const { metadata } = JSON.parse(exchange.text).error
      expect(metadata.attempts).toEqual([expect.objectContaining({ provider: expect.any(String), fault: code })])
    })

    it.each([
      ['context', 'context_window'],
      ['policy', 'content_policy'],
    ])('an error inside a 200 that speaks of %s is told as %s', async (model, kind) => {
      const exchange = await post(gateway.url + CHAT, ask(model))
      expect(exchange.status).toBe(400)
      expectErrorShape(exchange.text)
      expect(exchange.headers['x-turnout-error']).toBe(kind)
      seen.add(kind)
    })

    it.each([
      ['idle', 'idle_timeout'],
      ['cut', 'cut'],
    ])('a stream that ends in %s carries a frame of the published shape and no end marker', async (model, code) => {
      const exchange = await post(gateway.url + CHAT, ask(model, { stream: true }))
      expect(exchange.status).toBe(200)
      const data = dataOf(exchange.text)
      expect(expectErrorShape(data.at(-1)!).code).toBe(code)
      expect(data).not.toContain('[DONE]')
      seen.add(code)
    })

    it('a whole reply to a request for a stream arrives as chunks of the published shape', async () => {
      const exchange = await post(
        gateway.url + CHAT,
        ask('m', { stream: true, stream_options: { include_usage: true } }),
      )
      expect(exchange.status).toBe(200)
      expect(exchange.headers['content-type']).toMatch(/^text\/event-stream/)
      const data = dataOf(exchange.text)
      expect(data.pop()).toBe('[DONE]')
      const { chunk: validate } = openAiValidators()
      for (const text of data) expect(validate(JSON.parse(text)), `${text}: ${complaints(validate)}`).toBe(true)
      expect(data.map((text) => JSON.parse(text).choices[0]?.delta.content ?? '').join('')).toBe('hello')
      expect(JSON.parse(data.at(-1)!)).toMatchObject({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 2 } })
    })

    it('the list of models and one model have the published shape', async () => {
      const definition = loadDefinition('openai.openapi.json')
      const list = validatorOf(definition, 'ListModelsResponse')
      const one = validatorOf(definition, 'Model')
      const models = await get(`${gateway.url}/v1/models`)
      expect(list(JSON.parse(models.text)), complaints(list)).toBe(true)
      const model = await get(`${gateway.url}/v1/models/m`)
      expect(one(JSON.parse(model.text)), complaints(one)).toBe(true)
      check(await get(`${gateway.url}/v1/models/unheard-of`), 'model_not_found', 404)
    })

    it('every code of both tables was seen on the wire, or is named as one that cannot be', () => {
      const missing = [...refusalCodes, ...faultKinds].filter((code) => !seen.has(code) && !unprovoked.has(code))
      expect(missing).toEqual([])
      expect([...unprovoked].filter((code) => seen.has(code))).toEqual([])
    })

    /** A gateway whose only target is itself. */
    async function startLoop(): Promise<TestGateway> {
      const first = await startGateway({ ...single, providers: { p: upstreamAt(upstream.url) }, routes: { m: 'p/m' } })
      const self = await startGateway({ ...single, providers: { p: upstreamAt(first.url) }, routes: { m: 'p/m' } })
      // Now the first learns where it is: the second's provider points at the first, and the first is the second.
      first.turnout.swap(self.turnout.snapshot)
      return {
        ...first,
        async close() {
          await first.close()
          await self.close()
        },
      }
    }
  })
})

// JSON that nests for ever, or holds millions of values: in a text within a request, in a body that is only counted, in what a vendor answers. None of it is made into objects.
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { parseJsonText } from '../src/dialects/depth.ts'
import { ask, CHAT, chunk, event, reply, usage } from './support/chatBodies.ts'
import { post } from './support/exchange.ts'
import { type FakeUpstream, sendSse, startFakeUpstream } from './support/fakeUpstream.ts'
import { startGateway, type TestGateway, upstreamAt } from './support/gateway.ts'
import fc from './support/seededCheck.ts'

/** Ten megabytes, of which Node's parser makes a gigabyte in some seconds. */
const LEVELS = 5_000_000
const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels)
/** Values that a request may have at most, as it is configured. What is refused is not made into more: that took seconds. */
const ENOUGH = 100_000
/** Values of the largest document that was parsed by now, by the gateway or here. */
let largest = 0
const parse = JSON.parse
vi.spyOn(JSON, 'parse').mockImplementation((text, reviver) => {
  const value = parse(text, reviver)
  largest = Math.max(largest, valuesIn(value))
  return value
})

function valuesIn(value: unknown): number {
  let count = 0
  const open = [value]
  while (open.length > 0) {
    const one = open.pop()
    count++
    if (typeof one === 'object' && one !== null) for (const part of Object.values(one)) open.push(part)
  }
  return count
}

const SAY = '"say"'
let answer: { stream: boolean; body: string }
let upstream: FakeUpstream
let gateway: TestGateway
const config = () => ({
  providers: {
    openai: upstreamAt(upstream.url),
    anthropic: { ...upstreamAt(upstream.url), kind: 'anthropic' },
    gemini: { ...upstreamAt(upstream.url), kind: 'gemini' },
  },
  // Each of them answers nonsense more often than a target may.
  breaker: { failures: 1_000 },
  routes: {
    openai: { targets: ['openai/gpt-4.1-mini'] },
    anthropic: { targets: ['anthropic/claude-sonnet-4-5'] },
    gemini: { targets: ['gemini/gemini-2.5-flash'] },
    unread: { targets: ['anthropic/claude-haiku-4-5'], toolArguments: 'pass' },
  },
})
beforeAll(async () => {
  upstream = await startFakeUpstream(async (_, res) => {
    if (answer.stream) await sendSse(res, answer.body)
    else res.writeHead(200, { 'content-type': 'application/json' }).end(answer.body)
  })
  gateway = await startGateway(config())
})
afterAll(async () => {
  await gateway.close()
  await upstream.close()
})

const packed = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  post(gateway.url + path, gzipSync(JSON.stringify(body).replace(SAY, nested(LEVELS))), {
    'content-encoding': 'gzip',
    ...headers,
  })

const called = (model: string, args: string) => ({
  ...ask(model),
  messages: [
    { role: 'user', content: 'x' },
    { role: 'assistant', tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: args } }] },
    { role: 'tool', tool_call_id: 'a', content: 'x' },
  ],
})

describe('a request', () => {
  // 10 KB on the wire.
  it.each(['openai', 'anthropic', 'gemini', 'unread'])('is refused for the arguments of a call (%s)', async (model) => {
    for (const levels of [LEVELS, 30_000]) {
      const { status, text } = await packed(CHAT, called(model, `{"a":${nested(levels)}}`))
      const code = levels === LEVELS ? 'too_many_values' : 'invalid_tool_arguments'
      expect([status, JSON.parse(text).error.code]).toEqual([400, code])
      expect(largest).toBeLessThan(ENOUGH)
    }
  })

  it('is refused where it is only counted, as it is where it is answered', async () => {
    for (const path of [CHAT, '/v1/tokens/count']) {
      const { status, text } = await packed(path, { ...ask('openai'), tools: 'say' })
      expect([status, JSON.parse(text).error.code]).toEqual([400, 'too_many_values'])
      expect(largest).toBeLessThan(ENOUGH)
      const less = await post(
        gateway.url + path,
        JSON.stringify({ ...ask('openai'), tools: 'say' }).replace(SAY, nested(1_000)),
      )
      expect([less.status, JSON.parse(less.text).error.code]).toEqual([400, 'json_too_deep'])
    }
  })

  // 20 KB on the wire, of which Node's parser makes six million objects.
  it('is refused for millions of values, in its own JSON and in that of its calls', async () => {
    const crowd = `[${'{},'.repeat(6_000_000)}{}]`
    const crowded = (path: string, body: unknown, as: string) =>
      post(gateway.url + path, gzipSync(JSON.stringify(body).replace(SAY, as)), { 'content-encoding': 'gzip' })
    for (const [path, body] of [
      [CHAT, { ...ask('openai'), tools: 'say' }],
      ['/v1/tokens/count', { ...ask('openai'), tools: 'say' }],
      ['/openai/deployments/openai/chat/completions?api-version=2024-10-21', { ...ask('openai'), tools: 'say' }],
      [CHAT, { ...called('openai', 'x'), more: 'say' }],
    ] as const) {
      const { status, text } = await crowded(path, body, crowd)
      expect([path, status, JSON.parse(text).error.code]).toEqual([path, 400, 'too_many_values'])
      expect(largest).toBeLessThan(ENOUGH)
    }
    const { status, text } = await crowded(CHAT, called('openai', 'say'), JSON.stringify(crowd))
    expect([status, JSON.parse(text).error]).toEqual([
      400,
      expect.objectContaining({ code: 'too_many_values', param: 'messages' }),
    ])
    expect(largest).toBeLessThan(ENOUGH)
    // What a route leaves to the upstream, and the older form of a call, become objects for other vendors, too.
    const older = called('anthropic', 'x')
    older.messages[1] = { role: 'assistant', function_call: { name: 'f', arguments: 'say' } } as never
    for (const body of [called('unread', 'say'), older]) {
      const { status, text } = await crowded(CHAT, body, JSON.stringify(crowd))
      expect([status, JSON.parse(text).error.code]).toEqual([400, 'too_many_values'])
      expect(largest).toBeLessThan(ENOUGH)
    }
    // None of them has too many by itself.
    const part = `[${'1,'.repeat(60_000)}1]`
    const calls = Array.from({ length: 4 }, (_, i) => ({
      ...{ id: `c${i}`, type: 'function', function: { name: 'f', arguments: part } },
    }))
    const all = { ...ask('openai'), messages: [{ role: 'assistant', tool_calls: calls }] }
    expect(JSON.parse((await post(gateway.url + CHAT, all)).text).error.code).toBe('too_many_values')
  })

  it('may hold as many commas and brackets in its texts as it likes', async () => {
    answer = { stream: false, body: JSON.stringify(reply()) }
    const messages = [{ role: 'user', content: ',[{"\\",'.repeat(100_000) }]
    expect((await post(gateway.url + CHAT, { ...ask('openai'), messages })).status).toBe(200)
  })

  it('may hold brackets in its texts', async () => {
    answer = { stream: false, body: JSON.stringify(reply()) }
    const args = JSON.stringify({ a: `\\"${'['.repeat(100_000)}` })
    expect((await post(gateway.url + CHAT, called('openai', args))).status).toBe(200)
  })
})

const replies: Record<string, { whole: unknown; events: readonly unknown[] }> = {
  openai: { whole: reply('x', { more: 'say' }), events: [chunk({ content: 'x', more: 'say' })] },
  anthropic: {
    whole: { type: 'message', role: 'assistant', content: [{ type: 'text', text: 'x', more: 'say' }], usage },
    events: [{ type: 'message_start', message: { more: 'say' } }],
  },
  gemini: {
    whole: { candidates: [{ content: { parts: [{ text: 'x', more: 'say' }] }, finishReason: 'STOP' }] },
    events: [{ candidates: [{ content: { parts: [{ text: 'x', more: 'say' }] } }] }],
  },
}

describe.each(Object.keys(replies))('a reply of %s', (model) => {
  const { whole, events } = replies[model]!
  const deep = (value: unknown): string => JSON.stringify(value).replace(SAY, nested(LEVELS))

  it('is nonsense, whole', async () => {
    answer = { stream: false, body: deep(whole) }
    for (const stream of [false, true]) {
      const { status, headers } = await post(gateway.url + CHAT, ask(model, { stream }))
      expect([status, headers['x-turnout-error']]).toEqual([502, 'garbage'])
      expect(largest).toBeLessThan(ENOUGH)
    }
  })

  // It may be an answer that somebody asked for, with the likeliest tokens of each place: the same target would bill it again.
  it('is too large where it holds millions of values, whole and as a stream, and asked for once', async () => {
    const crowded = (value: unknown): string => JSON.stringify(value).replace(SAY, `[${'{},'.repeat(1_000_000)}{}]`)
    for (const stream of [false, true]) {
      answer = { stream, body: stream ? events.map((one) => event(crowded(one))).join('') : crowded(whole) }
      const before = upstream.requests.length
      const { status, headers, text } = await post(gateway.url + CHAT, ask(model, { stream }))
      expect([status, headers['x-turnout-error']]).toEqual([502, 'too_large'])
      expect(JSON.parse(text).error.message).toBe("The upstream's reply holds more than 2000000 JSON values.")
      expect(upstream.requests.length).toBe(before + 1)
    }
  })

  it('is nonsense as a stream, whose last event may lack its end', async () => {
    const stream = events.map((one) => event(deep(one))).join('')
    for (const body of [stream, stream.trimEnd()]) {
      answer = { stream: true, body }
      const { status, headers } = await post(gateway.url + CHAT, ask(model, { stream: true }))
      expect([status, headers['x-turnout-error']]).toEqual([502, 'garbage'])
      expect(largest).toBeLessThan(ENOUGH)
    }
  })
})

describe('a text', () => {
  it('is read as ever where it nests no deeper than anybody means it', () => {
    fc.assert(
      fc.property(fc.json(), fc.integer({ min: 0, max: 1_900 }), fc.string(), (json, levels, filler) => {
        const text = `[${JSON.stringify(`${filler}\\"[[`.repeat(500))},${'['.repeat(levels)}${json}${']'.repeat(levels)}]`
        expect(parseJsonText(text)).toEqual(JSON.parse(text))
      }),
      { numRuns: 50 },
    )
  })

  it('is read as ever where it holds no more values than anybody sends', () => {
    const row = (values: number): string => `[${'0,'.repeat(values - 1)}0]`
    expect(parseJsonText(row(1_999_999))).toHaveLength(1_999_999)
    expect(() => parseJsonText(row(2_000_000))).toThrow(SyntaxError)
    const text = JSON.stringify(',[{'.repeat(1_000_000))
    expect(parseJsonText(text)).toBe(JSON.parse(text))
  })

  it('can be written again as deep as it is read', () => {
    const text = `{"a":${nested(1_999)}}`
    expect(JSON.stringify(parseJsonText(text))).toBe(text)
    expect(() => parseJsonText(`{"a":${nested(2_000)}}`)).toThrow(SyntaxError)
    expect(() => parseJsonText('['.repeat(1_000_000))).toThrow(SyntaxError)
    expect(() => parseJsonText(`"${'\\'.repeat(100_000)}`)).toThrow(SyntaxError)
  })
})

it.each(['openai', 'anthropic', 'gemini'])(
  'a list of more parts than a call takes arguments is no fault of ours (%s)',
  async (model) => {
    answer = { stream: false, body: JSON.stringify(replies[model]!.whole) }
    const part = { type: 'text', text: 'x', cache_control: { type: 'ephemeral' } }
    const message = { role: 'user', content: Array.from({ length: 150_000 }, () => part) }
    const patient = await startGateway({ ...config(), server: { maxJsonValues: 10_000_000 } })
    const { status } = await post(patient.url + CHAT, { ...ask(model), messages: [message, message] })
    await patient.close()
    expect(status).toBe(200)
  },
)

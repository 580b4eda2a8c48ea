// Vendors that refuse `stream_options`, and clients that send them with each stream: these must not meet the vendor's 4xx for it.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { streamText } from 'ai'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ask, CHAT, chunk, usage } from './support/chatBodies.ts'
import { type Exchange, post } from './support/exchange.ts'
import { type FakeUpstream, sendJson, sendSse, sseText, startFakeUpstream } from './support/fakeUpstream.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'

let upstream: FakeUpstream
let gateway: TestGateway

/** As Mistral answers: usage with the last piece, and 422 to what it does not know. */
beforeAll(async () => {
  upstream = await startFakeUpstream((_, res, raw) => {
    const { stream, stream_options: options } = JSON.parse(raw.toString())
    if (options !== undefined)
      return sendJson(res, 422, {
        detail: [{ loc: ['body', 'stream_options'], msg: 'Extra inputs are not permitted' }],
      })
    if (!stream) return sendJson(res, 400, {})
    return sendSse(
      res,
      sseText([chunk({ role: 'assistant', content: 'hi' }), { ...chunk({ content: '' }, 'stop'), usage }]),
    )
  })
  const provider = (kind: string, more = {}) => ({
    kind,
    baseUrl: `${upstream.url}/v1`,
    apiKey: 'sk-test-01234',
    ...more,
  })
  gateway = await startGateway({
    providers: {
      mistral: provider('mistral'),
      told: provider('mistral', { streamUsage: 'ask' }),
      old: provider('azure', { apiVersion: '2024-02-01' }),
      plain: provider('openai-compatible', { streamUsage: 'never' }),
      other: provider('openai-compatible', { streamUsage: 'always' }),
    },
    directModels: true,
    prices: { '*': { input: 1, output: 5 } },
  })
})
afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})

const chat = (provider: string, stream_options: unknown, headers = {}): Promise<Exchange> =>
  post(gateway.url + CHAT, ask(`${provider}/m`, { stream: true, stream_options }), headers)

it.each([
  ['mistral', { include_usage: true }, undefined],
  ['mistral', { include_usage: false, include_obfuscation: true }, 'stream_options.include_obfuscation'],
  ['mistral', {}, undefined],
  ['mistral', null, undefined],
  ['told', { include_usage: false }, undefined],
  ['told', undefined, undefined],
  ['old', { include_usage: true }, 'stream_options.include_usage'],
  ['plain', { include_usage: true }, 'stream_options.include_usage'],
  ['plain', { include_usage: false }, undefined],
])('%s is not sent %j', async (provider, options, dropped) => {
  const { status, headers, text } = await chat(provider, options)
  expect([status, headers['x-turnout-dropped-params']]).toEqual([200, dropped])
  expect(text).toContain('"usage"')
  expect(JSON.parse(upstream.requests.at(-1)!.body.toString())).not.toHaveProperty('stream_options')
  expect(gateway.lines.at(-1)).toMatchObject({
    inputTokens: usage.prompt_tokens,
    outputTokens: usage.completion_tokens,
  })
})

it('who wants nothing left out is told so', async () => {
  const strict = { 'x-turnout-strict': 'true' }
  const { status, text } = await chat('plain', { include_usage: true }, strict)
  expect([status, JSON.parse(text).error.code]).toEqual([400, 'unsupported_parameter'])
  expect((await chat('mistral', { include_usage: true }, strict)).status).toBe(200)
})

it('others get what the client sent', async () => {
  expect((await chat('other', { include_usage: true })).status).toBe(422)
})

it('the AI SDK, which asks for usage in each stream, reads text and usage', async () => {
  const provider = createOpenAICompatible({ name: 't', baseURL: `${gateway.url}/v1`, includeUsage: true })
  const result = streamText({ model: provider('mistral/m'), prompt: 'x', maxRetries: 0 })
  expect(await result.text).toBe('hi')
  expect(await result.usage).toMatchObject({ inputTokens: usage.prompt_tokens, outputTokens: usage.completion_tokens })
})

// Models that take the cap of an answer under one of its names alone, and clients that say the other, because a route's name says nothing of the model behind it.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { ChatOpenAI } from '@langchain/openai'
import { generateText } from 'ai'
import OpenAI from 'openai'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { capNameFor } from '../src/gateway/capName.ts'
import { ask, CHAT, reply } from './support/chatBodies.ts'
import { post } from './support/exchange.ts'
import { type FakeUpstream, sendJson, startFakeUpstream } from './support/fakeUpstream.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'

let upstream: FakeUpstream
let gateway: TestGateway
let baseURL: string

const older = ['mistral', 'deepseek', 'together', 'fireworks', 'ollama'] as const

/** As OpenAI answers for GPT-5. */
beforeAll(async () => {
  upstream = await startFakeUpstream((_, res, raw) => {
    const { model, max_tokens: cap } = JSON.parse(raw.toString())
    if (model.startsWith('gpt-5') && cap > 0)
      return sendJson(res, 400, {
        error: {
          message:
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
          type: 'invalid_request_error',
          param: 'max_tokens',
          code: 'unsupported_parameter',
        },
      })
    return sendJson(res, 200, reply('hi'))
  })
  const provider = (kind: string) => ({ kind, baseUrl: `${upstream.url}/v1`, apiKey: 'sk-test-01234' })
  gateway = await startGateway({
    providers: {
      openai: provider('openai'),
      azure: provider('azure'),
      vllm: provider('vllm'),
      'openai-compatible': provider('openai-compatible'),
      mine: { ...provider('openai-compatible'), capName: 'max_tokens' },
      proxy: { ...provider('openai-compatible'), capName: 'max_completion_tokens' },
      ...Object.fromEntries(older.map((kind) => [kind, provider(kind)])),
    },
    targets: {
      capped: { provider: 'openai', model: 'gpt-5-mini', params: { max_completion_tokens: 50 } },
      'capped-older': { provider: 'mistral', model: 'mistral-small', params: { max_tokens: 50 } },
    },
    routes: { chat: 'openai/gpt-5', capped: 'capped', 'capped-older': 'capped-older', old: 'mistral/mistral-small' },
    directModels: true,
  })
  baseURL = `${gateway.url}/v1`
})
afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})

const arrived = (): string => upstream.requests.at(-1)!.body.toString()

it.each(['gpt-5', 'gpt-5.2-pro', 'o1', 'o4-mini', 'ft:o4-mini-2025-04-16:org::x', 'gpt-6'])(
  '%s is told in the name that it takes, and nothing else is touched',
  async (model) => {
    for (const provider of ['openai', 'azure']) {
      const body = `{"model":"${provider}/${model}", "max_tokens" : 1e2 ,"seed":12345678901234567890,"messages":[{"role":"user","content":"hi"}]}`
      expect((await post(gateway.url + CHAT, body)).status).toBe(200)
      expect(arrived()).toBe(
        body.replace(`${provider}/`, '').replace('"max_tokens" : 1e2', '"max_completion_tokens":1e2'),
      )
    }
  },
)

it.each([...older, 'mine'])('%s is told in the older name, the only one it takes', async (provider) => {
  const body = `{"model":"${provider}/m", "max_completion_tokens" : 1e2 ,"seed":12345678901234567890,"messages":[{"role":"user","content":"hi"}]}`
  expect((await post(gateway.url + CHAT, body)).status).toBe(200)
  expect(arrived()).toBe(body.replace(`${provider}/`, '').replace('"max_completion_tokens" : 1e2', '"max_tokens":1e2'))
})

it('a server of which the configuration says so is told in the newer name', async () => {
  expect((await post(gateway.url + CHAT, ask('proxy/any', { max_tokens: 9 }))).status).toBe(200)
  expect(JSON.parse(arrived())).toMatchObject({ max_completion_tokens: 9 })
  expect(JSON.parse(arrived())).not.toHaveProperty('max_tokens')
})

it.each([
  ['deepseek/m', { max_tokens: null, max_completion_tokens: 9 }, { max_tokens: 9 }],
  ['deepseek/m', { max_completion_tokens: 9, max_tokens: null }, { max_tokens: 9 }],
  ['openai/gpt-5', { max_tokens: 9, max_completion_tokens: null }, { max_completion_tokens: 9 }],
])('%s with %j: null in the name that it takes is no cap, and gives place', async (model, caps, told) => {
  expect((await post(gateway.url + CHAT, ask(model, caps))).status).toBe(200)
  expect(JSON.parse(arrived())).toEqual({ ...(ask('m') as object), model: model.split('/')[1], ...told })
})

it('a key of the client that is written with escapes is renamed, too', async () => {
  const body = '{"model":"deepseek/m","max_completion_tok\\u0065ns":9,"messages":[{"role":"user","content":"hi"}]}'
  expect((await post(gateway.url + CHAT, body)).status).toBe(200)
  expect(arrived()).toBe('{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}')
})

it.each([
  ['openai/gpt-4.1', { max_tokens: 9 }],
  ['openai/gpt-4.1', { max_completion_tokens: 9 }],
  ['openai-compatible/m', { max_completion_tokens: 9 }],
  ['openai-compatible/m', { max_tokens: 9 }],
  ['vllm/m', { max_completion_tokens: 9 }],
  ['mistral/m', { max_tokens: 9 }],
  ['mistral/m', { max_completion_tokens: 0 }],
  ['mistral/m', { max_tokens: 9, max_completion_tokens: 8 }],
  ['openai/gpt-35-turbo', { max_tokens: 9 }],
  ['openai/o365', { max_tokens: 9 }],
  ['vllm/gpt-5', { max_tokens: null }],
  ['vllm/o3-tuned', { max_tokens: 9 }],
  ['openai/o3', { max_tokens: 9, max_completion_tokens: 8 }],
  ['openai/gpt-5', { max_tokens: null }],
  ['openai/gpt-5', { max_tokens: 0 }],
])('%s with %j: as the client wrote it', async (model, caps) => {
  const body = ask(model, caps)
  expect((await post(gateway.url + CHAT, body)).status).toBe(200)
  expect(JSON.parse(arrived())).toEqual({ ...(body as object), model: model.split('/')[1] })
})

it.each([
  ['openai', {}, 'gpt-4.1', 'max_completion_tokens'],
  ['openai', { capName: 'max_tokens' }, 'gpt-5', 'max_tokens'],
  ['mistral', {}, 'm', 'max_tokens'],
  ['vllm', {}, 'gpt-5', 'max_tokens'],
  ['vllm', { capName: 'max_completion_tokens' }, 'm', 'max_completion_tokens'],
])('a cap that a budget sets at %s with %j for %s is its %s', (kind, settings, model, name) => {
  const provider = { kind, baseUrl: 'http://127.0.0.1:1/v1', apiKey: 'sk-test-01234', ...settings }
  const document = JSON.stringify({
    providers: { p: provider },
    targets: { t: { provider: 'p', model } },
    routes: { r: 't' },
  })
  const target = parseConfig(document, { env: {}, version: 1 }).snapshot.targets.get('t')!
  expect(capNameFor(target.provider, model)).toBe(name)
})

it("leaves the operator's own cap alone in the request", async () => {
  expect((await post(gateway.url + CHAT, ask('capped', { max_tokens: 9000 }))).status).toBe(200)
  expect(JSON.parse(arrived())).toMatchObject({ max_completion_tokens: 50 })
  expect(JSON.parse(arrived())).not.toHaveProperty('max_tokens')
})

it("leaves the operator's own cap alone under the older name, too", async () => {
  expect((await post(gateway.url + CHAT, ask('capped-older', { max_completion_tokens: 9000 }))).status).toBe(200)
  expect(JSON.parse(arrived())).toMatchObject({ max_tokens: 50 })
  expect(JSON.parse(arrived())).not.toHaveProperty('max_completion_tokens')
})

it("the official SDK's own name for a cap reaches a model that does not know it", async () => {
  const openai = new OpenAI({ baseURL, apiKey: 'any', maxRetries: 0 })
  const messages = [{ role: 'user', content: 'x' }] as const
  await openai.chat.completions.create({ model: 'old', max_completion_tokens: 60, messages: [...messages] })
  expect(JSON.parse(arrived())).toMatchObject({ model: 'mistral-small', max_tokens: 60 })
  expect(JSON.parse(arrived())).not.toHaveProperty('max_completion_tokens')
})

it('the AI SDK and LangChain set a cap on a route that leads to GPT-5', async () => {
  const provider = createOpenAICompatible({ name: 't', baseURL })
  expect((await generateText({ model: provider('chat'), prompt: 'x', maxOutputTokens: 70, maxRetries: 0 })).text).toBe(
    'hi',
  )
  expect(JSON.parse(arrived())).toMatchObject({ model: 'gpt-5', max_completion_tokens: 70 })
  const llm = new ChatOpenAI({ model: 'chat', apiKey: 'any', maxTokens: 80, maxRetries: 0, configuration: { baseURL } })
  expect((await llm.invoke('x')).content).toBe('hi')
  expect(JSON.parse(arrived())).toMatchObject({ model: 'gpt-5', max_completion_tokens: 80 })
})

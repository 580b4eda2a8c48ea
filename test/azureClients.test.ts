// Clients that speak to Azure: the deployment stands in the address, and the key in a header of its own name.
import { AzureChatOpenAI } from '@langchain/openai'
import OpenAI, { AzureOpenAI } from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ask, reply } from './support/chatBodies.ts'
import { post, send } from './support/exchange.ts'
import { type FakeUpstream, sendJson, startFakeUpstream } from './support/fakeUpstream.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'

const KEY = 'sk-test-app-key-0123456789'
const NARROW = 'sk-test-narrow-key-0123456789'
const apiVersion = '2024-10-21'

let upstream: FakeUpstream
let gateway: TestGateway

beforeAll(async () => {
  upstream = await startFakeUpstream((_, res) => sendJson(res, 200, reply('hi')))
  gateway = await startGateway({
    providers: { up: { kind: 'vllm', baseUrl: `${upstream.url}/v1` } },
    routes: {
      chat: 'up/small',
      other: 'up/other',
      cached: { targets: ['up/one'], cache: { deterministicOnly: false } },
    },
    directModels: true,
    keys: [
      { name: 'app', key: KEY, role: 'app' },
      { name: 'narrow', key: NARROW, role: 'app', models: ['other', 'up/other'] },
    ],
  })
})
afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})

const at = (deployment: string, query = `?api-version=${apiVersion}`): string =>
  `${gateway.url}/openai/deployments/${deployment}/chat/completions${query}`
const arrived = (): { model: string } => JSON.parse(upstream.requests.at(-1)!.body.toString())
const shown = { 'api-key': KEY }
const messages = [{ role: 'user' as const, content: 'x' }]

describe("Azure's clients", () => {
  it('AzureOpenAI asks a route by the name of a deployment, and lists models', async () => {
    const client = new AzureOpenAI({ endpoint: gateway.url, apiKey: KEY, apiVersion, maxRetries: 0 })
    const answer = await client.chat.completions.create({ model: 'chat', messages })
    expect(answer.choices[0]!.message.content).toBe('hi')
    expect(arrived().model).toBe('small')
    const models = await client.models.list()
    expect(models.data.map(({ id }) => id)).toContain('chat')
    expect((await client.models.retrieve('chat')).id).toBe('chat')
  })

  it('AzureOpenAI with a deployment of its own: it goes before the model of the request', async () => {
    const client = new AzureOpenAI({
      endpoint: gateway.url,
      apiKey: KEY,
      apiVersion,
      deployment: 'chat',
      maxRetries: 0,
    })
    await client.chat.completions.create({ model: 'other', messages })
    expect(arrived().model).toBe('small')
  })

  it('AzureChatOpenAI, which names no model in the body', async () => {
    const llm = new AzureChatOpenAI({
      azureOpenAIEndpoint: gateway.url,
      azureOpenAIApiKey: KEY,
      azureOpenAIApiDeploymentName: 'chat',
      azureOpenAIApiVersion: apiVersion,
      maxRetries: 0,
    })
    expect((await llm.invoke('x')).content).toBe('hi')
    expect(arrived().model).toBe('small')
  })

  it("OpenAI's class at Azure's v1 API", async () => {
    const client = new OpenAI({ baseURL: `${gateway.url}/openai/v1`, apiKey: KEY, maxRetries: 0 })
    const answer = await client.chat.completions.create({ model: 'chat', messages })
    expect(answer.choices[0]!.message.content).toBe('hi')
    expect((await client.models.list()).data.length).toBeGreaterThan(0)
    expect((await client.models.retrieve('up/any')).owned_by).toBe('up')
  })
})

describe('addresses of deployments', () => {
  it('the body keeps all its bytes but for the model', async () => {
    const rest = '"seed":12345678901234567890 ,"messages":[{"role":"user","content":"x"}]}'
    expect((await post(at('up%2Fm-1'), `{ "model":"other", ${rest}`, shown)).status).toBe(200)
    expect(upstream.requests.at(-1)!.body.toString()).toBe(`{ "model":"m-1", ${rest}`)
    expect((await post(at('up/m-1'), `{"model":"up/m-1",${rest}`, shown)).status).toBe(200)
    expect(upstream.requests.at(-1)!.body.toString()).toBe(`{"model":"m-1",${rest}`)
    expect((await post(at('up/m-1', ''), `{${rest}`, shown)).status).toBe(200)
    expect(arrived().model).toBe('m-1')
  })

  it('what the key may not use is refused by the address, whatever the body says', async () => {
    const narrow = { 'api-key': NARROW }
    expect((await post(at('chat'), ask('other'), narrow)).status).toBe(403)
    expect((await post(at('other'), ask('chat'), narrow)).status).toBe(200)
    expect(arrived().model).toBe('other')
  })

  it('two deployments with one body share no answer of the cache', async () => {
    const body = ask('cached', { temperature: 0 })
    expect((await post(at('cached'), body, shown)).headers['x-turnout-cache']).toMatch(/^miss/)
    expect((await post(at('cached'), body, shown)).headers['x-turnout-cache']).toMatch(/^hit/)
    await post(at('chat'), body, shown)
    expect(arrived().model).toBe('small')
  })

  it.each([
    ['no key', 'chat', {}, 401, 'invalid_api_key'],
    ['a wrong key', 'chat', { 'api-key': 'sk-nobody' }, 401, 'invalid_api_key'],
    ['a wrong key beside a right one', 'chat', { 'x-api-key': 'sk-nobody', ...shown }, 401, 'invalid_api_key'],
    ['a deployment that nobody has', 'nobody', shown, 404, 'model_not_found'],
    ['a broken escape', '%zz', shown, 404, 'invalid_url'],
    ['an escape that is no text', '%ff', shown, 404, 'invalid_url'],
  ])('%s', async (_, deployment, headers, status, code) => {
    const { status: answered, text } = await post(at(deployment), ask('chat'), headers)
    expect(answered).toBe(status)
    expect(JSON.parse(text).error.code).toBe(code)
  })

  it.each([
    ['{"model":"a","model":"b","messages":[]}', 'duplicate_key'],
    ['[]', 'invalid_json'],
    ['{"messages":', 'invalid_json'],
    ['', 'invalid_json'],
    ['{}', 'missing_required_parameter'],
    [`{"model":${'['.repeat(3000)}`, 'too_deep'],
  ])('a body like %.40s is refused as anywhere', async (sent, code) => {
    const answer = await post(at('chat'), sent, shown)
    const usual = await post(`${gateway.url}/v1/chat/completions`, sent.replace('{}', '{"model":"chat"}'), shown)
    expect(answer.status).toBe(400)
    if (code !== 'too_deep') expect(JSON.parse(answer.text).error.code).toBe(code)
    expect(JSON.parse(answer.text).error.code).toBe(JSON.parse(usual.text).error.code)
  })

  it.each([
    `{,"messages":[{"role":"user","content":"x"}]}`,
    `{"model":,"messages":[{"role":"user","content":"x"}]}`,
    `{"model":nope,"messages":[{"role":"user","content":"x"}]}`,
    `{"model":"a" "messages":[{"role":"user","content":"x"}]}`,
  ])('what is no JSON but for the model is none: %s', async (sent) => {
    const { status, text } = await post(at('chat'), sent, shown)
    expect(status).toBe(400)
    expect(text).toBe((await post(`${gateway.url}/v1/chat/completions`, sent, shown)).text)
  })

  it.each(['5', 'null', '["a",{"b":"}"}]', '"\\ud83d"'])('a model %s in the body gives place', async (said) => {
    const body = `{"model":${said},"messages":[{"role":"user","content":"x"}]}`
    expect((await post(at('chat'), body, shown)).status).toBe(200)
    expect(arrived().model).toBe('small')
  })

  it.each(['/openai/deployments/chat/embeddings', '/openai/deployments//chat/completions', '/openai/deployments/chat'])(
    '%s is nothing that Turnout has',
    async (path) => {
      const { status, text } = await post(gateway.url + path, ask('chat'), shown)
      expect(status).toBe(404)
      expect(JSON.parse(text).error.code).toBe('invalid_url')
    },
  )

  it('takes POST alone', async () => {
    const { status, headers } = await send('GET', at('chat'), undefined, shown).done
    expect(status).toBe(405)
    expect(headers.allow).toBe('POST')
  })

  it('never sends the key on', () => {
    for (const { headers, body } of upstream.requests) expect(JSON.stringify(headers) + body).not.toContain(KEY)
  })
})

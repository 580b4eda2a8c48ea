// Apps that still send the deprecated `functions`, through the official client to every vendor: one call a turn, whole or streamed.
import OpenAI from 'openai'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Simulator, startSimulator } from '../src/simulator/index.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { bodiesOf, expectVendorBodies, vendorsAt } from './support/hubVendors.ts'

const key = 'tk-test-functions-0123456789'
const models = ['anthropic/claude-sonnet-4-5', 'gemini/gemini-3-pro-preview', 'gemini/gemini-2.5-flash']
const functions = [
  {
    name: 'get_weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
]

let simulator: Simulator
let gateway: TestGateway
let client: OpenAI

beforeAll(async () => {
  // Two cities are cause for two calls at once.
  const scripts = Object.fromEntries(models.map((name) => [name.split('/')[1]!, { toolCalls: 'auto' as const }]))
  simulator = await startSimulator({ keepBodies: true, scripts })
  gateway = await startGateway(
    { providers: vendorsAt(simulator.url), directModels: true },
    { env: { TURNOUT_MASTER_KEY: key } },
  )
  client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: key, maxRetries: 0 })
})
afterAll(async () => {
  await gateway?.close()
  await simulator?.close()
})
beforeEach(() => simulator.reset())

type Messages = OpenAI.ChatCompletionMessageParam[]

const answers = {
  whole: async (model: string, messages: Messages) =>
    (await client.chat.completions.create({ model, messages, functions })).choices[0]!,
  streamed: async (model: string, messages: Messages) =>
    (await client.chat.completions.stream({ model, messages, functions }).finalChatCompletion()).choices[0]!,
}

describe.each(models)('%s', (model) => {
  it.each(Object.entries(answers))('%s: the first of two calls, and then the answer', async (_way, ask) => {
    const messages: Messages = [{ role: 'user', content: 'Weather in Paris and in Tokyo?' }]
    const { message, finish_reason } = await ask(model, messages)
    expect(finish_reason).toBe('function_call')
    expect(message.function_call).toEqual({ name: 'get_weather', arguments: '{"city":"Paris"}' })
    expect(message.tool_calls).toBeUndefined()
    messages.push(message, { role: 'function', name: 'get_weather', content: 'light rain' })
    const last = await ask(model, messages)
    expect(last.finish_reason).toBe('stop')
    expect(last.message.content).toContain('get_weather: light rain')
    expectVendorBodies(simulator.calls)
    expect(simulator.calls.map(({ status }) => status)).toEqual([200, 200])
  })
})

it.each(models)('beside tools they are refused by name: %s', async (model) => {
  const tools = [{ type: 'function' as const, function: { name: 'f' } }]
  const messages: Messages = [{ role: 'user', content: 'x' }]
  const asked = client.chat.completions.create({ model, messages, functions, tools })
  await expect(asked).rejects.toMatchObject({ status: 400, param: 'functions', code: 'invalid_value' })
  expect(simulator.calls).toEqual([])
})

it('Claude is told to make one call, in its own words', async () => {
  const [model] = models as [string]
  await answers.whole(model, [{ role: 'user', content: 'Weather in Paris and in Tokyo?' }])
  expect(bodiesOf(simulator.calls)[0].tool_choice).toEqual({ type: 'auto', disable_parallel_tool_use: true })
})

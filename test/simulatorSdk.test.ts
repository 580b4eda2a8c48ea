// The simulator under the official SDK, and against the published schemas.
import type { ValidateFunction } from 'ajv/dist/2020.js'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { builtins, type Script, type Simulator, startSimulator } from '../src/simulator/index.ts'
import { eventsOf, get, post } from './support/exchange.ts'
import { complaints, loadDefinition, openAiValidators, validatorOf } from './support/openaiSchema.ts'
import { hasShared, needsShared } from './support/shared.ts'

let simulator: Simulator
let client: OpenAI
beforeAll(async () => {
  simulator = await startSimulator({ requireKey: 'sk-test-sdk' })
  client = new OpenAI({ baseURL: simulator.baseUrl, apiKey: 'sk-test-sdk', maxRetries: 0 })
})
afterAll(() => simulator.close())

const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Weather in Paris and Tokyo?' }]
const tools: OpenAI.ChatCompletionTool[] = [
  {
    type: 'function',
    function: {
      name: 'get_weather',
      parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
    },
  },
]

describe('the official SDK', () => {
  it('reads text and a stream of the same text', async () => {
    const whole = await client.chat.completions.create({ model: 'sim-fast', messages })
    const stream = await client.chat.completions.create({
      model: 'sim-fast',
      messages,
      stream: true,
      stream_options: { include_usage: true },
    })
    let text = ''
    let usage: OpenAI.CompletionUsage | null | undefined
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? ''
      usage = chunk.usage
    }
    expect(text).toBe(whole.choices[0]?.message.content)
    expect(usage).toEqual(whole.usage)
  })

  it('runs a two-step tool loop with two parallel calls', async () => {
    const asked: string[] = []
    const runner = client.chat.completions.runTools({
      model: 'sim-tools',
      messages,
      tools: [
        {
          type: 'function',
          function: {
            name: 'get_weather',
            description: 'the weather of a city',
            parameters: tools[0]?.type === 'function' ? (tools[0].function.parameters as object) : {},
            parse: JSON.parse,
            function: ({ city }: { city: string }) => {
              asked.push(city)
              return `sunny in ${city}`
            },
          },
        },
      ],
    })
    const text = await runner.finalContent()
    expect(asked).toEqual(['Paris', 'Tokyo'])
    expect(text).toContain('sunny in Paris')
    expect(text).toContain('sunny in Tokyo')
  })

  it('rebuilds streamed tool calls', async () => {
    const final = await client.chat.completions.stream({ model: 'sim-tools', messages, tools }).finalChatCompletion()
    const calls = final.choices[0]?.message.tool_calls?.map(
      (call) => call.type === 'function' && JSON.parse(call.function.arguments),
    )
    expect(calls).toEqual([{ city: 'Paris' }, { city: 'Tokyo' }])
  })

  it('sees errors as its own', async () => {
    await expect(client.chat.completions.create({ model: 'sim-error-429', messages })).rejects.toBeInstanceOf(
      OpenAI.RateLimitError,
    )
    await expect(client.chat.completions.create({ model: 'sim-error-404', messages })).rejects.toBeInstanceOf(
      OpenAI.NotFoundError,
    )
    const stranger = client.withOptions({ apiKey: 'sk-test-other' })
    await expect(stranger.chat.completions.create({ model: 'sim-fast', messages })).rejects.toBeInstanceOf(
      OpenAI.AuthenticationError,
    )
    const stream = await client.chat.completions.create({ model: 'sim-mid-stream-error', messages, stream: true })
    await expect(
      (async () => {
        for await (const _ of stream);
      })(),
    ).rejects.toThrow(/overloaded/)
  })

  it('lists models', async () => {
    const ids: string[] = []
    for await (const model of client.models.list()) ids.push(model.id)
    expect(ids).toEqual(Object.keys(builtins))
  })
})

describe.skipIf(!hasShared)(`OpenAI’s published schema${needsShared}`, () => {
  let whole: ValidateFunction
  let chunk: ValidateFunction
  let error: ValidateFunction
  let list: ValidateFunction
  beforeAll(() => {
    ;({ reply: whole, chunk, error } = openAiValidators())
    list = validatorOf(loadDefinition('openai.openapi.json'), 'ListModelsResponse')
  })

  const key = { authorization: 'Bearer sk-test-sdk' }
  const ask = (body: unknown, script: Script) =>
    post(`${simulator.baseUrl}/chat/completions`, body, { ...key, 'x-sim-script': JSON.stringify(script) })
  const check = (validate: ValidateFunction, value: unknown) => {
    expect(validate(value), `${complaints(validate)} in ${JSON.stringify(value)}`).toBe(true)
  }

  const scripts: [string, Script, Record<string, unknown>][] = [
    ['text', {}, {}],
    ['n, logprobs', {}, { n: 2, logprobs: true }],
    ['length', {}, { max_tokens: 2 }],
    ['no text', { text: '' }, {}],
    ['tools in pieces', { toolCalls: 'auto' }, { tools }],
    ['tools whole, with text', { toolCalls: 'auto', fragmented: false, text: 'Let me look.' }, { tools }],
    ['reasoning', { reasoningTokens: 5 }, {}],
    ['cache', { cachedTokens: 99, usage: { cacheWriteTokens: 3 } }, {}],
    ['JSON', { json: true }, {}],
    ['Azure', { emptyChoicesFirst: true, usageMode: 'always' }, {}],
    ['usage on choices', { usageMode: 'always', usageOnChoices: true }, {}],
    ['role on the first delta', { roleChunk: false }, {}],
    ['role nowhere', { roleChunk: 'absent' }, {}],
    ['an empty success', { fault: { kind: 'emptySuccess' } }, {}],
  ]

  it.each(scripts)('%s: whole reply and every chunk', async (_, script, more) => {
    check(whole, JSON.parse((await ask({ model: 'm', messages, ...more }, script)).text))
    for (const stream_options of [undefined, { include_usage: true }]) {
      const reply = await ask({ model: 'm', messages, stream: true, stream_options, ...more }, script)
      const events = eventsOf(reply.text)
      expect(events.length).toBeGreaterThan(1)
      for (const event of events) check(chunk, event)
    }
  })

  it('every error body, in and out of a stream', async () => {
    for (let status = 400; status < 600; status += 1) {
      const reply = await ask({ model: 'm', messages }, { fault: { kind: 'status', status } })
      check(error, JSON.parse(reply.text))
    }
    const streamed = await ask({ model: 'm', messages, stream: true }, { fault: { kind: 'firstEventError' } })
    check(error, eventsOf(streamed.text)[0])
    check(error, JSON.parse((await ask({ model: 'm' }, {})).text))
    check(error, JSON.parse((await get(`${simulator.baseUrl}/models`)).text))
  })

  it('the list of models', async () => {
    check(list, JSON.parse((await get(`${simulator.baseUrl}/models`, key)).text))
  })

  it('is a judge that can say no', () => {
    expect(whole({ id: 'x' })).toBe(false)
    expect(chunk({ id: 'x', choices: [{ delta: {} }] })).toBe(false)
    expect(error({ error: { message: 'x', type: 'y', param: null, code: 4 } })).toBe(false)
  })
})

// The simulated Anthropic: its replies by the published schema, its tool loops and thoughts, and its errors in Anthropic's shape.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Script, type Simulator, startSimulator } from '../src/simulator/index.ts'
import { eventsOf as dataEventsOf, type Exchange, get, post } from './support/exchange.ts'
import { complaints } from './support/openaiSchema.ts'
import { hasShared, needsShared } from './support/shared.ts'
import { replyValidators } from './support/vendorReplies.ts'

type Json = Record<string, unknown>

let simulator: Simulator
beforeAll(async () => {
  simulator = await startSimulator({ seed: 7 })
})
afterAll(() => simulator.close())

const user = { role: 'user', content: 'How far is Paris?' }
const base = { model: 'claude-test', max_tokens: 4096, messages: [user] }
const tool = { name: 'f', input_schema: { type: 'object', properties: { city: { type: 'string' } } } }
const thinking = { type: 'adaptive', display: 'summarized' }
const version = { 'anthropic-version': '2023-06-01' }

const ask = (body: unknown, script: Script = {}, headers: Record<string, string> = version): Promise<Exchange> =>
  post(`${simulator.baseUrl}/messages`, body, { ...headers, 'x-sim-script': JSON.stringify(script) })
/** The JSON of each event; their names stand apart. */
const eventsOf = (text: string) => dataEventsOf(text.replace(/^event: .*\n/gm, ''))
const whole = async (body: Json, script?: Script) => JSON.parse((await ask({ ...base, ...body }, script)).text)
const streamed = async (body: Json, script?: Script) =>
  eventsOf((await ask({ ...base, stream: true, ...body }, script)).text)

/** Puts a stream together as Anthropic's SDK does. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into wire objects freely
function gather(events: any[]): any {
  const { message } = events[0]
  const inputs: string[] = []
  for (const event of events) {
    const block = message.content[event.index]
    if (event.type === 'content_block_start') {
      expect(event.index).toBe(message.content.length)
      message.content.push({ ...event.content_block })
    }
    if (event.type === 'content_block_delta') {
      const { type, ...grown } = event.delta
      if (type === 'input_json_delta') inputs[event.index] = (inputs[event.index] ?? '') + grown.partial_json
      else for (const [name, text] of Object.entries(grown)) block[name] += text
    }
    if (event.type === 'content_block_stop' && inputs[event.index]) block.input = JSON.parse(inputs[event.index]!)
    if (event.type === 'message_delta') {
      Object.assign(message, event.delta)
      Object.assign(message.usage, event.usage)
    }
  }
  return message
}

const shapes: [string, Json, Script][] = [
  ['text', {}, {}],
  ['thoughts', { thinking }, { reasoningTokens: 6 }],
  ['thoughts without their text', { thinking: { type: 'adaptive', display: 'omitted' } }, { reasoningTokens: 6 }],
  ['hidden thoughts first', { thinking }, { reasoningTokens: 6, redactedThinking: true }],
  ['calls in pieces', { tools: [tool] }, { toolCalls: 'auto' }],
  ['calls whole', { tools: [tool] }, { toolCalls: 'auto', fragmented: false }],
  ['thoughts and calls', { thinking, tools: [tool] }, { toolCalls: 'auto', reasoningTokens: 5 }],
  ['a cap', { max_tokens: 5 }, {}],
  ['a stop sequence', { stop_sequences: ['Paris'] }, {}],
  ['a refusal', {}, { finishReason: 'content_filter', text: '' }],
  [
    'a JSON schema',
    {
      output_config: {
        format: {
          type: 'json_schema',
          schema: { type: 'object', additionalProperties: false, properties: { a: { type: 'number' } } },
        },
      },
    },
    {},
  ],
  [
    'cached tokens',
    {},
    { usage: { promptTokens: 1000, cachedTokens: 300, cacheWriteTokens: 200, cacheWrite1hTokens: 50 } },
  ],
]

describe.runIf(hasShared)(`by the published schema${needsShared}`, () => {
  it.each(shapes)('%s, whole and streamed alike', async (_, body, script) => {
    const { message, event } = replyValidators()
    const one = await whole(body, script)
    expect(message(one), complaints(message)).toBe(true)
    const events = await streamed(body, script)
    // The file has no pings, which the API sends.
    for (const item of events.filter(({ type }) => type !== 'ping')) expect(event(item), complaints(event)).toBe(true)
    // Ids come from the bytes of the request.
    const same = (value: Json) => JSON.parse(JSON.stringify({ ...value, id: '' }).replace(/toolu_\w+/g, 'toolu'))
    expect(same(gather(events))).toEqual(same(one))
  })
})

describe('a stream', () => {
  it('names its events, pings, and counts the prompt first and the output last', async () => {
    const { text, headers } = await ask({ ...base, stream: true })
    expect(headers['content-type']).toMatch(/^text\/event-stream/)
    const names = [...text.matchAll(/^event: (\w+)$/gm)].map(([, name]) => name)
    const events = eventsOf(text)
    expect(events.map(({ type }) => type)).toEqual(names)
    expect(names.slice(0, 3)).toEqual(['message_start', 'ping', 'content_block_start'])
    expect(names.slice(-3)).toEqual(['content_block_stop', 'message_delta', 'message_stop'])
    const { message } = events[0]
    expect(message.usage).toMatchObject({ input_tokens: expect.any(Number), output_tokens: 1 })
    const { usage } = events.at(-2)
    expect(usage.output_tokens).toBe(simulator.calls.at(-1)?.completionTokens)
    expect(usage.input_tokens).toBe(simulator.calls.at(-1)?.promptTokens)
  })

  it('ends with an error event instead', async () => {
    const { text } = await ask({ ...base, stream: true }, { fault: { kind: 'midStreamError', status: 529 } })
    expect(text).toMatch(
      /event: error\ndata: \{"type":"error","error":\{"type":"overloaded_error","message":"Overloaded"\}/,
    )
    expect(text).not.toContain('message_stop')
  })
})

describe('tool loops', () => {
  it('answers from the results, in the order of the calls', async () => {
    const first = await whole({ tools: [tool] }, { toolCalls: [{ name: 'f', arguments: { a: 1 } }, { name: 'g' }] })
    expect(first.stop_reason).toBe('tool_use')
    expect(first.content).toMatchObject([
      { type: 'tool_use', name: 'f', input: { a: 1 } },
      { type: 'tool_use', name: 'g', input: {} },
    ])
    const [f, g] = first.content.map(({ id }: { id: string }) => id)
    const content = [
      { type: 'tool_result', tool_use_id: g, content: 'two' },
      { type: 'tool_result', tool_use_id: f, content: [{ type: 'text', text: 'one' }] },
    ]
    const messages = [
      user,
      { role: 'assistant', content: first.content.map(({ caller: _, ...block }: Json) => block) },
      { role: 'user', content },
    ]
    const second = await whole({ tools: [tool], messages })
    expect(second.content[0].text).toMatch(/^The tools say — f: one; g: two\. /)
  })

  it('makes what tool_choice says', async () => {
    const tools = [tool, { ...tool, name: 'g' }]
    const named = await whole({ tools, tool_choice: { type: 'tool', name: 'g' } })
    expect(named.content.map(({ name }: Json) => name)).toEqual(['g'])
    const single = await whole({ tools, tool_choice: { type: 'any', disable_parallel_tool_use: true } })
    expect(single.content).toHaveLength(1)
    expect((await whole({ tools, tool_choice: { type: 'none' } }, { toolCalls: 'auto' })).content[0].type).toBe('text')
  })
})

const thought = async (): Promise<Json> => (await whole({ thinking }, { reasoningTokens: 4 })).content[0]
const call = { type: 'tool_use', id: 't1', name: 'f', input: {} }
const result = { type: 'tool_result', tool_use_id: 't1', content: 'x' }
const loop = (...assistant: unknown[]) => [
  user,
  { role: 'assistant', content: assistant },
  { role: 'user', content: [result] },
]
const budget = { type: 'enabled', budget_tokens: 1024 }

describe('thoughts that come back', () => {
  it('are taken as they were given, and not otherwise', async () => {
    const given = await thought()
    const tools = [tool]
    expect((await ask({ ...base, thinking: budget, tools, messages: loop(given, call) })).status).toBe(200)
    for (const wrong of [
      { ...given, thinking: 'else' },
      { ...given, signature: 'AAAA' },
    ]) {
      const { status, text } = await ask({ ...base, tools, messages: loop(wrong, call) })
      expect(status).toBe(400)
      expect(text).toContain('messages.1.content.0: Invalid `signature` in `thinking` block')
    }
  })

  it('are demanded once for all steps of a turn', async () => {
    const given = await thought()
    const again = { ...call, id: 't2' }
    const step = [
      { role: 'assistant', content: [again] },
      { role: 'user', content: [{ ...result, tool_use_id: 't2' }] },
    ]
    const body = { ...base, tools: [tool], thinking: budget }
    expect((await ask({ ...body, messages: [...loop(given, call), ...step] })).status).toBe(200)
    expect((await ask({ ...body, messages: [...loop(call), ...step] })).text).toContain('but found `tool_use`')
    const other = [...loop(given, call), { role: 'assistant', content: 'Done.' }, user, ...step]
    expect((await ask({ ...body, messages: other })).text).toContain('but found `tool_use`')
  })

  it('are demanded of an answer that the client has begun, if thinking is by budget', async () => {
    const messages = [user, { role: 'assistant', content: 'The answer is' }]
    expect((await ask({ ...base, messages, thinking: budget })).text).toContain('but found `text`')
    expect((await ask({ ...base, messages })).status).toBe(200)
  })

  it('are demanded in a tool loop that thinks by budget', async () => {
    const body = { ...base, tools: [tool], messages: loop(call) }
    expect((await ask({ ...body, thinking: budget })).text).toContain('Expected `thinking` or `redacted_thinking`')
    expect((await ask({ ...body, thinking })).status).toBe(200)
    expect(
      (
        await ask({
          ...body,
          thinking: budget,
          messages: [...loop(call), { role: 'assistant', content: 'Done.' }, user],
        })
      ).status,
    ).toBe(200)
  })
})

describe('errors', () => {
  const cases: [string, number, string, RegExp][] = [
    ['sim-error-401', 401, 'authentication_error', /x-api-key/],
    ['sim-error-403', 403, 'permission_error', /./],
    ['sim-error-404', 404, 'not_found_error', /./],
    ['sim-error-413', 413, 'request_too_large', /./],
    ['sim-error-429', 429, 'rate_limit_error', /./],
    ['sim-error-500', 500, 'api_error', /./],
    ['sim-error-529', 529, 'overloaded_error', /^Overloaded$/],
    ['sim-error-context', 400, 'invalid_request_error', /prompt is too long/],
    ['sim-error-policy', 400, 'invalid_request_error', /content filtering policy/],
    ['sim-error-credit', 400, 'invalid_request_error', /credit balance is too low/],
  ]
  it.each(cases)('%s', async (model, status, type, says) => {
    const reply = await ask({ ...base, model })
    expect([reply.status, JSON.parse(reply.text).error]).toMatchObject([
      status,
      { type, message: expect.stringMatching(says) },
    ])
  })
})

describe('keys and models', () => {
  it('takes its key as x-api-key or as a bearer, and says whose fault it is', async () => {
    const locked = await startSimulator({ requireKey: 'right' })
    try {
      const url = `${locked.baseUrl}/messages`
      expect((await post(url, base, { ...version, 'x-api-key': 'right' })).status).toBe(200)
      expect((await post(url, base, { ...version, authorization: 'Bearer right' })).status).toBe(200)
      const { status, text } = await post(url, base, { ...version, 'x-api-key': 'wrong' })
      expect([status, JSON.parse(text).error.type]).toEqual([401, 'authentication_error'])
    } finally {
      await locked.close()
    }
  })

  it('lists its models to those who name a version', async () => {
    const list = JSON.parse((await get(`${simulator.baseUrl}/models`, version)).text)
    expect(list.data[0]).toEqual({
      type: 'model',
      id: 'sim-fast',
      display_name: 'sim-fast',
      created_at: expect.any(String),
    })
    expect(list).toMatchObject({ has_more: false, first_id: 'sim-fast' })
    expect(JSON.parse((await get(`${simulator.baseUrl}/models`)).text)).toMatchObject({ object: 'list' })
    expect((await get(`${simulator.baseUrl}/models/sim-fast`, version)).status).toBe(200)
    const unknown = await get(`${simulator.baseUrl}/models/nothing`, version)
    expect([unknown.status, JSON.parse(unknown.text).error.type]).toEqual([404, 'not_found_error'])
  })
})

// Cases C2, C6 and C13 to C17 through the whole gateway to Anthropic and Gemini: what the vendor was sent, or why nothing was.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/index.ts'
import { ask, CHAT } from '../support/chatBodies.ts'
import { chat } from '../support/chatClient.ts'
import { post } from '../support/exchange.ts'
import { startGateway, type TestGateway, upstreamAt } from '../support/gateway.ts'
import { bodiesOf, expectVendorBodies, vendorsAt } from '../support/hubVendors.ts'

type Json = Record<string, unknown>

const vendors = ['anthropic', 'gemini'] as const
const once = { attempts: 1 }

let simulator: Simulator
let gateway: TestGateway
beforeAll(async () => {
  simulator = await startSimulator({ keepBodies: true })
  gateway = await startGateway({
    providers: { openai: upstreamAt(simulator.url), ...vendorsAt(simulator.url) },
    routes: {
      ...Object.fromEntries(
        vendors.map((vendor) => [`unchecked-${vendor}`, { targets: [`${vendor}/m`], toolArguments: 'pass' }]),
      ),
      heard: ['anthropic/claude-opus-5', 'gemini/gemini-2.5-flash'],
      chain: { targets: ['gemini/sim-error-503', 'anthropic/sim-error-529', 'openai/gpt-x'], retries: once },
      'chain-back': {
        targets: ['openai/sim-error-500', 'gemini/sim-error-500', 'anthropic/claude-sonnet-4-5'],
        retries: once,
      },
    },
    directModels: true,
  })
})
afterAll(async () => {
  await gateway?.close()
  await simulator?.close()
})
beforeEach(() => simulator.reset())

const user = { role: 'user', content: 'Hello' }
const call = (id: string, name: string, text: string) => ({ id, type: 'function', function: { name, arguments: text } })
const tool = (name: string, more: Json = {}) => ({ type: 'function', function: { name, ...more } })
const say = (model: string, more: Json = {}) => chat(gateway.url, ask(model, more))
/** The only body that a vendor was sent, which keeps its schema. */
const sent = () => {
  expectVendorBodies(simulator.calls)
  expect(simulator.calls).toHaveLength(1)
  return bodiesOf(simulator.calls)[0]
}

describe.each(vendors)('%s', (vendor) => {
  describe('C2 malformed tool arguments in the history', () => {
    const messages = [
      user,
      { role: 'assistant', content: null, tool_calls: [call('a', 'f', '{}'), call('b', 'f', '{"secret":')] },
      { role: 'tool', tool_call_id: 'a', content: '1' },
      { role: 'tool', tool_call_id: 'b', content: '2' },
    ]

    it.each([`${vendor}/m`, `unchecked-${vendor}`])(
      '%s: a 400 that names the call, and nothing goes upstream',
      async (model) => {
        const { status, error } = await say(model, { messages, tools: [tool('f')] })
        expect(status).toBe(400)
        expect(error).toMatchObject({
          type: 'invalid_request_error',
          code: 'invalid_tool_arguments',
          param: 'messages[1].tool_calls[1].function.arguments',
        })
        expect(JSON.stringify(error)).not.toContain('secret')
        expect(simulator.calls).toHaveLength(0)
      },
    )
  })

  describe('C6 content that nobody knows', () => {
    it('is a 400 that names it', async () => {
      const messages = [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'Hi' },
            { type: 'hologram', hologram: {} },
          ],
        },
      ]
      const { status, error } = await say(`${vendor}/m`, { messages })
      expect([status, error?.code, error?.param]).toEqual([400, 'unsupported_content', 'messages[0].content[1].type'])
      expect(error?.message).toContain("'hologram'")
      expect(simulator.calls).toHaveLength(0)
    })

    it('results stay one to one with calls, in whatever order they come', async () => {
      const messages = [
        user,
        { role: 'assistant', content: 'Both.', tool_calls: [call('a.1', 'f', '{"n":1}'), call('b:2', 'g', '{}')] },
        { role: 'tool', tool_call_id: 'b:2', content: 'of g' },
        {
          role: 'tool',
          tool_call_id: 'a.1',
          content: [
            { type: 'text', text: 'of ' },
            { type: 'text', text: 'f' },
          ],
        },
      ]
      const { message } = await say(`${vendor}/m`, { messages, tools: [tool('f'), tool('g')] })
      expect(message.content).toMatch(/^The tools say — f: of f; g: of g\. /)
      expect(simulator.calls[0]).toMatchObject({ status: 200 })
    })

    it('a picture whose data URL says another type, which OpenAI does not look at', async () => {
      const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
      const picture = { type: 'image_url', image_url: { url: `data:image/jpeg;base64,${png}` } }
      const { message } = await say(`${vendor}/m`, { messages: [{ role: 'user', content: [picture] }] })
      expect(message.content).toMatch(/^I received 1 image\. /)
      expect(JSON.stringify(sent())).toContain('"image/png"')
    })

    it('calls of two turns that share an id, as servers write that count anew in each', async () => {
      const turn = (name: string, content: string) => [
        { role: 'assistant', content: null, tool_calls: [call('call_0', name, '{}')] },
        { role: 'tool', tool_call_id: 'call_0', content },
      ]
      const { message } = await say(`${vendor}/m`, {
        messages: [user, ...turn('f', 'of f'), ...turn('g', 'of g')],
        tools: [tool('f'), tool('g')],
      })
      expect(message.content).toMatch(/^The tools say — f: of f; g: of g\. /)
      sent()
    })

    it.each(['', 'call_1'])(
      'calls of one turn that share the id "%s" have their answers in their order',
      async (id) => {
        const messages = [
          user,
          { role: 'assistant', content: null, tool_calls: [call(id, 'f', '{}'), call(id, 'g', '{}')] },
          { role: 'tool', tool_call_id: id, content: 'of f' },
          { role: 'tool', tool_call_id: id, content: 'of g' },
        ]
        const { message } = await say(`${vendor}/m`, { messages, tools: [tool('f'), tool('g')] })
        expect(message.content).toMatch(/^The tools say — f: of f; g: of g\. /)
        sent()
      },
    )

    it('a result may repeat the name of its function, also where nothing may be lost', async () => {
      const said = (name: string) => ({
        messages: [
          user,
          { role: 'assistant', content: null, tool_calls: [call('a', 'f', '{}')] },
          { role: 'tool', tool_call_id: 'a', name, content: 'of f' },
        ],
        tools: [tool('f')],
      })
      const strict = { 'x-turnout-strict': 'true' }
      const model = vendor === 'gemini' ? 'gemini/gemini-2.5-flash' : 'anthropic/m'
      const { status } = await post(gateway.url + CHAT, ask(model, said('f')), strict)
      expect(status).toBe(200)
      const other = await post(gateway.url + CHAT, ask(model, said('g')), strict)
      expect([other.status, JSON.parse(other.text).error.param]).toEqual([400, 'messages.name'])
    })

    it('an answer to no call is refused by name', async () => {
      const { status, error } = await say(`${vendor}/m`, {
        messages: [user, { role: 'tool', tool_call_id: 'x', content: '1' }],
      })
      expect([status, error?.param]).toEqual([400, 'messages[1].tool_call_id'])
    })
  })

  describe('C15 nothing of the messages is lost', () => {
    const messages = [
      { role: 'system', content: 'First.' },
      {
        role: 'developer',
        content: [
          { type: 'text', text: 'Second.' },
          { type: 'text', text: 'Third.' },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'One' },
          { type: 'text', text: 'Two' },
        ],
      },
      { role: 'assistant', content: 'I look.', tool_calls: [call('a', 'f', '{"n":1}'), call('b', 'g', '{"n":2}')] },
      { role: 'tool', tool_call_id: 'a', content: 'of f' },
      { role: 'tool', tool_call_id: 'b', content: 'of g' },
      { role: 'system', content: 'Fourth.' },
    ]

    it('every system text, text beside calls, the name of each result', async () => {
      await say(`${vendor}/m`, { messages, tools: [tool('f'), tool('g')] })
      const body = sent()
      const text = JSON.stringify(body)
      for (const said of ['First.', 'Second.', 'Third.', 'Fourth.', 'One', 'Two', 'I look.'])
        expect(text).toContain(said)
      if (vendor === 'anthropic') {
        expect(body.system.map((block: Json) => block.text)).toEqual(['First.', 'Second.', 'Third.', 'Fourth.'])
        expect(body.messages[1].content.map((block: Json) => block.text ?? [block.name, block.id])).toEqual([
          'I look.',
          ['f', 'a'],
          ['g', 'b'],
        ])
        expect(body.messages[2].content.map((block: Json) => block.tool_use_id)).toEqual(['a', 'b'])
      } else {
        expect(body.systemInstruction.parts.map((part: Json) => part.text)).toEqual([
          'First.',
          'Second.',
          'Third.',
          'Fourth.',
        ])
        const parts = body.contents[1].parts as { text?: string; functionCall?: Json }[]
        expect(parts.map((part) => part.text ?? part.functionCall?.name)).toEqual(['I look.', 'f', 'g'])
        const answers = body.contents[2].parts as { functionResponse: Json }[]
        expect(answers.map(({ functionResponse: { name, response } }) => [name, response])).toEqual([
          ['f', { output: 'of f' }],
          ['g', { output: 'of g' }],
        ])
      }
    })
  })
})

describe('C6 what one vendor cannot take', () => {
  const messages = [
    {
      role: 'user',
      content: [
        { type: 'text', text: 'Listen' },
        { type: 'input_audio', input_audio: { data: 'UklGRg==', format: 'wav' } },
      ],
    },
  ]

  it('is a 400 that names it, where it is the only one', async () => {
    const { status, error } = await say('anthropic/claude-opus-5', { messages })
    expect([status, error?.code, error?.param]).toEqual([400, 'unsupported_content', 'messages[0].content[1]'])
    expect(error?.message).toContain('audio')
  })

  it('goes to the next one that can', async () => {
    const { status, headers, message } = await say('heard', { messages })
    expect([status, headers['x-turnout-target']]).toEqual([200, 'gemini/gemini-2.5-flash'])
    expect(message.content).toMatch(/^I received 1 recording\./)
  })
})

describe('C13 headers', () => {
  const headers = {
    'anthropic-beta': 'context-1m-2025-08-07',
    'anthropic-version': '2026-10-21',
    'openai-beta': 'x',
    'openai-organization': 'org-x',
    'x-goog-user-project': 'x',
    'x-goog-api-key': 'client',
    'x-api-key': 'client',
    'x-client': 'x',
    cookie: 'a=b',
  }

  it.each([
    ['anthropic/m', { 'anthropic-beta': 'context-1m-2025-08-07', 'anthropic-version': '2023-06-01' }, 'x-api-key'],
    ['gemini/m', {}, 'x-goog-api-key'],
  ])('%s gets its own alone', async (model, expected, keyHeader) => {
    expect((await post(gateway.url + CHAT, ask(model), headers)).status).toBe(200)
    const [received] = simulator.calls
    const foreign = Object.fromEntries(
      Object.keys(headers).flatMap((name) =>
        received!.headers[name] === undefined ? [] : [[name, received!.headers[name]]],
      ),
    )
    expect(foreign).toEqual(expected)
    expect(received!.headerNames).toContain(keyHeader)
    for (const name of ['authorization', 'x-api-key', 'x-goog-api-key', 'cookie', 'x-client']) {
      expect(received!.headerNames.includes(name), name).toBe(name === keyHeader)
    }
  })

  it('the key that a vendor gets is ours and not the client’s', async () => {
    const locked = await startSimulator({ requireKey: 'sk-test-vendor-0123456789' })
    const own = await startGateway({
      providers: vendorsAt(locked.url, { apiKey: 'sk-test-vendor-0123456789' }),
      directModels: true,
    })
    try {
      for (const vendor of vendors)
        expect((await post(own.url + CHAT, ask(`${vendor}/m`), headers)).status, vendor).toBe(200)
    } finally {
      await own.close()
      await locked.close()
    }
  })
})

describe('C14 schemas', () => {
  const parameters = {
    type: 'object',
    properties: {
      where: { $ref: '#/$defs/place' },
      unit: { type: ['string', 'null'], enum: ['C', 'F', null] },
      kind: { const: 'now' },
      tree: { $ref: '#/$defs/tree' },
    },
    required: ['where', 'unit'],
    additionalProperties: false,
    $defs: {
      place: {
        type: 'object',
        properties: { city: { type: 'string', minLength: 1 } },
        required: ['city'],
        additionalProperties: false,
      },
      tree: {
        type: 'object',
        properties: { leaf: { type: 'string' }, more: { type: 'array', items: { $ref: '#/$defs/tree' } } },
      },
    },
  }
  const tools = [tool('weather', { strict: true, parameters })]
  const result = JSON.stringify({ $ref: '#/x', additionalProperties: false, type: ['a', null] })
  const messages = [
    user,
    { role: 'assistant', content: null, tool_calls: [call('a', 'weather', '{"$ref":"#/y"}')] },
    { role: 'tool', tool_call_id: 'a', content: result },
  ]

  it('cleaned for Gemini in declarations only: results and arguments are data', async () => {
    const { dropped } = await say('gemini/gemini-2.5-flash', { messages, tools })
    const body = sent()
    const [declared] = body.tools[0].functionDeclarations
    expect(JSON.stringify(declared)).not.toMatch(/\$ref|\$defs|additionalProperties|const"/)
    expect(declared.parameters.properties.where.properties.city).toMatchObject({ type: 'STRING' })
    expect(declared.parameters.properties.unit).toMatchObject({ type: 'STRING', nullable: true, enum: ['C', 'F'] })
    expect(body.contents[1].parts[0].functionCall.args).toEqual({ $ref: '#/y' })
    expect(body.contents[2].parts[0].functionResponse.response).toEqual({ output: result })
    expect(dropped).toEqual(['tools.strict', 'tools'])
  })

  it('a later target sees what the client sent, to the byte', async () => {
    const request = ask('chain', { messages, tools })
    const reply = await post(gateway.url + CHAT, request)
    expect([reply.status, reply.headers['x-turnout-attempts']]).toEqual([200, '3'])
    const [google, anthropic, openai] = bodiesOf(simulator.calls)
    expect(google.tools[0].functionDeclarations[0].parameters.type).toBe('OBJECT')
    expect(anthropic.tools[0].input_schema).toEqual(parameters)
    expect(openai).toEqual({ ...request, model: 'gpt-x' })
    expect(String(simulator.calls[2]!.body)).toBe(JSON.stringify(request).replace('"chain"', '"gpt-x"'))
    // What the last target was told counts: it was told everything.
    expect(reply.headers['x-turnout-dropped-params']).toBeUndefined()
  })

  it('and so does a target of another dialect after two others', async () => {
    const reply = await chat(gateway.url, ask('chain-back', { messages, tools }))
    expect([reply.status, reply.headers['x-turnout-attempts'], reply.headers['x-turnout-lane']]).toEqual([
      200,
      '3',
      'hub',
    ])
    expect(bodiesOf(simulator.calls)[2].tools[0].input_schema).toEqual(parameters)
  })
})

describe('C16 parameters to Anthropic', () => {
  it('a string to stop becomes a list; the model’s own limit where the client gives none', async () => {
    await say('anthropic/claude-sonnet-4-5', { stop: 'END' })
    expect(sent()).toMatchObject({ stop_sequences: ['END'], max_tokens: 64_000 })
  })

  it('tool choice, parallel calls, effort, format and cache marks', async () => {
    const mark = { type: 'ephemeral', ttl: '1h' }
    const { status, dropped } = await say('anthropic/claude-opus-5', {
      messages: [{ role: 'system', content: [{ type: 'text', text: 'S', cache_control: mark }] }, user],
      tools: [tool('f', { parameters: { type: 'object', properties: {}, additionalProperties: true, x: 1 } })],
      tool_choice: 'auto',
      parallel_tool_calls: false,
      reasoning_effort: 'high',
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'n', schema: { type: 'object', properties: { a: { type: 'string' } } } },
      },
    })
    expect([status, dropped]).toEqual([200, []])
    expect(sent()).toMatchObject({
      system: [{ type: 'text', text: 'S', cache_control: mark }],
      tools: [{ name: 'f', input_schema: { type: 'object', properties: {}, additionalProperties: true, x: 1 } }],
      tool_choice: { type: 'auto', disable_parallel_tool_use: true },
      thinking: { type: 'adaptive', display: 'summarized' },
      output_config: { effort: 'high', format: { type: 'json_schema', schema: { additionalProperties: false } } },
    })
  })

  it('a forced answer tool is called once, and its call is the answer', async () => {
    const schema = {
      type: 'object',
      properties: { cities: { type: 'array', items: { type: 'string' } } },
      required: ['cities'],
    }
    const format = { response_format: { type: 'json_schema', json_schema: { name: 'n', schema } } }
    const messages = [{ role: 'user', content: 'Name Paris, and "Tokyo", and Oslo.' }]
    for (const stream of [false, true]) {
      const { message, finish } = await say('anthropic/claude-3-5-haiku-20241022', { messages, stream, ...format })
      expect(finish).toBe('stop')
      expect(message.tool_calls).toBeUndefined()
      expect(JSON.parse(message.content!)).toEqual({ cities: [expect.any(String)] })
    }
  })
})

describe('C17 sampling parameters', () => {
  it('the version that has them is asked for, whatever the client says', async () => {
    const more = { temperature: 0.3, top_p: 0.9, top_k: 5 }
    const reply = await chat(gateway.url, ask('anthropic/claude-sonnet-4-0', more), {
      'anthropic-version': '2026-10-21',
    })
    expect([reply.status, reply.dropped]).toEqual([200, []])
    expect(sent()).toMatchObject(more)
    expect(simulator.calls[0]!.headers['anthropic-version']).toBe('2023-06-01')
  })

  it('models that refuse them are not told, and the client is', async () => {
    const { status, dropped } = await say('anthropic/claude-opus-5', { temperature: 0.3, top_p: 0.5, top_k: 5 })
    expect([status, dropped]).toEqual([200, ['temperature', 'top_p', 'top_k']])
    expect(Object.keys(sent())).not.toEqual(expect.arrayContaining(['temperature']))
  })
})

// What the simulator turns down, as OpenAI would, and what it lets pass.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Simulator, startSimulator } from '../src/simulator/index.ts'
import { type Exchange, get, post } from './support/exchange.ts'
import { oddBodiesOf } from './support/oddBodies.ts'

let simulator: Simulator
beforeAll(async () => {
  simulator = await startSimulator({ seed: 1 })
})
afterAll(() => simulator.close())

const user = { role: 'user', content: 'Hi' }
const call = { id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } }
const calling = { role: 'assistant', content: null, tool_calls: [call] }
const result = { role: 'tool', tool_call_id: 'c1', content: 'done' }
const tool = { type: 'function', function: { name: 'f' } }
const part = (value: unknown) => [{ role: 'user', content: [value] }]
const base = { model: 'm', messages: [user] }

const chat = (body: unknown): Promise<Exchange> => post(`${simulator.baseUrl}/chat/completions`, body)

describe('refused with 400', () => {
  const cases: [string, unknown, string | null, string | null][] = [
    ['no JSON', '{"model":', null, null],
    ['an empty body', '', null, null],
    ['an array', [], null, null],
    ['null', 'null', null, null],
    ['no model', { messages: [user] }, 'model', 'missing_required_parameter'],
    ['a model that is no string', { ...base, model: 4 }, 'model', 'invalid_type'],
    ['an empty model', { ...base, model: '' }, 'model', 'invalid_type'],
    ['no messages', { model: 'm' }, 'messages', 'missing_required_parameter'],
    ['messages that are no array', { model: 'm', messages: 'Hi' }, 'messages', 'invalid_type'],
    ['no message at all', { model: 'm', messages: [] }, 'messages', 'invalid_value'],
    ['a message that is no object', { model: 'm', messages: ['Hi'] }, 'messages[0]', 'invalid_type'],
    ['no role', { model: 'm', messages: [{ content: 'x' }] }, 'messages[0].role', 'missing_required_parameter'],
    [
      'an unknown role',
      { model: 'm', messages: [user, { role: 'bot', content: '' }] },
      'messages[1].role',
      'invalid_value',
    ],
    ['no content', { model: 'm', messages: [{ role: 'user' }] }, 'messages[0].content', 'missing_required_parameter'],
    [
      'null content',
      { model: 'm', messages: [{ role: 'user', content: null }] },
      'messages[0].content',
      'invalid_type',
    ],
    [
      'a number as content',
      { model: 'm', messages: [{ role: 'user', content: 3 }] },
      'messages[0].content',
      'invalid_type',
    ],
    ['no parts', { model: 'm', messages: [{ role: 'user', content: [] }] }, 'messages[0].content', 'invalid_value'],
    [
      'a part without a type',
      { model: 'm', messages: part({}) },
      'messages[0].content[0].type',
      'missing_required_parameter',
    ],
    [
      'an unknown part',
      { model: 'm', messages: part({ type: 'smell' }) },
      'messages[0].content[0].type',
      'invalid_value',
    ],
    [
      'text that is none',
      { model: 'm', messages: part({ type: 'text', text: 1 }) },
      'messages[0].content[0].text',
      'invalid_type',
    ],
    [
      'an image as a bare string',
      { model: 'm', messages: part({ type: 'image_url', image_url: 'http://x/y' }) },
      'messages[0].content[0].image_url',
      'invalid_type',
    ],
    [
      'an image without an address',
      { model: 'm', messages: part({ type: 'image_url', image_url: { url: 'file:///etc/passwd' } }) },
      'messages[0].content[0].image_url.url',
      'invalid_value',
    ],
    [
      'audio of an unknown format',
      { model: 'm', messages: part({ type: 'input_audio', input_audio: { data: 'AAAA', format: 'ogg' } }) },
      'messages[0].content[0].input_audio.format',
      'invalid_value',
    ],
    [
      'a file without content',
      { model: 'm', messages: part({ type: 'file', file: { filename: 'a.pdf' } }) },
      'messages[0].content[0].file.file_id',
      'missing_required_parameter',
    ],
    [
      'an image from the assistant',
      {
        model: 'm',
        messages: [{ role: 'assistant', content: [{ type: 'image_url', image_url: { url: 'http://x/y' } }] }],
      },
      'messages[0].content[0].type',
      'invalid_value',
    ],
    ['a tool result out of nowhere', { model: 'm', messages: [user, result] }, 'messages[1].role', 'invalid_value'],
    [
      'a tool result without an id',
      { model: 'm', messages: [user, calling, { role: 'tool', content: 'x' }] },
      'messages[2].tool_call_id',
      'missing_required_parameter',
    ],
    [
      'an unanswered tool call',
      { model: 'm', messages: [user, calling, user] },
      'messages[1].tool_calls',
      'invalid_value',
    ],
    ['a tool call at the end', { model: 'm', messages: [user, calling] }, 'messages[1].tool_calls', 'invalid_value'],
    [
      'arguments that are no string',
      {
        model: 'm',
        messages: [user, { ...calling, tool_calls: [{ ...call, function: { name: 'f', arguments: {} } }] }, result],
      },
      'messages[1].tool_calls[0].function.arguments',
      'invalid_type',
    ],
    ['stream as a string', { ...base, stream: 'yes' }, 'stream', 'invalid_type'],
    ['stream_options without stream', { ...base, stream_options: {} }, 'stream_options', 'invalid_value'],
    [
      'include_usage as a number',
      { ...base, stream: true, stream_options: { include_usage: 1 } },
      'stream_options.include_usage',
      'invalid_type',
    ],
    ['a temperature of 3', { ...base, temperature: 3 }, 'temperature', 'invalid_value'],
    ['a temperature in words', { ...base, temperature: 'hot' }, 'temperature', 'invalid_type'],
    ['half a token', { ...base, max_tokens: 0.5 }, 'max_tokens', 'invalid_type'],
    ['no tokens', { ...base, max_completion_tokens: 0 }, 'max_completion_tokens', 'invalid_value'],
    ['n of 0', { ...base, n: 0 }, 'n', 'invalid_value'],
    ['n beyond bounds', { ...base, n: 129 }, 'n', 'invalid_value'],
    ['five stops', { ...base, stop: ['1', '2', '3', '4', '5'] }, 'stop', 'invalid_value'],
    ['a stop that is none', { ...base, stop: [1] }, 'stop[0]', 'invalid_type'],
    ['top_logprobs alone', { ...base, top_logprobs: 2 }, 'top_logprobs', 'invalid_value'],
    ['an unknown format', { ...base, response_format: { type: 'xml' } }, 'response_format.type', 'invalid_value'],
    [
      'a schema without a wrapper',
      { ...base, response_format: { type: 'json_schema' } },
      'response_format.json_schema',
      'missing_required_parameter',
    ],
    [
      'a schema without a name',
      { ...base, response_format: { type: 'json_schema', json_schema: {} } },
      'response_format.json_schema.name',
      'missing_required_parameter',
    ],
    ['tools as an object', { ...base, tools: {} }, 'tools', 'invalid_type'],
    ['no tools in the list', { ...base, tools: [] }, 'tools', 'invalid_value'],
    [
      'a tool without a function',
      { ...base, tools: [{ type: 'function' }] },
      'tools[0].function',
      'missing_required_parameter',
    ],
    [
      'a tool with a bad name',
      { ...base, tools: [{ type: 'function', function: { name: 'a b' } }] },
      'tools[0].function.name',
      'invalid_value',
    ],
    ['a tool of an unknown type', { ...base, tools: [{ type: 'web' }] }, 'tools[0].type', 'invalid_value'],
    ['a choice without tools', { ...base, tool_choice: 'auto' }, 'tool_choice', 'invalid_value'],
    ['an unknown choice', { ...base, tools: [tool], tool_choice: 'maybe' }, 'tool_choice', 'invalid_value'],
    [
      'a choice that is not there',
      { ...base, tools: [tool], tool_choice: { type: 'function', function: { name: 'g' } } },
      'tool_choice.function.name',
      'invalid_value',
    ],
    ['metadata as text', { ...base, metadata: 'x' }, 'metadata', 'invalid_type'],
  ]

  it.each(cases)('%s', async (_, body, param, code) => {
    const reply = await chat(body)
    expect(reply.status).toBe(400)
    const { error } = JSON.parse(reply.text)
    expect(error).toMatchObject({ type: 'invalid_request_error', param, code })
    expect(error.message).not.toBe('')
  })

  it('never quotes the body', async () => {
    const secret = 'planted-4711'
    for (const body of [
      `{"${secret}"`,
      { ...base, stop: { [secret]: 1 } },
      { model: 'm', messages: [{ role: secret }] },
    ]) {
      expect((await chat(body)).text).not.toContain(secret)
    }
  })

  it('a script header that is none, named field by field', async () => {
    for (const header of ['{', '{"tokens":"many"}', '{"tokns":3}', '{"fault":{"kind":"none"}}']) {
      const reply = await post(`${simulator.baseUrl}/chat/completions`, base, { 'x-sim-script': header })
      expect(reply.status).toBe(400)
      expect(JSON.parse(reply.text).error.code).toBe('invalid_script')
      expect(JSON.parse(reply.text).error.message).toContain('x-sim-script')
    }
  })
})

describe('accepted', () => {
  const nothing = Object.fromEntries(
    [
      'stream',
      'stream_options',
      'temperature',
      'max_tokens',
      'stop',
      'n',
      'tools',
      'tool_choice',
      'response_format',
      'user',
    ].map((name) => [name, null]),
  )
  it.each<[string, unknown]>([
    ['nulls for what is optional', { ...base, ...nothing }],
    ['parameters it has never heard of', { ...base, top_k: 4, vendor: { a: [1] }, seed: 12345678901234567000 }],
    [
      'every role',
      { model: 'm', messages: [{ role: 'system', content: 's' }, { role: 'developer', content: 'd' }, user] },
    ],
    ['a whole tool turn', { ...base, messages: [user, calling, result], tools: [tool] }],
    [
      'assistant parts and refusals',
      { model: 'm', messages: [user, { role: 'assistant', content: [{ type: 'refusal', refusal: 'no' }] }, user] },
    ],
    [
      'audio and files',
      {
        model: 'm',
        messages: [
          {
            role: 'user',
            content: [
              { type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } },
              { type: 'file', file: { file_id: 'f' } },
            ],
          },
        ],
      },
    ],
    ['custom tools', { ...base, tools: [{ type: 'custom', custom: { name: 'c' } }], tool_choice: 'auto' }],
    [
      'allowed tools',
      {
        ...base,
        tools: [tool],
        tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [tool] } },
      },
    ],
  ])('%s', async (_, body) => {
    const reply = await chat(body)
    expect(reply.text).toContain('chat.completion')
    expect(reply.status).toBe(200)
  })
})

describe('odd bodies', () => {
  const full = {
    model: 'sim-tools',
    messages: [
      { role: 'system', content: 'Be short.' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'Hi' },
          { type: 'image_url', image_url: { url: 'https://example.com/a.png' } },
        ],
      },
      { role: 'user', content: [{ type: 'file', file: { filename: 'a', file_data: 'AAAA' } }] },
      calling,
      result,
      user,
    ],
    tools: [
      {
        type: 'function',
        function: { name: 'f', parameters: { type: 'object', properties: { a: { type: 'string' } } } },
      },
    ],
    tool_choice: { type: 'function', function: { name: 'f' } },
    response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'object', properties: {} } } },
    stop: ['a'],
    stream: true,
    stream_options: { include_usage: true },
  }

  it('each field of a full request replaced by each odd value: an answer or a 400, never a failure', async () => {
    const statuses = new Set<number>()
    for (const { path, body } of oddBodiesOf(full)) {
      const reply = await chat(body)
      expect([200, 400], `${path}: ${reply.text}`).toContain(reply.status)
      expect(reply.complete).toBe(true)
      statuses.add(reply.status)
    }
    expect([...statuses].sort()).toEqual([200, 400])
  })

  it('nesting without end is answered: a 400 where this Node cannot write it', async () => {
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`
    const body = JSON.stringify({ ...base, tools: [{ ...tool, x: 'DEEP' }] }).replace('"DEEP"', deep)
    expect([200, 400]).toContain((await chat(body)).status)
  })
})

describe('around the chat', () => {
  it('lists its models, and knows one of them', async () => {
    for (const path of ['/v1/models', '/models', '/openai/models', '/api/v1/models']) {
      const list = JSON.parse((await get(simulator.url + path)).text)
      expect(list.object).toBe('list')
      expect(list.data.map((model: { id: string }) => model.id)).toEqual(
        expect.arrayContaining(['sim-fast', 'sim-error-500']),
      )
    }
    expect(JSON.parse((await get(`${simulator.url}/v1/models/sim-fast`)).text)).toMatchObject({
      id: 'sim-fast',
      object: 'model',
    })
    expect((await get(`${simulator.url}/v1/models/sim-unheard-of`)).status).toBe(404)
  })

  it('knows nothing else', async () => {
    for (const reply of [
      await post(`${simulator.url}/v1/embeddings`, {}),
      await get(`${simulator.url}/v1/chat/completions`),
      await get(simulator.url),
    ]) {
      expect(reply.status).toBe(404)
      expect(JSON.parse(reply.text).error).toMatchObject({ type: 'invalid_request_error', code: 'not_found' })
    }
  })

  it('asks for the key only where one is required, and never says it', async () => {
    const locked = await startSimulator({ requireKey: 'sk-test-right' })
    try {
      const url = `${locked.baseUrl}/chat/completions`
      for (const headers of [
        {},
        { authorization: 'Bearer ' },
        { authorization: 'Bearer sk-test-wrong' },
        { authorization: 'Basic sk-test-right' },
      ]) {
        const reply = await post(url, base, headers as Record<string, string>)
        expect(reply.status).toBe(401)
        expect(JSON.parse(reply.text).error.code).toBe('invalid_api_key')
        expect(reply.text).not.toContain('sk-test')
      }
      expect((await get(`${locked.baseUrl}/models`)).status).toBe(401)
      expect((await post(url, base, { authorization: 'Bearer sk-test-right' })).status).toBe(200)
      expect((await post(url, base, { 'api-key': 'sk-test-right' })).status).toBe(200)
      expect(JSON.stringify(locked.calls)).not.toContain('sk-test')
    } finally {
      await locked.close()
    }
  })

  it('refuses a body above 64 MB without keeping it', async () => {
    const reply = await chat(Buffer.alloc(64 * 1024 * 1024 + 1, 32))
    expect(reply.status).toBe(413)
  })
})

describe('built-in models', () => {
  it.each(['sim-error-400', 'sim-error-429', 'sim-error-503', 'sim-error-599'])('%s: that status', async (model) => {
    const reply = await chat({ ...base, model })
    expect(String(reply.status)).toBe(model.slice(-3))
    if (model === 'sim-error-429') expect(reply.headers['retry-after']).toBe('1')
  })

  it('sim-tokens-N and sim-split-N: any number', async () => {
    expect(JSON.parse((await chat({ ...base, model: 'sim-tokens-77' })).text).usage.completion_tokens).toBe(77)
    expect((await chat({ ...base, model: 'sim-split-3' })).pieces.length).toBeGreaterThan(50)
  })

  it('sim-recover: fails three times, then answers', async () => {
    const statuses: number[] = []
    for (let i = 0; i < 5; i++) statuses.push((await chat({ ...base, model: 'sim-recover' })).status)
    expect(statuses).toEqual([503, 503, 503, 200, 200])
  })

  it('sim-json, sim-reasoning, sim-filtered, sim-overloaded-first-event: as named', async () => {
    const message = async (model: string) => JSON.parse((await chat({ ...base, model })).text)
    expect(JSON.parse((await message('sim-json')).choices[0].message.content)).toHaveProperty('answer')
    expect((await message('sim-reasoning')).usage.completion_tokens_details.reasoning_tokens).toBe(24)
    expect((await message('sim-filtered')).choices[0].finish_reason).toBe('content_filter')
    expect((await message('sim-overloaded-first-event')).error.type).toBe('overloaded_error')
  })

  it('a name with no meaning simply answers, also those of every object', async () => {
    for (const model of ['sim-unheard-of', '__proto__', 'constructor', 'sim-error-700']) {
      expect((await chat({ ...base, model })).status).toBe(200)
    }
  })
})

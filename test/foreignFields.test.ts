// Conversations that go on at another vendor: fields of the history that it answers an error to are left out, and nothing else.
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { applySplices, type Cut, cutFields } from '../src/dialects/splice.ts'
import { foreignIn, refusedBy } from '../src/gateway/foreignFields.ts'
import { providerKinds } from '../src/providers/index.ts'
import { CHAT, reply } from './support/chatBodies.ts'
import { post } from './support/exchange.ts'
import { type FakeUpstream, sendJson, startFakeUpstream } from './support/fakeUpstream.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import fc from './support/seededCheck.ts'

/** Fields of an assistant's message that are listed in the vendors' references. */
const openaiTakes = ['role', 'content', 'refusal', 'name', 'audio', 'tool_calls', 'function_call', 'annotations']
const known: Record<string, readonly string[]> = {
  openai: openaiTakes,
  azure: openaiTakes,
  mistral: ['role', 'content', 'tool_calls', 'prefix'],
  groq: ['role', 'content', 'name', 'reasoning', 'tool_calls', 'function_call'],
}

const claude = {
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'claude-sonnet-4-5',
  content: [
    { type: 'thinking', thinking: 'Oslo, then.', signature: 'c2ln' },
    { type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Oslo' } },
  ],
  stop_reason: 'tool_use',
  stop_sequence: null,
  usage: { input_tokens: 10, output_tokens: 5 },
}

let upstream: FakeUpstream
let gateway: TestGateway

beforeAll(async () => {
  upstream = await startFakeUpstream((req, res, raw) => {
    if (req.url!.includes('/messages')) return sendJson(res, 200, claude)
    const takes = known[/^\/(\w+)\//.exec(req.url!)?.[1] ?? '']
    const body = JSON.parse(raw.toString())
    const inside = (value: unknown): unknown[] =>
      typeof value === 'object' && value !== null ? [value, ...Object.values(value).flatMap(inside)] : []
    if (takes) {
      const stray = body.messages
        .flatMap(({ role, ...more }: { role: string }) => Object.keys(more).map((name) => [role, name]))
        .find(
          ([role, name]: string[]) => !(role === 'tool' ? ['content', 'tool_call_id', 'name'] : takes).includes(name!),
        )
      const marked = inside(body).some(
        (value) => 'cache_control' in (value as object) || 'extra_content' in (value as object),
      )
      if (stray || marked) return sendJson(res, 400, { error: { message: `Unknown parameter: '${stray}'.` } })
    }
    return sendJson(res, 200, reply('hi'))
  })
  const at = (kind: string, more = {}) => ({
    kind,
    baseUrl: `${upstream.url}/${kind}`,
    apiKey: 'sk-test-01234',
    ...more,
  })
  gateway = await startGateway({
    providers: {
      anthropic: at('anthropic'),
      openai: at('openai'),
      azure: at('azure'),
      mistral: at('mistral'),
      groq: at('groq'),
      deepseek: at('deepseek'),
      ollama: at('ollama'),
      lax: { ...at('mistral', { refusedFields: ['annotations'] }), baseUrl: `${upstream.url}/free` },
      proxy: { ...at('openai'), baseUrl: `${upstream.url}/free` },
    },
    routes: {
      claude: 'anthropic/claude-sonnet-4-5',
      gpt: 'openai/gpt-5',
      deployment: 'azure/our-chat',
      mistral: 'mistral/mistral-large-latest',
      magistral: 'mistral/magistral-medium-latest',
      groq: 'groq/llama-3.3-70b-versatile',
      deepseek: 'deepseek/deepseek-chat',
      ollama: 'ollama/llama3.2',
      proxy: 'proxy/gpt-oss-120b',
      lax: 'lax/m',
    },
  })
})
afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})

const arrived = (): string => upstream.requests.at(-1)!.body.toString()
const strict = ['gpt', 'deployment', 'mistral', 'groq']

describe('a turn that Claude has answered', () => {
  it.each(strict)('goes on at %s, whole, with its message sent back as it came', async (model) => {
    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'none', maxRetries: 0 })
    const messages: OpenAI.ChatCompletionMessageParam[] = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Weather?' },
    ]
    const first = await client.chat.completions.create({ model: 'claude', messages })
    const { message } = first.choices[0]!
    expect(message).toMatchObject({ reasoning_content: 'Oslo, then.' })
    messages.push(message, { role: 'tool', tool_call_id: 'toolu_1', content: '12 degrees' })
    const { data, response } = await client.chat.completions.create({ model, messages }).withResponse()
    expect(data.choices[0]!.message.content).toBe('hi')
    expect(response.headers.get('x-turnout-dropped-params')).toBe('messages.reasoning')
    const [, , called, answer] = JSON.parse(arrived()).messages
    expect(called.tool_calls).toEqual([{ ...message.tool_calls![0], id: answer.tool_call_id }])
    expect(answer.tool_call_id).toMatch(model === 'mistral' ? /^[a-zA-Z0-9]{9}$/ : /^toolu_1$/)
  })

  it('is refused where the client is strict, and names what would be lost', async () => {
    const body = { model: 'gpt', messages: [{ role: 'assistant', content: 'a', reasoning_content: 'b' }] }
    const answer = await post(gateway.url + CHAT, body, { 'x-turnout-strict': 'true' })
    expect(answer.status).toBe(400)
    expect(JSON.parse(answer.text)).toMatchObject({
      error: { code: 'unsupported_parameter', param: 'messages.reasoning' },
    })
  })
})

describe('what a message holds', () => {
  const told = (field: string): string =>
    `{"model":"MODEL","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"${field}} , {"role":"user","content":[{"type":"text","text":"c"}]}],"seed":12345678901234567890}`
  const send = async (model: string, field: string) => {
    const body = told(field)
    const { status, headers } = await post(gateway.url + CHAT, body.replace('MODEL', model))
    expect(status).toBe(200)
    return {
      body: arrived().replace(/"model":"[^"]*"/, '"model":"MODEL"'),
      dropped: headers['x-turnout-dropped-params'],
    }
  }

  it.each([
    ['mistral', '"reasoning":"r"', 'messages.reasoning'],
    ['mistral', '"refusal":"no"', 'messages.refusal'],
    ['mistral', '"refusal":null,"annotations":[],"audio":null', undefined],
    ['mistral', '"parsed":{"a":1}', undefined],
    ['groq', '"reasoning_content":"r","annotations":[{}]', 'messages.reasoning, messages.annotations'],
    ['gpt', '"reasoning":"r","reasoning_details":[{}],"images":[]', 'messages.reasoning'],
    ['deployment', '"citations":["x"]', 'messages.citations'],
    ['gpt', '"executed_tools":[{}],"channel":"final"', 'messages.executed_tools'],
    ['groq', '"extra_content":{"google":{"thought":true}},"thought_signature":"s"', 'messages.reasoning'],
    ['mistral', '"name":"alice"', 'messages.name'],
  ])('%s does not get %s', async (model, field, dropped) => {
    expect(await send(model, `,${field}`)).toEqual({ body: told(''), dropped })
  })

  it.each([
    ['groq', '"reasoning":"its own","name":"alice"'],
    ['gpt', '"name":"alice"'],
    ['gpt', '"refusal":null,"annotations":[],"audio":null'],
    ['deepseek', '"reasoning_content":"its own"'],
    ['proxy', '"reasoning_content":"its own"'],
    ['lax', '"refusal":null,"prefix":true'],
  ])('%s gets %s, byte for byte', async (model, field) => {
    expect(await send(model, `,${field}`)).toEqual({ body: told(`,${field}`), dropped: undefined })
  })
})

describe('what SDKs leave in tool calls and their answers', () => {
  const call = (more: object, fn: object) => ({
    ...more,
    id: 'KikbB849t',
    type: 'function',
    function: { name: 'f', arguments: '{"index":1,"name":"n"}', ...fn },
  })
  const history = (more: object, fn: object, name: string | undefined, answer = more) => [
    { role: 'user', content: 'a', name },
    { role: 'assistant', content: null, tool_calls: [call(more, fn), call({}, {})] },
    { role: 'tool', tool_call_id: 'KikbB849t', content: 't', name: 'f', ...answer },
  ]
  const messages = history({ index: 0 }, { parsed_arguments: { index: 1 } }, 'bob')

  it.each([
    ['mistral', undefined, { index: 0 }, {}, 'messages.name'],
    ['groq', 'bob', {}, {}, undefined],
    ['gpt', 'bob', {}, { parsed_arguments: { index: 1 } }, undefined],
  ])('goes to %s without what it refuses', async (model, name, more, fn, dropped) => {
    const { status, headers } = await post(gateway.url + CHAT, { model, messages })
    expect([status, headers['x-turnout-dropped-params']]).toEqual([200, dropped])
    expect(arrived()).toContain(JSON.stringify(history(more, fn, name, {})))
  })
})

describe('ids of tool calls', () => {
  const call = (id: string) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } })
  const history = (ids: string[]) => [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: null, tool_calls: ids.map(call) },
    ...ids.map((id) => ({ role: 'tool', tool_call_id: id, content: id })),
  ]
  /** The ids that arrive, by those that were sent; each answer stands under the id of its call. */
  const written = async (model: string, ids: string[]) => {
    const { headers } = await post(gateway.url + CHAT, { model, messages: history(ids) })
    expect(headers['x-turnout-dropped-params']).toBeUndefined()
    const [, { tool_calls: calls }, ...answers] = JSON.parse(arrived()).messages
    expect(calls.map(({ id }: { id: string }) => id)).toEqual(
      answers.map((answer: { tool_call_id: string }) => answer.tool_call_id),
    )
    expect(answers.map((answer: { content: string }) => answer.content)).toEqual(ids)
    return calls.map(({ id }: { id: string }) => id) as string[]
  }
  const long = `chatcmpl-tool-${'0f'.repeat(16)}`

  it('become what Mistral takes: nine letters and digits, the same in each turn', async () => {
    const ids = ['toolu_01A', 'call_kR3_1', 'functions.f:0', long, 'KikbB849t']
    const first = await written('mistral', ids)
    expect(first.every((id) => /^[a-zA-Z0-9]{9}$/.test(id))).toBe(true)
    expect(new Set(first).size).toBe(ids.length)
    expect(first.at(-1)).toBe('KikbB849t')
    expect(await written('mistral', ids.slice(0, 2))).toEqual(first.slice(0, 2))
  })

  it.each(['gpt', 'deployment'])('become no longer than OpenAI takes, at %s', async (model) => {
    const [kept, cut] = await written(model, ['functions.f:0', long])
    expect(kept).toBe('functions.f:0')
    expect(cut).toMatch(/^[a-zA-Z0-9]{40}$/)
  })

  it.each(['groq', 'deepseek', 'proxy', 'lax'])('stay as they are at %s, unless it is Mistral', async (model) => {
    const ids = ['KikbB849t', ...(model === 'lax' ? [] : [long])]
    expect(await written(model, ids)).toEqual(ids)
  })
})

describe('the role of a developer', () => {
  const body = (model: string, role: string) =>
    `{"model":"${model}","messages":[{"content":[{"type":"text","text":"s"}], "role" : "${role}","name":"n"},{"role":"user","content":"developer"}]}`
  const send = async (model: string) => {
    const { headers } = await post(gateway.url + CHAT, body(model, 'developer'))
    expect(headers['x-turnout-dropped-params']).toBeUndefined()
    return arrived().replace(/"model":"[^"]*"/, `"model":"${model}"`)
  }

  it.each(['lax', 'groq', 'deepseek', 'ollama'])('is that of the system at %s', async (model) => {
    expect(await send(model)).toBe(body(model, 'system'))
  })

  it.each(['gpt', 'deployment', 'proxy'])('stays at %s', async (model) => {
    expect(await send(model)).toBe(body(model, 'developer'))
  })
})

describe('what a message does not hold', () => {
  it.each(strict)(
    'is left out for %s: an empty list of calls, but for Mistral, whose own it is; a call that is null',
    async (model) => {
      const [user, last] = [
        { role: 'user', content: 'a' },
        { role: 'user', content: 'c' },
      ]
      const bare = { role: 'assistant', content: 'b' }
      const messages = [user, { ...bare, tool_calls: [], function_call: null }, { tool_calls: null, ...bare }, last]
      const { headers } = await post(gateway.url + CHAT, { model, messages })
      const [none, nothing] = model === 'mistral' ? [{ tool_calls: [] }, { tool_calls: null }] : [{}, {}]
      expect(JSON.parse(arrived()).messages).toEqual([user, { ...bare, ...none }, { ...bare, ...nothing }, last])
      expect(headers['x-turnout-dropped-params']).toBeUndefined()
    },
  )

  it.each(['gpt', 'deployment'])('is no null at %s where thoughts were all there was', async (model) => {
    const cut = { role: 'assistant', content: null, reasoning_content: 'So' }
    const call = { id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }
    const answer = { role: 'tool', tool_call_id: 'c', content: 't' }
    const messages = [cut, { ...cut, refusal: null, tool_calls: [] }, { ...cut, tool_calls: [call] }, answer]
    await post(gateway.url + CHAT, { model, messages })
    const { reasoning_content: _, ...bare } = cut
    const said = { ...bare, content: '' }
    expect(JSON.parse(arrived()).messages).toEqual([
      said,
      { ...said, refusal: null },
      { ...bare, tool_calls: [call] },
      answer,
    ])
    // Where nothing goes nothing comes either.
    await post(gateway.url + CHAT, { model, messages: [bare] })
    expect(JSON.parse(arrived()).messages).toEqual([bare])
  })

  it('is a blank at Mistral, which takes no empty answer', async () => {
    const [user, last] = [
      { role: 'user', content: '' },
      { role: 'user', content: 'c' },
    ]
    const none = { role: 'assistant', content: '' }
    const call = { id: 'KikbB849t', type: 'function', function: { name: 'f', arguments: '{}' } }
    const answer = { role: 'tool', tool_call_id: 'KikbB849t', content: '' }
    const mute = [none, { ...none, content: null }, { ...none, tool_calls: [] }]
    const thought = { ...none, content: null, reasoning_content: 'So' }
    const messages = [user, ...mute, thought, { ...none, tool_calls: [call] }, answer, none, last]
    await post(gateway.url + CHAT, { model: 'mistral', messages })
    const blank = { role: 'assistant', content: ' ' }
    const said = [blank, blank, { ...blank, tool_calls: [] }, blank]
    expect(JSON.parse(arrived()).messages).toEqual([user, ...said, messages[5], answer, blank, last])
    // SDKs leave out what is null when they write a message down.
    const thoughtOnly = [{ role: 'assistant' }, { role: 'assistant', reasoning_content: 'So' }]
    const listed = { role: 'assistant', tool_calls: [] }
    await post(gateway.url + CHAT, { model: 'mistral', messages: [user, ...thoughtOnly, listed, last] })
    expect(JSON.parse(arrived()).messages).toEqual([user, blank, blank, { ...listed, content: ' ' }, last])
    await post(gateway.url + CHAT, { model: 'groq', messages: [user, ...mute.slice(0, 2), last] })
    expect(JSON.parse(arrived()).messages).toEqual([user, ...mute.slice(0, 2), last])
  })

  it.each(['mistral', 'groq'])(
    'is no refusal at %s where that is all that was said: it goes as text',
    async (model) => {
      const no = { role: 'assistant', refusal: 'I cannot.' }
      const messages = [
        { role: 'user', content: 'a' },
        { content: null, annotations: [], ...no },
        { ...no, content: '', tool_calls: [] },
        no,
      ]
      const { headers } = await post(gateway.url + CHAT, { model, messages })
      const said = { role: 'assistant', content: 'I cannot.' }
      const calls = model === 'mistral' ? { tool_calls: [] } : {}
      expect(JSON.parse(arrived()).messages).toEqual([messages[0], said, { ...said, ...calls }, said])
      expect(headers['x-turnout-dropped-params']).toBe('messages.refusal')
    },
  )
})

describe('thoughts that Mistral gave, which clients know as reasoning_content', () => {
  const send = async (message: object) => {
    const headers = { 'x-turnout-strict': 'true' }
    const answer = await post(gateway.url + CHAT, { model: 'magistral', messages: [message] }, headers)
    return answer.status === 200 ? JSON.parse(arrived()).messages[0] : JSON.parse(answer.text).error.param
  }
  const thinking = { type: 'thinking', thinking: [{ type: 'text', text: 'So' }] }
  const call = { id: 'KikbB849t', type: 'function', function: { name: 'f', arguments: '{}' } }
  const thought = { role: 'assistant', reasoning_content: 'So' }

  it.each([
    ['beside a text', { content: 'b' }, { content: [thinking, { type: 'text', text: 'b' }] }],
    ['alone', { content: null }, { content: [thinking] }],
    ['with no content', {}, { content: [thinking] }],
    [
      'in other words, too',
      { content: null, reasoning: 'So', reasoning_details: [{ text: 'So' }] },
      { content: [thinking] },
    ],
    ['before a call', { content: null, tool_calls: [call] }, { content: [thinking], tool_calls: [call] }],
  ])('go back to it as it wrote them: %s', async (_, more, arrives) => {
    expect(await send({ ...thought, ...more })).toEqual({ role: 'assistant', ...arrives })
  })

  it.each([
    ['a list as content', { content: [{ type: 'text', text: 'b' }] }],
    ['a refusal that is all that was said', { content: null, refusal: 'No.' }],
    ['another speaker', { role: 'user', content: 'b' }],
  ])('are told as lost beside %s', async (_, more) => {
    expect(await send({ ...thought, ...more })).toBe('messages.reasoning')
  })
})

describe('thoughts that stand in the content, as Mistral writes them', () => {
  const thought = { type: 'thinking', thinking: [{ type: 'text', text: 'So' }], closed: true }
  const said = { type: 'text', text: 'b' }
  const call = (more = {}) => ({ ...more, id: 'KikbB849t', type: 'function', function: { name: 'f', arguments: '{}' } })
  const messages = [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: [thought, said, thought, thought] },
    { role: 'assistant', content: [thought], tool_calls: [call({ index: 0 })] },
    { role: 'tool', tool_call_id: 'KikbB849t', content: 't' },
  ]

  it.each(['gpt', 'deployment', 'groq'])('are left out at %s, and the number of a call', async (model) => {
    const { headers } = await post(gateway.url + CHAT, { model, messages })
    expect(JSON.parse(arrived()).messages).toEqual([
      messages[0],
      { role: 'assistant', content: [said] },
      { role: 'assistant', content: '', tool_calls: [call()] },
      messages[3],
    ])
    expect(headers['x-turnout-dropped-params']).toBe('messages.reasoning')
  })

  it('are taken back by Mistral', async () => {
    const { headers } = await post(gateway.url + CHAT, { model: 'mistral', messages })
    expect(JSON.parse(arrived()).messages).toEqual(messages)
    expect(headers['x-turnout-dropped-params']).toBeUndefined()
  })
})

it('takes marks of a cache out of parts, tools and messages, and signatures out of tool calls', async () => {
  const marks = { cache_control: { type: 'ephemeral' } }
  const call = { id: 'c', type: 'function', function: { name: 'f', arguments: '{"cache_control":1}' } }
  const tool = { type: 'function', function: { name: 'f', parameters: { properties: { cache_control: {} } } } }
  const bare = (more: object, signed: object, fn: object) => ({
    model: 'm',
    messages: [
      { role: 'system', content: [{ type: 'text', text: 's', ...more }], ...more },
      { role: 'assistant', tool_calls: [{ ...signed, ...call }, call] },
      { role: 'tool', tool_call_id: 'c', content: 't', ...more },
    ],
    tools: [{ ...tool, ...more, function: { ...fn, ...tool.function } }, tool],
  })
  const marked = { ...bare(marks, { extra_content: { google: { thought_signature: 'x' } } }, marks), model: 'gpt' }
  // The schema's own property and the argument of that name are the tool's.
  const { cut } = foreignIn(marked, { fields: ['cache_control', 'extra_content'] })!
  const raw = Buffer.from(JSON.stringify(marked))
  expect(JSON.parse(applySplices(raw, cutFields(raw, 0, cut)).toString())).toEqual({
    ...bare({}, {}, {}),
    model: 'gpt',
  })
  expect((await post(gateway.url + CHAT, { ...marked, tools: undefined })).headers['x-turnout-dropped-params']).toBe(
    'cache_control, messages.reasoning',
  )
})

it('changes no request with more of them than any conversation has: that would hold all others up', () => {
  const wire = (count: number) => ({
    messages: [{ role: 'user', content: Array(count).fill({ type: 'text', text: 't', cache_control: {} }) }],
  })
  const refused = { fields: ['cache_control'] as const }
  expect(foreignIn(wire(9_000), refused)!.losses).toHaveLength(1)
  expect(foreignIn(wire(11_000), refused)).toBeUndefined()
})

it('leaves out beside the other edits: the system text of a target, the cap, the usage that we ask for', async () => {
  const own = await startGateway({
    providers: { openai: { baseUrl: `${upstream.url}/openai`, apiKey: 'sk-test-01234' } },
    targets: { t: { provider: 'openai', model: 'gpt-5', systemPrefix: 'House rules.', params: { seed: 1 } } },
    routes: { r: 't' },
  })
  try {
    const message = { role: 'assistant', reasoning_content: 'x', content: 'a', reasoning: 'y' }
    const system = { role: 'system', content: 's', cache_control: {} }
    await post(own.url + CHAT, { max_tokens: 5, messages: [system, message], stream: true, model: 'r' })
    expect(JSON.parse(arrived())).toEqual({
      max_completion_tokens: 5,
      messages: [
        { role: 'system', content: 'House rules.\n\ns' },
        { role: 'assistant', content: 'a' },
      ],
      stream: true,
      model: 'gpt-5',
      seed: 1,
      stream_options: { include_usage: true },
    })
  } finally {
    await own.close()
  }
})

it('leaves alone what a target has in the place of the client’s own', async () => {
  const tool = (name: string) => ({ type: 'function', function: { name } })
  const own = await startGateway({
    providers: { openai: { baseUrl: `${upstream.url}/openai`, apiKey: 'sk-test-01234' } },
    targets: { t: { provider: 'openai', model: 'gpt-5', params: { tools: [tool('ours')] } } },
    routes: { r: 't' },
  })
  try {
    const messages = [{ role: 'user', content: 'a', cache_control: {} }]
    const tools = [{ cache_control: {}, ...tool('theirs') }]
    expect((await post(own.url + CHAT, { model: 'r', tools, messages })).status).toBe(200)
    const arrives = { model: 'gpt-5', tools: [tool('ours')], messages: [{ role: 'user', content: 'a' }] }
    expect(JSON.parse(arrived())).toEqual(arrives)
    const lossless = await post(own.url + CHAT, { model: 'r', tools, messages: arrives.messages })
    expect(lossless.headers['x-turnout-dropped-params']).toBeUndefined()
  } finally {
    await own.close()
  }
})

it('goes by the name of the model where a kind serves those of several makers', () => {
  const refused = (kind: string, model: string) =>
    refusedBy({ kind: providerKinds.get(kind)!, refusedFields: undefined } as never, model).fields
  for (const model of ['gpt-5', 'o3', 'chatgpt-4o-latest', 'ft:gpt-4.1:org::id', 'codex-mini-latest'])
    expect(refused('openai', model)).toContain('reasoning_content')
  for (const model of ['DeepSeek-V3.2', 'grok-4', 'gpt-oss-120b']) expect(refused('azure', model)).toEqual([])
  expect(refused('vllm', 'gpt-5')).toEqual([])
})

describe('cutting fields out of bytes', () => {
  const leaf = fc.oneof(
    fc.constant(null),
    fc.integer(),
    fc.constantFrom('', 'a"b', '}{][', 'ü'),
    fc.constant([]),
    fc.constant({}),
  )
  const { json } = fc.letrec<{ json: unknown }>((tie) => ({
    json: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      leaf,
      fc.array(tie('json'), { maxLength: 4 }),
      fc.dictionary(fc.constantFrom('a', 'b', 'c', 'dé'), tie('json')),
    ),
  }))

  /** A cut of some fields of the value, and what it should leave. */
  const cutOf = (value: unknown, draw: () => boolean): { cut: Cut; left: unknown } => {
    const inside = new Map<string | number, Cut>()
    const within = (key: string | number, part: unknown): unknown => {
      if (typeof part !== 'object' || part === null || draw()) return part
      const { cut, left } = cutOf(part, draw)
      inside.set(key, cut)
      return left
    }
    if (Array.isArray(value)) {
      const elements = new Set([...value.keys()].filter(draw))
      const left = value.flatMap((part, at) => (elements.has(at) ? [] : [within(at, part)]))
      return { left, cut: { fields: [], elements, inside } }
    }
    const fields = Object.keys(value as object).filter(draw)
    const kept = Object.entries(value as object).filter(([name]) => !fields.includes(name))
    return {
      left: Object.fromEntries(kept.map(([name, part]) => [name, within(name, part)])),
      cut: { fields: [...fields, 'absent'], inside },
    }
  }

  it('leaves what is left of the parsed value', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom('a', 'b', 'c', 'dé'), json),
        fc.infiniteStream(fc.boolean()),
        fc.constantFrom(undefined, 1),
        (value, draws, space) => {
          const { cut, left } = cutOf(value, () => draws.next().value)
          const raw = Buffer.from(JSON.stringify(value, undefined, space))
          expect(JSON.parse(applySplices(raw, cutFields(raw, 0, cut)).toString())).toEqual(left)
        },
      ),
      { numRuns: 500 },
    )
  })
})

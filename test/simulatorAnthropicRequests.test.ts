// What the simulated Anthropic turns down, as the real one would, and what it lets pass.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Script, type Simulator, startSimulator } from '../src/simulator/index.ts'
import { type Exchange, post } from './support/exchange.ts'
import { oddBodiesOf } from './support/oddBodies.ts'

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
const whole = async (body: Json, script?: Script) => JSON.parse((await ask({ ...base, ...body }, script)).text)

const thought = async (): Promise<Json> => (await whole({ thinking }, { reasoningTokens: 4 })).content[0]
const call = { type: 'tool_use', id: 't1', name: 'f', input: {} }
const result = { type: 'tool_result', tool_use_id: 't1', content: 'x' }
const loop = (...assistant: unknown[]) => [
  user,
  { role: 'assistant', content: assistant },
  { role: 'user', content: [result] },
]
const budget = { type: 'enabled', budget_tokens: 1024 }
const turn = (...content: unknown[]) => ({ messages: [{ role: 'user', content }] })
const image = (source: unknown) => turn({ type: 'image', source })

describe('refused with 400', () => {
  const schema = { type: 'object', properties: { a: { type: 'string' } } }
  const mark = { cache_control: { type: 'ephemeral' } }
  const cases: [string, unknown, string][] = [
    ['no JSON', '{"model":', 'not valid JSON'],
    ['an array', [], 'must be a JSON object'],
    ['no model', { model: undefined }, 'model: Field required'],
    ['no max_tokens', { max_tokens: undefined }, 'max_tokens: Field required'],
    ['max_tokens of nothing', { max_tokens: 0 }, 'max_tokens: Input should be greater than or equal to 1'],
    ['no messages', { messages: [] }, 'messages: at least one message is required'],
    ['an unknown parameter', { frequency_penalty: 1 }, 'frequency_penalty: Extra inputs are not permitted'],
    ['a null parameter', { temperature: null }, 'temperature: Input should be a valid number'],
    [
      'a system role',
      { messages: [{ role: 'system', content: 'x' }] },
      "messages.0.role: Input should be 'user' or 'assistant'",
    ],
    [
      'an assistant first',
      { messages: [{ role: 'assistant', content: 'x' }] },
      'first message must use the "user" role',
    ],
    ['an empty text', turn({ type: 'text', text: '' }), 'text content blocks must be non-empty'],
    ['an unknown block', turn({ type: 'image_url' }), 'messages.0.content.0.type: Input should be'],
    ['an empty turn', { messages: [{ role: 'user', content: [] }] }, 'must have non-empty content'],
    [
      'white space at the end of a prefill',
      { messages: [user, { role: 'assistant', content: 'So ' }] },
      'trailing whitespace',
    ],
    ['a field in a message', { messages: [{ ...user, name: 'x' }] }, 'messages.0.name: Extra inputs are not permitted'],
    [
      'an image of a wrong type',
      image({ type: 'base64', media_type: 'image/tiff', data: 'AAAA' }),
      'media_type: Input should be',
    ],
    [
      'an image that is no base64',
      image({ type: 'base64', media_type: 'image/png', data: '%' }),
      'should be valid base64',
    ],
    [
      'an image of another type than it says',
      image({ type: 'base64', media_type: 'image/jpeg', data: 'iVBORw0KGgoAAAANSUhEUg==' }),
      'specified using the image/jpeg media type, but the image appears to be a image/png image',
    ],
    ['a file address', image({ type: 'url', url: 'file:///etc/passwd' }), 'Only HTTP(S) URLs'],
    [
      'an unanswered call',
      { tools: [tool], messages: [user, { role: 'assistant', content: [call] }, user] },
      'without `tool_result` blocks immediately after: t1',
    ],
    [
      'an unanswered call at the end',
      { tools: [tool], messages: [user, { role: 'assistant', content: [call] }] },
      'without `tool_result` blocks',
    ],
    [
      'text before a result',
      {
        tools: [tool],
        messages: [
          user,
          { role: 'assistant', content: [call] },
          { role: 'user', content: [{ type: 'text', text: 'x' }, result] },
        ],
      },
      'without `tool_result` blocks',
    ],
    ['a result without a call', turn(result), 'unexpected `tool_use_id`'],
    [
      'the id of an earlier call',
      { tools: [tool], messages: [...loop(call), ...loop(call).slice(1)] },
      '`tool_use` ids must be unique',
    ],
    ['calls without tools', { messages: loop(call) }, 'must define tools'],
    [
      'an id with a dot',
      { tools: [tool], messages: loop({ ...call, id: 'a.b' }) },
      "tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
    ],
    [
      'an input that is text',
      { tools: [tool], messages: loop({ ...call, input: '{}' }) },
      'input: Input should be a valid dictionary',
    ],
    ['a tool without a schema', { tools: [{ name: 'f' }] }, 'tools.0.custom.input_schema: Field required'],
    [
      'a schema without a type',
      { tools: [{ name: 'f', input_schema: {} }] },
      'tools.0.custom.input_schema.type: Field required',
    ],
    [
      'a tool in OpenAI’s form',
      { tools: [{ type: 'function', function: { name: 'f' } }] },
      'does not match any of the expected tags',
    ],
    ['two tools of one name', { tools: [tool, tool] }, 'Tool names must be unique'],
    ['a choice without tools', { tool_choice: { type: 'auto' } }, 'only be specified while providing tools'],
    ['a choice of no tool', { tools: [tool], tool_choice: { type: 'tool', name: 'g' } }, 'not found in provided tools'],
    [
      'a choice as a word',
      { tools: [tool], tool_choice: 'auto' },
      "tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'",
    ],
    ['temperature above 1', { temperature: 1.5 }, 'temperature: Input should be less than or equal to 1'],
    ['temperature while thinking', { temperature: 0.5, thinking }, '`temperature` may only be set to 1'],
    ['top_k while thinking', { top_k: 5, thinking }, '`top_k` must be unset'],
    [
      'a small budget',
      { thinking: { type: 'enabled', budget_tokens: 5 } },
      'budget_tokens: Input should be greater than or equal to 1024',
    ],
    ['a budget as large as the cap', { max_tokens: 1024, thinking: budget }, '`max_tokens` must be greater than'],
    [
      'a budget and a forced call',
      { thinking: budget, tools: [tool], tool_choice: { type: 'any' } },
      'Thinking may not be enabled',
    ],
    ['a stop sequence of white space', { stop_sequences: [' '] }, 'must contain non-whitespace'],
    ['stop as a string', { stop_sequences: 'x' }, 'stop_sequences: Input should be a valid list'],
    ['a long user id', { metadata: { user_id: 'x'.repeat(513) } }, 'at most 512 characters'],
    ['other metadata', { metadata: { trace: 'x' } }, 'metadata.trace: Extra inputs are not permitted'],
    ['an unknown tier', { service_tier: 'flex' }, "service_tier: Input should be 'auto' or 'standard_only'"],
    ['an unknown effort', { output_config: { effort: 'minimal' } }, 'output_config.effort: Input should be'],
    [
      'an open schema',
      { output_config: { format: { type: 'json_schema', schema } } },
      "'additionalProperties' must be explicitly set to false",
    ],
    [
      'five cache marks',
      turn(...Array.from({ length: 5 }, () => ({ type: 'text', text: 'x', ...mark }))),
      'A maximum of 4 blocks',
    ],
    [
      'an unknown ttl',
      turn({ type: 'text', text: 'x', cache_control: { type: 'ephemeral', ttl: '2h' } }),
      "ttl: Input should be '5m' or '1h'",
    ],
  ]

  it.each(cases)('%s', async (_, body, says) => {
    const sent = typeof body === 'string' || Array.isArray(body) ? body : { ...base, ...(body as Json) }
    const reply = await ask(sent)
    expect(reply.status).toBe(400)
    const { type, error, request_id } = JSON.parse(reply.text)
    expect({ type, kind: error.type }).toEqual({ type: 'error', kind: 'invalid_request_error' })
    expect(error.message).toContain(says)
    expect(request_id).toMatch(/^req_\w+$/)
  })

  it('a request without a version, and sampling from the version on that has none', async () => {
    const none = await ask(base, {}, {})
    expect([none.status, JSON.parse(none.text).error.message]).toEqual([400, 'anthropic-version: header is required'])
    const next = { 'anthropic-version': '2026-10-21' }
    const newest = await ask({ ...base, temperature: 0.5 }, {}, next)
    expect([newest.status, JSON.parse(newest.text).error.message]).toEqual([
      400,
      'temperature: Extra inputs are not permitted',
    ])
    expect((await ask(base, {}, next)).status).toBe(200)
  })
})

describe('accepted', () => {
  const cases: [string, Json][] = [
    ['text blocks', turn({ type: 'text', text: 'Hi' })],
    [
      'system text and blocks',
      { system: [{ type: 'text', text: 'S', cache_control: { type: 'ephemeral', ttl: '1h' } }] },
    ],
    ['a prefill', { messages: [user, { role: 'assistant', content: 'So' }] }],
    ['two user turns', { messages: [user, user] }],
    [
      'an image and a document',
      turn(
        { type: 'image', source: { type: 'url', url: 'https://example.com/a.png' } },
        { type: 'document', title: 'T', source: { type: 'text', media_type: 'text/plain', data: 'x' } },
      ),
    ],
    [
      'every parameter',
      {
        temperature: 0.5,
        top_k: 4,
        stop_sequences: ['x'],
        metadata: { user_id: 'u' },
        service_tier: 'auto',
        output_config: { effort: 'low' },
      },
    ],
    ['a tool that Anthropic runs', { tools: [{ type: 'web_search_20250305', name: 'web_search' }] }],
    ['thinking that is off', { thinking: { type: 'disabled' } }],
    [
      'a failed result',
      {
        tools: [tool],
        messages: [
          user,
          { role: 'assistant', content: [call] },
          { role: 'user', content: [{ ...result, is_error: true }] },
        ],
      },
    ],
  ]
  it.each(cases)('%s', async (_, body) => {
    const { status, text } = await ask({ ...base, ...body })
    expect(status, text).toBe(200)
  })
})

describe('odd bodies', () => {
  it('each field of a full request replaced by each odd value: an answer or a 400, never a failure', async () => {
    const full = {
      ...base,
      system: [{ type: 'text', text: 'S', cache_control: { type: 'ephemeral' } }],
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'Hi' },
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } },
          ],
        },
        { role: 'assistant', content: [await thought(), call] },
        { role: 'user', content: [{ ...result, content: [{ type: 'text', text: 'x' }] }] },
      ],
      tools: [{ ...tool, strict: false }],
      tool_choice: { type: 'auto', disable_parallel_tool_use: true },
      thinking: budget,
      output_config: {
        effort: 'low',
        format: { type: 'json_schema', schema: { type: 'object', additionalProperties: false, properties: {} } },
      },
      stop_sequences: ['x'],
      metadata: { user_id: 'u' },
      stream: true,
    }
    const statuses = new Set<number>()
    for (const { path, body } of oddBodiesOf(full)) {
      const reply = await ask(body)
      expect([200, 400], `${path}: ${reply.text}`).toContain(reply.status)
      statuses.add(reply.status)
    }
    expect([...statuses].sort()).toEqual([200, 400])
  })

  it('nesting without end is answered: a 400 where this Node cannot write it', async () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
    const body = JSON.stringify({ ...base, tools: [{ ...tool, input_schema: { type: 'object', x: 'DEEP' } }] })
    expect([200, 400]).toContain((await ask(body.replace('"DEEP"', deep))).status)
  })
})

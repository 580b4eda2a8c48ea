// The simulator's replies: seeded, scripted field by field, over real HTTP.
import { Ajv } from 'ajv'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Script, type Simulator, startSimulator } from '../src/simulator/index.ts'
import { dataOf, type Exchange, eventsOf, post } from './support/exchange.ts'

let simulator: Simulator
beforeAll(async () => {
  simulator = await startSimulator({ seed: 7 })
})
afterAll(() => simulator.close())
beforeEach(() => simulator.reset())

const hello = [{ role: 'user', content: 'How far is the next station?' }]

function ask(script: Script, body: Record<string, unknown> = {}): Promise<Exchange> {
  return post(
    `${simulator.baseUrl}/chat/completions`,
    { model: 'any-model', messages: hello, ...body },
    scripted(script),
  )
}

function stream(script: Script, body: Record<string, unknown> = {}): Promise<Exchange> {
  return ask(script, { stream: true, ...body })
}

// Header values are latin1 on the wire: JSON's own escapes keep every character.
function scripted(script: Script): Record<string, string> {
  const text = JSON.stringify(script).replace(
    /[^\x20-\x7e]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return { 'x-sim-script': text }
}

const textOf = (reply: Exchange): string => JSON.parse(reply.text).choices[0].message.content
const streamedText = (reply: Exchange): string =>
  eventsOf(reply.text)
    .map((event) => event.choices[0]?.delta.content ?? '')
    .join('')

describe('plain replies', () => {
  it('answers any model name with text, usage and a vendor id', async () => {
    const reply = await ask({})
    const body = JSON.parse(reply.text)
    expect(reply.status).toBe(200)
    expect(reply.headers['content-type']).toBe('application/json')
    expect(reply.headers['x-request-id']).toMatch(/^req_[0-9a-f]{32}$/)
    expect(body).toMatchObject({ object: 'chat.completion', model: 'any-model', choices: [{ finish_reason: 'stop' }] })
    expect(body.id).toMatch(/^chatcmpl-\w{29}$/)
    expect(body.choices[0].message.content).toContain('How far is the next station?')
    expect(body.usage.total_tokens).toBe(body.usage.prompt_tokens + body.usage.completion_tokens)
  })

  it('gives equal bytes for equal seed and request, other text and ids for another seed', async () => {
    const [one, two] = [await ask({}), await ask({})]
    expect(two.text).toBe(one.text)
    const twin = await startSimulator({ seed: 7 })
    const other = await startSimulator({ seed: 8 })
    try {
      const same = await post(`${twin.baseUrl}/chat/completions`, { model: 'any-model', messages: hello }, scripted({}))
      expect(same.text).toBe(one.text)
      const different = await post(
        `${other.baseUrl}/chat/completions`,
        { model: 'any-model', messages: hello },
        scripted({}),
      )
      expect(JSON.parse(different.text).id).not.toBe(JSON.parse(one.text).id)
      expect(textOf(different)).not.toBe(textOf(one))
    } finally {
      await twin.close()
      await other.close()
    }
  })

  it('says the same words streamed and whole, and for every model', async () => {
    const [whole, streamed, other] = [await ask({}), await stream({}), await ask({}, { model: 'other-model' })]
    expect(streamedText(streamed)).toBe(textOf(whole))
    expect(textOf(other)).toBe(textOf(whole))
    expect(JSON.parse(other.text).id).not.toBe(JSON.parse(whole.text).id)
  })

  it('streams one id, the role first, one token a chunk and [DONE] last', async () => {
    const reply = await stream({ tokens: 12 })
    expect(reply.headers['content-type']).toBe('text/event-stream; charset=utf-8')
    const events = eventsOf(reply.text)
    expect(new Set(events.map((event) => event.id)).size).toBe(1)
    expect(events[0].choices[0].delta.role).toBe('assistant')
    expect(events.filter((event) => event.choices[0].delta.content)).toHaveLength(12)
    expect(events.at(-1).choices[0].finish_reason).toBe('stop')
    expect(dataOf(reply.text).at(-1)).toBe('[DONE]')
    expect(reply.text).not.toContain('"usage"')
  })

  it.each(['/v1/chat/completions', '/chat/completions', '/openai/v1/chat/completions', '/v1/chat/completions?a=b'])(
    'answers at %s',
    async (path) => {
      expect((await post(`${simulator.url}${path}`, { model: 'm', messages: hello })).status).toBe(200)
    },
  )

  it('answers at an Azure deployment, which names the model', async () => {
    const path = '/openai/deployments/my-gpt%2D4o/chat/completions?api-version=2024-10-21'
    const reply = await post(`${simulator.url}${path}`, { messages: hello })
    expect(JSON.parse(reply.text).model).toBe('my-gpt-4o')
  })

  it('keeps to max_tokens, stop and n as the request says', async () => {
    const cut = JSON.parse((await ask({}, { max_tokens: 3 })).text)
    expect(cut.choices[0].finish_reason).toBe('length')
    expect(cut.usage.completion_tokens).toBe(3)
    expect(textOf(await ask({ text: 'one two three' }, { stop: ['two', 'three'] }))).toBe('one ')
    const many = JSON.parse((await ask({ tokens: 5 }, { n: 3 })).text)
    expect(many.choices.map((choice: { index: number }) => choice.index)).toEqual([0, 1, 2])
    expect(many.usage.completion_tokens).toBe(15)
    const finishes = eventsOf((await stream({}, { n: 2 })).text).filter((event) => event.choices[0].finish_reason)
    expect(finishes.map((event) => event.choices[0].index)).toEqual([0, 1])
  })

  it('gives log probabilities on request', async () => {
    const body = JSON.parse((await ask({ tokens: 4 }, { logprobs: true })).text)
    const { content } = body.choices[0].logprobs
    expect(content.map((entry: { token: string }) => entry.token).join('')).toBe(body.choices[0].message.content)
  })

  it('acknowledges images and counts them', async () => {
    const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } }
    const messages = [{ role: 'user', content: [{ type: 'text', text: 'What is this?' }, image, image] }]
    const body = JSON.parse((await ask({}, { messages })).text)
    expect(body.choices[0].message.content).toContain('2 images')
    expect(body.usage.prompt_tokens).toBeGreaterThan(2 * 765)
  })
})

describe('script fields', () => {
  it('text: fixed', async () => {
    expect(textOf(await ask({ text: 'Platform 9¾ – naïve 🚂' }))).toBe('Platform 9¾ – naïve 🚂')
    expect(streamedText(await stream({ text: 'Platform 9¾ – naïve 🚂' }))).toBe('Platform 9¾ – naïve 🚂')
  })

  it('tokens: exact length, also below and above the opening', async () => {
    for (const tokens of [0, 1, 40, 500]) {
      expect(JSON.parse((await ask({ tokens })).text).usage.completion_tokens).toBe(tokens)
    }
  })

  it('headersDelayMs, firstTokenMs, tokensPerSecond: each takes its time', async () => {
    const late = await ask({ headersDelayMs: 60 })
    expect(late.headersMs).toBeGreaterThanOrEqual(59)
    const slow = await stream({ firstTokenMs: 80, tokensPerSecond: 100, tokens: 20 })
    expect(slow.headersMs).toBeLessThan(slow.endMs - 100)
    expect(slow.endMs).toBeGreaterThanOrEqual(80 + 19 * 10 - 2)
    // Paced tokens come one by one: more than one piece of content after the headers.
    expect(slow.pieces.length).toBeGreaterThan(3)
    const whole = await ask({ firstTokenMs: 40, tokensPerSecond: 200, tokens: 9 })
    expect(whole.headersMs).toBeGreaterThanOrEqual(40 + 8 * 5 - 2)
  })

  it('toolCalls: given ones, verbatim, parallel, in pieces or whole', async () => {
    const script: Script = {
      toolCalls: [
        { name: 'look', arguments: { city: 'Zürich', days: [1, 2, 3], note: 'a longer text to be cut' } },
        { name: 'broken', arguments: '{"not json' },
      ],
    }
    const message = JSON.parse((await ask(script)).text).choices[0]
    expect(message.finish_reason).toBe('tool_calls')
    expect(message.message.content).toBeNull()
    const expected = [
      ['look', '{"city":"Zürich","days":[1,2,3],"note":"a longer text to be cut"}'],
      ['broken', '{"not json'],
    ]
    expect(message.message.tool_calls.map((c: WireCall) => [c.function?.name, c.function?.arguments])).toEqual(expected)
    for (const fragmented of [true, false]) {
      const deltas = callDeltas(await stream({ ...script, fragmented }))
      expect(rebuild(deltas).map(({ name, input }) => [name, input])).toEqual(expected)
      expect(deltas.map((delta) => delta.index)).toEqual([...deltas.map((delta) => delta.index)].sort())
      if (fragmented) expect(deltas.length).toBeGreaterThan(4)
      else expect(deltas).toHaveLength(2)
    }
  })

  it('toolCalls auto: two tools, or one tool for two things, or one when parallel is off', async () => {
    const ask2 = async (
      tools: unknown[],
      question: string,
      more: Record<string, unknown> = {},
      script: Script = {},
    ) => {
      const messages = [{ role: 'user', content: question }]
      const reply = await ask({ toolCalls: 'auto', ...script }, { messages, tools, ...more })
      return JSON.parse(reply.text).choices[0].message.tool_calls.map((call: WireCall) => [
        call.function?.name,
        JSON.parse(call.function?.arguments ?? ''),
      ])
    }
    expect(await ask2([weather, clock], 'Weather and time in Paris?')).toEqual([
      ['get_weather', { city: 'Paris' }],
      ['get_time', { city: 'Paris' }],
    ])
    expect(await ask2([weather], 'What is the weather in Paris and New York?')).toEqual([
      ['get_weather', { city: 'Paris' }],
      ['get_weather', { city: 'New York' }],
    ])
    expect(await ask2([weather, clock], 'In Paris?', { parallel_tool_calls: false })).toHaveLength(1)
    expect(await ask2([weather, clock], 'In Paris?', {}, { parallel: false })).toHaveLength(1)
    const named = { tool_choice: { type: 'function', function: { name: 'get_time' } } }
    expect(await ask2([weather, clock], 'In Paris?', named)).toEqual([['get_time', { city: 'Paris' }]])
  })

  it('calls no tool unasked, one when required, none when forbidden; answers from the results', async () => {
    const tools = [weather]
    const plain = JSON.parse((await ask({}, { tools })).text).choices[0]
    expect(plain.finish_reason).toBe('stop')
    const required = JSON.parse((await ask({}, { tools, tool_choice: 'required' })).text).choices[0]
    expect(required.finish_reason).toBe('tool_calls')
    const forbidden = JSON.parse((await ask({ toolCalls: 'auto' }, { tools, tool_choice: 'none' })).text).choices[0]
    expect(forbidden.finish_reason).toBe('stop')
    const messages = [
      ...hello,
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'a', type: 'function', function: { name: 'get_weather', arguments: '{}' } }],
      },
      { role: 'tool', tool_call_id: 'a', content: 'eleven degrees' },
    ]
    const answered = await ask({ toolCalls: 'auto' }, { tools, messages })
    expect(textOf(answered)).toContain('get_weather: eleven degrees')
  })

  it('reasoningTokens, reasoningText: counted, shown or hidden', async () => {
    const shown = JSON.parse((await ask({ reasoningTokens: 9, tokens: 4 })).text)
    expect(shown.usage.completion_tokens).toBe(13)
    expect(shown.usage.completion_tokens_details.reasoning_tokens).toBe(9)
    expect(shown.choices[0].message.reasoning_content).not.toBe('')
    const events = eventsOf((await stream({ reasoningTokens: 9, tokens: 4 })).text)
    expect(events.filter((event) => event.choices[0].delta.reasoning_content)).toHaveLength(9)
    const hidden = await stream(
      { reasoningTokens: 9, tokens: 4, reasoningText: false },
      { stream_options: { include_usage: true } },
    )
    expect(hidden.text).not.toContain('reasoning_content')
    expect(eventsOf(hidden.text).at(-1).usage.completion_tokens_details.reasoning_tokens).toBe(9)
  })

  it('cachedTokens, usage: reported and part of the totals', async () => {
    const cached = JSON.parse((await ask({ cachedTokens: 1024 })).text).usage
    expect(cached.prompt_tokens_details.cached_tokens).toBe(1024)
    expect(cached.prompt_tokens).toBeGreaterThanOrEqual(1024)
    const given = JSON.parse(
      (await ask({ usage: { promptTokens: 5, completionTokens: 6, cacheWriteTokens: 2 } })).text,
    ).usage
    expect(given).toMatchObject({ prompt_tokens: 5, completion_tokens: 6, total_tokens: 11 })
    expect(given.prompt_tokens_details.cache_write_tokens).toBe(2)
  })

  it('usageMode, usageOnChoices: asked, unasked, never, on the finish chunk', async () => {
    const include = { stream_options: { include_usage: true } }
    const asked = eventsOf((await stream({}, include)).text)
    expect(asked.at(-1).choices).toEqual([])
    expect(asked.at(-1).usage.prompt_tokens).toBeGreaterThan(0)
    expect(asked.slice(0, -1).every((event) => event.usage === null)).toBe(true)
    expect(eventsOf((await stream({ usageMode: 'always' })).text).at(-1).usage).toBeTruthy()
    expect((await stream({ usageMode: 'never' }, include)).text).not.toContain('prompt_tokens')
    expect((await ask({ usageMode: 'never' })).text).not.toContain('prompt_tokens')
    const last = eventsOf((await stream({ usageOnChoices: true }, include)).text).at(-1)
    expect(last.choices[0].finish_reason).toBe('stop')
    expect(last.usage.prompt_tokens).toBeGreaterThan(0)
  })

  it('finishReason, roleChunk, emptyChoicesFirst, done, headers', async () => {
    expect(JSON.parse((await ask({ finishReason: 'eos' })).text).choices[0].finish_reason).toBe('eos')
    const merged = eventsOf((await stream({ roleChunk: false })).text)[0].choices[0].delta
    expect(merged.role).toBe('assistant')
    expect(merged.content).not.toBe('')
    expect((await stream({ roleChunk: 'absent' })).text).not.toContain('"role"')
    expect(eventsOf((await stream({ emptyChoicesFirst: true })).text)[0].choices).toEqual([])
    expect((await stream({ done: false })).text).not.toContain('[DONE]')
    const reply = await ask({ headers: { 'x-ratelimit-remaining-tokens': '7', 'X-Request-Id': 'mine' } })
    expect(reply.headers).toMatchObject({ 'x-ratelimit-remaining-tokens': '7', 'x-request-id': 'mine' })
  })

  it('keepAliveMs: comments while nothing is generated', async () => {
    const reply = await stream({ keepAliveMs: 10, firstTokenMs: 200 })
    expect(reply.text.match(/^: keep-alive$/gm)?.length).toBeGreaterThan(3)
    expect(streamedText(reply)).toBe(streamedText(await stream({})))
  })

  it('lineEnding: CRLF and CR carry the same events', async () => {
    const lf = await stream({})
    for (const lineEnding of ['\r\n', '\r'] as const) {
      const reply = await stream({ lineEnding })
      expect(reply.text).toContain(`${lineEnding}${lineEnding}`)
      expect(dataOf(reply.text).length).toBe(dataOf(lf.text).length)
      if (lineEnding === '\r') expect(reply.text).not.toContain('\n')
      expect(streamedText(reply)).toBe(streamedText(lf))
    }
  })

  it('split: small pieces, torn characters included, add up to the same bytes', async () => {
    const script: Script = { text: 'naïve 東京 🚂'.repeat(5) }
    for (const make of [ask, stream]) {
      const whole = await make(script)
      for (const split of [1, 7]) {
        const reply = await make({ ...script, split })
        const bare = (text: string) => text.replace(/chatcmpl-\w+/g, '')
        expect(bare(reply.text)).toBe(bare(whole.text))
        expect(reply.pieces.length).toBeGreaterThan(20)
        expect(reply.pieces.some((piece) => piece.toString('utf8').includes('\ufffd'))).toBe(true)
      }
    }
  })

  it('json, response_format: an object that fits the schema', async () => {
    expect(typeof JSON.parse(textOf(await ask({ json: true })))).toBe('object')
    expect(typeof JSON.parse(textOf(await ask({}, { response_format: { type: 'json_object' } })))).toBe('object')
    const schema = {
      type: 'object',
      properties: {
        name: { type: 'string', minLength: 3, maxLength: 12 },
        age: { type: 'integer', minimum: 18, maximum: 20 },
        ratio: { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 2 },
        kind: { enum: ['a', 'b'] },
        note: { type: ['string', 'null'] },
        tags: { type: 'array', items: { type: 'string' }, minItems: 2, maxItems: 3 },
        when: { type: 'string', format: 'date-time' },
        either: { anyOf: [{ type: 'null' }, { $ref: '#/$defs/leaf' }] },
        tree: { $ref: '#/$defs/node' },
        both: { allOf: [{ $ref: '#/$defs/leaf' }, { properties: { b: { const: 2 } }, required: ['b'] }] },
      },
      required: ['name', 'age', 'ratio', 'kind', 'note', 'tags', 'when', 'either', 'tree', 'both'],
      additionalProperties: false,
      $defs: {
        leaf: { type: 'object', properties: { a: { type: 'boolean' } }, required: ['a'] },
        node: {
          type: 'object',
          properties: {
            value: { type: 'integer', multipleOf: 5 },
            children: { type: 'array', items: { $ref: '#/$defs/node' } },
          },
          required: ['value', 'children'],
        },
      },
    }
    const response_format = { type: 'json_schema', json_schema: { name: 'person', schema, strict: true } }
    const validate = new Ajv({ strict: false, logger: false }).compile(schema)
    for (const question of ['one', 'two', 'three', 'four', 'five']) {
      const messages = [{ role: 'user', content: question }]
      const value = JSON.parse(textOf(await ask({}, { response_format, messages })))
      expect(validate(value), JSON.stringify(validate.errors)).toBe(true)
    }
  })

  it('a schema that asks for endless values gets a bounded one', async () => {
    const names = Array.from({ length: 12 }, (_, i) => `p${i}`)
    const schema = {
      type: 'object',
      properties: Object.fromEntries(names.map((name) => [name, { $ref: '#' }])),
      required: names,
    }
    const reply = await ask({}, { response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } })
    expect(reply.status).toBe(200)
    expect(reply.text.length).toBeLessThan(1_000_000)
  })
})

interface WireCall {
  index?: number
  id?: string
  function?: { name?: string; arguments?: string }
}

const tool = (name: string) => ({
  type: 'function',
  function: { name, parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } },
})
const weather = tool('get_weather')
const clock = tool('get_time')

function callDeltas(reply: Exchange): WireCall[] {
  return eventsOf(reply.text).flatMap((event) => event.choices[0].delta.tool_calls ?? [])
}

function rebuild(deltas: WireCall[]): { id: string; name: string; input: string }[] {
  const calls: { id: string; name: string; input: string }[] = []
  for (const delta of deltas) {
    const index = delta.index ?? -1
    const call = calls[index]
    if (call) call.input += delta.function?.arguments ?? ''
    else calls[index] = { id: delta.id ?? '', name: delta.function?.name ?? '', input: delta.function?.arguments ?? '' }
  }
  return calls
}

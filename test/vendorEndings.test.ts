// Answers that a vendor gave up within a 200, and refusals of one request: the first go to the next target, the others shut none.
import OpenAI from 'openai'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { ask, CHAT, chunk, reply, usage, usageChunk } from './support/chatBodies.ts'
import { type Exchange, post } from './support/exchange.ts'
import { type FakeUpstream, sendJson, sendSse, sseText, startFakeUpstream } from './support/fakeUpstream.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'

type Json = Record<string, unknown>

interface Answer {
  status?: number
  body?: Json
  events?: Json[]
  /** Of a stream, as it is. */
  text?: string
}

/** What the first target is to answer; undefined for a good answer. The spare one always gives one. */
let answer: Answer | undefined
let upstream: FakeUpstream | undefined
let gateway: TestGateway

const good = { stream: [chunk({ content: 'all of it' }), chunk({}, 'stop'), usageChunk], whole: reply('all of it') }

beforeEach(async () => {
  upstream ??= await startFakeUpstream((req, res, raw) => {
    const { stream } = JSON.parse(raw.toString()) as { stream?: boolean }
    const told = req.url!.startsWith('/spare') ? undefined : answer
    if (told?.status) return sendJson(res, told.status, told.body)
    if (stream) return sendSse(res, told?.text ?? sseText(told?.events ?? good.stream))
    return sendJson(res, 200, told?.body ?? good.whole)
  })
  await gateway?.close()
  const vendor = (base: string) => ({
    kind: 'openai-compatible',
    baseUrl: `${upstream!.url}${base}`,
    apiKey: 'sk-test-01234',
  })
  gateway = await startGateway({
    providers: { vendor: vendor('/v1'), spare: vendor('/spare/v1') },
    routes: {
      m: { targets: ['vendor/m', 'spare/m'], cache: { deterministicOnly: false } },
      alone: { targets: ['vendor/m'], cache: { deterministicOnly: false } },
      long: { targets: ['vendor/m'], onContextWindow: ['spare/m'] },
    },
    prices: { '*': { input: 1, output: 5 } },
  })
})
afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})

const chat = (model: string, more: Json = {}): Promise<Exchange> => post(gateway.url + CHAT, ask(model, more))

describe('an answer that the vendor gave up', () => {
  const half = (choice: Json): Answer => ({
    body: reply('half', choice),
    events: [chunk({ content: '' }), { ...chunk({}), choices: [{ index: 0, delta: {}, ...choice }], usage }],
  })
  const endings: [string, Json, string, RegExp][] = [
    ['error', { finish_reason: 'error' }, 'in_band', /finish reason "error"/],
    [
      'an error in the choice',
      { finish_reason: 'error', error: { code: 502, message: 'Provider returned error' } },
      'server_error',
      /^502 Provider returned error$/,
    ],
    ['abort', { finish_reason: 'abort' }, 'in_band', /finish reason "abort"/],
    ['no resources', { finish_reason: 'insufficient_system_resource' }, 'overloaded', /insufficient_system_resource/],
  ]

  it.each(endings)('%s: the next target is asked, and both are paid for', async (_, choice) => {
    answer = half(choice)
    for (const stream of [false, true]) {
      const { status, text, headers } = await chat('m', { stream })
      expect([status, headers['x-turnout-target']]).toEqual([200, 'spare/m'])
      expect(text).toContain('all of it')
      // What the vendor said of its usage is what its part cost.
      const each = 1000 * usage.prompt_tokens + 5000 * usage.completion_tokens
      expect(gateway.lines.at(-1)).toMatchObject({ attempts: 2, costNanoUsd: 2 * each })
    }
  })

  it.each(endings)(
    '%s: without another target it is an error to the client, and never kept',
    async (_, choice, fault, says) => {
      const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'none', maxRetries: 0 })
      for (const stream of [false, true]) {
        answer = half(choice)
        const asked = { ...ask('alone', { seed: Number(stream) }), stream } as OpenAI.ChatCompletionCreateParams
        await expect(client.chat.completions.create(asked)).rejects.toThrow(says)
        expect(gateway.lines.at(-1)).toMatchObject({ outcome: 'failed', fault })
        answer = undefined
        expect((await chat('alone', { stream, seed: Number(stream) })).headers['x-turnout-cache']).toBe('miss')
      }
    },
  )

  it('after content has gone out, the stream ends in an error', async () => {
    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'none', maxRetries: 0 })
    const begun = chunk({ content: 'half' })
    for (const [ending, says] of [
      [chunk({}, 'insufficient_system_resource'), /insufficient_system_resource/],
      // Groq's own field, beside a reason that sounds good.
      [{ ...chunk({}, 'stop'), x_groq: { id: 'req_1', error: 'over capacity', usage } }, /over capacity/],
    ] as const) {
      answer = { events: [begun, ending] }
      let text = ''
      const read = async (): Promise<void> => {
        const asked = { ...ask('alone'), stream: true, seed: 1 } as OpenAI.ChatCompletionCreateParamsStreaming
        for await (const { choices } of await client.chat.completions.create(asked))
          text += choices[0]?.delta.content ?? ''
      }
      await expect(read()).rejects.toThrow(says)
      expect(text).toBe('half')
      expect(gateway.lines.at(-1)).toMatchObject({ outcome: 'partial' })
    }
  })
})

describe('a refusal', () => {
  const error = (message: string, more: Json = {}): Json => ({ error: { message, ...more } })

  it.each<[string, number, Json, string]>([
    [
      'OpenRouter flags what was asked',
      403,
      error('a/b requires moderation on A. Your input was flagged for "violence". No credits were charged.', {
        code: 403,
        metadata: { reasons: ['violence'], flagged_input: 'hi', provider_name: 'A' },
      }),
      'content_policy',
    ],
    [
      'xAI flags what was asked',
      403,
      {
        code: 'The caller does not have permission',
        error: 'Content violates usage guidelines. Team: x, Model: grok-4.',
      },
      'content_policy',
    ],
    [
      'OpenAI flags what was asked',
      400,
      error('Invalid prompt: your prompt was flagged as potentially violating our usage policy.', {
        type: 'invalid_request_error',
        param: null,
        code: 'invalid_prompt',
      }),
      'content_policy',
    ],
    [
      'OpenRouter has none that takes pictures',
      404,
      error('No endpoints found that support image input', { code: 404 }),
      'bad_request',
    ],
    [
      'OpenAI has no such file',
      404,
      error('No such File object: file-abc123', { type: 'invalid_request_error', param: 'file_id' }),
      'bad_request',
    ],
    [
      'the message quotes words that mean an account without money',
      400,
      error("Invalid value: 'insufficient_quota'. Supported values are: 'text' and 'json_object'.", {
        type: 'invalid_request_error',
        param: 'response_format.type',
        code: 'invalid_value',
      }),
      'bad_request',
    ],
    [
      'the message quotes a key',
      400,
      error('Unknown tool "authentication_error" in `invalid_api_key`.', { type: 'invalid_request_error' }),
      'bad_request',
    ],
    [
      "vLLM's list of faults says back what the client wrote",
      400,
      error(
        "[{'type': 'literal_error', 'loc': ('body', 'tool_choice'), 'msg': \"Input should be 'none'\", 'input': 'insufficient_quota'}]",
        { type: 'BadRequestError', param: null, code: 400 },
      ),
      'bad_request',
    ],
    [
      'the parameter is one that means a failing server elsewhere',
      400,
      error('Unrecognized request argument supplied: request_timeout', { type: 'invalid_request_error' }),
      'bad_request',
    ],
    [
      'the picture cannot be had',
      400,
      error('Timeout while downloading https://example.com/a.png.', { code: 'invalid_image_url' }),
      'bad_request',
    ],
    // It may speak of one of the client's own `models`.
    [
      'one of the models that OpenRouter lacks',
      400,
      error('a/b is not a valid model ID', { code: 400 }),
      'bad_request',
    ],
    [
      'a model that a tool of the request names',
      400,
      error('No such model', { code: 'model_not_found', param: 'tools[0].model' }),
      'bad_request',
    ],
    [
      'a parameter that speaks of the length',
      400,
      error("Invalid value: 'context length'. Supported values are: 'auto'", { param: 'truncation' }),
      'bad_request',
    ],
    [
      'the model takes no tools, as Ollama says it',
      400,
      error('llama does not support tools', { type: 'api_error' }),
      'bad_request',
    ],
    [
      'the message repeats what a parameter was set to',
      400,
      error('No such voice: credit balance', { type: 'invalid_request_error', param: 'audio.voice' }),
      'bad_request',
    ],
  ])('of one request shuts the target for nobody: %s', async (_, status, body, fault) => {
    answer = { status, body }
    for (const stream of [false, true]) {
      const refused = await chat('m', { stream })
      expect([refused.status, refused.headers['x-turnout-error']]).toEqual([status, fault])
      expect(JSON.parse(refused.text)).toMatchObject(body.code ? {} : body)
    }
    answer = undefined
    expect((await chat('m')).headers['x-turnout-target']).toBe('vendor/m')
  })

  it.each<[string, number, Json, string]>([
    ['no right to the model', 403, error('Your team may not use this model.'), 'permission_denied'],
    ['no such model', 404, error('No endpoints found for a/b.', { code: 404 }), 'model_not_found'],
    [
      "a path that llama.cpp's server does not have",
      404,
      error('File Not Found', { code: 404, type: 'not_found_error' }),
      'model_not_found',
    ],
    ['no credit', 400, error("You've run low: your credit balance is too low, it's over."), 'quota_exhausted'],
    [
      'no credit, in the words of a proxy',
      400,
      error('AnthropicException - {"error":{"message":"Your credit balance is too low for this."}}'),
      'quota_exhausted',
    ],
    [
      'a wrong key, in the quotes of a proxy',
      400,
      error('VendorException - {"type":"error","error":{"type":"authentication_error"}}'),
      'auth_failed',
    ],
    [
      'no money, and no parameter',
      400,
      error('You have an insufficient balance.', { param: 'None' }),
      'quota_exhausted',
    ],
    [
      'nobody of those that the account allows',
      404,
      error('No allowed providers are available for the selected model.', { code: 404 }),
      'model_not_found',
    ],
    [
      'no credit at xAI',
      429,
      { code: 'Some resource has been exhausted', error: 'Your team has either used all available credits or …' },
      'quota_exhausted',
    ],
    [
      'a model that Groq has no more',
      400,
      error('The model `m` has been decommissioned.', { type: 'invalid_request_error', code: 'model_decommissioned' }),
      'model_not_found',
    ],
    [
      'a model that DeepSeek lacks',
      400,
      error('Model Not Exist', { code: 'invalid_request_error' }),
      'model_not_found',
    ],
    [
      'a model that Mistral lacks',
      400,
      { object: 'error', message: 'Invalid model: m', type: 'invalid_model', code: '1500' },
      'model_not_found',
    ],
    [
      'an account that Fireworks has suspended',
      412,
      error('Account a is suspended, possibly due to reaching the monthly spending limit.', {
        code: 'PRECONDITION_FAILED',
        type: 'invalid_request_error',
      }),
      'quota_exhausted',
    ],
    ['a wrong key', 400, error("Incorrect API key provided: 'sk-1'."), 'auth_failed'],
    [
      'an account at OpenAI without a way to pay',
      429,
      error('Your account is not active, please check your billing details on our website.', {
        type: 'billing_not_active',
        param: null,
        code: 'billing_not_active',
      }),
      'quota_exhausted',
    ],
    [
      'an account at Groq that has spent its limit',
      400,
      error('API access is blocked: the spend limit is reached.', { code: 'blocked_api_access' }),
      'quota_exhausted',
    ],
    [
      'an account that Groq has shut',
      400,
      error('Organization has been restricted. Please reach out to support if you believe this was in error.', {
        type: 'invalid_request_error',
        code: 'organization_restricted',
      }),
      'auth_failed',
    ],
  ])('of the account goes to the next target, and shuts this one: %s', async (_, status, body, fault) => {
    answer = { status, body }
    const first = await chat('m', { seed: 1 })
    expect([first.status, first.headers['x-turnout-target'], first.headers['x-turnout-attempts']]).toEqual([
      200,
      'spare/m',
      '2',
    ])
    answer = undefined
    const next = await chat('m', { seed: 2 })
    expect([next.headers['x-turnout-target'], next.headers['x-turnout-attempts']]).toEqual(['spare/m', '1'])
    answer = { status, body }
    expect((await chat('alone')).headers['x-turnout-error']).toBe(fault)
  })

  it('of more tokens than Groq lets the account have in a minute goes to the next target, and shuts nothing', async () => {
    const message = 'Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 9000'
    answer = { status: 413, body: error(message, { type: 'tokens', code: 'rate_limit_exceeded' }) }
    // More than the five failures in a row that shut a target.
    for (let seed = 1; seed < 8; seed++) {
      const large = await chat('m', { seed })
      expect([large.status, large.headers['x-turnout-target'], large.headers['x-turnout-attempts']]).toEqual([
        200,
        'spare/m',
        '2',
      ])
    }
    answer = undefined
    expect((await chat('m', { seed: 8 })).headers['x-turnout-target']).toBe('vendor/m')
  })

  const overlong: [string, number, Json][] = [
    [
      'xAI',
      400,
      { code: 'Client specified an invalid argument', error: "This model's maximum prompt length is 8 but …" },
    ],
    ['vLLM', 400, error('The decoder prompt (length 9) is longer than the maximum model length of 8.', { code: 400 })],
    [
      'llama.cpp',
      400,
      error('request (9 tokens) exceeds the available context size (8 tokens)', {
        code: 400,
        type: 'exceed_context_size_error',
      }),
    ],
    [
      'SGLang',
      400,
      { object: 'error', message: "The input (9 tokens) is longer than the model's context length (8)." },
    ],
    ['Together', 422, error('Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8. Given: 9')],
    ['TGI', 422, error('Input validation error: `inputs` must have less than 8 tokens. Given: 9')],
  ]
  it.each(overlong)('of a prompt that is too long goes where such prompts go: %s', async (_, status, body) => {
    answer = { status, body }
    const { headers } = await chat('long')
    expect([headers['x-turnout-target'], headers['x-turnout-attempts']]).toEqual(['spare/m', '2'])
    expect((await chat('alone')).headers['x-turnout-error']).toBe('context_window')
  })

  it.each<[string, Json]>([
    [
      'Groq quotes the tool that the model called',
      error(
        "tool call validation failed: attempted to call tool 'insufficient_balance' which was not in request.tools",
        {
          type: 'invalid_request_error',
          code: 'tool_use_failed',
        },
      ),
    ],
    [
      'what a parameter was set to',
      error('No such voice: credit balance', { type: 'invalid_request_error', param: 'audio.voice' }),
    ],
  ])('within a 200 that only quotes what means a bad account shuts the target for nobody: %s', async (_, told) => {
    for (const stream of [true, false]) {
      answer = { body: told, events: [told] }
      expect((await chat('m', { stream, seed: 1 })).headers['x-turnout-target']).toBe('spare/m')
      answer = undefined
      expect((await chat('m', { stream, seed: 2 })).headers['x-turnout-target']).toBe('vendor/m')
    }
  })

  it('within a 200 is one in the other form of errors, too', async () => {
    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'none', maxRetries: 0 })
    const told = { object: 'error', message: 'The engine is overloaded.', type: 'ServiceUnavailable', code: 503 }
    const read = async (events: Json[], stream: boolean): Promise<void> => {
      answer = { body: told, events }
      const asked = { ...ask('alone'), stream } as OpenAI.ChatCompletionCreateParamsStreaming
      for await (const _ of await client.chat.completions.create(asked));
    }
    for (const stream of [false, true]) {
      await expect(read([told], stream)).rejects.toThrow('The engine is overloaded.')
      expect(gateway.lines.at(-1)).toMatchObject({ outcome: 'failed', fault: 'overloaded' })
    }
    await expect(read([chunk({ content: 'half' }), told], true)).rejects.toThrow('The engine is overloaded.')
    expect(gateway.lines.at(-1)).toMatchObject({ outcome: 'partial', fault: 'overloaded' })
  })

  it('in a stream without the form of an event is one, too', async () => {
    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'none', maxRetries: 0 })
    const bare = '{"error":"The model runner has stopped, overloaded."}\n'
    const read = async (text: string): Promise<void> => {
      answer = { text }
      const asked = { ...ask('alone'), stream: true } as OpenAI.ChatCompletionCreateParamsStreaming
      for await (const _ of await client.chat.completions.create(asked));
    }
    await expect(read(bare)).rejects.toMatchObject({ status: 503, message: expect.stringContaining('has stopped') })
    await expect(read(sseText([chunk({ content: 'half' })], { done: false }) + bare)).rejects.toThrow('has stopped')
    expect(gateway.lines.at(-1)).toMatchObject({ outcome: 'partial', fault: 'overloaded' })
  })

  it("for want of room goes to the next target: 498 is Groq's word for it", async () => {
    answer = { status: 498, body: error('Flex tier capacity exceeded.', { code: 'capacity_exceeded' }) }
    for (const stream of [false, true]) {
      const { status, headers } = await chat('m', { stream })
      expect([status, headers['x-turnout-target']]).toEqual([200, 'spare/m'])
    }
    expect((await chat('alone')).headers['x-turnout-error']).toBe('overloaded')
  })
})

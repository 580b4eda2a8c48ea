// The simulated Gemini: its replies by the published schema, what it turns down, and its errors in Google's shape.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Script, type Simulator, startSimulator } from '../src/simulator/index.ts'
import { type Exchange, eventsOf, get, post } from './support/exchange.ts'
import { oddBodiesOf } from './support/oddBodies.ts'
import { complaints } from './support/openaiSchema.ts'
import { hasShared, needsShared } from './support/shared.ts'
import { replyValidators } from './support/vendorReplies.ts'

type Json = Record<string, unknown>

let simulator: Simulator
let base: string
beforeAll(async () => {
  simulator = await startSimulator({ seed: 7 })
  base = `${simulator.url}/v1beta/models`
})
afterAll(() => simulator.close())

const user = { role: 'user', parts: [{ text: 'How far is Paris?' }] }
const declaration = {
  name: 'f',
  parameters: { type: 'OBJECT', properties: { city: { type: 'STRING' } }, required: ['city'] },
}
const tools = [{ functionDeclarations: [declaration] }]
const shown = { thinkingConfig: { includeThoughts: true } }

const ask = (
  body: unknown,
  script: Script = {},
  model = 'gemini-test',
  method = 'generateContent',
): Promise<Exchange> => post(`${base}/${model}:${method}`, body, { 'x-sim-script': JSON.stringify(script) })
const whole = async (body: Json, script?: Script, model?: string) =>
  JSON.parse((await ask({ contents: [user], ...body }, script, model)).text)
const streamed = async (body: Json, script?: Script, model?: string) =>
  eventsOf((await ask({ contents: [user], ...body }, script, model, 'streamGenerateContent?alt=sse')).text)

/** Puts a stream together: texts of one kind are one part. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into wire objects freely
function gather(events: any[]): any {
  const last = events.at(-1)
  const candidates: Json[] = []
  for (const { candidates: list = [] } of events) {
    for (const { index, content, ...more } of list) {
      candidates[index] ??= { content: { role: 'model' }, index }
      const known = candidates[index] as { content: { parts?: Json[] } }
      const { logprobsResult: _, ...end } = more
      Object.assign(known, end)
      for (const part of content.parts ?? []) {
        known.content.parts ??= []
        const before = known.content.parts.at(-1)
        const grows = before?.text !== undefined && part.text !== undefined && before.thought === part.thought
        if (grows) Object.assign(before, { ...part, text: `${before.text}${part.text}` })
        else known.content.parts.push({ ...part })
      }
    }
  }
  return candidates.length > 0 ? { ...last, candidates } : last
}

const shapes: [string, Json, Script, string?][] = [
  ['text', {}, {}],
  ['shown thoughts', { generationConfig: shown }, { reasoningTokens: 6 }],
  ['hidden thoughts', {}, { reasoningTokens: 6 }],
  ['calls with ids', { tools }, { toolCalls: 'auto' }],
  ['calls without ids', { tools }, { toolCalls: 'auto' }, 'gemini-2.5-flash'],
  ['thoughts and calls', { tools, generationConfig: shown }, { toolCalls: 'auto', reasoningTokens: 5 }],
  ['a cap', { generationConfig: { maxOutputTokens: 5 } }, {}],
  ['three candidates', { generationConfig: { candidateCount: 3 } }, {}],
  ['a filtered answer', {}, { finishReason: 'content_filter', text: '' }],
  ['a blocked prompt', {}, { blockReason: 'PROHIBITED_CONTENT' }],
  [
    'a JSON schema',
    { generationConfig: { responseMimeType: 'application/json', responseSchema: declaration.parameters } },
    {},
  ],
  ['cached and heard tokens', {}, { usage: { promptTokens: 1000, cachedTokens: 300, audioInTokens: 40 } }],
]

describe.runIf(hasShared)(`by the published schema${needsShared}`, () => {
  it.each(shapes)('%s, whole and streamed alike', async (_, body, script, model) => {
    const { response: validate } = replyValidators()
    const one = await whole(body, script, model)
    expect(validate(one), complaints(validate)).toBe(true)
    const events = await streamed(body, script, model)
    for (const event of events) expect(validate(event), complaints(validate)).toBe(true)
    // Ids come from the bytes and the path of the request.
    const same = (value: Json) =>
      JSON.parse(JSON.stringify({ ...value, responseId: '' }).replace(/"id":"\w+"/g, '"id":""'))
    expect(same(gather(events))).toEqual(same(one))
  })
})

describe('counts', () => {
  it('thoughts stand beside the answer, the cache is inside the prompt', async () => {
    const { usageMetadata } = await whole({}, { reasoningTokens: 6, usage: { promptTokens: 100, cachedTokens: 30 } })
    const { completionTokens } = simulator.calls.at(-1)!
    expect(usageMetadata).toMatchObject({
      promptTokenCount: 100,
      cachedContentTokenCount: 30,
      thoughtsTokenCount: 6,
      candidatesTokenCount: completionTokens - 6,
      totalTokenCount: 100 + completionTokens,
    })
  })

  it('every frame of a stream says what was generated so far', async () => {
    const events = await streamed({ generationConfig: shown }, { reasoningTokens: 3 })
    const counts = events.map(
      ({ usageMetadata: { thoughtsTokenCount = 0, candidatesTokenCount = 0 } }) =>
        thoughtsTokenCount + candidatesTokenCount,
    )
    expect(counts).toEqual([...counts].sort((a, b) => a - b))
    expect(counts[0]).toBe(1)
    expect(counts.at(-1)).toBe(simulator.calls.at(-1)?.completionTokens)
  })

  it('log probabilities where they are asked for', async () => {
    const { candidates } = await whole({ generationConfig: { responseLogprobs: true } }, { tokens: 3 })
    expect(candidates[0].logprobsResult.chosenCandidates).toHaveLength(3)
  })
})

describe('streams', () => {
  it('without alt=sse are one list', async () => {
    const { headers, text } = await ask({ contents: [user] }, {}, 'gemini-test', 'streamGenerateContent')
    expect(headers['content-type']).toBe('application/json')
    expect(JSON.parse(text)).toMatchObject([{ candidates: [{ finishReason: 'STOP' }] }])
  })

  it('end with an error object instead', async () => {
    const events = eventsOf(
      (
        await ask(
          { contents: [user] },
          { fault: { kind: 'midStreamError', status: 503 } },
          'm',
          'streamGenerateContent?alt=sse',
        )
      ).text,
    )
    expect(events.length).toBeGreaterThan(2)
    expect(events.at(-1)).toEqual({
      error: { code: 503, status: 'UNAVAILABLE', message: 'The model is overloaded. Please try again later.' },
    })
  })
})

describe('tool loops', () => {
  const scripted: Script = {
    toolCalls: [
      { name: 'f', arguments: { city: 'Paris' } },
      { name: 'g', arguments: {} },
    ],
  }
  const loop = (parts: Json[], ...results: Json[]) => ({
    contents: [
      user,
      { role: 'model', parts },
      { role: 'user', parts: results.map((functionResponse) => ({ functionResponse })) },
    ],
    tools,
  })
  const answer = (name: string, output: string, id?: string) => ({ name, response: { output }, ...(id ? { id } : {}) })

  it('only the first of parallel calls is signed, and its signature is wanted back', async () => {
    const { candidates } = await whole({ tools }, scripted)
    const { parts } = candidates[0].content
    expect(parts.map((part: Json) => 'thoughtSignature' in part)).toEqual([true, false])
    const [f, g] = parts.map(({ functionCall }: { functionCall: { id: string } }) => functionCall.id)
    const results = [answer('g', 'two', g), answer('f', 'one', f)]
    const done = await whole(loop(parts, ...results))
    expect(done.candidates[0].content.parts[0].text).toMatch(/^The tools say — f: one; g: two\. /)

    const { thoughtSignature, ...unsigned } = parts[0]
    const { status, text } = await ask(loop([unsigned, parts[1]], ...results))
    expect([status, JSON.parse(text).error.message]).toEqual([
      400,
      expect.stringContaining('missing a thought_signature'),
    ])
    const standIn = { ...unsigned, thoughtSignature: 'skip_thought_signature_validator' }
    expect((await ask(loop([standIn, parts[1]], ...results))).status).toBe(200)
    const swapped = [unsigned, { ...parts[1], thoughtSignature }]
    expect((await ask(loop(swapped, ...results))).text).toContain('Thought signature is not valid.')
    expect((await ask(loop([{ ...unsigned, thoughtSignature: 'AAAA' }, parts[1]], ...results))).text).toContain(
      'Corrupted thought signature.',
    )
    // Older generations do not ask for it.
    expect((await ask(loop([unsigned, parts[1]], ...results), {}, 'gemini-2.5-flash')).status).toBe(200)
  })

  it('no signature is wanted before the last question', async () => {
    const { contents } = loop([{ functionCall: { name: 'f', args: {} } }], answer('f', 'x'))
    const model = { role: 'model', parts: [{ text: 'Done.' }] }
    expect((await ask({ contents: [...contents, model, user], tools })).status).toBe(200)
    expect((await ask({ contents, tools })).status).toBe(400)
  })

  it('answers without ids are told apart by their order', async () => {
    const { candidates } = await whole({ tools }, { ...scripted, callIds: false })
    const { parts } = candidates[0].content
    expect(parts[0].functionCall).toEqual({ name: 'f', args: { city: 'Paris' } })
    expect((await ask(loop(parts, answer('f', 'one'), answer('g', 'two')))).status).toBe(200)
    expect((await ask(loop(parts, answer('g', 'two'), answer('f', 'one')))).text).toContain('match the function calls')
  })

  it('makes what functionCallingConfig says', async () => {
    const two = [{ functionDeclarations: [declaration, { name: 'g' }] }]
    const call = async (functionCallingConfig: Json) =>
      (
        await whole({ tools: two, toolConfig: { functionCallingConfig } }, { toolCalls: 'auto' })
      ).candidates[0].content.parts.map((part: { functionCall?: Json }) => part.functionCall?.name)
    expect(await call({ mode: 'ANY', allowedFunctionNames: ['g'] })).toEqual(['g'])
    expect(await call({ mode: 'ANY' })).toEqual(['f', 'g'])
    expect(await call({ mode: 'NONE' })).toEqual([undefined])
  })
})

const call = { functionCall: { name: 'f', args: {} } }
const response = { functionResponse: { name: 'f', response: { output: 'x' } } }
const content = (...parts: unknown[]) => ({ contents: [{ role: 'user', parts }] })
const config = (generationConfig: Json) => ({ generationConfig })
const declare = (more: Json) => ({ tools: [{ functionDeclarations: [{ ...declaration, ...more }] }] })

describe('refused with 400', () => {
  const cases: [string, unknown, string, string?][] = [
    ['no JSON', '{"contents":', 'Invalid JSON payload received.'],
    ['an array', [], 'TYPE_MESSAGE'],
    ['no contents', { contents: undefined }, 'contents is not specified'],
    ['an unknown field', { messages: [] }, 'Unknown name "messages": Cannot find field.'],
    ['an unknown field of the config', config({ max_tokens: 1 }), `Unknown name "max_tokens" at 'generation_config'`],
    ['an unknown role', { contents: [{ role: 'assistant', parts: [{ text: 'x' }] }] }, 'valid role: user, model'],
    ['no parts', { contents: [{ role: 'user', parts: [] }] }, 'parts must not be empty'],
    ['a part with nothing', content({}), "required oneof field 'data'"],
    [
      'a part with two things',
      content({ text: 'x', inlineData: { mimeType: 'image/png', data: 'AAAA' } }),
      "required oneof field 'data'",
    ],
    ['a text that is a number', content({ text: 3 }), '(TYPE_STRING)'],
    ['data that is no base64', content({ inlineData: { mimeType: 'image/png', data: '%' } }), '(TYPE_BYTES)'],
    ['data without a type', content({ inlineData: { data: 'AAAA' } }), 'a mime type is needed'],
    ['a foreign signature', content({ text: 'x', thoughtSignature: 'EqQB' }), 'Corrupted thought signature'],
    ['an answer without a call', content(response), 'number of function response parts'],
    [
      'a call without an answer',
      { contents: [user, { role: 'model', parts: [call] }, user, user], tools },
      'number of function response parts',
    ],
    [
      'a call after a model turn',
      { contents: [user, { role: 'model', parts: [{ text: 'x' }] }, { role: 'model', parts: [call] }], tools },
      'function call turn comes immediately after',
    ],
    [
      'arguments as text',
      { contents: [user, { role: 'model', parts: [{ functionCall: { name: 'f', args: '{}' } }] }] },
      '(TYPE_STRUCT)',
    ],
    ['a lower-case type', declare({ parameters: { type: 'object' } }), '(TYPE_ENUM)'],
    [
      'a keyword of JSON Schema',
      declare({ parameters: { type: 'OBJECT', additionalProperties: false } }),
      'Unknown name "additionalProperties"',
    ],
    [
      'an object without properties',
      declare({ parameters: { type: 'OBJECT', properties: {} } }),
      'should be non-empty for OBJECT type',
    ],
    [
      'an array without items',
      declare({ parameters: { type: 'OBJECT', properties: { a: { type: 'ARRAY' } } } }),
      'items: missing field',
    ],
    ['a name with a space', declare({ name: 'a b' }), 'Invalid function name'],
    ['a tool in OpenAI’s form', { tools: [{ type: 'function' }] }, 'Unknown name "type"'],
    [
      'a choice of no function',
      { tools, toolConfig: { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: ['g'] } } },
      'subset of the declared functions',
    ],
    [
      'allowed names without a mode',
      { tools, toolConfig: { functionCallingConfig: { mode: 'AUTO', allowedFunctionNames: ['f'] } } },
      'only when function calling mode is ANY',
    ],
    ['six stop sequences', config({ stopSequences: ['a', 'b', 'c', 'd', 'e', 'f'] }), 'more than 5 stop sequences'],
    ['nine candidates', config({ candidateCount: 9 }), 'candidateCount must be from 1 to 8'],
    ['a seed of 64 bits', config({ seed: 2 ** 40 }), 'seed must be from'],
    ['temperature as text', config({ temperature: '1' }), '(TYPE_FLOAT)'],
    [
      'a level and a budget',
      config({ thinkingConfig: { thinkingLevel: 'LOW', thinkingBudget: 5 } }),
      'only set one of thinking budget and thinking level',
    ],
    ['a schema without JSON', config({ responseSchema: { type: 'OBJECT' } }), 'only works with response_mime_type'],
    [
      'JSON beside functions, before Gemini 3',
      { tools, ...config({ responseMimeType: 'application/json' }) },
      'is unsupported',
      'gemini-2.5-pro',
    ],
    ['logprobs that are not asked for', config({ logprobs: 3 }), 'response_logprobs'],
  ]
  it.each(cases)('%s', async (_, body, says, model) => {
    const sent = typeof body === 'string' || Array.isArray(body) ? body : { contents: [user], ...(body as Json) }
    const reply = await ask(sent, {}, model)
    expect(reply.status).toBe(400)
    const { error } = JSON.parse(reply.text)
    expect(error).toMatchObject({ code: 400, status: 'INVALID_ARGUMENT' })
    expect(error.message).toContain(says)
  })
})

describe('accepted', () => {
  const cases: [string, Json, string?][] = [
    ['a system instruction', { systemInstruction: { parts: [{ text: 'S' }] } }],
    [
      'a picture and a file by address',
      content(
        { text: 'x' },
        { inlineData: { mimeType: 'image/png', data: 'AAAA' } },
        { fileData: { fileUri: 'https://example.com/a.pdf', mimeType: 'application/pdf' } },
      ),
    ],
    [
      'everything of the config',
      config({
        temperature: 1.5,
        topP: 0.5,
        topK: 5,
        maxOutputTokens: 100,
        stopSequences: ['x'],
        seed: -4,
        presencePenalty: 1,
        responseModalities: ['TEXT'],
        thinkingConfig: { thinkingBudget: 100 },
      }),
    ],
    ['safety settings', { safetySettings: [{ category: 'HARM_CATEGORY_HARASSMENT', threshold: 'OFF' }] }],
    ['Google’s own tools', { tools: [{ googleSearch: {} }, ...tools] }],
    ['JSON beside functions', { tools, ...config({ responseMimeType: 'application/json' }) }],
    [
      'counts as text',
      declare({
        parameters: { type: 'OBJECT', properties: { a: { type: 'ARRAY', items: { type: 'STRING' }, minItems: '2' } } },
      }),
    ],
  ]
  it.each(cases)('%s', async (_, body) => {
    const { status, text } = await ask({ contents: [user], ...body })
    expect(status, text).toBe(200)
  })
})

describe('errors', () => {
  it.each([
    ['sim-error-401', 401, 'UNAUTHENTICATED'],
    ['sim-error-403', 403, 'PERMISSION_DENIED'],
    ['sim-error-404', 404, 'NOT_FOUND'],
    ['sim-error-500', 500, 'INTERNAL'],
    ['sim-error-503', 503, 'UNAVAILABLE'],
    ['sim-error-context', 400, 'INVALID_ARGUMENT'],
  ] as const)('%s', async (model, code, word) => {
    const reply = await ask({ contents: [user] }, undefined, model)
    expect([reply.status, JSON.parse(reply.text).error]).toMatchObject([code, { code, status: word }])
  })

  it('tells waits and spent quotas in its details', async () => {
    const spent = JSON.parse((await ask({ contents: [user] }, undefined, 'sim-error-quota')).text).error
    expect(spent).toMatchObject({
      code: 429,
      status: 'RESOURCE_EXHAUSTED',
      details: [
        {
          '@type': expect.stringMatching(/\.QuotaFailure$/),
          violations: [{ quotaId: expect.stringContaining('PerDay') }],
        },
      ],
    })
    const wait = JSON.parse((await ask({ contents: [user] }, undefined, 'sim-error-429')).text).error
    expect(wait.details).toEqual([{ '@type': expect.stringMatching(/\.RetryInfo$/), retryDelay: '1s' }])
  })

  it('a wrong key is a bad request', async () => {
    const locked = await startSimulator({ requireKey: 'right' })
    try {
      const url = `${locked.url}/v1beta/models/m:generateContent`
      expect((await post(url, { contents: [user] }, { 'x-goog-api-key': 'right' })).status).toBe(200)
      const { status, text } = await post(url, { contents: [user] }, { 'x-goog-api-key': 'wrong' })
      expect([status, JSON.parse(text).error.details[0].reason]).toEqual([400, 'API_KEY_INVALID'])
    } finally {
      await locked.close()
    }
  })
})

it('lists its models', async () => {
  const { models } = JSON.parse((await get(base)).text)
  expect(models[0]).toMatchObject({
    name: 'models/sim-fast',
    supportedGenerationMethods: ['generateContent', 'countTokens'],
  })
  expect(JSON.parse((await get(`${base}/sim-fast`)).text).name).toBe('models/sim-fast')
  expect((await get(`${base}/nothing`)).status).toBe(404)
})

describe('odd bodies', () => {
  it('each field of a full request replaced by each odd value: an answer or a 400, never a failure', async () => {
    const { candidates } = await whole(
      { tools },
      { toolCalls: [{ name: 'f', arguments: { city: 'Paris' } }], callIds: false },
    )
    const full = {
      contents: [
        { role: 'user', parts: [{ text: 'Hi' }, { inlineData: { mimeType: 'image/png', data: 'AAAA' } }] },
        candidates[0].content,
        { role: 'user', parts: [response] },
      ],
      systemInstruction: { parts: [{ text: 'S' }] },
      tools,
      toolConfig: { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: ['f'] } },
      generationConfig: {
        temperature: 1,
        stopSequences: ['x'],
        responseMimeType: 'application/json',
        responseSchema: declaration.parameters,
        thinkingConfig: { includeThoughts: true },
      },
      safetySettings: [{ category: 'HARM_CATEGORY_HARASSMENT', threshold: 'OFF' }],
    }
    const statuses = new Set<number>()
    for (const { path, body } of oddBodiesOf(full)) {
      const reply = await ask(body)
      expect([200, 400], `${path}: ${reply.text}`).toContain(reply.status)
      statuses.add(reply.status)
    }
    expect([...statuses].sort()).toEqual([200, 400])
  })

  it('nesting without end is a 400', async () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
    const body = JSON.stringify({
      contents: [user],
      ...declare({ parametersJsonSchema: 'DEEP', parameters: undefined }),
    })
    expect((await ask(body.replace('"DEEP"', deep))).status).toBe(400)
  })
})

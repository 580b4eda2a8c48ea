// The simulated Gemini: its replies by the published schema, its tool loops, and its errors in Google's shape.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Script, type Simulator, startSimulator } from '../src/simulator/index.ts'
import { type Exchange, eventsOf, get, post } from './support/exchange.ts'
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

// What the simulated Gemini turns down, as the real one would, and what it lets pass.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Script, type Simulator, startSimulator } from '../src/simulator/index.ts'
import { type Exchange, post } from './support/exchange.ts'
import { oddBodiesOf } from './support/oddBodies.ts'

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

const ask = (
  body: unknown,
  script: Script = {},
  model = 'gemini-test',
  method = 'generateContent',
): Promise<Exchange> => post(`${base}/${model}:${method}`, body, { 'x-sim-script': JSON.stringify(script) })
const whole = async (body: Json, script?: Script, model?: string) =>
  JSON.parse((await ask({ contents: [user], ...body }, script, model)).text)

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
    [
      'an enum with an empty text',
      declare({ parameters: { type: 'OBJECT', properties: { a: { type: 'STRING', enum: ['x', ''] } } } }),
      'enum[1]: cannot be empty',
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

  it('nesting without end is answered: a 400 where this Node cannot write it', async () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
    const body = JSON.stringify({
      contents: [user],
      ...declare({ parametersJsonSchema: 'DEEP', parameters: undefined }),
    })
    expect([200, 400]).toContain((await ask(body.replace('"DEEP"', deep))).status)
  })
})

// The three formats of the simulator side by side: the same conversation gets the same answer, whichever way it is said.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Script, type Simulator, startSimulator } from '../src/simulator/index.ts'
import { post } from './support/exchange.ts'

type Json = Record<string, unknown>

let simulator: Simulator
beforeAll(async () => {
  simulator = await startSimulator({ seed: 3 })
})
afterAll(() => simulator.close())

const schema = {
  type: 'object',
  properties: { city: { type: 'string' }, days: { type: 'integer' } },
  required: ['city'],
}
const closed = { ...schema, additionalProperties: false }
const png = 'iVBORw0KGgo='

interface Case {
  about: string
  script?: Script
  openai: Json
  anthropic: Json
  gemini: Json
}

const said = (text: string) => ({
  openai: { messages: [{ role: 'user', content: text }] },
  anthropic: { messages: [{ role: 'user', content: text }] },
  gemini: { contents: [{ role: 'user', parts: [{ text }] }] },
})

const cases: Case[] = [
  { about: 'a question', ...said('How far is Paris?') },
  { about: 'a text of a given length', script: { tokens: 40 }, ...said('Hi') },
  { about: 'thoughts before it', script: { reasoningTokens: 9 }, ...said('Hi') },
  {
    about: 'instructions in two places, parts, two messages of one side',
    openai: {
      messages: [
        { role: 'system', content: 'A' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'One ' },
            { type: 'text', text: 'two' },
          ],
        },
        { role: 'developer', content: 'B' },
        { role: 'user', content: ' three' },
      ],
    },
    anthropic: {
      system: [
        { type: 'text', text: 'A' },
        { type: 'text', text: 'B' },
      ],
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'One two' },
            { type: 'text', text: ' three' },
          ],
        },
      ],
    },
    gemini: {
      systemInstruction: { parts: [{ text: 'A' }, { text: 'B' }] },
      contents: [
        { role: 'user', parts: [{ text: 'One two' }] },
        { role: 'user', parts: [{ text: ' three' }] },
      ],
    },
  },
  {
    about: 'a picture',
    openai: {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is it?' },
            { type: 'image_url', image_url: { url: `data:image/png;base64,${png}` } },
          ],
        },
      ],
    },
    anthropic: {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is it?' },
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data: png } },
          ],
        },
      ],
    },
    gemini: {
      contents: [
        { role: 'user', parts: [{ text: 'What is it?' }, { inlineData: { mimeType: 'image/png', data: png } }] },
      ],
    },
  },
  {
    about: 'a JSON schema',
    openai: {
      ...said('Plan a trip to Oslo').openai,
      response_format: { type: 'json_schema', json_schema: { name: 'x', schema } },
    },
    anthropic: {
      ...said('Plan a trip to Oslo').anthropic,
      output_config: { format: { type: 'json_schema', schema: closed } },
    },
    gemini: {
      ...said('Plan a trip to Oslo').gemini,
      generationConfig: {
        responseMimeType: 'application/json',
        responseSchema: {
          type: 'OBJECT',
          properties: { city: { type: 'STRING' }, days: { type: 'INTEGER' } },
          required: ['city'],
        },
      },
    },
  },
  {
    about: 'the results of two calls',
    openai: {
      tools: [{ type: 'function', function: { name: 'f' } }],
      messages: [
        { role: 'user', content: 'Both?' },
        {
          role: 'assistant',
          content: null,
          tool_calls: [
            { id: 'a', type: 'function', function: { name: 'f', arguments: '{ "n": 1 }' } },
            { id: 'b', type: 'function', function: { name: 'g', arguments: '{}' } },
          ],
        },
        { role: 'tool', tool_call_id: 'b', content: 'second' },
        { role: 'tool', tool_call_id: 'a', content: 'first' },
      ],
    },
    anthropic: {
      tools: [{ name: 'f', input_schema: { type: 'object' } }],
      messages: [
        { role: 'user', content: 'Both?' },
        {
          role: 'assistant',
          content: [
            { type: 'tool_use', id: 'a', name: 'f', input: { n: 1 } },
            { type: 'tool_use', id: 'b', name: 'g', input: {} },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 'a', content: 'first' },
            { type: 'tool_result', tool_use_id: 'b', content: [{ type: 'text', text: 'second' }] },
          ],
        },
      ],
    },
    gemini: {
      contents: [
        { role: 'user', parts: [{ text: 'Both?' }] },
        {
          role: 'model',
          parts: [
            { functionCall: { name: 'f', args: { n: 1 } }, thoughtSignature: 'skip_thought_signature_validator' },
            { functionCall: { name: 'g', args: {} } },
          ],
        },
        {
          role: 'user',
          parts: [
            { functionResponse: { name: 'f', response: { output: 'first' } } },
            { functionResponse: { name: 'g', response: { output: 'second' } } },
          ],
        },
      ],
    },
  },
]

const headers = (script: Script = {}) => ({ 'x-sim-script': JSON.stringify(script), 'anthropic-version': '2023-06-01' })
const thinking = { type: 'adaptive' }

/** The final text of each format. */
async function textsOf({ script, openai, anthropic, gemini }: Case): Promise<string[]> {
  const ask = async (path: string, body: Json) =>
    JSON.parse((await post(simulator.url + path, body, headers(script))).text)
  const chat = await ask('/v1/chat/completions', { model: 'm', ...openai })
  const message = await ask('/v1/messages', { model: 'm', max_tokens: 1000, thinking, ...anthropic })
  const response = await ask('/v1beta/models/m:generateContent', gemini)
  return [
    chat.choices[0].message.content,
    message.content.find(({ type }: Json) => type === 'text').text,
    response.candidates[0].content.parts.find(({ thought }: Json) => !thought).text,
  ]
}

describe('one conversation, one text', () => {
  it.each(cases)('$about', async (one) => {
    const [openai, anthropic, gemini] = await textsOf(one)
    expect(openai).toMatch(/\S/)
    expect([anthropic, gemini]).toEqual([openai, openai])
  })

  it('and another text for another conversation', async () => {
    const texts = await Promise.all(cases.map(textsOf))
    expect(new Set(texts.flat()).size).toBe(cases.length)
  })

  it('thoughts are the same, too, and what follows them does not depend on whether they are wanted', async () => {
    const ask = async (body: Json) =>
      JSON.parse(
        (
          await post(
            `${simulator.baseUrl}/messages`,
            { model: 'm', max_tokens: 1000, ...said('Hi').anthropic, ...body },
            headers({ reasoningTokens: 9 }),
          )
        ).text,
      )
    const chat = JSON.parse(
      (
        await post(
          `${simulator.baseUrl}/chat/completions`,
          { model: 'm', ...said('Hi').openai },
          headers({ reasoningTokens: 9 }),
        )
      ).text,
    )
    const [thought, text] = (await ask({ thinking })).content
    expect(thought.thinking).toBe(chat.choices[0].message.reasoning_content)
    expect((await ask({})).content).toEqual([text])
  })
})

// The matrix of OpenAI requests: each becomes a body that the vendor's published schema takes, or is refused by name; nothing is
// silent, and nothing is touched on the way.
import { describe, expect, it } from 'vitest'
import { anthropicMessages } from '../src/dialects/anthropic-messages/index.ts'
import { Refusal } from '../src/dialects/errors.ts'
import { gemini } from '../src/dialects/gemini/index.ts'
import { lossLabel } from '../src/dialects/loss.ts'
import { decodeRequest } from '../src/dialects/openai-chat/decodeRequest.ts'
import { encodeRequest } from '../src/dialects/openai-chat/encodeRequest.ts'
import { matrix, models } from './support/hubMatrix.ts'
import { deepFreeze } from './support/hubReply.ts'
import { complaints, openAiValidators } from './support/openaiSchema.ts'
import { hasShared, needsShared } from './support/shared.ts'
import { vendorValidators } from './support/vendorSchema.ts'

const dialects = { 'anthropic-messages': anthropicMessages, gemini }
type Target = keyof typeof dialects

/** Encodes for a target; what is refused comes back as the refusal. */
function encode(body: unknown, target: Target, model: string) {
  try {
    return dialects[target].outbound!.encode!(deepFreeze(decodeRequest(deepFreeze(body))), model)
  } catch (error) {
    if (error instanceof Refusal) return error
    throw error
  }
}

/** Cases that say something no vendor of the two can take. */
const refused: Record<Target, readonly string[]> = {
  'anthropic-messages': [
    'tools: custom',
    'tools: a tool of Google',
    'messages: malformed tool arguments',
    'messages: tool arguments that are a list',
    'image_url: data URL of another type',
    'file: another type',
    'file: file_id of OpenAI',
    'file: file_id of Google',
    'input_audio: wav',
    'input_audio: mp3',
    'video_url: address',
    'video_url: YouTube',
    'content: a part of an unknown type',
  ],
  gemini: [
    'tools: custom',
    'tools: a tool of Anthropic',
    'messages: malformed tool arguments',
    'messages: tool arguments that are a list',
    'file: file_id of OpenAI',
    'content: a part of an unknown type',
  ],
}

describe('the request matrix', () => {
  it('has at least 150 different requests', () => {
    expect(new Set(matrix.map(({ body }) => JSON.stringify(body))).size).toBeGreaterThanOrEqual(150)
    expect(new Set(matrix.map(({ param, about }) => `${param}: ${about}`)).size).toBe(matrix.length)
  })

  for (const target of ['anthropic-messages', 'gemini'] as const) {
    describe.skipIf(!hasShared)(`to ${target}${needsShared}`, () => {
      for (const model of models[target]) {
        it(`encodes every case for ${model} to a body that the published schema takes, or refuses it by name`, () => {
          const validate = vendorValidators()[target]
          const turnedDown: string[] = []
          for (const { param, about, body } of matrix) {
            const encoded = encode(body, target, model)
            if (encoded instanceof Refusal) {
              turnedDown.push(`${param}: ${about}`)
              expect(encoded.status, about).toBe(400)
              expect(encoded.param, about).toMatch(/^(messages|tools)\[\d+\]/)
              expect(encoded.message, about).toContain(encoded.param)
              continue
            }
            expect(validate(encoded.wire) || complaints(validate), `${param}: ${about}`).toBe(true)
            expect(JSON.stringify(encoded.wire), `${param}: ${about}`).not.toMatch(/:null\b/)
          }
          expect(turnedDown).toEqual(refused[target])
        })
      }
    })
  }

  it.skipIf(!hasShared)(
    `encodes every case back to OpenAI chat with the same meaning and without a loss${needsShared}`,
    () => {
      const { request: validate } = openAiValidators()
      for (const { param, about, body } of matrix) {
        if (about === 'a part of an unknown type') continue
        const chat = decodeRequest(deepFreeze(body))
        const { wire, losses } = encodeRequest(deepFreeze(chat), 'route')
        expect(losses, about).toEqual([])
        expect(decodeRequest(wire), `${param}: ${about}`).toEqual(chat)
        if (validate(body)) expect(validate(wire) || complaints(validate), `${param}: ${about}`).toBe(true)
      }
    },
  )
})

it('every loss of the matrix has a metric label of its own, but for names that clients make up', () => {
  const others = new Set<string>()
  for (const target of ['anthropic-messages', 'gemini'] as const) {
    for (const model of models[target]) {
      for (const { body } of matrix) {
        const encoded = encode(body, target, model)
        if (encoded instanceof Refusal) continue
        for (const loss of encoded.losses) if (lossLabel(loss) === 'other') others.add(loss.param)
      }
    }
  }
  expect([...others]).toEqual(['min_p'])
})

/**
 * C18: every parameter alone, on a model that takes as little as any: its value arrives (`kept`), or there is a report, or there is
 * nothing to say because it asks for what happens anyway.
 */
describe('C18 nothing is dropped silently', () => {
  const silent = new Set([
    'messages: one user message',
    'stream_options: include_usage',
    'stream_options: include_obfuscation: false',
    'stream: false',
    'frequency_penalty: 0',
    'n: 1',
    'logprobs: false',
    'logit_bias: empty',
    'store: false',
    'verbosity: medium',
    'modalities: text',
    'response_format: text',
    'parallel_tool_calls: true',
    // The model and whether to stream are in Gemini's path.
    'stream: true',
    'service_tier: auto',
    // White space alone may stop Gemini, but not Anthropic; there it is reported.
    'messages: empty assistant message',
    'temperature: 1',
    'top_p: 1',
    'top_p: beside temperature 1',
    // Asking a model that does not think not to think.
    'reasoning_effort: none',
    'reasoning: enabled: false',
    'thinking: disabled',
  ])

  for (const target of ['anthropic-messages', 'gemini'] as const) {
    for (const model of models[target]) {
      it(`${model}`, () => {
        for (const { param, about, body } of matrix) {
          if (param === 'combination' || silent.has(`${param}: ${about}`)) continue
          const encoded = encode(body, target, model)
          if (encoded instanceof Refusal || encoded.losses.length > 0) continue
          // Without the parameter the body must be another one: something of it has arrived.
          const { [param]: _, ...without } = body
          const before =
            param in body && param !== 'messages'
              ? without
              : { ...body, messages: [{ role: 'user', content: 'Hello' }] }
          const other = encode(before, target, model)
          expect(other instanceof Refusal ? other : other.wire, `${param}: ${about}`).not.toEqual(encoded.wire)
        }
      })
    }
  }
})

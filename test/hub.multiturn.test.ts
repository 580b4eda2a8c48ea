// Conversations that go on: an assistant's message comes back from an OpenAI client, to the vendor that made it and to the other one.
import { describe, expect, it } from 'vitest'
import { anthropicMessages } from '../src/dialects/anthropic-messages/index.ts'
import type { Outbound } from '../src/dialects/dialect.ts'
import { gemini } from '../src/dialects/gemini/index.ts'
import { decodeRequest } from '../src/dialects/openai-chat/decodeRequest.ts'
import { encodeRequest } from '../src/dialects/openai-chat/encodeRequest.ts'
import { asReply, asStream, deepFreeze, feed, parsed, readStream } from './support/hubReply.ts'
import { complaints, openAiValidators } from './support/openaiSchema.ts'
import { readRecordings } from './support/recordings.ts'
import { hasShared, needsShared, type RecordedWire } from './support/shared.ts'
import { vendorValidators } from './support/vendorSchema.ts'

type Json = Record<string, unknown>

interface Said {
  name: string
  /** The vendor's own blocks or parts. */
  made: Json[]
  /** The message as an OpenAI client holds it, from the whole reply or from the stream. */
  message: Json
}

const { anthropic, google } = { anthropic: anthropicMessages.outbound!, google: gemini.outbound! }

/** Recorded replies as clients see them. Tool arguments are JSON text there. */
function repliesOf(
  outbound: Outbound,
  wire: RecordedWire,
  filter: (url: URL) => boolean,
  madeBy: (body: Json) => Json[] | undefined,
): Said[] {
  if (!hasShared) return []
  return readRecordings(wire, filter).flatMap(({ name, body, status, stream }) => {
    if (status !== 200 || stream) return []
    const reply = parsed(body) as Json
    const made = Array.isArray(reply) ? undefined : madeBy(reply)
    if (!made || made.length === 0) return []
    const events = outbound.events!(reply)
    const whole = (JSON.parse(asReply(events)) as { choices: { message: Json }[] }).choices[0]!.message
    return [
      { name, made, message: whole },
      { name: `${name} streamed`, made, message: fromStream(asStream(events)) },
    ]
  })
}

/** What a client puts together from a stream. */
function fromStream(text: string): Json {
  const view = readStream(text, openAiValidators())
  const tool_calls = view.calls.map(({ id, name, arguments: args }) => ({
    id,
    type: 'function',
    function: { name, arguments: args },
  }))
  return {
    role: 'assistant',
    content: view.content === '' ? null : view.content,
    ...(view.details.length > 0 ? { reasoning_details: view.details } : {}),
    ...(tool_calls.length > 0 ? { tool_calls } : {}),
  }
}

const fromAnthropic = repliesOf(
  anthropic,
  'anthropic-messages',
  ({ host, pathname }) => host === 'api.anthropic.com' && pathname === '/v1/messages',
  (body) => body.content as Json[] | undefined,
)
const fromGemini = repliesOf(
  google,
  'gemini',
  ({ host, pathname }) => host.endsWith('googleapis.com') && pathname.endsWith(':generateContent'),
  (body) => ((body.candidates as Json[] | undefined)?.[0]?.content as Json | undefined)?.parts as Json[] | undefined,
)

/** The next turn: the message as it came, an answer to each of its calls, and a question. */
function nextTurn(message: Json): Json {
  const calls = (message.tool_calls ?? []) as { id: string }[]
  const answers = calls.map(({ id }) => ({ role: 'tool', tool_call_id: id, content: 'done' }))
  return {
    model: 'route',
    messages: [{ role: 'user', content: 'Hello' }, message, ...answers, { role: 'user', content: 'Go on' }],
  }
}

const textOf = (blocks: Json[], pick: (block: Json) => unknown) => blocks.map((block) => pick(block) ?? '').join('')

describe.skipIf(!hasShared)(`a conversation that stays${needsShared}`, () => {
  it('with Anthropic: every recorded message goes back as the blocks it came in', () => {
    expect(fromAnthropic.length).toBeGreaterThan(100)
    for (const { name, made, message } of fromAnthropic) {
      const { wire, losses } = anthropic.encode!(
        deepFreeze(decodeRequest(deepFreeze(nextTurn(message)))),
        'claude-opus-4-6',
      )
      const turn = (wire as { messages: { role: string; content: Json[] }[] }).messages.find(
        ({ role }) => role === 'assistant',
      )
      const back = turn?.content ?? []
      const isText = ({ type }: Json) => type === 'text'
      // Who called a tool is told by Anthropic only; its signature and everything that it ran itself are verbatim.
      const bare = ({ caller, ...block }: Json) =>
        block.type === 'tool_use' ? block : { ...block, ...(caller ? { caller } : {}) }
      expect(
        back.filter((block) => !isText(block)),
        name,
      ).toEqual(made.filter((block) => !isText(block)).map(bare))
      expect(
        textOf(back, ({ text }) => text),
        name,
      ).toBe(textOf(made, ({ text }) => text))
      expect(
        losses.filter(({ param }) => param !== 'messages.annotations' && param !== 'messages.citations'),
        name,
      ).toEqual([])
    }
  })

  it('with Gemini: every recorded reply goes back as the parts it came in, signatures included', () => {
    expect(fromGemini.length).toBeGreaterThan(100)
    for (const { name, made, message } of fromGemini) {
      const { wire } = google.encode!(deepFreeze(decodeRequest(deepFreeze(nextTurn(message)))), 'gemini-2.5-flash')
      const back =
        (wire as { contents: { role: string; parts: Json[] }[] }).contents.find(({ role }) => role === 'model')
          ?.parts ?? []
      const isSaid = (part: Json) => typeof part.text === 'string' && !part.thought
      expect(
        textOf(back.filter(isSaid), ({ text }) => text),
        name,
      ).toBe(textOf(made.filter(isSaid), ({ text }) => text))
      // Neighbouring thoughts are one to a client.
      const isThought = ({ thought }: Json) => thought === true
      expect(
        textOf(back.filter(isThought), ({ text }) => text),
        name,
      ).toBe(textOf(made.filter(isThought), ({ text }) => text))
      const isMedia = ({ inlineData }: Json) => inlineData !== undefined
      const rest = (parts: Json[]) =>
        parts.filter((part) => !isSaid(part) && !isThought(part) && !isMedia(part)).map(withoutId)
      expect(rest(back), name).toEqual(rest(made))
      expect(signaturesOf(back), name).toEqual(signaturesOf(made))
    }
  })
})

/** Ids are for the newest models only, and a call without arguments has empty ones. */
function withoutId(part: Json): Json {
  const call = part.functionCall as Json | undefined
  return call ? { ...part, functionCall: { name: call.name, args: call.args ?? {} } } : part
}

const signaturesOf = (parts: Json[]) => parts.flatMap(({ thoughtSignature }) => thoughtSignature ?? [])

describe.skipIf(!hasShared)(`a conversation that moves to another vendor${needsShared}`, () => {
  const moves = [
    ['Anthropic to Gemini', fromAnthropic, google, 'gemini', 'gemini-3-pro-preview'],
    ['Anthropic to Gemini 2.5', fromAnthropic, google, 'gemini', 'gemini-2.5-flash'],
    ['Gemini to Anthropic', fromGemini, anthropic, 'anthropic-messages', 'claude-sonnet-4-5'],
  ] as const
  for (const [title, said, target, dialect, model] of moves) {
    it(`${title}: takes every recorded reply, thinking on, and says exactly what was left out`, () => {
      const validate = vendorValidators()[dialect]
      for (const { name, message } of said) {
        if (name.endsWith('streamed')) continue
        const body = { ...nextTurn(message), reasoning_effort: 'medium' }
        const { wire, losses } = target.encode!(deepFreeze(decodeRequest(deepFreeze(body))), model)
        expect(validate(wire) || complaints(validate), name).toBe(true)
        const details = (message.reasoning_details ?? []) as { type: string }[]
        const params = losses.map(({ param }) => param)
        expect(params.includes('messages.vendor_blocks'), name).toBe(
          details.some(({ type }) => type === 'vendor.block'),
        )
        if (details.some(({ type }) => type !== 'vendor.block')) expect(params, name).toContain('messages.reasoning')
        expect(JSON.stringify(wire), name).not.toContain('anthropic-claude-v1')
      }
    })
  }

  it('and to an OpenAI-compatible server: the history is a valid OpenAI one', () => {
    const { request: validate } = openAiValidators()
    for (const { name, message } of [...fromAnthropic, ...fromGemini]) {
      const { wire } = encodeRequest(deepFreeze(decodeRequest(deepFreeze(nextTurn(message)))), 'gpt-5')
      expect(validate(wire) || complaints(validate), name).toBe(true)
    }
  })
})

describe.skipIf(!hasShared)(
  `a stream is the same whether it is read by OpenAI’s words or the vendor’s${needsShared}`,
  () => {
    it('feeds back to the same message', () => {
      for (const { name, body, stream, status } of readRecordings('gemini', ({ pathname }) =>
        pathname.endsWith(':streamGenerateContent'),
      )) {
        if (!stream || status !== 200) continue
        const events = feed(google.decodeStream!(), body, 0)
        if (events.at(-1)?.type === 'fault') continue
        const whole = (JSON.parse(asReply(events)) as { choices: { message: Json }[] }).choices[0]!.message
        const { annotations: _, refusal: __, images: ___, citations: ____, reasoning_content: _____, ...rest } = whole
        const strip = (calls: unknown) => (calls as Json[] | undefined)?.map(({ extra_content: _, ...call }) => call)
        const streamed = fromStream(asStream(events))
        expect({ ...streamed }, name).toEqual({
          ...rest,
          content: rest.content || null,
          ...(rest.tool_calls ? { tool_calls: strip(rest.tool_calls) } : {}),
        })
      }
    })
  },
)

// Recorded OpenAI-chat traffic through the hub: requests there and back, replies to events and to complete replies again.
import { describe, expect, it } from 'vitest'
import { decodeReply } from '../src/dialects/openai-chat/decodeReply.ts'
import { decodeRequest } from '../src/dialects/openai-chat/decodeRequest.ts'
import { decodeStream } from '../src/dialects/openai-chat/decodeStream.ts'
import { encodeRequest } from '../src/dialects/openai-chat/encodeRequest.ts'
import { asReply, asStream, deepFreeze, feed, normalised, parsed, readReply, readStream } from './support/hubReply.ts'
import { complaints, openAiValidators } from './support/openaiSchema.ts'
import { type Recording, readRecordings, readReplies } from './support/recordings.ts'
import { hasShared, needsShared } from './support/shared.ts'

type Json = Record<string, unknown>

const recordings: Recording[] = hasShared
  ? [
      ...readRecordings('openai-chat', () => true),
      ...['openai-compatible', 'deepseek', 'groq', 'mistral', 'xai', 'openai'].flatMap((provider) =>
        readReplies(provider, (line) => `data: ${line}\n\n`).filter(isChat),
      ),
    ]
  : []

/** Some of the replies belong to other endpoints (responses, transcriptions, completions). */
function isChat({ body, stream }: Recording): boolean {
  if (!stream) return Array.isArray((parsed(body) as Json | null)?.choices) && body.includes('"message"')
  return body.includes('"chat.completion.chunk"') && body.includes('"delta"')
}

const good = recordings.filter(({ status }) => status === 200)

describe.skipIf(!hasShared)(`openai-chat recordings through the hub${needsShared}`, () => {
  it('has the recordings that these tests are about', () => {
    expect(good.filter(({ stream }) => !stream).length).toBeGreaterThan(100)
    expect(good.filter(({ stream }) => stream).length).toBeGreaterThan(20)
  })

  it('decodes every recorded request and encodes it back without loss of the common part', () => {
    let count = 0
    for (const { name, request } of recordings) {
      if (!request || !Array.isArray(request.messages)) continue
      count++
      const chat = deepFreeze(decodeRequest(deepFreeze(request)))
      const { wire, losses } = encodeRequest(chat, String(request.model))
      expect(losses, name).toEqual([])
      expect(decodeRequest(wire), name).toEqual(chat)
      const sent = Object.keys(request).filter((key) => request[key] !== null && key !== 'stream_options')
      expect(Object.keys(wire as Json), name).toEqual(expect.arrayContaining(sent))
      for (const key of sent.filter(
        (field) => !['messages', 'tools', 'tool_choice', 'stop', 'response_format'].includes(field),
      )) {
        expect((wire as Json)[key], `${name} ${key}`).toEqual(request[key])
      }
      expect(textsOf(wire as Json), name).toEqual(textsOf(request))
    }
    expect(count).toBeGreaterThan(100)
  })

  it('decodes every recorded reply to one that is complete by the schema and says the same', () => {
    const { reply: validate } = openAiValidators()
    for (const { name, body, stream, request } of good) {
      if (stream) continue
      const wire = deepFreeze(JSON.parse(body)) as Json
      const events = decodeReply(wire)
      expect(events.at(-1)?.type, name).toBe('end')
      const text = asReply(events, request?.functions ? { legacyFunctions: true, messages: [] } : undefined)
      expect(validate(JSON.parse(text)) || complaints(validate), name).toBe(true)
      for (const choice of wire.choices as Json[]) {
        const view = readReply(text, choice.index as number)
        const message = choice.message as Json
        expect(view.content, name).toBe(plainText(message.content))
        expect(view.old, name).toEqual(message.function_call ?? undefined)
        expect(view.refusal, name).toBe(message.refusal ?? '')
        const calls = (message.tool_calls ?? []) as { id: string; function: Json }[]
        expect(
          view.calls.map(({ id, name: fn, arguments: input }) => [id, fn, parsed(input)]),
          name,
        ).toEqual(
          calls.map(({ id, function: fn }) => [
            id || expect.stringMatching(/^call_./),
            fn.name,
            fn.arguments === undefined ? {} : parsed(fn.arguments as string),
          ]),
        )
      }
      expect(view0(text).usage?.total_tokens, name).toBeGreaterThan(0)
    }
  })

  it('decodes every recorded stream alike, whole and cut, to a valid sequence of chunks', () => {
    const validators = openAiValidators()
    for (const { name, body, stream } of good) {
      if (!stream) continue
      const whole = feed(decodeStream(), body, 0)
      for (const size of [1, 7]) expect(feed(decodeStream(), body, size), `${name} by ${size}`).toEqual(whole)
      const view = readStream(asStream(whole), validators)
      if (body.includes('"error":{') || body.includes('event: error')) {
        expect(view.error, name).toBeDefined()
        expect(view.done, name).toBe(false)
        continue
      }
      expect(view.done, name).toBe(true)
      expect(view.content, name).toBe(streamText(body))
      expect(view.finish, name).toBeDefined()
      expect(normalised(decodeReply(JSON.parse(asReply(whole)))), name).toMatchObject({ ended: true })
      expect(readReply(asReply(whole)).content, name).toBe(view.content)
    }
  })
})

const view0 = (text: string) =>
  readReply(text, (JSON.parse(text) as { choices: { index: number }[] }).choices[0]?.index)

/** All strings of the messages, wherever they stand. */
function textsOf(request: Json): string[] {
  const found: string[] = []
  const walk = (value: unknown, key: string): void => {
    if (typeof value === 'string' && value !== '' && key !== 'type' && key !== 'role') found.push(value)
    else if (key === 'thinking') found.push((value as Json[]).map(({ text }) => text).join(''))
    else if (Array.isArray(value)) for (const item of value) walk(item, key)
    else if (value && typeof value === 'object') for (const [name, item] of Object.entries(value)) walk(item, name)
  }
  walk(
    (request.messages as Json[]).map(({ reasoning, prefix: _, ...message }) => ({
      ...message,
      reasoning_content: message.reasoning_content ?? reasoning,
    })),
    '',
  )
  return found.sort()
}

function plainText(content: unknown): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content.map((part: Json) => (part.type === 'text' ? part.text : '')).join('')
}

function streamText(body: string): string {
  return body
    .split(/\r?\n/)
    .filter((line) => line.startsWith('data:') && !line.includes('[DONE]'))
    .map(
      (line) =>
        (parsed(line.slice(5)) as { choices?: { index?: number; delta?: Json }[] }).choices?.find(
          ({ index }) => (index ?? 0) === 0,
        )?.delta,
    )
    .map((delta) => plainText(delta?.content))
    .join('')
}

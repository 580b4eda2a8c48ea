// Recorded Gemini traffic through the hub: every reply and stream becomes a valid OpenAI one that says the same.
import { describe, expect, it } from 'vitest'
import { decodeFault } from '../src/dialects/gemini/error.ts'
import { decodeReply } from '../src/dialects/gemini/reply.ts'
import { decodeStream } from '../src/dialects/gemini/stream.ts'
import { decodeReply as decodeOpenAiReply } from '../src/dialects/openai-chat/decodeReply.ts'
import { decodeStream as decodeOpenAi } from '../src/dialects/openai-chat/decodeStream.ts'
import {
  asReply,
  asStream,
  type ClientView,
  deepFreeze,
  feed,
  normalised,
  parsed,
  readReply,
  readStream,
} from './support/hubReply.ts'
import { complaints, openAiValidators } from './support/openaiSchema.ts'
import { type Recording, readRecordings, readReplies } from './support/recordings.ts'
import { hasShared, needsShared } from './support/shared.ts'

type Json = Record<string, unknown>

const isGenerate = ({ host, pathname }: URL): boolean =>
  host.endsWith('googleapis.com') && /:(streamG|g)enerateContent$/.test(pathname)

const recordings: Recording[] = hasShared
  ? [
      ...readRecordings('gemini', isGenerate),
      ...readReplies('google', (line) => `data: ${line}\r\n\r\n`).filter(isReply),
    ]
  : []

/** The live and interactions APIs are other endpoints. */
function isReply({ body }: Recording): boolean {
  return body.includes('"candidates"') && !body.includes('"serverContent"')
}

const good = recordings.filter(({ status }) => status === 200)
const streams = good.filter(({ stream }) => stream)
const replies = good.filter(({ stream }) => !stream)

const dataOf = (body: string): Json[] =>
  body
    .split(/\r?\n/)
    .filter((line) => line.startsWith('data:'))
    .map((line) => JSON.parse(line.slice(5)) as Json)

/** What the frames say, read straight from the wire and not by the code under test. */
function saidBy(frames: Json[]) {
  const said = {
    text: '',
    thought: '',
    calls: [] as [string, unknown][],
    finish: undefined as unknown,
    usage: {} as Json,
    blocked: undefined as unknown,
  }
  for (const frame of frames) {
    const usage = (frame.usageMetadata ?? {}) as Json
    if (usage.promptTokenCount !== undefined || usage.totalTokenCount !== undefined) said.usage = usage
    said.blocked ??= (frame.promptFeedback as Json | undefined)?.blockReason
    for (const candidate of (frame.candidates ?? []) as Json[]) {
      if (((candidate.index as number | undefined) ?? 0) !== 0) continue
      if (candidate.finishReason) said.finish = candidate.finishReason
      for (const part of ((candidate.content as Json | undefined)?.parts ?? []) as Json[]) {
        if (typeof part.text === 'string') said[part.thought ? 'thought' : 'text'] += part.text
        const call = part.functionCall as Json | undefined
        if (call?.name) said.calls.push([call.name as string, call.args])
        for (const piece of (call?.partialArgs ?? []) as Json[]) growArguments(said.calls.at(-1)!, piece)
      }
    }
  }
  return said
}

/** Another way to put partial arguments together than the code under test: by text paths. */
function growArguments(call: [string, unknown], piece: Json): void {
  if (!(call[1] instanceof Map)) call[1] = new Map<string, unknown>()
  const paths = call[1] as Map<string, unknown>
  const value =
    'stringValue' in piece
      ? piece.stringValue
      : 'numberValue' in piece
        ? piece.numberValue
        : 'boolValue' in piece
          ? piece.boolValue
          : null
  const before = paths.get(piece.jsonPath as string)
  paths.set(piece.jsonPath as string, typeof before === 'string' ? before + value : value)
}

function flattened(value: unknown, path = '$'): [string, unknown][] {
  if (Array.isArray(value)) return value.flatMap((item, at) => flattened(item, `${path}[${at}]`))
  if (typeof value === 'object' && value !== null)
    return Object.entries(value).flatMap(([name, item]) => flattened(item, `${path}.${name}`))
  return [[path, value]]
}

const finishes: Record<string, string> = {
  STOP: 'stop',
  MAX_TOKENS: 'length',
  SAFETY: 'content_filter',
  MODEL_ARMOR: 'content_filter',
  RECITATION: 'content_filter',
}

function expectSame(view: ClientView, frames: Json[], name: string): void {
  const said = saidBy(frames)
  expect(view.content, name).toBe(said.text)
  expect(view.reasoning, name).toBe(said.thought)
  expect(
    view.calls.map((call) => call.name),
    name,
  ).toEqual(said.calls.map(([fn]) => fn))
  for (const [at, [, args]] of said.calls.entries()) {
    const given = parsed(view.calls[at]!.arguments)
    if (args instanceof Map) expect(flattened(given).sort(), name).toEqual([...args].sort())
    else expect(given, name).toEqual(args ?? {})
  }
  expect(new Set(view.calls.map(({ id }) => id)).size, name).toBe(said.calls.length)
  const finish = said.blocked ? 'content_filter' : finishes[String(said.finish)]
  expect(view.finish, name).toBe(said.calls.length > 0 && finish === 'stop' ? 'tool_calls' : finish)
  expect(view.native, name).toBe(said.finish ?? said.blocked)
  const count = (field: string) => Number(said.usage[field] ?? 0)
  if (Object.keys(said.usage).length === 0) return
  const prompt = count('promptTokenCount') + count('toolUsePromptTokenCount')
  expect(view.usage, name).toMatchObject({
    prompt_tokens: prompt,
    completion_tokens: count('candidatesTokenCount') + count('thoughtsTokenCount'),
    total_tokens: count('totalTokenCount'),
    prompt_tokens_details: { cached_tokens: count('cachedContentTokenCount') },
    completion_tokens_details: { reasoning_tokens: count('thoughtsTokenCount') },
  })
}

describe.skipIf(!hasShared)(`gemini recordings through the hub${needsShared}`, () => {
  it('has the recordings that these tests are about', () => {
    expect(replies.length).toBeGreaterThan(100)
    expect(streams.length).toBeGreaterThan(40)
  })

  it('turns every recorded reply into a complete OpenAI reply that says the same', () => {
    const { reply: validate } = openAiValidators()
    for (const { name, body } of replies) {
      const wire = deepFreeze(JSON.parse(body)) as Json | Json[]
      const events = decodeReply(wire)
      expect(events.at(-1)?.type, `${name} ${JSON.stringify(events.at(-1))}`).toBe('end')
      const text = asReply(events)
      expect(validate(JSON.parse(text)) || complaints(validate), name).toBe(true)
      expectSame(readReply(text), [wire].flat(), name)
      expectSame(readStream(asStream(events), openAiValidators()), [wire].flat(), name)
    }
  })

  it('turns every recorded stream into a valid sequence of chunks that says the same, whole and cut', () => {
    const validators = openAiValidators()
    for (const { name, body } of streams) {
      const whole = feed(decodeStream(), body, 0)
      for (const size of [1, 7]) expect(feed(decodeStream(), body, size), `${name} by ${size}`).toEqual(whole)
      const frames = dataOf(body)
      const view = readStream(asStream(whole), validators)
      if (saidBy(frames).finish === undefined) {
        expect(view.error, name).toBeDefined()
        expect(view.done, name).toBe(false)
        continue
      }
      expect(view.done, name).toBe(true)
      expectSame(view, frames, name)
      expectSame(readReply(asReply(whole)), frames, name)
    }
  })

  it('gives equal events for a reply and for the same reply as a stream', () => {
    for (const { name, body } of replies) {
      const wire = JSON.parse(body) as Json | Json[]
      const stream = [wire]
        .flat()
        .map((frame) => `data: ${JSON.stringify(frame)}\r\n\r\n`)
        .join('')
      expect(normalised(feed(decodeStream(), stream, 0)), name).toEqual(normalised(decodeReply(wire)))
    }
  })

  it('C21 a gateway chained behind itself says and counts the same', () => {
    for (const { name, body } of streams) {
      const events = feed(decodeStream(), body, 0)
      if (events.at(-1)?.type === 'fault') continue
      const once = asStream(events)
      const again = asStream(feed(decodeOpenAi(), once, 0))
      expect(readStream(again, openAiValidators()), name).toEqual(readStream(once, openAiValidators()))
    }
    for (const { name, body } of replies) {
      const once = asReply(decodeReply(JSON.parse(body)))
      expect(JSON.parse(asReply(decodeOpenAiReply(JSON.parse(once)))), name).toEqual(JSON.parse(once))
    }
  })

  it('classifies every recorded error', () => {
    const faults = recordings.filter(({ status }) => status !== 200)
    expect(faults.length).toBeGreaterThan(0)
    for (const { name, status, headers, body } of faults) {
      const fault = decodeFault(status, headers, Buffer.from(body))
      expect(fault.kind, name).toBe('model_not_found')
      expect(fault.message, name).toMatch(/is not found for API version/)
    }
  })
})

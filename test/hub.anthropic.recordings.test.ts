// Recorded Anthropic traffic through the hub: every reply and stream becomes a valid OpenAI one that says the same.
import { describe, expect, it } from 'vitest'
import { decodeFault } from '../src/dialects/anthropic-messages/error.ts'
import { decodeReply } from '../src/dialects/anthropic-messages/reply.ts'
import { decodeStream } from '../src/dialects/anthropic-messages/stream.ts'
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

/** Only `POST /v1/messages` of Anthropic: the other URLs that end in `/messages` are OpenAI's threads. */
const recordings: Recording[] = hasShared
  ? [
      ...readRecordings(
        'anthropic-messages',
        ({ host, pathname }) => host === 'api.anthropic.com' && pathname === '/v1/messages',
      ),
      ...readReplies(
        'anthropic',
        (line) => `event: ${(JSON.parse(line) as { type: string }).type}\ndata: ${line}\n\n`,
      ).filter(isMessage),
    ]
  : []

/** Skills are other endpoints' objects. */
function isMessage({ body, stream }: Recording): boolean {
  return stream || (parsed(body) as Json).type === 'message'
}

/** Files with several steps hold one stream after the other. */
function splitSteps(recording: Recording): Recording[] {
  if (!recording.stream) return [recording]
  const steps = recording.body
    .split(/(?<=data: ?\{"type": ?"message_stop"[^\n]*\n\r?\n)/)
    .filter((step) => step.trim() !== '')
  return steps.map((body, step) => ({ ...recording, body, name: `${recording.name} step ${step}` }))
}

const good = recordings.filter(({ status }) => status === 200).flatMap(splitSteps)
const replies = good.filter(({ stream }) => !stream)
const streams = good.filter(({ stream }) => stream)

/** What a message says, read straight from the wire and not by the code under test. */
interface Said {
  text: string
  thinking: string
  calls: unknown[]
  stop: unknown
  usage: Json
}

function saidBy(message: Json): Said {
  const blocks = message.content as Json[]
  const joined = (type: string, field: string) =>
    blocks
      .filter((block) => block.type === type)
      .map((block) => block[field])
      .join('')
  return {
    text: joined('text', 'text'),
    thinking: joined('thinking', 'thinking'),
    calls: blocks.filter(({ type }) => type === 'tool_use').map(({ id, name, input }) => [id, name, input]),
    stop: message.stop_reason,
    usage: message.usage as Json,
  }
}

/** A plain accumulator of the stream, as Anthropic's documentation describes it. */
function saidByStream(body: string): Said & { starts: number; ids: Set<unknown>; complete: boolean } {
  const said = {
    text: '',
    thinking: '',
    calls: [] as unknown[],
    stop: undefined as unknown,
    usage: {} as Json,
    starts: 0,
  }
  const ids = new Set<unknown>()
  const inputs = new Map<number, { block: Json; text: string }>()
  let complete = false
  for (const line of body.split(/\r?\n/)) {
    if (!line.startsWith('data:')) continue
    const event = JSON.parse(line.slice(5)) as Json
    const delta = (event.delta ?? {}) as Json
    const usage = ((event.message as Json | undefined)?.usage ?? event.usage ?? {}) as Json
    for (const [name, value] of Object.entries(usage)) if (value !== null) said.usage[name] = value
    if (event.type === 'message_start') {
      const message = event.message as Json
      said.starts++
      ids.add(message.id)
      const given = saidBy(message)
      said.text += given.text
      said.calls.push(...given.calls)
      if (message.stop_reason) said.stop = message.stop_reason
    }
    if (event.type === 'message_stop') complete = true
    if (event.type === 'message_delta' && delta.stop_reason) said.stop = delta.stop_reason
    const block = event.content_block as Json | undefined
    if (block?.type === 'text') said.text += block.text
    if (block?.type === 'tool_use') inputs.set(event.index as number, { block, text: '' })
    if (delta.type === 'text_delta') said.text += delta.text
    if (delta.type === 'thinking_delta') said.thinking += delta.thinking
    const call = inputs.get(event.index as number)
    if (call && delta.type === 'input_json_delta') call.text += delta.partial_json
    if (call && event.type === 'content_block_stop') {
      said.calls.push([call.block.id, call.block.name, call.text === '' ? call.block.input : JSON.parse(call.text)])
      inputs.delete(event.index as number)
    }
  }
  return { ...said, ids, complete }
}

const finishes: Record<string, string> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  pause_turn: 'stop',
  compaction: 'stop',
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  refusal: 'content_filter',
  tool_use: 'tool_calls',
}

function expectSame(view: ClientView, said: Said, name: string): void {
  expect(view.content, name).toBe(said.text)
  expect(view.reasoning, name).toBe(said.thinking)
  expect(
    view.calls.map((call) => [call.id, call.name, parsed(call.arguments)]),
    name,
  ).toEqual(said.calls)
  const called = said.calls.length > 0
  const finish = finishes[String(said.stop)]
  expect(view.finish, name).toBe(called && finish === 'stop' ? 'tool_calls' : finish)
  expect(view.native, name).toBe(said.stop)
  const count = (field: string) => Number(said.usage[field] ?? 0)
  const prompt = count('input_tokens') + count('cache_read_input_tokens') + count('cache_creation_input_tokens')
  expect(view.usage, name).toMatchObject({
    prompt_tokens: prompt,
    completion_tokens: count('output_tokens'),
    total_tokens: prompt + count('output_tokens'),
    prompt_tokens_details: { cached_tokens: count('cache_read_input_tokens') },
    completion_tokens_details: {
      reasoning_tokens: Number((said.usage.output_tokens_details as Json | undefined)?.thinking_tokens ?? 0),
    },
  })
}

describe.skipIf(!hasShared)(`anthropic-messages recordings through the hub${needsShared}`, () => {
  it('has the recordings that these tests are about', () => {
    expect(replies.length).toBeGreaterThan(100)
    expect(streams.length).toBeGreaterThan(40)
  })

  it('turns every recorded message into a complete OpenAI reply that says the same', () => {
    const { reply: validate } = openAiValidators()
    for (const { name, body } of replies) {
      const wire = deepFreeze(JSON.parse(body)) as Json
      const events = decodeReply(wire)
      expect(events.at(-1)?.type, name).toBe('end')
      const text = asReply(events)
      expect(validate(JSON.parse(text)) || complaints(validate), name).toBe(true)
      expectSame(readReply(text), saidBy(wire), name)
      // The same events as a stream give the same answer.
      expectSame(readStream(asStream(events), openAiValidators()), saidBy(wire), name)
    }
  })

  it('turns every recorded stream into a valid sequence of chunks that says the same, whole and cut', () => {
    const validators = openAiValidators()
    for (const { name, body } of streams) {
      const whole = feed(decodeStream(), body, 0)
      for (const size of [1, 7]) expect(feed(decodeStream(), body, size), `${name} by ${size}`).toEqual(whole)
      const said = saidByStream(body)
      const view = readStream(asStream(whole), validators)
      if (said.ids.size > 1 || said.stop === undefined) {
        // Two messages in one stream, or one that was cut: an error, never a finished answer.
        expect(view.error, name).toBeDefined()
        expect(view.done, name).toBe(false)
        continue
      }
      expect(view.done, name).toBe(true)
      expectSame(view, said, name)
      expectSame(readReply(asReply(whole)), said, name)
    }
  })

  it('gives equal events for a message and for its stream', () => {
    for (const { name, body } of replies) {
      const message = JSON.parse(body) as Json
      expect(normalised(feed(decodeStream(), streamOf(message), 0)), name).toEqual(normalised(decodeReply(message)))
    }
  })

  it('C21 a gateway chained behind itself says and counts the same', () => {
    for (const { name, body } of streams) {
      const events = feed(decodeStream(), body, 0)
      if (events.at(-1)?.type === 'fault') continue
      const once = asStream(events)
      expect(asStream(feed(decodeOpenAi(), once, 0)), name).toBe(once)
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
      expect(fault.kind, name).toBe(status === 404 ? 'model_not_found' : 'bad_request')
      expect(fault.message, name).toBe((JSON.parse(body) as { error: { message: string } }).error.message)
    }
  })
})

/** A message told as the stream that Anthropic would have sent. */
function streamOf(message: Json): string {
  const { content, stop_reason, stop_sequence, stop_details, usage, ...head } = message
  const events: Json[] = [{ type: 'message_start', message: { ...head, content: [], usage } }]
  for (const [index, block] of (content as Json[]).entries()) {
    const { text, thinking, signature, input, citations, ...rest } = block
    const deltas: Json[] = []
    let opened: Json = block
    if (block.type === 'text') {
      opened = { type: 'text', text: '' }
      for (const citation of (citations ?? []) as Json[]) deltas.push({ type: 'citations_delta', citation })
      for (const piece of String(text).match(/[\s\S]{1,5}/g) ?? []) deltas.push({ type: 'text_delta', text: piece })
    } else if (block.type === 'thinking') {
      opened = { ...rest, thinking: '', signature: '' }
      for (const piece of String(thinking).match(/[\s\S]{1,5}/g) ?? [])
        deltas.push({ type: 'thinking_delta', thinking: piece })
      deltas.push({ type: 'signature_delta', signature })
    } else if (input !== undefined) {
      opened = { ...rest, input: {} }
      for (const piece of JSON.stringify(input).match(/[\s\S]{1,5}/g) ?? [])
        deltas.push({ type: 'input_json_delta', partial_json: piece })
    }
    events.push({ type: 'content_block_start', index, content_block: opened })
    for (const delta of deltas) events.push({ type: 'content_block_delta', index, delta })
    events.push({ type: 'content_block_stop', index })
  }
  events.push(
    { type: 'message_delta', delta: { stop_reason, stop_sequence, stop_details }, usage },
    { type: 'message_stop' },
  )
  return events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('')
}

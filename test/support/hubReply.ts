// Runs replies through the hub as the gateway does: bytes to frames to events, and events to what an OpenAI client reads.
import type { Chat, ChatEvent } from '../../src/dialects/chat.ts'
import { collect } from '../../src/dialects/collect.ts'
import type { Ask, ReplyContext, StreamDecoder } from '../../src/dialects/dialect.ts'
import { encodeReply } from '../../src/dialects/openai-chat/encodeReply.ts'
import { encodeStream } from '../../src/dialects/openai-chat/encodeStream.ts'
import { FrameSplitter, readFrame } from '../../src/dialects/sse.ts'
import { complaints, type OpenAiValidators } from './openaiSchema.ts'

export const ask: Ask = {
  model: 'route',
  stream: true,
  includeUsage: true,
  maxTokens: undefined,
  n: 1,
  messages: 1,
  bytes: 1,
  tools: 0,
  media: { images: 0, audio: 0, files: 0 },
  user: undefined,
}

export const context: ReplyContext = { id: 'chatcmpl-test', created: 1_700_000_000 }

/** Feeds a body to a decoder in pieces of `size` bytes (0 = at once). */
export function feed(decoder: StreamDecoder, body: string, size: number): ChatEvent[] {
  const bytes = Buffer.from(body)
  const events: ChatEvent[] = []
  const splitter = new FrameSplitter()
  const step = size === 0 ? Math.max(1, bytes.length) : size
  for (let at = 0; at < bytes.length; at += step) {
    splitter.push(Buffer.from(bytes.subarray(at, at + step)), (frame) => events.push(...decoder.take(readFrame(frame))))
  }
  const rest = splitter.end()
  if (rest) events.push(...decoder.take(readFrame(rest)))
  events.push(...decoder.end())
  return events
}

/** What may differ between the same reply whole and streamed: where texts were cut, and how arguments are spaced. */
export function normalised(events: Iterable<ChatEvent>): unknown {
  const { fault, ...reply } = collect(events)
  return {
    ...reply,
    fault: fault?.kind,
    choices: reply.choices.map((choice) => ({
      ...choice,
      blocks: choice.blocks.map(({ block, text, signature }) => ({
        block,
        text: block.type === 'tool-call' && !block.custom ? parsed(text) : text,
        signature,
      })),
    })),
  }
}

/** A tool call's arguments as a value; text that is no JSON stays text. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

export interface ClientView {
  content: string
  reasoning: string
  refusal: string
  calls: { id: string; name: string; arguments: string }[]
  /** The deprecated `function_call`. */
  old: unknown
  finish: string | undefined
  native: string | undefined
  usage: Record<string, unknown> | undefined
  annotations: unknown[]
  details: unknown[]
  done: boolean
  error: Record<string, unknown> | undefined
  id: string | undefined
  model: string | undefined
}

type Json = Record<string, unknown>

/** Reads one choice of a JSON reply the way a client does. */
export function readReply(text: string, choice = 0): ClientView {
  const reply = JSON.parse(text) as Json
  const chosen = (reply.choices as Json[]).find(({ index }) => index === choice) as Json
  const message = chosen.message as Json
  const calls = (message.tool_calls ?? []) as { id: string; function: { name: string; arguments: string } }[]
  return {
    content: (message.content as string | null) ?? '',
    reasoning: (message.reasoning_content as string | undefined) ?? '',
    refusal: (message.refusal as string | null) ?? '',
    calls: calls.map((call) => ({ id: call.id, name: call.function.name, arguments: call.function.arguments })),
    old: message.function_call,
    finish: chosen.finish_reason as string,
    native: chosen.native_finish_reason as string | undefined,
    usage: reply.usage as Json | undefined,
    annotations: (message.annotations as unknown[] | undefined) ?? [],
    details: (message.reasoning_details as unknown[] | undefined) ?? [],
    done: true,
    error: undefined,
    id: reply.id as string,
    model: reply.model as string,
  }
}

/**
 * Reads one choice of a stream the way a strict client does, and checks the sequence on the way: schema of each chunk, one identity,
 * role first, tool call indices ascending with id and name in their first delta, nothing after the finish but usage and `[DONE]`.
 */
export function readStream(text: string, validators: OpenAiValidators, choice = 0): ClientView {
  const view: ClientView = {
    content: '',
    reasoning: '',
    refusal: '',
    calls: [],
    old: undefined,
    finish: undefined,
    native: undefined,
    usage: undefined,
    annotations: [],
    details: [],
    done: false,
    error: undefined,
    id: undefined,
    model: undefined,
  }
  const identities = new Set<string>()
  let sawRole = false
  for (const data of dataOf(text)) {
    if (view.done || view.error) throw new Error('something follows the end of the stream')
    if (data === '[DONE]') {
      view.done = true
      continue
    }
    const chunk = JSON.parse(data) as Json
    if (chunk.error) {
      if (!validators.error(chunk)) throw new Error(`error frame: ${complaints(validators.error)}`)
      view.error = chunk.error as Json
      continue
    }
    if (!validators.chunk(chunk)) throw new Error(`chunk ${data.slice(0, 300)}: ${complaints(validators.chunk)}`)
    identities.add(`${chunk.id} ${chunk.created} ${chunk.model}`)
    view.id = chunk.id as string
    view.model = chunk.model as string
    const choices = chunk.choices as Json[]
    if (choices.length === 0) view.usage = chunk.usage as Json
    else if (chunk.usage) throw new Error('usage stands on a chunk with choices')
    for (const item of choices) {
      if (item.index !== choice) continue
      if (view.finish !== undefined) throw new Error('a delta follows the finish')
      if (view.usage) throw new Error('a delta follows the usage')
      const delta = item.delta as Json
      if (!sawRole && delta.role !== 'assistant') throw new Error('the first delta has no role')
      sawRole = true
      readDelta(delta, view)
      if (item.finish_reason) view.finish = item.finish_reason as string
      if (item.native_finish_reason) view.native = item.native_finish_reason as string
    }
  }
  if (identities.size > 1) throw new Error(`the stream has several identities: ${[...identities].join(' | ')}`)
  return view
}

function readDelta(delta: Json, view: ClientView): void {
  view.content += (delta.content as string | null) ?? ''
  view.reasoning += (delta.reasoning_content as string | undefined) ?? ''
  view.refusal += (delta.refusal as string | null) ?? ''
  // As OpenAI's SDK has it: fields that it does not know are replaced.
  view.annotations = (delta.annotations as unknown[] | undefined) ?? view.annotations
  view.details.push(...((delta.reasoning_details as unknown[] | undefined) ?? []))
  for (const call of (delta.tool_calls ?? []) as {
    index: number
    id?: string
    function: { name?: string; arguments: string }
  }[]) {
    const known = view.calls[call.index]
    if (known) {
      known.arguments += call.function.arguments
      continue
    }
    if (call.index !== view.calls.length)
      throw new Error(`tool call index ${call.index} after ${view.calls.length} calls`)
    if (!call.id || !call.function.name) throw new Error('the first delta of a tool call lacks its id or name')
    view.calls.push({ id: call.id, name: call.function.name, arguments: call.function.arguments })
  }
}

/** The data of every event, by our own framing. */
function dataOf(text: string): string[] {
  const found: string[] = []
  const splitter = new FrameSplitter()
  splitter.push(Buffer.from(text), (frame) => {
    const { data } = readFrame(frame)
    if (data !== undefined) found.push(data)
  })
  return found
}

/** Events as the text of a JSON reply. */
export const asReply = (events: ChatEvent[], chat?: Chat): string =>
  encodeReply(events, { ...ask, stream: false }, { ...context, chat })

/** Events as the text of a stream. */
export function asStream(events: ChatEvent[], over: Partial<Ask> = {}): string {
  const write = encodeStream({ ...ask, ...over }, context)
  return events.map(write).join('')
}

/** Freezes a value all the way down, so that whoever writes to it throws. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const inner of Object.values(value)) deepFreeze(inner)
  }
  return value
}

// The cases that break other gateways, for the translators: one named suite a case, both vendors.
import { describe, expect, it } from 'vitest'
import { anthropicMessages } from '../src/dialects/anthropic-messages/index.ts'
import type { ChatEvent } from '../src/dialects/chat.ts'
import { collect } from '../src/dialects/collect.ts'
import type { SignatureStore, StreamDecoder } from '../src/dialects/dialect.ts'
import { Refusal } from '../src/dialects/errors.ts'
import { lostSignature } from '../src/dialects/gemini/families.ts'
import { gemini } from '../src/dialects/gemini/index.ts'
import { decodeRequest } from '../src/dialects/openai-chat/decodeRequest.ts'
import { decodeStream as decodeOpenAi } from '../src/dialects/openai-chat/decodeStream.ts'
import { asReply, asStream, deepFreeze, feed, readReply, readStream } from './support/hubReply.ts'
import { openAiValidators } from './support/openaiSchema.ts'
import { hasShared } from './support/shared.ts'

type Json = Record<string, unknown>

const outbound = { anthropic: anthropicMessages.outbound!, gemini: gemini.outbound! }
const toAnthropic = (body: Json, model = 'claude-sonnet-4-5') => {
  const { wire, ...rest } = outbound.anthropic.encode!(deepFreeze(decodeRequest(deepFreeze(body))), model)
  return { wire: wire as Json & { messages: { role: string; content: Json[] }[]; tools: Json[] }, ...rest }
}
const toGemini = (body: Json, model = 'gemini-2.5-flash', signatures?: SignatureStore) => {
  const { wire, ...rest } = outbound.gemini.encode!(deepFreeze(decodeRequest(deepFreeze(body))), model, { signatures })
  return { wire: wire as Json & { contents: { role: string; parts: Json[] }[]; tools: Json[] }, ...rest }
}

const sse = (...events: Json[]): string =>
  events.map((event) => `${event.type ? `event: ${event.type}\n` : ''}data: ${JSON.stringify(event)}\n\n`).join('')
const fromAnthropic = (...events: Json[]): ChatEvent[] => feed(outbound.anthropic.decodeStream!(), sse(...events), 0)
const fromGemini = (...frames: Json[]): ChatEvent[] => feed(outbound.gemini.decodeStream!(), sse(...frames), 0)

const start = (more: Json = {}): Json => ({
  type: 'message_start',
  message: {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'claude-x',
    content: [],
    usage: { input_tokens: 9, output_tokens: 1 },
    ...more,
  },
})
const opened = (index: number, content_block: Json): Json => ({ type: 'content_block_start', index, content_block })
const delta = (index: number, inner: Json): Json => ({ type: 'content_block_delta', index, delta: inner })
const closed = (index: number): Json => ({ type: 'content_block_stop', index })
const stopped = (stop_reason: string, more: Json = {}): Json => ({
  type: 'message_delta',
  delta: { stop_reason, stop_sequence: null, ...more },
  usage: { output_tokens: 20 },
})
const ended: Json = { type: 'message_stop' }
const block = (index: number, content_block: Json, ...deltas: Json[]): Json[] => [
  opened(index, content_block),
  ...deltas.map((inner) => delta(index, inner)),
  closed(index),
]
const saying = (index: number, text: string): Json[] =>
  block(index, { type: 'text', text: '' }, { type: 'text_delta', text })
const calling = (index: number, id: string, name: string, ...pieces: string[]): Json[] =>
  block(
    index,
    { type: 'tool_use', id, name, input: {} },
    ...pieces.map((partial_json) => ({ type: 'input_json_delta', partial_json })),
  )

const frame = (parts: Json[], more: Json = {}, top: Json = {}): Json => ({
  candidates: [{ content: { role: 'model', parts }, index: 0, ...more }],
  usageMetadata: { promptTokenCount: 9, candidatesTokenCount: 4, totalTokenCount: 13 },
  modelVersion: 'gemini-x',
  responseId: 'reply1',
  ...top,
})

const user: Json = { role: 'user', content: 'Hello' }
const request = (more: Json = {}): Json => ({ model: 'm', messages: [user], ...more })
const turn = (assistant: Json, ...results: [string, string][]): Json[] => [
  user,
  { role: 'assistant', content: null, ...assistant },
  ...results.map(([tool_call_id, content]) => ({ role: 'tool', tool_call_id, content })),
]
const call = (id: string, name: string, args: string): Json => ({
  id,
  type: 'function',
  function: { name, arguments: args },
})

const refusalOf = (run: () => unknown): Refusal => {
  try {
    run()
  } catch (error) {
    if (error instanceof Refusal) return error
    throw error
  }
  throw new Error('nothing was refused')
}

/** Reads a stream as a client, with the schema where it is at hand. */
const watch = (events: ChatEvent[]) => {
  const yes = Object.assign(() => true, { errors: null }) as never
  return readStream(
    asStream(events),
    hasShared ? openAiValidators() : { reply: yes, chunk: yes, error: yes, request: yes },
  )
}

describe('C1 parallel tool calls keep distinct ascending indices', () => {
  const expected = [
    { id: 'a', name: 'f', arguments: '{"x":1}' },
    { id: 'b', name: 'g', arguments: '{"y":2}' },
  ]

  it('anthropic: fragmented', () => {
    const view = watch(
      fromAnthropic(
        start(),
        ...calling(0, 'a', 'f', '{"x"', ':1}'),
        ...calling(1, 'b', 'g', '', '{"y":2}'),
        stopped('tool_use'),
        ended,
      ),
    )
    expect(view.calls).toEqual(expected)
  })

  it('anthropic: whole in the block', () => {
    const whole = (id: string, name: string, input: Json): Json => ({ type: 'tool_use', id, name, input })
    const events = outbound.anthropic.events!({
      id: 'm',
      model: 'c',
      content: [whole('a', 'f', { x: 1 }), whole('b', 'g', { y: 2 })],
      stop_reason: 'tool_use',
      usage: { input_tokens: 1, output_tokens: 1 },
    })
    expect(watch(events).calls).toEqual(expected)
    expect(readReply(asReply(events)).calls).toEqual(expected)
  })

  it('gemini: in one frame and in two', () => {
    const f = { functionCall: { id: 'a', name: 'f', args: { x: 1 } } }
    const g = { functionCall: { id: 'b', name: 'g', args: { y: 2 } } }
    const stop = { finishReason: 'STOP' }
    expect(watch(fromGemini(frame([f, g], stop))).calls).toEqual(expected)
    expect(watch(fromGemini(frame([f]), frame([g], stop))).calls).toEqual(expected)
  })

  it('gemini: calls without ids get ids of their own that are unique and at most 40 characters long', () => {
    const f = { functionCall: { name: 'f', args: {} } }
    const { calls } = watch(fromGemini(frame([f, f, f], { finishReason: 'STOP' })))
    expect(new Set(calls.map(({ id }) => id)).size).toBe(3)
    for (const { id } of calls) expect(id).toMatch(/^[a-zA-Z0-9_-]{1,40}$/)
  })

  it('gemini: calls whose arguments come in pieces, also when the last piece of one is missing', () => {
    const piece = (jsonPath: string, value: Json, more: Json = {}): Json => ({
      functionCall: { partialArgs: [{ jsonPath, ...value }], willContinue: true, ...more },
    })
    const events = fromGemini(
      frame([{ functionCall: { id: 'a', name: 'f', willContinue: true } }]),
      frame([piece('$.list[1].name', { stringValue: 'x' })]),
      frame([{ functionCall: { id: 'b', name: 'g', willContinue: true } }]),
      frame([piece("$['a b']", { stringValue: 'one ', willContinue: true })]),
      frame([{ functionCall: { partialArgs: [{ jsonPath: "$['a b']", stringValue: 'two' }], willContinue: true } }]),
      frame([piece('$.__proto__.polluted', { boolValue: true })]),
      frame([{ functionCall: {} }], { finishReason: 'STOP' }),
    )
    const { calls } = watch(events)
    expect(calls.map(({ id }) => id)).toEqual(['a', 'b'])
    expect(JSON.parse(calls[0]!.arguments)).toEqual({ list: [null, { name: 'x' }] })
    expect(calls[1]!.arguments).toBe('{"a b":"one two","__proto__":{"polluted":true}}')
    expect(({} as Json).polluted).toBeUndefined()
  })

  it('openai-compatible servers that give every call the index 0', () => {
    const chunk = (tool_calls: Json[], finish_reason: string | null = null): Json => ({
      id: 'c',
      model: 'm',
      created: 1,
      choices: [{ index: 0, delta: { tool_calls }, finish_reason }],
    })
    const events = feed(
      decodeOpenAi(),
      `${sse(
        chunk([{ index: 0, id: 'a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } }]),
        chunk([{ index: 0, id: 'b', type: 'function', function: { name: 'g', arguments: '{"y":' } }]),
        chunk([{ index: 0, function: { arguments: '2}' } }], 'tool_calls'),
      )}data: [DONE]\n\n`,
      0,
    )
    expect(watch(events).calls).toEqual(expected)
  })
})

describe('C2 malformed tool arguments in the history are a 400 that names the call', () => {
  const messages = turn({ tool_calls: [call('a', 'f', '{}'), call('b', 'g', '{"y":')] }, ['a', '1'], ['b', '2'])

  for (const [vendor, encode] of [
    ['anthropic', toAnthropic],
    ['gemini', toGemini],
  ] as const) {
    it(vendor, () => {
      const refusal = refusalOf(() => encode(request({ messages })))
      expect(refusal).toMatchObject({
        code: 'invalid_tool_arguments',
        status: 400,
        param: 'messages[1].tool_calls[1].function.arguments',
      })
      expect(refusal.message).not.toContain('{"y":')
    })
  }
})

describe('C3 arguments are strings, one identity, tool_calls after a call', () => {
  it('anthropic: a call without arguments gives "{}"', () => {
    const view = watch(
      fromAnthropic(start(), ...saying(0, 'Ok.'), ...calling(1, 'a', 'f', ''), stopped('tool_use'), ended),
    )
    expect(view.calls[0]?.arguments).toBe('{}')
    expect(view).toMatchObject({
      content: 'Ok.',
      finish: 'tool_calls',
      native: 'tool_use',
      id: 'msg_1',
      model: 'claude-x',
    })
  })

  it('gemini: STOP after a call is tool_calls', () => {
    const view = watch(
      fromGemini(
        frame([{ text: 'Ok.' }]),
        frame([{ functionCall: { name: 'f' } }]),
        frame([{ text: '' }], { finishReason: 'STOP' }),
      ),
    )
    expect(view).toMatchObject({ content: 'Ok.', finish: 'tool_calls', native: 'STOP' })
    expect(view.calls[0]?.arguments).toBe('{}')
  })

  it('anthropic: of several answers beside a call the first is the content, which stays JSON', () => {
    const answer = 'turnout_structured_answer'
    const events = [
      start(),
      ...calling(0, 'a', answer, '{"city":"Oslo"}'),
      ...calling(1, 'b', 'f', '{}'),
      ...calling(2, 'c', answer, '{"city":"Rome"}'),
      stopped('tool_use'),
      ended,
    ]
    const use = (id: string, name: string, input: Json): Json => ({ type: 'tool_use', id, name, input })
    const content = [use('a', answer, { city: 'Oslo' }), use('b', 'f', {}), use('c', answer, { city: 'Rome' })]
    const whole = outbound.anthropic.events!({ ...(start().message as Json), content, stop_reason: 'tool_use' })
    for (const view of [watch(fromAnthropic(...events)), watch(whole)]) {
      expect(view).toMatchObject({ content: '{"city":"Oslo"}', finish: 'tool_calls' })
      expect(view.calls.map(({ id }) => id)).toEqual(['b'])
    }
  })

  it('both: length is kept', () => {
    expect(watch(fromAnthropic(start(), ...calling(0, 'a', 'f', '{"x'), stopped('max_tokens'), ended)).finish).toBe(
      'length',
    )
    expect(
      watch(fromGemini(frame([{ functionCall: { name: 'f', args: {} } }], { finishReason: 'MAX_TOKENS' }))).finish,
    ).toBe('length')
  })

  it('ollama: stop after a call is tool_calls', () => {
    const choice = {
      index: 0,
      message: { role: 'assistant', content: '', tool_calls: [call('a', 'f', '{}')] },
      finish_reason: 'stop',
    }
    const events = feed(
      decodeOpenAi(),
      `${sse({ id: 'c', model: 'm', choices: [{ ...choice, delta: choice.message }] })}data: [DONE]\n\n`,
      0,
    )
    expect(watch(events).finish).toBe('tool_calls')
  })
})

describe('C4 finish reasons are mapped completely', () => {
  const anthropic: Record<string, string> = {
    end_turn: 'stop',
    stop_sequence: 'stop',
    pause_turn: 'stop',
    max_tokens: 'length',
    model_context_window_exceeded: 'length',
    refusal: 'content_filter',
    something_new: 'stop',
  }
  const google: Record<string, string> = {
    STOP: 'stop',
    MAX_TOKENS: 'length',
    SAFETY: 'content_filter',
    RECITATION: 'content_filter',
    LANGUAGE: 'content_filter',
    BLOCKLIST: 'content_filter',
    PROHIBITED_CONTENT: 'content_filter',
    SPII: 'content_filter',
    IMAGE_SAFETY: 'content_filter',
    MODEL_ARMOR: 'content_filter',
    OTHER: 'stop',
    SOMETHING_NEW: 'stop',
  }

  for (const [raw, reason] of Object.entries(anthropic)) {
    it(`anthropic ${raw}`, () => {
      expect(watch(fromAnthropic(start(), ...saying(0, 'Hi'), stopped(raw), ended))).toMatchObject({
        finish: reason,
        native: raw,
        done: true,
      })
    })
  }
  for (const [raw, reason] of Object.entries(google)) {
    it(`gemini ${raw}`, () => {
      expect(watch(fromGemini(frame([{ text: 'Hi' }], { finishReason: raw })))).toMatchObject({
        finish: reason,
        native: raw,
        done: true,
      })
    })
  }

  it('gemini: empty parts, no content and a blocked prompt do not crash', () => {
    expect(watch(fromGemini(frame([], { finishReason: 'STOP' }))).finish).toBe('stop')
    expect(watch(fromGemini({ candidates: [{ finishReason: 'SAFETY' }] })).finish).toBe('content_filter')
    for (const blockReason of ['PROHIBITED_CONTENT', 'OTHER', 'SAFETY', 'NEW_REASON']) {
      const view = watch(
        fromGemini({
          promptFeedback: { blockReason, blockReasonMessage: 'No.' },
          usageMetadata: { promptTokenCount: 3, totalTokenCount: 3 },
        }),
      )
      expect(view).toMatchObject({ finish: 'content_filter', native: blockReason, refusal: 'No.', content: '' })
    }
  })

  it('anthropic: a refusal says why', () => {
    const view = watch(
      fromAnthropic(
        start(),
        stopped('refusal', { stop_details: { type: 'refusal', explanation: 'Not this.' } }),
        ended,
      ),
    )
    expect(view).toMatchObject({ finish: 'content_filter', refusal: 'Not this.' })
  })

  it('gemini: a malformed function call is a failure and not an answer', () => {
    const view = watch(
      fromGemini(frame([{ text: 'Let me' }], { finishReason: 'MALFORMED_FUNCTION_CALL', finishMessage: 'bad call' })),
    )
    expect(view.done).toBe(false)
    expect(view.error?.message).toContain('bad call')
  })
})

describe('C5 anthropic streams: one start, deltas match their blocks, nothing is lost at a switch', () => {
  const thinking = (index: number, text: string) =>
    block(
      index,
      { type: 'thinking', thinking: '', signature: '' },
      { type: 'thinking_delta', thinking: text },
      { type: 'signature_delta', signature: 'sig' },
    )

  it('a repeated message_start does no harm', () => {
    expect(watch(fromAnthropic(start(), start(), ...saying(0, 'Hi'), stopped('end_turn'), ended))).toMatchObject({
      content: 'Hi',
      done: true,
    })
  })

  it('another message inside is an error, not a mixture', () => {
    const view = watch(
      fromAnthropic(
        start(),
        ...calling(0, 'a', 'f', '{"x"'),
        start({ id: 'msg_2' }),
        ...saying(0, 'Hi'),
        stopped('end_turn'),
        ended,
      ),
    )
    expect(view.done).toBe(false)
    expect(view.error?.code).toBe('garbage')
  })

  it('thought, text, thought, text, call keep their order and indices', () => {
    const events = fromAnthropic(
      start(),
      ...thinking(0, 'A'),
      ...saying(1, 'B'),
      ...thinking(2, 'C'),
      ...saying(3, 'D'),
      ...calling(4, 't', 'f', '{}'),
      stopped('tool_use'),
      ended,
    )
    const { blocks } = collect(events).choices[0]!
    expect(blocks.map(({ block: { type }, text }) => [type, text])).toEqual([
      ['reasoning', 'A'],
      ['text', 'B'],
      ['reasoning', 'C'],
      ['text', 'D'],
      ['tool-call', '{}'],
    ])
    const starts = events.flatMap((event) => (event.type === 'block-start' ? [event.index] : []))
    expect(starts).toEqual([0, 1, 2, 3, 4])
    expect(watch(events)).toMatchObject({ content: 'BD', reasoning: 'AC' })
  })

  it('text in the opening event is part of the text', () => {
    expect(
      watch(
        fromAnthropic(
          start(),
          ...block(0, { type: 'text', text: 'He' }, { type: 'text_delta', text: 'y' }),
          stopped('end_turn'),
          ended,
        ),
      ).content,
    ).toBe('Hey')
  })
})

describe('C6 unknown content types are a 400 that names them; results stay one to one with calls', () => {
  it('an unknown part', () => {
    const refusal = refusalOf(() =>
      decodeRequest(
        request({ messages: [user, { role: 'user', content: [{ type: 'text', text: 'x' }, { type: 'hologram' }] }] }),
      ),
    )
    expect(refusal).toMatchObject({ code: 'unsupported_content', status: 400, param: 'messages[1].content[1].type' })
    expect(refusal.message).toContain("'hologram'")
  })

  it('what a vendor cannot take', () => {
    const audio = request({
      messages: [{ role: 'user', content: [{ type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } }] }],
    })
    expect(refusalOf(() => toAnthropic(audio))).toMatchObject({
      code: 'unsupported_content',
      param: 'messages[0].content[0]',
    })
    expect(toGemini(audio).wire.contents[0]?.parts[0]).toEqual({ inlineData: { mimeType: 'audio/wav', data: 'AAAA' } })
  })

  it('results of parallel calls, also in another order', () => {
    const messages = turn({ tool_calls: [call('a', 'f', '{}'), call('b', 'g', '{}')] }, ['b', 'two'], ['a', 'one'])
    const { wire } = toAnthropic(request({ messages }))
    expect(wire.messages[2]?.content.map(({ type, tool_use_id }) => [type, tool_use_id])).toEqual([
      ['tool_result', 'b'],
      ['tool_result', 'a'],
    ])
    const answers = toGemini(request({ messages })).wire.contents[2]?.parts.map(
      ({ functionResponse }) => functionResponse,
    )
    expect(answers).toEqual([
      { name: 'f', response: { output: 'one' } },
      { name: 'g', response: { output: 'two' } },
    ])
  })

  it('anthropic: ids that it does not take become others, and different ids stay different', () => {
    const messages = turn(
      { tool_calls: [call('f.0', 'f', '{}'), call('f:0', 'g', '{}')] },
      ['f.0', 'one'],
      ['f:0', 'two'],
    )
    const { wire } = toAnthropic(request({ messages }))
    const made = wire.messages[1]?.content.map(({ id }) => id)
    expect(new Set(made).size).toBe(2)
    for (const id of made ?? []) expect(id).toMatch(/^[a-zA-Z0-9_-]+$/)
    expect(wire.messages[2]?.content.map(({ tool_use_id }) => tool_use_id)).toEqual(made)
  })

  it('gemini: an answer to no call is refused by name', () => {
    const messages = [user, { role: 'tool', tool_call_id: 'ghost', content: 'x' }]
    expect(refusalOf(() => toGemini(request({ messages })))).toMatchObject({
      status: 400,
      param: 'messages[1].tool_call_id',
    })
  })
})

describe('C7 an error inside the stream is an error frame, and no [DONE] follows', () => {
  it('anthropic', () => {
    const error = { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' }, request_id: 'req_1' }
    const events = fromAnthropic(
      start(),
      opened(0, { type: 'text', text: '' }),
      delta(0, { type: 'text_delta', text: 'Hi' }),
      error,
      ended,
    )
    expect(events.at(-1)).toMatchObject({
      type: 'fault',
      fault: { kind: 'overloaded', details: { request_id: 'req_1' } },
    })
    expect(watch(events)).toMatchObject({ content: 'Hi', done: false, error: { message: 'Overloaded' } })
  })

  it('gemini', () => {
    const events = fromGemini(frame([{ text: 'Hi' }]), {
      error: { code: 503, message: 'The model is overloaded.', status: 'UNAVAILABLE' },
    })
    expect(events.at(-1)).toMatchObject({ type: 'fault', fault: { kind: 'overloaded', code: 'UNAVAILABLE' } })
    expect(watch(events)).toMatchObject({ content: 'Hi', done: false })
  })

  it('both: a stream that is cut off', () => {
    expect(fromAnthropic(start(), ...saying(0, 'Hi')).at(-1)).toMatchObject({ type: 'fault', fault: { kind: 'cut' } })
    expect(fromGemini(frame([{ text: 'Hi' }])).at(-1)).toMatchObject({ type: 'fault', fault: { kind: 'cut' } })
    expect(asStream(fromGemini(frame([{ text: 'Hi' }])))).not.toContain('[DONE]')
  })

  it('both: text that is no JSON', () => {
    const decoders: StreamDecoder[] = [outbound.anthropic.decodeStream!(), outbound.gemini.decodeStream!()]
    for (const decoder of decoders) {
      expect(decoder.take({ data: '<html>' }).at(-1)).toMatchObject({ type: 'fault', fault: { kind: 'garbage' } })
      expect(decoder.take({ data: '{}' })).toEqual([])
      expect(decoder.end()).toEqual([])
    }
  })

  it('a whole reply that is an error', () => {
    expect(
      outbound.anthropic.events!({ type: 'error', error: { type: 'api_error', message: 'x' } }).at(-1),
    ).toMatchObject({ type: 'fault', fault: { kind: 'server_error' } })
    expect(outbound.gemini.events!({ error: { code: 500, status: 'INTERNAL', message: 'x' } }).at(-1)).toMatchObject({
      type: 'fault',
      fault: { kind: 'server_error' },
    })
    expect(() => asReply(outbound.gemini.events!('no object'))).toThrow('no object')
  })
})

describe('C8 odd framing and odd first chunks change nothing', () => {
  const streams: [string, () => StreamDecoder, string][] = [
    [
      'anthropic',
      () => outbound.anthropic.decodeStream!(),
      sse(
        start(),
        { type: 'ping' },
        ...saying(0, 'Grüße 🚂 — 線路'),
        ...calling(1, 'a', 'f', '{"x":"ü🚂"}'),
        stopped('tool_use'),
        ended,
      ),
    ],
    [
      'gemini',
      () => outbound.gemini.decodeStream!(),
      sse(
        frame([{ text: 'Grüße 🚂' }]),
        frame([{ text: ' — 線路' }]),
        frame([{ functionCall: { name: 'f', args: { x: 'ü🚂' } } }], { finishReason: 'STOP' }),
      ),
    ],
    [
      'openai (prompt filter first)',
      () => decodeOpenAi(),
      `${sse({ choices: [], prompt_filter_results: [], id: '', model: '' }, { id: 'c', model: 'm', choices: [{ index: 0, delta: { role: 'assistant', content: '' } }] }, { id: 'c', model: 'm', choices: [{ index: 0, delta: { content: 'Grüße 🚂 — 線路' }, finish_reason: 'stop' }] })}data: [DONE]\n\n`,
    ],
  ]

  for (const [name, decoder, body] of streams) {
    it(name, () => {
      const whole = feed(decoder(), body, 0)
      expect(watch(whole)).toMatchObject({ content: 'Grüße 🚂 — 線路', done: true })
      for (const text of [
        body,
        body.replaceAll('\n', '\r\n'),
        body.replaceAll('\n', '\r'),
        `: keep-alive\n\n${body}`,
      ]) {
        for (const size of [1, 2, 3, 7, 0]) expect(feed(decoder(), text, size)).toEqual(whole)
      }
    })
  }
})

describe('C10 thoughts and signatures come out and go back verbatim', () => {
  const message = {
    id: 'm',
    model: 'c',
    stop_reason: 'tool_use',
    usage: { input_tokens: 1, output_tokens: 1 },
    content: [
      { type: 'thinking', thinking: 'First.', signature: 'sig-1' },
      { type: 'redacted_thinking', data: 'opaque' },
      { type: 'text', text: 'Looking.' },
      { type: 'tool_use', id: 'toolu_1', name: 'f', input: { x: 1 } },
    ],
  }
  const reply = JSON.parse(asReply(outbound.anthropic.events!(message))) as { choices: { message: Json }[] }
  const assistant = reply.choices[0]!.message
  const next = (said: Json) =>
    request({
      messages: [user, said, { role: 'tool', tool_call_id: 'toolu_1', content: 'ok' }],
      tools: [{ type: 'function', function: { name: 'f' } }],
      reasoning_effort: 'medium',
    })

  it('the client sees them', () => {
    expect(assistant).toMatchObject({ reasoning_content: 'First.', content: 'Looking.' })
    expect(assistant.reasoning_details).toEqual([
      { type: 'reasoning.text', text: 'First.', signature: 'sig-1', format: 'anthropic-claude-v1', index: 0 },
      { type: 'reasoning.encrypted', data: 'opaque', format: 'anthropic-claude-v1', index: 1 },
    ])
  })

  it('the echoed message becomes the same blocks again, and thinking stays on', () => {
    const { wire, losses } = toAnthropic(next(assistant))
    expect(wire.messages[1]?.content).toEqual(message.content)
    expect(wire.thinking).toEqual({ type: 'enabled', budget_tokens: 8192 })
    expect(losses).toEqual([])
  })

  it('the same through a stream', () => {
    const events = fromAnthropic(
      start(),
      ...block(
        0,
        { type: 'thinking', thinking: '', signature: '' },
        { type: 'thinking_delta', thinking: 'Fir' },
        { type: 'thinking_delta', thinking: 'st.' },
        { type: 'signature_delta', signature: 'sig-1' },
      ),
      ...block(1, { type: 'redacted_thinking', data: 'opaque' }),
      ...saying(2, 'Looking.'),
      ...calling(3, 'toolu_1', 'f', '{"x":1}'),
      stopped('tool_use'),
      ended,
    )
    const view = watch(events)
    expect(view.details).toEqual(assistant.reasoning_details)
    const said = {
      role: 'assistant',
      content: view.content,
      reasoning_details: view.details,
      tool_calls: view.calls.map(({ id, name, arguments: args }) => call(id, name, args)),
    }
    expect(toAnthropic(next(said)).wire.messages[1]?.content).toEqual(message.content)
  })

  it('a client that dropped them: thinking is off for this turn, and that is reported', () => {
    const { reasoning_details: _, reasoning_content: __, ...dropped } = assistant
    const { wire, losses } = toAnthropic(next(dropped))
    expect(wire.thinking).toBeUndefined()
    expect(losses).toContainEqual(expect.objectContaining({ param: 'reasoning_effort', reason: 'dropped' }))
    // Adaptive thinking does not insist on them.
    expect(toAnthropic(next(dropped), 'claude-opus-4-6').wire.thinking).toEqual({ type: 'adaptive' })
  })

  it('a turn that begins beside the answers of the last one needs thoughts of its own', () => {
    const { reasoning_details: _, reasoning_content: __, ...dropped } = assistant
    const answer = { role: 'tool', tool_call_id: 'toolu_1', content: 'ok' }
    const thinks = (...messages: Json[]) => {
      const tools = [{ type: 'function', function: { name: 'f' } }]
      return toAnthropic(request({ messages: [user, ...messages], tools, reasoning_effort: 'low' })).wire.thinking
    }
    const on = { type: 'enabled', budget_tokens: 2048 }
    expect(thinks(assistant, answer, user, dropped, answer)).toBeUndefined()
    expect(thinks(assistant, answer, user, assistant, answer)).toEqual(on)
    expect(thinks(assistant, answer, dropped, answer)).toEqual(on)
    expect(thinks(assistant, answer, user)).toEqual(on)
    expect(thinks(dropped, answer, user)).toBeUndefined()
  })

  it('blocks of tools that Anthropic ran go back verbatim and in their place', () => {
    const content = [
      { type: 'text', text: 'I will search. ' },
      { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: { query: 'q' } },
      {
        type: 'web_search_tool_result',
        tool_use_id: 'srvtoolu_1',
        content: [
          { type: 'web_search_result', url: 'https://e.com', title: 'E', encrypted_content: 'x', page_age: null },
        ],
      },
      { type: 'text', text: 'Found it.' },
    ]
    const text = asReply(outbound.anthropic.events!({ ...message, stop_reason: 'end_turn', content }))
    const said = (JSON.parse(text) as typeof reply).choices[0]!.message
    expect(said.content).toBe('I will search. Found it.')
    expect(toAnthropic(request({ messages: [user, said, user] })).wire.messages[1]?.content).toEqual(content)
    // Another vendor cannot take them, which is said.
    expect(toGemini(request({ messages: [user, said, user] })).losses).toContainEqual(
      expect.objectContaining({ param: 'messages.vendor_blocks' }),
    )
  })
})

describe('C11 thought signatures of Gemini survive a plain OpenAI client', () => {
  const parts = [
    { thought: true, text: 'Hm.' },
    { functionCall: { name: 'f', args: { x: 1 } }, thoughtSignature: 'sig-f' },
    { functionCall: { name: 'g', args: {} } },
  ]
  class MapStore extends Map<string, string> implements SignatureStore {
    put(id: string, signature: string): void {
      this.set(id, signature)
    }
  }
  const reply = (store: MapStore, streaming: boolean) => {
    const wire = frame(parts, { finishReason: 'STOP' })
    const events = streaming
      ? feed(
          outbound.gemini.decodeStream!({ signatures: store }),
          sse(frame(parts.slice(0, 2)), frame(parts.slice(2), { finishReason: 'STOP' })),
          0,
        )
      : outbound.gemini.events!(wire, { signatures: store })
    const { calls } = watch(events)
    return { events, calls: calls.map(({ id, name, arguments: args }) => call(id, name, args)) }
  }
  const signaturesOf = (messages: Json[], store?: SignatureStore, model = 'gemini-3-pro-preview') => {
    const { wire, losses } = toGemini(request({ messages }), model, store)
    return {
      signatures: wire.contents[1]?.parts
        .filter(({ functionCall }) => functionCall)
        .map(({ thoughtSignature }) => thoughtSignature),
      losses,
    }
  }
  const answered = (tool_calls: Json[], more: Json = {}) =>
    turn({ tool_calls, ...more }, ...tool_calls.map(({ id }): [string, string] => [String(id), 'ok']))

  for (const streaming of [false, true]) {
    const how = streaming ? 'streamed' : 'whole'
    it(`${how}: from the store, for a client that keeps nothing but the ids`, () => {
      const store = new MapStore()
      const { calls } = reply(store, streaming)
      expect(signaturesOf(answered(calls), store)).toMatchObject({ signatures: ['sig-f', undefined], losses: [] })
    })
  }

  it('from the message, for a client that echoes reasoning_details', () => {
    const { events } = reply(new MapStore(), false)
    const said = (JSON.parse(asReply(events)) as { choices: { message: Json }[] }).choices[0]!.message
    const messages = [
      user,
      said,
      ...(said.tool_calls as Json[]).map(({ id }) => ({ role: 'tool', tool_call_id: id, content: 'ok' })),
    ]
    expect(signaturesOf(messages)).toMatchObject({ signatures: ['sig-f', undefined], losses: [] })
  })

  it('from extra_content, as the AI SDK echoes it', () => {
    const { events } = reply(new MapStore(), false)
    const said = (JSON.parse(asReply(events)) as { choices: { message: { tool_calls: Json[] } }[] }).choices[0]!.message
    expect(said.tool_calls[0]?.extra_content).toEqual({ google: { thought_signature: 'sig-f' } })
    expect(signaturesOf(answered(said.tool_calls)).signatures).toEqual(['sig-f', undefined])
  })

  it('lost (ids rebuilt, store emptied, or another vendor’s turn): the documented stand-in, once a step, and reported', () => {
    const rebuilt = [call('x1', 'f', '{"x":1}'), call('x2', 'g', '{}')]
    const { signatures, losses } = signaturesOf(answered(rebuilt), new MapStore())
    expect(signatures).toEqual([lostSignature, undefined])
    expect(losses).toContainEqual(expect.objectContaining({ param: 'messages.reasoning', reason: 'approximated' }))
    expect(signaturesOf(answered(rebuilt), undefined, 'gemini-2.5-flash').signatures).toEqual([undefined, undefined])
  })

  const signedParts: [string, Json[]][] = [
    ['signed text comes back on its part', [{ text: 'Hi', thoughtSignature: 'sig-t' }]],
    [
      'text and thoughts behind a signed part stay parts of their own',
      [
        { text: 'Hm.', thought: true, thoughtSignature: 'sig-1' },
        { text: 'So.', thought: true },
        { text: 'Hi', thoughtSignature: 'sig-2' },
        { text: ' there' },
      ],
    ],
    [
      'a signature stays with its text, before what was run behind it',
      [
        { text: 'Let me see.', thoughtSignature: 'sig-t' },
        { executableCode: { language: 'PYTHON', code: 'print(1)' } },
        { codeExecutionResult: { outcome: 'OUTCOME_OK', output: '1' } },
        { text: 'It is 1.' },
      ],
    ],
    [
      'the draft of a picture is a thought, and no picture of the answer',
      [
        { inlineData: { mimeType: 'image/png', data: 'AAAA' }, thought: true, thoughtSignature: 'sig-d' },
        { text: 'It cannot be drawn.' },
      ],
    ],
  ]
  it.each(signedParts)('%s', (_, parts) => {
    const whole = outbound.gemini.events!(frame(parts, { finishReason: 'STOP' }))
    const streamed = fromGemini(...parts.map((part) => frame([part])), frame([], { finishReason: 'STOP' }))
    for (const events of [whole, streamed]) {
      const said = (JSON.parse(asReply(events)) as { choices: { message: Json }[] }).choices[0]!.message
      expect(toGemini(request({ messages: [user, said, user] })).wire.contents[1]?.parts).toEqual(parts)
    }
  })
})

describe('C12 what is null was not set, and what was not asked for is not done', () => {
  const nulls = (...names: string[]) => Object.fromEntries(names.map((name) => [name, null]))
  const said = (more: Json, part: Json, made: Json, tool: Json, top: Json): Json => ({
    messages: [
      { role: 'user', content: [{ type: 'text', text: 'a', ...part }], ...more },
      {
        role: 'assistant',
        content: null,
        ...more,
        ...made,
        tool_calls: [{ ...call('c', 'f', '{}'), ...part }],
      },
      { role: 'tool', tool_call_id: 'c', content: 'r', ...more },
    ],
    tools: [{ type: 'function', function: { name: 'f', ...tool }, ...part }],
    ...top,
  })
  const without = said({}, {}, {}, {}, { metadata: {} })
  const withNulls = said(
    nulls('name', 'cache_control'),
    nulls('cache_control', 'extra_content', 'prompt_cache_breakpoint'),
    nulls('refusal', 'audio', 'function_call', 'annotations', 'reasoning_content', 'reasoning_details', 'images'),
    nulls('description', 'parameters', 'strict'),
    {
      ...nulls('tool_choice', 'parallel_tool_calls', 'response_format', 'web_search_options', 'logit_bias', 'thinking'),
      ...nulls(
        'max_tokens',
        'temperature',
        'top_p',
        'stop',
        'n',
        'seed',
        'user',
        'stream',
        'stream_options',
        'functions',
      ),
      metadata: { user_id: null, ticket: null },
      reasoning: nulls('effort', 'max_tokens', 'enabled', 'exclude'),
    },
  )

  it.each([
    ['anthropic', toAnthropic],
    ['gemini', toGemini],
  ] as const)('%s: neither sent nor reported', (_, to) => {
    expect(to(request(withNulls))).toEqual(to(request(without)))
  })

  it('who asks for no thoughts pays for none', () => {
    for (const reasoning of [{}, { exclude: true }, { exclude: false }, { summary: 'auto' }]) {
      const google = toGemini(request({ reasoning }))
      expect(google.wire.generationConfig, JSON.stringify(reasoning)).toBeUndefined()
      expect(google.losses.map(({ param }) => param)).toEqual('summary' in reasoning ? ['reasoning'] : [])
      const { wire, losses } = toAnthropic(request({ reasoning, temperature: 0.5 }))
      expect([wire.thinking, wire.temperature], JSON.stringify(reasoning)).toEqual([undefined, 0.5])
      // What nobody here knows is reported.
      expect(losses.map(({ param }) => param)).toEqual('summary' in reasoning ? ['reasoning'] : [])
    }
    expect(toAnthropic(request({ thinking: { type: 'else' } })).losses).toEqual([
      { param: 'thinking', reason: 'unsupported' },
    ])
    expect(toAnthropic(request({ reasoning: { enabled: true } })).wire.thinking).toMatchObject({ type: 'enabled' })
  })

  it('of two efforts OpenAI’s own counts, and the other one is reported', () => {
    for (const effort of ['none', 'low', 'high']) {
      const { wire, losses } = toAnthropic(request({ reasoning_effort: 'high', reasoning: { effort } }))
      expect(wire.thinking).toEqual({ type: 'enabled', budget_tokens: 16_384 })
      expect(losses.map(({ param }) => param)).toEqual(effort === 'high' ? [] : ['reasoning'])
    }
  })

  it.each<[string, string, { thinking?: object; reasoning?: object }]>([
    ['thinking', 'high', { thinking: { type: 'disabled' } }],
    ['thinking', 'none', { thinking: { type: 'enabled', budget_tokens: 3000 } }],
    ['reasoning', 'high', { reasoning: { enabled: false, exclude: true } }],
    ['reasoning', 'none', { reasoning: { max_tokens: 3000 } }],
  ])('OpenAI’s own counts, and a %s that says otherwise than %s is reported', (param, reasoning_effort, other) => {
    for (const to of [toAnthropic, toGemini]) {
      const { wire, losses } = to(request({ reasoning_effort, ...other }))
      const shown = 'exclude' in (other.reasoning ?? {}) ? { reasoning: { exclude: true } } : {}
      const alone = to(request({ reasoning_effort, ...shown }))
      expect(wire).toEqual(alone.wire)
      expect(losses).toEqual([...alone.losses, { param, reason: 'unsupported' }])
    }
  })

  it('anthropic: a name of the end user that is none is reported as what it is', () => {
    const { wire, losses } = toAnthropic(request({ metadata: { user_id: 17 } }))
    expect([wire.metadata, losses]).toEqual([
      undefined,
      [{ param: 'user', reason: 'dropped', detail: 'it is no text' }],
    ])
  })
})

describe('C13 vendor headers go only where they belong', () => {
  it('the version header is Anthropic’s alone', () => {
    expect(toAnthropic(request()).headers).toEqual({ 'anthropic-version': '2023-06-01' })
    expect(toGemini(request()).headers).toBeUndefined()
  })
})

describe('C14 schemas are cleaned for Gemini in declarations only, and never in place', () => {
  const parameters = {
    type: 'object',
    $defs: {
      Node: {
        type: 'object',
        properties: { value: { type: ['integer', 'null'] }, next: { $ref: '#/$defs/Node' } },
        additionalProperties: false,
      },
    },
    properties: {
      root: { $ref: '#/$defs/Node' },
      kind: { const: 'tree' },
      when: { type: 'string', format: 'date' },
      either: { anyOf: [{ type: 'string' }, { type: 'null' }] },
      tags: { type: 'array', items: { type: 'string' }, uniqueItems: true },
    },
    required: ['root', 'missing'],
    additionalProperties: false,
    strict: true,
  }
  const body = request({
    tools: [{ type: 'function', function: { name: 'f', strict: true, parameters } }],
    messages: turn({ tool_calls: [call('a', 'f', '{}')] }, ['a', '{"$ref":"#/x","type":["a","null"],"const":1}']),
  })

  it('references inlined, null as nullable, constants as enums, unknown keywords gone, recursion stopped', () => {
    const before = structuredClone(body)
    const { wire, losses } = toGemini(body)
    const declared = (wire.tools[0] as { functionDeclarations: { parameters: Json }[] }).functionDeclarations[0]
      ?.parameters
    expect(declared).toEqual({
      type: 'OBJECT',
      properties: {
        root: { type: 'OBJECT', properties: { value: { type: 'INTEGER', nullable: true }, next: { type: 'OBJECT' } } },
        kind: { type: 'STRING', enum: ['tree'] },
        when: { type: 'STRING', description: 'Format: date.' },
        either: { type: 'STRING', nullable: true },
        tags: { type: 'ARRAY', items: { type: 'STRING' } },
      },
      required: ['root'],
    })
    expect(losses.map(({ param }) => param)).toEqual(expect.arrayContaining(['tools', 'tools.strict']))
    expect(body).toEqual(before)
  })

  it('a tool result that looks like a schema is data', () => {
    expect(toGemini(body).wire.contents[2]?.parts[0]).toEqual({
      functionResponse: { name: 'f', response: { output: '{"$ref":"#/x","type":["a","null"],"const":1}' } },
    })
  })

  it('a later target sees the original', () => {
    const chat = deepFreeze(decodeRequest(deepFreeze(structuredClone(body))))
    outbound.gemini.encode!(chat, 'gemini-2.5-flash')
    const { wire } = outbound.anthropic.encode!(chat, 'claude-sonnet-4-5') as { wire: { tools: Json[] } }
    expect(wire.tools[0]?.input_schema).toEqual(parameters)
  })
})

it('C14 of two unions in an answer format for Claude the one that goes is reported, whatever their order', () => {
  const anyOf = [{ type: 'number' }, { type: 'boolean' }]
  const oneOf = [{ type: 'string' }]
  for (const schema of [
    { anyOf, oneOf },
    { oneOf, anyOf },
  ]) {
    const response_format = { type: 'json_schema', json_schema: { name: 'f', schema } }
    const { wire, losses } = toAnthropic(request({ response_format }))
    expect(wire.output_config).toEqual({ format: { type: 'json_schema', schema: { anyOf } } })
    expect(losses).toEqual([{ param: 'response_format', reason: 'approximated', detail: 'without oneOf' }])
  }
})

describe('C15 every system message, all texts, text and calls, names of results', () => {
  const messages = [
    { role: 'system', content: 'One.' },
    {
      role: 'developer',
      content: [
        { type: 'text', text: 'Two.' },
        { type: 'text', text: 'Three.' },
      ],
    },
    ...turn({ content: 'Text and', tool_calls: [call('a', 'f', '{"x":1}')] }, ['a', 'ok']),
    { role: 'system', content: 'Four.' },
    user,
  ]

  it('anthropic', () => {
    const { wire } = toAnthropic(request({ messages }))
    expect((wire.system as Json[]).map(({ text }) => text)).toEqual(['One.', 'Two.', 'Three.', 'Four.'])
    expect(wire.messages[1]?.content).toEqual([
      { type: 'text', text: 'Text and' },
      { type: 'tool_use', id: 'a', name: 'f', input: { x: 1 } },
    ])
    expect(wire.messages[2]?.content).toEqual([
      { type: 'tool_result', tool_use_id: 'a', content: [{ type: 'text', text: 'ok' }] },
      { type: 'text', text: 'Hello' },
    ])
  })

  it('gemini', () => {
    const { wire } = toGemini(request({ messages }))
    expect((wire.systemInstruction as { parts: Json[] }).parts.map(({ text }) => text)).toEqual([
      'One.',
      'Two.',
      'Three.',
      'Four.',
    ])
    expect(wire.contents[1]).toEqual({
      role: 'model',
      parts: [{ text: 'Text and' }, { functionCall: { name: 'f', args: { x: 1 } } }],
    })
    expect(wire.contents[2]?.parts).toEqual([
      { functionResponse: { name: 'f', response: { output: 'ok' } } },
      { text: 'Hello' },
    ])
  })
})

it('C15 names that Google refuses for their first letter go there and back in another form', () => {
  const names = ['21st_search', '-x', '_3d', '__4', '_private', 'plain', '_']
  const sent = names.map((_, at) => (at < 4 ? `_${names[at]}` : names[at]))
  const { wire, losses } = toGemini(
    request({
      messages: turn(
        { tool_calls: names.map((name, at) => call(`c${at}`, name, '{}')) },
        ...names.map((_, at): [string, string] => [`c${at}`, 'ok']),
      ),
      tools: names.map((name) => ({ type: 'function', function: { name } })),
      tool_choice: { type: 'function', function: { name: '21st_search' } },
    }),
  )
  const [declared] = wire.tools as { functionDeclarations: { name: string }[] }[]
  expect(declared!.functionDeclarations.map(({ name }) => name)).toEqual(sent)
  expect(wire.toolConfig).toMatchObject({ functionCallingConfig: { allowedFunctionNames: ['_21st_search'] } })
  const named = (at: number, kind: string) => wire.contents[at]?.parts.map((part) => (part[kind] as Json).name)
  expect(named(1, 'functionCall')).toEqual(sent)
  expect(named(2, 'functionResponse')).toEqual(sent)
  expect(losses).toEqual([])
  const parts = sent.map((name) => ({ functionCall: { name, args: {} } }))
  const { calls } = readReply(asReply(fromGemini(frame(parts, { finishReason: 'STOP' }))))
  expect(calls.map(({ name }) => name)).toEqual(names)
})

describe('C16 parameters to Anthropic', () => {
  const parameters = {
    type: 'object',
    properties: { n: { $ref: '#/$defs/N', minimum: 1 } },
    $defs: { N: { type: 'integer' } },
  }

  it('stop, max_tokens, tool choice, parallel calls, schema untouched', () => {
    const { wire } = toAnthropic(
      request({
        stop: 'END',
        tools: [{ type: 'function', function: { name: 'f', parameters } }],
        tool_choice: 'required',
        parallel_tool_calls: false,
      }),
    )
    expect(wire).toMatchObject({
      stop_sequences: ['END'],
      max_tokens: 64_000,
      tool_choice: { type: 'any', disable_parallel_tool_use: true },
    })
    expect(wire.tools[0]?.input_schema).toEqual(parameters)
  })

  it('max_tokens by family', () => {
    const of = (model: string) => toAnthropic(request(), model).wire.max_tokens
    expect(
      [
        'claude-3-haiku-20240307',
        'claude-3-5-haiku-latest',
        'claude-opus-4-20250514',
        'claude-opus-4-1',
        'claude-sonnet-4-20250514',
        'claude-opus-4-6',
        'claude-opus-5',
        'claude-new-9',
      ].map(of),
    ).toEqual([4096, 8192, 32_000, 32_000, 64_000, 128_000, 128_000, 64_000])
  })

  it('reasoning effort by family', () => {
    const of = (model: string, reasoning_effort = 'high') => {
      const { wire } = toAnthropic(request({ reasoning_effort }), model)
      return [wire.thinking, wire.output_config]
    }
    expect(of('claude-sonnet-4-5')).toEqual([{ type: 'enabled', budget_tokens: 16_384 }, undefined])
    expect(of('claude-opus-4-6')).toEqual([{ type: 'adaptive' }, { effort: 'high' }])
    expect(of('claude-opus-4-6', 'xhigh')).toEqual([{ type: 'adaptive' }, { effort: 'high' }])
    expect(of('claude-opus-4-8', 'xhigh')).toEqual([{ type: 'adaptive', display: 'summarized' }, { effort: 'xhigh' }])
    expect(of('claude-sonnet-5', 'none')).toEqual([{ type: 'disabled' }, undefined])
    expect(of('claude-3-5-haiku-latest')).toEqual([undefined, undefined])
  })

  it('an answer by schema: natively, or by a tool whose call comes back as text', () => {
    const response_format = {
      type: 'json_schema',
      json_schema: { name: 'p', schema: { type: 'object', properties: { a: { type: 'number', minimum: 1 } } } },
    }
    expect(toAnthropic(request({ response_format })).wire.output_config).toEqual({
      format: {
        type: 'json_schema',
        schema: { type: 'object', properties: { a: { type: 'number' } }, additionalProperties: false },
      },
    })
    const { wire } = toAnthropic(request({ response_format }), 'claude-3-5-haiku-latest')
    const [tool] = wire.tools
    expect(wire.tool_choice).toEqual({ type: 'tool', name: tool?.name, disable_parallel_tool_use: true })
    const answer = calling(0, 'a', String(tool?.name), '{"a"', ':1}')
    const view = watch(fromAnthropic(start(), ...answer, stopped('tool_use'), ended))
    expect(view).toMatchObject({ content: '{"a":1}', calls: [], finish: 'stop', native: 'tool_use' })
    const whole = outbound.anthropic.events!({
      id: 'm',
      model: 'c',
      stop_reason: 'tool_use',
      usage: { input_tokens: 1, output_tokens: 1 },
      content: [{ type: 'tool_use', id: 'a', name: tool?.name, input: { a: 1 } }],
    })
    expect(readReply(asReply(whole))).toMatchObject({ content: '{"a":1}', calls: [], finish: 'stop' })
  })

  it('cache_control with its TTL, at most four marks', () => {
    const mark = { type: 'ephemeral', ttl: '1h' }
    const called = { id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } }
    const { wire } = toAnthropic(
      request({
        messages: [{ role: 'system', content: [{ type: 'text', text: 'S', cache_control: mark }] }, user],
        tools: [{ type: 'function', function: { name: 'f' }, cache_control: { type: 'ephemeral' } }],
      }),
    )
    expect(wire.system).toEqual([{ type: 'text', text: 'S', cache_control: mark }])
    expect(wire.tools[0]?.cache_control).toEqual({ type: 'ephemeral' })
    // On a message: on its last block, whatever that is.
    const { wire: turns } = toAnthropic(
      request({
        messages: [
          {
            role: 'user',
            content: [{ type: 'image_url', image_url: { url: 'https://a.b/c.png' } }],
            cache_control: mark,
          },
          { role: 'assistant', content: 'Hm.', tool_calls: [called], cache_control: mark },
          { role: 'tool', tool_call_id: 'c1', content: 'long', cache_control: mark },
        ],
      }),
    )
    expect(turns.messages.map(({ content }) => content.map((block) => [block.type, block.cache_control]))).toEqual([
      [['image', mark]],
      [
        ['text', undefined],
        ['tool_use', mark],
      ],
      [['tool_result', mark]],
    ])
    const marked = { ...called, cache_control: { type: 'ephemeral' } }
    const { wire: onCall } = toAnthropic(
      request({
        messages: [
          user,
          { role: 'assistant', tool_calls: [marked] },
          { role: 'tool', tool_call_id: 'c1', content: 'r' },
        ],
      }),
    )
    expect(onCall.messages[1]?.content[0]).toMatchObject({ type: 'tool_use', cache_control: { type: 'ephemeral' } })
    const many = [1, 2, 3, 4, 5, 6].map((n) => ({ type: 'text', text: `${n}`, cache_control: { type: 'ephemeral' } }))
    const { wire: cut, losses } = toAnthropic(request({ messages: [{ role: 'user', content: many }] }))
    expect(cut.messages[0]?.content.map((part) => 'cache_control' in part)).toEqual([
      false,
      false,
      true,
      true,
      true,
      true,
    ])
    expect(losses).toContainEqual(expect.objectContaining({ param: 'cache_control', reason: 'clamped' }))
  })
})

describe('C17 sampling parameters and the API version', () => {
  it('the version that takes them is asked for, always', () => {
    const { wire, headers, losses } = toAnthropic(request({ temperature: 0.3, top_k: 5 }))
    expect(headers).toEqual({ 'anthropic-version': '2023-06-01' })
    expect(wire).toMatchObject({ temperature: 0.3, top_k: 5 })
    expect(losses).toEqual([])
  })

  it('models that refuse them at any version: reported, and a default is no loss', () => {
    const { wire, losses } = toAnthropic(request({ temperature: 0.3, top_p: 0.5, top_k: 5 }), 'claude-opus-4-7')
    expect(Object.keys(wire)).not.toEqual(expect.arrayContaining(['temperature']))
    expect(losses.map(({ param }) => param)).toEqual(['temperature', 'top_p', 'top_k'])
    expect(toAnthropic(request({ temperature: 1, top_p: 1 }), 'claude-opus-4-7').losses).toEqual([])
  })
})

describe('C20 the usage chunk comes only if the client asked', () => {
  const events = () => fromAnthropic(start(), ...saying(0, 'Hi'), stopped('end_turn'), ended)

  it('asked: last, with no choices, and null before', () => {
    const chunks = asStream(events())
      .split('\n\n')
      .filter((text) => text.startsWith('data: {'))
      .map((text) => JSON.parse(text.slice(6)) as Json)
    expect(chunks.at(-1)).toMatchObject({
      choices: [],
      usage: { prompt_tokens: 9, completion_tokens: 20, total_tokens: 29 },
    })
    for (const chunk of chunks.slice(0, -1)) expect(chunk.usage).toBeNull()
  })

  it('not asked: no trace of it', () => {
    expect(asStream(events(), { includeUsage: false })).not.toContain('usage')
  })
})

describe('C22 and C23 token classes partition prompt and output', () => {
  it('anthropic: cache reads and writes by lifetime, thoughts', () => {
    const usage = {
      input_tokens: 10,
      cache_read_input_tokens: 20,
      cache_creation_input_tokens: 70,
      cache_creation: { ephemeral_5m_input_tokens: 30, ephemeral_1h_input_tokens: 40 },
      output_tokens: 50,
      output_tokens_details: { thinking_tokens: 35 },
    }
    const whole = outbound.anthropic.events!({
      id: 'm',
      model: 'c',
      content: [{ type: 'text', text: 'x' }],
      stop_reason: 'end_turn',
      usage,
    })
    const streamed = fromAnthropic(
      start({ usage: { ...usage, output_tokens: 1 } }),
      ...saying(0, 'x'),
      {
        type: 'message_delta',
        delta: { stop_reason: 'end_turn' },
        usage: { output_tokens: 50, output_tokens_details: { thinking_tokens: 35 } },
      },
      ended,
    )
    for (const events of [whole, streamed]) {
      expect(collect(events).usage).toEqual({
        input: 10,
        cacheRead: 20,
        cacheWrite5m: 30,
        cacheWrite1h: 40,
        output: 15,
        reasoning: 35,
        audioIn: 0,
        audioOut: 0,
      })
      expect(watch(events).usage).toMatchObject({
        prompt_tokens: 100,
        completion_tokens: 50,
        total_tokens: 150,
        prompt_tokens_details: { cached_tokens: 20, cache_write_tokens: 70 },
        completion_tokens_details: { reasoning_tokens: 35 },
      })
    }
  })

  it('gemini: cache inside, thoughts and tool prompts outside, audio apart', () => {
    const usageMetadata = {
      promptTokenCount: 100,
      cachedContentTokenCount: 40,
      toolUsePromptTokenCount: 5,
      candidatesTokenCount: 20,
      thoughtsTokenCount: 30,
      totalTokenCount: 155,
      promptTokensDetails: [
        { modality: 'AUDIO', tokenCount: 25 },
        { modality: 'TEXT', tokenCount: 75 },
      ],
    }
    const events = outbound.gemini.events!(frame([{ text: 'x' }], { finishReason: 'STOP' }, { usageMetadata }))
    expect(collect(events).usage).toEqual({
      input: 40,
      cacheRead: 40,
      cacheWrite5m: 0,
      cacheWrite1h: 0,
      output: 20,
      reasoning: 30,
      audioIn: 25,
      audioOut: 0,
    })
    expect(watch(events).usage).toMatchObject({
      prompt_tokens: 105,
      completion_tokens: 50,
      total_tokens: 155,
      prompt_tokens_details: { cached_tokens: 40, audio_tokens: 25 },
      completion_tokens_details: { reasoning_tokens: 30 },
    })
  })
})

describe('C42 emptiness dressed as success is a failure', () => {
  it('anthropic: nothing said and nothing counted', () => {
    expect(outbound.anthropic.events!({ content: [], stop_reason: 'end_turn' }).at(-1)).toMatchObject({
      type: 'fault',
      fault: { kind: 'empty' },
    })
    expect(
      fromAnthropic(
        start({ usage: undefined }),
        { type: 'message_delta', delta: { stop_reason: 'end_turn' } },
        ended,
      ).at(-1),
    ).toMatchObject({ type: 'fault', fault: { kind: 'empty' } })
  })

  it('gemini: no candidates, or an empty STOP without usage', () => {
    expect(
      outbound.gemini.events!({
        usageMetadata: { promptTokenCount: 5, thoughtsTokenCount: 100, totalTokenCount: 105 },
      }).at(-1),
    ).toMatchObject({ type: 'fault', fault: { kind: 'empty' } })
    expect(
      outbound.gemini.events!({ candidates: [{ content: { role: 'model' }, finishReason: 'STOP' }] }).at(-1),
    ).toMatchObject({ type: 'fault', fault: { kind: 'empty' } })
  })

  it('gemini: thoughts that ate the cap are "length" with nothing said, not an answer', () => {
    const usageMetadata = { promptTokenCount: 5, thoughtsTokenCount: 100, totalTokenCount: 105 }
    const view = watch(
      fromGemini({ candidates: [{ content: { role: 'model' }, finishReason: 'MAX_TOKENS' }], usageMetadata }),
    )
    expect(view).toMatchObject({ finish: 'length', content: '', usage: { completion_tokens: 100 } })
  })

  it('openai: stop without content or usage', () => {
    const events = feed(
      decodeOpenAi(),
      `${sse({ id: 'c', model: 'm', choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: 'stop' }] })}data: [DONE]\n\n`,
      0,
    )
    expect(events.at(-1)).toMatchObject({ type: 'fault', fault: { kind: 'empty' } })
  })
})

// Whether what has to be JSON is seen not to be, in both lanes, in streams of any pieces and in whole replies.
import { describe, expect, it } from 'vitest'
import type { Target } from '../src/config/snapshot.ts'
import type { HubLane, Outbound, ReplyFacts } from '../src/dialects/dialect.ts'
import { UpstreamFault } from '../src/dialects/errors.ts'
import { dialects } from '../src/dialects/index.ts'
import type { Call } from '../src/gateway/call.ts'
import { hubLane } from '../src/gateway/hubLane.ts'
import { identityLane } from '../src/gateway/identityLane.ts'
import { jsonWanted, watchJson } from '../src/gateway/jsonWatch.ts'
import type { Lane } from '../src/gateway/lane.ts'

type Json = Record<string, unknown>

const inbound = dialects.get('openai-chat')!.inbound!
const outboundOf = (name: 'openai-chat' | 'anthropic-messages') => dialects.get(name)!.outbound! as Outbound & HubLane

const tools = [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }]
const json = { response_format: { type: 'json_object' } }

/** The lane of a request with these fields, watched as that of a rollout's attempt is; as it is where nothing has to be JSON. */
function laneOf(dialect: 'openai-chat' | 'anthropic-messages', fields: Json, stream: boolean, params?: Json): Lane {
  const body = { model: 'm', messages: [{ role: 'user', content: 'Give me JSON.' }], stream, ...fields }
  const inspected = inbound.inspect(Buffer.from(JSON.stringify(body)), { maxDepth: 128, maxMessages: 10 })
  const provider = { quirks: [], streamUsage: 'never', kind: {}, basePath: '', dialect }
  const target = { id: 'up/m', model: 'm', provider, params } as unknown as Target
  const chat = inbound.decode!(inspected.wire)
  const replying = { inbound, ask: inspected.ask, context: { id: 'x', created: 1, chat }, aids: {}, drop: [] }
  const outbound = outboundOf(dialect)
  const lane =
    dialect === 'openai-chat'
      ? identityLane(outbound as never, inspected, replying, target, 'm', params)
      : hubLane(outbound, chat, replying, target, 'm')
  const wanted = jsonWanted({ inspected } as Call, target)
  return wanted ? watchJson(lane, outbound, wanted) : lane
}

/** What a stream's facts say in the end, its bytes in pieces of that size. */
function afterStream(lane: Lane, text: string, size: number): ReplyFacts {
  const stream = lane.stream()
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; at += size) stream.push(bytes.subarray(at, at + size))
  // The ending is judged by what came before it: nobody waits for the end of the connection.
  expect(stream.finishing).toBe(true)
  expect(stream.fault).toBeUndefined()
  return stream.facts
}

function afterWhole(lane: Lane, body: Json): ReplyFacts {
  const judged = lane.whole(Buffer.from(JSON.stringify(body)))
  if (judged instanceof UpstreamFault) throw judged
  return judged.facts
}

interface Answer {
  text?: string
  /** Arguments of calls. */
  calls?: string[]
  refusal?: string
  finish?: string
}

const openai = {
  whole: ({ text, calls, refusal, finish = 'stop' }: Answer): Json => ({
    id: 'c',
    object: 'chat.completion',
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: text ?? null,
          ...(refusal ? { refusal } : {}),
          ...(calls
            ? {
                tool_calls: calls.map((input, n) => ({
                  id: `c${n}`,
                  type: 'function',
                  function: { name: 'f', arguments: input },
                })),
              }
            : {}),
        },
        finish_reason: calls ? 'tool_calls' : finish,
      },
    ],
    usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
  }),
  stream({ text, calls = [], refusal, finish = 'stop' }: Answer): string {
    const halves = (whole: string) => [whole.slice(0, whole.length >> 1), whole.slice(whole.length >> 1)]
    const deltas: Json[] = [
      ...(text === undefined ? [] : halves(text).map((content) => ({ content }))),
      ...(refusal === undefined ? [] : [{ refusal }]),
      ...calls.flatMap((input, index) => [
        { tool_calls: [{ index, id: `c${index}`, type: 'function', function: { name: 'f', arguments: '' } }] },
        ...halves(input).map((part) => ({ tool_calls: [{ index, function: { arguments: part } }] })),
      ]),
    ]
    const chunk = (delta: Json, finish_reason: string | null = null) =>
      `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason }] })}\n\n`
    const last = chunk({}, calls.length > 0 ? 'tool_calls' : finish)
    return `${deltas.map((delta) => chunk(delta)).join('')}${last}data: [DONE]\n\n`
  },
}

const anthropic = {
  whole: ({ text, calls, finish = 'stop' }: Answer): Json => ({
    id: 'm',
    type: 'message',
    role: 'assistant',
    model: 'm',
    content: [
      ...(text === undefined ? [] : [{ type: 'text', text }]),
      ...(calls ?? []).map((input, n) => ({ type: 'tool_use', id: `t${n}`, name: 'f', input: JSON.parse(input) })),
    ],
    stop_reason: calls ? 'tool_use' : finish === 'length' ? 'max_tokens' : 'end_turn',
    usage: { input_tokens: 1, output_tokens: 1 },
  }),
  stream({ text, calls = [], finish = 'stop' }: Answer): string {
    const event = (type: string, more: Json) => `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`
    const block = (index: number, opened: Json, delta: Json) =>
      event('content_block_start', { index, content_block: opened }) +
      event('content_block_delta', { index, delta }) +
      event('content_block_stop', { index })
    const blocks = [
      ...(text === undefined
        ? []
        : [
            [
              { type: 'text', text: '' },
              { type: 'text_delta', text },
            ],
          ]),
      ...calls.map((input, n) => [
        { type: 'tool_use', id: `t${n}`, name: 'f', input: {} },
        { type: 'input_json_delta', partial_json: input },
      ]),
    ]
    const stop = calls.length > 0 ? 'tool_use' : finish === 'length' ? 'max_tokens' : 'end_turn'
    return (
      event('message_start', {
        message: {
          id: 'm',
          type: 'message',
          role: 'assistant',
          content: [],
          usage: { input_tokens: 1, output_tokens: 1 },
        },
      }) +
      blocks.map(([opened, delta], index) => block(index, opened!, delta!)).join('') +
      event('message_delta', { delta: { stop_reason: stop }, usage: { output_tokens: 3 } }) +
      event('message_stop', {})
    )
  },
}

const sample: [string, Json, Answer, boolean | undefined][] = [
  ['JSON where JSON is wanted', json, { text: '{"a": [1, 2]}' }, false],
  ['JSON in a fence', json, { text: '```json\n{"a": 1}\n```' }, true],
  ['prose where JSON is wanted', json, { text: 'Here you are.' }, true],
  [
    'prose where a schema is wanted',
    { response_format: { type: 'json_schema', json_schema: { name: 'x', schema: {} } } },
    { text: 'Sure!' },
    true,
  ],
  ['JSON cut by the limit of tokens', json, { text: '{"a": [1,', finish: 'length' }, false],
  ['a call in place of the JSON', { ...json, tools }, { text: 'I look it up.', calls: ['{"q":"x"}'] }, false],
  ['prose where tools are offered', { tools }, { text: 'No tool is needed.' }, false],
  ['calls with arguments', { tools }, { calls: ['{"a":"ä"}', '{}'] }, false],
  ['a call without arguments', { tools }, { calls: ['{}'] }, false],
  ['prose where nothing has to be JSON', {}, { text: 'Hello.' }, undefined],
]
const streamed: typeof sample = [
  ...sample,
  ['a second call whose arguments break off', { tools }, { calls: ['{"a":1}', '{"b":'] }, true],
  ['arguments that are Python', { tools }, { calls: ["{'a': True}"] }, true],
]

describe.each([
  ['openai-chat', openai],
  ['anthropic-messages', anthropic],
] as const)('%s', (dialect, vendor) => {
  it.each(sample)('a whole reply: %s', (_, fields, answer, invalid) => {
    expect(afterWhole(laneOf(dialect, fields, false), vendor.whole(answer)).invalidJson).toBe(invalid)
  })

  it.each(streamed)('a stream: %s', (_, fields, answer, invalid) => {
    for (const size of [1, 7, 1e6])
      expect(afterStream(laneOf(dialect, fields, true), vendor.stream(answer), size).invalidJson).toBe(invalid)
  })
})

describe('an answer of OpenAI', () => {
  it('with arguments that are none, whole', () => {
    const facts = afterWhole(laneOf('openai-chat', { tools }, false), openai.whole({ calls: ['{"a":'] }))
    expect(facts.invalidJson).toBe(true)
  })

  it('that refuses is no bad JSON', () => {
    const refusal = { refusal: 'I cannot help with that.' }
    expect(afterWhole(laneOf('openai-chat', json, false), openai.whole(refusal)).invalidJson).toBe(false)
    expect(afterStream(laneOf('openai-chat', json, true), openai.stream(refusal), 9).invalidJson).toBe(false)
  })

  it('to a format that the target forces', () => {
    const lane = laneOf('openai-chat', {}, false, json)
    expect(afterWhole(lane, openai.whole({ text: 'Here you are.' })).invalidJson).toBe(true)
  })

  it('to a client that wants JSON, also where the target forces text', () => {
    const lane = laneOf('openai-chat', json, false, { response_format: { type: 'text' } })
    expect(afterWhole(lane, openai.whole({ text: 'Here you are.' })).invalidJson).toBe(true)
  })

  it('whose last line is not ended', () => {
    const stream = laneOf('openai-chat', json, true).stream()
    stream.push(Buffer.from(openai.stream({ text: 'no' }).replace(/\n\ndata: \[DONE\]\n\n$/, '')))
    expect(stream.finishing).toBe(false)
    stream.end()
    expect([stream.fault, stream.facts.invalidJson]).toEqual([undefined, true])
  })

  it('of several choices: one is enough', () => {
    const lane = () => laneOf('openai-chat', { ...json, n: 2 }, false)
    const [good, bad] = [openai.whole({ text: '{}' }), openai.whole({ text: 'no' })]
    const both = (first: Json, second: Json) => ({
      ...first,
      choices: [(first.choices as Json[])[0], { ...(second.choices as Json[])[0], index: 1 }],
    })
    expect(afterWhole(lane(), both(good, bad)).invalidJson).toBe(true)
    expect(afterWhole(lane(), both(bad, good)).invalidJson).toBe(true)
    expect(afterWhole(lane(), both(good, good)).invalidJson).toBe(false)
  })

  it('that is longer than anybody looks', () => {
    const long = 'x'.repeat(1024 ** 2)
    expect(afterWhole(laneOf('openai-chat', json, false), openai.whole({ text: long })).invalidJson).toBeUndefined()
    expect(
      afterStream(laneOf('openai-chat', json, true), openai.stream({ text: `${long}xx` }), 60_000).invalidJson,
    ).toBe(false)
  })
})

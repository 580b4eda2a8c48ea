// Laws of the hub as property tests: there and back keeps the meaning, whole and streamed are the same, nothing touches its input.

import { describe, expect, it } from 'vitest'
import { anthropicMessages } from '../src/dialects/anthropic-messages/index.ts'
import type { BlockStart, ChatEvent } from '../src/dialects/chat.ts'
import { ChoiceWriter } from '../src/dialects/choice.ts'
import { collect } from '../src/dialects/collect.ts'
import { Refusal } from '../src/dialects/errors.ts'
import { gemini } from '../src/dialects/gemini/index.ts'
import { cleanSchemaOf } from '../src/dialects/gemini/schema.ts'
import { decodeReply } from '../src/dialects/openai-chat/decodeReply.ts'
import { decodeRequest } from '../src/dialects/openai-chat/decodeRequest.ts'
import { decodeStream } from '../src/dialects/openai-chat/decodeStream.ts'
import { encodeRequest } from '../src/dialects/openai-chat/encodeRequest.ts'
import { asReply, asStream, deepFreeze, feed, normalised, readReply, readStream } from './support/hubReply.ts'
import { openAiValidators } from './support/openaiSchema.ts'
import fc from './support/seededCheck.ts'
import { hasShared } from './support/shared.ts'
import { vendorValidators } from './support/vendorSchema.ts'

const some = { numRuns: 300 }
const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }).filter((value) => value.trim() !== '')
const name = fc.stringMatching(/^[a-z][a-z0-9_]{0,8}$/)
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined })
const record = (fields: Record<string, fc.Arbitrary<unknown>>) =>
  fc.record(fields).map((value) => Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)))

const part = fc.oneof(
  record({ type: fc.constant('text'), text }),
  fc.constant({ type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } }),
  fc.constant({ type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,AAAA' } }),
)
const said = fc.oneof(text, fc.array(part, { minLength: 1, maxLength: 3 }))
const system = record({ role: fc.constantFrom('system', 'developer'), content: text })
const plainTurn = fc.tuple(
  record({ role: fc.constant('user'), content: said }),
  record({ role: fc.constant('assistant'), content: text }),
)
/** A step with calls and one answer to each, in any order. */
const toolTurn = fc
  .tuple(
    text,
    fc.uniqueArray(fc.tuple(fc.uuid(), name, fc.dictionary(name, fc.oneof(text, fc.integer()))), {
      minLength: 1,
      maxLength: 3,
      selector: ([id]) => id,
    }),
    fc.boolean(),
  )
  .map(([content, calls, reversed]) => {
    const answers = calls.map(([id]) => ({ role: 'tool', tool_call_id: id, content: `answer to ${id}` }))
    const tool_calls = calls.map(([id, fn, args]) => ({
      id,
      type: 'function',
      function: { name: fn, arguments: JSON.stringify(args) },
    }))
    return [
      { role: 'user', content },
      { role: 'assistant', content: null, tool_calls },
      ...(reversed ? answers.reverse() : answers),
    ]
  })
const messages = fc
  .tuple(
    fc.array(system, { maxLength: 2 }),
    fc.array(fc.oneof(plainTurn, toolTurn), { maxLength: 4 }),
    record({ role: fc.constant('user'), content: said }),
  )
  .map(([first, turns, last]) => [...first, ...turns.flat(), last])

/** JSON Schemas that may refer to themselves. */
const jsonSchema = fc.letrec<{ any: unknown; object: unknown }>((tie) => ({
  any: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom(
      { type: 'string' },
      { type: ['integer', 'null'] },
      { const: 'x' },
      { enum: [1, 2] },
      { $ref: '#/$defs/N' },
      { type: 'number', minimum: 0 },
      true,
      {},
    ),
    record({ type: fc.constant('array'), items: tie('any') }),
    fc.array(tie('any'), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
    tie('object'),
  ),
  object: fc.dictionary(name, tie('any'), { maxKeys: 3 }).map((properties) => ({
    type: 'object',
    properties,
    required: Object.keys(properties),
    additionalProperties: false,
  })),
}))
const parameters = jsonSchema.object.map((schema) => ({
  ...(schema as object),
  $defs: { N: { type: 'object', properties: { next: { $ref: '#/$defs/N' } } } },
}))

const request = record({
  model: fc.constant('route'),
  messages,
  stream: optional(fc.boolean()),
  max_completion_tokens: optional(fc.integer({ min: 1, max: 100_000 })),
  temperature: optional(fc.double({ min: 0, max: 2, noNaN: true })),
  top_p: optional(fc.double({ min: 0, max: 1, noNaN: true })),
  stop: optional(fc.array(text, { minLength: 1, maxLength: 4 })),
  seed: optional(fc.integer()),
  n: optional(fc.integer({ min: 1, max: 4 })),
  user: optional(text),
  reasoning_effort: optional(fc.constantFrom('none', 'minimal', 'low', 'medium', 'high', 'xhigh')),
  tools: optional(
    fc.uniqueArray(
      record({
        type: fc.constant('function'),
        function: record({ name, parameters: optional(parameters), strict: optional(fc.boolean()) }),
      }),
      { minLength: 1, maxLength: 3, selector: (tool) => (tool.function as { name: string }).name },
    ),
  ),
  tool_choice: optional(fc.constantFrom('auto', 'none', 'required')),
  parallel_tool_calls: optional(fc.boolean()),
  response_format: optional(
    fc.constantFrom(
      { type: 'text' },
      { type: 'json_object' },
      { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'object', properties: {} } } },
    ),
  ),
})

describe('requests', () => {
  it('openai there and back is the same request', () => {
    fc.assert(
      fc.property(request, (body) => {
        const chat = deepFreeze(decodeRequest(deepFreeze(body)))
        const { wire, losses } = encodeRequest(chat, 'route')
        expect(losses).toEqual([])
        expect(decodeRequest(wire)).toEqual(chat)
      }),
      some,
    )
  })

  const targets = [
    [
      'anthropic-messages',
      anthropicMessages.outbound!,
      ['claude-3-5-haiku-latest', 'claude-sonnet-4-5', 'claude-opus-5'],
    ],
    ['gemini', gemini.outbound!, ['gemini-2.0-flash', 'gemini-2.5-pro', 'gemini-3-flash-preview']],
  ] as const
  for (const [target, outbound, models] of targets) {
    it(`to ${target}: valid by the schema, no text lost, the input untouched, the same each time`, () => {
      fc.assert(
        fc.property(request, fc.constantFrom(...models), (body, model) => {
          const chat = deepFreeze(decodeRequest(deepFreeze(body)))
          const { wire } = outbound.encode!(chat, model)
          if (hasShared)
            expect(vendorValidators()[target](wire) || JSON.stringify(vendorValidators()[target].errors)).toBe(true)
          const sent = stringsOf(wire)
          for (const string of textsOf(body.messages))
            expect(sent.has(string) || [...sent].some((other) => string.startsWith(other))).toBe(true)
          expect(outbound.encode!(chat, model).wire).toEqual(wire)
        }),
        some,
      )
    })
  }

  it('a name that every object has is a name that nobody knows', () => {
    const plain = (name: string) => ({
      model: 'm',
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'x' },
            { type: 'input_audio', input_audio: { data: 'AAAA', format: name } },
            { type: 'image_url', image_url: { url: `https://example.org/a.${name}` } },
          ],
        },
      ],
      max_tokens: 9000,
    })
    for (const [outbound, model] of [
      [anthropicMessages.outbound!, 'claude-sonnet-4-5'],
      [gemini.outbound!, 'gemini-2.5-pro'],
      [gemini.outbound!, 'gemini-3-flash-preview'],
    ] as const)
      for (const more of [
        (name: string) => ({ reasoning_effort: name }),
        (name: string) => ({ modalities: [name, 'text'] }),
        (name: string) => ({ service_tier: name }),
        plain,
      ]) {
        const said = (name: string): string => {
          const body = { model: 'm', messages: [{ role: 'user', content: 'x' }], max_tokens: 9000, ...more(name) }
          try {
            return JSON.stringify(outbound.encode!(decodeRequest(body), model)).replaceAll(name, 'NAME')
          } catch (error) {
            return (error as Refusal).message.replaceAll(name, 'NAME')
          }
        }
        for (const name of ['constructor', 'valueof'])
          expect([model, name, said(name)]).toEqual([model, name, said('unheardof')])
      }
  })

  it('whatever JSON comes: a chat, or a refusal that names a field; never another error', () => {
    const noise = fc.record({
      messages: fc.array(
        fc.oneof(
          fc.jsonValue(),
          record({
            role: fc.constantFrom('user', 'assistant', 'tool', 'x'),
            content: fc.jsonValue(),
            tool_calls: optional(fc.jsonValue()),
          }),
        ),
      ),
      tools: fc.jsonValue(),
      stop: fc.jsonValue(),
    })
    fc.assert(
      fc.property(noise, (body) => {
        try {
          decodeRequest(deepFreeze(body))
        } catch (error) {
          expect(error).toBeInstanceOf(Refusal)
          expect((error as Refusal).param).toBeTruthy()
        }
      }),
      some,
    )
  })

  it('schemas for Gemini hold nothing that it does not know, and end', () => {
    const known = new Set([
      'type',
      'format',
      'title',
      'description',
      'nullable',
      'enum',
      'items',
      'properties',
      'required',
      'anyOf',
      'minimum',
    ])
    fc.assert(
      fc.property(parameters, (schema) => {
        const before = JSON.stringify(schema)
        const { schema: clean } = cleanSchemaOf(deepFreeze(schema))
        const check = (value: unknown): void => {
          const { properties, items, anyOf, ...rest } = value as {
            properties?: object
            items?: unknown
            anyOf?: unknown[]
          }
          for (const key of Object.keys(rest)) expect(known).toContain(key)
          for (const inner of [...Object.values(properties ?? {}), ...(items ? [items] : []), ...(anyOf ?? [])])
            check(inner)
        }
        check(clean)
        expect(JSON.stringify(schema)).toBe(before)
      }),
      some,
    )
  })
})

/** Strings of the users' messages, tool results included. */
const textsOf = (value: unknown): string[] =>
  (value as { role: string; content: unknown }[]).flatMap(({ content }) =>
    typeof content === 'string'
      ? [content]
      : Array.isArray(content)
        ? content.flatMap((item: { text?: string }) => item.text ?? [])
        : [],
  )

function stringsOf(value: unknown, found = new Set<string>()): Set<string> {
  if (typeof value === 'string') found.add(value)
  else if (typeof value === 'object' && value !== null)
    for (const inner of Object.values(value)) stringsOf(inner, found)
  return found
}

/** A reply as its blocks, each with the pieces that its text comes in. */
const pieces = fc.array(text, { minLength: 1, maxLength: 3 })
const replyBlock: fc.Arbitrary<[BlockStart, string[]]> = fc.oneof(
  fc.tuple(fc.constant<BlockStart>({ type: 'text' }), pieces),
  fc.tuple(fc.constant<BlockStart>({ type: 'reasoning', origin: 'anthropic-messages' }), pieces),
  fc.tuple(
    fc.record({ type: fc.constant('tool-call' as const), id: fc.uuid(), name }),
    fc.constantFrom<string[]>(['{}'], ['{"a"', ':1}'], ['{"b":"ü🚂"}']),
  ),
)
const replyEvents = fc
  .tuple(fc.array(replyBlock, { minLength: 1, maxLength: 5 }), fc.constantFrom('stop' as const, 'length' as const))
  .map(([blocks, reason]) => {
    const events: ChatEvent[] = [{ type: 'start', id: 'reply', model: 'm', created: 7 }]
    const writer = new ChoiceWriter((event) => events.push(event), 0)
    for (const [at, [block, texts]] of blocks.entries()) {
      if (block.type === 'tool-call') {
        writer.beginCall(String(at), block)
        for (const piece of texts) writer.addInput(String(at), piece)
        writer.endCall(String(at))
      } else if (block.type === 'text' || block.type === 'reasoning')
        for (const piece of texts) writer.write(block, piece, at)
    }
    events.push({
      type: 'usage',
      usage: {
        input: 3,
        cacheRead: 1,
        cacheWrite5m: 0,
        cacheWrite1h: 0,
        output: 4,
        reasoning: 2,
        audioIn: 0,
        audioOut: 0,
      },
    })
    writer.finish(reason, reason)
    events.push({ type: 'end' })
    return events
  })

describe('replies', () => {
  it('the stream and the whole reply of the same events say the same', () => {
    fc.assert(
      fc.property(replyEvents, (events) => {
        const whole = readReply(asReply(deepFreeze(events)))
        const validators = hasShared ? openAiValidators() : undefined
        if (!validators) return
        const { done: _, ...streamed } = readStream(asStream(events), validators)
        const { done: __, ...rest } = whole
        expect(streamed).toEqual(rest)
      }),
      some,
    )
  })

  it('OpenAI’s wire there and back keeps every block, whole, streamed and cut into bytes', () => {
    fc.assert(
      fc.property(replyEvents, fc.integer({ min: 1, max: 9 }), (events, size) => {
        const { content, calls, reasoning } = summary(events)
        const back = [
          decodeReply(JSON.parse(asReply(events))),
          feed(decodeStream(), asStream(events), size),
          feed(decodeStream(), asStream(events), 0),
        ]
        for (const other of back) expect(summary(other)).toEqual({ content, calls, reasoning })
        expect(back[1]).toEqual(back[2])
        expect(collect(back[0]!).usage).toEqual(collect(events).usage)
        expect(collect(back[1]!).usage).toEqual(collect(events).usage)
        expect(normalised(back[1]!)).toMatchObject({ ended: true, id: 'reply', created: 7 })
      }),
      some,
    )
  })
})

function summary(events: Iterable<ChatEvent>) {
  const { blocks } = collect(events).choices[0]!
  const joined = (type: string) =>
    blocks
      .filter(({ block }) => block.type === type)
      .map((block) => block.text)
      .join('')
  const calls = blocks.flatMap(({ block, text: input }) =>
    block.type === 'tool-call' ? [[block.id, block.name, input]] : [],
  )
  return { content: joined('text'), reasoning: joined('reasoning'), calls }
}

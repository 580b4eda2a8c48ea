// Answer formats for Claude: each answer that the client's schema wants can be given, natively where the API's own format holds the schema.
import { Ajv2020 } from 'ajv/dist/2020.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { encodeRequest } from '../src/dialects/anthropic-messages/request.ts'
import { outputSchemaOf } from '../src/dialects/anthropic-messages/schema.ts'
import { misfitOf } from '../src/dialects/anthropic-messages/schemaFit.ts'
import type { WireRequest } from '../src/dialects/anthropic-messages/type.ts'
import { decodeRequest } from '../src/dialects/openai-chat/decodeRequest.ts'
import { type Simulator, startSimulator } from '../src/simulator/index.ts'
import { ask } from './support/chatBodies.ts'
import { chat } from './support/chatClient.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { deepFreeze } from './support/hubReply.ts'
import { bodiesOf, expectVendorBodies, vendorsAt } from './support/hubVendors.ts'
import fc from './support/seededCheck.ts'

type Json = Record<string, unknown>

const text = { type: 'string' }
const object = (properties: Json, more: Json = {}): Json => ({
  type: 'object',
  properties,
  required: Object.keys(properties),
  ...more,
})
const formatOf = (schema: Json, more: Json = {}) => ({
  response_format: { type: 'json_schema', json_schema: { name: 'answer', schema, strict: true } },
  ...more,
})
const encode = (body: Json, model = 'claude-sonnet-4-5') => {
  const { wire, losses } = encodeRequest(decodeRequest(deepFreeze(ask('route', body))), model)
  return { wire: wire as WireRequest, losses }
}

const node = object({ name: text, children: { type: 'array', items: { $ref: '#/$defs/Node' } } })
const misfits: [string, Json][] = [
  ['a map', object({ scores: { type: 'object', additionalProperties: { type: 'number' } } })],
  ['a map beside names', object({ id: text }, { additionalProperties: { type: 'number' } })],
  ['a map by patterns', object({ m: { type: 'object', patternProperties: { '^x-': text } } })],
  ['an object of which nothing is said', object({ payload: { type: 'object' } })],
  ['one in a list', object({ rows: { type: 'array', items: { type: ['object', 'null'] } } })],
  ['an answer of which nothing is said', { type: 'object' }],
  ['no schema at all', {}],
  ['a tree', { ...object({ root: { $ref: '#/$defs/Node' } }), $defs: { Node: node } }],
  ['a list that goes on with itself', object({ value: text, next: { anyOf: [{ $ref: '#' }, { type: 'null' }] } })],
  [
    'two that contain each other',
    {
      ...object({ a: { $ref: '#/$defs/A' } }),
      $defs: { A: object({ b: { $ref: '#/%24defs/B' } }), B: object({ a: { $ref: '#/$defs/A' } }) },
    },
  ],
  ['a tree at the top', { $ref: '#/$defs/Node', $defs: { Node: node } }],
  ['two objects in one', { allOf: [object({ a: text }), object({ b: text })] }],
  ['a union beside names', { ...object({ id: text }), anyOf: [object({ a: text }), object({ b: text })] }],
  ['a list of maps', { type: 'array', items: { type: 'object', additionalProperties: text } }],
  ['a list of lists', { $ref: '#/$defs/L', $defs: { L: { type: 'array', items: { $ref: '#/$defs/L' } } } }],
]
/** The last of these are no input of a tool. */
const inputs = misfits.slice(0, -4)
const fits: [string, Json][] = [
  ['an object in an object', object({ a: object({ b: text }) })],
  ['one that may have more', object({ a: text }, { additionalProperties: true })],
  ['one that has no names and may have none', object({ a: { type: 'object', additionalProperties: false } })],
  ['a union', object({ a: { anyOf: [object({ b: text }), object({ c: text })] } })],
  [
    'a definition used twice',
    { ...object({ a: { $ref: '#/$defs/T' }, b: { $ref: '#/$defs/T' } }), $defs: { T: text } },
  ],
  [
    'a reference wrapped up',
    { ...object({ a: { allOf: [{ $ref: '#/$defs/T' }] } }), $defs: { T: object({ b: text }) } },
  ],
]

const told = (detail: string) => ({
  param: 'response_format',
  reason: 'approximated',
  detail: expect.stringContaining(detail),
})

it.each(inputs)('%s is asked for by a tool with the schema as it is, and that is reported', (_what, schema) => {
  const { wire, losses } = encode(formatOf(schema))
  expect(wire.output_config).toBeUndefined()
  expect(wire.tools).toMatchObject([{ input_schema: { type: 'object', ...schema } }])
  expect(wire.tool_choice).toMatchObject({ type: 'tool', name: wire.tools![0]!.name })
  expect(losses).toEqual([told('by a tool call')])
})

const old = 'claude-3-5-haiku-20241022'
it.each([
  ...misfits.slice(inputs.length).map(([what, schema]) => [what, undefined, schema] as const),
  ['a list', old, { type: 'array', items: text }] as const,
  ['a word out of three', old, { enum: ['a', 'b', 'c'] }] as const,
  ['a union', old, { anyOf: [object({ a: text }), object({ b: text })] }] as const,
])('%s is no input of a tool: the model is told, and that is reported', (_what, model, schema) => {
  const { wire, losses } = encode(formatOf(schema), model)
  expect([wire.output_config, wire.tools]).toEqual([undefined, undefined])
  expect(wire.system?.at(-1)?.text).toContain(JSON.stringify(schema))
  expect(losses).toEqual([told('in the system prompt')])
})

it.each(misfits)('%s does not make a tool strict', (_what, schema) => {
  const { wire, losses } = encode({
    tools: [{ type: 'function', function: { name: 'f', parameters: schema, strict: true } }],
  })
  expect(wire.tools![0]).not.toHaveProperty('strict')
  expect(losses).toEqual([{ param: 'tools.strict', reason: 'unsupported' }])
})

it.each(fits)('%s is a format of its own', (_what, schema) => {
  const { wire, losses } = encode(formatOf(schema))
  expect(wire.tools).toBeUndefined()
  expect(wire.output_config?.format).toMatchObject({ type: 'json_schema' })
  expect(losses.filter(({ detail }) => detail !== 'without additionalProperties')).toEqual([])
})

it('beside a forced call the answer is that call, and the format is reported', () => {
  const tools = [{ type: 'function', function: { name: 'f' } }]
  const { wire, losses } = encode(formatOf(misfits[0]![1], { tools, tool_choice: 'required' }))
  expect(wire).toMatchObject({ tools: [{ name: 'f' }], tool_choice: { type: 'any' } })
  expect(losses).toEqual([{ param: 'response_format', reason: 'dropped', detail: 'a tool call is forced' }])
})

/** A schema, and a value that fits it. */
type Pair = [schema: Json, value: unknown]
const name = fc.constantFrom('a', 'b', 'c')
const pair = fc.letrec<{ any: Pair; object: Pair }>((tie) => ({
  any: fc.oneof(
    { depthSize: 'small' },
    fc.constant<Pair>([text, 'x']),
    fc.constant<Pair>([{ type: ['integer', 'null'] }, null]),
    tie('object'),
    fc
      .array(tie('any'), { minLength: 1, maxLength: 3 })
      .map((list): Pair => [{ anyOf: list.map(([schema]) => schema) }, list.at(-1)![1]]),
    tie('any').map(([schema, value]): Pair => [{ type: 'array', items: schema }, [value]]),
    tie('any').map(([schema, value]): Pair => [{ type: 'object', additionalProperties: schema }, { made: value }]),
    fc.constant<Pair>([{ type: 'object' }, { any: 1 }]),
    fc.tuple(tie('object'), tie('object')).map(
      ([[one, a], [two, b]]): Pair => [
        { allOf: [one, two] },
        // Where the two disagree on a name the pair is none, which the check below sees.
        { ...(a as Json), ...(b as Json) },
      ],
    ),
  ),
  object: fc
    .dictionary(name, tie('any'), { minKeys: 1, maxKeys: 3 })
    .map(
      (fields): Pair => [
        object(Object.fromEntries(Object.entries(fields).map(([key, [schema]]) => [key, schema]))),
        Object.fromEntries(Object.entries(fields).map(([key, [, value]]) => [key, value])),
      ],
    ),
})).object

it('no answer that the schema wants is made impossible', () => {
  const ajv = new Ajv2020({ strict: false })
  let native = 0
  fc.assert(
    fc.property(pair, ([schema, value]) => {
      fc.pre(ajv.validate(schema, value))
      if (misfitOf(schema) !== undefined) return
      native++
      expect(ajv.validate(outputSchemaOf(schema).schema as Json, value)).toBe(true)
    }),
    { numRuns: 400 },
  )
  expect(native).toBeGreaterThan(50)
})

it('thousands of spellings of one place are looked at once', () => {
  const refs = Array.from({ length: 20_000 }, (_, at) => ({
    $ref: `#/%${(0x24).toString(16)}defs/${[...at.toString(2)].map((bit) => (bit === '1' ? 'A' : '%41')).join('')}`,
  }))
  const $defs = Object.fromEntries(
    Array.from({ length: 16 }, (_, n) => ['A'.repeat(n + 1), object({ x: { anyOf: refs } })]),
  )
  expect(misfitOf({ ...object({ first: { $ref: '#/$defs/A' } }), $defs })).toContain('themselves')
})

describe('through the gateway', () => {
  let simulator: Simulator
  let gateway: TestGateway
  beforeAll(async () => {
    simulator = await startSimulator({ keepBodies: true })
    gateway = await startGateway({ providers: vendorsAt(simulator.url), directModels: true }, { insecure: true })
  })
  afterAll(async () => {
    await gateway?.close()
    await simulator?.close()
  })

  it.each([true, false])('a map comes back as the answer, stream: %s', async (stream) => {
    simulator.reset()
    const [[, schema]] = misfits as [[string, Json]]
    const { message, finish } = await chat(
      gateway.url,
      ask('anthropic/claude-sonnet-4-5', formatOf(schema, { stream })),
    )
    expect(finish).toBe('stop')
    expect(message.tool_calls).toBeUndefined()
    expect(new Ajv2020({ strict: false }).validate(schema, JSON.parse(message.content!))).toBe(true)
    expectVendorBodies(simulator.calls)
    expect(bodiesOf(simulator.calls)[0].tools[0].input_schema).toEqual(schema)
  })
})

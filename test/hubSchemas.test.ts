// Tool schemas on their way to Gemini: nothing that they demand is lost unsaid, and no few lines of them keep the process busy.
import { describe, expect, it } from 'vitest'
import { Refusal } from '../src/dialects/errors.ts'
import { encodeRequest } from '../src/dialects/gemini/request.ts'
import { cleanSchemaOf } from '../src/dialects/gemini/schema.ts'
import { SchemaJoin } from '../src/dialects/gemini/schemaJoin.ts'
import { decodeRequest } from '../src/dialects/openai-chat/decodeRequest.ts'
import { deepFreeze } from './support/hubReply.ts'

type Json = Record<string, unknown>

const text = { type: 'string' }
const clean = (schema: Json) => cleanSchemaOf(deepFreeze(schema))
const named = (...names: string[]): Json => ({
  type: 'object',
  properties: Object.fromEntries(names.map((name) => [name, text])),
  required: names,
})

describe('allOf', () => {
  const both = {
    type: 'OBJECT',
    properties: { a: { type: 'STRING' }, b: { type: 'STRING' } },
    required: ['a', 'b'],
  }

  it.each([
    ['two references', { allOf: [{ $ref: '#/$defs/A' }, { $ref: '#/$defs/B' }] }],
    ['a reference beside it', { $ref: '#/$defs/A', allOf: [{ $ref: '#/$defs/B' }] }],
    ['one within another', { allOf: [{ allOf: [named('a')] }, { allOf: [named('b')] }] }],
    ['a reference to one', { $ref: '#/$defs/Both' }],
    ['two that share a third', { allOf: [{ $ref: '#/$defs/Both' }, { allOf: [{ $ref: '#/$defs/A' }] }] }],
  ])('%s: all members count', (_what, schema) => {
    const $defs = {
      A: named('a'),
      B: named('b'),
      Both: { allOf: [{ $ref: '#/$defs/A' }, { $ref: '#/$defs/B' }] },
    }
    expect(clean({ ...schema, $defs })).toEqual({ schema: both, removed: [] })
  })

  it('what two members say of one thing holds together', () => {
    const { schema, removed } = clean({
      allOf: [
        { properties: { n: { type: 'number', minimum: 1, maximum: 9, description: 'First.' } } },
        { properties: { n: { type: 'integer', minimum: 3, maximum: 20, description: 'Second.' } } },
      ],
    })
    expect(schema.properties).toEqual({ n: { type: 'INTEGER', minimum: 3, maximum: 9, description: 'First.' } })
    expect(removed).toEqual([])
  })

  it('what no one schema can hold is reported', () => {
    const either = (...types: string[]) => ({ anyOf: types.map((type) => ({ type })) })
    expect(clean({ allOf: [either('string', 'number'), either('string', 'boolean')] }).removed).toEqual(['anyOf'])
    expect(clean({ ...either('string', 'number'), oneOf: [text] }).removed).toEqual(['oneOf'])
    expect(clean({ allOf: [{ pattern: '^a' }, { pattern: 'z$' }] }).removed).toEqual(['pattern'])
  })
})

describe('unions', () => {
  it('keep the properties that stand beside them, in each member', () => {
    const { schema, removed } = clean({
      ...named('a'),
      properties: { a: text, b: text, c: text },
      anyOf: [{ required: ['b'] }, { required: ['c'] }],
    })
    const properties = { a: { type: 'STRING' }, b: { type: 'STRING' }, c: { type: 'STRING' } }
    expect(schema).toEqual({
      type: 'OBJECT',
      anyOf: [
        { type: 'OBJECT', properties, required: ['a', 'b'] },
        { type: 'OBJECT', properties, required: ['a', 'c'] },
      ],
    })
    expect(removed).toEqual([])
  })

  it('of which only one is left keep them, too', () => {
    const { schema } = clean({ ...named('a'), anyOf: [named('b'), { type: 'null' }] })
    expect(schema).toEqual({
      type: 'OBJECT',
      nullable: true,
      properties: { a: { type: 'STRING' }, b: { type: 'STRING' } },
      required: ['a', 'b'],
    })
  })

  it('of types: only the object has properties, which the API refuses elsewhere', () => {
    expect(clean({ ...named('a'), type: ['object', 'string'] }).schema.anyOf).toEqual([
      { type: 'OBJECT', properties: { a: { type: 'STRING' } }, required: ['a'] },
      { type: 'STRING' },
    ])
  })
})

describe('what is left out', () => {
  it('a map whose values have a type is reported, one that says yes or no is not', () => {
    expect(clean({ type: 'object', additionalProperties: text }).removed).toEqual(['additionalProperties'])
    for (const additionalProperties of [true, false, {}])
      expect(clean({ type: 'object', additionalProperties }).removed).toEqual([])
  })

  it('a reference that is not validly written is one that leads nowhere', () => {
    expect(clean({ type: 'object', properties: { a: { $ref: '#/%' } } })).toEqual({
      schema: { type: 'OBJECT', properties: { a: {} } },
      removed: ['$ref'],
    })
  })

  it('an empty text is no value of an enum: the model is told of it in words', () => {
    const unit = { type: 'string', enum: ['', 'km'], description: 'The unit.' }
    const { schema, removed } = clean({ type: 'object', properties: { unit, none: { const: '' } } })
    expect(schema.properties).toEqual({
      unit: { type: 'STRING', description: 'The unit. One of: "", "km".' },
      none: { type: 'STRING', description: 'One of: "".' },
    })
    expect(removed).toEqual([])
  })

  it('a format that Google refuses with a type is told in words', () => {
    const of = (type: unknown, format: string) => clean({ type, format }).schema
    expect(of('string', 'date-time')).toEqual({ type: 'STRING', format: 'date-time' })
    expect(of('integer', 'int64')).toEqual({ type: 'INTEGER', format: 'int64' })
    expect(of('number', 'double')).toEqual({ type: 'NUMBER', format: 'double' })
    // As Google's own services write large numbers in JSON.
    expect(of('string', 'int64')).toEqual({ type: 'STRING', description: 'Format: int64.' })
    expect(of('integer', 'double')).toEqual({ type: 'INTEGER', description: 'Format: double.' })
    expect(of(['string', 'integer'], 'int64')).toEqual({
      anyOf: [
        { type: 'STRING', description: 'Format: int64.' },
        { type: 'INTEGER', format: 'int64' },
      ],
    })
  })

  it('a property may have any name', () => {
    const schema = JSON.parse('{"type": "object", "properties": {"__proto__": {"type": "string"}}}')
    expect(JSON.stringify(clean(schema).schema.properties)).toBe('{"__proto__":{"type":"STRING"}}')
  })
})

describe('references that multiply', () => {
  /** `levels` definitions, each of which names the next `times`: written out, `times` to the power of `levels`. */
  const doubling = (levels: number, times: number): Json => {
    const $defs: Json = { [`d${levels}`]: text }
    for (let level = 0; level < levels; level++) {
      const $ref = `#/$defs/d${level + 1}`
      const inner = Array.from({ length: times }, (_, at) => [`p${at}`, { $ref }])
      $defs[`d${level}`] = { type: 'object', properties: Object.fromEntries(inner) }
    }
    return { type: 'object', properties: { x: { $ref: '#/$defs/d0' } }, $defs }
  }

  it('are cut short and reported where they would become too many', () => {
    const { schema, removed } = clean(doubling(40, 2))
    expect(removed).toEqual(['$ref'])
    expect(JSON.stringify(schema).length).toBeLessThan(5_000)
    expect(schema).toMatchObject({ properties: { x: { properties: { p0: { properties: { p1: {} } } } } } })
  })

  it('are written out in full where they are few', () => {
    const { schema, removed } = clean(doubling(8, 2))
    expect(removed).toEqual([])
    expect(JSON.stringify(schema).split('"STRING"')).toHaveLength(2 ** 8 + 1)
  })

  it('a dozen definitions that all name each other end', () => {
    const names = Array.from({ length: 12 }, (_, at) => `Node${at}`)
    const node = { type: 'object', properties: Object.fromEntries(names.map((n) => [n, { $ref: `#/$defs/${n}` }])) }
    const { schema, removed } = clean({ ...node, $defs: Object.fromEntries(names.map((name) => [name, node])) })
    expect(removed).toEqual(['$ref'])
    expect(Object.keys(schema.properties as Json)).toEqual(names)
  })

  it('a chain as long as the body allows does not overflow the stack', () => {
    const $defs = Object.fromEntries(
      Array.from({ length: 20_000 }, (_, at) => [
        `d${at}`,
        { type: 'object', properties: { next: { $ref: `#/$defs/d${at + 1}` } } },
      ]),
    )
    expect(clean({ $ref: '#/$defs/d0', $defs }).removed).toEqual(['$ref'])
  })

  it('too many of them in one request are a refusal that says so', () => {
    const widening = doubling(40, 50)
    const tools = Array.from({ length: 200 }, (_, at) => ({
      type: 'function',
      function: { name: `f${at}`, parameters: doubling(40, 20) },
    }))
    const chat = decodeRequest({ model: 'm', messages: [{ role: 'user', content: 'x' }], tools })
    const encode = () => encodeRequest(chat, 'gemini-2.5-flash')
    expect(encode).toThrow(Refusal)
    expect(encode).toThrow(/^Invalid 'tools': .* too large\.$/)
    const response_format = { type: 'json_schema', json_schema: { name: 'x', schema: widening } }
    const asked = decodeRequest({ model: 'm', messages: [{ role: 'user', content: 'x' }], response_format })
    expect(() => encodeRequest(asked, 'gemini-1.5-flash')).toThrow(
      expect.objectContaining({
        param: 'response_format',
        message: expect.stringMatching(/^Invalid 'response_format'/),
      }),
    )
  })

  it('to a long list or a long text are a refusal before they fill the memory', () => {
    const referring = (to: Json): Json => {
      const places = Array.from({ length: 4_000 }, (_, at) => [`p${at}`, { $ref: '#/$defs/long' }])
      return { type: 'object', properties: Object.fromEntries(places), $defs: { long: to } }
    }
    const values = Array.from({ length: 5_000 }, (_, at) => `value ${at}`)
    for (const long of [
      { type: 'string', enum: values },
      { type: 'string', description: values.join() },
      { type: 'string', default: values },
      { type: 'object', properties: { [values.join()]: text } },
      { type: 'object', properties: { a: text }, required: values },
    ])
      expect(() => clean(referring(long)), JSON.stringify(long).slice(0, 60)).toThrow(/too large\.$/)
    // What is said once may be as long as a body.
    const once = { type: 'object', properties: { a: { type: 'string', enum: [...values, 'x'.repeat(10_000_000)] } } }
    expect(clean(once).removed).toEqual([])
  })
})

describe('one long definition that many places refer to', () => {
  const many = (value: (at: number) => unknown) => Array.from({ length: 20_000 }, (_, at) => value(at))
  const values = (mark: string) => ({ enum: [...many((at) => `${mark}${at}`), 'both'] })

  // None of these says much where it stands; going through it at each place took seconds, and minutes where it is longer.
  it.each<[string, Json, Json?]>([
    ['unknown keywords', Object.fromEntries(many((at) => [`k${at}`, 1]) as [string, number][])],
    ['types', { type: many(() => 'null') }],
    ['members of a union that are none', { anyOf: many(() => 1) }],
    ['members of a union that are null', { oneOf: many(() => ({ type: 'null' })) }],
    ['items that are no schemas', { type: 'array', prefixItems: many(() => true) }],
    [
      'two enums that share a value',
      { allOf: [{ $ref: '#/$defs/a' }, { $ref: '#/$defs/b' }] },
      { a: values('a'), b: values('b') },
    ],
    ['a reference to nowhere', { $ref: `#/${'a/'.repeat(200_000)}` }],
  ])('is a refusal: %s', (_, long, more = {}) => {
    const places = Array.from({ length: 100 }, (_unused, at) => [`p${at}`, { $ref: '#/$defs/long' }])
    const schema = { type: 'object', properties: Object.fromEntries(places), $defs: { long, ...more } }
    expect(() => clean(schema)).toThrow(/too large\.$/)
    // Said once, it finds room.
    expect(clean({ ...long, $defs: more }).schema).toBeDefined()
  })
})

describe('allOf of very many', () => {
  const parts = (length: number, part: (at: number) => Json) => ({
    type: 'object',
    allOf: Array.from({ length }, (_, at) => part(at)),
  })

  it('takes steps for what each says, and none for what those before have said', () => {
    const stepsOf = (length: number): number => {
      const join = new SchemaJoin()
      for (const part of parts(length, (at) => named(`p${at}`)).allOf) join.add(part)
      expect(Object.keys(join.schema.properties as Json)).toHaveLength(length)
      return join.steps
    }
    expect(stepsOf(4_000)).toBeLessThan(2.1 * stepsOf(2_000))
  })

  // With each of them as long as all before, these took minutes, in which nobody was answered.
  it.each([
    ['properties', (at: number) => named(`p${at}`)],
    ['words for one property', (at: number) => ({ properties: { a: { type: 'string', description: `${at}` } } })],
    ['names that are required', (at: number) => ({ required: [`p${at}`] })],
    ['values', (at: number) => ({ enum: [`v${at}`] })],
  ] as const)('%s', (_, part) => {
    const long = { type: 'string', enum: Array.from({ length: 20_000 }, (_unused, at) => `w${at}`) }
    const schema = {
      properties: { first: { allOf: [long, ...parts(20_000, part).allOf] }, second: parts(20_000, part) },
    }
    const { properties } = clean({ type: 'object', ...schema }).schema as { properties: Json }
    expect(Object.keys(properties)).toEqual(['first', 'second'])
  })

  it('leaves what several members share as it was for each', () => {
    const member = (name: string) => ({ properties: { [name]: text, both: { minLength: 1 } } })
    const { schema } = clean({
      allOf: [named('a'), { properties: { both: text } }, { anyOf: [member('x'), member('y')] }],
      type: 'object',
    })
    expect((schema.anyOf as Json[]).map(({ properties }) => Object.keys(properties as Json))).toEqual([
      ['a', 'both', 'x'],
      ['a', 'both', 'y'],
    ])
  })
})

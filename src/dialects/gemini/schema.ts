// JSON Schema to the OpenAPI subset that Gemini's function declarations take. The original is never touched: a later target needs it.
import { Refusal } from '../errors.ts'
import { asObject, type Json, ownEntry } from '../field.ts'
import { resolvePointer } from '../jsonPointer.ts'
import { lengthOf, SchemaJoin } from './schemaJoin.ts'

/** A `Schema` of Gemini's API. Counts are strings, as its int64 fields are in JSON. */
export type GeminiSchema = Record<string, unknown>

export interface CleanSchema {
  schema: GeminiSchema
  /** Keywords that limited what is valid, and had to go. */
  removed: string[]
}

const copied = [
  'title',
  'description',
  'pattern',
  'minimum',
  'maximum',
  'example',
  'default',
  'propertyOrdering',
] as const
const counts = ['minLength', 'maxLength', 'minItems', 'maxItems', 'minProperties', 'maxProperties'] as const
/** Keywords that are read here, or that say nothing about what is valid. Every other one is reported when it goes. */
const quiet: ReadonlySet<string> = new Set([
  ...copied,
  ...counts,
  'type',
  'format',
  'enum',
  'const',
  'properties',
  'required',
  'items',
  'prefixItems',
  'anyOf',
  'oneOf',
  'allOf',
  'nullable',
  '$ref',
  '$defs',
  'definitions',
  '$schema',
  '$id',
  '$comment',
  '$anchor',
  'examples',
  'deprecated',
  'readOnly',
  'writeOnly',
  'strict',
  'additionalProperties',
  'discriminator',
])
/** The only formats that the API does not refuse, by type ("only 'enum' and 'date-time' are supported for STRING type"). */
const formats: Readonly<Record<string, readonly string[]>> = {
  STRING: ['enum', 'date-time'],
  INTEGER: ['int32', 'int64'],
  NUMBER: ['float', 'double'],
}

/**
 * What all schemas of one request may come to with their references written out. A few lines whose references double at each step would
 * else keep the process busy for hours, and a long list that a thousand places refer to would fill its memory.
 */
export class SchemaRoom {
  left = 50_000
  /** Steps of reading keywords and lists, and of joining what several schemas say of one value. */
  steps = 1_000_000
  /** Text of names, references, descriptions and lists of values. As much as a body may have by default: what is not repeated always finds room. */
  text = 20 * 1024 * 1024

  get isFull(): boolean {
    return this.left < 0 || this.steps < 0 || this.text < 0
  }
}

/** Keywords whose values may be long, and stand anew at each place that refers to them. */
const long = [...copied, 'format', 'enum', 'const', 'required'] as const
/** Lists that are gone through at each such place, whatever they hold. */
const lists = ['type', 'anyOf', 'oneOf', 'prefixItems'] as const

/** References within references that are followed, and how large that may make one schema; beyond it, those that are followed even so. */
const DEEP = { references: 64, nodes: 5_000 }
const SHALLOW = { references: 3, nodes: Number.POSITIVE_INFINITY }

/**
 * A copy that Gemini takes: references inlined, unions of types split, constants as enums, unknown keywords gone.
 * @param param what of the request holds it
 * @throws Refusal for schemas that grow beyond all bounds when their references are written out
 */
export function cleanSchemaOf(root: unknown, room = new SchemaRoom(), param = 'tools'): CleanSchema {
  for (const bounds of [DEEP, SHALLOW]) {
    const cleaner = new Cleaner(root, bounds, room)
    const schema = cleaner.clean(root, [])
    if (!cleaner.full) return { schema, removed: [...cleaner.removed] }
  }
  throw new Refusal(
    'unsupported_parameter',
    `Invalid '${param}': Google's API takes schemas without references, and with all of them written out these are too large.`,
    param,
  )
}

class Cleaner {
  readonly removed = new Set<string>()
  /** There is no room left: what comes out is not whole. */
  full = false
  readonly #root: unknown
  readonly #bounds: typeof DEEP
  readonly #room: SchemaRoom
  #nodes = 0

  constructor(root: unknown, bounds: typeof DEEP, room: SchemaRoom) {
    this.#root = root
    this.#bounds = bounds
    this.#room = room
  }

  /** `trail` holds the references that are being inlined: meeting one again means that the schema contains itself. */
  clean(value: unknown, trail: readonly string[]): GeminiSchema {
    // What is no schema takes a place as well.
    this.#room.left--
    if (++this.#nodes > this.#bounds.nodes || this.#room.isFull) this.full = true
    const found = asObject(value)
    if (this.full || !found) return {}
    const { schema: from, trail: followed } = this.#open(found, trail)
    const keys = Object.keys(from)
    this.#room.steps -= keys.length
    for (const name of lists) if (Array.isArray(from[name])) this.#room.steps -= from[name].length
    for (const name of long) if (from[name] !== undefined) this.#room.text -= lengthOf(from[name])
    if (this.#room.isFull) this.full = true
    if (this.full) return {}
    for (const key of keys) if (!quiet.has(key)) this.removed.add(key)
    // `true` and `{}` limit nothing; that a map's values are numbers, say, nobody is told.
    if (Object.keys(asObject(from.additionalProperties) ?? {}).length > 0) this.removed.add('additionalProperties')
    const result: GeminiSchema = {}
    for (const name of copied) if (from[name] !== undefined) result[name] = from[name]
    for (const name of counts) if (typeof from[name] === 'number') result[name] = String(from[name])
    if (from.nullable === true) result.nullable = true
    this.#setType(from, result, followed)
    setFormat(from, result)
    this.#setEnum(from, result)
    this.#setUnion(from, result, followed)
    this.#setProperties(from, result, followed)
    this.#setItems(from, result, followed)
    return result
  }

  /** The schema without `$ref` and `allOf` at its top: all that they say as one. */
  #open(from: Json, trail: readonly string[]): { schema: Json; trail: readonly string[] } {
    if (from.$ref === undefined && from.allOf === undefined) return { schema: from, trail }
    const join = new SchemaJoin()
    const followed = new Set<string>()
    this.#gather(from, trail, followed, join)
    return { schema: join.schema, trail: [...trail, ...followed] }
  }

  #gather(from: Json, trail: readonly string[], followed: Set<string>, into: SchemaJoin): void {
    const { $ref: ref, allOf, $defs: _, definitions: __, ...own } = from
    const before = into.steps
    for (const key of into.add(own)) this.removed.add(key)
    // What is referred to is read and joined anew at each place.
    this.#room.steps -= 1 + Object.keys(own).length + into.steps - before
    if (typeof ref === 'string') this.#room.text -= ref.length
    if (this.#room.isFull) this.full = true
    if (this.full) return
    // One that was followed for this very schema has said all that it says.
    if (typeof ref === 'string' && !followed.has(ref)) {
      const isOver = trail.includes(ref) || trail.length + followed.size >= this.#bounds.references
      const target = isOver ? undefined : resolvePointer(this.#root, ref)
      if (isOver) into.schema.type ??= 'object'
      if (target === undefined) this.removed.add('$ref')
      else {
        followed.add(ref)
        this.#gather(asObject(target) ?? {}, trail, followed, into)
      }
    }
    for (const member of Array.isArray(allOf) ? allOf : []) this.#gather(asObject(member) ?? {}, trail, followed, into)
  }

  #setType(from: Json, result: GeminiSchema, trail: readonly string[]): void {
    const { type } = from
    if (typeof type === 'string') {
      if (type.toLowerCase() === 'null') result.nullable = true
      result.type = type.toUpperCase()
    } else if (Array.isArray(type)) {
      const types = type.filter((name): name is string => typeof name === 'string' && name.toLowerCase() !== 'null')
      if (types.length < type.length) result.nullable = true
      if (types.length === 1) result.type = types[0]!.toUpperCase()
      else if (types.length > 1) {
        const { type: _, description: __, title: ___, default: ____, ...rest } = from
        result.anyOf = types.map((name) => this.clean({ ...rest, type: name }, trail))
      }
    } else if (from.properties !== undefined) result.type = 'OBJECT'
    else if (from.items !== undefined || from.prefixItems !== undefined) result.type = 'ARRAY'
  }

  /** Enums are strings here that say something ("enum[0]: cannot be empty"); of other values the model is told in words. */
  #setEnum(from: Json, result: GeminiSchema): void {
    const listed = from.const !== undefined ? [from.const] : Array.isArray(from.enum) ? from.enum : undefined
    if (!listed || result.anyOf) return
    const values = listed.filter((value) => value !== null)
    if (values.length < listed.length) result.nullable = true
    if (values.length === 0) return
    if (values.every((value) => typeof value === 'string')) result.type ??= 'STRING'
    if (values.every((value) => typeof value === 'string' && value !== '')) {
      result.enum = values
      return
    }
    result.type ??= typeof values[0] === 'boolean' ? 'BOOLEAN' : typeof values[0] === 'number' ? 'NUMBER' : undefined
    if (result.type === undefined) delete result.type
    describe(result, `One of: ${values.map((value) => JSON.stringify(value)).join(', ')}.`)
  }

  #setUnion(from: Json, result: GeminiSchema, trail: readonly string[]): void {
    const [union, second] = [from.anyOf, from.oneOf].filter((list) => Array.isArray(list))
    if (!union || result.anyOf) return
    if (second) this.removed.add('oneOf')
    const isNull = (item: unknown) => asObject(item)?.type === 'null'
    const beside = besideUnion(from)
    const members = union
      .filter((item) => !isNull(item))
      .map((item: unknown) => this.clean(beside ? { allOf: [beside, item] } : item, trail))
    if (members.length < union.length) result.nullable = true
    const [only] = members
    if (members.length === 1 && only) Object.assign(result, { ...only, ...result })
    else if (members.length > 1) result.anyOf = members
  }

  #setProperties(from: Json, result: GeminiSchema, trail: readonly string[]): void {
    const properties = asObject(from.properties)
    // What is no object has none, whatever stands there: the API refuses them.
    if (!properties || result.anyOf || result.properties || (result.type ?? 'OBJECT') !== 'OBJECT') return
    const clean = Object.fromEntries(
      Object.entries(properties).map(([name, inner]) => {
        this.#room.text -= name.length
        return [name, this.clean(inner, trail)] as const
      }),
    )
    if (Object.keys(clean).length > 0) result.properties = clean
    if (!Array.isArray(from.required)) return
    // A name that is required and not declared is refused.
    const required = new Set(from.required.filter((name) => typeof name === 'string' && Object.hasOwn(clean, name)))
    if (required.size > 0) result.required = [...required]
  }

  #setItems(from: Json, result: GeminiSchema, trail: readonly string[]): void {
    if (result.type !== 'ARRAY') return
    if (Array.isArray(from.prefixItems) && from.prefixItems.length > 0) {
      const members = from.prefixItems.map((item) => this.clean(item, trail))
      result.items = members.length === 1 ? members[0] : { anyOf: members }
      if (members.length > 1) this.removed.add('prefixItems')
      return
    }
    // An array without items is refused.
    result.items = asObject(from.items) ? this.clean(from.items, trail) : { type: 'STRING' }
  }
}

/** One that goes with no type here is told in words; of several types, each has its own. */
function setFormat({ format }: Json, result: GeminiSchema): void {
  if (typeof format !== 'string' || result.anyOf) return
  if (ownEntry(formats, String(result.type))?.includes(format)) result.format = format
  else describe(result, `Format: ${format}.`)
}

/** The API knows a union or properties, not both: those that stand beside a union belong to each of its members. */
function besideUnion({ properties, required }: Json): Json | undefined {
  if (!asObject(properties) && !Array.isArray(required)) return undefined
  return { type: 'object', ...(properties ? { properties } : {}), ...(required ? { required } : {}) }
}

function describe(result: GeminiSchema, words: string): void {
  result.description =
    typeof result.description === 'string' && result.description !== '' ? `${result.description} ${words}` : words
}

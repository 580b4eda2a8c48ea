// JSON Schema to the OpenAPI subset that Gemini's function declarations take. The original is never touched: a later target needs it.
import { asObject, type Json } from '../field.ts'

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
/** The only formats that the API does not refuse. */
const formats: ReadonlySet<string> = new Set(['enum', 'date-time', 'int32', 'int64', 'float', 'double'])

/** A copy that Gemini takes: references inlined, unions of types split, constants as enums, unknown keywords gone. */
export function cleanSchemaOf(root: unknown): CleanSchema {
  const cleaner = new Cleaner(root)
  return { schema: cleaner.clean(root, []), removed: [...cleaner.removed] }
}

class Cleaner {
  readonly removed = new Set<string>()
  readonly #root: unknown

  constructor(root: unknown) {
    this.#root = root
  }

  /** `trail` holds the references that are being inlined: meeting one again means that the schema contains itself. */
  clean(value: unknown, trail: readonly string[]): GeminiSchema {
    const from = asObject(value)
    if (!from) return {}
    if (typeof from.$ref === 'string') return this.#inline(from, from.$ref, trail)
    if (Array.isArray(from.allOf)) return this.clean(merge(from, from.allOf), trail)
    for (const key of Object.keys(from)) if (!quiet.has(key)) this.removed.add(key)
    const result: GeminiSchema = {}
    for (const name of copied) if (from[name] !== undefined) result[name] = from[name]
    for (const name of counts) if (typeof from[name] === 'number') result[name] = String(from[name])
    if (from.nullable === true) result.nullable = true
    if (typeof from.format === 'string') {
      if (formats.has(from.format)) result.format = from.format
      else describe(result, `Format: ${from.format}.`)
    }
    this.#setType(from, result, trail)
    this.#setEnum(from, result)
    this.#setUnion(from, result, trail)
    this.#setProperties(from, result, trail)
    this.#setItems(from, result, trail)
    return result
  }

  #inline(from: Json, ref: string, trail: readonly string[]): GeminiSchema {
    const { $ref: _, $defs: __, definitions: ___, ...beside } = from
    if (trail.includes(ref)) {
      this.removed.add('$ref')
      return { type: 'OBJECT', ...(typeof from.description === 'string' ? { description: from.description } : {}) }
    }
    const target = resolve(this.#root, ref)
    if (target === undefined) {
      this.removed.add('$ref')
      return this.clean(beside, trail)
    }
    return this.clean({ ...asObject(target), ...beside }, [...trail, ref])
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

  /** Enums are strings here; of other values the model is told in words. */
  #setEnum(from: Json, result: GeminiSchema): void {
    const listed = from.const !== undefined ? [from.const] : Array.isArray(from.enum) ? from.enum : undefined
    if (!listed || result.anyOf) return
    const values = listed.filter((value) => value !== null)
    if (values.length < listed.length) result.nullable = true
    if (values.length === 0) return
    if (values.every((value) => typeof value === 'string')) {
      result.type ??= 'STRING'
      result.enum = values
      return
    }
    result.type ??= typeof values[0] === 'boolean' ? 'BOOLEAN' : typeof values[0] === 'number' ? 'NUMBER' : undefined
    if (result.type === undefined) delete result.type
    describe(result, `One of: ${values.map((value) => JSON.stringify(value)).join(', ')}.`)
  }

  #setUnion(from: Json, result: GeminiSchema, trail: readonly string[]): void {
    const union = Array.isArray(from.anyOf) ? from.anyOf : Array.isArray(from.oneOf) ? from.oneOf : undefined
    if (!union) return
    const isNull = (item: unknown) => asObject(item)?.type === 'null'
    const members = union.filter((item) => !isNull(item)).map((item) => this.clean(item, trail))
    if (members.length < union.length) result.nullable = true
    const [only] = members
    if (members.length === 1 && only) Object.assign(result, { ...only, ...result })
    else if (members.length > 1) result.anyOf = members
  }

  #setProperties(from: Json, result: GeminiSchema, trail: readonly string[]): void {
    const properties = asObject(from.properties)
    if (!properties || result.anyOf) return
    const clean: GeminiSchema = {}
    for (const [name, inner] of Object.entries(properties)) clean[name] = this.clean(inner, trail)
    if (Object.keys(clean).length > 0) result.properties = clean
    if (!Array.isArray(from.required)) return
    // A name that is required and not declared is refused.
    const required = from.required.filter((name) => typeof name === 'string' && Object.hasOwn(clean, name))
    if (required.length > 0) result.required = required
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

/** All members of an `allOf` and what stands beside it, as one schema. */
function merge(from: Json, members: readonly unknown[]): Json {
  const { allOf: _, ...merged } = from as Record<string, unknown>
  for (const member of members) {
    const part = asObject(member)
    if (!part) continue
    for (const [key, value] of Object.entries(part)) {
      if (key === 'properties') merged.properties = { ...asObject(merged.properties), ...asObject(value) }
      else if (key === 'required' && Array.isArray(value))
        merged.required = [...new Set([...(Array.isArray(merged.required) ? merged.required : []), ...value])]
      else merged[key] ??= value
    }
  }
  return merged
}

function describe(result: GeminiSchema, words: string): void {
  result.description =
    typeof result.description === 'string' && result.description !== '' ? `${result.description} ${words}` : words
}

/** The value that a reference within the document points to (JSON Pointer, RFC 6901). */
function resolve(root: unknown, ref: string): unknown {
  if (ref === '#') return root
  if (!ref.startsWith('#/')) return undefined
  let at: unknown = root
  for (const step of ref.slice(2).split('/')) {
    const name = decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~')
    if (Array.isArray(at)) at = at[Number(name)]
    else {
      const object = asObject(at)
      at = object && Object.hasOwn(object, name) ? object[name] : undefined
    }
  }
  return at
}

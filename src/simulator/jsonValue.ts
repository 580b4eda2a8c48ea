// A value that fits a simple JSON Schema: for JSON mode and for the arguments of tool calls.
import type { Dice } from './random.ts'

type Schema = Record<string, unknown>

/** Below this depth only what is required is filled in, at twice of it nothing more is opened: schemas may be recursive. */
const FULL_DEPTH = 4
const MAX_ITEMS = 20
/** Values made for one schema: a hostile one can ask for more than there is memory. */
const MAX_VALUES = 5000
const MAX_DEPTH = 32

const WORDS = ['amber', 'birch', 'copper', 'delta', 'ember', 'fjord', 'granite', 'harbour'] as const

interface Source {
  root: Schema
  dice: Dice
  /** Words of the question that free strings use up first. */
  hints: string[]
  values: number
}

/**
 * Makes a value for a schema: objects, arrays, scalars, `enum`, `const`, `anyOf`/`oneOf`/`allOf`, local `$ref`, the common
 * formats, lengths and bounds. `pattern`, `not` and conditionals are not followed. `hints` go into the first free strings.
 */
export function valueFor(schema: unknown, dice: Dice, hints: readonly string[] = []): unknown {
  const root = isSchema(schema) ? schema : {}
  return make(root, { root, dice, hints: [...hints], values: 0 }, 0)
}

function make(given: Schema, source: Source, depth: number): unknown {
  if (depth > MAX_DEPTH || ++source.values > MAX_VALUES) return null
  const schema = resolve(given, source.root)
  if ('const' in schema) return schema.const
  if (Array.isArray(schema.enum) && schema.enum.length > 0) {
    return source.dice.pick(schema.enum as [unknown, ...unknown[]])
  }
  if (Array.isArray(schema.allOf)) return make(mergeAll(schema, source.root), source, depth)
  const choices = schema.anyOf ?? schema.oneOf
  if (Array.isArray(choices) && choices.length > 0) {
    const options = choices.filter(isSchema)
    const nothing = options.find((option) => option.type === 'null')
    const option = options.find((candidate) => candidate.type !== 'null') ?? nothing
    if (depth > FULL_DEPTH && nothing) return null
    return option ? make(option, source, depth + 1) : null
  }
  switch (typeOf(schema, depth)) {
    case 'object':
      return makeObject(schema, source, depth)
    case 'array':
      return makeArray(schema, source, depth)
    case 'integer':
      return makeNumber(schema, source.dice, true)
    case 'number':
      return makeNumber(schema, source.dice, false)
    case 'boolean':
      return source.dice.next() < 0.5
    case 'null':
      return null
    default:
      return makeString(schema, source)
  }
}

function makeObject(schema: Schema, source: Source, depth: number): Schema {
  const value: Schema = {}
  if (depth > FULL_DEPTH * 2) return value
  const properties = isSchema(schema.properties) ? schema.properties : {}
  const required = Array.isArray(schema.required) ? schema.required : []
  for (const [name, property] of Object.entries(properties)) {
    if (depth > FULL_DEPTH && !required.includes(name)) continue
    // defineProperty and not assignment: a property may be called `__proto__`.
    const made = make(isSchema(property) ? property : {}, source, depth + 1)
    Object.defineProperty(value, name, { value: made, enumerable: true, configurable: true, writable: true })
  }
  for (const name of required) {
    if (typeof name === 'string' && !Object.hasOwn(value, name)) value[name] = makeString({}, source)
  }
  return value
}

function makeArray(schema: Schema, source: Source, depth: number): unknown[] {
  if (depth > FULL_DEPTH * 2) return []
  const prefix = Array.isArray(schema.prefixItems) ? schema.prefixItems : []
  const least = Math.max(numberOr(schema.minItems, depth > FULL_DEPTH ? 0 : 1), prefix.length)
  const length = Math.min(least, numberOr(schema.maxItems, MAX_ITEMS), MAX_ITEMS)
  const items = isSchema(schema.items) ? schema.items : {}
  return Array.from({ length }, (_, i) => make(isSchema(prefix[i]) ? prefix[i] : items, source, depth + 1))
}

function makeNumber(schema: Schema, dice: Dice, whole: boolean): number {
  const step = numberOr(schema.multipleOf, whole ? 1 : 0.25)
  const above = typeof schema.exclusiveMinimum === 'number' ? schema.exclusiveMinimum + step : -Infinity
  const below = typeof schema.exclusiveMaximum === 'number' ? schema.exclusiveMaximum - step : Infinity
  let low = Math.max(numberOr(schema.minimum, -Infinity), above)
  const high = Math.min(numberOr(schema.maximum, Infinity), below)
  if (low === -Infinity) low = high === Infinity ? 1 : high - 100 * step
  const first = Math.ceil(low / step)
  const last = Math.max(first, Math.floor(Math.min(high, low + 100 * step) / step))
  return dice.between(first, last) * step
}

function makeString(schema: Schema, source: Source): string {
  const { dice } = source
  switch (schema.format) {
    case 'date-time':
      return `2026-0${dice.between(1, 9)}-1${dice.between(0, 9)}T12:00:00Z`
    case 'date':
      return `2026-0${dice.between(1, 9)}-1${dice.between(0, 9)}`
    case 'time':
      return `1${dice.between(0, 9)}:30:00Z`
    case 'duration':
      return `PT${dice.between(1, 59)}M`
    case 'email':
      return `${dice.pick(WORDS)}@example.com`
    case 'uri':
    case 'url':
      return `https://example.com/${dice.pick(WORDS)}`
    case 'hostname':
      return `${dice.pick(WORDS)}.example.com`
    case 'ipv4':
      return `192.0.2.${dice.between(1, 254)}`
    case 'ipv6':
      return `2001:db8::${dice.between(1, 9)}`
    case 'uuid': {
      const hex = () => dice.between(0x1000, 0xffff).toString(16)
      return `${hex()}${hex()}-${hex()}-4${hex().slice(1)}-8${hex().slice(1)}-${hex()}${hex()}${hex()}`
    }
  }
  let text = source.hints.shift() ?? dice.pick(WORDS)
  const least = Math.min(numberOr(schema.minLength, 0), 10_000)
  while (text.length < least) text += ` ${dice.pick(WORDS)}`
  return text.slice(0, Math.max(least, numberOr(schema.maxLength, text.length)))
}

function typeOf(schema: Schema, depth: number): unknown {
  const { type } = schema
  if (Array.isArray(type)) {
    if (depth > FULL_DEPTH && type.includes('null')) return 'null'
    return type.find((name) => name !== 'null') ?? 'null'
  }
  if (type !== undefined) return type
  if (isSchema(schema.properties)) return 'object'
  return isSchema(schema.items) ? 'array' : 'string'
}

/** Follows local references only, a bounded number of times. */
function resolve(schema: Schema, root: Schema): Schema {
  let current = schema
  for (let i = 0; i < 16 && typeof current.$ref === 'string'; i++) {
    const path = current.$ref
    if (path === '#') return root
    if (!path.startsWith('#/')) return {}
    let at: unknown = root
    for (const part of path.slice(2).split('/')) {
      const name = part.replaceAll('~1', '/').replaceAll('~0', '~')
      at = isSchema(at) && Object.hasOwn(at, name) ? at[name] : undefined
    }
    if (!isSchema(at)) return {}
    current = at
  }
  return current
}

function mergeAll(schema: Schema, root: Schema): Schema {
  const { allOf, ...merged } = schema
  for (const part of (allOf as unknown[]).filter(isSchema)) {
    const other = resolve(part, root)
    // An `allOf` inside is left out: merging it again could go on for ever in a recursive schema.
    const { allOf: _, properties, required, ...rest } = other
    Object.assign(merged, rest)
    if (isSchema(properties)) merged.properties = { ...(merged.properties as Schema | undefined), ...properties }
    if (Array.isArray(required)) merged.required = [...((merged.required as unknown[]) ?? []), ...required]
  }
  return merged
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function numberOr(value: unknown, other: number): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : other
}

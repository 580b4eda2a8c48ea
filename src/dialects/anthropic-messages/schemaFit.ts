// Which JSON Schemas Anthropic's structured outputs cannot hold, also when cleaned (no recursion, no names that the model makes up), and which
// a tool cannot.
import { asObject, type Json } from '../field.ts'
import { resolvePointer } from '../jsonPointer.ts'

/**
 * What the schema has that the API refuses, or that could only be empty; undefined when it fits. The API knows no recursion (its page
 * "Structured outputs", "JSON Schema limitations"), and wants `additionalProperties: false` of every object: a map would always be `{}`, and
 * of two closed objects that one value has to be each forbids what the other wants.
 */
export function misfitOf(schema: unknown): string | undefined {
  const root = asObject(schema) ?? {}
  if (isFree({ type: 'object', ...root })) return freeObjects
  const search = new Search(root)
  return search.misfit ?? (isCircular(search.links) ? 'schemas that contain themselves' : undefined)
}

/**
 * Whether a tool's input can be what the schema describes: that is an object, and the API refuses a choice at its top ("input_schema does not
 * support oneOf, allOf, or anyOf at the top level").
 */
export function isInput(schema: unknown): boolean {
  const root = asObject(schema) ?? {}
  const seen = new Set<unknown>()
  let at: Json | undefined = root
  // What leads nowhere, or back to itself, describes nothing.
  while (at && !seen.has(at)) {
    seen.add(at)
    if (['anyOf', 'allOf', 'oneOf', 'enum', 'const'].some((key) => at![key] !== undefined)) return false
    if (at.type !== undefined) return [at.type].flat().includes('object')
    if (at.items !== undefined || at.prefixItems !== undefined) return false
    if (typeof at.$ref !== 'string') return true
    at = asObject(resolvePointer(root, at.$ref))
  }
  return true
}

const freeObjects = 'objects of any names'
/** Keywords whose value is a schema or a list of schemas. Definitions count where they are referred to. */
const nested: readonly string[] = ['items', 'prefixItems', 'anyOf', 'allOf', 'oneOf']

/** Looks at the schemas that can be reached, each once: they may refer to one another ten thousand times. */
class Search {
  misfit: string | undefined
  /** From each schema to those within it and those that it refers to. */
  readonly links = new Map<Json, ReadonlySet<Json>>()

  constructor(root: Json) {
    const open = [root]
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      if (this.links.has(at)) continue
      this.misfit ??= misfitAt(at)
      const found = new Set(schemasIn(at))
      const referred = typeof at.$ref === 'string' ? asObject(resolvePointer(root, at.$ref)) : undefined
      if (referred) found.add(referred)
      this.links.set(at, found)
      for (const one of found) open.push(one)
    }
  }
}

function* schemasIn(from: Json): Generator<Json> {
  const values = [...nested.map((key) => from[key]), ...Object.values(asObject(from.properties) ?? {})]
  for (const value of values)
    for (const item of Array.isArray(value) ? value : [value]) {
      const schema = asObject(item)
      if (schema) yield schema
    }
}

function misfitAt(from: Json): string | undefined {
  if (Object.keys(asObject(from.additionalProperties) ?? {}).length > 0 || from.patternProperties) return 'maps'
  if (isFree(from)) return freeObjects
  const [all, any, one] = [from.allOf, from.anyOf, from.oneOf].map((list) => (Array.isArray(list) ? list : []))
  const parts = [from.properties !== undefined, ...all!.map(hasNames), any!.some(hasNames), one!.some(hasNames)]
  return parts.filter(Boolean).length > 1 ? 'objects put together from several' : undefined
}

/** An object that may have any names, and says none. */
const isFree = (from: Json): boolean =>
  (from.type === 'object' || (Array.isArray(from.type) && from.type.includes('object'))) &&
  Object.keys(asObject(from.properties) ?? {}).length === 0 &&
  from.additionalProperties !== false &&
  !['$ref', 'allOf', 'anyOf', 'oneOf', 'enum', 'const'].some((key) => from[key] !== undefined)

/** Whether a schema says what names an object has, or refers to one that may. */
function hasNames(value: unknown): boolean {
  const from = asObject(value)
  return from?.properties !== undefined || from?.$ref !== undefined
}

/** Whether some place leads back to itself. Places that lead nowhere go, one after the other: what stays then goes in circles. */
function isCircular(links: ReadonlyMap<Json, ReadonlySet<Json>>): boolean {
  const users = new Map<Json, Json[]>([...links.keys()].map((place) => [place, []]))
  for (const [place, found] of links) for (const used of found) users.get(used)?.push(place)
  const left = new Map([...links].map(([place, { size }]) => [place, size]))
  const done = [...links.keys()].filter((place) => left.get(place) === 0)
  for (let place = done.pop(); place !== undefined; place = done.pop()) {
    left.delete(place)
    for (const user of users.get(place) ?? []) {
      const rest = left.get(user)! - 1
      left.set(user, rest)
      if (rest === 0) done.push(user)
    }
  }
  return left.size > 0
}

// Which JSON Schemas Anthropic's structured outputs cannot hold, also when cleaned: no recursion, and no names that the model makes up.
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

const freeObjects = 'objects of any names'
/** Keywords whose value is a schema or a list of schemas. Definitions count where they are referred to. */
const nested: readonly string[] = ['items', 'prefixItems', 'anyOf', 'allOf', 'oneOf']

/** Looks at the schemas that can be reached, each place that is referred to once. */
class Search {
  misfit: string | undefined
  /** From what is referred to, to what it refers to. By the place itself: one place has many spellings. */
  readonly links = new Map<Json, ReadonlySet<Json>>()

  constructor(root: Json) {
    const open = [root]
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      if (this.links.has(at)) continue
      const refs = new Set<string>()
      this.#look(at, refs)
      const found = [...refs].map((ref) => asObject(resolvePointer(root, ref))).filter((place) => place !== undefined)
      this.links.set(at, new Set(found))
      open.push(...new Set(found))
    }
  }

  /** Gathers the references in a schema. */
  #look(value: unknown, refs: Set<string>): void {
    if (Array.isArray(value)) for (const item of value) this.#look(item, refs)
    const from = asObject(value)
    if (!from) return
    this.misfit ??= misfitAt(from)
    if (typeof from.$ref === 'string') refs.add(from.$ref)
    for (const key of nested) this.#look(from[key], refs)
    for (const inner of Object.values(asObject(from.properties) ?? {})) this.#look(inner, refs)
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

// Puts what two schemas demand of one value into one schema, as `allOf` means it.

type Json = Readonly<Record<string, unknown>>

/** Keywords that tell people something and limit nothing: the first to speak is heard. */
const told: ReadonlySet<string> = new Set([
  'title',
  'description',
  'default',
  'example',
  'examples',
  'propertyOrdering',
  'nullable',
  'deprecated',
  'readOnly',
  'writeOnly',
  'strict',
  'discriminator',
  'additionalProperties',
  '$schema',
  '$id',
  '$comment',
  '$anchor',
])

/** The texts of values, and the sets of lists, that are compared again and again. They are the client's, and nobody changes them. */
const texts = new WeakMap<object, string>()
const sets = new WeakMap<readonly unknown[], ReadonlySet<string>>()

/**
 * One schema out of several. Each takes as long as it is large, whatever those before have left: there may be thousands. What was given is
 * not touched.
 */
export class SchemaJoin {
  readonly schema: Record<string, unknown> = {}
  /** Steps so far that are no reading of what was given. */
  steps = 0
  /** Lists and blocks that were made here, so that more may be put in. */
  readonly #own = new Set<unknown>()

  /**
   * Adds what `part` demands.
   * @returns keywords of `part` that could not be added, because one schema has no place for both
   */
  add(part: Json): string[] {
    const { schema } = this
    const lost: string[] = []
    const hasUnion = schema.anyOf !== undefined || schema.oneOf !== undefined
    for (const [key, value] of Object.entries(part)) {
      if (key === '__proto__') continue
      const before = schema[key]
      const isUnion = key === 'anyOf' || key === 'oneOf'
      if (isUnion && hasUnion && !isSame(before, value)) lost.push(key)
      else if (before === undefined) schema[key] = value
      else if (key === 'properties' && isObject(before) && isObject(value)) this.#addProperties(before, value)
      else if (key === 'required') this.#addRequired(listOf(before), listOf(value))
      else if (!told.has(key) && !isSame(before, value)) {
        const both = joinKeyword(key, before, value)
        // What both lists have is found anew each time.
        if (key === 'enum') this.steps += listOf(value).length + (both === undefined ? 0 : listOf(before).length)
        if (both === undefined) lost.push(key)
        else schema[key] = both
      }
    }
    return lost
  }

  #addProperties(before: Json, more: Json): void {
    let joined = before
    if (!this.#own.has(before)) {
      joined = Object.fromEntries(Object.entries(before))
      this.steps += Object.keys(before).length
      this.#own.add(joined)
      this.schema.properties = joined
    }
    for (const [name, value] of Object.entries(more)) {
      this.steps++
      const known = Object.hasOwn(joined, name) ? joined[name] : undefined
      if (isObject(known) && this.#own.has(known)) (known.allOf as unknown[]).push(value)
      else if (known === undefined) put(joined, name, value)
      else if (!isSame(known, value)) {
        const both = { allOf: [known, value] }
        this.#own.add(both)
        put(joined, name, both)
      }
    }
  }

  /** A name may come twice. */
  #addRequired(before: readonly unknown[], more: readonly unknown[]): void {
    const joined = this.#own.has(before) ? (before as unknown[]) : [...before]
    if (joined !== before) this.steps += before.length
    this.#own.add(joined)
    this.schema.required = joined
    for (const name of more) joined.push(name)
    this.steps += more.length
  }
}

/** A property may be called `__proto__`. */
function put(into: Json, name: string, value: unknown): void {
  Object.defineProperty(into, name, { value, enumerable: true, configurable: true, writable: true })
}

/** What the keyword says when both of its values hold; undefined when no one value says that. */
function joinKeyword(key: string, a: unknown, b: unknown): unknown {
  if (key === 'type') return joinTypes(listOf(a), listOf(b))
  if (key === 'enum') {
    const all = listOf(a)
    const known = setOf(all)
    const common = new Set([...setOf(listOf(b))].filter((text) => known.has(text)))
    return common.size > 0 ? all.filter((value) => common.has(JSON.stringify(value))) : undefined
  }
  if (typeof a !== 'number' || typeof b !== 'number') return undefined
  if (key.startsWith('min')) return Math.max(a, b)
  return key.startsWith('max') ? Math.min(a, b) : undefined
}

/** JSON Schema has seven. */
const mostTypes = 7

function joinTypes(a: readonly unknown[], b: readonly unknown[]): unknown {
  const theirs = setOf(b)
  const mine: string[] = []
  for (const type of setOf(a)) if (mine.push(type) === mostTypes) break
  const common = mine.flatMap((type) => {
    if (theirs.has(type)) return [type]
    // Every integer is a number.
    const isInteger =
      (type === '"integer"' && theirs.has('"number"')) || (type === '"number"' && theirs.has('"integer"'))
    return isInteger ? ['"integer"'] : []
  })
  const types = [...new Set(common)].map((text) => JSON.parse(text) as unknown)
  return types.length > 1 ? types : types[0]
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value])

function setOf(list: readonly unknown[]): ReadonlySet<string> {
  const known = sets.get(list)
  if (known) return known
  const made = new Set(list.map((value) => JSON.stringify(value)))
  sets.set(list, made)
  return made
}

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

const isSame = (a: unknown, b: unknown): boolean =>
  a === b || (typeof a === 'object' && typeof b === 'object' && a !== null && b !== null && textOf(a) === textOf(b))

/** About how long a value is as text. */
export function lengthOf(value: unknown): number {
  if (typeof value === 'string') return value.length
  return typeof value === 'object' && value !== null ? textOf(value).length : 8
}

function textOf(value: object): string {
  const known = texts.get(value)
  if (known !== undefined) return known
  const text = JSON.stringify(value)
  texts.set(value, text)
  return text
}

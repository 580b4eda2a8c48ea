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

/**
 * Adds to `into` what `part` demands.
 * @returns keywords of `part` that could not be added, because one schema has no place for both
 */
export function joinSchema(into: Record<string, unknown>, part: Json): string[] {
  const lost: string[] = []
  const hasUnion = into.anyOf !== undefined || into.oneOf !== undefined
  for (const [key, value] of Object.entries(part)) {
    if (key === '__proto__') continue
    const before = into[key]
    const isUnion = key === 'anyOf' || key === 'oneOf'
    if (isUnion && hasUnion && !isSame(before, value)) lost.push(key)
    else if (before === undefined) into[key] = value
    else if (!told.has(key) && !isSame(before, value)) {
      const both = joinKeyword(key, before, value)
      if (both === undefined) lost.push(key)
      else into[key] = both
    }
  }
  return lost
}

/** What the keyword says when both of its values hold; undefined when no one value says that. */
function joinKeyword(key: string, a: unknown, b: unknown): unknown {
  if (key === 'properties') return joinProperties(a, b)
  if (key === 'required') return [...new Set([...listOf(a), ...listOf(b)])]
  if (key === 'type') return joinTypes(listOf(a), listOf(b))
  if (key === 'enum') {
    const known = new Set(listOf(b).map((value) => JSON.stringify(value)))
    const common = listOf(a).filter((value) => known.has(JSON.stringify(value)))
    return common.length > 0 ? common : undefined
  }
  if (typeof a !== 'number' || typeof b !== 'number') return undefined
  if (key.startsWith('min')) return Math.max(a, b)
  return key.startsWith('max') ? Math.min(a, b) : undefined
}

function joinProperties(a: unknown, b: unknown): Json | undefined {
  if (!isObject(a) || !isObject(b)) return undefined
  const joined = new Map(Object.entries(a))
  for (const [name, value] of Object.entries(b)) {
    const before = joined.get(name)
    joined.set(name, before === undefined || isSame(before, value) ? value : { allOf: [before, value] })
  }
  return Object.fromEntries(joined)
}

function joinTypes(a: readonly unknown[], b: readonly unknown[]): unknown {
  const common = a.flatMap((type) => {
    if (b.includes(type)) return [type]
    // Every integer is a number.
    const isInteger = (type === 'integer' && b.includes('number')) || (type === 'number' && b.includes('integer'))
    return isInteger ? ['integer'] : []
  })
  return common.length > 1 ? common : common[0]
}

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : [value])

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

const isSame = (a: unknown, b: unknown): boolean => a === b || JSON.stringify(a) === JSON.stringify(b)

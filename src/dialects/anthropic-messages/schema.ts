// JSON Schemas as Anthropic's structured outputs take them: a subset, in which every object is closed.
import { asObject } from '../field.ts'
import { misfitOf } from './schemaFit.ts'

/** Constraints that the API refuses in structured outputs (its page "Structured outputs", "JSON Schema limitations"). */
const refused: ReadonlySet<string> = new Set([
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'multipleOf',
  'minLength',
  'maxLength',
  'maxItems',
  'uniqueItems',
  'minProperties',
  'maxProperties',
  'patternProperties',
  'propertyNames',
  'contains',
  'minContains',
  'maxContains',
  'unevaluatedProperties',
  'unevaluatedItems',
  'dependentRequired',
  'dependentSchemas',
  'not',
  'if',
  'then',
  'else',
  '$schema',
  '$id',
])
/** Keywords whose value is a map of names to schemas. */
const maps: ReadonlySet<string> = new Set(['properties', '$defs', 'definitions'])
/** Keywords whose value is a schema or a list of schemas. */
const nested: ReadonlySet<string> = new Set(['items', 'prefixItems', 'anyOf', 'allOf', 'oneOf', 'additionalProperties'])

/** A copy that the API takes, and the keywords that had to go. The original is not touched. */
export function outputSchemaOf(schema: unknown): { schema: unknown; removed: string[] } {
  const removed = new Set<string>()
  const clean = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(clean)
    const from = asObject(value)
    if (!from) return value
    const result: Record<string, unknown> = {}
    for (const [key, inner] of Object.entries(from)) {
      if (refused.has(key) || (key === 'minItems' && inner !== 0 && inner !== 1)) {
        if (!key.startsWith('$')) removed.add(key)
      } else if (key === 'oneOf' && from.anyOf !== undefined) removed.add(key)
      else if (key === 'oneOf') result.anyOf = clean(inner)
      else if (maps.has(key)) result[key] = mapValues(inner, clean)
      else if (nested.has(key)) result[key] = clean(inner)
      else result[key] = inner
    }
    if (from.type === 'object' || from.properties) {
      if (from.additionalProperties !== undefined && from.additionalProperties !== false)
        removed.add('additionalProperties')
      result.additionalProperties = false
    }
    return result
  }
  return { schema: clean(schema), removed: [...removed] }
}

/** Whether a strict tool's schema is taken as it is; tool schemas are never changed. */
export function isStrictReady(schema: unknown): boolean {
  if (misfitOf(schema) !== undefined) return false
  const { schema: clean, removed } = outputSchemaOf(schema)
  return removed.length === 0 && JSON.stringify(clean) === JSON.stringify(schema)
}

function mapValues(value: unknown, apply: (inner: unknown) => unknown): unknown {
  const from = asObject(value)
  return from ? Object.fromEntries(Object.entries(from).map(([name, inner]) => [name, apply(inner)])) : value
}

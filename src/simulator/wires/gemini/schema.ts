// Reads Google's subset of OpenAPI schemas into plain JSON Schema, and refuses what is not in it.
import { checkObject, fail, isObject, optional, type Wire } from './values.ts'

const TYPES = ['TYPE_UNSPECIFIED', 'STRING', 'NUMBER', 'INTEGER', 'BOOLEAN', 'ARRAY', 'OBJECT', 'NULL']
const COUNTS = ['minLength', 'maxLength', 'minItems', 'maxItems', 'minProperties', 'maxProperties']
const FIELDS = [
  ...COUNTS,
  'type',
  'format',
  'title',
  'description',
  'nullable',
  'enum',
  'properties',
  'required',
  'propertyOrdering',
  'items',
  'anyOf',
  'minimum',
  'maximum',
  'pattern',
  'example',
  'default',
]
const MAX_DEPTH = 64

/** Throws `WireRefusal`. */
export function readSchema(value: unknown, path: string, depth = 0): Wire {
  if (depth > MAX_DEPTH) fail('The specified schema is nested too deep.')
  const from = checkObject(value, path, FIELDS)
  const schema: Wire = { ...from }
  const type = optional.choice(from, 'type', path, TYPES)
  if (type !== undefined && type !== 'TYPE_UNSPECIFIED') schema.type = type.toLowerCase()
  for (const name of COUNTS) {
    // int64 fields are strings in JSON.
    if (from[name] === undefined) continue
    if (!/^\d+$/.test(String(from[name]))) fail(`Invalid value at '${path}.${name}' (TYPE_INT64)`)
    schema[name] = Number(from[name])
  }
  const { required } = from
  const names = optional.strings(from, 'required', path)
  const empty = optional.strings(from, 'enum', path)?.indexOf('') ?? -1
  if (empty !== -1) fail(`* GenerateContentRequest.${path}.enum[${empty}]: cannot be empty`)
  if (from.properties !== undefined) {
    if (!isObject(from.properties)) fail(`Invalid value at '${path}.properties' (TYPE_MESSAGE)`)
    schema.properties = Object.fromEntries(
      Object.entries(from.properties).map(([name, inner]) => [
        name,
        readSchema(inner, `${path}.properties[].value`, depth + 1),
      ]),
    )
  }
  for (const name of required === undefined ? [] : (names ?? [])) {
    if (!isObject(from.properties) || !Object.hasOwn(from.properties, name))
      fail(`* GenerateContentRequest.${path}.required: property is not defined`)
  }
  if (type === 'ARRAY' && from.items === undefined) fail(`* GenerateContentRequest.${path}.items: missing field.`)
  if (type === 'OBJECT' && depth === 0 && isObject(from.properties) && Object.keys(from.properties).length === 0)
    fail(`* GenerateContentRequest.${path}.properties: should be non-empty for OBJECT type`)
  if (from.items !== undefined) schema.items = readSchema(from.items, `${path}.items`, depth + 1)
  if (from.anyOf !== undefined) {
    if (!Array.isArray(from.anyOf)) fail(`Invalid value at '${path}.any_of' (TYPE_MESSAGE)`)
    schema.anyOf = from.anyOf.map((inner: unknown, i) => readSchema(inner, `${path}.any_of[${i}]`, depth + 1))
  }
  return schema
}

// Reads fields of client JSON: null counts as absent, and a wrong type is a refusal that names the field and never quotes it.
import { Refusal } from './errors.ts'
import { asObject, type Json } from './usage.ts'

export type { Json } from './usage.ts'
export { asObject } from './usage.ts'

/** `path` is the place of `from` in the body, such as `messages[2].`, and stands before the field's name in errors. */
export function readString(from: Json, name: string, path = ''): string | undefined {
  return read(from, name, path, 'a string', (value) => (typeof value === 'string' ? value : undefined))
}

/** As `readString`, for a number. */
export function readNumber(from: Json, name: string, path = ''): number | undefined {
  return read(from, name, path, 'a number', (value) => (typeof value === 'number' ? value : undefined))
}

/** As `readString`, for a whole number. */
export function readInteger(from: Json, name: string, path = ''): number | undefined {
  return read(from, name, path, 'an integer', (value) => (Number.isInteger(value) ? (value as number) : undefined))
}

/** As `readString`, for a boolean. */
export function readBoolean(from: Json, name: string, path = ''): boolean | undefined {
  return read(from, name, path, 'a boolean', (value) => (typeof value === 'boolean' ? value : undefined))
}

/** As `readString`, for an object. */
export function readObject(from: Json, name: string, path = ''): Json | undefined {
  return read(from, name, path, 'an object', asObject)
}

/** As `readString`, for an array of anything. */
export function readList(from: Json, name: string, path = ''): readonly unknown[] | undefined {
  return read(from, name, path, 'an array', (value) => (Array.isArray(value) ? value : undefined))
}

/** As `readString`, for an array of strings. */
export function readStrings(from: Json, name: string, path = ''): string[] | undefined {
  const list = readList(from, name, path)
  if (list && !list.every((item) => typeof item === 'string')) throw wrongType(path + name, 'an array of strings')
  return list as string[] | undefined
}

/** The value as an object, or a refusal. */
export function needObject(value: unknown, path: string): Json {
  const object = asObject(value)
  if (!object) throw wrongType(path, 'an object')
  return object
}

/** A field that must be there. */
export function need<T>(value: T | undefined, path: string): T {
  if (value === undefined)
    throw new Refusal('missing_required_parameter', `Missing required parameter: '${path}'.`, path)
  return value
}

/** The refusal of a field of the wrong type. @param expected such as `a string` */
export function wrongType(param: string, expected: string): Refusal {
  return new Refusal('invalid_type', `Invalid type for '${param}': expected ${expected}.`, param)
}

/** The refusal of a field of the right type with a value that is not allowed. */
export function wrongValue(param: string, expected: string): Refusal {
  return new Refusal('invalid_value', `Invalid '${param}': expected ${expected}.`, param)
}

/** The fields of `from` that are set and not in `known`; undefined when there are none. */
export function othersOf(from: Json, known: ReadonlySet<string>): Record<string, unknown> | undefined {
  let others: Record<string, unknown> | undefined
  for (const [name, value] of Object.entries(from)) {
    if (value === null || value === undefined || known.has(name)) continue
    others ??= {}
    others[name] = value
  }
  return others
}

/** A copy without the fields that are undefined, so that nothing unset is ever sent (not even as null). */
export function compact<T extends object>(from: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const result: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(from)) if (value !== undefined) result[name] = value
  return result as { [K in keyof T]: Exclude<T[K], undefined> }
}

function read<T>(
  from: Json,
  name: string,
  path: string,
  expected: string,
  cast: (value: unknown) => T | undefined,
): T | undefined {
  const value = from[name]
  if (value === undefined || value === null) return undefined
  const result = cast(value)
  if (result === undefined) throw wrongType(path + name, expected)
  return result
}

/**
 * What a table says of a name that somebody else chose. Every object also has a `constructor` and a `toString`,
 * which no table means.
 */
export const ownEntry = <Value>(table: Readonly<Record<string, Value>>, name: string): Value | undefined =>
  Object.hasOwn(table, name) ? table[name] : undefined

// Checks single JSON values of a request and refuses them in Anthropic's words: the path with dots, then what was expected.
import { WireRefusal } from '../wire.ts'

export type Wire = Record<string, unknown>

/** Refuses with 400. `path` as Anthropic writes it (`messages.0.role`); empty where the message says it all. Never quotes the value. */
export function fail(path: string, expected: string): never {
  throw new WireRefusal(400, path === '' ? expected : `${path}: ${expected}`)
}

export function isObject(value: unknown): value is Wire {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const join = (path: string, name: string | number): string => (path === '' ? String(name) : `${path}.${name}`)

/** The value as an object without any other fields. */
export function checkObject(
  value: unknown,
  path: string,
  known: readonly string[],
  needed: readonly string[] = [],
): Wire {
  if (!isObject(value)) fail(path, 'Input should be a valid dictionary')
  for (const name of needed) if (value[name] === undefined) fail(join(path, name), 'Field required')
  for (const name of Object.keys(value))
    if (!known.includes(name)) fail(join(path, name), 'Extra inputs are not permitted')
  return value
}

export function checkList(value: unknown, path: string): unknown[] {
  if (!Array.isArray(value)) fail(path, 'Input should be a valid list')
  return value
}

export function checkString(value: unknown, path: string): string {
  if (typeof value !== 'string') fail(path, value === undefined ? 'Field required' : 'Input should be a valid string')
  return value
}

export function checkChoice(value: unknown, path: string, choices: readonly string[]): string {
  if (typeof value === 'string' && choices.includes(value)) return value
  const quoted = choices.map((choice) => `'${choice}'`)
  const last = quoted.pop()
  return fail(path, `Input should be ${quoted.length > 0 ? `${quoted.join(', ')} or ` : ''}${last}`)
}

export function checkNumber(value: unknown, path: string, low: number, high = Infinity, whole = false): number {
  if (typeof value !== 'number' || (whole && !Number.isInteger(value))) {
    fail(path, `Input should be a valid ${whole ? 'integer' : 'number'}`)
  }
  if (value < low) fail(path, `Input should be greater than or equal to ${low}`)
  if (value > high) fail(path, `Input should be less than or equal to ${high}`)
  return value
}

export function checkBoolean(value: unknown, path: string): boolean {
  if (typeof value !== 'boolean') fail(path, 'Input should be a valid boolean')
  return value
}

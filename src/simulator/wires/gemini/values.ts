// Checks single JSON values of a request and refuses them in Google's words: unknown names, wrong types, bad requests.
import { WireRefusal } from '../wire.ts'

export type Wire = Record<string, unknown>

/** Refuses with 400 INVALID_ARGUMENT. Never quotes the value. */
export function fail(message: string): never {
  throw new WireRefusal(400, message)
}

/** `path` in the form `contents[0].parts[1].text`. */
export function failType(path: string, type: string): never {
  return fail(`Invalid value at '${path}' (${type})`)
}

export function isObject(value: unknown): value is Wire {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The value as an object with no other fields. */
export function checkObject(value: unknown, path: string, known: readonly string[]): Wire {
  if (!isObject(value)) failType(path === '' ? 'request' : path, 'TYPE_MESSAGE')
  for (const name of Object.keys(value)) {
    if (known.includes(name)) continue
    const place = path === '' ? '' : ` at '${path}'`
    fail(`Invalid JSON payload received. Unknown name "${name.slice(0, 100)}"${place}: Cannot find field.`)
  }
  return value
}

/** Readers of optional fields. */
export const optional = {
  string(from: Wire, name: string, path: string): string | undefined {
    const value = from[name]
    if (value === undefined) return undefined
    if (typeof value !== 'string') failType(`${path}.${name}`, 'TYPE_STRING')
    return value
  },
  boolean(from: Wire, name: string, path: string): boolean | undefined {
    const value = from[name]
    if (value === undefined) return undefined
    if (typeof value !== 'boolean') failType(`${path}.${name}`, 'TYPE_BOOL')
    return value
  },
  number(from: Wire, name: string, path: string, low: number, high: number): number | undefined {
    const value = from[name]
    if (value === undefined) return undefined
    if (typeof value !== 'number') failType(`${path}.${name}`, 'TYPE_FLOAT')
    if (value < low || value > high) fail(`Unable to submit request because ${name} must be from ${low} to ${high}.`)
    return value
  },
  integer(from: Wire, name: string, path: string, low: number, high = 2 ** 31 - 1): number | undefined {
    const value = from[name]
    if (value === undefined) return undefined
    if (typeof value !== 'number' || !Number.isInteger(value)) failType(`${path}.${name}`, 'TYPE_INT32')
    if (value < low || value > high) fail(`Unable to submit request because ${name} must be from ${low} to ${high}.`)
    return value
  },
  choice(from: Wire, name: string, path: string, choices: readonly string[]): string | undefined {
    const value = from[name]
    if (value === undefined) return undefined
    if (typeof value !== 'string' || !choices.includes(value)) failType(`${path}.${name}`, 'TYPE_ENUM')
    return value
  },
  strings(from: Wire, name: string, path: string): string[] | undefined {
    const value = from[name]
    if (value === undefined) return undefined
    if (!Array.isArray(value)) failType(`${path}.${name}`, 'TYPE_STRING')
    value.forEach((item: unknown, i) => {
      if (typeof item !== 'string') failType(`${path}.${name}[${i}]`, 'TYPE_STRING')
    })
    return value as string[]
  },
}

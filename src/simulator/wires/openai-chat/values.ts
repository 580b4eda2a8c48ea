// Checks single JSON values of a request and refuses them in OpenAI's words: param, code, what was expected.
import { WireRefusal } from '../wire.ts'

export type Wire = Record<string, unknown>

type Code = 'missing_required_parameter' | 'invalid_type' | 'invalid_value'

/** Refuses with 400. `param` is the path as OpenAI writes it (`messages[0].role`). Never quotes the value. */
export function fail(code: Code, param: string, expected: string): never {
  throw new WireRefusal(400, `Invalid request: '${param}': ${expected}.`, { code, param })
}

export function isObject(value: unknown): value is Wire {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Readers of optional fields: null counts as absent, as OpenAI's nullable parameters do. */
export const optional = {
  boolean(body: Wire, name: string, param = name): boolean | undefined {
    const value = body[name]
    if (value === undefined || value === null) return undefined
    if (typeof value !== 'boolean') fail('invalid_type', param, 'expected a boolean')
    return value
  },
  string(body: Wire, name: string, param = name): string | undefined {
    const value = body[name]
    if (value === undefined || value === null) return undefined
    if (typeof value !== 'string') fail('invalid_type', param, 'expected a string')
    return value
  },
  number(body: Wire, name: string, low: number, high: number): number | undefined {
    const value = body[name]
    if (value === undefined || value === null) return undefined
    if (typeof value !== 'number') fail('invalid_type', name, 'expected a number')
    if (value < low || value > high) fail('invalid_value', name, `expected a number from ${low} to ${high}`)
    return value
  },
  integer(body: Wire, name: string, low: number, high = Number.MAX_SAFE_INTEGER): number | undefined {
    const value = body[name]
    if (value === undefined || value === null) return undefined
    if (typeof value !== 'number' || !Number.isInteger(value)) fail('invalid_type', name, 'expected an integer')
    if (value < low || value > high) fail('invalid_value', name, `expected an integer of at least ${low}`)
    return value
  },
}

// Safe reading of token counts from vendor JSON: a usage object must never break the reply that carries it.

import { ExactNumber } from './exactJson.ts'

export type Json = Readonly<Record<string, unknown>>

/** The value as a JSON object, or undefined for null, arrays and everything else. */
export function asObject(value: unknown): Json | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof ExactNumber)
    return undefined
  return value as Json
}

/** A token count, or undefined when there is none. Negative, infinite and textual numbers count as none. */
export function readCount(value: unknown): number | undefined {
  return typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER ? Math.trunc(value) : undefined
}

/** The first of `names` in `from` that holds a token count, else 0. */
export function countOf(from: Json | undefined, ...names: string[]): number {
  if (!from) return 0
  for (const name of names) {
    const count = readCount(from[name])
    if (count !== undefined) return count
  }
  return 0
}

/**
 * Cuts `total` into parts in the order given; the last number returned is what is left. Parts that claim more than there is
 * are cut to fit (OpenRouter reports 11 reasoning tokens of 10 completion tokens), so that the parts always sum to the total.
 */
export function partition(total: number, ...parts: number[]): number[] {
  let rest = total
  const cut = parts.map((part) => {
    const taken = Math.min(part, rest)
    rest -= taken
    return taken
  })
  cut.push(rest)
  return cut
}

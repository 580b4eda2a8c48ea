// The numbers of foreign price files: read one by one, checked for plausibility, kept as exact decimals.
import type { Json } from '../dialects/usage.ts'
import { formatDecimal, parseDecimal } from './decimal.ts'
import type { ModelPriceInput } from './priceSchema.ts'

/** A price file as read: prices by `provider/model`, and what is wrong with it. One problem makes the whole file unusable. */
export interface SourceReading {
  format: 'litellm' | 'models.dev' | 'unknown'
  prices: Map<string, ModelPriceInput>
  problems: string[]
  /** Entries left out on purpose: other providers, other units, no price. */
  skipped: number
}

/** More USD per million tokens than any model has ever cost by a factor of ten: beyond it a unit was mixed up. */
const highestPrice = 10_000

/**
 * Reads one number of a price file as USD per million tokens, in decimal text. `perTokens`: what the file's number is for.
 * Absent and null are undefined; anything that is no plausible price is a problem.
 */
export function readPrice(
  entry: Json | undefined,
  field: string,
  perTokens: 1 | 1_000_000,
  problem: (text: string) => void,
): string | undefined {
  const value = entry?.[field]
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
    problem(`${field} is no non-negative number: ${JSON.stringify(value)?.slice(0, 40)}`)
    return undefined
  }
  const perMillion = value * (1_000_000 / perTokens)
  if (perMillion > highestPrice) {
    problem(`${field} is ${perMillion} USD per million tokens, which is not plausible`)
    return undefined
  }
  return formatDecimal(parseDecimal(value, perTokens === 1 ? 18 : 12), 12)
}

/** A whole number above zero, else undefined: limits in these files are hints, and a bad one is not worth refusing prices for. */
export function readLimit(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : undefined
}

/** Sets fields that have a value; absent ones stay absent. */
export function assignKnown<T extends object>(to: T, fields: { [K in keyof T]?: T[K] | undefined }): void {
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) Object.assign(to, { [name]: value })
}

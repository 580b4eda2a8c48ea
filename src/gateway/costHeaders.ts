// What a reply says of its cost, good or bad.
import { formatUsd } from '../pricing/decimal.ts'
import type { Call } from './call.ts'
import { costOf } from './settle.ts'

/** `x-turnout-cost-usd` in decimal, all attempts; `x-turnout-cost: unknown` where no list has the price. */
export function costHeaders(call: Call): string[] {
  const nano = costOf(call)
  return nano === null ? ['x-turnout-cost', 'unknown'] : ['x-turnout-cost-usd', formatUsd(nano)]
}

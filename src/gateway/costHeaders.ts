// What a reply says of its cost, good or bad.
import { formatUsd } from '../pricing/decimal.ts'
import type { Call } from './call.ts'
import { costOf } from './settle.ts'

/** A line of the head: `x-turnout-cost-usd` in decimal, all attempts; `x-turnout-cost: unknown` where no list has the price. */
export function costLine(call: Call): string {
  const nano = costOf(call)
  return nano === null ? 'x-turnout-cost: unknown\r\n' : `x-turnout-cost-usd: ${formatUsd(nano)}\r\n`
}

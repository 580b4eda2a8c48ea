// What a reply says of its cost, good or bad.
import { formatUsd } from '../pricing/decimal.ts'
import type { Call } from './call.ts'
import { costOf } from './settle.ts'

/** `x-turnout-cost-usd` in decimal, all attempts; `x-turnout-cost: unknown` where no list has the price. */
export function costHeaders(call: Call): string[] {
  const headers: string[] = []
  pushCost(headers, call)
  return headers
}

/** Puts the same on a list of more. */
export function pushCost(headers: string[], call: Call): void {
  const nano = costOf(call)
  if (nano === null) headers.push('x-turnout-cost', 'unknown')
  else headers.push('x-turnout-cost-usd', formatUsd(nano))
}

// Says why calls of a model that has a price cost nobody knows how much: the list does not cover what they used.
import type { UnknownReason } from '../pricing/book.ts'
import type { Log } from '../telemetry/log.ts'
import type { Attempt } from './call.ts'
import { vendorName } from './foreignNames.ts'

/** Enough for every cause at a hundred targets: vendors choose some of the words. */
const MAX_TOLD = 500

const missing: Readonly<Partial<Record<UnknownReason, string>>> = {
  'no-input-price': 'prompt tokens without a price',
  'no-output-price': 'output tokens without a price',
  'no-search-price': 'web searches without a price (webSearch)',
}

/** To be told of each attempt without a known cost. Each cause is said once for each target. */
export function createUnpriced(log: Pick<Log, 'warn'>): (attempt: Attempt) => void {
  const told = new Set<string>()
  return ({ target, facts, bill }) => {
    const reason = bill?.unknown
    if (reason === undefined) return
    const tier = vendorName(facts?.serviceTier) ?? 'unknown'
    const cause = reason === 'service-tier' ? `service tier ${tier} without a factor (serviceTiers)` : missing[reason]
    const text = `calls of ${target.id} have an unknown cost: ${cause}, see prices`
    if (cause === undefined || told.has(text) || told.size >= MAX_TOLD) return
    told.add(text)
    log.warn(text, { event: 'prices', target: target.id })
  }
}

// Says why calls of a model that has a price cost nobody knows how much: the list does not cover what they used.
import type { UnknownReason } from '../pricing/book.ts'
import type { Log } from '../telemetry/log.ts'
import type { Attempt } from './call.ts'
import { vendorName } from './foreignNames.ts'

/** Enough for every cause at a hundred targets: vendors choose some of the words. */
const MAX_TOLD = 500

const missing: Readonly<Partial<Record<UnknownReason, string>>> = {
  'no-price': 'tokens',
  'no-input-price': 'prompt tokens',
  'no-output-price': 'output tokens',
  'no-search-price': 'web searches (webSearch)',
}

/** To be told of each attempt without a known cost. Each cause is said once for each target. */
export function createUnpriced(log: Pick<Log, 'warn'>): (attempt: Attempt) => void {
  const told = new Set<string>()
  return ({ target, facts, bill }) => {
    const { unknown: reason, unknownModel: other } = bill!
    // Of a model in no list its own price says so.
    if (reason === undefined || (reason === 'no-price' && other === undefined)) return
    const of = other === undefined ? '' : ` of ${vendorName(other) ?? 'another model'}`
    const what =
      reason === 'service-tier' ? `service tier ${vendorName(facts?.serviceTier) ?? 'unknown'}` : missing[reason]
    const beyond = reason === 'overflow' || reason === 'bad-usage'
    const lacks = reason === 'service-tier' ? 'factor (serviceTiers)' : 'price'
    const why = beyond
      ? `its vendor tells of more tokens${of} than a bill has room for`
      : `${what}${of} without a ${lacks}, see prices`
    const text = `calls of ${target.id} have an unknown cost: ${why}`
    if ((what === undefined && !beyond) || told.has(text) || told.size >= MAX_TOLD) return
    told.add(text)
    log.warn(text, { event: 'prices', target: target.id })
  }
}

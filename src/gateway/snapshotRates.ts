// The rates that each configuration is priced by: its own price book, and the token counter that all share.
import type { Snapshot } from '../config/snapshot.ts'
import { createPriceBook } from '../pricing/book.ts'
import { loadLayers } from '../pricing/layers.ts'
import type { Log } from '../telemetry/log.ts'
import type { TokenCounter } from '../telemetry/tokens/counter.ts'
import type { Rates } from './bill.ts'

/**
 * Prices belong to a snapshot, because its configuration may name some; bytes per token are learnt across all of them.
 * @param dataDir the folder of refreshed prices: that of the start, also when a later configuration names another
 */
export function createSnapshotRates(tokens: TokenCounter, dataDir: string, log: Log): (snapshot: Snapshot) => Rates {
  const known = new WeakMap<Snapshot, Rates>()
  /** Most likely of the snapshot in force, which is asked for several times a request. */
  let last: { snapshot: Snapshot; rates: Rates } | undefined
  return (snapshot) => {
    if (last?.snapshot === snapshot) return last.rates
    let rates = known.get(snapshot)
    if (!rates) {
      const kindOf = (name: string): string => snapshot.providers.get(name)?.kind.name ?? name
      const config = { prices: snapshot.prices, version: snapshot.hash }
      const layers = loadLayers({ config, dataDir }, (problem) => log.warn(problem, { event: 'prices' }))
      rates = { prices: createPriceBook(layers, kindOf), tokens }
      known.set(snapshot, rates)
    }
    last = { snapshot, rates }
    return rates
  }
}

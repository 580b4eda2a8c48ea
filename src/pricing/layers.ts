// Puts the layers of the price book in their order: configuration, refreshed file, our overlay, the price base.
import { createBaseLayer } from './base.ts'
import { readLastGood } from './lastGood.ts'
import { createPriceMapLayer, type PriceLayer } from './layer.ts'
import { loadOverlay } from './overlay.ts'
import type { Prices } from './priceSchema.ts'

let builtIn: PriceLayer[] | undefined

/** The layers that come with the program, loaded once. */
export function builtInLayers(): readonly PriceLayer[] {
  builtIn ??= [loadOverlay(), createBaseLayer()]
  return builtIn
}

/**
 * All layers, most important first. `config`: the checked `prices:` and the configuration's version or hash.
 * `dataDir`: where a refreshed file may lie. `report` hears of a refreshed file that cannot be used.
 */
export function loadLayers(
  from: { config?: { prices: Prices; version: string } | undefined; dataDir?: string | undefined },
  report: (problem: string) => void,
): PriceLayer[] {
  const layers: PriceLayer[] = []
  if (from.config) layers.push(createPriceMapLayer('config', from.config.version, from.config.prices))
  const refreshed = from.dataDir === undefined ? undefined : readLastGood(from.dataDir, report)
  if (refreshed) layers.push(refreshed.layer)
  return [...layers, ...builtInLayers()]
}

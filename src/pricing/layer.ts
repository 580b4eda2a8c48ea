// What a layer of the price book is: a source of price lists and model facts, asked once per model.
import { parseDecimal } from './decimal.ts'
import { modelCandidates } from './names.ts'
import type { Capability, ModelPrice, ModelTier, Prices } from './priceSchema.ts'
import { type PriceVariant, perMillionScale, type RateSet, rateClasses } from './rates.ts'

/** Facts about a model that routing needs. Undefined = not known. */
export interface ModelInfo {
  /** Tokens of prompt and answer together. */
  contextWindow?: number | undefined
  /** Tokens of an answer. */
  maxOutput?: number | undefined
  capabilities?: readonly Capability[] | undefined
  tier?: ModelTier | undefined
}

/** What one layer knows about one model. */
export interface LayerEntry {
  /** Where the facts come from, for people. */
  note?: string | undefined
  /** Absent where the layer knows no price. Never empty. */
  variants?: PriceVariant[] | undefined
  /** True when the variants correct single classes of a lower layer's price instead of replacing it. */
  correction?: boolean
  /** True when the variants stand under the model's name, not under a pattern that it matches. */
  named?: boolean
  /** Nano-USD for each search that the vendor makes. */
  perSearch?: number | undefined
  /** Factors on all token rates by service tier. */
  serviceTiers?: ReadonlyMap<string, { by: bigint; of: bigint }> | undefined
  info?: ModelInfo | undefined
}

export interface PriceLayer {
  /** Closed set: it goes into ledger rows and metrics. */
  readonly source: 'config' | 'refreshed' | 'overlay' | 'genai-prices'
  readonly version: string
  /** Not for the hot path. `provider` is a provider kind or a configured provider's name. */
  find(provider: string, model: string): LayerEntry | undefined
}

/** Turns one checked price of a file into the exact form. */
function entryOf(price: ModelPrice): LayerEntry {
  const scale = price.per === '1K' ? perMillionScale + 3 : perMillionScale
  const base = ratesOf(price, scale)
  const tiers = (price.tiers ?? []).map((tier) => ({ above: tier.above, rates: ratesOf(tier, scale) }))
  const entry: LayerEntry = {}
  if (Object.keys(base).length > 0 || tiers.length > 0 || price.perRequest !== undefined) {
    const variant: PriceVariant = { base, tiers }
    if (price.perRequest !== undefined) variant.perRequest = parseDecimal(price.perRequest, 18)
    entry.variants = [variant]
    entry.correction = base.input === undefined
  }
  if (price.webSearch !== undefined) entry.perSearch = Number(parseDecimal(price.webSearch, 9))
  if (price.serviceTiers) entry.serviceTiers = multipliersOf(price.serviceTiers)
  const info: ModelInfo = {}
  if (price.contextWindow !== undefined) info.contextWindow = price.contextWindow
  if (price.maxOutput !== undefined) info.maxOutput = price.maxOutput
  if (price.capabilities !== undefined) info.capabilities = price.capabilities
  if (price.tier !== undefined) info.tier = price.tier
  if (Object.keys(info).length > 0) entry.info = info
  return entry
}

/** Service-tier factors as exact fractions. */
function multipliersOf(factors: Readonly<Record<string, string | number>>): Map<string, { by: bigint; of: bigint }> {
  return new Map(
    Object.entries(factors).map(([tier, factor]) => [
      tier.toLowerCase(),
      { by: parseDecimal(factor, 9), of: 10n ** 9n },
    ]),
  )
}

/**
 * A layer over a checked `prices:` map. A key matches a model by its exact name, by its name without a date suffix, or as a pattern with
 * `*`; all that match are merged. An exact name beats a pattern, `provider/model` beats `model`, a longer pattern beats a shorter one.
 */
export function createPriceMapLayer(source: PriceLayer['source'], version: string, prices: Prices): PriceLayer {
  const exact = new Map<string, ModelPrice>()
  const patterns: { pattern: RegExp; weight: number; scoped: boolean; price: ModelPrice }[] = []
  for (const [key, price] of Object.entries(prices)) {
    const name = key.toLowerCase()
    if (name.includes('*'))
      patterns.push({ pattern: patternOf(name), weight: name.length, scoped: name.includes('/'), price })
    else exact.set(name, price)
  }
  patterns.sort((a, b) => b.weight - a.weight)

  return {
    source,
    version,
    find(provider, model) {
      const candidates = modelCandidates(model)
      const own = candidates.map((name) => `${provider.toLowerCase()}/${name}`)
      const hits = new Set<ModelPrice>()
      for (const name of [...own, ...candidates]) {
        const price = exact.get(name)
        if (price) hits.add(price)
      }
      const named = hits.size
      // A pattern without a slash speaks of models alone: tried on `provider/model`, its star would swallow the provider.
      for (const { pattern, scoped, price } of patterns) {
        if (scoped && own.some((name) => pattern.test(name))) hits.add(price)
      }
      for (const { pattern, price } of patterns) if (candidates.some((name) => pattern.test(name))) hits.add(price)
      return hits.size > 0 ? merged([...hits].map(entryOf), named) : undefined
    },
  }
}

/**
 * The first entry that has a price gives it; facts and factors come from the first entry that states them.
 * @param named how many of them, from the first on, stand under the model's name
 */
function merged(entries: LayerEntry[], named: number): LayerEntry {
  const result: LayerEntry = {}
  const priced = entries.find((entry) => entry.variants)
  if (priced) {
    result.named = entries.indexOf(priced) < named
    result.variants = priced.variants
    result.correction = priced.correction === true
  }
  result.perSearch = entries.find(({ perSearch }) => perSearch !== undefined)?.perSearch
  const serviceTiers = new Map(entries.toReversed().flatMap((entry) => [...(entry.serviceTiers ?? [])]))
  if (serviceTiers.size > 0) result.serviceTiers = serviceTiers
  const info: ModelInfo = Object.assign({}, ...entries.toReversed().map((entry) => entry.info))
  if (Object.keys(info).length > 0) result.info = info
  return result
}

/** `gpt-4o*` as an anchored expression; everything but `*` is literal. */
export function patternOf(glob: string): RegExp {
  return new RegExp(
    `^${glob
      .split('*')
      .map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
      .join('.*')}$`,
    'i',
  )
}

function ratesOf(
  given: Partial<Record<(typeof rateClasses)[number], string | number | undefined>>,
  scale: number,
): RateSet {
  const rates: RateSet = {}
  for (const name of rateClasses) {
    const value = given[name]
    if (value !== undefined) rates[name] = parseDecimal(value, scale)
  }
  return rates
}

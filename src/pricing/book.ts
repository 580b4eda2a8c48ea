// The price book: finds a model's price through the layers once, keeps it compiled, and prices usages with it.
import type { Usage } from '../dialects/chat.ts'
import type { LayerEntry, ModelInfo, PriceLayer } from './layer.ts'
import { kindName } from './names.ts'
import { amountOf, ceilingOf, compileRates, type PriceVariant, type Rates, variantAt } from './rates.ts'

export type UnknownReason =
  | 'no-price'
  | 'no-input-price'
  | 'no-output-price'
  | 'no-search-price'
  | 'service-tier'
  | 'bad-usage'
  | 'overflow'

/** The price of one usage. `nanoUsd` is an integer; null = not known, which is never the same as 0. */
export interface Priced {
  nanoUsd: number | null
  /** The layer that the price came from; null when none had one. */
  priceSource: PriceLayer['source'] | null
  priceVersion: string | null
  unknown?: UnknownReason
}

export interface PriceOptions {
  /**
   * As the vendor reports or the client asked it; of several, joined by `+`, all count. Absent, `auto`, `default`, `standard`, `on_demand`
   * cost the list price.
   */
  serviceTier?: string | null | undefined
  /** Milliseconds since 1970; default: now. Some prices change on a date or by the hour. */
  at?: number | undefined
  /** Another run of a request whose first has been priced: what each request costs is not charged again. */
  isFurther?: boolean | undefined
}

/** A price for people: which layer, and the lists with their validity. */
export interface Explained {
  provider: string
  model: string
  source: PriceLayer['source'] | null
  version: string | null
  note: string | undefined
  /** Layers above the source that correct single classes of it. */
  correctedBy: PriceLayer['source'][]
  variants: PriceVariant[]
  current: number
  /** Nano-USD for each search that the vendor makes. */
  perSearch: number | undefined
  serviceTiers: ReadonlyMap<string, { by: bigint; of: bigint }>
  info: ModelInfo
}

export interface PriceBook {
  /** Prices one usage. Under a microsecond once a model was seen; the first time its price is looked up. Never throws. */
  price(provider: string, model: string, usage: Usage, options?: PriceOptions): Priced
  /**
   * The most that a request may cost in nano-USD (dearest class and band it can reach), for reservations; null when not known.
   * `promptTokens` and `outputTokens` are upper bounds.
   */
  ceiling(
    provider: string,
    model: string,
    promptTokens: number,
    outputTokens: number,
    options?: PriceOptions,
  ): number | null
  /** How closely the configuration speaks of a model's price: 2 = by its name, 1 = by a pattern, 0 = not at all. */
  told(provider: string, model: string): Told
  /** Facts about a model; an empty object when nothing is known. */
  info(provider: string, model: string): ModelInfo
  explain(provider: string, model: string, at?: number): Explained
}

type Told = 0 | 1 | 2

interface Resolved {
  told: Told
  source: PriceLayer['source'] | null
  version: string | null
  note: string | undefined
  correctedBy: PriceLayer['source'][]
  variants: PriceVariant[]
  /** Compiled lists by service tier, each list in the order of `variants`. */
  compiled: Map<string, Compiled[] | null>
  standard: Compiled[]
  perSearch: number | undefined
  serviceTiers: Map<string, { by: bigint; of: bigint }>
  info: ModelInfo
}

interface Compiled {
  from?: number
  window?: { start: number; end: number }
  rates: Rates
}

/** Names that vendors use for the list price. Groq's and Gemini's words for it are the last two. */
const listPrice = new Set([
  '',
  'auto',
  'default',
  'standard',
  'on_demand',
  'ondemand',
  'none',
  'traffic_type_unspecified',
])

/** Client-chosen model names reach `price` through pattern routes: the cache must not grow with them. */
const maxModels = 5_000

/**
 * A price book over `layers`, most important first. `kindOf` gives the kind of a configured provider's name: the config layer is asked
 * by both, the others by kind.
 */
export function createPriceBook(
  layers: readonly PriceLayer[],
  kindOf: (provider: string) => string = (provider) => provider,
): PriceBook {
  const cache = new Map<string, Map<string, Resolved>>()
  let cached = 0

  const resolve = (provider: string, model: string): Resolved => {
    let models = cache.get(provider)
    const known = models?.get(model)
    if (known) return known
    if (cached >= maxModels) {
      cache.clear()
      cached = 0
      models = undefined
    }
    if (!models) {
      models = new Map()
      cache.set(provider, models)
    }
    const resolved = resolveLayers(layers, provider, kindName(kindOf(provider)), model)
    models.set(model, resolved)
    cached++
    return resolved
  }

  return {
    price(provider, model, usage, options) {
      const resolved = resolve(provider, model)
      const { source, version } = resolved
      if (resolved.variants.length === 0)
        return { nanoUsd: null, priceSource: null, priceVersion: null, unknown: 'no-price' }
      const tier = options?.serviceTier
      const lists = tier ? listsFor(resolved, tier) : resolved.standard
      if (!lists) return { nanoUsd: null, priceSource: source, priceVersion: version, unknown: 'service-tier' }
      let amount: number | UnknownReason = amountOf(listAt(lists, options?.at).rates, usage, options?.isFurther)
      if (usage.webSearches && typeof amount === 'number') amount = withSearches(amount, usage.webSearches, resolved)
      if (typeof amount === 'number') return { nanoUsd: amount, priceSource: source, priceVersion: version }
      return { nanoUsd: null, priceSource: source, priceVersion: version, unknown: amount }
    },
    ceiling(provider, model, promptTokens, outputTokens, options) {
      const resolved = resolve(provider, model)
      if (resolved.variants.length === 0) return null
      const lists = options?.serviceTier ? listsFor(resolved, options.serviceTier) : resolved.standard
      if (!lists) return null
      return ceilingOf(listAt(lists, options?.at).rates, promptTokens, outputTokens) ?? null
    },
    told: (provider, model) => resolve(provider, model).told,
    info: (provider, model) => resolve(provider, model).info,
    explain(provider, model, at = Date.now()) {
      const { source, version, note, correctedBy, variants, perSearch, serviceTiers, info } = resolve(provider, model)
      const current = variants.length === 0 ? -1 : variants.indexOf(variantAt(variants, at))
      return { provider, model, source, version, note, correctedBy, variants, current, perSearch, serviceTiers, info }
    },
  }
}

/** Searches cost the same at every service tier. */
function withSearches(amount: number, searches: number, { perSearch }: Resolved): number | UnknownReason {
  if (perSearch === undefined) return 'no-search-price'
  const sum = amount + searches * perSearch
  return Number.isSafeInteger(sum) ? sum : 'overflow'
}

function listAt(lists: Compiled[], at: number | undefined): Compiled {
  return lists.length === 1 ? (lists[0] as Compiled) : variantAt(lists, at ?? Date.now())
}

function listsFor(resolved: Resolved, serviceTier: string): Compiled[] | null {
  const known = resolved.compiled.get(serviceTier)
  if (known !== undefined) return known
  const factor = factorOf(resolved.serviceTiers, serviceTier.toLowerCase())
  const lists = factor && (factor.by === factor.of ? resolved.standard : compile(resolved.variants, factor))
  // The client chooses this string: remember a few spellings, not all there are.
  if (resolved.compiled.size < 32) resolved.compiled.set(serviceTier, lists)
  return lists
}

/** The product of the factors of all tiers in `names`; null where one is not known. */
function factorOf(tiers: Resolved['serviceTiers'], names: string): { by: bigint; of: bigint } | null {
  let product = { by: 1n, of: 1n }
  for (const name of names.split('+')) {
    const factor = tiers.get(name)
    if (factor) product = { by: product.by * factor.by, of: product.of * factor.of }
    else if (!listPrice.has(name)) return null
  }
  return product
}

function compile(variants: PriceVariant[], factor?: { by: bigint; of: bigint }): Compiled[] {
  return variants.map((variant) => {
    const compiled: Compiled = { rates: compileRates(variant, factor) }
    if (variant.from !== undefined) compiled.from = variant.from
    if (variant.window !== undefined) compiled.window = variant.window
    return compiled
  })
}

/** Asks the layers from the top until one has a whole price; corrections on the way down are laid over it. */
function resolveLayers(layers: readonly PriceLayer[], provider: string, kind: string, model: string): Resolved {
  const serviceTiers = new Map<string, { by: bigint; of: bigint }>()
  const info: ModelInfo = {}
  const corrections: { source: PriceLayer['source']; variant: PriceVariant }[] = []
  let told: Told = 0
  let perSearch: number | undefined
  let found: { layer: PriceLayer; variants: PriceVariant[]; note: string | undefined } | undefined
  for (const layer of layers) {
    const entry = findIn(layer, provider, kind, model)
    if (!entry) continue
    for (const [tier, factor] of entry.serviceTiers ?? []) if (!serviceTiers.has(tier)) serviceTiers.set(tier, factor)
    perSearch ??= entry.perSearch
    info.contextWindow ??= entry.info?.contextWindow
    info.maxOutput ??= entry.info?.maxOutput
    info.capabilities ??= entry.info?.capabilities
    info.tier ??= entry.info?.tier
    if (layer.source === 'config' && entry.variants) told = entry.named ? 2 : 1
    if (found || !entry.variants) continue
    const [first] = entry.variants
    if (entry.correction && first) corrections.push({ source: layer.source, variant: first })
    else found = { layer, variants: entry.variants, note: entry.note }
  }
  let variants = found?.variants ?? []
  for (const { variant } of corrections.reverse()) variants = variants.map((lower) => overlaid(lower, variant))
  return {
    told,
    source: found?.layer.source ?? null,
    version: found?.layer.version ?? null,
    note: found?.note,
    correctedBy: found ? corrections.map(({ source }) => source) : [],
    variants,
    compiled: new Map(),
    standard: compile(variants),
    perSearch,
    serviceTiers,
    info,
  }
}

function findIn(layer: PriceLayer, provider: string, kind: string, model: string): LayerEntry | undefined {
  if (layer.source === 'config' && provider !== kind) {
    const own = layer.find(provider, model)
    if (own) return own
  }
  return layer.find(kind, model)
}

function overlaid(lower: PriceVariant, upper: PriceVariant): PriceVariant {
  const tiers = new Map(lower.tiers.map(({ above, rates }) => [above, { ...rates }]))
  // A corrected class is corrected in every tier of the lower list, unless the correction has tiers of its own.
  for (const rates of tiers.values())
    for (const name of Object.keys(upper.base)) delete rates[name as keyof typeof rates]
  for (const { above, rates } of upper.tiers) tiers.set(above, { ...tiers.get(above), ...rates })
  const merged: PriceVariant = {
    ...lower,
    base: { ...lower.base, ...upper.base },
    tiers: [...tiers].map(([above, rates]) => ({ above, rates })),
  }
  if (upper.perRequest !== undefined) merged.perRequest = upper.perRequest
  return merged
}

// The lowest layer of the price book: the price lists that come with @pydantic/genai-prices, offline.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type * as Prices from '@pydantic/genai-prices'
import type { ConditionalPrice, ModelPrice } from '@pydantic/genai-prices'
import { parseDecimal } from './decimal.ts'
import type { LayerEntry, PriceLayer } from './layer.ts'
import { genaiProvider, modelCandidates } from './names.ts'
import { type PriceVariant, perMillionScale, type RateClass, type RateSet } from './rates.ts'

// Loaded with the first price book and not with this file: most commands have none, and the lists are a sixth of what they would load.
const require = createRequire(import.meta.url)

/** Its price keys (USD per million tokens) by our token classes. Keys not named here price things that `Usage` does not count. */
const classOf: Readonly<Record<string, RateClass>> = {
  input_mtok: 'input',
  cache_read_mtok: 'cacheRead',
  cache_write_mtok: 'cacheWrite5m',
  cache_write_5m_mtok: 'cacheWrite5m',
  cache_write_1h_mtok: 'cacheWrite1h',
  output_mtok: 'output',
  output_reasoning_mtok: 'reasoning',
  input_audio_mtok: 'audioIn',
  output_audio_mtok: 'audioOut',
  output_image_mtok: 'imageOut',
  cache_audio_read_mtok: 'cacheReadAudio',
}

/** Client-chosen model names get here through pattern routes: what is remembered must not grow with them. */
const maxRemembered = 5_000

/** The price base as a layer. Only its matching and its numbers are used; the arithmetic is ours, because its sums are floats. */
export function createBaseLayer(): PriceLayer {
  const { calcPrice } = require('@pydantic/genai-prices') as typeof Prices
  // Each configuration has a book of its own, and hundreds of providers may be of one kind: they all ask the same.
  const remembered = new Map<string, LayerEntry | undefined>()
  return {
    source: 'genai-prices',
    version: packageVersion(),
    find(provider, model) {
      const name = `${provider}/${model}`
      if (remembered.has(name)) return remembered.get(name)
      if (remembered.size >= maxRemembered) remembered.clear()
      const found = findAnew(calcPrice, provider, model)
      remembered.set(name, found)
      return found
    },
  }
}

function findAnew(calcPrice: typeof Prices.calcPrice, provider: string, model: string): LayerEntry | undefined {
  // Zero usage: we want the model that it matches and that model's price lists, not a sum.
  const providerId = genaiProvider(provider)
  const found = firstOf(modelCandidates(model), (name) => quietly(() => calcPrice({}, name, { providerId })))
  if (!found) return undefined
  const lists: ConditionalPrice[] = Array.isArray(found.model.prices)
    ? found.model.prices
    : [{ prices: found.model.prices }]
  const variants = lists.map(variantOf)
  if (found.model.id.includes('claude')) variants.forEach(fillHourWrites)
  const entry: LayerEntry = { note: `${found.provider.id}/${found.model.id}` }
  // An empty list is a model whose price is not known (or not by the token): not one that costs nothing.
  if (variants.some(({ base }) => Object.keys(base).length > 0)) entry.variants = variants
  const searches = lists[0]!.prices.web_searches_kcount
  if (typeof searches === 'number') entry.perSearch = Number(parseDecimal(searches, 6))
  if (found.model.context_window) entry.info = { contextWindow: found.model.context_window }
  return entry
}

function variantOf({ constraint, prices }: ConditionalPrice): PriceVariant {
  const base: RateSet = {}
  const tiers = new Map<number, RateSet>()
  for (const [key, price] of Object.entries(prices as ModelPrice)) {
    const name = classOf[key]
    if (!name || price === undefined) continue
    if (typeof price === 'number') {
      base[name] = parseDecimal(price, perMillionScale)
      continue
    }
    base[name] = parseDecimal(price.base, perMillionScale)
    for (const { start, price: above } of price.tiers) {
      const rates = tiers.get(start) ?? {}
      rates[name] = parseDecimal(above, perMillionScale)
      tiers.set(start, rates)
    }
  }
  const variant: PriceVariant = { base, tiers: [...tiers].map(([above, rates]) => ({ above, rates })) }
  const requests = prices.requests_kcount
  if (typeof requests === 'number') variant.perRequest = parseDecimal(requests, 15)
  if (constraint?.type === 'start_date') variant.from = Date.parse(`${constraint.start_date}T00:00:00Z`)
  if (constraint?.type === 'time_of_date') {
    variant.window = { start: secondOfDay(constraint.start_time), end: secondOfDay(constraint.end_time) }
  }
  return variant
}

/**
 * The base has no one-hour cache price for Claude on Bedrock, Vertex and OpenRouter. It is twice the input price, as five-minute writes
 * are 1.25 times it (docs.anthropic.com, "Prompt caching", Pricing); billing it as a five-minute write would be 37 % short.
 */
function fillHourWrites({ base, tiers }: PriceVariant): void {
  if (base.cacheWrite1h !== undefined || base.cacheWrite5m === undefined || base.input === undefined) return
  base.cacheWrite1h = base.input * 2n
  for (const { rates } of tiers) if (rates.input !== undefined) rates.cacheWrite1h = rates.input * 2n
}

/** `HH:MM:SSZ` or with an offset, as seconds of the UTC day. */
function secondOfDay(time: string): number {
  const match = /^(\d{2}):(\d{2}):(\d{2})(?:\.\d+)?(?:Z|([+-])(\d{2}):(\d{2}))$/.exec(time)
  if (!match) throw new RangeError(`not a time of day: ${time}`)
  const [, hours, minutes, seconds, sign, offsetHours = '0', offsetMinutes = '0'] = match
  const offset = (Number(offsetHours) * 60 + Number(offsetMinutes)) * 60 * (sign === '-' ? -1 : 1)
  return (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds) - offset + 86_400) % 86_400
}

function firstOf<T, R>(items: T[], find: (item: T) => R | null | undefined): R | undefined {
  for (const item of items) {
    const found = find(item)
    if (found) return found
  }
  return undefined
}

function quietly<T>(find: () => T): T | undefined {
  try {
    return find()
  } catch {
    return undefined // A price list that its own library refuses is no price.
  }
}

function packageVersion(): string {
  // Its exports hide package.json; the entry point lies in dist/, one below.
  const entry = require.resolve('@pydantic/genai-prices')
  const text = readFileSync(join(dirname(entry), '..', 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

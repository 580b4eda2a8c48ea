// What one model's tokens cost: exact rates per token class, banded by prompt length, and the sum over one usage.
import type { Usage } from '../dialects/chat.ts'
import { divideRound } from './decimal.ts'

/** Token classes that can have a price of their own. The first eight are the disjoint classes of `Usage`. */
export const rateClasses = [
  'input',
  'cacheRead',
  'cacheWrite5m',
  'cacheWrite1h',
  'output',
  'reasoning',
  'audioIn',
  'audioOut',
  'imageOut',
  'cacheReadAudio',
] as const

export type RateClass = (typeof rateClasses)[number]

/** Atto-USD (10^-18) per token. USD per million tokens with up to 12 decimals is an exact integer of it. */
export type RateSet = Partial<Record<RateClass, bigint>>

/** Digits between USD per million tokens and atto-USD per token. */
export const perMillionScale = 12

/** One price list of a model. `from` (ms) and `window` (seconds of the UTC day) say when it holds. */
export interface PriceVariant {
  from?: number
  window?: { start: number; end: number }
  base: RateSet
  /** The whole request is billed by the highest tier whose `above` the prompt exceeds. Classes not named keep the base's rate. */
  tiers: { above: number; rates: RateSet }[]
  /** Atto-USD for each request. */
  perRequest?: bigint
}

/** Rates of one band of prompt lengths, compiled for the hot path. -1 = no price known for the class. */
interface Band {
  above: number
  /** Pico-USD per token; all integers when `fast`. */
  pico: Record<RateClass, number>
  atto: Record<RateClass, bigint>
  /** The dearest class of a prompt's tokens and of an answer's, in atto-USD and pico-USD; -1 = none has a price. */
  dearestAsked: Rate
  dearestTold: Rate
  /** Up to this many tokens in all, sums of `pico` stay exact integers of a double. 0 = take the bigint way. */
  safeTokens: number
  partial: boolean
}

interface Rate {
  pico: number
  atto: bigint
}

/** A price list ready for use. */
export interface Rates {
  bands: Band[]
  perRequestPico: number
  perRequestAtto: bigint
}

/** The sum in nano-USD, or why there is none. */
export type Amount = number | 'no-output-price' | 'no-input-price' | 'bad-usage' | 'overflow'

const pico = 1_000_000n
const nanoFromAtto = 1_000_000_000n

/**
 * Fills the gaps of a price list the way vendors bill: a class without a price of its own costs what the class costs that it is a
 * special case of (cached or audio input: input; reasoning, audio and image output: output).
 */
export function compileRates(
  variant: PriceVariant,
  multiplier: { by: bigint; of: bigint } = { by: 1n, of: 1n },
): Rates {
  const thresholds = [...variant.tiers].sort((a, b) => a.above - b.above)
  const bands: Band[] = []
  let rates = variant.base
  bands.push(compileBand(-1, rates, multiplier))
  for (const tier of thresholds) {
    rates = { ...rates, ...tier.rates }
    bands.push(compileBand(tier.above, rates, multiplier))
  }
  const perRequestAtto = variant.perRequest ?? 0n
  const exact = perRequestAtto % pico === 0n && perRequestAtto < 10n ** 20n
  if (!exact) for (const band of bands) band.safeTokens = 0
  return { bands, perRequestAtto, perRequestPico: exact ? Number(perRequestAtto / pico) : 0 }
}

/**
 * The price of one usage in integer nano-USD, rounded half up once, at the end.
 * @param isFurther it is another part of a request, whose price for each request is in the first
 */
export function amountOf(rates: Rates, usage: Usage, isFurther = false): Amount {
  const prompt = usage.input + usage.cacheRead + usage.cacheWrite5m + usage.cacheWrite1h + usage.audioIn
  const answer = usage.output + usage.reasoning + usage.audioOut
  const total = prompt + answer
  if (!Number.isSafeInteger(total) || total < 0) return 'bad-usage'
  const band = bandFor(rates.bands, prompt)
  if (band.partial) {
    const missing = missingPrice(band, usage)
    if (missing) return missing
  }
  if (total > band.safeTokens) return bigAmount(isFurther ? 0n : rates.perRequestAtto, band, usage)

  const p = band.pico
  let sum =
    (isFurther ? 0 : rates.perRequestPico) +
    usage.input * p.input +
    usage.cacheRead * p.cacheRead +
    usage.cacheWrite5m * p.cacheWrite5m +
    usage.cacheWrite1h * p.cacheWrite1h +
    usage.audioIn * p.audioIn +
    usage.output * p.output +
    usage.reasoning * p.reasoning +
    usage.audioOut * p.audioOut
  if (usage.imageOut) sum += usage.imageOut * (p.imageOut - p.output)
  if (usage.cacheReadAudio) sum += usage.cacheReadAudio * (p.cacheReadAudio - p.cacheRead)
  const rest = sum % 1000
  return (sum - rest) / 1000 + (rest >= 500 ? 1 : 0)
}

/**
 * The most that a request can cost: `promptTokens` at the dearest prompt class and `outputTokens` at the dearest output class of the
 * dearest band they can reach. Nano-USD, rounded up; undefined when a price is missing. For reservations of budgets.
 */
export function ceilingOf(rates: Rates, promptTokens: number, outputTokens: number): number | undefined {
  let most = 0
  for (const band of rates.bands) {
    if (band.above >= promptTokens) continue
    const { dearestAsked: asked, dearestTold: told } = band
    if ((asked.pico < 0 && promptTokens > 0) || (told.pico < 0 && outputTokens > 0)) return undefined
    if (!(promptTokens + outputTokens <= band.safeTokens)) return bigCeiling(rates, promptTokens, outputTokens)
    // Nothing is asked for of what has no price.
    const sum = rates.perRequestPico + promptTokens * asked.pico + outputTokens * told.pico
    if (sum > most) most = sum
  }
  const rest = most % 1000
  return (most - rest) / 1000 + (rest > 0 ? 1 : 0)
}

/** As `ceilingOf`, for sums that a double cannot hold. */
function bigCeiling(rates: Rates, promptTokens: number, outputTokens: number): number | undefined {
  let most = 0n
  for (const { above, dearestAsked: asked, dearestTold: told } of rates.bands) {
    if (above >= promptTokens) continue
    if ((asked.atto < 0n && promptTokens > 0) || (told.atto < 0n && outputTokens > 0)) return undefined
    const sum = rates.perRequestAtto + BigInt(promptTokens) * asked.atto + BigInt(outputTokens) * told.atto
    if (sum > most) most = sum
  }
  const nano = Number((most + nanoFromAtto - 1n) / nanoFromAtto)
  return Number.isSafeInteger(nano) ? nano : undefined
}

/** The variant in force at `at` (ms): the last whose condition holds, else the first. Never empty. */
export function variantAt<T extends { from?: number; window?: { start: number; end: number } }>(
  all: T[],
  at: number,
): T {
  for (let i = all.length - 1; i > 0; i--) {
    const variant = all[i] as T
    if (holdsAt(variant, at)) return variant
  }
  return all[0] as T
}

function holdsAt(variant: { from?: number; window?: { start: number; end: number } }, at: number): boolean {
  if (variant.from !== undefined && at < variant.from) return false
  if (!variant.window) return true
  const { start, end } = variant.window
  const second = (at / 1000) % 86_400
  return end < start ? second >= start || second < end : second >= start && second < end
}

function compileBand(above: number, given: RateSet, { by, of }: { by: bigint; of: bigint }): Band {
  const scaled = (name: RateClass): bigint | undefined => {
    const rate = given[name]
    return rate === undefined ? undefined : divideRound(rate * by, of)
  }
  const input = scaled('input') ?? -1n
  const output = scaled('output') ?? -1n
  const cacheRead = scaled('cacheRead') ?? input
  const cacheWrite5m = scaled('cacheWrite5m') ?? input
  const atto: Record<RateClass, bigint> = {
    input,
    cacheRead,
    cacheWrite5m,
    cacheWrite1h: scaled('cacheWrite1h') ?? cacheWrite5m,
    output,
    reasoning: scaled('reasoning') ?? output,
    audioIn: scaled('audioIn') ?? input,
    audioOut: scaled('audioOut') ?? output,
    imageOut: scaled('imageOut') ?? output,
    cacheReadAudio: scaled('cacheReadAudio') ?? cacheRead,
  }
  const values = Object.values(atto)
  const top = dearest(...values)
  // Half of the range: intermediate terms of image and cached-audio corrections must stay exact as well.
  const safe = top <= 0n ? BigInt(Number.MAX_SAFE_INTEGER) : (BigInt(Number.MAX_SAFE_INTEGER) * pico) / (top * 4n)
  const fast = values.every((rate) => rate === -1n || rate % pico === 0n)
  return {
    above,
    pico: Object.fromEntries(
      rateClasses.map((name) => [name, atto[name] < 0n ? -1 : Number(atto[name] / pico)]),
    ) as Record<RateClass, number>,
    atto,
    dearestAsked: rateOf(
      dearest(atto.input, atto.cacheRead, atto.cacheWrite5m, atto.cacheWrite1h, atto.audioIn, atto.cacheReadAudio),
    ),
    dearestTold: rateOf(dearest(atto.output, atto.reasoning, atto.audioOut, atto.imageOut)),
    safeTokens: fast ? Number(safe > 10n ** 12n ? 10n ** 12n : safe) : 0,
    partial: values.some((rate) => rate < 0n),
  }
}

const rateOf = (atto: bigint): Rate => ({ atto, pico: atto < 0n ? -1 : Number(atto / pico) })

function bandFor(bands: Band[], prompt: number): Band {
  let band = bands[0] as Band
  for (let i = 1; i < bands.length; i++) {
    const next = bands[i] as Band
    if (prompt > next.above) band = next
  }
  return band
}

function missingPrice(band: Band, usage: Usage): Amount | undefined {
  const unpriced = (name: RateClass): boolean => (usage[name] ?? 0) > 0 && band.atto[name] < 0n
  if (unpriced('output') || unpriced('reasoning') || unpriced('audioOut') || unpriced('imageOut'))
    return 'no-output-price'
  const asked = ['input', 'cacheRead', 'cacheWrite5m', 'cacheWrite1h', 'audioIn', 'cacheReadAudio'] as const
  if (asked.some(unpriced)) return 'no-input-price'
  return undefined
}

function bigAmount(perRequest: bigint, band: Band, usage: Usage): Amount {
  let sum = perRequest
  for (const name of rateClasses) {
    const tokens = usage[name]
    if (!tokens) continue
    if (!Number.isSafeInteger(tokens) || tokens < 0) return 'bad-usage'
    if (name === 'imageOut') sum += BigInt(tokens) * (band.atto.imageOut - band.atto.output)
    else if (name === 'cacheReadAudio') sum += BigInt(tokens) * (band.atto.cacheReadAudio - band.atto.cacheRead)
    else sum += BigInt(tokens) * band.atto[name]
  }
  const nano = Number(divideRound(sum, nanoFromAtto))
  return Number.isSafeInteger(nano) ? nano : 'overflow'
}

function dearest(...rates: bigint[]): bigint {
  let most = -1n
  for (const rate of rates) if (rate > most) most = rate
  return most
}

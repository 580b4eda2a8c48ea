// The most that one upstream call can be billed, from numbers alone: what a budget holds back before the call is made.
import type { PriceBook } from './book.ts'
import type { ModelInfo } from './layer.ts'

/** Upper bounds of what one item of a kind takes up, in prompt tokens. Undefined = only the model's window bounds it. */
export interface ModalityBounds {
  readonly image?: number | undefined
  readonly audio?: number | undefined
  readonly file?: number | undefined
}

export interface WorstCaseFacts {
  /**
   * Upper bound of the text's tokens: `upperBoundPromptTokens` of the bytes, without those of images and files in base64 (which are
   * text to nobody).
   */
  readonly textTokens: number
  /** The cap on output tokens that the upstream will be told, per answer; undefined = none. */
  readonly maxTokens?: number | undefined
  /** Output tokens that this vendor may bill on top of the cap: reasoning that the cap does not hold. */
  readonly uncappedTokens?: number | undefined
  /** Answers asked for. */
  readonly n: number
  readonly images: number
  readonly audio: number
  readonly files: number
  /** Something without any bound in tokens is asked for: a vendor's own tools by the call, state that lies with the vendor. */
  readonly unbounded?: boolean | undefined
}

export interface WorstCaseOptions {
  /** As the upstream will be told. Absent or `auto`: the dearest one that is known, because the vendor's account decides. */
  readonly serviceTier?: string | null | undefined
  /** Unix milliseconds; default: now. */
  readonly at?: number | undefined
  /** How long the call may last, in milliseconds: it may end when another price holds. Default: an hour. */
  readonly lasts?: number | undefined
  readonly bounds?: ModalityBounds | undefined
}

export type WorstCase =
  | { readonly nanoUsd: number; readonly promptTokens: number; readonly outputTokens: number }
  | {
      readonly nanoUsd: null
      /**
       * `price`: none is known. `output`: no cap, and the model's own is not known. `media`: no bound for an image or a file. `beyond`: more
       * than can be reckoned with, and than any budget may be.
       */
      readonly unknown: 'price' | 'output' | 'media' | 'unbounded' | 'beyond'
    }

/**
 * More than any one image: the dearest known are 48,169 tokens (OpenAI's gpt-4o-mini, eight tiles at 5,667 and 2,833 for the whole:
 * platform.openai.com/docs/guides/images-vision). Length of audio and pages of files cannot be seen from here.
 */
const defaultBounds: ModalityBounds = { image: 50_000 }

/** The vendor's account decides. */
const isUndecided = (tier: string | null | undefined): tier is '' | null | undefined =>
  tier === undefined || tier === null || tier === '' || tier.toLowerCase() === 'auto'

/** A region comes on top of a tier, and nothing is generated fast unless the request says so. */
const notByAccount: ReadonlySet<string> = new Set(['us', 'fast'])

const hour = 3_600_000

export interface WorstCases {
  /** Never throws. Nano-USD, rounded up: no bill of a usage within the bounds is higher, whatever classes its tokens fall into. */
  of(provider: string, model: string, facts: WorstCaseFacts, options?: WorstCaseOptions): WorstCase
  /**
   * The largest cap on output tokens (per answer, at most `most`) with which the call fits into `room` nano-USD; 0 when none does,
   * undefined when no bound is known.
   */
  fit(
    provider: string,
    model: string,
    facts: WorstCaseFacts,
    room: number,
    options?: WorstCaseOptions & { readonly most?: number | undefined },
  ): number | undefined
}

/** What is known of a model, and how its price may change with the tier and the time; found once. */
interface Found {
  readonly info: ModelInfo
  /** The dearest tier above the list price; undefined = the list price is the dearest. */
  readonly dearestTier: string | undefined
  /** What comes on top of any tier where the account says so, whatever was asked for: a dearer region. */
  readonly onTop: string | undefined
  /** Times at which another price begins: Unix milliseconds, and seconds of the UTC day. */
  readonly dates: readonly number[]
  readonly seconds: readonly number[]
}

/** Client-chosen names get here through pattern routes: the cache must not grow with them. */
const MAX_MODELS = 5_000

/** Worst cases by the prices of one book. Make it anew with the book: it remembers what it found there. */
export function createWorstCases(book: PriceBook): WorstCases {
  const cache = new Map<string, Map<string, Found>>()
  let cached = 0

  const find = (provider: string, model: string): Found => {
    const known = cache.get(provider)?.get(model)
    if (known) return known
    if (cached >= MAX_MODELS) {
      cache.clear()
      cached = 0
    }
    const found = findOut(book, provider, model)
    const models = cache.get(provider) ?? new Map<string, Found>()
    cache.set(provider, models.set(model, found))
    cached++
    return found
  }

  /** At one moment. Whatever tier was asked for, a vendor may fall back to the standard one. */
  function ceilingAt(
    provider: string,
    model: string,
    promptTokens: number,
    outputTokens: number,
    tier: string | undefined,
    at: number | undefined,
  ): number | null {
    const list = book.ceiling(provider, model, promptTokens, outputTokens, at === undefined ? undefined : { at })
    if (tier === undefined || list === null) return list
    const other = book.ceiling(provider, model, promptTokens, outputTokens, { serviceTier: tier, at })
    return other === null ? null : Math.max(list, other)
  }

  function ceilingOf(
    provider: string,
    model: string,
    promptTokens: number,
    outputTokens: number,
    options: WorstCaseOptions,
    { dearestTier, onTop, dates, seconds }: Found,
  ): number | null {
    const { serviceTier } = options
    const asked = isUndecided(serviceTier) ? dearestTier : serviceTier
    const tier = asked && onTop ? `${asked}+${onTop}` : (asked ?? onTop)
    // Most prices are the same at any time.
    if (dates.length + seconds.length === 0)
      return ceilingAt(provider, model, promptTokens, outputTokens, tier, undefined)
    const { at = Date.now(), lasts = hour } = options
    let most = -1
    for (const when of timesWithin(dates, seconds, at, at + lasts)) {
      const ceiling = ceilingAt(provider, model, promptTokens, outputTokens, tier, when)
      if (ceiling === null) return null
      most = Math.max(most, ceiling)
    }
    return most
  }

  const worstCases: WorstCases = {
    of(provider, model, facts, options = {}) {
      if (facts.unbounded) return { nanoUsd: null, unknown: 'unbounded' }
      const found = find(provider, model)
      const { info } = found
      const promptTokens = boundPrompt(facts, options.bounds ?? defaultBounds, info.contextWindow)
      if (promptTokens === undefined) return { nanoUsd: null, unknown: 'media' }
      const each = facts.maxTokens ?? info.maxOutput ?? info.contextWindow
      if (each === undefined) return { nanoUsd: null, unknown: 'output' }
      const asked = Math.ceil((each + (facts.uncappedTokens ?? 0)) * Math.max(1, facts.n))
      // No model makes as many, whatever a client says.
      const outputTokens = Math.min(asked, Number.MAX_SAFE_INTEGER)
      const nanoUsd = ceilingOf(provider, model, promptTokens, outputTokens, options, found)
      if (nanoUsd !== null) return { nanoUsd, promptTokens, outputTokens }
      // With one token it has a price: then it is the sum that no number holds.
      const isPriced = outputTokens > 1 && ceilingOf(provider, model, promptTokens, 1, options, found) !== null
      return { nanoUsd, unknown: isPriced ? 'beyond' : 'price' }
    },
    fit(provider, model, facts, room, options = {}) {
      const { info } = find(provider, model)
      const costOf = (maxTokens: number): number | null =>
        worstCases.of(provider, model, { ...facts, maxTokens }, options).nanoUsd
      // A cap beyond what the model can do is refused by some vendors.
      let high = Math.min(options.most ?? Number.POSITIVE_INFINITY, info.maxOutput ?? info.contextWindow ?? 1_000_000)
      let low = 0
      const whole = costOf(high)
      if (whole === null) return undefined
      if (whole <= room) return high
      // `low` fits or is 0, `high` does not fit.
      while (high - low > 1) {
        const middle = Math.floor((low + high) / 2)
        if (costOf(middle)! <= room) low = middle
        else high = middle
      }
      return low
    },
  }
  return worstCases
}

/** Text, and media by their bounds; where one has none, the model's window is the bound of all, because longer prompts are refused. */
function boundPrompt(
  { textTokens, images, audio, files }: WorstCaseFacts,
  bounds: ModalityBounds,
  contextWindow: number | undefined,
): number | undefined {
  let sum = Math.max(0, Math.ceil(textTokens))
  if (images + audio + files === 0) return sum
  for (const [count, bound] of [
    [images, bounds.image],
    [audio, bounds.audio],
    [files, bounds.file],
  ] as const) {
    if (count === 0) continue
    if (bound === undefined) return contextWindow === undefined ? undefined : Math.max(sum, contextWindow)
    sum += count * Math.ceil(bound)
  }
  return sum
}

function findOut(book: PriceBook, provider: string, model: string): Found {
  const { info, serviceTiers, variants } = book.explain(provider, model)
  const region = serviceTiers.get('us')
  let dearestTier: string | undefined
  let most = { by: 1n, of: 1n }
  for (const [name, factor] of serviceTiers) {
    if (notByAccount.has(name)) continue
    if (factor.by * most.of <= most.by * factor.of) continue
    dearestTier = name
    most = factor
  }
  return {
    info,
    dearestTier,
    onTop: region && region.by > region.of ? 'us' : undefined,
    dates: variants.flatMap(({ from }) => from ?? []),
    seconds: variants.flatMap(({ window }) => (window ? [window.start, window.end] : [])),
  }
}

/** Now, and the moments until `end` at which another price begins to hold. */
function timesWithin(dates: readonly number[], seconds: readonly number[], at: number, end: number): number[] {
  const times = [at]
  for (const date of dates) if (date > at && date <= end) times.push(date)
  if (seconds.length === 0) return times
  const day = 86_400_000
  for (let midnight = Math.floor(at / day) * day; midnight <= end; midnight += day) {
    for (const second of seconds) {
      const time = midnight + second * 1000
      if (time > at && time <= end) times.push(time)
    }
  }
  return times
}

// The price book: layers, names, unknown prices, corrections, limits of arithmetic, speed.

import { describe, expect, it } from 'vitest'
import { noUsage, type Usage } from '../src/dialects/chat.ts'
import { createBaseLayer } from '../src/pricing/base.ts'
import { createPriceBook } from '../src/pricing/book.ts'
import { divideRound, formatDecimal, formatUsd, parseDecimal } from '../src/pricing/decimal.ts'
import { createPriceMapLayer, type PriceLayer, patternOf } from '../src/pricing/layer.ts'
import { modelCandidates } from '../src/pricing/names.ts'
import { loadOverlay, readOverlay } from '../src/pricing/overlay.ts'
import { type ModelPriceInput, pricesSchema } from '../src/pricing/priceSchema.ts'
import { ceilingOf, compileRates, type PriceVariant, type RateSet } from '../src/pricing/rates.ts'
import { createWorstCases } from '../src/pricing/worstCase.ts'
import fc from './support/seededCheck.ts'

const usage = (some: Partial<Usage>): Usage => ({ ...noUsage(), ...some })
const layer = (source: PriceLayer['source'], prices: Record<string, ModelPriceInput>): PriceLayer =>
  createPriceMapLayer(source, `${source}-1`, pricesSchema.parse(prices))
const full = [loadOverlay(), createBaseLayer()]

it('the price base looks a model up once for all providers of a kind, in whatever configuration', () => {
  const base = createBaseLayer()
  const found = base.find('openai', 'gpt-4o')
  expect(found?.variants).not.toHaveLength(0)
  for (let name = 0; name < 100; name++) expect(base.find('openai', `junk-${name}`)).toBeUndefined()
  expect(base.find('openai', 'gpt-4o')).toBe(found)
  expect(base.find('anthropic', 'gpt-4o')).not.toBe(found)
})

describe('C24 an unknown price', () => {
  const book = createPriceBook(full)

  it('is null with a reason, never 0', () => {
    expect(book.price('vllm', 'my-own-model', usage({ input: 10 }))).toEqual({
      nanoUsd: null,
      priceSource: null,
      priceVersion: null,
      unknown: 'no-price',
    })
    expect(book.price('openai', 'gpt-99', usage({ input: 10 })).unknown).toBe('no-price')
    expect(book.price('ollama', 'llama3.2', usage({ input: 10 })).nanoUsd).toBeNull()
    // Listed in the base without any price.
    expect(book.price('gemini', 'gemma-3-27b-it', usage({ input: 10 })).nanoUsd).toBeNull()
  })

  it('covers a class or service tier that has no price', () => {
    expect(book.price('openai', 'text-embedding-3-small', usage({ input: 1, output: 1 }))).toMatchObject({
      nanoUsd: null,
      unknown: 'no-output-price',
    })
    expect(
      book.price('anthropic', 'claude-sonnet-4-5', usage({ input: 1 }), { serviceTier: 'priority' }),
    ).toMatchObject({
      nanoUsd: null,
      unknown: 'service-tier',
      priceSource: 'genai-prices',
    })
    for (const serviceTier of ['default', 'standard', 'auto', 'ON_DEMAND', '', null, undefined]) {
      expect(book.price('anthropic', 'claude-sonnet-4-5', usage({ input: 1 }), { serviceTier }).nanoUsd).toBe(3000)
    }
  })

  it('is not what a configured price of 0 is', () => {
    const own = createPriceBook([layer('config', { 'local/*': { input: 0, output: 0 } })])
    expect(own.price('local', 'anything', usage({ input: 10, output: 5 })).nanoUsd).toBe(0)
  })

  it('survives nonsense usage', () => {
    for (const bad of [{ input: Number.NaN }, { input: -5 }, { input: 1.5 }, { output: Number.POSITIVE_INFINITY }]) {
      expect(book.price('openai', 'gpt-4o', usage(bad)).unknown).toBe('bad-usage')
    }
    expect(book.price('openai', 'o1-pro', usage({ output: Number.MAX_SAFE_INTEGER })).unknown).toBe('overflow')
  })
})

describe('layers', () => {
  it('take the price of the first that has one', () => {
    const book = createPriceBook([
      layer('config', { 'gpt-4o': { input: 1, output: 1 } }),
      layer('refreshed', { 'openai/gpt-4o': { input: 2, output: 2 }, 'openai/gpt-4o-mini': { input: 3, output: 3 } }),
      ...full,
    ])
    expect(book.price('openai', 'gpt-4o', usage({ input: 1 }))).toMatchObject({ nanoUsd: 1000, priceSource: 'config' })
    expect(book.price('openai', 'gpt-4o-mini', usage({ input: 1 }))).toMatchObject({
      nanoUsd: 3000,
      priceSource: 'refreshed',
      priceVersion: 'refreshed-1',
    })
    expect(book.price('openai', 'gpt-4.1', usage({ input: 1 }))).toMatchObject({
      nanoUsd: 2000,
      priceSource: 'genai-prices',
    })
    // Another vendor's model of the same name is another price.
    expect(book.price('azure', 'gpt-4o-mini', usage({ input: 1000 })).priceSource).toBe('genai-prices')
  })

  it('correct single classes where an entry names no input price', () => {
    const book = createPriceBook([layer('config', { 'claude-sonnet-4-5': { cacheRead: '0.2' } }), ...full])
    const explained = book.explain('anthropic', 'claude-sonnet-4-5')
    expect(explained).toMatchObject({ source: 'genai-prices', correctedBy: ['config'] })
    expect(book.price('anthropic', 'claude-sonnet-4-5', usage({ cacheRead: 1000, input: 1 })).nanoUsd).toBe(203_000)
    // The corrected class holds in the long-context tier too, the others keep the tier's price.
    expect(book.price('anthropic', 'claude-sonnet-4-5', usage({ cacheRead: 200_000, input: 1 })).nanoUsd).toBe(
      40_006_000,
    )
  })

  it('ask the configuration by the configured name, the others by kind', () => {
    const book = createPriceBook([layer('config', { 'cheap-eu/gpt-4o': { input: 1, output: 1 } }), ...full], (name) =>
      name === 'cheap-eu' || name === 'plain' ? 'openai' : name,
    )
    expect(book.price('cheap-eu', 'gpt-4o', usage({ input: 1 })).nanoUsd).toBe(1000)
    expect(book.price('plain', 'gpt-4o', usage({ input: 1 })).nanoUsd).toBe(2500)
  })

  it('let the configuration price a service tier and facts', () => {
    const book = createPriceBook([
      layer('config', {
        'anthropic/*': { serviceTiers: { priority: '1.25' } },
        'claude-opus-4-5': { maxOutput: 1000 },
      }),
      ...full,
    ])
    expect(book.price('anthropic', 'claude-opus-4-5', usage({ input: 4 }), { serviceTier: 'priority' }).nanoUsd).toBe(
      25_000,
    )
    expect(book.info('anthropic', 'claude-opus-4-5')).toMatchObject({
      maxOutput: 1000,
      contextWindow: 200_000,
      tier: 'frontier',
    })
  })

  it('price a search apart from tokens, and keep it where these have another price', () => {
    const searched = usage({ input: 1, webSearches: 3 })
    const own = { input: 1, output: 1 }
    const book = createPriceBook([
      layer('config', {
        ...{ 'claude-sonnet-4-5': own, 'claude-haiku-4-5': { webSearch: '0.02' }, mine: own },
        'claude-newer-than-the-base': own,
      }),
      ...full,
    ])
    // 10 USD for a thousand (platform.claude.com/docs/en/about-claude/pricing, "Web search tool").
    expect(book.price('anthropic', 'claude-sonnet-4-5', searched).nanoUsd).toBe(1_000 + 30_000_000)
    expect(book.price('anthropic', 'claude-sonnet-4-5', searched, { serviceTier: 'batch' }).nanoUsd).toBe(30_000_500)
    expect(book.price('anthropic', 'claude-haiku-4-5', searched).nanoUsd).toBe(1_000 + 60_000_000)
    expect(book.price('anthropic', 'claude-newer-than-the-base', searched).nanoUsd).toBe(1_000 + 30_000_000)
    expect(book.price('mine', 'mine', searched)).toMatchObject({ nanoUsd: null, unknown: 'no-search-price' })
  })

  it.each(['opus', 'sonnet'])('charge no region that Claude %s 4 does not offer, by whichever name', (family) => {
    const book = createPriceBook(full)
    const factor = (name: string): number => {
      const { by, of } = book.explain('anthropic', `claude-${family}-${name}`).serviceTiers.get('us')!
      return Number(by) / Number(of)
    }
    for (const name of ['4', '4-0', '4@20250514', '4-20250514', '4-5']) expect([name, factor(name)]).toEqual([name, 1])
    expect(factor('4-6')).toBe(1.1)
  })

  it('merge the facts of families and members', () => {
    const book = createPriceBook(full)
    expect(book.info('openai', 'gpt-4o-mini-2024-07-18')).toMatchObject({ contextWindow: 128_000, tier: 'small' })
    expect(book.info('openrouter', 'anthropic/claude-sonnet-4.5').capabilities).toContain('promptCache')
    expect(book.info('gemini', 'models/gemini-2.5-flash-001')).toMatchObject({
      contextWindow: 1_048_576,
      tier: 'medium',
    })
    expect(book.info('vllm', 'unheard-of')).toEqual({})
  })

  it('refuse a broken overlay and a broken price', () => {
    expect(() => readOverlay({ version: '1', models: { a: { input: -1 } } })).toThrow(/input/)
    for (const price of [{ input: 'free' }, { input: Number.NaN }, { input: '1e3' }, { inputs: 1 }, { per: '1T' }]) {
      expect(pricesSchema.safeParse({ m: price }).success).toBe(false)
    }
  })
})

describe('names', () => {
  it('are looked up without dates, revisions and prefixes', () => {
    expect(modelCandidates('GPT-4o-2024-08-06')).toEqual(['gpt-4o-2024-08-06', 'gpt-4o'])
    expect(modelCandidates('claude-sonnet-4-5@20250929')).toEqual(['claude-sonnet-4-5@20250929', 'claude-sonnet-4-5'])
    expect(modelCandidates('models/gemini-2.0-flash-001')).toContain('gemini-2.0-flash')
    const book = createPriceBook([layer('config', { 'team/model': { input: 5, output: 5 } })])
    expect(book.price('team', 'model-2026-01-01', usage({ input: 1 })).nanoUsd).toBe(5000)
  })

  it('prefer the exact price over the family price', () => {
    const book = createPriceBook([
      layer('config', {
        '*': { input: 9, output: 9 },
        'gpt-*': { input: 8, output: 8 },
        'gpt-4o': { input: 7, output: 7 },
      }),
    ])
    const cost = (model: string) => book.price('p', model, usage({ input: 1 })).nanoUsd
    expect([cost('gpt-4o'), cost('gpt-4'), cost('other')]).toEqual([7000, 8000, 9000])
  })

  it('are literal but for the star', () => {
    expect(patternOf('a.b*').test('a.bc')).toBe(true)
    expect(patternOf('a.b*').test('axbc')).toBe(false)
    expect(patternOf('(x)*').test('(x)y')).toBe(true)
  })
})

describe('arithmetic', () => {
  it('reads decimals exactly', () => {
    expect(parseDecimal('2.50', 6)).toBe(2_500_000n)
    expect(parseDecimal(1.25e-6, 18)).toBe(1_250_000_000_000n)
    expect(parseDecimal(2.9999999999999997e-6, 18)).toBe(3_000_000_000_000n)
    expect(parseDecimal(0.1, 3)).toBe(100n)
    expect(formatDecimal(2_500_000n, 6)).toBe('2.5')
    expect(formatUsd(1_500_000)).toBe('0.0015')
    expect(formatUsd(0)).toBe('0')
    for (const bad of ['-1', 'NaN', '', '1,5', 'Infinity', '0x10'])
      expect(() => parseDecimal(bad, 6)).toThrow(RangeError)
  })

  it('gives the same by doubles and by big integers, and splits without loss', () => {
    const rate = fc.integer({ min: 0, max: 200_000_000 }).map((n) => formatDecimal(BigInt(n), 6))
    const tokens = fc.integer({ min: 0, max: 3_000_000 })
    const classes = [
      'input',
      'cacheRead',
      'cacheWrite5m',
      'cacheWrite1h',
      'output',
      'reasoning',
      'audioIn',
      'audioOut',
    ] as const
    fc.assert(
      fc.property(fc.tuple(...classes.map(() => rate)), fc.tuple(...classes.map(() => tokens)), (rates, counts) => {
        const price = Object.fromEntries(classes.map((name, i) => [name, rates[i]]))
        const used = usage(Object.fromEntries(classes.map((name, i) => [name, counts[i]])))
        const pico = classes.reduce(
          (sum, name) => sum + BigInt(used[name]) * parseDecimal(price[name] as string, 6),
          0n,
        )
        const book = createPriceBook([layer('config', { m: price })])
        expect(book.price('p', 'm', used).nanoUsd).toBe(Number(divideRound(pico, 1000n)))
      }),
      { numRuns: 300 },
    )
  })

  it('keeps prices with more than six decimals exact', () => {
    const book = createPriceBook([layer('config', { m: { input: '0.08333333', output: 1 } })])
    expect(book.price('p', 'm', usage({ input: 3_000_000 })).nanoUsd).toBe(249_999_990)
    expect(
      createPriceBook([layer('config', { m: { per: '1K', input: '0.0025', output: 1 } })]).price(
        'p',
        'm',
        usage({ input: 1 }),
      ).nanoUsd,
    ).toBe(2500)
  })

  it('rounds half a nano-dollar up, once', () => {
    const book = createPriceBook([layer('config', { m: { input: '0.0125', cacheRead: '0.0004', output: 1 } })])
    const nano = [1, 2, 3].map((input) => book.price('p', 'm', usage({ input })).nanoUsd)
    expect(nano).toEqual([13, 25, 38])
    expect(book.price('p', 'm', usage({ input: 1, cacheRead: 1 })).nanoUsd).toBe(13)
    expect(book.price('p', 'm', usage({ cacheRead: 1 })).nanoUsd).toBe(0)
  })

  it('charges by the request where a vendor does', () => {
    const sonar = createPriceBook(full).price('perplexity', 'sonar-pro', usage({ input: 1000, output: 100 }))
    expect(sonar.nanoUsd).toBe(14_000_000 + 3_000_000 + 1_500_000)
  })

  it('never prices a request above its ceiling', () => {
    const book = createPriceBook(full)
    const models = ['gpt-5.4', 'gpt-4o', 'gpt-audio', 'gpt-realtime', 'gpt-5-mini'] as const
    const tokens = fc.integer({ min: 0, max: 100_000 })
    fc.assert(
      fc.property(
        fc.constantFrom(...models),
        tokens,
        tokens,
        tokens,
        tokens,
        tokens,
        tokens,
        (model, a, b, c, d, e, f) => {
          const used = usage({ input: a, cacheRead: b, cacheWrite1h: c, audioIn: d, output: e, audioOut: f })
          const ceiling = book.ceiling('openai', model, a + b + c + d, e + f) as number
          expect(book.price('openai', model, used).nanoUsd as number).toBeLessThanOrEqual(ceiling)
        },
      ),
    )
    expect(book.ceiling('openai', 'gpt-4o', 1000, 1000)).toBe(12_500_000)
    expect(book.ceiling('openai', 'text-embedding-3-small', 1000, 0)).toBe(20_000)
    expect(book.ceiling('openai', 'text-embedding-3-small', 1000, 1)).toBeNull()
    expect(book.ceiling('vllm', 'x', 1, 1)).toBeNull()
  })
})

describe('ceilings', () => {
  it('are what whole numbers of any length give, in whichever way they are summed', () => {
    const rate = fc.oneof(
      fc.constant(undefined),
      fc.bigInt({ min: 0n, max: 60_000n }).map((nano) => nano * 1_000_000_000n),
      fc.bigInt({ min: 0n, max: 10n ** 16n }),
    )
    const rates = fc.record({ input: rate, cacheWrite5m: rate, audioIn: rate, output: rate, reasoning: rate })
    const tokens = fc.oneof(
      fc.nat(300_000),
      fc.maxSafeNat().map((most) => Math.floor(most / 2)),
    )
    const known = (set: RateSet): RateSet =>
      Object.fromEntries(Object.entries(set).filter(([, value]) => value !== undefined))
    /** Straight from the definition, band by band. */
    const expected = (variant: PriceVariant, prompt: number, answer: number): number | undefined => {
      let set: RateSet = {}
      let most = 0n
      for (const { above, rates } of [{ above: -1, rates: variant.base }, ...variant.tiers]) {
        set = { ...set, ...rates }
        if (above >= prompt) continue
        const max = (...all: (bigint | undefined)[]) => all.reduce((a, b) => (b! > (a ?? -1n) ? b : a), undefined)
        const asked = max(set.input, set.cacheWrite5m, set.audioIn)
        const told = max(set.output, set.reasoning)
        if ((asked === undefined && prompt > 0) || (told === undefined && answer > 0)) return undefined
        const sum = (variant.perRequest ?? 0n) + BigInt(prompt) * (asked ?? 0n) + BigInt(answer) * (told ?? 0n)
        if (sum > most) most = sum
      }
      const nano = Number((most + 999_999_999n) / 1_000_000_000n)
      return Number.isSafeInteger(nano) ? nano : undefined
    }
    fc.assert(
      fc.property(rates, rates, fc.nat(200_000), rate, tokens, tokens, (base, more, above, perRequest, a, b) => {
        const variant: PriceVariant = { base: known(base), tiers: [{ above, rates: known(more) }] }
        if (perRequest !== undefined) variant.perRequest = perRequest
        expect(ceilingOf(compileRates(variant), a, b)).toBe(expected(variant, a, b))
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('the hot path', () => {
  it('stays right and bounded under a flood of made-up model names', () => {
    let asked = 0
    const counting: PriceLayer = { source: 'config', version: '1', find: () => void asked++ }
    const book = createPriceBook([counting, layer('overlay', { real: { input: 1, output: 1 } })])
    for (let i = 0; i < 12_000; i++) expect(book.price('p', `junk-${i}`, usage({ input: 1 })).nanoUsd).toBeNull()
    expect(book.price('p', 'real', usage({ input: 1 })).nanoUsd).toBe(1000)
    const before = asked
    for (let i = 0; i < 1000; i++) book.price('p', 'real', usage({ input: 1 }))
    expect(asked).toBe(before)
  })
})

describe('the worst case', () => {
  const prices = { input: 1, output: 1 }
  const cases = createWorstCases(
    createPriceBook([layer('config', { m: { ...prices, serviceTiers: { priority: 2, us: 1.1, fast: 6 } } })]),
  )
  const facts = { textTokens: 0, maxTokens: 1000, n: 1, images: 0, audio: 0, files: 0 }

  it.each<[string, string | undefined, number | null]>([
    ['is the dearest tier in the dearest region, which the account may choose', undefined, 2_200_000],
    ['is the dearest region of a tier', 'standard', 1_100_000],
    ['is fast where that is asked for', 'fast', 6_600_000],
    ['is not known for a tier without a factor', 'scale', null],
  ])('%s', (_, serviceTier, nanoUsd) => {
    expect(cases.of('p', 'm', facts, { serviceTier }).nanoUsd).toBe(nanoUsd)
  })
  it('is the dearest price that may hold before the call ends', () => {
    const day = 86_400_000
    const midnight = Date.UTC(2026, 4, 5)
    const [clock, minute] = [(hours: number) => hours * 3600, 60_000]
    const variant = (usd: bigint, when: Partial<PriceVariant>): PriceVariant => ({
      ...when,
      base: { input: usd * 10n ** 12n, output: usd * 10n ** 12n },
      tiers: [],
    })
    const variants = [
      variant(1n, {}),
      variant(2n, { from: midnight + 12.5 * 60 * minute }),
      variant(4n, { window: { start: clock(16), end: clock(17) } }),
      variant(8n, { window: { start: clock(0), end: clock(1) } }),
    ]
    const timed = createWorstCases(createPriceBook([{ source: 'config', version: '1', find: () => ({ variants }) }]))
    const most = (hours: number, lasts?: number) =>
      timed.of('p', 'm', facts, { at: midnight + hours * 60 * minute, lasts }).nanoUsd! / 1_000_000
    expect([most(10), most(10, 2.5 * 60 * minute), most(12), most(12, 29 * minute)]).toEqual([1, 2, 2, 1])
    expect([most(15), most(15, 59 * minute), most(16.5), most(17), most(17, day)]).toEqual([4, 2, 4, 2, 8])
    expect([most(23), most(23, 59 * minute), most(24.5), most(25)]).toEqual([8, 2, 8, 2])
  })

  it('gives a cap that fits into the room, and the largest that does', () => {
    const told = { ...facts, textTokens: 700, n: 2 }
    const costOf = (maxTokens: number) => cases.of('p', 'm', { ...told, maxTokens }).nanoUsd!
    fc.assert(
      fc.property(fc.nat(3_000_000), fc.integer({ min: 2, max: 900 }), (room, most) => {
        const cap = cases.fit('p', 'm', told, room, { most })!
        expect(cap === 0 || costOf(cap) <= room).toBe(true)
        expect(cap === most || costOf(cap + 1) > room).toBe(true)
        expect(cap).toBeLessThanOrEqual(most)
      }),
    )
    expect(cases.fit('p', 'other', told, 1_000_000)).toBeUndefined()
  })
})

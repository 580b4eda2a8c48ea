// Forty prices computed by hand from the vendors' price lists, so that our price base cannot be its own witness.
import { describe, expect, it } from 'vitest'
import { noUsage, type Usage } from '../src/dialects/chat.ts'
import { createBaseLayer } from '../src/pricing/base.ts'
import { createPriceBook, type PriceOptions } from '../src/pricing/book.ts'
import { parseDecimal } from '../src/pricing/decimal.ts'
import { createPriceMapLayer } from '../src/pricing/layer.ts'
import { loadOverlay } from '../src/pricing/overlay.ts'
import { pricesSchema } from '../src/pricing/priceSchema.ts'

const book = createPriceBook([loadOverlay(), createBaseLayer()])
const at = (day: string): PriceOptions => ({ at: Date.parse(day) })

/**
 * `sum` shows the arithmetic: tokens × USD per million. One token at $1 per million is 1,000 nano-USD, so
 * 1200×2.50 + 300×10 = 3000 + 3000 = 6000 millionths of a dollar = 6,000,000 nano-USD.
 */
type Row = [
  name: string,
  provider: string,
  model: string,
  usage: Partial<Usage>,
  sum: string,
  nanoUsd: number,
  options?: PriceOptions,
]

const rows: Row[] = [
  // OpenAI, text and cache. gpt-4o: 2.50 / cached 1.25 / 10.00
  ['gpt-4o', 'openai', 'gpt-4o', { input: 1200, output: 300 }, '1200×2.50 + 300×10', 6_000_000],
  [
    'gpt-4o cached',
    'openai',
    'gpt-4o-2024-08-06',
    { input: 1000, cacheRead: 1024, output: 50 },
    '1000×2.50 + 1024×1.25 + 50×10',
    4_280_000,
  ],
  [
    'gpt-4o-mini',
    'openai',
    'gpt-4o-mini',
    { input: 12345, cacheRead: 2048, output: 678 },
    '12345×0.15 + 2048×0.075 + 678×0.60',
    2_412_150,
  ],
  ['gpt-4.1', 'openai', 'gpt-4.1', { input: 7, output: 1 }, '7×2 + 1×8', 22_000],
  [
    'gpt-4.1-mini',
    'openai',
    'gpt-4.1-mini',
    { input: 333, cacheRead: 128, output: 77 },
    '333×0.40 + 128×0.10 + 77×1.60',
    269_200,
  ],
  [
    'gpt-4.1-nano',
    'openai',
    'gpt-4.1-nano',
    { input: 101, cacheRead: 1, output: 9 },
    '101×0.10 + 1×0.025 + 9×0.40',
    13_725,
  ],
  // Reasoning is billed as output.
  ['gpt-5', 'openai', 'gpt-5', { input: 379, output: 13, reasoning: 64 }, '379×1.25 + 13×10 + 64×10', 1_243_750],
  [
    'gpt-5 cached',
    'openai',
    'gpt-5-2025-08-07',
    { input: 213, cacheRead: 1280, output: 61, reasoning: 64 },
    '213×1.25 + 1280×0.125 + 61×10 + 64×10',
    1_676_250,
  ],
  [
    'gpt-5-mini',
    'openai',
    'gpt-5-mini',
    { input: 17, output: 1217, reasoning: 960 },
    '17×0.25 + 1217×2 + 960×2',
    4_358_250,
  ],
  ['gpt-5-nano', 'openai', 'gpt-5-nano', { input: 1, cacheRead: 1, output: 1 }, '1×0.05 + 1×0.005 + 1×0.40', 455],
  [
    'o4-mini',
    'openai',
    'o4-mini',
    { input: 1000, cacheRead: 1000, output: 100, reasoning: 900 },
    '1000×1.10 + 1000×0.275 + 100×4.40 + 900×4.40',
    5_775_000,
  ],
  ['o3 after its price cut', 'openai', 'o3', { input: 500, output: 500 }, '500×2 + 500×8', 5_000_000, at('2025-06-11')],
  [
    'o3 before its price cut',
    'openai',
    'o3',
    { input: 500, output: 500 },
    '500×10 + 500×40',
    25_000_000,
    at('2025-06-09'),
  ],
  // Long context: above 272k prompt tokens the whole request costs the higher price.
  ['gpt-5.4 at 271,999', 'openai', 'gpt-5.4', { input: 271_999, output: 1000 }, '271999×2.50 + 1000×15', 694_997_500],
  ['gpt-5.4 at 272,000', 'openai', 'gpt-5.4', { input: 272_000, output: 1000 }, '272000×5 + 1000×22.50', 1_382_500_000],
  [
    'gpt-5.4 long by its cache',
    'openai',
    'gpt-5.4',
    { input: 1000, cacheRead: 300_000, output: 10 },
    '1000×5 + 300000×0.50 + 10×22.50',
    155_225_000,
  ],
  // Service tiers: batch and flex half, priority by model.
  [
    'gpt-5 flex',
    'openai',
    'gpt-5',
    { input: 1000, cacheRead: 1000, output: 100 },
    '1000×0.625 + 1000×0.0625 + 100×5',
    1_187_500,
    { serviceTier: 'flex' },
  ],
  [
    'gpt-5 priority',
    'openai',
    'gpt-5',
    { input: 1000, cacheRead: 1000, output: 100 },
    '1000×2.50 + 1000×0.25 + 100×20',
    4_750_000,
    { serviceTier: 'priority' },
  ],
  [
    'gpt-4o priority',
    'openai',
    'gpt-4o',
    { input: 1000, output: 1000 },
    '1000×4.25 + 1000×17',
    21_250_000,
    { serviceTier: 'priority' },
  ],
  [
    'gpt-4.1 batch',
    'openai',
    'gpt-4.1',
    { input: 2001, output: 3 },
    '2001×1 + 3×4',
    2_013_000,
    { serviceTier: 'batch' },
  ],
  // Audio. gpt-audio: text 2.50/10, audio 32/64. gpt-4o-audio-preview: audio 40/80 from our overlay.
  [
    'gpt-audio',
    'openai',
    'gpt-audio',
    { input: 20, audioIn: 150, output: 30, audioOut: 400 },
    '20×2.50 + 150×32 + 30×10 + 400×64',
    30_750_000,
  ],
  [
    'gpt-4o-audio-preview',
    'openai',
    'gpt-4o-audio-preview',
    { input: 10, audioIn: 100, output: 5, audioOut: 200 },
    '10×2.50 + 100×40 + 5×10 + 200×80',
    20_075_000,
  ],
  [
    'gpt-realtime',
    'openai',
    'gpt-realtime',
    { input: 100, audioIn: 500, cacheRead: 300, cacheReadAudio: 200, output: 20, audioOut: 60 },
    '100×4 + 500×32 + 100×0.40 + 200×0.40 + 20×16 + 60×64',
    20_680_000,
  ],
  // Anthropic: cache read 0.1, five-minute write 1.25, one-hour write 2 times the input price.
  [
    'claude-sonnet-4-5',
    'anthropic',
    'claude-sonnet-4-5-20250929',
    { input: 797, output: 91 },
    '797×3 + 91×15',
    3_756_000,
  ],
  [
    'claude-sonnet-4-5 cache classes',
    'anthropic',
    'claude-sonnet-4-5',
    { input: 3, cacheRead: 9511, cacheWrite5m: 1956, cacheWrite1h: 1000, output: 44 },
    '3×3 + 9511×0.30 + 1956×3.75 + 1000×6 + 44×15',
    16_857_300,
  ],
  [
    'claude-sonnet-4-5 above 200k',
    'anthropic',
    'claude-sonnet-4-5',
    { input: 1, cacheRead: 200_000, output: 100 },
    '1×6 + 200000×0.60 + 100×22.50',
    122_256_000,
  ],
  [
    'claude-sonnet-4-5 at 200k',
    'anthropic',
    'claude-sonnet-4-5',
    { cacheRead: 200_000, output: 100 },
    '200000×0.30 + 100×15',
    61_500_000,
  ],
  [
    'claude-haiku-4-5',
    'anthropic',
    'claude-haiku-4-5-20251001',
    { input: 3, cacheRead: 9511, cacheWrite5m: 1956, output: 44 },
    '3×1 + 9511×0.10 + 1956×1.25 + 44×5',
    3_619_100,
  ],
  [
    'claude-opus-4-5 thinking',
    'anthropic',
    'claude-opus-4-5',
    { input: 51, output: 50, reasoning: 112 },
    '51×5 + 50×25 + 112×25',
    4_305_000,
  ],
  [
    'claude-opus-4-1',
    'anthropic',
    'claude-opus-4-1',
    { input: 10, cacheWrite1h: 10, output: 10 },
    '10×15 + 10×30 + 10×75',
    1_200_000,
  ],
  [
    'claude-sonnet-4-5 batch',
    'anthropic',
    'claude-sonnet-4-5',
    { input: 1000, cacheRead: 500, output: 200 },
    '1000×1.50 + 500×0.15 + 200×7.50',
    3_075_000,
    { serviceTier: 'batch' },
  ],
  // Opus 4.6: 5/25, 0.50 read, 6.25 written. Only in the US 1.1 times as much, fast 6 times; both together count both.
  [
    'opus 4.6 in the US',
    'anthropic',
    'claude-opus-4-6',
    { input: 1000, cacheRead: 1000, cacheWrite5m: 1000, output: 100 },
    '1000×5.50 + 1000×0.55 + 1000×6.875 + 100×27.50',
    15_675_000,
    { serviceTier: 'standard+us' },
  ],
  [
    'opus 4.6, fast',
    'anthropic',
    'claude-opus-4-6',
    { input: 1000, output: 100 },
    '1000×30 + 100×150',
    45_000_000,
    { serviceTier: 'standard+fast' },
  ],
  [
    'opus 4.6, fast and in the US',
    'anthropic',
    'claude-opus-4-6',
    { input: 1000, output: 100 },
    '1000×33 + 100×165',
    49_500_000,
    { serviceTier: 'standard+us+fast' },
  ],
  [
    'claude on Bedrock, one-hour write',
    'bedrock',
    'us.anthropic.claude-sonnet-4-5-20250929-v1:0',
    { input: 100, cacheWrite5m: 100, cacheWrite1h: 100, output: 10 },
    '100×3.30 + 100×4.125 + 100×6.60 + 10×16.50',
    1_567_500,
  ],
  // Gemini: thoughts are output, audio and cached audio have their own price, Pro doubles above 200k.
  [
    'gemini-2.5-flash',
    'gemini',
    'gemini-2.5-flash',
    { input: 12, output: 24, reasoning: 130 },
    '12×0.30 + 24×2.50 + 130×2.50',
    388_600,
  ],
  [
    'gemini-2.5-flash audio',
    'gemini',
    'gemini-2.5-flash',
    { input: 342, cacheRead: 2918, cacheReadAudio: 284, audioIn: 37, output: 55, reasoning: 95 },
    '342×0.30 + 2634×0.03 + 284×0.10 + 37×1 + 55×2.50 + 95×2.50',
    622_020,
  ],
  [
    'gemini-2.5-pro',
    'gemini',
    'models/gemini-2.5-pro',
    { input: 200_000, output: 10 },
    '200000×1.25 + 10×10',
    250_100_000,
  ],
  [
    'gemini-2.5-pro above 200k',
    'gemini',
    'gemini-2.5-pro',
    { input: 200_001, cacheRead: 9, output: 10 },
    '200001×2.50 + 9×0.25 + 10×15',
    500_154_750,
  ],
  [
    'gemini-3-pro-image',
    'gemini',
    'gemini-3-pro-image-preview',
    { input: 33, output: 1780, imageOut: 1120, reasoning: 529 },
    '33×2 + 660×12 + 1120×120 + 529×12',
    148_734_000,
  ],
  // Others.
  [
    'deepseek-v4-flash, off peak',
    'deepseek',
    'deepseek-v4-flash',
    { input: 51, cacheRead: 512, output: 56, reasoning: 60 },
    '51×0.22 + 512×0.007 + 56×0.66 + 60×0.66',
    91_364,
    at('2026-09-01T12:00:00Z'),
  ],
  [
    'deepseek-v4-flash, peak hours',
    'deepseek',
    'deepseek-v4-flash',
    { input: 51, cacheRead: 512, output: 56, reasoning: 60 },
    '51×0.44 + 512×0.014 + 56×1.32 + 60×1.32',
    182_728,
    at('2026-09-01T02:00:00Z'),
  ],
  ['grok-4', 'xai', 'grok-4', { input: 687, output: 75, reasoning: 165 }, '687×3 + 75×15 + 165×15', 5_661_000],
  ['llama on Groq', 'groq', 'llama-3.3-70b-versatile', { input: 336, output: 96 }, '336×0.59 + 96×0.79', 274_080],
  ['mistral-large', 'mistral', 'mistral-large-latest', { input: 70, output: 12 }, '70×2 + 12×6', 212_000],
  ['embedding', 'openai', 'text-embedding-3-small', { input: 7 }, '7×0.02', 140],
]

describe('prices computed by hand', () => {
  it('are at least forty', () => expect(rows.length).toBeGreaterThanOrEqual(40))

  it.each(rows)('%s', (_name, provider, model, usage, sum, nanoUsd, options) => {
    expect(handSum(sum)).toBe(nanoUsd)
    expect(book.price(provider, model, { ...noUsage(), ...usage }, options)).toMatchObject({ nanoUsd })
  })

  it('hold for prices of the configuration too', () => {
    const prices = pricesSchema.parse({
      'my-model': {
        input: '0.10',
        output: 0.3,
        cacheRead: '0.01',
        cacheWrite5m: '0.125',
        cacheWrite1h: '0.2',
        reasoning: '0.5',
        audioIn: 1,
        audioOut: 2,
        tiers: [{ above: 1000, input: '0.2', output: '0.6' }],
      },
    })
    const own = createPriceBook([createPriceMapLayer('config', 'abc', prices)])
    const each = {
      input: 1,
      cacheRead: 2,
      cacheWrite5m: 4,
      cacheWrite1h: 8,
      output: 16,
      reasoning: 32,
      audioIn: 64,
      audioOut: 128,
    }
    // 0.1 + 0.02 + 0.5 + 1.6 + 4.8 + 16 + 64 + 256 = 343.02 millionths
    expect(own.price('any', 'my-model', each)).toEqual({ nanoUsd: 343_020, priceSource: 'config', priceVersion: 'abc' })
    // Above 1000 prompt tokens only what the tier names changes: 2000×0.2 + 10×0.6 + 10×0.5 = 411
    expect(own.price('any', 'my-model', { ...noUsage(), input: 2000, output: 10, reasoning: 10 }).nanoUsd).toBe(411_000)
  })
})

/** `1200×2.50 + 300×10` as nano-USD, in exact arithmetic. */
function handSum(sum: string): number {
  let picoUsd = 0n
  for (const term of sum.split(' + ')) {
    const [tokens, price] = term.split('×') as [string, string]
    picoUsd += BigInt(tokens) * parseDecimal(price, 6)
  }
  expect(picoUsd % 1000n).toBe(0n)
  return Number(picoUsd / 1000n)
}

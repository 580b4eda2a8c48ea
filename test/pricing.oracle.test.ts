// Compares our reading and pricing of 451 real usage objects with an outside oracle's.
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { Usage } from '../src/dialects/chat.ts'
import { createBaseLayer } from '../src/pricing/base.ts'
import { createPriceBook } from '../src/pricing/book.ts'
import { loadOverlay } from '../src/pricing/overlay.ts'
import { hasShared, needsShared, sharedPath } from './support/shared.ts'
import { readAnyUsage, shapeOfUsage, type UsageShape } from './support/usageShapes.ts'

interface Sample {
  model?: string
  body: { usage?: unknown; usageMetadata?: unknown; modelVersion?: string; file: string }
  extracted: {
    usage: Record<string, number>
    extractors: { provider_id: string; api_flavor: string; input_price?: string; output_price?: string }[]
  }[]
}

/**
 * A moment at which the oracle's prices were current: several lists have changed since (Mistral Medium, DeepSeek V4, GPT-5.6), and
 * ours know from when.
 */
const oracleDay = Date.parse('2026-06-15T12:00:00Z')

/** Which of the oracle's many readings is the one for the vendor whose shape it is. */
const native: Record<UsageShape, string> = {
  'openai-chat': 'openai/chat',
  'openai-responses': 'openai/responses',
  'anthropic-messages': 'anthropic/default',
  gemini: 'google/default',
  'bedrock-converse': 'aws/default',
  cohere: 'cohere/default',
}

const samples: Sample[] = hasShared
  ? JSON.parse(readFileSync(sharedPath('recordings', 'usages.sample.json'), 'utf8'))
  : []

describe.skipIf(!hasShared)(`the oracle's usages${needsShared}`, () => {
  const raws = samples.map((sample) => sample.body.usage ?? sample.body.usageMetadata)

  it('reads exactly the oracle tokens of every usage', () => {
    const wrong: unknown[] = []
    let compared = 0
    for (const [i, sample] of samples.entries()) {
      const shape = shapeOfUsage(raws[i])
      const usage = readAnyUsage(raws[i])
      const oracle = sample.extracted.find(({ extractors }) =>
        extractors.some((one) => `${one.provider_id}/${one.api_flavor}` === native[shape as UsageShape]),
      )?.usage
      if (!usage || !oracle) {
        wrong.push({ i, shape, raw: raws[i] })
        continue
      }
      compared++
      const ours = inclusive(usage)
      for (const [name, count] of Object.entries(ours)) {
        // The oracle's reader of Bedrock does not look at lifetimes.
        if (name === 'cache_write_5m_tokens' && oracle[name] === undefined) continue
        if (count !== (oracle[name] ?? 0)) wrong.push({ i, name, ours: count, oracle, raw: raws[i] })
      }
    }
    expect(wrong).toEqual([])
    expect(compared).toBe(451)
  })

  it('gives the oracle price to 1e-9 wherever both know one', () => {
    const book = createPriceBook([loadOverlay(), createBaseLayer()])
    const wrong: unknown[] = []
    let compared = 0
    let unknown = 0
    for (const [i, sample] of samples.entries()) {
      const model = sample.model ?? sample.body.modelVersion
      const usage = readAnyUsage(raws[i])
      if (!usage || !model) continue
      const ours = inclusive(usage)
      for (const { usage: theirs, extractors } of sample.extracted) {
        if (!sameTokens(ours, theirs)) continue // Read by another vendor's rules: another usage, another price.
        for (const { provider_id, api_flavor, input_price, output_price } of extractors) {
          if (input_price === undefined && output_price === undefined) continue
          const priced = book.price(provider_id, model, usage, { at: oracleDay })
          if (priced.nanoUsd === null) {
            unknown++
            continue
          }
          compared++
          const oracle = Number(input_price ?? 0) + Number(output_price ?? 0)
          if (Math.abs(priced.nanoUsd / 1e9 - oracle) > 1e-9) {
            wrong.push({ i, model, provider: `${provider_id}/${api_flavor}`, ours: priced, oracle, usage })
          }
        }
      }
    }
    expect(wrong).toEqual([])
    expect(compared).toBeGreaterThan(780)
    expect(unknown).toBe(0)
  })
})

/** Our disjoint classes under the oracle's inclusive names. */
function inclusive(usage: Usage): Record<string, number> {
  const written = usage.cacheWrite5m + usage.cacheWrite1h
  return {
    input_tokens: usage.input + usage.cacheRead + written + usage.audioIn,
    output_tokens: usage.output + usage.reasoning + usage.audioOut,
    cache_read_tokens: usage.cacheRead,
    cache_write_tokens: written,
    cache_write_5m_tokens: usage.cacheWrite5m,
    cache_write_1h_tokens: usage.cacheWrite1h,
    output_reasoning_tokens: usage.reasoning,
    input_audio_tokens: usage.audioIn + (usage.cacheReadAudio ?? 0),
    output_audio_tokens: usage.audioOut,
    output_image_tokens: usage.imageOut ?? 0,
    cache_audio_read_tokens: usage.cacheReadAudio ?? 0,
  }
}

function sameTokens(ours: Record<string, number>, theirs: Record<string, number>): boolean {
  return Object.entries(ours).every(
    ([name, count]) => count === (theirs[name] ?? 0) || name === 'cache_write_5m_tokens',
  )
}

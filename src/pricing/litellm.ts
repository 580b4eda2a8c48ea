// LiteLLM's model_prices_and_context_window.json: a flat object by model name, prices in USD per single token.
import { asObject, type Json } from '../dialects/usage.ts'
import { kindOfSource } from './names.ts'
import type { Capability, ModelPriceInput } from './priceSchema.ts'
import { assignKnown, readLimit, readPrice, type SourceReading } from './sourceFields.ts'

/** Its fields by our token classes; a tier has the same names with `_above_200k_tokens` behind. */
const fieldOf = {
  input: 'input_cost_per_token',
  output: 'output_cost_per_token',
  cacheRead: 'cache_read_input_token_cost',
  cacheWrite5m: 'cache_creation_input_token_cost',
  cacheWrite1h: 'cache_creation_input_token_cost_above_1hr',
  reasoning: 'output_cost_per_reasoning_token',
  audioIn: 'input_cost_per_audio_token',
  audioOut: 'output_cost_per_audio_token',
  imageOut: 'output_cost_per_image_token',
  cacheReadAudio: 'cache_read_input_audio_token_cost',
} as const

const capabilityOf: Readonly<Record<string, Capability>> = {
  supports_function_calling: 'tools',
  supports_parallel_function_calling: 'parallelTools',
  supports_response_schema: 'jsonSchema',
  supports_vision: 'vision',
  supports_pdf_input: 'pdf',
  supports_audio_input: 'audioIn',
  supports_audio_output: 'audioOut',
  supports_video_input: 'video',
  supports_reasoning: 'reasoning',
  supports_prompt_caching: 'promptCache',
}

/** Reads the models of providers that we know; others, and those without a readable price, count as skipped. @param file the parsed JSON */
export function readLiteLlm(file: Json): SourceReading {
  const reading: SourceReading = { format: 'litellm', prices: new Map(), problems: [], skipped: 0 }
  for (const [name, value] of Object.entries(file)) {
    const entry = asObject(value)
    const provider = entry?.litellm_provider
    // `sample_spec` documents the fields with texts in place of numbers.
    if (!entry || name === 'sample_spec' || typeof provider !== 'string') {
      reading.skipped++
      continue
    }
    const kind = kindOfSource('litellm', provider)
    const price = kind ? priceOf(entry, (text) => reading.problems.push(`${name}: ${text}`)) : undefined
    if (!kind || !price) {
      reading.skipped++
      continue
    }
    reading.prices.set(`${kind}/${bareName(name, provider)}`.toLowerCase(), price)
  }
  return reading
}

/** The file repeats the provider before most names: `groq/llama-…`, `vertex_ai/claude-…`, but `gpt-4o`. */
function bareName(name: string, provider: string): string {
  for (const prefix of [provider, provider.split('-')[0] as string, 'bedrock', 'cohere']) {
    if (name.startsWith(`${prefix}/`)) return name.slice(prefix.length + 1)
  }
  return name
}

function priceOf(entry: Json, problem: (text: string) => void): ModelPriceInput | undefined {
  const price: ModelPriceInput = {}
  const rates = (suffix: string): Partial<Record<keyof typeof fieldOf, string>> => {
    const found: Partial<Record<keyof typeof fieldOf, string>> = {}
    for (const [name, field] of Object.entries(fieldOf)) {
      const rate = readPrice(entry, field + suffix, 1, problem)
      if (rate !== undefined) found[name as keyof typeof fieldOf] = rate
    }
    return found
  }
  Object.assign(price, rates(''))
  // Both zero: a plan, a preview or a local server. What it costs is not known; it is not known to be nothing.
  if (price.input === undefined || (Number(price.input) === 0 && Number(price.output ?? 0) === 0)) return undefined
  if (entry.mode === 'embedding') delete price.output

  const thousands = new Set(
    Object.keys(entry).flatMap((field) => /^input_cost_per_token_above_(\d{2,4})k_tokens$/.exec(field)?.[1] ?? []),
  )
  const tiers = [...thousands].map((k) => ({ above: Number(k) * 1_000, ...rates(`_above_${k}k_tokens`) }))
  if (tiers.length > 0) price.tiers = tiers
  const serviceTiers = factorsOf(entry)
  if (Object.keys(serviceTiers).length > 0) price.serviceTiers = serviceTiers

  assignKnown(price, {
    contextWindow: readLimit(entry.max_input_tokens) ?? readLimit(entry.max_tokens),
    maxOutput: entry.mode === 'embedding' ? undefined : readLimit(entry.max_output_tokens),
  })
  const capabilities = Object.entries(capabilityOf).flatMap(([field, word]) => (entry[field] === true ? [word] : []))
  if (entry.mode === 'embedding') capabilities.push('embeddings')
  if (capabilities.length > 0) price.capabilities = capabilities
  return price
}

/** A service tier whose input and output prices are the same multiple of the list price; others we cannot say in one factor. */
function factorsOf(entry: Json): Record<string, string> {
  const factors: Record<string, string> = {}
  for (const [tier, suffix] of [
    ['batch', '_batches'],
    ['flex', '_flex'],
    ['priority', '_priority'],
  ] as const) {
    const ratios = [fieldOf.input, fieldOf.output].map((field) => Number(entry[field + suffix]) / Number(entry[field]))
    const [input, output] = ratios as [number, number]
    if (input > 0 && input < 100 && Math.abs(input - output) < 1e-9) factors[tier] = String(Number(input.toFixed(6)))
  }
  return factors
}

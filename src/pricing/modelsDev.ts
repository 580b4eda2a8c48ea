// models.dev's api.json: providers with their models, prices in USD per million tokens.
import { asObject, type Json } from '../dialects/usage.ts'
import { kindOfSource } from './names.ts'
import type { Capability, ModelPriceInput } from './priceSchema.ts'
import { assignKnown, readLimit, readPrice, type SourceReading } from './sourceFields.ts'

const fieldOf = {
  input: 'input',
  output: 'output',
  cacheRead: 'cache_read',
  cacheWrite5m: 'cache_write',
  reasoning: 'reasoning',
  audioIn: 'input_audio',
  audioOut: 'output_audio',
} as const

export function readModelsDev(file: Json): SourceReading {
  const reading: SourceReading = { format: 'models.dev', prices: new Map(), problems: [], skipped: 0 }
  for (const [id, value] of Object.entries(file)) {
    const kind = kindOfSource('modelsDev', id)
    for (const [model, raw] of Object.entries(asObject(asObject(value)?.models) ?? {})) {
      const entry = asObject(raw)
      const price =
        kind && entry ? priceOf(entry, (text) => reading.problems.push(`${id}/${model}: ${text}`)) : undefined
      if (price) reading.prices.set(`${kind}/${model}`.toLowerCase(), price)
      else reading.skipped++
    }
  }
  return reading
}

function priceOf(entry: Json, problem: (text: string) => void): ModelPriceInput | undefined {
  const cost = asObject(entry.cost)
  const rates = (from: Json | undefined): Partial<Record<keyof typeof fieldOf, string>> => {
    const found: Partial<Record<keyof typeof fieldOf, string>> = {}
    for (const [name, field] of Object.entries(fieldOf)) {
      const rate = readPrice(from, field, 1_000_000, problem)
      if (rate !== undefined) found[name as keyof typeof fieldOf] = rate
    }
    return found
  }
  const price: ModelPriceInput = rates(cost)
  // Both zero: a plan, a preview or a local server. What it costs is not known; it is not known to be nothing.
  if (price.input === undefined || (Number(price.input) === 0 && Number(price.output ?? 0) === 0)) return undefined
  const long = asObject(cost?.context_over_200k)
  if (long) price.tiers = [{ above: 200_000, ...rates(long) }]
  const limit = asObject(entry.limit)
  assignKnown(price, { contextWindow: readLimit(limit?.context), maxOutput: readLimit(limit?.output) })
  const capabilities = capabilitiesOf(entry)
  if (capabilities.length > 0) price.capabilities = capabilities
  return price
}

function capabilitiesOf(entry: Json): Capability[] {
  const modalities = asObject(entry.modalities)
  const has = (list: unknown, word: string): boolean => Array.isArray(list) && list.includes(word)
  const words: [Capability, boolean][] = [
    ['tools', entry.tool_call === true],
    ['jsonSchema', entry.structured_output === true],
    ['reasoning', entry.reasoning === true],
    ['vision', has(modalities?.input, 'image')],
    ['pdf', has(modalities?.input, 'pdf')],
    ['audioIn', has(modalities?.input, 'audio')],
    ['video', has(modalities?.input, 'video')],
    ['audioOut', has(modalities?.output, 'audio')],
    ['imageOut', has(modalities?.output, 'image')],
  ]
  return words.flatMap(([word, can]) => (can ? [word] : []))
}

// The shape of `prices:` in the configuration, of our overlay and of the refreshed price file.
import * as z from 'zod'

const decimal = z
  .union([
    z.number().min(0).max(1_000_000),
    z.string().regex(/^\d{1,7}(\.\d{1,18})?$/, 'must be a decimal such as "2.50"'),
  ])
  .describe('USD, a decimal as text or number')

const rateFields = {
  input: decimal.optional().describe('Prompt tokens that no other class takes'),
  output: decimal.optional().describe('Generated tokens that no other class takes'),
  cacheRead: decimal.optional().describe('Prompt tokens read from a cache; default: input'),
  cacheWrite5m: decimal.optional().describe('Prompt tokens written to a five-minute cache; default: input'),
  cacheWrite1h: decimal.optional().describe('Prompt tokens written to a one-hour cache; default: cacheWrite5m'),
  reasoning: decimal.optional().describe('Reasoning tokens; default: output'),
  audioIn: decimal.optional().describe('Audio tokens of the prompt; default: input'),
  audioOut: decimal.optional().describe('Audio tokens of the answer; default: output'),
  imageOut: decimal.optional().describe('Image tokens of the answer; default: output'),
  cacheReadAudio: decimal.optional().describe('Audio tokens read from a cache; default: cacheRead'),
}

const tierSchema = z.strictObject({
  above: z
    .int()
    .min(1)
    .describe('The whole request is billed at these prices when its prompt has more tokens than this'),
  ...rateFields,
})

const factFields = {
  contextWindow: z.int().min(1).optional().describe('Tokens of prompt and answer together'),
  maxOutput: z.int().min(1).optional().describe('Tokens of an answer'),
  capabilities: z
    .array(
      z.enum([
        'tools',
        'parallelTools',
        'jsonSchema',
        'vision',
        'pdf',
        'audioIn',
        'audioOut',
        'imageOut',
        'video',
        'reasoning',
        'promptCache',
        'embeddings',
      ]),
    )
    .optional()
    .describe('What the model can take and do'),
  tier: z.enum(['small', 'medium', 'large', 'frontier']).optional().describe('How able the model is, roughly'),
}

/** One model: what its tokens cost, and facts about it. All prices are USD per `per` tokens. */
export const modelPriceSchema = z.strictObject({
  per: z.enum(['1M', '1K']).default('1M').describe('Tokens that the prices are for'),
  ...rateFields,
  perRequest: decimal.optional().describe('USD for each request, whatever its length'),
  webSearch: decimal.optional().describe('USD for each search that the vendor makes for a request, and tells of'),
  tiers: z.array(tierSchema).max(16).optional().describe('Other prices for requests with long prompts'),
  serviceTiers: z
    .record(z.string().min(1), decimal)
    .optional()
    .describe('Factor on all token prices by service tier, such as {batch: 0.5, priority: 2}'),
  ...factFields,
})

/** `prices:` — keyed by model (`gpt-4o`) or by provider and model (`openai/gpt-4o`); `*` stands for any run of characters. */
export const pricesSchema = z.record(z.string().min(1).max(256), modelPriceSchema)

export type ModelPriceInput = z.input<typeof modelPriceSchema>
export type ModelPrice = z.output<typeof modelPriceSchema>
export type Prices = z.output<typeof pricesSchema>
export type Capability = NonNullable<ModelPrice['capabilities']>[number]
export type ModelTier = NonNullable<ModelPrice['tier']>

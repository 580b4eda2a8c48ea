// Recognises which project's price file a JSON value is, and reads it into our own price shape.
import { asObject } from '../dialects/usage.ts'
import { readLiteLlm } from './litellm.ts'
import { readModelsDev } from './modelsDev.ts'
import type { SourceReading } from './sourceFields.ts'

/** Recognises the format by its shape and reads it. Never throws on content. */
export function readSource(json: unknown): SourceReading {
  const file = asObject(json)
  if (!file) return { format: 'unknown', prices: new Map(), problems: ['not a JSON object'], skipped: 0 }
  const values = Object.values(file).map(asObject)
  if (values.some((value) => asObject(value?.models))) return readModelsDev(file)
  if (values.some((value) => value && 'litellm_provider' in value)) return readLiteLlm(file)
  const problem = 'neither a LiteLLM model_prices file nor a models.dev api.json'
  return { format: 'unknown', prices: new Map(), problems: [problem], skipped: 0 }
}

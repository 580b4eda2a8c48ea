// Fireworks AI: open models under account paths; sends usage with the last chunk of every stream.
import { olderCapName, type ProviderKind, withPath } from './provider.ts'

export const fireworks: ProviderKind = {
  name: 'fireworks',
  title: 'Fireworks AI',
  dialects: ['openai-chat'],
  baseUrl: 'https://api.fireworks.ai/inference/v1',
  baseUrlEnv: ['FIREWORKS_BASE_URL'],
  keyEnv: ['FIREWORKS_API_KEY'],
  keyHeader: 'authorization',
  // https://docs.fireworks.ai/tools-sdks/openai-compatibility: usage comes in the chunk that has the finish reason.
  streamUsage: 'always',
  capName: olderCapName,
  normalizeBaseUrl: withPath('/inference/v1'),
  models: ['accounts/fireworks/models/gpt-oss-120b', 'accounts/fireworks/models/llama-v3p3-70b-instruct'],
}

// Together AI: open models under their publishers' names (`meta-llama/…`).
import { olderCapName, type ProviderKind, withPath } from './provider.ts'

export const together: ProviderKind = {
  name: 'together',
  title: 'Together AI',
  dialects: ['openai-chat'],
  baseUrl: 'https://api.together.xyz/v1',
  baseUrlEnv: ['TOGETHER_BASE_URL'],
  keyEnv: ['TOGETHER_API_KEY'],
  keyHeader: 'authorization',
  streamUsage: 'ask',
  capName: olderCapName,
  normalizeBaseUrl: withPath('/v1'),
  models: ['meta-llama/Llama-3.3-70B-Instruct-Turbo', 'openai/gpt-oss-120b', 'deepseek-ai/DeepSeek-V3'],
}

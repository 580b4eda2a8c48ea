// vLLM: models on servers of one's own.
import { type ProviderKind, withPath } from './provider.ts'

export const vllm: ProviderKind = {
  name: 'vllm',
  title: 'vLLM',
  dialects: ['openai-chat'],
  baseUrl: 'http://127.0.0.1:8000/v1',
  baseUrlEnv: ['VLLM_BASE_URL'],
  keyEnv: ['VLLM_API_KEY'],
  keyless: true,
  keyHeader: 'authorization',
  streamUsage: 'ask',
  normalizeBaseUrl: withPath('/v1'),
}

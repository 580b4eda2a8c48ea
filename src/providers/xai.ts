// xAI: the Grok models.
import { type ProviderKind, withPath } from './provider.ts'

export const xai: ProviderKind = {
  name: 'xai',
  title: 'xAI',
  dialects: ['openai-chat'],
  baseUrl: 'https://api.x.ai/v1',
  baseUrlEnv: ['XAI_BASE_URL'],
  keyEnv: ['XAI_API_KEY'],
  keyHeader: 'authorization',
  streamUsage: 'ask',
  normalizeBaseUrl: withPath('/v1'),
  modelPrefixes: ['grok-'],
  models: ['grok-4', 'grok-3', 'grok-3-mini', 'grok-code-fast-1'],
}

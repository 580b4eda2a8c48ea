// Any other server that speaks OpenAI's chat format: it has no address of its own, so one must be configured.
import type { ProviderKind } from './provider.ts'

export const openaiCompatible: ProviderKind = {
  name: 'openai-compatible',
  title: 'OpenAI-compatible server',
  dialects: ['openai-chat'],
  keyEnv: [],
  keyless: true,
  keyHeader: 'authorization',
  streamUsage: 'ask',
}

// OpenRouter: one account for many vendors; its model names carry the vendor (`anthropic/claude-…`).
import type { ProviderKind } from './provider.ts'

export const openrouter: ProviderKind = {
  name: 'openrouter',
  title: 'OpenRouter',
  dialects: ['openai-chat'],
  baseUrl: 'https://openrouter.ai/api/v1',
  baseUrlEnv: ['OPENROUTER_BASE_URL'],
  keyEnv: ['OPENROUTER_API_KEY'],
  keyHeader: 'authorization',
  streamUsage: 'ask',
  // The app's name and address, for OpenRouter's own rankings: https://openrouter.ai/docs/app-attribution
  passHeaders: ['http-referer', 'x-title'],
  // Its list of models is open to everybody: https://openrouter.ai/docs/api-reference/limits
  modelsPath: () => '/key',
  models: ['openrouter/auto', 'openai/gpt-5-mini', 'anthropic/claude-sonnet-4.5', 'google/gemini-2.5-flash'],
}

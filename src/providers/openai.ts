// OpenAI itself: the vendor whose chat format everyone else copies.
import { nothingRefused, refusedByOpenAI } from './history.ts'
import { capNameOfOpenAI, type ProviderKind } from './provider.ts'

export const openai: ProviderKind = {
  name: 'openai',
  title: 'OpenAI',
  dialects: ['openai-chat'],
  baseUrl: 'https://api.openai.com/v1',
  baseUrlEnv: ['OPENAI_BASE_URL'],
  keyEnv: ['OPENAI_API_KEY'],
  keyHeader: 'authorization',
  streamUsage: 'ask',
  passHeaders: ['openai-beta'],
  capName: capNameOfOpenAI,
  // By name, since other servers are put in OpenAI's place, and some of them read their own thoughts again.
  refuses: (model) => (/^(ft:)?(gpt-(?!oss)|chatgpt-|o[1-9]|codex-)/.test(model) ? refusedByOpenAI : nothingRefused),
  // Not plain `gpt-`: `gpt-oss-…` are open weights that OpenAI's own API does not serve.
  modelPrefixes: ['gpt-3.5-', 'gpt-4', 'gpt-5', 'gpt-6', 'gpt-audio', 'chatgpt-', 'o1-', 'o3-', 'o4-', 'ft:gpt-'],
  models: [
    'gpt-5',
    'gpt-5-mini',
    'gpt-5-nano',
    'gpt-4.1',
    'gpt-4.1-mini',
    'gpt-4o',
    'gpt-4o-mini',
    'o1',
    'o3',
    'o4-mini',
  ],
  // https://platform.openai.com/docs/deprecations
  sunsets: {
    'gpt-3.5-turbo-0301': '2024-09-13',
    'gpt-3.5-turbo-0613': '2024-09-13',
    'gpt-4-vision-preview': '2024-12-06',
    'gpt-4-32k': '2025-06-06',
    'gpt-4.5-preview': '2025-07-14',
    'o1-preview': '2025-07-28',
    'o1-mini': '2025-10-27',
  },
}

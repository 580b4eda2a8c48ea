// Groq: open models on its own chips; also puts usage into `x_groq`, but into `usage` for sure only when asked.
import { allFieldsBut, type Refused } from './history.ts'
import { type ProviderKind, withPath } from './provider.ts'

// 400 "property 'reasoning_content' is unsupported"; its own thoughts are in `reasoning`, which it takes back. 400 "discriminator property
// 'role' has invalid value" for a developer's message.
const refused: Refused = { fields: allFieldsBut('reasoning', 'name'), developer: true }

export const groq: ProviderKind = {
  name: 'groq',
  title: 'Groq',
  dialects: ['openai-chat'],
  baseUrl: 'https://api.groq.com/openai/v1',
  baseUrlEnv: ['GROQ_BASE_URL'],
  keyEnv: ['GROQ_API_KEY'],
  keyHeader: 'authorization',
  streamUsage: 'ask',
  refuses: () => refused,
  normalizeBaseUrl: withPath('/openai/v1'),
  models: ['llama-3.3-70b-versatile', 'llama-3.1-8b-instant', 'openai/gpt-oss-120b', 'openai/gpt-oss-20b'],
  // https://console.groq.com/docs/deprecations
  sunsets: {
    'mixtral-8x7b-32768': '2025-03-20',
    'llama3-8b-8192': '2025-08-30',
    'llama3-70b-8192': '2025-08-30',
    'deepseek-r1-distill-llama-70b': '2025-10-02',
    'gemma2-9b-it': '2025-10-08',
  },
}

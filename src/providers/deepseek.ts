// DeepSeek: sends usage with the last chunk of every stream, asked or not.
import type { Refused } from './history.ts'
import { olderCapName, type ProviderKind } from './provider.ts'

// 400 "unknown variant `developer`, expected one of `system`, `user`, `assistant`, `tool`".
const refused: Refused = { fields: [], developer: true }

export const deepseek: ProviderKind = {
  name: 'deepseek',
  title: 'DeepSeek',
  dialects: ['openai-chat'],
  baseUrl: 'https://api.deepseek.com',
  baseUrlEnv: ['DEEPSEEK_BASE_URL'],
  keyEnv: ['DEEPSEEK_API_KEY'],
  keyHeader: 'authorization',
  streamUsage: 'always',
  capName: olderCapName,
  refuses: () => refused,
  // Not plain `deepseek-`: distilled models of that name are served by others under it.
  modelPrefixes: ['deepseek-chat', 'deepseek-reasoner', 'deepseek-v4-'],
  models: ['deepseek-v4-flash', 'deepseek-v4-pro', 'deepseek-chat', 'deepseek-reasoner'],
}

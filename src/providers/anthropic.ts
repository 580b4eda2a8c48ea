// Anthropic, in its own wire format: https://platform.claude.com/docs/en/api/messages
import { type ProviderKind, withPath } from './provider.ts'

export const anthropic: ProviderKind = {
  name: 'anthropic',
  title: 'Anthropic',
  dialects: ['anthropic-messages'],
  baseUrl: 'https://api.anthropic.com/v1',
  baseUrlEnv: ['ANTHROPIC_BASE_URL'],
  sdkPath: '/v1',
  keyEnv: ['ANTHROPIC_API_KEY'],
  keyHeader: 'x-api-key',
  passHeaders: ['anthropic-beta'],
  streamUsage: 'always',
  modelsHeaders: { 'anthropic-version': '2023-06-01' },
  normalizeBaseUrl: withPath('/v1'),
  modelPrefixes: ['claude-'],
  models: ['claude-opus-4-5', 'claude-sonnet-4-5', 'claude-haiku-4-5'],
  // https://platform.claude.com/docs/en/about-claude/model-deprecations
  sunsets: {
    'claude-2.0': '2025-07-21',
    'claude-2.1': '2025-07-21',
    'claude-3-sonnet': '2025-07-21',
    'claude-3-5-sonnet': '2025-10-28',
    'claude-3-opus': '2026-01-05',
    'claude-3-7-sonnet': '2026-02-19',
    'claude-3-5-haiku': '2026-02-19',
  },
}

// Google's Gemini API, in its own wire format: https://ai.google.dev/api/generate-content
import { type ProviderKind, withPath } from './provider.ts'

export const gemini: ProviderKind = {
  name: 'gemini',
  title: 'Google Gemini',
  dialects: ['gemini'],
  baseUrl: 'https://generativelanguage.googleapis.com/v1beta',
  baseUrlEnv: ['GEMINI_BASE_URL', 'GOOGLE_GEMINI_BASE_URL'],
  sdkPath: '/v1beta',
  keyEnv: ['GEMINI_API_KEY', 'GOOGLE_API_KEY'],
  keyHeader: 'x-goog-api-key',
  streamUsage: 'always',
  normalizeBaseUrl: withPath('/v1beta'),
  modelPrefixes: ['gemini-'],
  models: ['gemini-2.5-pro', 'gemini-2.5-flash', 'gemini-2.5-flash-lite'],
  // https://ai.google.dev/gemini-api/docs/changelog
  sunsets: {
    'gemini-1.5-pro': '2025-09-29',
    'gemini-1.5-flash': '2025-09-29',
    'gemini-1.5-flash-8b': '2025-09-29',
  },
}

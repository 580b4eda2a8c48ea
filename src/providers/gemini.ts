// Google's Gemini API, through its OpenAI-compatible endpoint: https://ai.google.dev/gemini-api/docs/openai
import { type ProviderKind, withPath } from './provider.ts'

export const gemini: ProviderKind = {
  name: 'gemini',
  title: 'Google Gemini',
  dialects: ['openai-chat'],
  baseUrl: 'https://generativelanguage.googleapis.com/v1beta/openai',
  baseUrlEnv: ['GEMINI_BASE_URL', 'GOOGLE_GEMINI_BASE_URL'],
  keyEnv: ['GEMINI_API_KEY', 'GOOGLE_API_KEY'],
  // The compatible endpoint takes the key as OpenAI's SDK sends it; `x-goog-api-key` is the native API's.
  keyHeader: 'authorization',
  streamUsage: 'ask',
  normalizeBaseUrl: withPath('/v1beta/openai'),
  modelPrefixes: ['gemini-'],
  models: ['gemini-2.5-pro', 'gemini-2.5-flash', 'gemini-2.5-flash-lite'],
  // https://ai.google.dev/gemini-api/docs/changelog
  sunsets: {
    'gemini-1.5-pro': '2025-09-29',
    'gemini-1.5-flash': '2025-09-29',
    'gemini-1.5-flash-8b': '2025-09-29',
  },
}

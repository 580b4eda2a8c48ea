// Ollama: models on one's own machine, addressed by OLLAMA_HOST as its own tools are.
import type { Refused } from './history.ts'
import { olderCapName, type ProviderKind } from './provider.ts'

// Its models' templates pass over a role that they do not know, and what the message says with it.
const refused: Refused = { fields: [], developer: true }

/** Reads OLLAMA_HOST's short forms (`host`, `:port`, `0.0.0.0`) as Ollama's client does: port 11434 unless a scheme is given. */
function readHost(host: string): string {
  const schemed = /^[a-z]+:\/\//i.test(host)
  const url = new URL(schemed ? host : `http://${host.startsWith(':') ? `127.0.0.1${host}` : host}`)
  if (!schemed && !url.port) url.port = '11434'
  // An address to listen on is not one to call.
  if (url.hostname === '0.0.0.0' || url.hostname === '[::]') url.hostname = '127.0.0.1'
  const path = url.pathname.replace(/\/+$/, '')
  return `${url.protocol}//${url.host}${path || '/v1'}`
}

export const ollama: ProviderKind = {
  name: 'ollama',
  title: 'Ollama',
  dialects: ['openai-chat'],
  baseUrl: 'http://127.0.0.1:11434/v1',
  baseUrlEnv: ['OLLAMA_HOST', 'OLLAMA_BASE_URL'],
  keyEnv: ['OLLAMA_API_KEY'],
  keyless: true,
  keyHeader: 'authorization',
  streamUsage: 'ask',
  capName: olderCapName,
  refuses: () => refused,
  quirks: ['stop-after-tool-call'],
  normalizeBaseUrl: readHost,
}

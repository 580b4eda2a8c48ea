// The Gemini wire: `POST /v1beta/models/{model}:generateContent`, its streaming twin, and the model list.
import type { Asking, Match, Wire } from '../wire.ts'
import { errorBody, errorFrame } from './error.ts'
import { wholeReply } from './reply.ts'
import { readRequest } from './request.ts'
import { garbageFrame, replyFrames } from './stream.ts'

export const gemini: Wire = {
  name: 'gemini',
  // Google answers 400 to keys that it does not know.
  wrongKey: { status: 400, code: 'API_KEY_INVALID' },
  match,
  keyOf: (headers) => headers['x-goog-api-key'] as string | undefined,
  read: readRequest,
  whole: wholeReply,
  stream: replyFrames,
  error: errorBody,
  errorFrame,
  garbageFrame,
  models: (names) => JSON.stringify({ models: names.map(modelOf) }),
  model: (name) => JSON.stringify(modelOf(name)),
}

function match(method: string, path: string, asking: Asking): Match | undefined {
  const named = /\/v1(?:beta|alpha)?\/models\/([^/:]+)(?::(\w+))?$/.exec(path)
  if (method === 'POST' && named?.[2] === 'generateContent') {
    return { kind: 'generate', model: decode(named[1] as string), stream: false }
  }
  if (method === 'POST' && named?.[2] === 'streamGenerateContent') {
    // Without `alt=sse` the stream is one JSON array.
    const isSse = new URLSearchParams(asking.query).get('alt') === 'sse'
    return { kind: 'generate', model: decode(named[1] as string), stream: isSse, asList: !isSse }
  }
  if (method !== 'GET' || !/\/v1(beta|alpha)\/models(\/|$)/.test(path)) return undefined
  if (path.endsWith('/models')) return { kind: 'list' }
  return named && named[2] === undefined ? { kind: 'model', model: decode(named[1] as string) } : undefined
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

function modelOf(name: string) {
  return {
    name: `models/${name}`,
    version: '001',
    displayName: name,
    inputTokenLimit: 1_048_576,
    outputTokenLimit: 65_536,
    supportedGenerationMethods: ['generateContent', 'countTokens'],
  }
}

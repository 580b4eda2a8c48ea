// The Anthropic Messages wire: `POST …/v1/messages` and the model list, for clients that name an API version.
import type { Asking, Match, Wire } from '../wire.ts'
import { errorBody, errorFrame } from './error.ts'
import { wholeReply } from './reply.ts'
import { readRequest } from './request.ts'
import { garbageFrame, replyFrames } from './stream.ts'

const CREATED = '2025-10-09T00:00:00Z'

export const anthropic: Wire = {
  name: 'anthropic-messages',
  headerNames: ['anthropic-version'],
  match,
  keyOf(headers) {
    // SDKs from 1.0 on send a bearer token.
    const bearer = /^Bearer +(\S.*)$/i.exec(headers.authorization as string)?.[1]
    return (headers['x-api-key'] as string | undefined) ?? bearer
  },
  read: readRequest,
  whole: wholeReply,
  stream: replyFrames,
  error: errorBody,
  errorFrame,
  garbageFrame,
  models: (names) =>
    JSON.stringify({ data: names.map(modelOf), has_more: false, first_id: names[0], last_id: names.at(-1) }),
  model: (name) => JSON.stringify(modelOf(name)),
}

function match(method: string, path: string, asking: Asking): Match | undefined {
  if (method === 'POST' && path.endsWith('/v1/messages')) return { kind: 'generate' }
  // OpenAI has the same paths: the version header tells the two apart.
  if (method !== 'GET' || asking.headers['anthropic-version'] === undefined) return undefined
  if (path.endsWith('/v1/models')) return { kind: 'list' }
  const model = /\/v1\/models\/(.+)$/.exec(path)?.[1]
  return model === undefined ? undefined : { kind: 'model', model: decode(model) }
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

function modelOf(id: string) {
  return { type: 'model', id, display_name: id, created_at: CREATED }
}

// The OpenAI chat wire: `POST …/chat/completions` under any prefix, Azure's deployments, and the model list.
import type { Match, Wire } from '../wire.ts'
import { errorBody, errorFrame } from './error.ts'
import { wholeReply } from './reply.ts'
import { readRequest } from './request.ts'
import { garbageFrame, replyFrames } from './stream.ts'

const OWNER = 'turnout-simulator'
const CREATED = 1_760_000_000

export const openaiChat: Wire = {
  name: 'openai-chat',
  match,
  keyOf(headers) {
    const bearer = /^Bearer +(\S.*)$/i.exec(headers.authorization as string)?.[1]
    // Azure's own header.
    return bearer ?? (headers['api-key'] as string | undefined)
  },
  read: readRequest,
  whole: wholeReply,
  stream: replyFrames,
  error: errorBody,
  errorFrame,
  garbageFrame,
  models: (names) => JSON.stringify({ object: 'list', data: names.map(modelOf) }),
  model: (name) => JSON.stringify(modelOf(name)),
}

// Vendors that copied the API put it under prefixes of their own (`/openai/v1`, `/inference/v1`, `/api/v1`): the end of the path counts.
function match(method: string, path: string): Match | undefined {
  if (method === 'POST' && path.endsWith('/chat/completions')) {
    const deployment = /\/openai\/deployments\/([^/]+)\/chat\/completions$/.exec(path)?.[1]
    return { kind: 'generate', model: deployment === undefined ? undefined : decode(deployment) }
  }
  if (method !== 'GET') return undefined
  if (path === '/models' || path.endsWith('/v1/models') || path === '/openai/models') return { kind: 'list' }
  const model = /^(?:.*\/v1|\/openai)?\/models\/(.+)$/.exec(path)?.[1]
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
  return { id, object: 'model', created: CREATED, owned_by: OWNER }
}

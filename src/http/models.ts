// GET /v1/models: the names that a client may send as `model`, in OpenAI's shape.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { listModels as entriesOf } from '../config/resolve.ts'
import type { Snapshot } from '../config/snapshot.ts'
import { Refusal } from '../dialects/errors.ts'
import { routeOf } from '../gateway/route.ts'
import { sendJson } from './reply.ts'

interface Model {
  id: string
  object: 'model'
  created: number
  owned_by: string
}

export function listModels(
  snapshot: Snapshot,
  req: IncomingMessage,
  res: ServerResponse,
  headers: readonly string[],
): void {
  const data = entriesOf(snapshot).map(({ id, ownedBy }) => modelOf(id, ownedBy))
  sendJson(req, res, 200, { object: 'list', data }, headers)
}

/** @param encoded the id as it stands in the URL; slashes may be plain or encoded */
export function showModel(
  snapshot: Snapshot,
  encoded: string,
  req: IncomingMessage,
  res: ServerResponse,
  headers: readonly string[],
): void {
  let name: string
  try {
    name = decodeURIComponent(encoded)
  } catch {
    throw new Refusal('invalid_url', 'The model in the URL is not validly encoded.')
  }
  const route = routeOf(snapshot, name)
  const owner = route.implicit ? route.targets[0]!.provider.name : 'turnout'
  sendJson(req, res, 200, modelOf(name, owner), headers)
}

/** Turnout does not know when a model was made: 0. */
const modelOf = (id: string, owner: string): Model => ({ id, object: 'model', created: 0, owned_by: owner })

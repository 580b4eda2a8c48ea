// GET /v1/models: the names that a client may send as `model`, in OpenAI's shape.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { listModels as entriesOf } from '../config/resolve.ts'
import type { ApiKey, Snapshot } from '../config/snapshot.ts'
import { Refusal } from '../dialects/errors.ts'
import { mayAsk, mayUse, requireRoute } from '../gateway/allow.ts'
import { wireModel } from '../gateway/headers.ts'
import { routeOf } from '../gateway/route.ts'
import { sendJson } from './reply.ts'

interface Model {
  id: string
  object: 'model'
  created: number
  owned_by: string
}

/** Those that the key may ask for and be served by. */
export function listModels(
  snapshot: Snapshot,
  key: ApiKey | undefined,
  req: IncomingMessage,
  res: ServerResponse,
  headers: readonly string[],
): void {
  const all = entriesOf(snapshot)
  const mine = key?.routes || key?.models ? all.filter(({ id }) => isFor(key, id, snapshot)) : all
  const data = mine.map(({ id, ownedBy }) => modelOf(id, ownedBy))
  sendJson(req, res, 200, { object: 'list', data }, headers)
}

/**
 * @param encoded the id as it stands in the URL; slashes may be plain or encoded
 * @throws Refusal `model_not_found`, and `model_not_allowed` as a request for it would meet
 */
export function showModel(
  snapshot: Snapshot,
  key: ApiKey | undefined,
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
  requireRoute(key, name, route)
  const owner = route.implicit ? route.targets[0]!.provider.name : 'turnout'
  sendJson(req, res, 200, modelOf(name, owner), headers)
}

function isFor(key: ApiKey, id: string, snapshot: Snapshot): boolean {
  const route = routeOf(snapshot, id)
  return mayAsk(key, id, route) && route.targets.some((target) => mayUse(key, target, wireModel(target, id)))
}

/** Turnout does not know when a model was made: 0. */
const modelOf = (id: string, owner: string): Model => ({ id, object: 'model', created: 0, owned_by: owner })

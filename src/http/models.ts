// GET /v1/models: the names that a client may send as `model`, in OpenAI's shape.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { listModels as entriesOf } from '../config/resolve.ts'
import type { ApiKey, Route, Snapshot, Target } from '../config/snapshot.ts'
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

/** Whom a route asks now, whatever its rollouts have made of the targets that it lists. */
export type TargetsOf = (snapshot: Snapshot, route: Route) => readonly Target[]

/** What models are looked up in, and for whom. */
export interface Looking {
  readonly snapshot: Snapshot
  readonly key: ApiKey | undefined
  readonly targetsOf: TargetsOf
}

/** Those that the key may ask for and be served by. */
export function listModels(
  looking: Looking,
  req: IncomingMessage,
  res: ServerResponse,
  headers: readonly string[],
): void {
  const { snapshot, key } = looking
  const all = entriesOf(snapshot)
  const mine = key?.routes || key?.models ? all.filter(({ id }) => isFor(looking, id)) : all
  const data = mine.map(({ id, ownedBy }) => modelOf(id, ownedBy))
  sendJson(req, res, 200, { object: 'list', data }, headers)
}

/**
 * @param encoded the id as it stands in the URL; slashes may be plain or encoded
 * @throws Refusal `model_not_found`, and `model_not_allowed` as a request for it would meet
 */
export function showModel(
  looking: Looking,
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
  const { route } = requireModel(looking, name)
  const owner = route.implicit ? route.targets[0]!.provider.name : 'turnout'
  sendJson(req, res, 200, modelOf(name, owner), headers)
}

/**
 * The route of a name, and the first of its targets that may serve the key.
 * @throws Refusal `model_not_found`; `model_not_allowed` when the key may not ask for it, or be served by any of them
 */
export function requireModel(looking: Looking, name: string): { readonly route: Route; readonly target: Target } {
  const route = routeOf(looking.snapshot, name, looking.key)
  requireRoute(looking.key, name, route)
  const target = usableOf(looking, name, route)
  if (target) return { route, target }
  const shown = name.slice(0, 128)
  throw new Refusal('model_not_allowed', `This API key may use none of the models behind '${shown}'.`, 'model')
}

function isFor(looking: Looking, id: string): boolean {
  const route = routeOf(looking.snapshot, id, looking.key)
  return mayAsk(looking.key, id, route) && usableOf(looking, id, route) !== undefined
}

const usableOf = ({ snapshot, key, targetsOf }: Looking, name: string, route: Route): Target | undefined =>
  targetsOf(snapshot, route).find((target) => mayUse(key, target, wireModel(target, name)))

/** Turnout does not know when a model was made: 0. */
const modelOf = (id: string, owner: string): Model => ({ id, object: 'model', created: 0, owned_by: owner })

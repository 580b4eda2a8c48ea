// Finds the route of a model name, or says which names are near.
import { resolveModel } from '../config/resolve.ts'
import type { ApiKey, Route, Snapshot } from '../config/snapshot.ts'
import { Refusal } from '../dialects/errors.ts'
import { mayAsk, mayUse } from './allow.ts'
import { wireModel } from './headers.ts'

/** @throws Refusal `model_not_found` with the nearest of the names that the key may use: what others use is not for it to know */
export function routeOf(snapshot: Snapshot, model: string, key: ApiKey | undefined): Route {
  const found = resolveModel(snapshot, model, key && ((name) => isFor(snapshot, name, key)))
  if (!('nearest' in found)) return found
  const shown = model.length > 128 ? `${model.slice(0, 128)}…` : model
  const hint = found.nearest.length > 0 ? ` Did you mean ${found.nearest.map((name) => `'${name}'`).join(', ')}?` : ''
  throw new Refusal('model_not_found', `The model '${shown}' does not exist or is not configured here.${hint}`, 'model')
}

function isFor(snapshot: Snapshot, name: string, key: ApiKey): boolean {
  const route = resolveModel(snapshot, name)
  if ('nearest' in route || !mayAsk(key, name, route)) return false
  return route.targets.some((target) => mayUse(key, target, wireModel(target, name)))
}

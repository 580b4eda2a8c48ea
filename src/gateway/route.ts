// Finds the route of a model name, or says which names are near.
import { resolveModel } from '../config/resolve.ts'
import type { Route, Snapshot } from '../config/snapshot.ts'
import { Refusal } from '../dialects/errors.ts'

/** @throws Refusal `model_not_found` with the nearest names */
export function routeOf(snapshot: Snapshot, model: string): Route {
  const found = resolveModel(snapshot, model)
  if (!('nearest' in found)) return found
  const shown = model.length > 128 ? `${model.slice(0, 128)}…` : model
  const hint = found.nearest.length > 0 ? ` Did you mean ${found.nearest.map((name) => `'${name}'`).join(', ')}?` : ''
  throw new Refusal('model_not_found', `The model '${shown}' does not exist or is not configured here.${hint}`, 'model')
}

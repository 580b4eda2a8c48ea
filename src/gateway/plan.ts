// Which targets are tried for a request, in which order. Pure, given the facts.
import type { Target } from '../config/snapshot.ts'
import { policies } from '../policies/index.ts'
import type { Call } from './call.ts'
import { routeOf } from './route.ts'

export interface Plan {
  readonly targets: readonly Target[]
  /** What is tried when a target says that the prompt is too long for it, or that its policy forbids it. */
  readonly onContextWindow: readonly Target[]
  readonly onContentPolicy: readonly Target[]
}

/** @param draw uniform in [0, 1) */
export function makePlan(call: Call, draw: number): Plan {
  const route = call.route!
  // The operator's one switch: the stable primary and nothing else.
  if (call.snapshot.bypass) return { targets: route.targets.slice(0, 1), onContextWindow: [], onContentPolicy: [] }
  const { targets, onContextWindow, onContentPolicy } = route
  const asked = route.clientModels ? call.inspected!.ask.models : undefined
  if (asked) return { targets: clientChain(call, asked), onContextWindow, onContentPolicy }
  if (targets.length === 1) return route
  return {
    targets: policies.get(route.policy)!.choose(targets, call.inspected!.ask, { draw }),
    onContextWindow,
    onContentPolicy,
  }
}

/** The targets of the model and of the further models that the client names, each once. */
function clientChain(call: Call, models: readonly string[]): Target[] {
  const chain = new Map(call.route!.targets.map((target) => [target.id, target]))
  for (const model of models)
    for (const target of routeOf(call.snapshot, model).targets) chain.set(target.id, chain.get(target.id) ?? target)
  return [...chain.values()]
}

/** Whether another target may be tried after this one: the client, the route and the provider may each forbid it. */
export function fallbackAllowed(call: Call, target: Target): boolean {
  return call.route!.fallback && target.provider.fallback && call.req.headers['x-turnout-fallback'] !== 'off'
}

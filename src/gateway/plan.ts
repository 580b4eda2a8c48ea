// Which targets are tried for a request, in which order. Pure, given the facts.
import type { Target } from '../config/snapshot.ts'
import { policies } from '../policies/index.ts'
import type { Call } from './call.ts'

/** @param draw uniform in [0, 1) */
export function makePlan(call: Call, draw: number): readonly Target[] {
  const route = call.route!
  if (route.targets.length === 1) return route.targets
  return policies.get(route.policy)!.choose(route.targets, call.inspected!.ask, { draw })
}

// Chooses the lane between a client's dialect and a target's.
import type { Target } from '../config/snapshot.ts'
import { hasIdentityLane, type Outbound } from '../dialects/dialect.ts'
import { Refusal } from '../dialects/errors.ts'
import { dialects } from '../dialects/index.ts'
import type { Call } from './call.ts'
import { modelFor } from './headers.ts'
import { identityLane } from './identityLane.ts'
import type { Lane } from './lane.ts'

/** @throws Refusal `no_target` when neither lane leads to the target */
export function laneFor(call: Call, target: Target): { lane: Lane; outbound: Outbound } {
  const outbound = dialects.get(target.provider.dialect)?.outbound
  if (outbound && hasIdentityLane(outbound) && target.provider.dialect === call.dialect.name) {
    return { lane: identityLane(outbound, call.inspected!, target, modelFor(target, call)), outbound }
  }
  throw new Refusal('no_target', `The target '${target.id}' does not speak ${call.dialect.name}.`)
}

// The commit point: tries targets in order until one shows something good. Nothing has gone to the client before.
import type { Target } from '../config/snapshot.ts'
import { Refusal, UpstreamFault } from '../dialects/errors.ts'
import { type Good, type Means, tryTarget } from './attempt.ts'
import type { Call } from './call.ts'
import { countHops } from './hops.ts'

/**
 * @param plan targets, best first; each is tried once
 * @throws UpstreamFault of the last target, Refusal when there is none, ClientGone
 */
export async function firstGood(call: Call, plan: readonly Target[], means: Means): Promise<Good> {
  const hops = countHops(call.req, call.snapshot.server.maxHops)
  let last: UpstreamFault | undefined
  for (const target of plan) {
    try {
      return await tryTarget(call, target, last ? 'fallback' : 'first', hops, means)
    } catch (error) {
      if (!(error instanceof UpstreamFault) || error.rule.scope === 'request') throw error
      last = error
    }
  }
  throw last ?? new Refusal('no_target', `The route '${call.route?.name}' has no target that could be asked.`)
}

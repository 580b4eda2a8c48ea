// Drops what a canary said once its rollout was aborted: nobody shall read it from the cache.
import type { Snapshot } from '../config/snapshot.ts'
import type { ResponseCache } from '../state/cache/responseCache.ts'
import type { Live } from '../state/rollouts/live.ts'

/** Removes the answers of the canary's targets on its route. Returns how many there were. */
export function dropCanary(cache: ResponseCache, live: Live, snapshot: Snapshot): number {
  const route = snapshot.routes.get(live.definition.route)
  const arms = route && live.arms(snapshot, route, route.targets)
  if (!arms || 'missing' in arms) return 0
  return arms.canary.reduce((sum, { id }) => sum + cache.remove({ route: route.name, target: id }), 0)
}

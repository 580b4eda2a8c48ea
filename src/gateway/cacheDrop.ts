// Drops what a canary said once its rollout was taken back: nobody shall read it from the cache, in this process or the next.
import type { RolloutKeeper } from '../config/rolloutTypes.ts'
import type { Snapshot } from '../config/snapshot.ts'
import type { EntryFilter } from '../state/cache/entry.ts'
import type { Leftover, ResponseCache } from '../state/cache/responseCache.ts'
import type { Live } from '../state/rollouts/live.ts'

type Memory = Pick<RolloutKeeper, 'takenBack' | 'dropped'>

/**
 * Removes the answers of the canary's targets on its route: from memory before this returns, from the disk before it resolves, and notes
 * that then. Never rejects: what could not be removed or noted is not taken up by the next process.
 */
export async function dropCanary(cache: ResponseCache, live: Live, snapshot: Snapshot, memory: Memory): Promise<void> {
  const { revision } = live.state
  const removals = answersOf(live, snapshot).map((filter) => cache.forget(filter))
  try {
    const removed = await Promise.all(removals)
    if (removed.every(({ disk }) => disk !== undefined)) await memory.dropped({ rollout: live.id, revision })
  } catch {
    // Told by the disk, or by the database.
  }
}

/** What an earlier process may have left: it ended after a rollout was taken back, and before its answers were gone. */
export function leftoversOf(memory: Memory): Leftover[] {
  return memory.takenBack().map(({ route, ...taken }) => ({
    // The targets that it asked may have other names by now.
    filter: { route },
    gone: () => memory.dropped(taken).catch(() => {}),
  }))
}

function answersOf(live: Live, snapshot: Snapshot): EntryFilter[] {
  const { route: name } = live.definition
  const route = snapshot.routes.get(name)
  const arms = route && live.arms(snapshot, route, route.targets)
  if (!arms || 'missing' in arms) return [{ route: name }]
  return arms.canary.map(({ id }) => ({ route: name, target: id }))
}

// How long readers of the ledger wait for rows that are durable but not in SQLite yet.
import { setTimeout as pause } from 'node:timers/promises'

/** Milliseconds. A gateway takes 20; more is a lock that another program holds. */
const patience = 2_000
const step = 5

/** Looks until it is done, and for 2 seconds at most; resolves to whether it is. `isHopeless` ends the wait. */
export async function waitUntil(isDone: () => boolean, isHopeless = (): boolean => false): Promise<boolean> {
  for (const end = performance.now() + patience; !isHopeless() && performance.now() < end; ) {
    await pause(step)
    if (isDone()) return true
  }
  return false
}

// How long readers of the ledger wait for rows that are durable but not in SQLite yet.
import { setTimeout as pause } from 'node:timers/promises'

/** Milliseconds. A gateway takes 20; more is a lock that another program holds. Counted in looks: who was held up himself looks as often. */
const step = 5
const looks = 400

/** Looks until it is done, and for 2 seconds at least; resolves to whether it is. `isHopeless` ends the wait. */
export async function waitUntil(isDone: () => boolean, isHopeless = (): boolean => false): Promise<boolean> {
  for (let look = 0; look < looks && !isHopeless(); look++) {
    await pause(step)
    if (isDone()) return true
  }
  return false
}

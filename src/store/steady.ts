// Writes now and then on the ledger's connection: waits for a locked database without ever sleeping in the event loop.
import { setTimeout as pause } from 'node:timers/promises'
import { classifyFailure } from './failure.ts'
import type { Store } from './open.ts'

/** The keeper's transactions take about a millisecond each. */
const firstPause = 2
const longestPause = 50

/**
 * Runs `work` as one transaction, again while the database is locked. Rejects with `LedgerError` when that lasts longer than `patience`
 * milliseconds, or on any other trouble; then nothing was written.
 */
export async function writeSteadily<Result>(store: Store, work: () => Result, patience = 5000): Promise<Result> {
  const start = performance.now()
  const run = store.db.transaction(work)
  for (let wait = firstPause; ; wait = Math.min(longestPause, wait * 2)) {
    try {
      return run.immediate()
    } catch (error) {
      const failure = classifyFailure(error)
      if (failure.code !== 'locked' || performance.now() - start + wait > patience) throw failure
      await pause(wait)
    }
  }
}

// Says when rows of the ledger are dated later than the clock: it was wrong once, and nobody would know why new rows are dated so, too.
import type { Log } from '../telemetry/log.ts'

/** Corrections of a clock are smaller. Milliseconds. */
const tolerance = 60_000

export interface ClockWatchOptions {
  /** The time in the newest id, Unix milliseconds. */
  newest(): number
  log: Pick<Log, 'warn' | 'info'>
  /** Milliseconds between looks. */
  every?: number
  now?: () => number
}

/** @returns what ends it */
export function watchClock({ newest, log, every = 60_000, now = Date.now }: ClockWatchOptions): () => void {
  let told = false
  const look = (): void => {
    let last: number
    try {
      last = newest()
    } catch {
      // The database cannot be read for the moment: the ledger tells of that.
      return
    }
    const isAhead = last > now() + tolerance
    if (isAhead && !told)
      log.warn(
        `the newest rows of the ledger are dated ${new Date(last).toISOString()}, later than the clock, which was wrong then or is now: ids go on from there, so new rows are dated so until then, and budgets count them at a restart`,
        { event: 'clock' },
      )
    if (!isAhead && told) log.info('the clock has caught up with the rows of the ledger', { event: 'clock' })
    told = isAhead
  }
  look()
  const timer = setInterval(look, every)
  timer.unref()
  return () => clearInterval(timer)
}

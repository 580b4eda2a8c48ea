// Lets old rows of the ledger go: soon after the start and then every hour, as long as the gateway runs.
import type { Keeper } from '../store/keeper.ts'
import type { Leap } from '../store/leap.ts'
import { firstIdOf, firstKeptId } from '../store/ledgerId.ts'
import type { Log } from '../telemetry/log.ts'

const dayMs = 86_400_000
/** Milliseconds until the first pass: starting its thread takes a fifth of what a start takes, and the first answers go first. */
const startAfter = 5_000
/** Milliseconds between looks at the clock: until then a start does not know that it has leapt. */
const lookEvery = 60_000

export interface Retention {
  /** Stops after the batch that is being deleted. Before the keeper is closed. */
  stop(): Promise<void>
}

export interface RetentionOptions {
  keeper: Pick<Keeper, 'retain'> & Partial<Pick<Keeper, 'retainTraces' | 'noteLeap'>>
  /** Days that rows are kept; 0 = for ever. Asked before each pass, so that a reload counts. */
  days(): number
  /** Hours that traces are kept; 0 = as long as the rows. */
  traceHours?(): number
  log: Log
  /** Found by this or an earlier run. */
  leap?: Leap | undefined
  /** Milliseconds between passes. */
  every?: number
  now?: () => number
  /** Milliseconds of a clock that nobody sets. */
  uptime?: () => number
}

export function startRetention({
  keeper,
  days,
  traceHours,
  log,
  every = 3_600_000,
  leap: found,
  now = Date.now,
  uptime = () => performance.now(),
}: RetentionOptions): Retention {
  const stopped = new AbortController()
  let running: Promise<void> | undefined
  /** Both clocks at the last look. */
  let last = { at: now(), up: uptime() }
  /** What the clock is ahead of what it was, and until when, by `uptime`, that does not count. */
  let leap = { ahead: 0, until: Number.NEGATIVE_INFINITY }
  if (found) distrust(found.ahead, last.up - (last.at - found.at))

  function distrust(ahead: number, since: number): void {
    leap = { ahead, until: since + dayMs }
    if (days() > 0 || (traceHours?.() ?? 0) > 0)
      log.warn(
        'the clock is more than a day ahead of where it was: nobody was here for so long, or it is wrong; for a day old rows are deleted as if it were not',
        { event: 'retention' },
      )
  }

  /**
   * The time to delete by. A clock that is wrong for an hour must not cost ninety days of rows; where it was right, as after a long stop,
   * they go a day later.
   */
  function trusted(): number {
    const next = { at: now(), up: uptime() }
    const ahead = next.at - last.at - (next.up - last.up)
    if (ahead > dayMs) {
      distrust(ahead + (next.up < leap.until ? leap.ahead : 0), next.up)
      keeper
        .noteLeap?.({ at: next.at, ahead: leap.ahead })
        .catch((error) => log.warn('a leap of the clock could not be noted', { event: 'retention', error }))
    }
    last = next
    return next.up < leap.until ? next.at - leap.ahead : next.at
  }

  async function pass(): Promise<void> {
    const at = trusted()
    const kept = days()
    const hours = traceHours?.() ?? 0
    try {
      if (hours > 0) {
        const forgotten = await keeper.retainTraces?.(firstIdOf(at - hours * 3_600_000), stopped.signal)
        if (forgotten)
          log.info(`traces older than ${hours} hours were deleted`, { event: 'retention', count: forgotten })
      }
      if (kept === 0) return
      // Whole UTC days, as the daily sums have them: at least so many days stay.
      const count = await keeper.retain(firstKeptId(kept, at), { signal: stopped.signal })
      if (count > 0) log.info(`requests older than ${kept} days were deleted`, { event: 'retention', count })
    } catch (error) {
      // The next pass tries again; nothing is lost but room.
      log.warn('old rows of the ledger could not be deleted', { event: 'retention', error })
    }
  }

  const run = (): void => {
    running ??= pass().finally(() => {
      running = undefined
    })
  }
  const first = setTimeout(run, Math.min(every, startAfter))
  const timer = setInterval(run, every)
  const look = setInterval(trusted, lookEvery)
  first.unref()
  timer.unref()
  look.unref()
  return {
    async stop() {
      clearTimeout(first)
      clearInterval(timer)
      clearInterval(look)
      stopped.abort()
      await running
    },
  }
}

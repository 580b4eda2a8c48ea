// Lets old rows of the ledger go: soon after the start and then every hour, as long as the gateway runs.
import type { Keeper } from '../store/keeper.ts'
import { firstIdOf } from '../store/ledgerId.ts'
import type { Log } from '../telemetry/log.ts'

const dayMs = 86_400_000
/** Milliseconds until the first pass: starting its thread takes a fifth of what a start takes, and the first answers go first. */
const startAfter = 5_000

export interface Retention {
  /** Stops after the batch that is being deleted. Before the keeper is closed. */
  stop(): Promise<void>
}

export interface RetentionOptions {
  keeper: Pick<Keeper, 'retain'> & Partial<Pick<Keeper, 'retainTraces'>>
  /** Days that rows are kept; 0 = for ever. Asked before each pass, so that a reload counts. */
  days(): number
  /** Hours that traces are kept; 0 = as long as the rows. */
  traceHours?(): number
  log: Log
  /** When this or an earlier run found that the clock had leapt ahead, Unix milliseconds; see `leapOf`. */
  leaptAt?: number | undefined
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
  leaptAt,
  now = Date.now,
  uptime = () => performance.now(),
}: RetentionOptions): Retention {
  const stopped = new AbortController()
  let running: Promise<void> | undefined
  /** Both clocks at the last pass. */
  let last = { at: now(), up: uptime() }
  let heldUntil = Number.NEGATIVE_INFINITY
  if (leaptAt !== undefined) hold(last.up - (last.at - leaptAt))

  /** A clock that is wrong for an hour must not cost ninety days of rows. One that was right has lost a day of room. */
  function hold(since: number): void {
    heldUntil = since + dayMs
    if (days() > 0 || (traceHours?.() ?? 0) > 0)
      log.warn(
        'the clock is more than a day ahead of what it was: no old rows are deleted before it has been so for a day',
        {
          event: 'retention',
        },
      )
  }

  function isHeld(): boolean {
    const next = { at: now(), up: uptime() }
    if (next.at - last.at - (next.up - last.up) > dayMs) hold(next.up)
    last = next
    return next.up < heldUntil
  }

  async function pass(): Promise<void> {
    if (isHeld()) return
    const kept = days()
    const hours = traceHours?.() ?? 0
    try {
      if (hours > 0) {
        const forgotten = await keeper.retainTraces?.(firstIdOf(now() - hours * 3_600_000), stopped.signal)
        if (forgotten)
          log.info(`traces older than ${hours} hours were deleted`, { event: 'retention', count: forgotten })
      }
      if (kept === 0) return
      // Whole UTC days, as the daily sums have them: at least so many days stay.
      const before = (Math.floor(now() / dayMs) - kept) * dayMs
      const count = await keeper.retain(firstIdOf(before), { signal: stopped.signal })
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
  first.unref()
  timer.unref()
  return {
    async stop() {
      clearTimeout(first)
      clearInterval(timer)
      stopped.abort()
      await running
    },
  }
}

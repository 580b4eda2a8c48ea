// What one entity has spent and reserved in the current window of one budget.
import type { BudgetSettings } from '../../config/limitTypes.ts'
import { SlidingLog, shapeOf } from '../slidingLog.ts'
import { rollingSpans, windowAt } from './window.ts'

/** Steps that a rolling window moves in: an hour by seconds, 30 days by 43 minutes. */
const ROLLING_STEPS = 1_000

/** Money is integer nano-USD, sums below 2^53. Times are Unix milliseconds. */
export class Account {
  reserved = 0
  /** Attempts of this window that are under way, those without a bound included, which hold nothing. */
  running = 0
  /** The highest share (percent) that was told of in this window. */
  told = 0
  /** What was spent when a refusal was told of in this window; undefined = none was. */
  toldExhausted: number | undefined
  readonly #settings: Pick<BudgetSettings, 'window' | 'rolling' | 'timezone'>
  #log: SlidingLog | undefined
  /** Counts windows, so that what was reserved in one is not given back in another. */
  #window = 0
  #spent = 0
  #start = 0
  #end = Number.NEGATIVE_INFINITY

  constructor(settings: Pick<BudgetSettings, 'window' | 'rolling' | 'timezone'>) {
    this.#settings = settings
    this.#log = emptyLog(settings)
  }

  /** What was spent is about to be learnt anew; what is held stays held. */
  forgetSpent(): void {
    this.#spent = 0
    this.#log = emptyLog(this.#settings)
  }

  /** Spent in the window that `now` lies in. Turns the window where it is over: to be called before anything else is. */
  spent(now: number): number {
    if (this.#log) {
      const spent = this.#log.expire(now)
      // With something held it may have refused calls all the same.
      if (spent === 0 && this.reserved === 0) this.#forgetTold()
      return spent
    }
    // A clock that goes back stays in the window that it was in: money must not be spent twice.
    if (now >= this.#end) {
      const { start, end } = windowAt(this.#settings.window, this.#settings.timezone, now)
      this.#start = start
      this.#end = end
      this.#window++
      this.#spent = 0
      this.reserved = 0
      this.running = 0
      this.#forgetTold()
    }
    return this.#spent
  }

  /** Holds an amount back and returns the number of the window: an attempt is charged to that, whenever it ends. */
  reserve(amount: number, now: number): number {
    this.spent(now)
    this.reserved += amount
    this.running++
    return this.#window
  }

  /** Books `actual` in place of the reserved amount. Returns false when the window is over: it was charged to that one. */
  settle(window: number, reserved: number, actual: number, now: number): boolean {
    this.spent(now)
    if (window !== this.#window) return false
    this.reserved -= reserved
    this.running--
    this.book(actual, now)
    return true
  }

  /** Books what was spent at `at`, which must lie in the current window. */
  book(amount: number, at: number): void {
    if (amount === 0) return
    if (this.#log) this.#log.add(at, amount)
    else this.#spent += amount
  }

  /** When there is more again: the end of the window or, rolling, when the spending has shrunk to `rest`. Null = never by itself. */
  reset(rest: number, now: number): number | null {
    if (this.#log) return now + this.#log.waitFor(Math.max(0, rest), now)
    return Number.isFinite(this.#end) ? this.#end : null
  }

  /** First moment of the window; undefined for a lifetime and for rolling windows. */
  get start(): number | undefined {
    return this.#log || !Number.isFinite(this.#start) ? undefined : this.#start
  }

  /** Nothing of it would be missed. */
  isIdle(now: number): boolean {
    return this.spent(now) === 0 && this.reserved === 0
  }

  #forgetTold(): void {
    this.told = 0
    this.toldExhausted = undefined
  }
}

function emptyLog({ window, rolling }: Pick<BudgetSettings, 'window' | 'rolling'>): SlidingLog | undefined {
  return rolling && window !== 'lifetime' ? new SlidingLog(shapeOf(rollingSpans[window], ROLLING_STEPS)) : undefined
}

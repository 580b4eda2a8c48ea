// What one entity has spent and reserved in the current window of one budget.
import type { BudgetSettings } from '../../config/limitTypes.ts'
import { SlidingLog, shapeOf } from '../slidingLog.ts'
import { rollingSpans, windowAt } from './window.ts'

/** Steps that a rolling window moves in: an hour by seconds, 30 days by 43 minutes. */
const ROLLING_STEPS = 1_000

/** How far a clock may be set back and be taken to stand still. What is more was wrong before, or is wrong now. */
const STEP_BACK = 60_000

/** Money is integer nano-USD, sums below 2^53. Times are Unix milliseconds. */
export class Account {
  reserved = 0
  /** The highest share (percent) that was told of in this window. */
  told = 0
  /** Whether a refusal was told of in this window. */
  toldExhausted = false
  readonly #settings: Pick<BudgetSettings, 'window' | 'rolling' | 'timezone'>
  readonly #log: SlidingLog | undefined
  /** Counts windows, so that what was reserved in one is not given back in another. */
  #window = 0
  #spent = 0
  #start = 0
  #end = Number.NEGATIVE_INFINITY
  /** The window before, for a clock that was wrong and is put right: its number, start and spending. */
  #before = 0
  #beforeStart = Number.NaN
  #beforeSpent = 0
  /** Rolling: what is added to a clock that was set back, so that it goes on from where it was; and the last moment. */
  #ahead = 0
  #last = Number.NEGATIVE_INFINITY

  constructor(settings: Pick<BudgetSettings, 'window' | 'rolling' | 'timezone'>) {
    this.#settings = settings
    if (settings.rolling && settings.window !== 'lifetime')
      this.#log = new SlidingLog(shapeOf(rollingSpans[settings.window], ROLLING_STEPS))
  }

  /** Spent in the window that `now` lies in. Turns the window where it is over: to be called before anything else is. */
  spent(now: number): number {
    if (this.#log) {
      const spent = this.#log.expire(this.#goOn(now))
      if (spent === 0) this.#forgetTold()
      return spent
    }
    // A clock that goes back a little stays in the window that it was in: money must not be spent twice.
    if (now >= this.#end || now < this.#start - STEP_BACK) this.#turn(now)
    return this.#spent
  }

  #turn(now: number): void {
    const { start, end } = windowAt(this.#settings.window, this.#settings.timezone, now)
    const [left, leftStart, leftSpent] = [this.#window, this.#start, this.#spent]
    const isBack = start < leftStart
    this.#spent = start === this.#beforeStart ? this.#beforeSpent : 0
    this.#start = start
    this.#end = end
    if (isBack) {
      // A window of the future would not end for as long as the clock was wrong. What was spent and is held in it counts here as well.
      this.#spent += leftSpent
      this.#before = 0
    } else {
      this.reserved = 0
      this.#forgetTold()
      this.#window++
      this.#before = left
    }
    this.#beforeStart = leftStart
    this.#beforeSpent = leftSpent
  }

  /** A clock that was set back goes on from where it was, or nothing would expire until it is there again. */
  #goOn(now: number): number {
    let at = now + this.#ahead
    if (at < this.#last - STEP_BACK) {
      this.#ahead += this.#last - at
      at = this.#last
    }
    this.#last = Math.max(this.#last, at)
    return at
  }

  /** Holds an amount back and returns the number of the window: an attempt is charged to that, whenever it ends. */
  reserve(amount: number, now: number): number {
    this.spent(now)
    this.reserved += amount
    return this.#window
  }

  /** Books `actual` in place of the reserved amount. Returns false when the window is over: it was charged to that one. */
  settle(window: number, reserved: number, actual: number, now: number): boolean {
    this.spent(now)
    if (window !== this.#window) {
      if (window === this.#before) this.#beforeSpent += actual
      return false
    }
    this.reserved -= reserved
    this.book(actual, now)
    return true
  }

  /** Books what was spent at `at`, which must lie in the current window. */
  book(amount: number, at: number): void {
    if (amount === 0) return
    if (this.#log) this.#log.add(at + this.#ahead, amount)
    else this.#spent += amount
  }

  /** When there is more again: the end of the window or, rolling, when the spending has shrunk to `rest`. Null = never by itself. */
  reset(rest: number, now: number): number | null {
    if (this.#log) return now + this.#log.waitFor(Math.max(0, rest), this.#goOn(now))
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
    this.toldExhausted = false
  }
}

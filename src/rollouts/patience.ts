// How long a request may go without a first byte, as the stable arm shows it: models that think first, and replies that come whole, take their time.
import { SizeWindow } from './sizeWindow.ts'

/** A start is slow when it takes so many times the 95 % quantile of stable's. */
const multiple = 3
/** Starts of stable from which on its quantile is taken anew only now and then. */
const many = 50
const renewal = 16

/** The bound of `slow_start`: a fixed time, or a multiple of the stable arm's p95 where that is longer. */
export class Patience {
  readonly #least: number
  readonly #tolerance: number
  readonly #starts = new SizeWindow()
  #sinceStart = 0
  #bound: number

  /** @param slowStart milliseconds that are never too long. @param tolerance so many times slower than stable is all right */
  constructor(slowStart: number, tolerance: number) {
    this.#least = slowStart
    this.#tolerance = tolerance
    this.#bound = slowStart
  }

  /** Stable took so many milliseconds to begin; fewer than none where the clock was set back meanwhile. */
  learn(wait: number): void {
    this.#starts.push(Math.max(0, wait))
    // The first ones count one by one: a canary that is as slow as allowed would be out before there are many.
    if (this.#starts.count >= many && ++this.#sinceStart < renewal) return
    this.#sinceStart = 0
    this.#bound = Math.max(this.#least, multiple * this.#starts.quantile(0.95))
  }

  /** Milliseconds without a first byte that are a bad event. */
  with(canary: boolean): number {
    return canary && this.#bound > this.#least ? this.#bound * this.#tolerance : this.#bound
  }
}

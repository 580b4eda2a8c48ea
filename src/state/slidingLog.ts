// Counts amounts over the last stretch of time: exactly, in any stretch of that length, not in fixed windows with edges.

/** How long amounts count, and how finely their times are kept. Both in milliseconds. */
export interface LogShape {
  readonly window: number
  /** An amount may count up to this much longer than the window, never shorter. */
  readonly tick: number
  /** Whole ticks that a window may touch: an amount leaves when its own tick and all of these are over, so never early. */
  readonly steps: number
}

/** Steps of a window: a minute is kept to the millisecond. Bounds a log at 60,002 pairs, 1 MB, whatever passes through it. */
const MAX_STEPS = 60_000

/** The shape for a window: as fine as a millisecond, in at most `steps` steps. @param window milliseconds */
export function shapeOf(window: number, steps: number = MAX_STEPS): LogShape {
  const tick = Math.max(1, Math.ceil(window / steps))
  return { window, tick, steps: Math.ceil(window / tick) }
}

/**
 * A log of (moment, amount). Amounts are whole numbers whose sum stays below 2^53. Moments are milliseconds of any clock; where it goes
 * back, it is taken to stand still. About 100 bytes, and 16 for each moment with an amount in the window.
 */
export class SlidingLog {
  /** What counts now; up to date after `expire`. */
  sum = 0
  /** For whoever keeps logs: when it was last asked for, in whatever unit. */
  turn = -1
  /** Moments and amounts in turn, oldest first, from `#head` on. */
  #items: number[] = []
  #head = 0
  readonly #shape: LogShape

  constructor(shape: LogShape) {
    this.#shape = shape
  }

  /** Forgets what has left the window, and returns what still counts. */
  expire(now: number): number {
    const oldest = Math.floor(now / this.#shape.tick) - this.#shape.steps
    const items = this.#items
    let head = this.#head
    while (head < items.length && items[head]! < oldest) {
      this.sum -= items[head + 1]!
      head += 2
    }
    if (head > 64 && head * 2 > items.length) {
      items.splice(0, head)
      head = 0
    } else if (head === items.length && head > 0) {
      items.length = 0
      head = 0
    }
    this.#head = head
    return this.sum
  }

  /** Returns the moment under which the amount was booked, for `adjust`. */
  add(now: number, amount: number): number {
    const items = this.#items
    let moment = Math.floor(now / this.#shape.tick)
    const last = items.length - 2
    if (last >= this.#head && items[last]! >= moment) {
      moment = items[last]!
      items[last + 1]! += amount
    } else if (items.length === 0) {
      // An array that is pushed to gets room for sixteen at once; most entities never have more than one moment.
      this.#items = [moment, amount]
    } else items.push(moment, amount)
    this.sum += amount
    return moment
  }

  /** Takes back part of an amount that was booked under `moment`. Nothing happens when it has left the window. */
  reduce(moment: number, amount: number): void {
    const items = this.#items
    let high = items.length - 2
    if (high < this.#head) return
    let low = high
    // Most come back soon: their moments are among the last, which are looked at in strides that double.
    for (let stride = 2; low > this.#head && items[low]! > moment; stride *= 2) {
      high = low - 2
      low = Math.max(this.#head, low - stride)
    }
    while (low <= high) {
      const middle = ((low + high) >> 2) << 1
      const found = items[middle]!
      if (found === moment) {
        items[middle + 1]! -= amount
        this.sum -= amount
        return
      }
      if (found < moment) low = middle + 2
      else high = middle - 2
    }
  }

  /** Milliseconds until at most `rest` counts, if nothing is added; 0 when that is so now. */
  waitFor(rest: number, now: number): number {
    let { sum } = this
    for (let i = this.#head; sum > rest && i < this.#items.length; i += 2) {
      sum -= this.#items[i + 1]!
      if (sum <= rest) return Math.max(0, (this.#items[i]! + this.#shape.steps + 1) * this.#shape.tick - now)
    }
    return 0
  }

  /** Milliseconds until nothing counts any more. */
  waitForEmpty(now: number): number {
    const last = this.#items.length - 2
    if (last < this.#head || this.sum === 0) return 0
    return Math.max(0, (this.#items[last]! + this.#shape.steps + 1) * this.#shape.tick - now)
  }

  /** A log of the same content, which goes its own way from here. */
  clone(): SlidingLog {
    const twin = new SlidingLog(this.#shape)
    twin.sum = this.sum
    twin.#items = this.#items.slice(this.#head)
    return twin
  }
}

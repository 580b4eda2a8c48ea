// The last sizes of one arm, as a histogram of narrow steps: quantiles without sorting.

/** 128 steps to a factor of e: 0.8 % each. From e^-7 (a microsecond, were they milliseconds) to e^25. */
const fineness = 128
const lowest = 7
const steps = 4096

export class SizeWindow {
  readonly #ring: Uint16Array
  readonly #counts = new Uint16Array(steps)
  #next = 0
  #count = 0
  /** No value was ever in a lower step: where looking begins. */
  #least = steps - 1

  constructor(window = 500) {
    this.#ring = new Uint16Array(window)
  }

  get count(): number {
    return this.#count
  }

  /** @param value above 0; outside of the range it counts as the nearest that is in it */
  push(value: number): void {
    const step = Math.min(steps - 1, Math.max(0, Math.floor((Math.log(value) + lowest) * fineness)))
    const { length } = this.#ring
    if (this.#count === length) this.#counts[this.#ring[this.#next]!]!--
    else this.#count++
    this.#ring[this.#next] = step
    this.#counts[step]!++
    if (step < this.#least) this.#least = step
    this.#next = this.#next + 1 === length ? 0 : this.#next + 1
  }

  /** The value of a rank, counted from 1, rounded up to a step. */
  ranked(rank: number): number {
    let below = 0
    for (let step = this.#least; step < steps; step++) {
      below += this.#counts[step]!
      if (below >= rank) return Math.exp((step + 1) / fineness - lowest)
    }
    return Number.POSITIVE_INFINITY
  }

  /** The least step that at least the share `p` of the values does not exceed. */
  quantile(p: number): number {
    return this.ranked(Math.max(1, Math.ceil(p * this.#count)))
  }
}

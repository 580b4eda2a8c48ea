// The last sizes of one arm, as a histogram of narrow steps: quantiles without sorting.

/** 128 steps to a factor of e: 0.8 % each. From e^-7 (a microsecond, were they milliseconds) to e^25. */
const fineness = 128
const lowest = 7
const steps = 4096
/** Values that wait to be sorted in together: each of them goes somewhere else in memory, and one by one that is slow. */
const mostFresh = 32

/** Where a quantile was at the last look: it moves little from one to the next, so looking goes on from there. */
interface Cursor {
  readonly p: number
  step: number
  /** Values in lower steps. */
  below: number
}

/** A sliding window of the last values, 500 unless told otherwise, with quantiles that are exact to one step. */
export class SizeWindow {
  readonly #ring: Uint16Array
  readonly #counts = new Uint16Array(steps)
  readonly #cursors: Cursor[] = []
  readonly #fresh = new Float64Array(mostFresh)
  #unsorted = 0
  #next = 0
  #count = 0

  constructor(window = 500) {
    this.#ring = new Uint16Array(window)
  }

  get count(): number {
    return Math.min(this.#ring.length, this.#count + this.#unsorted)
  }

  /** @param value above 0; outside of the range it counts as the nearest that is in it */
  push(value: number): void {
    this.#fresh[this.#unsorted++] = value
    if (this.#unsorted === mostFresh) this.#sortIn()
  }

  #sortIn(): void {
    for (let at = 0; at < this.#unsorted; at++) this.#take(this.#fresh[at]!)
    this.#unsorted = 0
  }

  #take(value: number): void {
    const step = Math.min(steps - 1, Math.max(0, Math.floor((Math.log(value) + lowest) * fineness)))
    const ring = this.#ring
    let oldest = steps
    if (this.#count === ring.length) {
      oldest = ring[this.#next]!
      this.#counts[oldest]!--
    } else this.#count++
    ring[this.#next] = step
    this.#counts[step]!++
    for (const cursor of this.#cursors) {
      if (oldest < cursor.step) cursor.below--
      if (step < cursor.step) cursor.below++
    }
    this.#next = this.#next + 1 === ring.length ? 0 : this.#next + 1
  }

  /** The value of a rank, counted from 1, rounded up to a step. */
  ranked(rank: number): number {
    this.#sortIn()
    return this.#seek({ p: 0, step: 0, below: 0 }, rank)
  }

  /** The least step that at least the share `p` of the values does not exceed. */
  quantile(p: number): number {
    this.#sortIn()
    let cursor = this.#cursors.find((one) => one.p === p)
    if (!cursor) {
      cursor = { p, step: 0, below: 0 }
      this.#cursors.push(cursor)
    }
    return this.#seek(cursor, Math.max(1, Math.ceil(p * this.#count)))
  }

  #seek(cursor: Cursor, rank: number): number {
    if (rank > this.#count) return Number.POSITIVE_INFINITY
    const counts = this.#counts
    while (cursor.below >= rank) cursor.below -= counts[--cursor.step]!
    while (cursor.below + counts[cursor.step]! < rank) cursor.below += counts[cursor.step++]!
    return Math.exp((cursor.step + 1) / fineness - lowest)
  }
}

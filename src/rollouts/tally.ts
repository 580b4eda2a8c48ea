// The counts that evidence is made of: bad events by epoch, share and arm. Sufficient, whole numbers, merged by addition.

/** One row. `guard`: the id of a guard, `assigned`, or `slo`. */
export interface Count {
  readonly guard: string
  /** Number of the epoch, counted from 1970. */
  readonly epoch: number
  /** The canary's share, parts per million: the weight for `seen…`; for `bad…` the share that the event was judged by. */
  readonly ppm: number
  readonly seenStable: number
  readonly seenCanary: number
  readonly badStable: number
  readonly badCanary: number
}

type Cell = { -readonly [K in Exclude<keyof Count, 'guard'>]: Count[K] }

/** Ppm fit into 20 bits. */
const stride = 2 ** 20

/** Counts of seen and bad requests by epoch, canary weight and arm. Merging is addition, so the order of requests does not matter. */
export class Tally {
  readonly #cells = new Map<number, Cell>()
  #last: Cell = { epoch: -1, ppm: -1, seenStable: 0, seenCanary: 0, badStable: 0, badCanary: 0 }
  seenStable = 0
  seenCanary = 0
  badStable = 0
  badCanary = 0

  see(epoch: number, ppm: number, canary: boolean, times = 1): void {
    const cell = this.#cell(epoch, ppm)
    if (canary) {
      cell.seenCanary += times
      this.seenCanary += times
    } else {
      cell.seenStable += times
      this.seenStable += times
    }
  }

  addBad(epoch: number, ppm: number, canary: boolean, times = 1): void {
    const cell = this.#cell(epoch, ppm)
    if (canary) {
      cell.badCanary += times
      this.badCanary += times
    } else {
      cell.badStable += times
      this.badStable += times
    }
  }

  merge({ epoch, ppm, seenStable, seenCanary, badStable, badCanary }: Omit<Count, 'guard'>): void {
    const cell = this.#cell(epoch, ppm)
    cell.seenStable += seenStable
    cell.seenCanary += seenCanary
    cell.badStable += badStable
    cell.badCanary += badCanary
    this.seenStable += seenStable
    this.seenCanary += seenCanary
    this.badStable += badStable
    this.badCanary += badCanary
  }

  /** By epoch, then by share. */
  cells(): Readonly<Cell>[] {
    return [...this.#cells.values()].sort((a, b) => a.epoch - b.epoch || a.ppm - b.ppm)
  }

  counts(guard: string): Count[] {
    return this.cells().map((cell) => ({ guard, ...cell }))
  }

  /** The bad events by share alone, over all epochs; in the order of the shares, so that sums over them are always the same. */
  shares(): Share[] {
    const shares = new Map<number, Share>()
    for (const { ppm, badStable, badCanary } of this.#cells.values()) {
      if (badStable + badCanary === 0) continue
      const share = shares.get(ppm) ?? { ppm, badStable: 0, badCanary: 0 }
      share.badStable += badStable
      share.badCanary += badCanary
      shares.set(ppm, share)
    }
    return [...shares.values()].sort((a, b) => a.ppm - b.ppm)
  }

  #cell(epoch: number, ppm: number): Cell {
    if (this.#last.epoch === epoch && this.#last.ppm === ppm) return this.#last
    const key = epoch * stride + ppm
    let cell = this.#cells.get(key)
    if (!cell) {
      cell = { epoch, ppm, seenStable: 0, seenCanary: 0, badStable: 0, badCanary: 0 }
      this.#cells.set(key, cell)
    }
    this.#last = cell
    return cell
  }
}

/** Bad events that were judged by the same share. */
export interface Share {
  ppm: number
  badStable: number
  badCanary: number
}

// Counts requests that are alike together: the tallies of all guards lie apart in memory, and to go to each of them for each request takes longer
// than to judge it.

/** Takes what was counted of one kind. @param marks what its requests have in common */
export type TakeCounts = (epoch: number, ppm: number, marks: number, stable: number, canary: number) => void

interface Kind {
  readonly marks: number
  stable: number
  canary: number
}

const nothing: Kind = { marks: -1, stable: 0, canary: 0 }

/** Counts requests by marks and arm, and hands the counts on when the epoch or the weight changes, or when `settle` is called. */
export class Alike {
  readonly #take: TakeCounts
  readonly #kinds = new Map<number, Kind>()
  #last = nothing
  #epoch = -1
  #ppm = -1

  constructor(take: TakeCounts) {
    this.#take = take
  }

  /** @param marks at least 0. @param ppm the canary's weight */
  see(epoch: number, ppm: number, marks: number, canary: boolean): void {
    if (epoch !== this.#epoch || ppm !== this.#ppm) {
      this.settle()
      this.#epoch = epoch
      this.#ppm = ppm
    }
    const kind = this.#last.marks === marks ? this.#last : this.#kindOf(marks)
    if (canary) kind.canary++
    else kind.stable++
  }

  /** Hands on what was counted since the last time. Call before what it goes to is read. */
  settle(): void {
    if (this.#last === nothing) return
    for (const { marks, stable, canary } of this.#kinds.values())
      this.#take(this.#epoch, this.#ppm, marks, stable, canary)
    this.#kinds.clear()
    this.#last = nothing
  }

  #kindOf(marks: number): Kind {
    let kind = this.#kinds.get(marks)
    if (!kind) {
      kind = { marks, stable: 0, canary: 0 }
      this.#kinds.set(marks, kind)
    }
    this.#last = kind
    return kind
  }
}

// Which requests of an attempt are under way: their rows are still to come.

/** A request that is evidence, until its row is handed to the ledger, or it turns out to be none. */
export interface Traveller {
  /** Id of the request. */
  readonly number: number
  readonly isOver: boolean
}

export class Underway {
  #travellers: Traveller[] = []
  /** All that ever set out. */
  begun = 0

  push(traveller: Traveller): void {
    this.begun++
    this.#travellers.push(traveller)
  }

  /** Those that are kept in mind; `oldest` forgets who has arrived. */
  get length(): number {
    return this.#travellers.length
  }

  /** The smallest id under way; Infinity when there is none. */
  oldest(): number {
    this.#travellers = this.#travellers.filter(({ isOver }) => !isOver)
    return this.#travellers.reduce((least, { number }) => Math.min(least, number), Number.POSITIVE_INFINITY)
  }
}

// Which requests of an attempt are under way: their rows are still to come.

/** A request that is evidence, until its row is handed to the ledger, or it turns out to be none. */
export interface Traveller {
  /** Id of the request. */
  readonly number: number
  /** Kept by `Underway`: its place among them; below 0 for one that is not among them. */
  place: number
}

/** Forgets at once who has arrived: what is kept for longer than it takes costs the collector more than all else that is done here. */
export class Underway {
  readonly #travellers: Traveller[] = []
  /** All that ever set out. */
  begun = 0

  get length(): number {
    return this.#travellers.length
  }

  push(traveller: Traveller): void {
    this.begun++
    traveller.place = this.#travellers.length
    this.#travellers.push(traveller)
  }

  /** It has arrived. Without effect on one that is not among them. */
  remove(traveller: Traveller): void {
    const { place } = traveller
    if (place < 0) return
    traveller.place = -1
    const last = this.#travellers.pop()!
    if (last === traveller) return
    last.place = place
    this.#travellers[place] = last
  }

  /** The smallest id under way; Infinity when there is none. */
  oldest(): number {
    let least = Number.POSITIVE_INFINITY
    for (const { number } of this.#travellers) if (number < least) least = number
    return least
  }
}

// Things that come and go, in the order in which they came.

/**
 * A Set that lets go of what was taken out. When V8 makes a Set (or a Map) anew because its table is full, the old table keeps what it held, and
 * a link to the new one; and as soon as one old table has survived two collections of the young generation, all that its successors ever held
 * survives with it until the whole heap is collected (docs/bench.md, What requests leave behind).
 */
export class Roster<Item> {
  readonly #places = new Set<Place<Item>>()

  get size(): number {
    return this.#places.size
  }

  /** Returns what takes it out again, and says whether it was still in. */
  add(item: Item): () => boolean {
    const place: Place<Item> = { item }
    this.#places.add(place)
    return () => this.#free(place)
  }

  /** Takes out the one that came first. */
  shift(): Item | undefined {
    for (const place of this.#places) {
      const { item } = place
      this.#free(place)
      return item
    }
    return undefined
  }

  *[Symbol.iterator](): Generator<Item> {
    for (const { item } of this.#places) yield item as Item
  }

  #free(place: Place<Item>): boolean {
    place.item = undefined
    return this.#places.delete(place)
  }
}

interface Place<Item> {
  item: Item | undefined
}

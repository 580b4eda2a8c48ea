// A bounded queue in which flows take turns, so that one busy client cannot keep the others waiting.

/** Round robin between flows, first come first served within each. The bound is the caller's to keep. */
export class FairQueue<Item> {
  readonly #flows = new Map<string, Item[]>()
  #size = 0

  get size(): number {
    return this.#size
  }

  /** To the end of its flow; a new flow comes after all that wait already. */
  push(flow: string, item: Item): void {
    const items = this.#flows.get(flow)
    if (items) items.push(item)
    else this.#flows.set(flow, [item])
    this.#size++
  }

  /** Whose turn it is; stays in the queue. */
  get first(): Item | undefined {
    const next = this.#flows.values().next()
    return next.done ? undefined : next.value[0]
  }

  /** Takes the first one out; its flow goes to the back. */
  shift(): Item | undefined {
    const next = this.#flows.entries().next()
    if (next.done) return undefined
    const [flow, items] = next.value
    const item = items.shift()
    this.#flows.delete(flow)
    if (items.length > 0) this.#flows.set(flow, items)
    this.#size--
    return item
  }

  /** All that wait, flow by flow. */
  *[Symbol.iterator](): Generator<Item> {
    for (const items of this.#flows.values()) yield* items
  }

  /** Takes out one that gave up. False when it is not there. */
  remove(flow: string, item: Item): boolean {
    const items = this.#flows.get(flow)
    const place = items?.indexOf(item) ?? -1
    if (!items || place === -1) return false
    items.splice(place, 1)
    if (items.length === 0) this.#flows.delete(flow)
    this.#size--
    return true
  }
}

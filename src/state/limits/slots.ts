// Concurrency slots: leases that are given back once, however often that is said, and that run out if it never is.

export interface Slot {
  /** Milliseconds of the clock in use; after that the slot is free although nobody gave it back. */
  readonly until: number
}

/** Only entities with slots in use are remembered, so there are never more than requests in flight. */
export class SlotTable<Held extends Slot> {
  readonly #held = new Map<string, Set<Held>>()

  /** Slots in use. With `limit` reached, those that ran out are freed first. */
  used(entity: string, limit: number, now: number): number {
    const held = this.#held.get(entity)
    if (!held) return 0
    if (held.size >= limit) for (const slot of held) if (slot.until <= now) this.free(entity, slot)
    return held.size
  }

  take(entity: string, slot: Held): void {
    const held = this.#held.get(entity)
    if (held) held.add(slot)
    else this.#held.set(entity, new Set([slot]))
  }

  /** False when it was free already. */
  free(entity: string, slot: Held): boolean {
    const held = this.#held.get(entity)
    if (!held?.delete(slot)) return false
    if (held.size === 0) this.#held.delete(entity)
    return true
  }

  get size(): number {
    return this.#held.size
  }
}

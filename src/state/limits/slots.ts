// Concurrency slots: leases that are given back once, however often that is said, and that run out if it never is.

/** What holds a slot. */
export interface Slot {
  /** Milliseconds of the clock in use; after that the slot is free although nobody gave it back. */
  readonly until: number
  /** The row of its entity, as far as there is one. */
  row: SlotRow | undefined
  /** Its place in the row; below 0 = it holds none. */
  place: number
}

/** The slots in use of one entity, in no order. */
export class SlotRow {
  readonly held: Slot[] = []
  /** None runs out before. */
  earliest = Number.POSITIVE_INFINITY
  /** Forgotten: another one may stand for its entity by now. */
  gone = false
}

/** Rows without a slot in use that are kept all the same: who comes one at a time comes again. */
const MAX_IDLE = 1_000

/** Only entities with slots in use are remembered, and a few that had: there are hardly more than requests in flight. */
export class SlotTable {
  readonly #rows = new Map<string, SlotRow>()
  #busy = 0

  /** The slots of an entity; undefined when it never had any, which is as good as none in use. */
  find(entity: string): SlotRow | undefined {
    return this.#rows.get(entity)
  }

  /** Slots in use. With `limit` reached, those that ran out are freed first. */
  used(row: SlotRow | undefined, limit: number, now: number): number {
    if (row === undefined) return 0
    if (row.held.length >= limit && row.earliest <= now) this.#expire(row, now)
    return row.held.length
  }

  /** @param slot holds none yet; its row is what `find` has returned for the entity */
  take(entity: string, slot: Slot): void {
    const row = slot.row === undefined || slot.row.gone ? this.#rowOf(entity) : slot.row
    if (row.held.length === 0) {
      this.#busy++
      row.earliest = slot.until
    } else if (slot.until < row.earliest) row.earliest = slot.until
    slot.row = row
    slot.place = row.held.length
    row.held.push(slot)
  }

  /** False when it was free already. */
  free(slot: Slot): boolean {
    const { row, place } = slot
    if (row === undefined || place < 0) return false
    // Its place goes to the last one.
    const last = row.held.pop()!
    if (last !== slot) {
      row.held[place] = last
      last.place = place
    }
    slot.place = -1
    slot.row = undefined
    if (row.held.length === 0) this.#busy--
    return true
  }

  /** Entities with slots in use. */
  get size(): number {
    return this.#busy
  }

  #rowOf(entity: string): SlotRow {
    const known = this.#rows.get(entity)
    if (known) return known
    if (this.#rows.size - this.#busy > MAX_IDLE) this.#forgetIdle()
    const row = new SlotRow()
    this.#rows.set(entity, row)
    return row
  }

  #forgetIdle(): void {
    for (const [entity, row] of this.#rows) {
      if (row.held.length > 0) continue
      row.gone = true
      this.#rows.delete(entity)
    }
  }

  #expire(row: SlotRow, now: number): void {
    let earliest = Number.POSITIVE_INFINITY
    for (let i = row.held.length - 1; i >= 0; i--) {
      const slot = row.held[i]!
      // Those behind it were looked at already: one of them takes its place.
      if (slot.until <= now) this.free(slot)
      else earliest = Math.min(earliest, slot.until)
    }
    row.earliest = earliest
  }
}

// Remembers units in little memory: what was seen of each is a mask of bits.
import { Murmur3 } from './assignment.ts'

/** A unit's name in the table: 64 bits of hashes of it, of which the first half is its bucket. */
export interface UnitId {
  readonly high: number
  readonly low: number
}

/** Finds the ids of units in a rollout. */
export class UnitNames {
  readonly #bucket: Murmur3
  /** Begins one byte earlier, so that the two differ in more than where they start from. */
  readonly #rest: Murmur3

  /** @param seed the rollout's own */
  constructor(seed: string) {
    this.#bucket = new Murmur3(`${seed}:`)
    this.#rest = new Murmur3(seed)
  }

  /** `high` is as `bucketOf`. */
  idOf(unit: string): UnitId {
    return { high: this.#bucket.of(unit), low: this.#rest.of(unit) }
  }
}

export const unitIdOf = (seed: string, unit: string): UnitId => new UnitNames(seed).idOf(unit)

const smallest = 1024

/**
 * An open hash table of 12 bytes a place. Two units with the same 64 bits are one: among ten million that happens once in 370,000
 * rollouts, and costs one bad event.
 */
export class UnitTable {
  readonly #most: number
  /** By place: high, low, mask. Side by side, since the places of units lie anywhere, and each look elsewhere waits for the memory. */
  #cells = new Uint32Array(smallest * 3)
  #last = smallest - 1
  #size = 0

  /** @param most units that are kept; those beyond are not remembered, and `has` says so by `isFull` */
  constructor(most = 4_000_000) {
    this.#most = most
  }

  get size(): number {
    return this.#size
  }

  get isFull(): boolean {
    return this.#size >= this.#most
  }

  /** The bits of a unit; 0 when it is not known. */
  get(high: number, low: number): number {
    return this.#cells[this.#find(high, low) + 2]!
  }

  /** Adds bits to a unit. @returns the bits before; nothing is kept of new units when the table is full */
  add(high: number, low: number, bits: number): number {
    const at = this.#find(high, low)
    const cells = this.#cells
    const before = cells[at + 2]!
    if (before === 0) {
      if (this.isFull || bits === 0) return 0
      cells[at] = high
      cells[at + 1] = low
      this.#size++
    }
    cells[at + 2] = before | bits
    if (before === 0 && this.#size * 2 > this.#last) this.#grow()
    return before
  }

  *entries(): Generator<UnitId & { mask: number }> {
    const cells = this.#cells
    for (let at = 0; at < cells.length; at += 3) {
      const mask = cells[at + 2]!
      // 0 = the place is free.
      if (mask !== 0) yield { high: cells[at]!, low: cells[at + 1]!, mask }
    }
  }

  /** Where it is, or would be. */
  #find(high: number, low: number): number {
    const cells = this.#cells
    // The bucket alone would not do: it is what the arms are cut by, and spread evenly only over all of them.
    let place = (high ^ low) & this.#last
    for (;;) {
      const at = place * 3
      if (cells[at + 2] === 0 || (cells[at] === high && cells[at + 1] === low)) return at
      place = (place + 1) & this.#last
    }
  }

  #grow(): void {
    const old = this.#cells
    this.#last = this.#last * 2 + 1
    this.#cells = new Uint32Array((this.#last + 1) * 3)
    for (let from = 0; from < old.length; from += 3) {
      if (old[from + 2] === 0) continue
      const at = this.#find(old[from]!, old[from + 1]!)
      this.#cells[at] = old[from]!
      this.#cells[at + 1] = old[from + 1]!
      this.#cells[at + 2] = old[from + 2]!
    }
  }
}

const digits = Uint8Array.from(Buffer.from('0123456789abcdef'))

/** 16 hex digits, at one go: the engine's own way takes longer than all the rest of a request's assignment. */
export function formatUnit({ high, low }: UnitId): string {
  const d = digits
  return String.fromCharCode(
    d[high >>> 28]!,
    d[(high >>> 24) & 15]!,
    d[(high >>> 20) & 15]!,
    d[(high >>> 16) & 15]!,
    d[(high >>> 12) & 15]!,
    d[(high >>> 8) & 15]!,
    d[(high >>> 4) & 15]!,
    d[high & 15]!,
    d[low >>> 28]!,
    d[(low >>> 24) & 15]!,
    d[(low >>> 20) & 15]!,
    d[(low >>> 16) & 15]!,
    d[(low >>> 12) & 15]!,
    d[(low >>> 8) & 15]!,
    d[(low >>> 4) & 15]!,
    d[low & 15]!,
  )
}

/** Of 16 hex digits as `formatUnit` writes them: digit by digit, five times as fast as the engine's own way. */
export const parseUnit = (text: string): UnitId => ({ high: parseHalf(text, 0), low: parseHalf(text, 8) })

function parseHalf(text: string, at: number): number {
  let half = 0
  for (let i = at; i < at + 8; i++) {
    const code = text.charCodeAt(i)
    half = (half << 4) | (code - (code > 57 ? 87 : 48))
  }
  return half >>> 0
}

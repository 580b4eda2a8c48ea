// Remembers units in little memory: what was seen of each is a mask of bits.
import { bucketOf, murmur3 } from './assignment.ts'

/** A unit's name in the table: 64 bits of hashes of it, of which the first half is its bucket. */
export interface UnitId {
  readonly high: number
  readonly low: number
}

/** Of a unit in a rollout. @param seed the rollout's own */
export const unitIdOf = (seed: string, unit: string): UnitId => ({
  high: bucketOf(seed, unit),
  low: murmur3(`${unit}:${seed}`),
})

const smallest = 1024

/**
 * An open hash table of 12 bytes a place. Two units with the same 64 bits are one: among ten million that happens once in 370,000
 * rollouts, and costs one bad event.
 */
export class UnitTable {
  readonly #most: number
  #high = new Uint32Array(smallest)
  #low = new Uint32Array(smallest)
  /** 0 = the place is free. */
  #mask = new Uint32Array(smallest)
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
    return this.#mask[this.#place(high, low)]!
  }

  /** Adds bits to a unit. @returns the bits before; nothing is kept of new units when the table is full */
  add(high: number, low: number, bits: number): number {
    const place = this.#place(high, low)
    const before = this.#mask[place]!
    if (before === 0) {
      if (this.isFull || bits === 0) return 0
      this.#high[place] = high
      this.#low[place] = low
      this.#size++
    }
    this.#mask[place] = before | bits
    if (before === 0 && this.#size * 2 > this.#mask.length) this.#grow()
    return before
  }

  *entries(): Generator<UnitId & { mask: number }> {
    for (const [place, mask] of this.#mask.entries()) {
      if (mask !== 0) yield { high: this.#high[place]!, low: this.#low[place]!, mask }
    }
  }

  #place(high: number, low: number): number {
    const last = this.#mask.length - 1
    // The bucket alone would not do: it is what the arms are cut by, and spread evenly only over all of them.
    let place = (high ^ low) & last
    while (this.#mask[place] !== 0 && (this.#high[place] !== high || this.#low[place] !== low))
      place = (place + 1) & last
    return place
  }

  #grow(): void {
    const old = { high: this.#high, low: this.#low, mask: this.#mask }
    const length = old.mask.length * 2
    this.#high = new Uint32Array(length)
    this.#low = new Uint32Array(length)
    this.#mask = new Uint32Array(length)
    for (const [index, mask] of old.mask.entries()) {
      if (mask === 0) continue
      const place = this.#place(old.high[index]!, old.low[index]!)
      this.#high[place] = old.high[index]!
      this.#low[place] = old.low[index]!
      this.#mask[place] = mask
    }
  }
}

/** 16 hex digits. */
export const formatUnit = ({ high, low }: UnitId): string =>
  high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0')

export const parseUnit = (text: string): UnitId => ({
  high: Number.parseInt(text.slice(0, 8), 16),
  low: Number.parseInt(text.slice(8), 16),
})

// Repeatable chance: a digest of what is asked becomes the seed of every draw, so that equal requests get equal replies.
import { createHash } from 'node:crypto'

const LETTERS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** SHA-256 of the parts; their borders count, so `['ab', 'c']` differs from `['a', 'bc']`. */
export function digest(...parts: (string | number | Uint8Array)[]): Buffer {
  const hash = createHash('sha256')
  for (const part of parts) {
    const data = typeof part === 'number' ? String(part) : part
    hash.update(`${data.length}:`)
    hash.update(data)
  }
  return hash.digest()
}

/** A small fast generator (sfc32) that a digest seeds. Not for secrets. */
export class Dice {
  #a: number
  #b: number
  #c: number
  #d = 1

  /** `seed`: at least 12 bytes. */
  constructor(seed: Buffer) {
    this.#a = seed.readInt32LE(0)
    this.#b = seed.readInt32LE(4)
    this.#c = seed.readInt32LE(8)
  }

  /** A number in [0, 1). */
  next(): number {
    const t = (((this.#a + this.#b) | 0) + this.#d) | 0
    this.#d = (this.#d + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (this.#c << 21) | (this.#c >>> 11)
    this.#c = (this.#c + t) | 0
    return (t >>> 0) / 4294967296
  }

  /** A whole number in [low, high]. */
  between(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1))
  }

  pick<T>(list: readonly [T, ...T[]]): T {
    return list[Math.floor(this.next() * list.length)] as T
  }

  /** Letters and digits, as in vendors' ids. */
  id(length: number): string {
    let text = ''
    for (let i = 0; i < length; i++) text += LETTERS[Math.floor(this.next() * 62)]
    return text
  }
}

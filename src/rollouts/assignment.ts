// Which arm a unit goes to: a hash of the unit against the canary's weight. No memory, so every process gives the same answer.

/** Parts per million in a whole. */
export const million = 1_000_000
const words = 2 ** 32

/**
 * Murmur3, x86, 32 bits, with seed 0 (Austin Appleby, 2011, public domain), over the UTF-8 bytes of a text. The same function as in the
 * SDKs of feature flags, so that an assignment can be recomputed elsewhere.
 * @returns an integer from 0 to before 2^32
 */
export const murmur3 = (text: string): number => new Murmur3('').of(text)

/** The same for texts that all begin with the same words: these are hashed once, and joined to nothing, which would take longer than hashing. */
export class Murmur3 {
  readonly #prefix: string
  #hash = 0
  /** Of the bytes that are no whole word yet. */
  #word = 0
  #seen = 0

  constructor(prefix: string) {
    this.#prefix = prefix
    for (let i = 0; i < prefix.length; i++) {
      const code = prefix.charCodeAt(i)
      this.#seen |= code
      this.#word |= code << ((i & 3) << 3)
      if ((i & 3) !== 3) continue
      this.#hash = mixIn(this.#hash, this.#word)
      this.#word = 0
    }
  }

  /** Of the prefix and the text behind it. */
  of(text: string): number {
    const before = this.#prefix.length
    const length = before + text.length
    let hash = this.#hash
    let word = this.#word
    let seen = this.#seen
    for (let i = before; i < length; i++) {
      const code = text.charCodeAt(i - before)
      seen |= code
      word |= code << ((i & 3) << 3)
      if ((i & 3) !== 3) continue
      hash = mixIn(hash, word)
      word = 0
    }
    // Characters are bytes only where all are ASCII; units nearly always are.
    if (seen > 127) return murmur3Bytes(Buffer.from(this.#prefix + text))
    return finish((length & 3) === 0 ? hash : hash ^ scramble(word), length)
  }
}

/** The same over bytes. */
export function murmur3Bytes(bytes: Uint8Array): number {
  const { length } = bytes
  const whole = length & ~3
  let hash = 0
  for (let i = 0; i < whole; i += 4) {
    hash = mixIn(hash, bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24))
  }
  let tail = 0
  for (let i = length - 1; i >= whole; i--) tail = (tail << 8) | bytes[i]!
  return finish(whole === length ? hash : hash ^ scramble(tail), length)
}

/**
 * Where a unit lies on the circle of 2^32 places. The seed is the rollout's own, so that it is not always the same users who get what is new.
 * @returns an integer from 0 to before 2^32
 */
export const bucketOf = (seed: string, unit: string): number => new Murmur3(`${seed}:`).of(unit)

/** The bucket of a request without a unit. @param draw uniform in [0, 1) */
export const drawBucket = (draw: number): number => Math.floor(draw * words)

/** Buckets below it are the canary's. @param weightPpm from 0 to a million; the product stays below 2^53, so this is exact */
export const thresholdOf = (weightPpm: number): number => Math.floor((weightPpm * words) / million)

/** Monotone: whoever is on the canary at one weight is so at every greater one. */
export const isCanary = (bucket: number, weightPpm: number): boolean => bucket < thresholdOf(weightPpm)

function scramble(word: number): number {
  const k = Math.imul(word, 0xcc9e2d51)
  return Math.imul((k << 15) | (k >>> 17), 0x1b873593)
}

function mixIn(hash: number, word: number): number {
  const h = hash ^ scramble(word)
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0
}

function finish(hash: number, length: number): number {
  let h = hash ^ length
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

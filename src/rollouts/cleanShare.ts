// The canary's share among requests of units that had no bad event yet: what a first bad event of a unit is judged by.
import { million, thresholdOf } from './assignment.ts'

/** Most requests that are looked back on. */
export const longest = 2 ** 15
/** Counts of two kinds in one small integer. */
const stride = longest + 1

/**
 * Errors come in clusters by user while the arms are assigned by user, so only the first bad event of a unit counts. And once the arms
 * differ, units drop out of the worse arm faster, so that the assigned weight is not the chance any more that the next first bad event is
 * the canary's: in the end every unit has had one, and the ratio drifts to 1. What counts is the share among those still clean, as the
 * risk set does in a log-rank test (Mantel, 1966; anytime-valid: Grünwald, Ly, Pérez-Ortiz, ter Schure, 2021).
 *
 * It is taken over the last requests of clean units before the one in question, so it is known beforehand: 500 of them, more at small
 * weights so that the smaller arm has a hundred in it, and as many more at the assigned weight as give that arm ten. Buckets are kept
 * instead of arms: when the weight changes, the window tells at once what the share is under the new one.
 *
 * What is tried and worse: the assigned weight times the part of each arm that is clean. It leaves out how many users the canary happens
 * to have, and finds harmful canaries harmless in 10 % of runs where 5 % are allowed.
 */
export class CleanShare {
  readonly #buckets = new Uint32Array(longest)
  #pushed = 0
  /** Requests that count, and those of them that are the canary's. */
  #length = 0
  #canary = 0
  #weightPpm = -1
  #threshold = 0
  #window = 0

  /** Parts per million, for a request that is assigned at this weight. */
  share(weightPpm: number): number {
    return shareOf(this.look(weightPpm), weightPpm)
  }

  /** What the share follows from, for a request that is assigned at this weight: to be kept until it is wanted, which is seldom. */
  look(weightPpm: number): number {
    if (weightPpm !== this.#weightPpm) this.#weigh(weightPpm)
    return this.#canary * stride + this.#length
  }

  /** Another window with the same requests in it. */
  copy(): CleanShare {
    const copy = new CleanShare()
    copy.#buckets.set(this.#buckets)
    copy.#pushed = this.#pushed
    copy.#length = this.#length
    copy.#canary = this.#canary
    copy.#weightPpm = this.#weightPpm
    copy.#threshold = this.#threshold
    copy.#window = this.#window
    return copy
  }

  /** A request of a clean unit. */
  push(bucket: number): void {
    const last = longest - 1
    if (this.#length >= this.#window) {
      if (this.#buckets[(this.#pushed - this.#length) & last]! < this.#threshold) this.#canary--
    } else this.#length++
    this.#buckets[this.#pushed & last] = bucket
    this.#pushed++
    if (bucket < this.#threshold) this.#canary++
  }

  #weigh(weightPpm: number): void {
    this.#weightPpm = weightPpm
    this.#threshold = thresholdOf(weightPpm)
    this.#window = Math.min(longest, Math.max(500, Math.round(100 / smallerOf(weightPpm))))
    this.#length = Math.min(this.#pushed, this.#window)
    this.#canary = 0
    for (let i = 1; i <= this.#length; i++) {
      if (this.#buckets[(this.#pushed - i) & (longest - 1)]! < this.#threshold) this.#canary++
    }
  }
}

/** The weight of the smaller arm. */
const smallerOf = (weightPpm: number): number => Math.max(1, Math.min(weightPpm, million - weightPpm)) / million

/** Parts per million. @param looked what `look` has said at that weight */
export function shareOf(looked: number, weightPpm: number): number {
  if (weightPpm === 0 || weightPpm === million) return weightPpm
  const canary = Math.floor(looked / stride)
  const length = looked - canary * stride
  const pseudo = 10 / smallerOf(weightPpm)
  const w = weightPpm / million
  return rounded(Math.round(((canary + pseudo * w) / (length + pseudo)) * million))
}

/** To three digits of the smaller side, so that counts by share stay few. Never down to nothing. */
function rounded(ppm: number): number {
  const small = Math.min(ppm, million - ppm)
  const step = small >= 100_000 ? 1000 : small >= 10_000 ? 100 : small >= 1000 ? 10 : 1
  const near = Math.max(1, Math.round(small / step) * step)
  return ppm === small ? near : million - near
}

// What one bad event adds to the evidence: the conditional-share likelihood ratio, in nats.
import { million } from './assignment.ts'

/** Candidates of harm, as multiples of the ratio that is still all right. Each has the same weight in the mixture. */
export const harmFactors: readonly number[] = [1.25, 1.5, 2, 3, 5, 10, 30, 100]
/** Candidates of harmlessness, as multiples of the ratio that is harmful. */
export const safeFactors: readonly number[] = [0.9, 0.8, 0.65, 0.5, 0.35, 0.2, 0.1]
/** Candidates of a wrong share, as multiples of its odds. */
export const shareFactors: readonly number[] = [0.5, 0.67, 0.8, 0.9, 1.1, 1.25, 1.5, 2]

/**
 * Log of the likelihood ratio of "risk ratio `r`" against "risk ratio `r0`" for one bad event of a request that was on the canary with
 * probability `w`. Under a risk ratio r a bad event is the canary's with probability q(r) = wr / (wr + 1 − w), whatever the common rate is:
 *
 *     canary:  ln q(r)/q(r0)             = ln(r/r0) − ln[(1 + w(r−1)) / (1 + w(r0−1))]
 *     stable:  ln (1−q(r))/(1−q(r0))     =          − ln[(1 + w(r−1)) / (1 + w(r0−1))]
 *
 * Under r0 the expectation of its exponential is q(r0)·q(r)/q(r0) + … = 1: a fair bet. Where the true ratio lies on the far side of r0 it
 * is below 1. Conditioning on the bad event is what makes outages and drifts that both arms share cancel (Cox, 1958; as a test
 * martingale: Ville, 1939; Ramdas, Grünwald, Vovk, Shafer, 2023).
 */
export function increment(r: number, r0: number, w: number, canary: boolean): number {
  const shared = Math.log1p(w * (r - 1)) - Math.log1p(w * (r0 - 1))
  return (canary ? Math.log(r / r0) : 0) - shared
}

/**
 * Evidence is added up in steps of 2^-32 nats, so that sums of up to 2^21 nats are exact in doubles: the same events give the same
 * evidence to the last bit in any order, from any number of processes, before and after a restart. Rounded down, which can only make
 * the bet worse, so that the guarantee holds as it stands.
 */
export const grid = 2 ** 32
export const onGrid = (nats: number): number => Math.floor(nats * grid) / grid

/** The increments of a set of candidates, by the canary's share. First those of a stable event, then those of a canary event. */
export class Increments {
  readonly r0: number
  readonly ratios: readonly number[]
  #cached = new Map<number, Float64Array>()
  #lastPpm = -1
  #last: Float64Array = new Float64Array(0)

  /** @param factors candidates as multiples of `r0` */
  constructor(r0: number, factors: readonly number[]) {
    this.r0 = r0
    this.ratios = factors.map((factor) => r0 * factor)
  }

  /** @param ppm the canary's share, parts per million */
  of(ppm: number): Float64Array {
    if (ppm !== this.#lastPpm) {
      this.#last = this.#cached.get(ppm) ?? this.#compute(ppm)
      this.#lastPpm = ppm
    }
    return this.#last
  }

  #compute(ppm: number): Float64Array {
    // Shares of clean units are many over the months.
    if (this.#cached.size >= 4096) this.#cached.clear()
    const w = ppm / million
    const table = Float64Array.from(
      [false, true].flatMap((canary) => this.ratios.map((r) => onGrid(increment(r, this.r0, w, canary)))),
    )
    this.#cached.set(ppm, table)
    return table
  }
}

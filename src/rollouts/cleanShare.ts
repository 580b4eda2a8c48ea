// The chance that the next first bad event of a unit is the canary's, given who is still without one.
import { million } from './assignment.ts'

/**
 * Errors come in clusters by user while the arms are assigned by user, so only the first bad event of a unit counts. And once the arms
 * differ, units drop out of the worse arm faster, so that the assigned weight is not the chance any more that the next first bad event is
 * the canary's: in the end every unit has had one, and the ratio drifts to 1. What counts is the share among those still clean, as the
 * risk set does in a log-rank test (Mantel, 1966; anytime-valid: Grünwald, Ly, Pérez-Ortiz, ter Schure, 2021).
 *
 * With c = the part of an arm's last requests that came from clean units, the share is w·c_canary / (w·c_canary + (1−w)·c_stable). The
 * windows hold what came before the request in question. Counting the canary's clean requests among the last 500 of both arms instead
 * fails at small weights: at 0.1 % that window has no canary in it most of the time, and then every bad event of it looks like a miracle.
 */
export class CleanShare {
  readonly #stable: Part
  readonly #canary: Part
  readonly #pseudo: number
  #weightPpm = -1

  /** @param pseudo requests with the common part of clean ones that are added to each arm, so that a small window says nothing rash */
  constructor(window = 500, pseudo = 20) {
    this.#stable = new Part(window)
    this.#canary = new Part(window)
    this.#pseudo = pseudo
  }

  /** Parts per million, for a request that is assigned at this weight. */
  share(weightPpm: number): number {
    if (weightPpm !== this.#weightPpm) {
      // Most units of a canary that has just grown come from stable, and are as clean as those there.
      if (this.#weightPpm !== -1) this.#canary.clear()
      this.#weightPpm = weightPpm
    }
    const { clean, count } = this.#stable
    const other = this.#canary
    if (clean === count && other.clean === other.count) return weightPpm
    if (weightPpm === 0 || weightPpm === million) return weightPpm
    const common = (clean + other.clean) / (count + other.count)
    const w = (weightPpm / million) * this.#cleanOf(other, common)
    const rest = (1 - weightPpm / million) * this.#cleanOf(this.#stable, common)
    // Where hardly anybody is clean in either arm, the windows say nothing of the few who are.
    return common === 0 ? weightPpm : rounded(Math.round((w / (w + rest)) * million))
  }

  /** @param isClean its unit had no bad event when it came */
  push(canary: boolean, isClean: boolean): void {
    ;(canary ? this.#canary : this.#stable).push(isClean)
  }

  #cleanOf({ clean, count }: Part, common: number): number {
    return (clean + this.#pseudo * common) / (count + this.#pseudo)
  }
}

/** How many of an arm's last requests were clean. */
class Part {
  readonly #ring: Uint8Array
  #next = 0
  count = 0
  clean = 0

  constructor(window: number) {
    this.#ring = new Uint8Array(window)
  }

  push(isClean: boolean): void {
    const { length } = this.#ring
    if (this.count === length) this.clean -= this.#ring[this.#next]!
    else this.count++
    this.#ring[this.#next] = isClean ? 1 : 0
    if (isClean) this.clean++
    this.#next = this.#next + 1 === length ? 0 : this.#next + 1
  }

  clear(): void {
    this.#next = 0
    this.count = 0
    this.clean = 0
  }
}

/** To three digits of the smaller side, so that counts by share stay few. Never down to nothing. */
function rounded(ppm: number): number {
  const small = Math.min(ppm, million - ppm)
  const step = small >= 100_000 ? 1000 : small >= 10_000 ? 100 : small >= 1000 ? 10 : 1
  const near = Math.max(1, Math.round(small / step) * step)
  return ppm === small ? near : million - near
}

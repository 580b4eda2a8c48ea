// The canary's rate of errors against a bound of its own: for harm that the other arm suffers, too, and for a canary that is alone.
import { ratesAbove } from './oneSample.ts'
import { EvidenceProcess } from './process.ts'
import { type Count, Tally } from './tally.ts'

/** A sequential test of one arm's error rate against a fixed bound: the rollout's `slo`. */
export class RateCheck {
  readonly bound: number
  readonly tally = new Tally()
  readonly limit: number
  readonly #startEpoch: number
  readonly #increments: Float64Array
  readonly #process: EvidenceProcess
  #stale = false

  /** @param bound rate that is all right. @param alpha chance of ever finding fault with a canary that always stays below it */
  constructor(bound: number, alpha: number, startEpoch: number) {
    this.bound = bound
    this.limit = -Math.log(alpha)
    this.#startEpoch = startEpoch
    this.#increments = ratesAbove(bound)
    this.#process = new EvidenceProcess(this.#increments.length / 2, true)
  }

  /** One first attempt that is decided. The stable arm's are counted for comparison alone. */
  see(epoch: number, ppm: number, canary: boolean, bad: boolean): void {
    this.tally.see(epoch, ppm, canary)
    if (bad) this.tally.addBad(epoch, ppm, canary)
    if (!canary) return
    if (epoch - this.#startEpoch < this.#process.epoch) this.#stale = true
    if (!this.#stale) this.#add(epoch, bad, 1)
  }

  merge(count: Count): void {
    this.tally.merge(count)
    this.#stale = true
  }

  get logEvidence(): number {
    this.#renew()
    return this.#process.logEvidence()
  }

  get isAbove(): boolean {
    return this.logEvidence >= this.limit
  }

  #renew(): void {
    if (!this.#stale) return
    this.#stale = false
    this.#process.clear()
    for (const { epoch, seenCanary, badCanary } of this.tally.cells()) {
      if (badCanary > 0) this.#add(epoch, true, badCanary)
      if (seenCanary > badCanary) this.#add(epoch, false, seenCanary - badCanary)
    }
  }

  #add(epoch: number, bad: boolean, times: number): void {
    this.#process.add(
      Math.max(0, epoch - this.#startEpoch),
      this.#increments,
      bad ? this.#increments.length / 2 : 0,
      times,
    )
  }
}

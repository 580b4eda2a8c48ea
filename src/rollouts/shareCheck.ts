// Sample-ratio check: whether the canary gets the share of requests that it was given.
import { Increments, shareFactors } from './increments.ts'
import { EvidenceProcess } from './process.ts'
import { type Count, Tally } from './tally.ts'

/**
 * The conditional-share test over all units that are assigned, two-sided: candidates are multiples of the odds. It finds faults of the
 * assignment, a process that still works with an old weight, and a unit so large that it is an arm by itself. Such data prove nothing,
 * so what follows is a pause, not a rollback.
 */
export class ShareCheck {
  readonly tally = new Tally()
  readonly limit: number
  readonly #increments = new Increments(1, shareFactors)
  readonly #process = new EvidenceProcess(shareFactors.length, false)

  constructor(alpha: number) {
    this.limit = -Math.log(alpha)
  }

  /** One unit, or one request where the unit is the request. */
  see(epoch: number, ppm: number, canary: boolean): void {
    this.tally.see(epoch, ppm, canary)
    this.#process.add(0, this.#increments.of(ppm), canary ? shareFactors.length : 0)
  }

  merge(count: Count): void {
    this.tally.merge(count)
    this.#process.add(0, this.#increments.of(count.ppm), 0, count.seenStable)
    this.#process.add(0, this.#increments.of(count.ppm), shareFactors.length, count.seenCanary)
  }

  get logEvidence(): number {
    return this.#process.logEvidence()
  }

  get isWrong(): boolean {
    return this.#process.logEvidence() >= this.limit
  }
}

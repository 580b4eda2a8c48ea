// Sample-ratio check: whether the canary gets the share of requests that it was given.
import { Alike } from './alike.ts'
import { Increments, shareFactors } from './increments.ts'
import { EvidenceProcess } from './process.ts'
import { type Count, Tally } from './tally.ts'

/**
 * The conditional-share test over all units that are assigned, two-sided: candidates are multiples of the odds. It finds faults of the
 * assignment, a process that still works with an old weight, and a unit so large that it is an arm by itself. Such data prove nothing,
 * so what follows is a pause, not a rollback.
 */
export class ShareCheck {
  readonly limit: number
  readonly #tally = new Tally()
  readonly #increments = new Increments(1, shareFactors)
  readonly #process = new EvidenceProcess(shareFactors.length, false)
  readonly #alike = new Alike((epoch, ppm, _, stable, canary) => this.#add(epoch, ppm, stable, canary))

  constructor(alpha: number) {
    this.limit = -Math.log(alpha)
  }

  /** One unit, or one request where the unit is the request. */
  see(epoch: number, ppm: number, canary: boolean): void {
    this.#alike.see(epoch, ppm, 0, canary)
  }

  merge({ epoch, ppm, seenStable, seenCanary }: Count): void {
    this.#add(epoch, ppm, seenStable, seenCanary)
  }

  /** With all that was seen until now; ask again for what comes later. */
  get tally(): Tally {
    this.#alike.settle()
    return this.#tally
  }

  get logEvidence(): number {
    this.#alike.settle()
    return this.#process.logEvidence()
  }

  get isWrong(): boolean {
    return this.logEvidence >= this.limit
  }

  #add(epoch: number, ppm: number, stable: number, canary: number): void {
    this.#tally.merge({ epoch, ppm, seenStable: stable, seenCanary: canary, badStable: 0, badCanary: 0 })
    const increments = this.#increments.of(ppm)
    this.#process.add(0, increments, 0, stable)
    this.#process.add(0, increments, shareFactors.length, canary)
  }
}

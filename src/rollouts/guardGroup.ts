// Guards that look at a request at the same moment, and what they have seen together.
import { Alike } from './alike.ts'
import type { Guard, GuardPlan } from './guard.ts'

/** The guards that decide at the same moment of a request (first byte, end, …). */
export class GuardGroup {
  readonly numbers: readonly number[]
  /** The same as bits: all of them, and those of bad events. */
  readonly all: number
  readonly events: number
  /** Requests by which of them have looked. */
  readonly alike: Alike

  constructor(guards: readonly Guard[], isIn: (plan: GuardPlan) => boolean) {
    this.numbers = guards.flatMap(({ plan }, number) => (isIn(plan) ? [number] : []))
    const bitsOf = (numbers: readonly number[]): number => numbers.reduce((bits, number) => bits | (1 << number), 0)
    this.all = bitsOf(this.numbers)
    this.events = bitsOf(this.numbers.filter((number) => guards[number]!.plan.bit !== 0))
    this.alike = new Alike((epoch, ppm, marks, stable, canary) => {
      for (const number of this.numbers)
        if (marks & (1 << number))
          guards[number]!.tally.merge({
            epoch,
            ppm,
            seenStable: stable,
            seenCanary: canary,
            badStable: 0,
            badCanary: 0,
          })
    })
  }
}

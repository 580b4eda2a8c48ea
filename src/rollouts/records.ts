// From the records of requests back to the counts: after a restart, and to check a decision by the ledger.
import { planGuards } from './guard.ts'
import type { RolloutPolicy } from './policy.ts'
import { type Count, Tally } from './tally.ts'
import type { EvidenceRecord } from './ticket.ts'

/** Adds up records. In any order. */
export class RecordTallies {
  readonly #ids: readonly string[]
  readonly #tallies: readonly Tally[]
  readonly #learnt: number
  #stable = 0
  #canary = 0

  /** @param policy the one that they were judged by */
  constructor(policy: RolloutPolicy) {
    const guards = planGuards(policy).map(({ id }) => id)
    this.#ids = [...guards, 'assigned', ...(policy.sloErrorRate === undefined ? [] : ['slo'])]
    this.#tallies = this.#ids.map(() => new Tally())
    this.#learnt = 1 << (guards.length + 1)
  }

  /** @param times how many records are the same as this one: sums of whole numbers, so that it is as if each was added by itself */
  add(record: EvidenceRecord, times = 1): void {
    const { seen, bad, epoch, ppm, canary, shares } = record
    if (seen & this.#learnt) {
      if (canary) this.#canary += times
      else this.#stable += times
    }
    for (let number = 0; number < this.#tallies.length; number++) {
      const mark = 1 << number
      const tally = this.#tallies[number]!
      if (seen & mark) tally.see(epoch, ppm, canary, times)
      if (bad & mark) tally.addBad(epoch, shares?.[number] ?? ppm, canary, times)
    }
  }

  counts(): Count[] {
    const none = { epoch: 0, ppm: 0, badStable: 0, badCanary: 0 }
    const decided = { guard: 'decided', ...none, seenStable: this.#stable, seenCanary: this.#canary }
    return [...this.#tallies.flatMap((tally, number) => tally.counts(this.#ids[number]!)), decided]
  }
}

/** The counts of requests whose records were kept. In any order. The policy has to be the one that they were judged by. */
export function countsOf(policy: RolloutPolicy, records: Iterable<EvidenceRecord>): Count[] {
  const tallies = new RecordTallies(policy)
  for (const record of records) tallies.add(record)
  return tallies.counts()
}

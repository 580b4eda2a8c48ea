// From the records of requests back to the counts: after a restart, and to check a decision by the ledger.
import { planGuards } from './guard.ts'
import type { RolloutPolicy } from './policy.ts'
import { type Count, Tally } from './tally.ts'
import type { EvidenceRecord } from './ticket.ts'

/** The counts of requests whose records were kept. In any order. The policy has to be the one that they were judged by. */
export function countsOf(policy: RolloutPolicy, records: Iterable<EvidenceRecord>): Count[] {
  const ids = [...planGuards(policy).map(({ id }) => id), 'assigned']
  if (policy.sloErrorRate !== undefined) ids.push('slo')
  const tallies = ids.map(() => new Tally())
  const learnt = 1 << (planGuards(policy).length + 1)
  let stable = 0
  let canary = 0
  for (const record of records) {
    if (record.seen & learnt) {
      if (record.canary) canary++
      else stable++
    }
    for (const [number, tally] of tallies.entries()) {
      const mark = 1 << number
      if (record.seen & mark) tally.see(record.epoch, record.ppm, record.canary)
      if (record.bad & mark) tally.addBad(record.epoch, record.shares?.[number] ?? record.ppm, record.canary)
    }
  }
  const decided = {
    guard: 'decided',
    epoch: 0,
    ppm: 0,
    seenStable: stable,
    seenCanary: canary,
    badStable: 0,
    badCanary: 0,
  }
  return [...tallies.flatMap((tally, number) => tally.counts(ids[number]!)), decided]
}

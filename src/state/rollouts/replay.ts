// Recomputes the decision of an attempt from the rows of its requests alone: what the gateway has decided must follow from what it has written.
import type { StoredRecord, StoredRollout } from '../../config/rolloutTypes.ts'
import { hardSight, isTold, kindOf } from '../../rollouts/hardRows.ts'
import { HardRule } from '../../rollouts/hardRule.ts'
import { countsOf, Evidence, type EvidenceRecord, type EvidenceReport, judge, reportOf } from '../../rollouts/index.ts'

export interface Replay {
  readonly rows: number
  /** With which request harm was found, in the order of arrival; undefined = it was not. */
  readonly found:
    | { readonly request: number; readonly cause: string; readonly guard: string | undefined; readonly reason: string }
    | undefined
  /** Of all rows, those that ended after the decision included. */
  readonly evidence: EvidenceReport
}

export function replay({ definition, state }: StoredRollout, records: Iterable<StoredRecord>): Replay {
  const { policy } = definition
  const evidence = new Evidence(policy, state.attemptAt)
  const hard = new HardRule(policy.hard, policy.hardRun)
  const sight = hardSight(policy, evidence.guards.length)
  const rows = [...records].sort((a, b) => a.arrival - b.arrival)
  let found: Replay['found']
  let batch: EvidenceRecord[] = []
  for (const { id, record, firstAttempt } of rows) {
    batch.push(record)
    const isHard = isTold(sight, record.seen) && hard.see(record.canary, kindOf(firstAttempt))
    if (isHard && !found) found = { request: id, cause: 'hard', guard: undefined, reason: hard.reason }
    // Nothing else can raise the evidence of harm.
    if (!record.canary || record.bad === 0) continue
    evidence.merge(countsOf(policy, batch))
    batch = []
    if (!evidence.harm || found) continue
    const { ppm } = record
    const said = judge(evidence, { weightPpm: ppm, advance: 'no_harm', minRequests: 0, canaryInStep: 0 })
    found = { request: id, cause: said.cause, guard: said.guard, reason: said.reason }
  }
  evidence.merge(countsOf(policy, batch))
  return { rows: rows.length, found, evidence: reportOf(evidence, state.weightPpm) }
}

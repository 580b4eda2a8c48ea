// Recomputes the decision of an attempt from the rows of its requests alone: what the gateway has decided must follow from what it has written.
import type { KeptRows, RolloutEvent, StoredRecord, StoredRollout } from '../../config/rolloutTypes.ts'
import { hardSight, isTold, kindOf, recallHard } from '../../rollouts/hardRows.ts'
import { HardRule } from '../../rollouts/hardRule.ts'
import {
  countsOf,
  type Decision,
  Evidence,
  type EvidenceRecord,
  type EvidenceReport,
  judge,
  type RolloutPolicy,
  reportOf,
} from '../../rollouts/index.ts'
import { isRunning, type Phase } from '../../rollouts/machine.ts'
import type { ShownEvidence } from './evidenceView.ts'

export interface Found {
  readonly request: number
  readonly cause: Decision['cause']
  readonly guard: string | undefined
  readonly reason: string
  /** Bad events of the canary that this guard had counted by then; undefined where it is no guard's. */
  readonly bad: number | undefined
}

export interface Replay {
  readonly rows: number
  /** With which request harm was found, in the order of arrival; undefined = it was not. */
  readonly found: Found | undefined
  /** Of all rows, those that ended after the decision included. */
  readonly evidence: EvidenceReport
}

export function replay({ definition, state }: StoredRollout, records: Iterable<StoredRecord>): Replay {
  const evidence = new Evidence(definition.policy, state.attemptAt)
  const hard = new HardRule(definition.policy.hard, definition.policy.hardRun)
  const { rows, found } = search(definition.policy, evidence, hard, records)
  return { rows, found, evidence: reportOf(evidence, state.weightPpm) }
}

/**
 * The harm that a process found before it could store it, as a replay tells it: of several the one that came first, with what was known
 * then. Undefined where what is folded has it already, or rows of it are gone.
 */
export function firstHarm(
  policy: RolloutPolicy,
  startedAt: number,
  { folds, records }: KeptRows,
): Decision | undefined {
  const evidence = new Evidence(policy, startedAt)
  const hard = new HardRule(policy.hard, policy.hardRun)
  const isHard =
    recallHard(
      hard,
      policy.hard,
      folds.map((fold) => fold.hard),
    ) !== undefined
  evidence.merge(folds.flatMap(({ counts }) => counts))
  if (isHard || evidence.harm) return undefined
  const { found } = search(policy, evidence, hard, records)
  return found && { action: 'rollback', cause: found.cause, guard: found.guard, reason: found.reason }
}

function harmAt(evidence: Evidence, request: number, weightPpm: number): Found {
  const said = judge(evidence, { weightPpm, advance: 'no_harm', minRequests: 0, canaryInStep: 0 })
  const bad = evidence.guards.find(({ plan }) => plan.id === said.guard)?.tally.badCanary
  return { request, cause: said.cause, guard: said.guard, reason: said.reason, bad }
}

/**
 * What had ended the attempt when harm was found: what was under way then went on, and its rows are evidence of what nobody was asked about
 * any more. Undefined where the gateway had, or could have, known of it.
 * @param events those of the rollout, in order
 * @param records those of the attempt
 */
export function overBefore(
  events: readonly RolloutEvent[],
  attempt: number,
  found: Found,
  records: readonly Pick<StoredRecord, 'id' | 'arrival'>[],
): RolloutEvent | undefined {
  const end = events.findLast(
    ({ from, to, ...event }) =>
      event.attempt === attempt && isRunning({ phase: from as Phase }) && !isRunning({ phase: to }),
  )
  const known = end?.evidence as ShownEvidence | null | undefined
  if (!known?.waiting || known.waiting.start + known.waiting.end === 0) return undefined
  if (found.guard === undefined) {
    // The rule takes requests in the order of their arrival: with so many assigned after it, that one was not waited for any more.
    const { arrival } = records.find(({ id }) => id === found.request)!
    const after = records.filter((record) => record.arrival > arrival && record.arrival <= known.arrivals)
    return after.length < known.waiting.start ? end : undefined
  }
  const guard = known.guards.find(({ id }) => id === found.guard)
  return guard && !guard.isHarm && guard.bad.canary < found.bad! ? end : undefined
}

/** Adds rows to the evidence, in the order of arrival, and says with which one there was harm. */
function search(
  policy: RolloutPolicy,
  evidence: Evidence,
  hard: HardRule,
  records: Iterable<StoredRecord>,
): { rows: number; found: Found | undefined } {
  const sight = hardSight(policy, evidence.guards.length)
  const rows = [...records].sort((a, b) => a.arrival - b.arrival)
  let found: Found | undefined
  let batch: EvidenceRecord[] = []
  for (const { id, record, firstAttempt } of rows) {
    batch.push(record)
    // Nothing else can raise the evidence of harm.
    if (record.canary && record.bad !== 0) {
      evidence.merge(countsOf(policy, batch))
      batch = []
      if (evidence.harm && !found) found = harmAt(evidence, id, record.ppm)
    }
    // After the guards, as while they come: of one request that both act with it is the guard that did.
    const isHard = isTold(sight, record.seen) && hard.see(record.canary, kindOf(firstAttempt))
    if (isHard && !found) found = { request: id, cause: 'hard', guard: undefined, reason: hard.reason, bad: undefined }
  }
  evidence.merge(countsOf(policy, batch))
  return { rows: rows.length, found }
}

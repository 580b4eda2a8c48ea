// One attempt of a rollout while it runs: its evidence, who is under way on the canary, and what an operator has gone on after.
import type { RolloutDefinition, StoredRecord } from '../../config/rolloutTypes.ts'
import {
  type Count,
  countsOf,
  type Decision,
  Evidence,
  type EvidenceRecord,
  judge,
  parseUnit,
} from '../../rollouts/index.ts'
import type { State, Step } from '../../rollouts/machine.ts'

export class Trial {
  readonly evidence: Evidence
  /** Takes a request back from the canary; kept while it waits for its first byte. */
  readonly pending = new Set<() => void>()
  /** Causes of pauses that somebody has resumed after: they do not pause again. */
  readonly accepted: string[] = []
  /** What it was paused for by itself. */
  pausedFor: string | undefined
  /** Decided requests of the canary before this step. */
  #before = 0
  #stepRevision: number

  constructor({ policy }: RolloutDefinition, { attemptAt, stepRevision }: State) {
    this.evidence = new Evidence(policy, attemptAt)
    this.#stepRevision = stepRevision
  }

  /** Requests of the canary that were decided at this step. */
  get canaryInStep(): number {
    return this.evidence.canary - this.#before
  }

  /** Call with each new state. */
  follow({ stepRevision, phase }: State): void {
    if (phase === 'stepping' && this.pausedFor !== undefined) {
      this.accepted.push(this.pausedFor)
      this.pausedFor = undefined
    }
    if (stepRevision === this.#stepRevision) return
    this.#stepRevision = stepRevision
    this.#before = this.evidence.canary
  }

  /** Takes up what the rows of the attempt have: what is in flight when a process dies is in none, and counts for nothing. */
  restore(records: Iterable<StoredRecord>): { rows: number; lastArrival: number } {
    const { evidence } = this
    const { policy, guards } = evidence
    let rows = 0
    let lastArrival = 0
    let before = 0
    const stepRevision = this.#stepRevision
    const learnt = 1 << (guards.length + 1)
    function* each(): Generator<EvidenceRecord> {
      for (const { record, unit, revision, arrival } of records) {
        rows++
        lastArrival = Math.max(lastArrival, arrival)
        if (record.canary && revision < stepRevision && record.seen & learnt) before++
        evidence.recall(record, unit === undefined ? undefined : parseUnit(unit))
        yield record
      }
    }
    const counts: Count[] = countsOf(policy, each())
    evidence.merge(counts)
    this.#before = before
    return { rows, lastArrival }
  }

  /** What the evidence says is to be done at a step; at none for a percentage that stays as it is. */
  decide(weightPpm: number, step: Step | undefined): Decision {
    const wait = step?.kind === 'wait' ? step : undefined
    return judge(this.evidence, {
      weightPpm,
      advance: wait?.advance ?? 'no_harm',
      minRequests: wait?.minRequests ?? 1,
      canaryInStep: this.canaryInStep,
      accepted: this.accepted,
    })
  }
}

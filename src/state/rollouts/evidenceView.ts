// The evidence of a rollout as events keep it and the admin API shows it.
import { type EvidenceReport, reportOf } from '../../rollouts/index.ts'
import type { Live } from './live.ts'

export interface ShownEvidence extends EvidenceReport {
  /** Requests assigned so far, in this attempt and those before it. */
  readonly arrivals: number
  readonly canary_in_step: number
  /** First attempts, and ends, that are still waited for. */
  readonly waiting: { readonly start: number; readonly end: number }
}

/** Null before the first attempt, and after a restart for what does not run. */
export function evidenceOf(live: Live): ShownEvidence | null {
  const { trial, arrivals, weightPpm } = live
  if (!trial) return null
  return {
    ...reportOf(trial.evidence, weightPpm),
    arrivals,
    canary_in_step: trial.evidence.canaryInStep,
    waiting: trial.evidence.waiting,
  }
}

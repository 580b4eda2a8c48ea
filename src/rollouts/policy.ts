// What a rollout is judged by: its guards, what each may spend, and what makes it stop. Plain JSON, fixed while an attempt runs.
import { isSize, type Metric } from './outcome.ts'
import type { UnitKind } from './unit.ts'

/** `abort`: back to stable. `pause`: stand still until somebody looks. `watch`: tell, and do nothing. */
export type GuardAction = 'abort' | 'pause' | 'watch'

export interface GuardSetting {
  readonly metric: Metric
  /** Of sizes: where the exceedance is looked for, such as 0.5 and 0.95. Each gets an equal part of `share`. */
  readonly quantiles?: readonly number[] | undefined
  /** Bad events: up to this ratio canary / stable is no harm. Sizes: so many times the stable arm's size is no harm. */
  readonly maxRatio: number
  /** From this ratio on `non_inferior` must not pass; undefined = the guard has no part in `non_inferior`. Bad events only. */
  readonly harmRatio?: number | undefined
  /**
   * Second way to `non_inferior`: the canary's own rate is shown to be below it. For rare events, where ratios take for ever to tell.
   * Only where the unit is the request.
   */
  readonly safeRate?: number | undefined
  /** Part of `alpha` that it may spend. Those with the same action sum to at most 1. */
  readonly share: number
  readonly action: GuardAction
}

export interface RolloutPolicy {
  readonly unit: UnitKind
  /** Chance that a healthy canary is ever aborted in one attempt. */
  readonly alpha: number
  /** Chance that a harmful one is ever found `non_inferior`. */
  readonly beta: number
  readonly guards: readonly GuardSetting[]
  /** Bad events of the canary below which no guard acts. */
  readonly minBadEvents: number
  /** Kinds of fault that a canary never recovers from by itself; `hardRun` of them in a row abort. */
  readonly hard: readonly string[]
  readonly hardRun: number
  /** The canary's rate of first-attempt errors must not be shown to be above it, whatever stable's is. */
  readonly sloErrorRate: number | undefined
  /** What the check of the shares may spend. */
  readonly srmAlpha: number
  /**
   * Milliseconds after which a request without a first byte is waited for no longer, and is bad (`slow_start`) unless stable itself takes
   * that long: then three times stable's 95 % quantile is the bound, for the canary times what its guards of times allow.
   */
  readonly slowStart: number
  /** Milliseconds after which nothing more is learnt from a reply that is not over. */
  readonly lateEnd: number
  /** Milliseconds of an epoch: the evidence starts anew with each, aligned to the clock. */
  readonly epoch: number
  /** Requests of the canary before sizes are compared: its caches of prompts are cold at first. */
  readonly warmup: number
}

/** The settings of an operator who says nothing. */
export const defaultPolicy: RolloutPolicy = {
  unit: 'conversation',
  alpha: 0.01,
  beta: 0.05,
  guards: [
    { metric: 'first_attempt_error', maxRatio: 1.25, harmRatio: 2, share: 0.4, action: 'abort' },
    { metric: 'slow_start', maxRatio: 1.25, share: 0.1, action: 'abort' },
    { metric: 'late_error', maxRatio: 1.25, share: 0.1, action: 'abort' },
    { metric: 'ttft', quantiles: [0.5, 0.95], maxRatio: 1.3, share: 0.1, action: 'abort' },
    { metric: 'latency', quantiles: [0.5, 0.95], maxRatio: 1.3, share: 0.1, action: 'abort' },
    { metric: 'truncated', maxRatio: 1.5, share: 0.1, action: 'abort' },
    { metric: 'refused', maxRatio: 1.5, share: 0.1, action: 'abort' },
  ],
  minBadEvents: 3,
  hard: ['auth_failed', 'permission_denied', 'model_not_found', 'quota_exhausted'],
  hardRun: 3,
  sloErrorRate: undefined,
  srmAlpha: 0.001,
  slowStart: 5000,
  lateEnd: 60_000,
  epoch: 600_000,
  warmup: 0,
}

/** What is wrong with a policy, in words for the operator; empty = nothing. */
export function faultsOf(policy: RolloutPolicy): string[] {
  const faults: string[] = []
  const names = new Set<Metric>()
  for (const guard of policy.guards) {
    const { metric, quantiles, harmRatio, maxRatio, safeRate } = guard
    if (names.has(metric)) faults.push(`the guard '${metric}' is there twice`)
    names.add(metric)
    if (isSize(metric)) {
      if (!quantiles?.length) faults.push(`the guard '${metric}' compares sizes: it needs quantiles`)
      else if (new Set(quantiles).size < quantiles.length) faults.push(`the guard '${metric}' has a quantile twice`)
      if (harmRatio !== undefined || safeRate !== undefined) {
        faults.push(`the guard '${metric}' compares sizes: harmRatio and safeRate are for bad events`)
      }
    } else if (quantiles) faults.push(`the guard '${metric}' counts bad events: it has no quantiles`)
    if (harmRatio !== undefined && harmRatio < maxRatio) {
      faults.push(`the guard '${metric}': harmRatio ${harmRatio} is below maxRatio ${maxRatio}`)
    }
    if (safeRate !== undefined && policy.unit !== 'request') {
      faults.push(`the guard '${metric}': safeRate is for rollouts whose unit is the request`)
    }
  }
  for (const action of ['abort', 'pause'] as const) {
    const sum = policy.guards.reduce((total, guard) => total + (guard.action === action ? guard.share : 0), 0)
    if (sum > 1 + 1e-9)
      faults.push(`the shares of the guards that ${action} sum to ${Number(sum.toFixed(6))}, more than 1`)
  }
  if (policy.guards.length > 24) faults.push('more than 24 guards')
  return faults
}

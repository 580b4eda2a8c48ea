// What a guard knows, as rows for people and metrics.
import type { Evidence } from './evidence.ts'
import { type Forecast, forecastHarm, forecastSafe } from './forecast.ts'
import type { Guard } from './guard.ts'
import { quantileRanks, ratioInterval } from './interval.ts'
import type { GuardAction } from './policy.ts'
import type { SizeWindow } from './sizeWindow.ts'

/** Nats: the evidence is e to the power of it, to 1. */
export interface GuardReport {
  readonly id: string
  readonly metric: string
  readonly action: GuardAction
  readonly share: number
  readonly logHarm: number
  readonly logLimit: number
  readonly isHarm: boolean
  /** Undefined = the guard has no part in `non_inferior`. */
  readonly logSafe: number | undefined
  readonly logSafeLimit: number | undefined
  readonly isSafe: boolean | undefined
  readonly maxRatio: number
  readonly harmRatio: number | undefined
  readonly seen: { readonly stable: number; readonly canary: number }
  readonly bad: { readonly stable: number; readonly canary: number }
  /** Of the rates of bad events; of exceedances, for sizes. Each null as long as it is unknown or unbounded. */
  readonly ratio: { readonly point: number | null; readonly lower: number; readonly upper: number | null }
  /** For sizes: the quantile over the last requests of each arm, with its bounds. */
  readonly sizes: { readonly stable: SizeReport | undefined; readonly canary: SizeReport | undefined } | undefined
  /** Until harm of twice what is allowed would be found. */
  readonly untilHarm: Forecast | undefined
  /** Until harmlessness is shown, if the arms are alike. */
  readonly untilSafe: Forecast | undefined
}

export interface SizeReport {
  readonly value: number
  readonly lower: number
  /** Null = too few for a bound. */
  readonly upper: number | null
  readonly count: number
}

export interface EvidenceReport {
  readonly guards: readonly GuardReport[]
  readonly decided: { readonly stable: number; readonly canary: number }
  /** Units where they are known, else requests. */
  readonly assigned: { readonly stable: number; readonly canary: number; readonly log: number; readonly limit: number }
  readonly slo:
    | { readonly bound: number; readonly rate: number | null; readonly log: number; readonly limit: number }
    | undefined
}

/** Confidence of what is shown; what is decided has its own. */
const shown = 0.05

/** Finite numbers only, so that it can be kept as JSON. */
export function reportOf(evidence: Evidence, weightPpm: number): EvidenceReport {
  const { shareCheck, rateCheck } = evidence
  return {
    guards: evidence.guards.map((guard) => reportGuard(evidence, guard, weightPpm)),
    decided: { stable: evidence.stable, canary: evidence.canary },
    assigned: {
      stable: shareCheck.tally.seenStable,
      canary: shareCheck.tally.seenCanary,
      log: shareCheck.logEvidence,
      limit: shareCheck.limit,
    },
    slo: rateCheck && {
      bound: rateCheck.bound,
      rate: rateCheck.tally.seenCanary === 0 ? null : rateCheck.tally.badCanary / rateCheck.tally.seenCanary,
      log: rateCheck.logEvidence,
      limit: rateCheck.limit,
    },
  }
}

function reportGuard(evidence: Evidence, guard: Guard, weightPpm: number): GuardReport {
  const { plan, tally } = guard
  const { beta } = evidence.policy
  const ratio = ratioInterval(tally.shares(), shown)
  return {
    id: plan.id,
    metric: plan.metric,
    action: plan.action,
    share: plan.share,
    logHarm: guard.logHarm,
    logLimit: plan.limit,
    isHarm: guard.isHarm(),
    logSafe: guard.logSafe,
    logSafeLimit: plan.harmRatio === undefined ? undefined : guard.safeLimit(beta),
    isSafe: plan.harmRatio === undefined ? undefined : guard.isSafe(beta),
    maxRatio: plan.size ? plan.margin : plan.r0,
    harmRatio: plan.harmRatio,
    seen: { stable: tally.seenStable, canary: tally.seenCanary },
    bad: { stable: tally.badStable, canary: tally.badCanary },
    ratio: { point: finite(ratio.point), lower: ratio.lower, upper: finite(ratio.upper) },
    sizes: plan.size && {
      stable: sizeReport(evidence.sizes.window(plan.size, 'stable'), plan.quantile),
      canary: sizeReport(evidence.sizes.window(plan.size, 'canary'), plan.quantile),
    },
    untilHarm: forecastHarm(guard, 2 * plan.r0, weightPpm),
    untilSafe: forecastSafe(guard, 1, weightPpm, beta),
  }
}

function sizeReport(window: SizeWindow | undefined, p: number): SizeReport | undefined {
  if (!window || window.count === 0) return undefined
  const { count } = window
  const ranks = quantileRanks(count, p, shown) ?? { lower: 0, upper: count + 1 }
  const lower = ranks.lower === 0 ? 0 : window.ranked(ranks.lower)
  return { value: window.quantile(p), lower, upper: finite(window.ranked(ranks.upper)), count }
}

const finite = (value: number): number | null => (Number.isFinite(value) ? value : null)

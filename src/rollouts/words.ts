// Evidence in plain words.
import { million } from './assignment.ts'
import type { Guard } from './guard.ts'
import { pointOf } from './interval.ts'
import type { RolloutPolicy } from './policy.ts'

/**
 * Why a guard has fired, such as: "first_attempt_error: 4 of 5 bad events on the canary at 5 % weight, observed ratio 76x, allowed 1.25x;
 * evidence 3,058 : 1, limit 250 : 1 (alpha 1 %, share 0.4)".
 */
export function explainHarm(guard: Guard, policy: RolloutPolicy, weightPpm: number): string {
  const { plan, tally } = guard
  const bad = `${tally.badCanary} of ${tally.badCanary + tally.badStable}`
  const what = plan.size
    ? `${bad} requests above stable's ${percent(plan.quantile)} quantile of ${plan.metric} (the canary's divided by ${figure(plan.margin)}) on the canary`
    : `${bad} bad events on the canary`
  const allowed = plan.size ? '' : `, allowed ${figure(plan.r0)}x`
  return (
    `${plan.id}: ${what} at ${percent(weightPpm / million)} weight, observed ratio ${ratioOf(guard)}${allowed}; ` +
    `evidence ${odds(guard.logHarm)}, limit ${odds(plan.limit)} (alpha ${percent(policy.alpha)}, share ${figure(plan.share)})`
  )
}

/** How far a guard is from showing that the canary is not harmful. */
export function explainSafe(guard: Guard, beta: number): string {
  const { plan, tally } = guard
  const bad = `${tally.badCanary} of ${tally.badCanary + tally.badStable} bad events on the canary`
  return (
    `${plan.id}: ${bad}, observed ratio ${ratioOf(guard)}; evidence ${odds(guard.logSafe ?? 0)} against a ratio of ` +
    `${figure(plan.harmRatio ?? 1)}, limit ${odds(guard.safeLimit(beta))} (beta ${percent(beta)})`
  )
}

function ratioOf({ tally }: Guard): string {
  const point = pointOf(tally.shares())
  if (Number.isNaN(point)) return 'unknown'
  return Number.isFinite(point) ? `${figure(point)}x` : 'unbounded, for stable had none'
}

/** Nats as odds: `3,058 : 1`. */
export function odds(nats: number): string {
  if (nats > 34) return `10^${Math.floor(nats / Math.LN10)} : 1`
  const value = Math.exp(nats)
  return `${value >= 100 ? Math.round(value).toLocaleString('en-US') : figure(value)} : 1`
}

/** Two digits, or whole from ten on. */
export const figure = (value: number): string =>
  value >= 10 ? Math.round(value).toLocaleString('en-US') : `${Number(value.toPrecision(value < 1 ? 2 : 3))}`

export const percent = (part: number): string => `${Number((part * 100).toPrecision(4))} %`

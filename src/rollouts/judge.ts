// What the evidence says is to be done, and why, in plain words with the numbers.
import { million } from './assignment.ts'
import type { Evidence } from './evidence.ts'
import { type Forecast, forecastSafe } from './forecast.ts'
import type { Guard } from './guard.ts'
import { explainHarm, explainSafe, percent } from './words.ts'

export type Action = 'rollback' | 'pause' | 'hold' | 'advance'
/** Why: a closed set, for metrics. */
export type DecisionCause = 'guard' | 'hard' | 'srm' | 'slo' | 'signal' | 'no_data' | 'inconclusive' | 'step'

export interface Conditions {
  /** The canary's weight now. */
  readonly weightPpm: number
  /** `no_harm`: no guard has fired. `non_inferior`: harm is ruled out. */
  readonly advance: 'no_harm' | 'non_inferior'
  /** Requests of the canary that have to be decided in this step, and those that are. */
  readonly minRequests: number
  readonly canaryInStep: number
  /** Causes of a pause that an operator knows of and has gone on after: ids of guards, `srm`, `slo`. */
  readonly accepted?: readonly string[] | undefined
}

export interface Decision {
  readonly action: Action
  readonly cause: DecisionCause
  /** Id of the guard that decides, where one does. */
  readonly guard?: string | undefined
  readonly reason: string
  /** How much more it takes, where that is what is waited for. */
  readonly forecast?: Forecast | undefined
}

/**
 * The one place where guards become a decision. Harm comes first, then what forbids to believe any of it, then what is missing. `advance`
 * means that the evidence allows the next step; whether its time has come is the step's to say. Never on no data.
 *
 * Guards are joined by the union bound: each acts at 1/(alpha·share), and the shares sum to at most 1, so that the chance that any of them
 * ever aborts a healthy canary is at most alpha, however they depend on each other. All that have a `harmRatio` must agree for
 * `non_inferior`, so each may do so at the full beta: a canary that is harmful in one of them passes with a chance of at most beta.
 */
export function judge(evidence: Evidence, conditions: Conditions): Decision {
  const { harm } = evidence
  if (harm) {
    if (harm.cause === 'hard') return { action: 'rollback', cause: 'hard', reason: harm.reason }
    const { guard } = harm
    const reason = explainHarm(guard, evidence.policy, conditions.weightPpm)
    return { action: 'rollback', cause: 'guard', guard: guard.plan.id, reason }
  }
  return doubt(evidence, conditions) ?? progress(evidence, conditions)
}

function doubt(evidence: Evidence, { weightPpm, accepted = [] }: Conditions): Decision | undefined {
  const { rateCheck, shareCheck, policy } = evidence
  if (rateCheck?.isAbove && !accepted.includes('slo')) {
    const { tally, bound } = rateCheck
    const reason =
      `${tally.badCanary} of ${tally.seenCanary} first attempts on the canary failed: more than the ${percent(bound)} allowed. ` +
      `On stable ${tally.badStable} of ${tally.seenStable} did`
    // Alone it is to blame; beside a stable arm that only suffers with it, going back would help nobody.
    return { action: weightPpm >= million ? 'rollback' : 'pause', cause: 'slo', reason }
  }
  if (shareCheck.isWrong && !accepted.includes('srm')) {
    const { seenCanary, seenStable } = shareCheck.tally
    const what = policy.unit === 'request' ? 'requests' : 'units'
    const reason =
      `${seenCanary} of ${seenCanary + seenStable} ${what} went to the canary, which is not the share that it was given: ` +
      'the assignment is at fault, and nothing can be concluded'
    return { action: 'pause', cause: 'srm', reason }
  }
  const signal = evidence.guards.find(
    (guard) => guard.plan.action === 'pause' && !accepted.includes(guard.plan.id) && guard.isHarm(),
  )
  if (!signal) return undefined
  const reason = explainHarm(signal, policy, weightPpm)
  return { action: 'pause', cause: 'signal', guard: signal.plan.id, reason }
}

function progress(evidence: Evidence, conditions: Conditions): Decision {
  const { weightPpm, advance, minRequests, canaryInStep } = conditions
  const needed = Math.max(1, minRequests)
  if (canaryInStep < needed) {
    const reason = `${canaryInStep} of ${needed} requests on the canary are decided in this step`
    return { action: 'hold', cause: 'no_data', reason }
  }
  if (advance === 'no_harm') {
    return {
      action: 'advance',
      cause: 'step',
      reason: `no guard has found harm in ${canaryInStep} requests of this step`,
    }
  }
  const { beta } = evidence.policy
  const gates = evidence.guards.filter(({ plan }) => plan.harmRatio !== undefined)
  const open = gates.filter((guard) => !guard.isSafe(beta))
  if (gates.length > 0 && open.length === 0) {
    return { action: 'advance', cause: 'step', reason: gates.map((guard) => explainSafe(guard, beta)).join('; ') }
  }
  const [guard, forecast] = slowest(open, weightPpm, beta)
  if (!guard) {
    return {
      action: 'hold',
      cause: 'inconclusive',
      reason: 'no guard has a harmRatio: there is nothing to be ruled out',
    }
  }
  return { action: 'hold', cause: 'inconclusive', guard: guard.plan.id, reason: wait(guard, beta, forecast), forecast }
}

function slowest(open: readonly Guard[], weightPpm: number, beta: number): [Guard | undefined, Forecast | undefined] {
  let most: [Guard | undefined, Forecast | undefined] = [undefined, undefined]
  for (const guard of open) {
    const forecast = forecastSafe(guard, 1, weightPpm, beta)
    const requests = (one: Forecast | undefined) => one?.requests ?? Number.POSITIVE_INFINITY
    if (!most[0] || requests(forecast) > requests(most[1])) most = [guard, forecast]
  }
  return most
}

function wait(guard: Guard, beta: number, forecast: Forecast | undefined): string {
  const so = `${explainSafe(guard, beta)}, which is not enough yet`
  if (!forecast) return `${so}, and at this weight it never will be`
  if (forecast.requests === undefined)
    return `${so}: about ${forecast.badEvents} bad events in both arms are needed, and none has come`
  return `${so}: if the arms are alike, about ${forecast.requests} more requests are needed, ${forecast.canary} of them on the canary`
}

// One guard at work: what it has counted, and what that is evidence of.
import { harmFactors, Increments, safeFactors } from './increments.ts'
import { logBelow } from './oneSample.ts'
import { badEvents, bitOf, isSize, type Metric, type Size, sizes } from './outcome.ts'
import type { GuardAction, RolloutPolicy } from './policy.ts'
import { EvidenceProcess } from './process.ts'
import { type Count, Tally } from './tally.ts'

/** One guard of a policy; a size has one for each quantile. */
export interface GuardPlan {
  /** Its metric, with its quantile where it has one: `ttft_p95`. */
  readonly id: string
  readonly metric: Metric
  readonly at: 'start' | 'end'
  /** Of a bad event; 0 for a size. */
  readonly bit: number
  readonly size: Size | undefined
  readonly quantile: number
  /** So many times the stable arm's size is no harm. */
  readonly margin: number
  /** Up to this ratio of the rates is no harm: 1 for sizes, whose margin is in the size. */
  readonly r0: number
  readonly harmRatio: number | undefined
  readonly safeRate: number | undefined
  readonly action: GuardAction
  /** Its part of `alpha`. */
  readonly share: number
  /** Nats at which it acts: ln 1/(alpha · share). */
  readonly limit: number
}

/** The guards of a policy, in the order of their numbers. */
export function planGuards(policy: RolloutPolicy): GuardPlan[] {
  return policy.guards.flatMap((setting) => {
    const { metric, maxRatio, action, harmRatio, safeRate } = setting
    const size = isSize(metric) ? metric : undefined
    const quantiles = size ? (setting.quantiles ?? []) : [0]
    const share = setting.share / quantiles.length
    return quantiles.map((quantile) => ({
      id: size ? `${metric}_p${Number((quantile * 100).toFixed(3))}` : metric,
      metric,
      at: isSize(metric) ? sizes[metric].at : badEvents[metric].at,
      bit: bitOf(metric),
      size,
      quantile,
      margin: size ? maxRatio : 1,
      r0: size ? 1 : maxRatio,
      harmRatio,
      safeRate,
      action,
      share,
      limit: -Math.log(policy.alpha * share),
    }))
  })
}

/** One metric's test for harm and, where `harmRatio` is set, for safety: see docs/rollouts-statistics.md. */
export class Guard {
  readonly plan: GuardPlan
  readonly tally = new Tally()
  readonly #floor: number
  readonly #startEpoch: number
  readonly #harm = new EvidenceProcess(harmFactors.length, true)
  readonly #harmIncrements: Increments
  readonly #safe = new EvidenceProcess(safeFactors.length, false)
  readonly #safeIncrements: Increments | undefined
  #stale = false

  /** @param startEpoch of the attempt: the same in all processes */
  constructor(plan: GuardPlan, startEpoch: number, minBadEvents: number) {
    this.plan = plan
    this.#startEpoch = startEpoch
    this.#floor = minBadEvents
    this.#harmIncrements = new Increments(plan.r0, harmFactors)
    if (plan.harmRatio !== undefined) this.#safeIncrements = new Increments(plan.harmRatio, safeFactors)
  }

  /** @param sharePpm the canary's chance of this bad event. @returns whether the evidence has reached its limit with it */
  addBad(epoch: number, sharePpm: number, canary: boolean): boolean {
    this.tally.addBad(epoch, sharePpm, canary)
    if (epoch - this.#startEpoch < this.#harm.epoch) this.#stale = true
    if (!this.#stale) this.#add(epoch, sharePpm, canary, 1)
    // A stable event only lowers the evidence of harm.
    return canary && this.isHarm()
  }

  isHarm(): boolean {
    if (this.tally.badCanary < this.#floor) return false
    this.#renew()
    return this.#harm.bound() >= this.plan.limit && this.#harm.logEvidence() >= this.plan.limit
  }

  /**
   * Whether harm is ruled out: the ratio is shown to be below `harmRatio`, or the canary's own rate below `safeRate`. Harmful means
   * beyond both, so where there are two ways, each may spend half of beta.
   */
  isSafe(beta: number): boolean {
    const { safeRate } = this.plan
    const { badCanary, seenCanary } = this.tally
    if (this.logSafe !== undefined && this.logSafe >= this.safeLimit(beta)) return true
    return safeRate !== undefined && logBelow(safeRate, badCanary, seenCanary) >= this.safeLimit(beta)
  }

  /** Nats at which harm is ruled out. */
  safeLimit(beta: number): number {
    return -Math.log(this.plan.safeRate === undefined ? beta : beta / 2)
  }

  /** Nats of evidence that the ratio is above what is allowed. */
  get logHarm(): number {
    this.#renew()
    return this.#harm.logEvidence()
  }

  /** Nats of evidence that the ratio is below what is harmful; undefined when the guard has no `harmRatio`. */
  get logSafe(): number | undefined {
    this.#renew()
    return this.#safeIncrements && this.#safe.logEvidence()
  }

  get harmProcess(): EvidenceProcess {
    this.#renew()
    return this.#harm
  }

  get safeProcess(): EvidenceProcess {
    this.#renew()
    return this.#safe
  }

  get harmIncrements(): Increments {
    return this.#harmIncrements
  }

  get safeIncrements(): Increments | undefined {
    return this.#safeIncrements
  }

  /** What another process, or this one before its restart, has counted. */
  merge(count: Count): void {
    this.tally.merge(count)
    this.#stale = true
  }

  /** Epochs must be entered in order; after a merge they are gone through again. */
  #renew(): void {
    if (!this.#stale) return
    this.#stale = false
    this.#harm.clear()
    this.#safe.clear()
    for (const { epoch, ppm, badStable, badCanary } of this.tally.cells()) {
      if (badStable > 0) this.#add(epoch, ppm, false, badStable)
      if (badCanary > 0) this.#add(epoch, ppm, true, badCanary)
    }
  }

  #add(epoch: number, ppm: number, canary: boolean, times: number): void {
    const k = Math.max(0, epoch - this.#startEpoch)
    const offset = canary ? harmFactors.length : 0
    this.#harm.add(k, this.#harmIncrements.of(ppm), offset, times)
    const safe = this.#safeIncrements
    if (safe) this.#safe.add(k, safe.of(ppm), canary ? safeFactors.length : 0, times)
  }
}

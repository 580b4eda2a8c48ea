// The sizes that the arms have shown lately, and the thresholds that follow from stable's.
import type { GuardPlan } from './guard.ts'
import type { Size } from './outcome.ts'
import { SizeWindow } from './sizeWindow.ts'

/** Sizes of stable before any is compared. */
const fewest = 50
/** Sizes of stable after which the thresholds are taken anew. */
const renewal = 16

/**
 * A threshold is a quantile of what stable has shown before the request in question came. However stale or rough it is, it is known
 * before, and the same for both arms; so which requests exceed it is a fair bet while the arms are alike, even while both drift.
 */
export class SizeRoom {
  readonly #plans: readonly GuardPlan[]
  readonly #stable = new Map<Size, SizeWindow>()
  readonly #canary = new Map<Size, SizeWindow>()
  /** By guard; NaN, which nothing exceeds, where too little is known. Never changed: tickets hold on to it. */
  #thresholds: Float64Array
  #sincePush = 0

  constructor(plans: readonly GuardPlan[]) {
    this.#plans = plans
    this.#thresholds = new Float64Array(plans.length).fill(Number.NaN)
    for (const { size } of plans) {
      if (!size || this.#stable.has(size)) continue
      this.#stable.set(size, new SizeWindow())
      this.#canary.set(size, new SizeWindow())
    }
  }

  get thresholds(): Float64Array {
    return this.#thresholds
  }

  push(size: Size, canary: boolean, value: number): void {
    const window = (canary ? this.#canary : this.#stable).get(size)
    if (!window) return
    window.push(value)
    if (!canary && ++this.#sincePush >= renewal) this.#renew()
  }

  /** The last sizes of an arm; undefined where no guard compares them. */
  window(size: Size, arm: 'stable' | 'canary'): SizeWindow | undefined {
    return (arm === 'canary' ? this.#canary : this.#stable).get(size)
  }

  #renew(): void {
    this.#sincePush = 0
    this.#thresholds = Float64Array.from(this.#plans, ({ size, quantile }) => {
      const window = size && this.#stable.get(size)
      return window && window.count >= fewest ? window.quantile(quantile) : Number.NaN
    })
  }
}

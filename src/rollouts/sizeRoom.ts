// The sizes that the arms have shown lately, and the thresholds that follow from stable's.
import type { GuardPlan } from './guard.ts'
import { type Size, sizes } from './outcome.ts'
import { SizeWindow } from './sizeWindow.ts'

/** Sizes of stable before any is compared. */
const fewest = 50
/** Sizes of stable after which its thresholds are taken anew. */
const renewal = 25

interface Shelf {
  readonly stable: SizeWindow
  readonly canary: SizeWindow
  /** Numbers of the guards that compare it. */
  readonly guards: readonly number[]
  fresh: number
}

/**
 * A threshold is a quantile of what stable has shown before the request in question came. However stale or rough it is, it is known
 * before, and the same for both arms; so which requests exceed it is a fair bet while the arms are alike, even while both drift.
 */
export class SizeRoom {
  readonly #plans: readonly GuardPlan[]
  readonly #shelves: Readonly<Record<Size, Shelf | undefined>>
  /** By guard; NaN, which nothing exceeds, where too little is known. Never changed: tickets hold on to it. */
  #thresholds: Float64Array

  constructor(plans: readonly GuardPlan[]) {
    this.#plans = plans
    this.#thresholds = new Float64Array(plans.length).fill(Number.NaN)
    const shelves = (Object.keys(sizes) as Size[]).map((size) => {
      const guards = plans.flatMap((plan, number) => (plan.size === size ? [number] : []))
      const shelf =
        guards.length > 0 ? { stable: new SizeWindow(), canary: new SizeWindow(), guards, fresh: 0 } : undefined
      return [size, shelf] as const
    })
    this.#shelves = Object.fromEntries(shelves) as Record<Size, Shelf | undefined>
  }

  get thresholds(): Float64Array {
    return this.#thresholds
  }

  /** Numbers of the guards that compare a size. */
  guardsOf(size: Size): readonly number[] {
    return this.#shelves[size]?.guards ?? []
  }

  push(size: Size, canary: boolean, value: number): void {
    const shelf = this.#shelves[size]
    if (!shelf) return
    if (canary) return shelf.canary.push(value)
    shelf.stable.push(value)
    if (++shelf.fresh >= renewal && shelf.stable.count >= fewest) this.#renew(shelf)
  }

  /** The last sizes of an arm; undefined where no guard compares them. */
  window(size: Size, arm: 'stable' | 'canary'): SizeWindow | undefined {
    return this.#shelves[size]?.[arm]
  }

  #renew(shelf: Shelf): void {
    shelf.fresh = 0
    this.#thresholds = this.#thresholds.slice()
    for (const g of shelf.guards) this.#thresholds[g] = shelf.stable.quantile(this.#plans[g]!.quantile)
  }
}

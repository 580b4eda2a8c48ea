// What trying a canary has cost so far, and when that is enough.
import type { RolloutBudget } from '../../config/rolloutTypes.ts'
import type { Live } from './live.ts'

/** Nano-USD that the requests of the canary have cost, by attempt: those of one before it may still end. */
export class Purse {
  #attempt = 0
  #nanoUsd = 0

  add(attempt: number, nanoUsd: number): void {
    if (attempt < this.#attempt) return
    if (attempt > this.#attempt) this.#nanoUsd = 0
    this.#attempt = attempt
    this.#nanoUsd += nanoUsd
  }

  spentIn(attempt: number): number {
    return attempt === this.#attempt ? this.#nanoUsd : 0
  }
}

/** How far a budget is used up; undefined without one. */
export function usedOf(live: Live): (RolloutBudget & { spentNanoUsd: number; exposed: number }) | undefined {
  const { budget } = live.definition
  if (!budget) return undefined
  const exposed = live.trial?.evidence.shareCheck.tally.seenCanary ?? 0
  return { ...budget, spentNanoUsd: live.purse.spentIn(live.state.attempt), exposed }
}

/** Why it has to end; undefined where there is no budget, or some of it is left. */
export function explainUsedUp(live: Live): string | undefined {
  const used = usedOf(live)
  if (!used) return undefined
  const { canaryNanoUsd, exposedUnits, spentNanoUsd, exposed } = used
  if (exposedUnits !== undefined && exposed >= exposedUnits)
    return `budget: ${exposed} units were assigned to the canary, of ${exposedUnits}`
  if (canaryNanoUsd === undefined || spentNanoUsd < canaryNanoUsd) return undefined
  return `budget: requests of the canary have cost $${dollars(spentNanoUsd)}, of $${dollars(canaryNanoUsd)}`
}

const dollars = (nanoUsd: number): string => String(Number((nanoUsd / 1e9).toPrecision(6)))

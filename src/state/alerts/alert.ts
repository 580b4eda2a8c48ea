// What alerts are to those who are told: a rule that holds for something, and whether that was said.
import type { AlertSettings } from '../../config/alertTypes.ts'

/** One thing of one rule. Times are Unix milliseconds. */
export interface AlertStatus {
  /** The key, team, route or target; `''` where all are watched together; of a budget its name and whom it is of. */
  readonly entity: string
  /** As it was told last. */
  firing: boolean
  /** Since when it is that. */
  since: number
  /** When something was told of it last. */
  toldAt: number
  /** Nano-USD, but percent for shares. */
  value: number
  threshold: number
  /** Of budgets: the highest percent of the limit that was told. */
  level?: number | undefined
  /** Of budgets: when the window ends; null = no moment is known at which it is over. */
  reset?: number | null | undefined
  /** Of budgets: the limit when it was told; not known where an older version told it, before a restart. */
  limit?: number | undefined
}

/** To be told now: the rule begins to hold for something, or does not hold any more. */
export interface AlertMessage {
  readonly rule: AlertSettings
  readonly status: Readonly<AlertStatus>
  readonly at: number
  /** Why it ended, where that is not the money. */
  readonly reason?: 'rule_removed' | undefined
}

/** What outlives the process: so that a restart neither repeats an alert nor forgets that one is to be taken back. */
export type SavedAlert = { readonly rule: string } & Readonly<AlertStatus>

/** Where that is kept. `save` and `forget` may be called at any rate that people can be told things at; they do not throw. */
export interface AlertMemory {
  load(): SavedAlert[]
  save(alert: SavedAlert): void
  forget(rule: string, entity: string): void
}

/** A budget that passed a share of its limit, or that refuses calls: then it has passed all of it. See `BudgetEvent`. */
export interface BudgetPassed {
  readonly name: string
  readonly scope: string
  readonly entity: string
  readonly percent: number
  readonly spent: number
  readonly limit: number
  readonly reset: number | null
  readonly rolling: boolean
  readonly at: number
}

/** A budget as it is now. */
export type BudgetNow = Pick<BudgetPassed, 'name' | 'entity' | 'spent' | 'limit' | 'rolling'>

/** All budgets that are in use, as they are now; `among`: of a budget with this name, entities of such names at least. */
export type BudgetsNow<Now extends BudgetNow = BudgetNow> = (
  among?: (budget: string) => readonly string[],
) => Iterable<Now>

/** A rule and what it holds for, for those who look. */
export interface AlertView {
  readonly rule: AlertSettings
  /** Whether its past is read from the ledger: before that it says nothing. */
  readonly ready: boolean
  /** Things that it tells apart, and calls of things beyond those. */
  readonly watched: number
  readonly untold: number
  readonly firing: readonly Readonly<AlertStatus>[]
}

// What budgets are to those who ask: reserve the worst case before a call, settle to what it cost.
import type { BudgetSettings } from '../../config/limitTypes.ts'
import type { Applied, ScopeFacts } from '../scope.ts'
import type { Account } from './account.ts'

export type AppliedBudget = Applied<BudgetSettings>

/** One budget of one entity. Money is integer nano-USD, times are Unix milliseconds. */
export interface BudgetState {
  readonly name: string
  /** What it counts by or is for: `key`, `key and route`, `everything`. */
  readonly scope: string
  /** The key's name, say; `''` where all count together. */
  readonly entity: string
  readonly hard: boolean
  readonly limit: number
  readonly spent: number
  readonly reserved: number
  readonly window: BudgetSettings['window']
  readonly rolling: boolean
  /** When there is more again; null = never by itself. */
  readonly reset: number | null
}

export interface BudgetRefusal extends BudgetState {
  /** `too_large`: it would not fit an untouched budget either. `unknown_price`: no bound of its cost is known. */
  readonly reason: 'exhausted' | 'too_large' | 'unknown_price'
  /** What the call may cost at most; null when that is not known, or `beyondAll`. */
  readonly needed: number | null
  /** What was left. */
  readonly room: number
  /** The route to take in its place. */
  readonly degradeTo: string | undefined
  /** A smaller answer may fit. */
  readonly fit: boolean
  readonly applied: AppliedBudget
}

/** The part of a reservation that one budget holds back. */
export interface Hold extends AppliedBudget {
  readonly account: Account
  readonly window: number
}

/** Money held back for one attempt. To be settled or released, once; more often does no harm. */
export interface Reservation {
  readonly amount: number
  readonly holds: readonly Hold[]
  /** Soft budgets that it may take over their limit, by name. */
  readonly exceeded: readonly string[]
  /** A hard budget is among those that hold it. */
  readonly hard: boolean
  /** No bound of its cost is known: nothing is held back. */
  readonly unbounded: boolean
  open: boolean
}

export type BudgetVerdict =
  | { readonly ok: true; readonly reservation: Reservation }
  | { readonly ok: false; readonly refusal: BudgetRefusal }

/** Worst case of a call that may cost more than any budget may have. */
export const beyondAll = Number.MAX_SAFE_INTEGER

/**
 * Spending leaves a rolling window bit by bit: a share of the limit is told of again when it is passed after less than this part of it was
 * spent. At 1 it would be told with each call at its edge.
 */
export const toldAgainBelow = 0.95

/** Something that an operator wants to know of: spending passed a share of the limit, or a call was refused. */
export interface BudgetEvent extends BudgetState {
  readonly kind: 'threshold' | 'exhausted'
  /** 50, 80 or 100. */
  readonly percent: number
  readonly at: number
}

/** All entities of one budget together, nano-USD. */
export interface BudgetTotal {
  readonly entities: number
  readonly spent: number
  readonly reserved: number
  /** What the entity that is nearest to its limit has spent. */
  readonly most: number
}

export interface Budgets {
  /** Holds back `worst` on all budgets, or on none. `worst` null = no bound is known. */
  reserve(applied: readonly AppliedBudget[], worst: number | null): BudgetVerdict
  /**
   * Books what the attempt cost and returns what was held back too much (below 0: too little, the bound did not hold).
   * `actual` null = not known: what was held back is booked.
   */
  settle(reservation: Reservation, actual: number | null): number
  /** The attempt cost nothing. */
  release(reservation: Reservation): void
  /** What the tightest hard budget has left; Infinity without one. */
  room(applied: readonly AppliedBudget[]): number
  /** A call was refused in the end, not only one of its targets: an operator wants to know of the first one of a window. */
  tellRefused(refusal: BudgetRefusal): void
  states(applied: readonly AppliedBudget[]): BudgetState[]
  /** Every entity that has spent or reserved something, in the order in which they came; `among`: those of such names at least. */
  entities(budget: BudgetSettings, among?: readonly string[]): Iterable<BudgetState>
  total(budget: BudgetSettings): BudgetTotal
  /** Whether what was spent before this process is known. Not to be used before it is: see `restore`. */
  isRestored(budget: BudgetSettings): boolean
  /** Whether that is known of all budgets of a list. Costs one comparison for the list that was asked for last, and was known. */
  areRestored(budgets: readonly BudgetSettings[]): boolean
  /** Books what the ledger knows: spending of `at`, for one budget. Tells no events. */
  restore(budget: BudgetSettings, spent: { facts: ScopeFacts; at: number; nano: number }): void
  /** All that was spent before is restored. */
  restored(budget: BudgetSettings): void
  /**
   * Forgets budgets that are not among those in use, and accounts without money in their window. To be called whenever others come into use:
   * those that come back have to be restored again.
   */
  prune(inUse: readonly BudgetSettings[]): void
  readonly size: { readonly budgets: number; readonly accounts: number; readonly reserved: number }
}

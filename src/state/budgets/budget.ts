// What budgets are to those who ask: reserve the worst case before a call, settle to what it cost.
import type { BudgetSettings } from '../../config/limitTypes.ts'
import type { Applied, ScopeFacts } from '../scope.ts'
import type { Account } from './account.ts'

export type AppliedBudget = Applied<BudgetSettings>

/** One budget of one entity. Money is integer nano-USD, times are Unix milliseconds. */
export interface BudgetState {
  readonly name: string
  /** `key`, `key and route`, `everything`. */
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
  readonly reason: 'exhausted' | 'unknown_price'
  /** What the call may cost at most; null when that is not known. */
  readonly needed: number | null
  /** What was left. */
  readonly room: number
  /** The route to take in its place. */
  readonly degradeTo: string | undefined
  /** A smaller answer may fit: see `fitOutput`. */
  readonly fit: boolean
}

/** The part of a reservation that one budget holds back. */
export interface Hold {
  readonly applied: AppliedBudget
  readonly account: Account
  readonly window: number
}

/** Money held back for one attempt. To be settled or released, once; more often does no harm. */
export interface Reservation {
  readonly amount: number
  readonly holds: readonly Hold[]
  /** Budgets that would rather have known a bound, but only warn. */
  readonly unbounded: readonly string[]
  open: boolean
}

export type BudgetVerdict =
  | { readonly ok: true; readonly reservation: Reservation }
  | { readonly ok: false; readonly refusal: BudgetRefusal }

/** Something that an operator wants to know of: spending passed a share of the limit, or a call was refused. */
export interface BudgetEvent extends BudgetState {
  readonly kind: 'threshold' | 'exhausted'
  /** 50, 80 or 100. */
  readonly percent: number
  readonly at: number
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
  states(applied: readonly AppliedBudget[]): BudgetState[]
  /** Books what the ledger knows: spending of `at`, for one budget. Before traffic; tells no events. */
  restore(budget: BudgetSettings, spent: { facts: ScopeFacts; at: number; nano: number }): void
  /** Whether this process counts for a budget of this name, scope and window already. If not, read the ledger and `restore`. */
  isKnown(budget: BudgetSettings): boolean
  /** Forgets budgets that are not among those in use, and accounts without money in their window. */
  prune(inUse: readonly BudgetSettings[]): void
  readonly size: { readonly accounts: number }
}

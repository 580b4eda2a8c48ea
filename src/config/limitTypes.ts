// The frozen form of limits, budgets and access rules: resolved, with units read.

export type LimitScope = 'key' | 'team' | 'route' | 'user' | 'ip'
export type BudgetScope = 'key' | 'team' | 'user' | 'route' | 'target'

/** How much may pass in any stretch of `window`. What is undefined is not limited. */
export interface LimitSettings {
  /** Stable across swaps: live state hangs on it. */
  readonly name: string
  /** Each combination of these counts by itself; none = all requests together. */
  readonly per: readonly LimitScope[]
  readonly only: Readonly<Partial<Record<LimitScope, string>>>
  readonly requests: number | undefined
  readonly tokens: number | undefined
  /** Requests at the same time. */
  readonly concurrency: number | undefined
  /** Milliseconds. */
  readonly window: number
  /** How long a request may wait for its turn before it is refused; 0 = not at all. */
  readonly queueMs: number
  /** Requests of one entity that may wait at a time. */
  readonly queueSize: number
  /** Tokens taken for an answer whose request sets no cap, until it is known how long it is. */
  readonly answerTokens: number
  /** Limits that keys or teams bring along, one each: those with the same word are counted in one table, by entity. */
  readonly group?: string | undefined
}

export type BudgetWindow = 'minute' | 'hour' | 'day' | 'week' | 'month' | 'lifetime'

/** How much money may be spent in a window. */
export interface BudgetSettings {
  /** Stable across swaps and restarts: live state hangs on it. */
  readonly name: string
  readonly per: readonly BudgetScope[]
  readonly only: Readonly<Partial<Record<BudgetScope, string>>>
  /** Integer nano-USD. */
  readonly limitNano: number
  /** A soft budget only tells. */
  readonly hard: boolean
  readonly window: BudgetWindow
  /** False: windows of the calendar in `timezone`. True: the last minute, hour, 24 hours, 7 days, 30 days. */
  readonly rolling: boolean
  /** IANA name. */
  readonly timezone: string
  /** Undefined = refuse; else the route to take in its place. */
  readonly degradeTo: string | undefined
  /** Cap the answer of a request without a cap of its own so that it fits the rest. */
  readonly fit: boolean
  /** What becomes of a call whose cost has no known bound. */
  readonly onUnknownPrice: 'refuse' | 'warn'
}

/** What a team's keys share. */
export interface TeamLimits {
  readonly limits: readonly LimitSettings[]
  readonly budgets: readonly BudgetSettings[]
}

/** Who may come to the doors at all. */
export interface AccessSettings {
  /** Addresses and CIDR ranges. Not empty: nobody else may come. */
  readonly allow: readonly string[]
  /** Wins over `allow`. */
  readonly deny: readonly string[]
  /** Requests for `/status` and `/metrics` in any minute per address; 0 = not limited. */
  readonly statusPerMinute: number
  readonly metricsPerMinute: number
  /** Wrong keys in any minute per address, after which the address has to wait; 0 = not limited. */
  readonly failuresPerMinute: number
}

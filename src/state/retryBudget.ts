// Bounds retries to a share of the traffic, so that a vendor in trouble is not buried under its clients' persistence.

export interface RetryBudget {
  /** A request has come in: it earns a share of a retry. */
  earn(route: string, share: number): void
  /** Takes one retry, if there is one. */
  take(route: string): boolean
}

/** Retries that a route may make before it has earned any, and the most it can save up. */
const FLOOR = 10
const CEILING = 100

/** A token bucket a route, filled by requests rather than by time, as in Finagle's RetryBudget. Bounded by `maxRoutes`. */
export function createRetryBudget(maxRoutes = 2000): RetryBudget {
  const balances = new Map<string, number>()
  return {
    earn(route, share) {
      const balance = balances.get(route)
      if (balance === undefined && balances.size >= maxRoutes) balances.delete(balances.keys().next().value!)
      balances.set(route, Math.min(CEILING, (balance ?? FLOOR) + share))
    },
    take(route) {
      const balance = balances.get(route) ?? FLOOR
      if (balance < 1) return false
      balances.set(route, balance - 1)
      return true
    },
  }
}

// Counts who was not let in, by reason.
import type { Metrics } from './metrics.ts'
import { type AuthFailure, authFailures } from './metricTable.ts'

const indexOf = Object.fromEntries(authFailures.map((reason, index) => [reason, index])) as Record<AuthFailure, number>

/** Returns the function that counts one refusal. */
export function countAuthFailures(metrics: Pick<Metrics, 'counter'>): (reason: AuthFailure) => void {
  const row = metrics.counter('authFailures').seed()
  return (reason) => {
    const cell = indexOf[reason]
    row[cell] = (row[cell] as number) + 1
  }
}

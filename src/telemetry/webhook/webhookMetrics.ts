// Shows on /metrics what becomes of messages to webhooks.
import type { Metrics } from '../metrics.ts'
import { type AttemptResult, attemptResults } from './sender.ts'

/**
 * Call once. `counts` is read at each scrape; of messages that were delivered only the attempts are shown.
 * @returns what counts an attempt
 */
export function showWebhooks(
  metrics: Metrics,
  counts: () => readonly { webhook: string; state: string; count: number }[],
): (webhook: string, outcome: AttemptResult) => void {
  const family = metrics.counter('webhookAttempts')
  metrics.gauge('webhookMessages', () =>
    counts()
      .filter(({ state }) => state !== 'delivered')
      .map(({ webhook, state, count }) => ({ labels: { webhook, state }, value: count })),
  )
  return (webhook, outcome) => {
    const row = family.row(webhook)
    const cell = attemptResults.indexOf(outcome)
    row[cell] = row[cell]! + 1
  }
}

// Shows on /metrics what becomes of messages to webhooks.
import type { Metrics } from '../metrics.ts'
import { type AttemptResult, attemptResults } from './sender.ts'

/**
 * Call once. `configured` and `counts` are read at each scrape; of messages that were delivered only the attempts are shown.
 * @returns what counts an attempt
 */
export function showWebhooks(
  metrics: Metrics,
  configured: () => Iterable<string>,
  counts: () => readonly { webhook: string; state: string; count: number }[],
): (webhook: string, outcome: AttemptResult) => void {
  const family = metrics.counter('webhookAttempts')
  metrics.gauge('webhookMessages', () => {
    const found = counts().filter(({ state }) => state !== 'delivered')
    const names = new Set([...configured(), ...found.map(({ webhook }) => webhook)])
    return [...names].flatMap((webhook) =>
      ['waiting', 'dead'].map((state) => ({
        labels: { webhook, state },
        value: found.find((one) => one.webhook === webhook && one.state === state)?.count ?? 0,
      })),
    )
  })
  return (webhook, outcome) => {
    const row = family.row(webhook)
    const cell = attemptResults.indexOf(outcome)
    row[cell] = row[cell]! + 1
  }
}

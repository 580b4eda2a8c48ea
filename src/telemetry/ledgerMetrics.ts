// Shows the ledger's own numbers on /metrics.
import type { Metrics } from './metrics.ts'

/** What the ledger counts; its `stats` have this shape. */
export interface LedgerNumbers {
  readonly entries: number
  readonly commits: number
  readonly busy: number
  readonly failures: Readonly<Record<string, number>>
  readonly kept: number
  readonly recovered: number
  readonly lost: number
  readonly orphans: number
}

/** Call once, when the ledger is open. */
export function showLedger(metrics: Metrics, numbers: LedgerNumbers): void {
  const show = (key: Parameters<Metrics['gauge']>[0], read: () => number): void =>
    metrics.gauge(key, () => [{ labels: {}, value: read() }])
  show('ledgerEntries', () => numbers.entries)
  show('ledgerCommits', () => numbers.commits)
  show('ledgerBusy', () => numbers.busy)
  show('ledgerKept', () => numbers.kept)
  show('ledgerRecovered', () => numbers.recovered)
  show('ledgerLost', () => numbers.lost)
  show('ledgerOrphans', () => numbers.orphans)
  metrics.gauge('ledgerFailures', () =>
    Object.entries(numbers.failures).map(([kind, value]) => ({ labels: { kind }, value })),
  )
}

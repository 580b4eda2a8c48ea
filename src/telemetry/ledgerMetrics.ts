// Shows the ledger's own numbers on /metrics, and those of the disk that it lies on.
import { statfsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Sample } from './families.ts'
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
  waiting(): number
  readonly journaled: number
  behind(): number
}

/** Call once, when the ledger is open. @param file of the database */
export function showLedger(metrics: Metrics, numbers: LedgerNumbers, file: string): void {
  const show = (key: Parameters<Metrics['gauge']>[0], read: () => number): void => metrics.gauge(key, () => one(read()))
  show('ledgerEntries', () => numbers.entries)
  show('ledgerCommits', () => numbers.commits)
  show('ledgerBusy', () => numbers.busy)
  show('ledgerKept', () => numbers.kept)
  show('ledgerRecovered', () => numbers.recovered)
  show('ledgerLost', () => numbers.lost)
  show('ledgerOrphans', () => numbers.orphans)
  show('ledgerWaiting', numbers.waiting)
  show('ledgerJournaled', () => numbers.journaled)
  show('ledgerBehind', numbers.behind)
  metrics.gauge('ledgerFailures', () =>
    Object.entries(numbers.failures).map(([kind, value]) => ({ labels: { kind }, value })),
  )
  metrics.gauge('ledgerDiskFree', () => ofDisk(file, ({ bavail, bsize }) => bavail * bsize))
  metrics.gauge('ledgerDiskSize', () => ofDisk(file, ({ blocks, bsize }) => blocks * bsize))
  metrics.gauge('ledgerFile', () =>
    one(['', '-wal', '.journal'].reduce((sum, ending) => sum + sizeOf(file + ending), 0)),
  )
}

const one = (value: number): Sample[] => [{ labels: {}, value }]

/** Nothing where the system does not say. */
function ofDisk(file: string, read: (disk: { bavail: number; blocks: number; bsize: number }) => number): Sample[] {
  try {
    return one(read(statfsSync(dirname(file))))
  } catch {
    return []
  }
}

const sizeOf = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0

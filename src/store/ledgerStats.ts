// Counts what the ledger does and what goes wrong with it.
import type { DamagedJournal } from './journalReplay.ts'
import type { LedgerError, LedgerFailure } from './ledgerRow.ts'

export interface LedgerStats {
  commits: number
  /** Entries that wait for the next commit. */
  waiting(): number
  /** Entries that the journal holds and SQLite does not yet. */
  behind(): number
  /** Entries that went through the journal. */
  journaled: number
  /** Entries written, of all kinds, heartbeats among them. */
  entries: number
  /** Commits that found the database locked and were tried again. */
  busy: number
  /** Rejected entries by kind. */
  readonly failures: Readonly<Record<LedgerFailure, number>>
  /** Settled rows that wait in memory for the trouble to end, that were written after it, and that had to be given up. */
  kept: number
  recovered: number
  lost: number
  /** Attempts of a dead run that were settled by estimate when the ledger was opened. */
  orphans: number
  /** What a dead run left could not be read in full. */
  damagedJournal: DamagedJournal | undefined
  /** Counts a rejected entry. */
  fail(error: LedgerError): void
}

const reportEvery = 1000

export function makeStats(
  report: ((error: LedgerError, count: number) => void) | undefined,
  queues: { waiting(): number; behind(): number } = { waiting: () => 0, behind: () => 0 },
): LedgerStats {
  const failures: Record<LedgerFailure, number> = {
    locked: 0,
    full: 0,
    io: 0,
    overloaded: 0,
    duplicate: 0,
    invalid: 0,
    closed: 0,
  }
  const reported = new Map<LedgerFailure, { at: number; count: number }>()
  return {
    ...queues,
    journaled: 0,
    commits: 0,
    entries: 0,
    busy: 0,
    failures,
    kept: 0,
    recovered: 0,
    lost: 0,
    orphans: 0,
    damagedJournal: undefined,
    fail(error) {
      const count = ++failures[error.code]
      const last = reported.get(error.code)
      const time = performance.now()
      if (last && time - last.at < reportEvery) return
      reported.set(error.code, { at: time, count })
      report?.(error, count - (last?.count ?? 0))
    },
  }
}

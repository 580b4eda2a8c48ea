// The metrics of the ledger's writing: a part of the table in metricTable.ts.
import type { MetricSpec } from './metricTable.ts'

export const ledgerTable = {
  ledgerEntries: {
    kind: 'counter',
    name: 'turnout_ledger_entries_total',
    help: 'Rows that the ledger committed: intents, settled requests, calls that were free, and a sign of life every 5 s.',
    labels: [],
    read: true,
  },
  ledgerCommits: {
    kind: 'counter',
    name: 'turnout_ledger_commits_total',
    help: 'Transactions of the ledger.',
    labels: [],
    read: true,
  },
  ledgerBusy: {
    kind: 'counter',
    name: 'turnout_ledger_busy_total',
    help: 'Transactions of the ledger that found the database locked and were tried again.',
    labels: [],
    read: true,
  },
  ledgerFailures: {
    kind: 'counter',
    name: 'turnout_ledger_failures_total',
    help: 'Rows that the ledger did not take, by kind of trouble: locked, full, io, overloaded, duplicate, invalid, closed.',
    labels: ['kind'],
    read: true,
  },
  ledgerKept: {
    kind: 'gauge',
    name: 'turnout_ledger_kept_rows',
    help: 'Settled requests that wait in memory because the database does not take them.',
    labels: [],
  },
  ledgerRecovered: {
    kind: 'counter',
    name: 'turnout_ledger_recovered_total',
    help: 'Settled requests that were written after such a wait.',
    labels: [],
    read: true,
  },
  ledgerLost: {
    kind: 'counter',
    name: 'turnout_ledger_lost_total',
    help: 'Settled requests that had to be given up. Anything above 0 is money without a row.',
    labels: [],
    read: true,
  },
  ledgerOrphans: {
    kind: 'gauge',
    name: 'turnout_ledger_orphans',
    help: 'Upstream calls of a run that died, settled by estimate when this one started.',
    labels: [],
  },
  ledgerUnwritten: {
    kind: 'counter',
    name: 'turnout_ledger_refusals_unwritten_total',
    help: 'Requests that were refused before any call and have no row in the ledger, because their key is refused more often than `ledger.refusalsPerSecond`.',
    labels: [],
    read: true,
  },
} as const satisfies Record<string, MetricSpec>

// The metrics of budgets: a part of the table in metricTable.ts.
import type { MetricSpec } from './metricTable.ts'

/** What becomes of a request for want of money. `overrun`: it cost more than was held for it. */
export const budgetActions = ['refused', 'degraded', 'fitted', 'overrun'] as const

/** What a budget is counted by or is for; `several` = a combination. */
export const budgetScopeNames = ['everything', 'key', 'team', 'user', 'route', 'target', 'several'] as const

export const budgetMetrics = {
  budgetActions: {
    kind: 'counter',
    name: 'turnout_budget_actions_total',
    help: 'What budgets did to requests, by what the budget counts by: refused, degraded to another route, fitted with a cap; overrun = a call cost more than was held for it.',
    labels: [],
    closed: [
      ['scope', budgetScopeNames],
      ['action', budgetActions],
    ],
    shown: budgetScopeNames.map((scope) => [scope, 'refused']),
  },
  budgetLimit: {
    kind: 'gauge',
    name: 'turnout_budget_limit_usd',
    help: 'What a configured budget allows in its window, in USD; each of those that it counts by has as much.',
    labels: ['budget'],
  },
  budgetSpent: {
    kind: 'gauge',
    name: 'turnout_budget_spent_usd',
    help: 'Spent in the current window, in USD, all that the budget counts by together.',
    labels: ['budget'],
  },
  budgetReserved: {
    kind: 'gauge',
    name: 'turnout_budget_reserved_usd',
    help: 'Held back for calls that run, in USD, all that the budget counts by together.',
    labels: ['budget'],
  },
  budgetUsed: {
    kind: 'gauge',
    name: 'turnout_budget_used_ratio',
    help: 'Share of the limit that is spent, of the one that is nearest to it.',
    labels: ['budget'],
  },
  budgetWindow: {
    kind: 'gauge',
    name: 'turnout_budget_window_seconds',
    help: 'Length of the current window of a budget, in seconds; rolling = it moves along. A lifetime has none.',
    labels: ['budget', 'window', 'rolling'],
  },
  budgetElapsed: {
    kind: 'gauge',
    name: 'turnout_budget_window_elapsed_ratio',
    help: 'Share of the current window of a budget that is over, from 0 to 1; rolling ones have none.',
    labels: ['budget'],
  },
} as const satisfies Record<string, MetricSpec>

// Says what budgets do: in the log and on /metrics.
import { formatUsd } from '../pricing/decimal.ts'
import type { BudgetEvent } from '../state/budgets/budget.ts'
import { budgetActions, budgetScopeNames } from '../telemetry/budgetTable.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { BudgetKeeping, BudgetKeepingParts } from './budgetKeeping.ts'

type Telling = Pick<BudgetKeepingParts, 'told' | 'acted' | 'overran' | 'failed'>

/** @param watch further listeners of thresholds and first refusals */
export function tellBudgets(log: Log, metrics: Metrics, watch: (event: BudgetEvent) => void): Telling {
  const actions = metrics.counter('budgetActions').seed()
  return {
    told(event) {
      log.warn(explain(event), { event: 'budget', budget: event.name, percent: event.percent })
      watch(event)
    },
    acted(action, scope) {
      const cell = budgetScopeNames.indexOf(labelOf(scope)) * budgetActions.length + budgetActions.indexOf(action)
      actions[cell] = actions[cell]! + 1
    },
    overran({ target }, nanoUsd) {
      const text = `a call of ${target.id} cost $${formatUsd(nanoUsd)} more than its price list and caps allow`
      log.warn(`${text}: budgets may be overshot by it`, { event: 'budget', target: target.id })
    },
    failed(error) {
      log.error('what was spent before could not be read from the ledger', { event: 'budget', error })
    },
  }
}

/** Gauges read at scrape. Series for the configured budgets alone: keys that are made at run time have no bound. */
export function showBudgets(metrics: Metrics, { totals }: Pick<BudgetKeeping, 'totals'>): void {
  type Row = ReturnType<BudgetKeeping['totals']>[number]
  const show = (key: Parameters<Metrics['gauge']>[0], read: (row: Row) => number): void =>
    metrics.gauge(key, () =>
      totals()
        .slice(0, MAX_SERIES)
        .map((row) => ({ labels: { budget: row.settings.name }, value: read(row) })),
    )
  show('budgetLimit', ({ settings }) => settings.limitNano / 1e9)
  show('budgetSpent', ({ total }) => total.spent / 1e9)
  show('budgetReserved', ({ total }) => total.reserved / 1e9)
  show('budgetUsed', ({ settings, total }) => total.most / settings.limitNano)
}

const MAX_SERIES = 1_000

function explain({ name, scope, entity, kind, percent, limit, spent, window }: BudgetEvent): string {
  const whose = scope === 'everything' ? '' : ` of ${scope} ${entity}`
  const said = kind === 'exhausted' ? 'refuses calls' : `has reached ${percent} %`
  return `budget ${name}${whose} ${said}: $${formatUsd(spent)} of $${formatUsd(limit)} (${window})`
}

function labelOf(scope: string): (typeof budgetScopeNames)[number] {
  return budgetScopeNames.find((name) => name === scope) ?? 'several'
}

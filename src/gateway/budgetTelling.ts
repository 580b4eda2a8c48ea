// Says what budgets do: in the log and on /metrics.
import { formatUsd } from '../pricing/decimal.ts'
import type { BudgetEvent } from '../state/budgets/budget.ts'
import { budgetActions, budgetScopeNames } from '../telemetry/budgetTable.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { BudgetKeeping, BudgetKeepingParts, BudgetRow } from './budgetKeeping.ts'

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
  const show = (
    key: Parameters<Metrics['gauge']>[0],
    read: (row: BudgetRow) => number | undefined,
    more: (row: BudgetRow) => Record<string, string> = () => ({}),
  ): void =>
    metrics.gauge(key, () =>
      totals(MAX_SERIES).flatMap((row) => {
        const value = read(row)
        return value === undefined ? [] : [{ labels: { budget: row.settings.name, ...more(row) }, value }]
      }),
    )
  // A budget that has not read its past yet would seem to spend all of it at once when it has.
  const known = (read: (row: BudgetRow) => number) => (row: BudgetRow) => (row.isKnown ? read(row) : undefined)
  show('budgetLimit', ({ settings }) => settings.limitNano / 1e9)
  show(
    'budgetSpent',
    known(({ total }) => total.spent / 1e9),
  )
  show(
    'budgetReserved',
    known(({ total }) => total.reserved / 1e9),
  )
  show(
    'budgetUsed',
    known(({ settings, total }) => total.most / settings.limitNano),
  )
  show(
    'budgetWindow',
    ({ windowMs }) => (Number.isFinite(windowMs) ? windowMs / 1000 : undefined),
    ({ settings: { window, rolling } }) => ({ window, rolling: String(rolling) }),
  )
  show('budgetElapsed', ({ elapsed }) => elapsed)
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

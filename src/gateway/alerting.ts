// Watches the money for the operator: hands what requests cost to the rules, and what the rules say to log, metrics and webhooks.
import type { Snapshot } from '../config/snapshot.ts'
import type { AlertMemory, AlertMessage, AlertView, BudgetPassed, BudgetsNow } from '../state/alerts/alert.ts'
import { createAlerts, type Past, type PastSpend } from '../state/alerts/alerts.ts'
import { describeAlert } from '../state/alerts/message.ts'
import type { AlertSpendAsk } from '../store/alertSpend.ts'
import { timeOf } from '../store/ledgerId.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Notify } from '../telemetry/webhook/notify.ts'
import type { Call } from './call.ts'

export interface AlertingParts {
  readonly log: Log
  readonly metrics: Metrics
  readonly notify: Notify
  readonly memory?: AlertMemory | undefined
  /** The ledger, so that rules know at once what was spent before they were there. */
  readonly past?:
    | { alertSpend(ask: AlertSpendAsk): Promise<PastSpend[]>; firstRecord(): Promise<number | undefined> }
    | undefined
  readonly budgets?: BudgetsNow<Omit<BudgetPassed, 'percent' | 'at'>> | undefined
  /** Unix milliseconds. */
  readonly now?: (() => number) | undefined
}

export interface Alerting {
  /** At the start and at each swap. */
  use(snapshot: Snapshot): void
  /** After a request was billed. Never throws. */
  settled(call: Call): void
  /** A budget has passed a percentage of its limit. Never throws. */
  passed(budget: BudgetPassed): void
  /** Tells what budgets have passed that are spent already: before a rule was there, or before this process. Never throws. */
  lookAtBudgets(): void
  /** A user's rows were erased: nothing that was told of them is remembered. */
  forgetUser(hash: string): void
  list(): AlertView[]
  /** Looks for what time alone has ended. Calls itself every few seconds. */
  review(): void
  close(): void
}

/** Milliseconds between two looks at what may be over. */
const reviewEvery = 5_000
const hour = 3_600_000
/** The last hour is read by the minute, what lies before by five. */
const fine = 60_000
const coarse = 300_000

export function createAlerting(parts: AlertingParts): Alerting {
  const { log, metrics, notify, past, now = Date.now } = parts
  const told = metrics.counter('alertMessages')
  const alerts = createAlerts({ now, memory: parts.memory, past: past !== undefined, tell })
  let timer: NodeJS.Timeout | undefined
  let closed = false
  metrics.gauge('alertsFiring', () =>
    alerts.list().map(({ rule: { name, severity }, firing }) => ({
      labels: { alert: name, severity },
      value: firing.length,
    })),
  )

  function tell(message: AlertMessage): void {
    const { rule, status, at } = message
    const { firing } = status
    const data = describeAlert(message)
    const row = told.row(rule.name)
    const cell = firing ? 0 : 1
    row[cell] = row[cell]! + 1
    const level = firing ? (rule.severity === 'critical' ? 'error' : 'warn') : 'info'
    log[level](`alert ${rule.name} ${data.state}: ${data.summary}`, {
      event: `alert_${data.state}`,
      alert: rule.name,
      severity: rule.severity,
    })
    notify({ type: `alert.${data.state}`, at, data }, rule.channels)
  }

  /** Neither a request nor a timer may fail because of an alert. */
  function safely(work: () => void): void {
    try {
      work()
    } catch (error) {
      log.error('an alert could not be judged', { event: 'alert', error })
    }
  }

  /** In a thread of the store, an hour at a time, the newest first. */
  async function read(reading: Past): Promise<void> {
    const { from, to, by } = reading.question
    let recordsFrom: number | undefined
    try {
      recordsFrom = await past!.firstRecord()
      for (let end = to; end > from && !closed; end -= hour) {
        const start = Math.max(from, end - hour)
        if (recordsFrom === undefined || end < recordsFrom) break
        reading.add(await past!.alertSpend({ from: start, to: end, step: end === to ? fine : coarse, by }))
      }
    } catch (error) {
      if (!closed)
        log.warn('what was spent before could not be read for alerts: they begin with nothing', {
          event: 'alert',
          error,
        })
    }
    if (!closed) safely(() => reading.close(recordsFrom))
  }

  function review(): void {
    safely(() => alerts.review(parts.budgets))
  }

  return {
    use({ alerts: rules }) {
      for (const { name } of rules) told.seed(name)
      safely(() => alerts.use(rules))
      const reading = past && alerts.openPast()
      if (reading) void read(reading)
      clearInterval(timer)
      if (rules.length === 0 || closed) return
      timer = setInterval(review, reviewEvery)
      timer.unref()
    },
    settled({ number, key, route, attempts }) {
      if (attempts.length === 0) return
      safely(() => {
        const arrivedAt = timeOf(number)
        attempts.forEach(({ target, bill }, place) => {
          const names = { key: key?.name, team: key?.team, route: route?.name, target: target.id }
          alerts.add(names, bill?.nanoUsd ?? 0, place === attempts.length - 1 ? 1 : 0, arrivedAt)
        })
      })
    },
    passed: (budget) => safely(() => alerts.pass(budget)),
    lookAtBudgets: () =>
      safely(() => {
        if (closed || !alerts.list().some(({ rule }) => rule.kind === 'budget')) return
        const at = now()
        for (const budget of parts.budgets?.() ?? [])
          if (budget.spent > 0)
            alerts.pass({ ...budget, percent: Math.min(100, (budget.spent / budget.limit) * 100), at })
      }),
    forgetUser: (hash) => safely(() => alerts.forgetUser(hash)),
    list: alerts.list,
    review,
    close() {
      closed = true
      clearInterval(timer)
    },
  }
}

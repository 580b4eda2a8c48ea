// Makes docs/metrics.md out of the table of metrics, the dashboards and the rules.
import { dashboards } from '../../grafana/source/made.ts'
import { readAlerts, readRecordings } from '../../grafana/source/ruleTests.ts'
import { type MetricSpec, metricTable } from '../../src/telemetry/metricTable.ts'

/** Metrics that stand in no panel and no rule, and why somebody may want them all the same. */
export const raw: Readonly<Record<string, string>> = {}

/** Where a metric is looked at: titles of dashboards, names of alerts, recorded series. */
export function usesOf(name: string): { boards: string[]; alerts: string[]; recordings: string[] } {
  const word = new RegExp(`\\b${name}(?:_bucket|_sum|_count)?\\b(?!:)`)
  const recordings = readRecordings().filter(({ expr }) => word.test(expr))
  const isUsed = (expr: string): boolean => word.test(expr) || recordings.some(({ record }) => expr.includes(record))
  return {
    boards: dashboards
      .filter(({ sections }) =>
        sections.some(({ panels }) => panels.some(({ queries }) => queries.some(({ expr }) => word.test(expr)))),
      )
      .map(({ title }) => title.replace('Turnout / ', '')),
    alerts: readAlerts()
      .filter(({ expr }) => isUsed(expr))
      .map(({ alert }) => alert),
    recordings: recordings.map(({ record }) => record),
  }
}

const start = '<!-- table of metrics: made by `npx tsx test/support/writeMetricsDoc.ts` -->'
const end = '<!-- end of the table -->'

/** The page with its table brought up to date. */
export function withMetrics(page: string): string {
  const from = page.indexOf(start) + start.length
  const to = page.indexOf(end)
  return `${page.slice(0, from)}\n\n${table()}\n${page.slice(to)}`
}

function table(): string {
  const specs = Object.values(metricTable as Record<string, MetricSpec>).toSorted((a, b) =>
    a.name.localeCompare(b.name),
  )
  return specs.map(entry).join('\n')
}

function entry(spec: MetricSpec): string {
  const { name, kind, help, labels, closed = [], bounds } = spec
  const { boards, alerts } = usesOf(name)
  const seen = [
    ...boards.map((board) => `*${board}*`),
    ...alerts.map((alert) => `[${alert}](runbook.md#${alert.toLowerCase()})`),
  ]
  const lines = [`### \`${name}\``, '', help, '']
  lines.push(`* ${kind}${bounds ? `, bounds ${bounds.join(', ')}` : ''}`)
  if (labels.length > 0) lines.push(`* labels ${labels.map((label) => `\`${label}\``).join(', ')}`)
  for (const [label, values] of closed)
    lines.push(
      `* \`${label}\`: ${values.length > 24 ? `${values.length} known values` : values.map((value) => `\`${value}\``).join(', ')}`,
    )
  lines.push(`* ${seen.length > 0 ? `in ${seen.join(', ')}` : `raw: ${raw[name]}`}`, '')
  return lines.join('\n')
}

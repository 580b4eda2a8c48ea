// docs/metrics.md is made of the code, and every metric is looked at somewhere or says why not.
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { metricTable } from '../src/telemetry/metricTable.ts'
import { raw, usesOf, withMetrics } from './support/metricsDoc.ts'

const page = readFileSync(new URL('../docs/metrics.md', import.meta.url), 'utf8')
const names = Object.values(metricTable).map(({ name }) => name)

it('the page is fresh', () => {
  expect(withMetrics(page) === page, 'run: npx tsx test/support/writeMetricsDoc.ts').toBe(true)
  for (const name of names) expect(page).toContain(`### \`${name}\`\n`)
})

it('every metric is in a panel or a rule, or is listed as raw with a reason', () => {
  for (const name of names) {
    const { boards, alerts, recordings } = usesOf(name)
    const used = boards.length + alerts.length + recordings.length > 0
    expect(used !== name in raw, `${name}: ${used ? 'is used, and listed as raw' : 'is in no panel and no rule'}`).toBe(
      true,
    )
  }
  for (const name of Object.keys(raw)) expect(names).toContain(name)
})

it('names and helps keep to the conventions of Prometheus', () => {
  for (const { name, kind, help } of Object.values(metricTable)) {
    expect(name).toMatch(/^(?:turnout|process)_[a-z0-9_]+$/)
    expect(name.endsWith('_total'), name).toBe(kind === 'counter')
    expect(help.endsWith('.'), name).toBe(true)
  }
})

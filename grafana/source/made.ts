// Every made file with its text: for whoever writes them, and for the test that they are fresh.
import { type Dashboard, renderDashboard } from './dashboard.ts'
import { money } from './money.ts'
import { overview } from './overview.ts'
import { reliability } from './reliability.ts'
import { rollouts } from './rollouts.ts'
import { renderRuleTests } from './ruleTests.ts'

export const dashboards: readonly Dashboard[] = [overview, rollouts, money, reliability]

/** By path from the root of the repository. */
export function made(): Map<string, string> {
  return new Map([
    ...[...renderRuleTests()].map(([name, text]) => [`grafana/prometheus/tests/${name}`, text] as const),
    ...dashboards.map((dashboard) => [`grafana/dashboards/${dashboard.uid}.json`, renderDashboard(dashboard)] as const),
  ])
}

// Makes promtool's unit tests out of the cases: each alert has to fire with the one, saying what its rule says, and to keep quiet with the other.
import { readFileSync } from 'node:fs'
import { parse, stringify } from 'yaml'
import { type RuleCase, ruleCases } from './ruleCases.ts'

const folder = new URL('../prometheus/', import.meta.url)

export interface Alert {
  readonly alert: string
  readonly expr: string
  readonly for: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

interface RuleFile {
  groups: { name: string; rules: (Alert & { record?: string })[] }[]
}

const rulesIn = (file: string) =>
  (parse(readFileSync(new URL(file, folder), 'utf8')) as RuleFile).groups.flatMap(({ rules }) => rules)

export const readAlerts = (): Alert[] => rulesIn('turnout.alerts.yml')
export const readRecordings = (): { record: string; expr: string }[] =>
  rulesIn('turnout.rules.yml').map(({ record, expr }) => ({ record: record!, expr }))

/** The texts of promtool's files by name: cases of half an hour, and those that take hours, which are looked at less often. */
export function renderRuleTests(): Map<string, string> {
  const alerts = new Map(readAlerts().map((alert) => [alert.alert, alert]))
  const render = (name: string, interval: string, cases: readonly RuleCase[]): [string, string] => [
    name,
    `# Made by \`npx tsx grafana/source/write.ts\` out of grafana/source/ruleCases.ts. Run: promtool test rules ${name}\n${stringify(
      {
        rule_files: ['../turnout.rules.yml', '../turnout.alerts.yml'],
        evaluation_interval: interval,
        tests: cases.flatMap((one) => testsOf(one, alerts.get(one.alert)!)),
      },
      { lineWidth: 0 },
    )}`,
  ]
  return new Map([
    render(
      'turnout.test.yml',
      '1m',
      ruleCases.filter(({ at }) => at === undefined),
    ),
    render(
      'turnout.hours.test.yml',
      '4m',
      ruleCases.filter(({ at }) => at !== undefined),
    ),
  ])
}

function testsOf({ alert, fires, labels, value, quiet, at = '30m', others = [] }: RuleCase, rule: Alert): object[] {
  const test = (name: string, series: Readonly<Record<string, string>>, alerts: object[]): object => ({
    name: `${alert} ${name}`,
    interval: '1m',
    input_series: seriesOf(series),
    alert_rule_test: [{ eval_time: at, alertname: alert, exp_alerts: alerts }],
  })
  const fired = (of: Readonly<Record<string, string>>, shown: string): object => ({
    exp_labels: { ...of, ...rule.labels },
    exp_annotations: Object.fromEntries(
      Object.entries(rule.annotations).map(([name, text]) => [name, fill(text, of, shown)]),
    ),
  })
  return [
    test('fires', fires, [fired(labels, value)]),
    test('keeps quiet', quiet, []),
    ...others.map((other) =>
      'quiet' in other
        ? test(`keeps quiet: ${other.what}`, other.quiet, [])
        : test(`fires: ${other.what}`, other.fires, [fired({ ...labels, ...other.labels }, other.value)]),
    ),
  ]
}

const seriesOf = (series: Readonly<Record<string, string>>): object[] =>
  Object.entries(series).map(([name, values]) => ({ series: name, values }))

/** What Prometheus makes of the templates that our annotations use. */
function fill(text: string, labels: Readonly<Record<string, string>>, value: string): string {
  return text
    .replace(/\{\{ \$labels\.(\w+) \}\}/g, (_, name: string) => labels[name] ?? '')
    .replace(/\{\{ [^}]*\$value[^}]* \}\}/g, () => value)
}

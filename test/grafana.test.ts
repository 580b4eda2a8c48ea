// What is shipped under grafana/: fresh, complete, explained, and true, against a real Prometheus that scrapes a gateway under load.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { parse } from 'yaml'
import { annotations, schemaVersion } from '../grafana/source/dashboard.ts'
import { dashboards, made } from '../grafana/source/made.ts'
import { ruleCases } from '../grafana/source/ruleCases.ts'
import { readAlerts, readRecordings, renderRuleTests } from '../grafana/source/ruleTests.ts'
import { metricTable } from '../src/telemetry/metricTable.ts'
import {
  hasPrometheus,
  type Prometheus,
  rulesFolder,
  type Series,
  startPrometheus,
  withoutPrometheus,
} from './support/prometheus.ts'
import { type Scene, scenarios, startScene } from './support/scene.ts'

const root = new URL('../', import.meta.url)
const panels = dashboards.flatMap(({ title, sections }) =>
  sections.flatMap((section) => section.panels.map((panel) => ({ ...panel, dashboard: title }))),
)
const alerts = readAlerts()
const recordings = readRecordings()

/** Everything that is ever asked of Prometheus, by where it is asked. */
const queries: readonly { place: string; expr: string; legend: string }[] = [
  ...panels.flatMap(({ dashboard, title, queries: asked }) =>
    asked.map(({ expr, legend }) => ({ place: `${dashboard}, ${title}`, expr, legend })),
  ),
  ...annotations.map(({ name, expr, text }) => ({ place: `annotation ${name}`, expr, legend: text })),
  ...recordings.map(({ record, expr }) => ({ place: `rule ${record}`, expr, legend: '' })),
  // What an alert compares, without the comparison: that it may be false is the point of it.
  ...alerts.flatMap(({ alert, expr }) =>
    expr.split('\n').map((line) => {
      const [, term] = /^(?:(?:and|or) (?:on \([\w, ]+\) )?)?(.+) [<>] [\d.]+$/.exec(line) ?? []
      if (term === undefined) throw new Error(`${alert}: not a comparison with a number: ${line}`)
      return { place: `alert ${alert}`, expr: term, legend: '' }
    }),
  ),
]

describe('what is shipped', () => {
  it.each([...made()])('%s is made of its source', (path, text) => {
    expect(readFileSync(new URL(path, root), 'utf8') === text, 'run: npx tsx grafana/source/write.ts').toBe(true)
  })

  it('each panel says what it shows in a sentence or more, and has a unit', () => {
    expect(panels.length).toBeGreaterThan(50)
    for (const { title, description, unit, queries: asked } of panels) {
      expect(description.length, title).toBeGreaterThan(25)
      expect(description.endsWith('.'), title).toBe(true)
      expect(unit, title).not.toBe('')
      expect(asked.length, title).toBeGreaterThan(0)
    }
    expect(new Set(panels.map(({ dashboard, title }) => `${dashboard}, ${title}`)).size).toBe(panels.length)
  })

  it('dashboards have the form that Grafana provisions', () => {
    for (const [path, text] of made()) {
      if (!path.endsWith('.json')) continue
      const board = JSON.parse(text)
      expect(board.schemaVersion).toBe(schemaVersion)
      expect(path).toBe(`grafana/dashboards/${board.uid}.json`)
      const ids = board.panels.map(({ id }: { id: number }) => id)
      expect(new Set(ids).size).toBe(ids.length)
      expect(board.templating.list.map(({ name }: { name: string }) => name)).toContain('datasource')
      // No panel lies on another.
      const taken = new Set<string>()
      for (const { gridPos } of board.panels as { gridPos: { x: number; y: number; w: number; h: number } }[]) {
        expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24)
        for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
          for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
            expect(taken.has(`${x},${y}`), `${board.title} ${x},${y}`).toBe(false)
            taken.add(`${x},${y}`)
          }
      }
    }
  })

  it('every metric and every recorded series in a query exists', () => {
    const known = new Set<string>(['up', ...recordings.map(({ record }) => record)])
    for (const { name, kind } of Object.values(metricTable)) {
      known.add(name)
      if (kind === 'histogram') for (const part of ['bucket', 'sum', 'count']) known.add(`${name}_${part}`)
    }
    for (const { place, expr } of queries) for (const name of namesIn(expr)) expect(known, place).toContain(name)
  })

  it('every alert has a severity, a wait, and its place in the runbook', () => {
    const runbook = readFileSync(new URL('docs/runbook.md', root), 'utf8')
    const headings = new Set([...runbook.matchAll(/^### (\w+)$/gm)].map(([, name]) => name!))
    for (const { alert, labels, annotations: said, ...rule } of alerts) {
      expect(['critical', 'warning', 'info'], alert).toContain(labels.severity)
      expect(rule.for, alert).toMatch(/^\d+m$/)
      expect(said.summary, alert).toBeTruthy()
      expect(said.description, alert).toBeTruthy()
      expect(said.runbook_url).toBe(`docs/runbook.md#${alert.toLowerCase()}`)
      expect(headings, alert).toContain(alert)
    }
    expect(headings.size).toBe(alerts.length)
    expect(new Set(alerts.map(({ alert }) => alert)).size).toBe(alerts.length)
  })

  it('the example of a whole set-up mounts what is there', () => {
    const folder = new URL('examples/monitoring/', root)
    const compose = parse(readFileSync(new URL('compose.yaml', folder), 'utf8'))
    const mounts = Object.values(compose.services as Record<string, { volumes?: string[] }>)
      .flatMap(({ volumes }) => volumes ?? [])
      .filter((volume) => volume.startsWith('.'))
    expect(mounts).toHaveLength(4)
    for (const mount of mounts) expect(existsSync(new URL(mount.split(':')[0]!, folder)), mount).toBe(true)
    const { providers } = parse(readFileSync(new URL('grafana/provisioning/dashboards/turnout.yml', root), 'utf8'))
    expect(mounts.some((mount) => mount.split(':')[1] === providers[0].options.path)).toBe(true)
  })

  it('every alert has a case in which it fires and one in which it does not', () => {
    expect([...new Set(ruleCases.map(({ alert }) => alert))].sort()).toEqual(alerts.map(({ alert }) => alert).sort())
  })
})

const installed = hasPrometheus()

describe.skipIf(!installed)(`promtool${installed ? '' : ` (${withoutPrometheus})`}`, () => {
  const promtool = (...args: string[]): { status: number | null; text: string } => {
    const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8', cwd: rulesFolder })
    return { status, text: stdout + stderr }
  }

  it('finds no fault in the configuration and the rules', () => {
    expect(promtool('check', 'rules', 'turnout.rules.yml', 'turnout.alerts.yml')).toMatchObject({ status: 0 })
    expect(promtool('check', 'config', 'prometheus.yml')).toMatchObject({ status: 0 })
  })

  it('sees every alert fire when it must, and keep quiet when it must not', () => {
    for (const file of renderRuleTests().keys())
      expect(promtool('test', 'rules', join('tests', file)).text).not.toContain('FAILED')
  }, 300_000)

  const series = (name: string, labels: string, values: string) => ({
    series: `${name}{job="turnout",instance="a",${labels}}`,
    values,
  })
  /** What the one query of each of these panels says of these series after an hour. */
  const shows = (
    input: readonly { series: string; values: string }[],
    expected: Readonly<Record<string, readonly { labels: string; value: number }[]>>,
  ): void => {
    const exprOf = (title: string): string => concrete(panels.find((panel) => panel.title === title)!.queries[0]!.expr)
    const asked = Object.entries(expected).map(([title, samples]) => ({
      expr: exprOf(title),
      eval_time: '60m',
      exp_samples: samples,
    }))
    const folder = mkdtempSync(join(tmpdir(), 'turnout-panel-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const file = join(folder, 'panel.test.yml')
    writeFileSync(file, JSON.stringify({ tests: [{ interval: '10s', input_series: input, promql_expr_test: asked }] }))
    expect(promtool('test', 'rules', file).text).toContain('SUCCESS')
  }

  it('divides the tokens of a side by all calls that brought some, also where every stream breaks', () => {
    shows(
      [
        series('turnout_rollout_info', 'rollout="r",route="chat",stable="well",canary="torn"', '1x360'),
        series('turnout_upstream_attempts_total', 'target="torn",outcome="ok"', '0x360'),
        series('turnout_upstream_attempts_total', 'target="torn",outcome="cut"', '0+10x360'),
        series('turnout_stream_faults_total', 'target="torn",fault="cut"', '0+10x360'),
        series('turnout_tokens_total', 'target="torn",class="output"', '0+50x360'),
      ],
      { 'Tokens of an answer': [{ labels: '{target="torn"}', value: 5 }] },
    )
  })

  it('has nothing to say of requests that were not there, rather than a red number that is none', () => {
    shows(
      [
        series('turnout_requests_total', 'route="chat",target="t",status="2xx",outcome="ok"', '7x360'),
        series('turnout_request_errors_total', 'route="chat",blame="upstream",cause="cut"', '2x360'),
        series('turnout_request_duration_seconds_bucket', 'route="chat",stream="false",le="1"', '7x360'),
        series('turnout_request_duration_seconds_bucket', 'route="chat",stream="false",le="+Inf"', '7x360'),
        series('turnout_time_to_first_token_seconds_bucket', 'route="chat",le="1"', '7x360'),
        series('turnout_time_to_first_token_seconds_bucket', 'route="chat",le="+Inf"', '7x360'),
      ],
      { Errors: [], Success: [], 'Duration, p95': [], 'First token, p95': [] },
    )
  })
})

describe.skipIf(!installed)(`with Prometheus${installed ? '' : ` (${withoutPrometheus})`}`, () => {
  let scene: Scene
  let prometheus: Prometheus
  beforeAll(async () => {
    scene = await startScene()
    prometheus = await startPrometheus(new URL(scene.url).host)
    await prometheus.scraped()
    for (const play of Object.values(scenarios)) await play(scene)
    // Long enough to be seen.
    await scene.admin('POST', '/bypass', { on: true, reason: 'rehearsal' })
    while ((await prometheus.query('turnout_bypass > 0')).length === 0) await scenarios.healthy!(scene)
    await scene.admin('POST', '/bypass', { on: false, reason: 'rehearsal is over' })
  }, 300_000)
  afterAll(async () => {
    await prometheus?.close()
    await scene?.close()
  })

  it('every query of every panel, annotation, rule and alert returns data, with the labels that its legend names', async () => {
    expect(queries.length).toBeGreaterThan(100)
    let missing = [...queries]
    const deadline = Date.now() + 120_000
    // Rates need two scrapes with the load between them; rules are a second behind, those made of rules two.
    while (missing.length > 0 && Date.now() < deadline) {
      const next: typeof missing = []
      for (const query of missing) {
        const found = await prometheus.query(concrete(query.expr))
        if (!found.some(({ values }) => values.some(([, value]) => value !== 'NaN'))) next.push(query)
        else
          for (const [, label] of query.legend.matchAll(/\{\{(\w+)\}\}/g)) {
            // Prometheus leaves out labels that are empty.
            const known = found.some(({ metric }) => label! in metric) || expectedEmpty.has(label!)
            expect(known, `${query.place}: ${label}`).toBe(true)
          }
      }
      missing = next
      if (missing.length > 0) for (const name of ['healthy', 'traffic moved by percent']) await scenarios[name]!(scene)
    }
    expect(missing.map(({ place, expr }) => `${place}: ${concrete(expr)}`)).toEqual([])
  }, 300_000)

  it('legends tell all series of a panel apart, of several replicas too, and leave no gap', async () => {
    for (const { dashboard, title, type, unit, queries: asked } of panels) {
      const seen = new Map<string, string>()
      for (const { expr, legend } of asked) {
        const named = new Set([...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label!))
        for (const { metric, values } of await prometheus.query(concrete(expr))) {
          const place = `${dashboard}, ${title}: ${legend} of ${JSON.stringify(metric)}`
          // Labels of a table are its columns.
          if (type === 'table') continue
          const text = legend.replace(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? '')
          for (const label of named) expect(metric[label], place).toBeTruthy()
          // What is not in the legend may differ, and then two lines have one name.
          const untold = Object.keys(metric).filter(
            (label) => !named.has(label) && !['__name__', 'job'].includes(label),
          )
          expect(untold, place).toEqual([])
          expect(seen.get(text), place).toBeUndefined()
          seen.set(text, place)
          const numbers = values.map(([, value]) => Number(value)).filter(Number.isFinite)
          // In percent it would be far above: a request may be counted a scrape before or after its error.
          if (unit === 'percentunit') expect(medianOf(numbers), place).toBeLessThanOrEqual(2)
          // A test takes minutes: what takes longer is in milliseconds.
          if (unit === 's') for (const value of numbers) expect(value, place).toBeLessThan(1_000)
        }
      }
    }
  }, 180_000)

  it('the panels that compare two sides show a canary whose every call fails', async () => {
    const { queries: asked } = panels.find(({ title }) => title === 'Failed calls')!
    const found = await prometheus.query(concrete(asked[0]!.expr))
    const worst = (target: string): number =>
      Math.max(
        ...found
          .filter(({ metric }) => metric.target === target)
          .flatMap(({ values }) => values.map(([, value]) => Number(value)).filter((value) => value >= 0)),
      )
    expect(worst('bad-canary')).toBe(1)
    expect(worst('alpha/sim-fast')).toBeLessThan(0.5)
  })

  /** Plays until a query has what is looked for: rules are evaluated a second after the scrape that has it. */
  const until = async (expr: string, has: (found: Series[]) => boolean): Promise<Series[]> => {
    let found: Series[] = []
    for (const deadline = Date.now() + 240_000; Date.now() < deadline; await scenarios.healthy!(scene)) {
      found = await prometheus.query(concrete(expr))
      if (has(found)) break
    }
    return found
  }

  it('alerts on what the scenarios did', async () => {
    const must = ['TurnoutErrorRateHigh', 'TurnoutNoHealthyTarget', 'TurnoutUnknownPrice', 'TurnoutConfigRefused']
    const namesOf = (found: Series[]): (string | undefined)[] => found.map(({ metric }) => metric.alertname)
    // `for` has to pass before one fires: pending says that its condition holds.
    const names = namesOf(await until('ALERTS', (found) => must.every((name) => namesOf(found).includes(name))))
    expect(names).toEqual(expect.arrayContaining(must))
    // Of these pending says nothing: on a busy machine a scrape may take longer than its second.
    const fired = namesOf(await prometheus.query('ALERTS{alertstate="firing"}'))
    for (const name of ['TurnoutDown', 'TurnoutLedgerFailing', 'TurnoutMemoryCritical', 'TurnoutCostPerHourHigh'])
      expect(fired).not.toContain(name)
  }, 300_000)

  it('tells of canaries that were taken back: by which rule, and with the evidence that did it', async () => {
    const reasons = ['guard', 'hard']
    const reasonsOf = (found: Series[]): string[] => found.map(({ metric }) => metric.reason!).sort()
    const isTold = (found: Series[]): boolean => String(reasonsOf(found)) === String(reasons)
    const fired = await until('ALERTS{alertname="TurnoutCanaryHarmed", alertstate="firing"}', isTold)
    expect(reasonsOf(fired)).toEqual(reasons)
    const counted = await until(
      'sum by (reason) (turnout_rollout_transitions_total{from="stepping", to="rolled_back"}) > 0',
      isTold,
    )
    expect(reasonsOf(counted)).toEqual(reasons)

    const { queries: asked } = panels.find(({ title }) => title.startsWith('Evidence of harm'))!
    const sank = (found: Series[]): boolean =>
      found.some(
        ({ metric, values }) =>
          metric.rollout === 'canary:risky' && metric.guard === 'first_attempt_error' && Number(values.at(-1)![1]) >= 1,
      )
    expect(sank(await until(asked[0]!.expr, sank))).toBe(true)
  }, 300_000)
})

const medianOf = (numbers: readonly number[]): number => [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0

const expectedEmpty: ReadonlySet<string> = new Set([])

/** A query as Grafana sends it when everything is chosen. */
function concrete(expr: string): string {
  return expr
    .replaceAll('$__rate_interval', '30s')
    .replaceAll('$__range', '10m')
    .replace(/"\$[a-z]+"/g, '".*"')
}

/** Names of series in a query: words that are followed by a selector, or that look like ours. */
function namesIn(expr: string): string[] {
  const bare = expr.replace(/"[^"]*"/g, '""').replace(/\b(?:by|on|group_left|group_right|without) \([^)]*\)/g, '')
  const words = bare.replace(/\{[^}]*\}/g, ' ').match(/[a-z_][a-z0-9_:]*(?!\w*\s*\()/gi) ?? []
  return words.filter((word) => /^(?:turnout|process)[_:]/.test(word) || word === 'up')
}

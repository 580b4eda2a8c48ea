// Metrics: right numbers in Prometheus' form, bounded labels, a cheap hot path, a scrape that does not stall traffic.
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { defaults } from '../src/config/defaults.ts'
import { countTransition } from '../src/gateway/liveMetrics.ts'
import { createHealth } from '../src/state/health.ts'
import { HistogramRow } from '../src/telemetry/families.ts'
import { showLedger } from '../src/telemetry/ledgerMetrics.ts'
import { createMetrics, type EndedRequest, type Metrics } from '../src/telemetry/metrics.ts'
import { attemptOutcomes, type MetricSpec, metricTable } from '../src/telemetry/metricTable.ts'
import { longestTurn } from './support/mainThread.ts'

const opened: Metrics[] = []
afterEach(() => {
  for (const metrics of opened.splice(0)) metrics.close()
})

function make(maxImplicit?: number): Metrics {
  const metrics = createMetrics({ version: '1.2.3', ...(maxImplicit === undefined ? {} : { maxImplicit }) })
  opened.push(metrics)
  return metrics
}

const ended = (over: Partial<EndedRequest> = {}): EndedRequest => ({
  route: 'chat',
  target: 'openai/gpt-4o',
  status: 200,
  outcome: 'ok',
  durationMs: 120,
  stream: false,
  ...over,
})

/** Series of an exposition text by their full name with labels. Fails on a line that is not in the format. */
function parse(body: string): Map<string, number> {
  const series = new Map<string, number>()
  for (const line of body.split('\n')) {
    if (line === '' || line.startsWith('# HELP ') || line.startsWith('# TYPE ')) continue
    const match = /^([a-z_]+(?:\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*\})?) (-?[\d.e+-]+|\+Inf)$/.exec(line)
    if (!match) throw new Error(`not in the exposition format: ${line}`)
    if (series.has(match[1]!)) throw new Error(`a series twice: ${match[1]}`)
    series.set(match[1]!, Number(match[2]))
  }
  return series
}

const scrape = async (metrics: Metrics): Promise<Map<string, number>> => parse((await metrics.expose()).body)

describe('counting', () => {
  it('takes no failed probe of the only target for a change of its breaker', async () => {
    const metrics = make()
    const health = createHealth({
      settings: () => ({ ...defaults.breaker, failures: 1 }),
      told: (target, transition) => countTransition(metrics, target, transition),
    })
    health.settle('t', health.admit('t')!, 'count', 'reset')
    health.settle('t', health.lastResort(['t'])!.permit, 'count', 'reset')
    health.close()
    const of = async (from: string, to: string) =>
      (await scrape(metrics)).get(`turnout_breaker_transitions_total{from="${from}",to="${to}",target="t"}`) ?? 0
    expect([await of('closed', 'open'), await of('open', 'open')]).toEqual([1, 0])
  })

  it('counts requests by route, target, status class and outcome', async () => {
    const metrics = make()
    for (let i = 0; i < 3; i++) {
      metrics.requestStarted()
      metrics.requestEnded(ended())
    }
    metrics.requestStarted()
    metrics.requestEnded(ended({ status: 502, outcome: 'failed' }))
    metrics.requestStarted()
    metrics.requestEnded(ended({ status: 0, outcome: 'client_disconnected', target: '' }))
    metrics.requestStarted()
    expect(metrics.inFlight).toBe(1)
    const series = await scrape(metrics)
    const of = (status: string, outcome: string, target = 'openai/gpt-4o'): number | undefined =>
      series.get(`turnout_requests_total{status="${status}",outcome="${outcome}",route="chat",target="${target}"}`)
    expect(of('2xx', 'ok')).toBe(3)
    expect(of('5xx', 'failed')).toBe(1)
    expect(of('none', 'client_disconnected', '')).toBe(1)
    expect(of('4xx', 'ok')).toBeUndefined()
    expect(series.get('turnout_requests_in_flight')).toBe(1)
  })

  it('counts attempts by target and every outcome there is', async () => {
    const metrics = make()
    for (const [index, outcome] of attemptOutcomes.entries()) {
      for (let i = 0; i <= index; i++) metrics.attemptEnded({ target: 't', outcome, durationMs: 1 })
    }
    const series = await scrape(metrics)
    attemptOutcomes.forEach((outcome, index) => {
      expect(series.get(`turnout_upstream_attempts_total{outcome="${outcome}",target="t"}`)).toBe(index + 1)
    })
    const total = (attemptOutcomes.length * (attemptOutcomes.length + 1)) / 2
    expect(series.get('turnout_upstream_duration_seconds_count{target="t"}')).toBe(total)
  })

  it('has cumulative buckets, a sum and a count, in seconds', async () => {
    const metrics = make()
    for (const durationMs of [1, 5, 6, 1000, 400_000])
      metrics.requestEnded(ended({ durationMs, stream: true, firstTokenMs: 30 }))
    const series = await scrape(metrics)
    const bucket = (le: string): number | undefined =>
      series.get(`turnout_request_duration_seconds_bucket{le="${le}",route="chat",stream="true"}`)
    expect(['0.005', '0.01', '0.5', '1', '300', '+Inf'].map(bucket)).toEqual([2, 3, 3, 4, 4, 5])
    expect(series.get('turnout_request_duration_seconds_sum{route="chat",stream="true"}')).toBeCloseTo(401.012, 9)
    expect(series.get('turnout_request_duration_seconds_count{route="chat",stream="true"}')).toBe(5)
    expect(series.get('turnout_time_to_first_token_seconds_bucket{le="0.05",route="chat"}')).toBe(5)
    expect(series.get('turnout_time_to_first_token_seconds_bucket{le="0.025",route="chat"}')).toBe(0)
  })

  it('puts a value on a bound into the bucket of that bound', () => {
    const bounds = [1, 2, 4]
    const row = new HistogramRow(bounds)
    for (const value of [0, 1, 1.5, 2, 4, 4.1]) row.observe(value)
    expect([...row.counts]).toEqual([2, 2, 1, 1])
  })

  it('escapes odd label values and has help and type for every family', async () => {
    const metrics = make()
    metrics.requestEnded(ended({ route: 'we"ird\\ro\nute', target: 'ünïcode' }))
    const { body, contentType } = await metrics.expose()
    expect(contentType).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(body).toContain('route="we\\"ird\\\\ro\\nute"')
    parse(body)
    const counted = Object.values(metricTable as Record<string, MetricSpec>).filter(
      ({ kind, read }) => kind === 'histogram' || (kind === 'counter' && !read),
    )
    // The others show up with whoever keeps the number; test/metricsGateway.test.ts sees them all.
    expect(counted.length).toBeGreaterThan(15)
    for (const { name, kind } of counted) {
      expect(body.split(`# TYPE ${name} ${kind}\n`)).toHaveLength(2)
      expect(body.split(`# HELP ${name} `)).toHaveLength(2)
    }
  })

  it('tells about process, build and configuration', async () => {
    const metrics = make()
    metrics.setConfiguration({ version: 7, routes: [], targets: [] })
    const series = await scrape(metrics)
    expect(series.get('turnout_config_version')).toBe(7)
    expect(series.get(`turnout_build_info{version="1.2.3",node="${process.version}"}`)).toBe(1)
    expect(series.get('process_resident_memory_bytes')).toBeGreaterThan(1e6)
    expect(series.get('process_cpu_seconds_total{mode="user"}')).toBeGreaterThan(0)
    expect(Math.abs(series.get('process_start_time_seconds')! - (Date.now() / 1000 - process.uptime()))).toBeLessThan(5)
  })

  it('shows the numbers of a ledger, as they are at the scrape', async () => {
    const metrics = make()
    const numbers = {
      entries: 1,
      commits: 2,
      busy: 3,
      failures: { locked: 4, full: 0 },
      kept: 5,
      recovered: 6,
      lost: 7,
      orphans: 8,
      waiting: () => 9,
      journaled: 7,
      behind: () => 2,
    }
    showLedger(metrics, numbers, join(import.meta.dirname, 'metrics.test.ts'))
    expect((await scrape(metrics)).get('turnout_ledger_lost_total')).toBe(7)
    numbers.lost = 70
    const series = await scrape(metrics)
    const told = [
      'entries_total',
      'commits_total',
      'busy_total',
      'kept_rows',
      'recovered_total',
      'lost_total',
      'orphans',
    ]
    expect(told.map((name) => series.get(`turnout_ledger_${name}`))).toEqual([1, 2, 3, 5, 6, 70, 8])
    expect(series.get('turnout_ledger_waiting_rows')).toBe(9)
    expect(series.get('turnout_ledger_failures_total{kind="locked"}')).toBe(4)
    expect(series.get('turnout_ledger_file_bytes')).toBeGreaterThan(1000)
    expect(series.get('turnout_ledger_disk_free_bytes')).toBeLessThan(series.get('turnout_ledger_disk_size_bytes')!)
  })

  it('sees a blocked event loop, in two scrapes in a row', async () => {
    const metrics = make()
    await new Promise((resolve) => setTimeout(resolve, 30))
    const until = performance.now() + 120
    while (performance.now() < until);
    await new Promise((resolve) => setTimeout(resolve, 30))
    for (let i = 0; i < 2; i++) {
      const longest = (await scrape(metrics)).get('turnout_event_loop_lag_seconds{quantile="1"}')
      expect(longest).toBeGreaterThan(0.09)
      expect(longest).toBeLessThan(60)
    }
  })
})

describe('C51 bounded labels', () => {
  it('C51 100,000 junk model names leave the page bounded, and nothing uncounted', async () => {
    const metrics = make()
    metrics.setConfiguration({ version: 1, routes: ['chat'], targets: ['openai/gpt-4o'] })
    for (let i = 0; i < 100_000; i++) {
      metrics.requestStarted()
      metrics.requestEnded(
        ended({ route: `junk-${i}`, target: `provider/junk-${i}`, stream: i % 2 === 0, firstTokenMs: 1 }),
      )
      metrics.attemptEnded({ target: `provider/junk-${i}`, outcome: 'ok', durationMs: 1 })
    }
    // A configured name has its own series, also after the flood.
    metrics.requestStarted()
    metrics.requestEnded(ended())
    const { body } = await metrics.expose()
    const series = parse(body)
    const requests = [...series].filter(([name]) => name.startsWith('turnout_requests_total'))
    // 200 that came along, `other`, the configured one, and the seven zeros of requests without any route.
    expect(requests).toHaveLength(209)
    expect(requests.reduce((sum, [, value]) => sum + value, 0)).toBe(100_001)
    expect(series.get('turnout_requests_total{status="2xx",outcome="ok",route="other",target="other"}')).toBe(99_800)
    expect(series.get('turnout_requests_total{status="2xx",outcome="ok",route="chat",target="openai/gpt-4o"}')).toBe(1)
    expect(body).not.toContain('junk-200"')
    expect(series.size).toBeLessThan(201 * 4 * 21)
  })

  it('C51 products of labels and names that are texts are bounded too', async () => {
    const metrics = make()
    for (let r = 0; r < 150; r++)
      for (let t = 0; t < 150; t++) metrics.requestEnded(ended({ route: `r${r}`, target: `t${t}` }))
    metrics.requestEnded(ended({ route: 'x'.repeat(5000) }))
    const { body } = await metrics.expose()
    const requests = [...parse(body)].filter(([name]) => name.startsWith('turnout_requests_total'))
    // Beyond 2000 a route that has no room for its targets still has its sum.
    expect(requests.length).toBeLessThanOrEqual(2000 + 201)
    for (let r = 0; r < 150; r++)
      expect(requests.reduce((sum, [name, value]) => (name.includes(`route="r${r}"`) ? sum + value : sum), 0)).toBe(150)
    expect(requests.reduce((sum, [, value]) => sum + value, 0)).toBe(150 * 150 + 1)
    expect(body).not.toContain('xxxx')
  })

  it('what is configured has series of its own after keys have come and gone for long, and a route the sum of the others', async () => {
    const metrics = make()
    const routes = Array.from({ length: 20 }, (_, r) => `r${r}`)
    metrics.setConfiguration({ version: 1, routes, targets: [], keys: [{ name: 'file' }] })
    const cost = metrics.counter('requestCost')
    for (let k = 0; k < 300; k++)
      for (const route of routes) cost.row(route, metrics.labels.key(`job-${k}`), '')[0]! += 1_000_000_000
    metrics.setConfiguration({ version: 2, routes: [...routes, 'new'], targets: [], keys: [{ name: 'file' }] })
    cost.row('new', metrics.labels.key('file'), '')[0]! += 2_000_000_000
    cost.row('new', metrics.labels.key('job-500'), '')[0]! += 3_000_000_000
    const { body } = await metrics.expose()
    const counted = [...parse(body)].filter(([name]) => name.startsWith('turnout_request_cost_usd_total'))
    const of = (part: string): number =>
      counted.reduce((sum, [name, value]) => (name.includes(part) ? sum + value : sum), 0)
    expect(of('route="new",key="file",team=""')).toBe(2)
    expect(of('route="new"')).toBe(5)
    for (const route of routes) expect(of(`route="${route}"`)).toBe(300)
    expect(counted.length).toBeLessThan(2_000 + 50)
  })
})

describe('cost', () => {
  it('scrapes a full page without a long stall of the event loop', async () => {
    const metrics = make()
    for (let i = 0; i < 1000; i++) {
      const name = `n${i}`
      metrics.requestEnded(ended({ route: name, target: name, firstTokenMs: 3, stream: i % 2 === 0 }))
      metrics.attemptEnded({ target: name, outcome: 'ok', durationMs: 1 })
    }
    const [one, two] = await Promise.all([metrics.expose(), metrics.expose()])
    expect(two).toBe(one)
    expect(parse(one.body).size).toBeGreaterThan(9000)
    const stalls: number[] = []
    for (let i = 0; i < 8 || (i < 60 && Math.min(...stalls) >= 8); i++)
      stalls.push(await longestTurn(() => metrics.expose()))
    // In one piece this page takes 12 to 40 ms of CPU. The best of several: some turns also pay for the garbage of others.
    expect(Math.min(...stalls)).toBeLessThan(8)
  })

  it('counts a request in far less than its budget of microseconds', () => {
    const metrics = make()
    const request = ended({ firstTokenMs: 3, overheadMs: 0.1 })
    const run = (n: number): number => {
      // Of this process: what others take of the machine is not ours.
      const start = process.cpuUsage()
      for (let i = 0; i < n; i++) {
        metrics.requestStarted()
        metrics.attemptEnded({ target: 'openai/gpt-4o', outcome: 'ok', durationMs: 100 })
        metrics.requestEnded(request)
      }
      const { user, system } = process.cpuUsage(start)
      return (user + system) / n
    }
    run(20_000)
    let best = run(20_000)
    for (let i = 0; i < 60 && best >= 3; i++) best = Math.min(best, run(20_000))
    expect(best).toBeLessThan(3)
  })
})

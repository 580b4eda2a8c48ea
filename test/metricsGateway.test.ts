// What a running gateway shows on /metrics: every metric there is, zeros before the first event, and the right numbers after ten scenarios.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openReader } from '../src/store/reader.ts'
import { metricTable } from '../src/telemetry/metricTable.ts'
import { get } from './support/exchange.ts'
import { type Scene, scenarios, startScene } from './support/scene.ts'

describe('a gateway that has just started', () => {
  let scene: Scene
  let page: string
  let series: Map<string, number>
  beforeAll(async () => {
    scene = await startScene((document) => {
      Object.assign(document, {
        webhooks: { ops: { url: 'https://127.0.0.1:9', secret: 'test-hook-secret-0123456789' } },
        alerts: { dear: { kind: 'spend', usd: 100 } },
      })
    })
    // What budgets have spent is shown when they have read it.
    await scene.running.turnout.budgets.known()
    page = (await get(`${scene.url}/metrics`)).text
    series = await scene.scrape()
  })
  afterAll(() => scene.close())

  it('shows every metric of the table once, with type and help, and at least one series of each', () => {
    for (const { name, kind, help } of Object.values(metricTable)) {
      expect(page.split(`# TYPE ${name} ${kind}\n`), name).toHaveLength(2)
      expect(page.split(`# HELP ${name} ${help.replaceAll('\\', '\\\\')}\n`), name).toHaveLength(2)
    }
    // Sockets come with the first call.
    const silent = Object.values(metricTable).filter(
      ({ name }) => ![...series.keys()].some((key) => key.startsWith(name)),
    )
    // Rollouts show when there is one: test/canary.test.ts.
    const others = silent.map(({ name }) => name).filter((name) => !name.startsWith('turnout_rollout_'))
    expect(others).toEqual(['turnout_upstream_connections'])
  })

  it.each([
    'turnout_requests_total{status="2xx",outcome="ok",route="healthy",target="alpha/sim-fast"}',
    'turnout_requests_total{status="5xx",outcome="failed",route="healthy",target="beta/sim-fast"}',
    'turnout_requests_total{status="4xx",outcome="refused",route="healthy",target=""}',
    'turnout_requests_total{status="4xx",outcome="refused",route="",target=""}',
    'turnout_upstream_attempts_total{outcome="rate_limited",target="alpha/sim-fast"}',
    'turnout_upstream_attempts_total{outcome="ok",target="alpha/sim-fast"}',
    'turnout_tokens_total{class="cache_read",target="alpha/sim-fast"}',
    'turnout_cost_usd_total{target="alpha/sim-fast"}',
    'turnout_unpriced_attempts_total{target="alpha/sim-fast"}',
    'turnout_request_cost_usd_total{route="healthy",key="red",team="reds"}',
    'turnout_key_requests_total{outcome="failed",key="blue",team="blues"}',
    'turnout_retries_total{reason="rate_limited",target="alpha/sim-fast"}',
    'turnout_fallbacks_total{reason="breaker_open",route="healthy",target="beta/sim-fast"}',
    'turnout_fallback_requests_total{route="healthy"}',
    'turnout_breaker_transitions_total{from="closed",to="open",target="alpha/sim-fast"}',
    'turnout_breaker_state{target="alpha/sim-fast",state="open"}',
    'turnout_stream_faults_total{fault="cut",target="alpha/sim-fast"}',
    'turnout_client_disconnects_total{phase="during_reply",route="healthy"}',
    'turnout_config_swaps_total{result="refused"}',
    'turnout_config_swaps_total{result="swapped"}',
    'turnout_target_consecutive_failures{target="alpha/sim-fast"}',
    'turnout_inter_token_seconds_count{route="healthy"}',
    'turnout_time_to_first_token_seconds_count{route="healthy"}',
    'turnout_request_duration_seconds_count{route="healthy",stream="true"}',
    'turnout_overhead_seconds_count',
    'turnout_request_errors_total{blame="upstream",cause="auth_failed",route="healthy"}',
    'turnout_bypass',
    'turnout_alerts_firing{alert="dear",severity="warning"}',
    'turnout_alert_messages_total{state="firing",alert="dear"}',
    'turnout_webhook_deliveries_total{outcome="dead",webhook="ops"}',
    'turnout_webhook_messages{webhook="ops",state="waiting"}',
    'turnout_ledger_failures_total{kind="full"}',
    'turnout_ledger_lost_total',
    'turnout_log_failures_total',
    'turnout_log_dropped_lines_total',
  ])('shows 0 for %s', (name) => {
    expect(series.get(name)).toBe(0)
  })

  it('shows how much memory and disk there is', () => {
    expect(series.get('turnout_memory_limit_bytes')).toBeGreaterThan(series.get('process_resident_memory_bytes')!)
    expect(series.get('turnout_ledger_disk_free_bytes')).toBeGreaterThan(0)
    expect(series.get('turnout_route_targets{route="healthy"}')).toBe(2)
    expect(series.get('turnout_route_healthy_targets{route="healthy"}')).toBe(2)
  })
})

describe('after the ten scenarios', () => {
  let scene: Scene
  let series: Map<string, number>
  beforeAll(async () => {
    scene = await startScene()
    for (const play of Object.values(scenarios)) await play(scene)
    series = await scene.scrape()
  }, 300_000)
  afterAll(() => scene.close())

  it('there are ten of them at least', () => expect(Object.keys(scenarios).length).toBeGreaterThanOrEqual(10))

  it('counts retries and fallbacks with their reasons', () => {
    expect(series.get('turnout_retries_total{reason="server_error",target="alpha/sim-once"}')).toBe(1)
    expect(
      series.get('turnout_fallbacks_total{reason="overloaded",route="fallback",target="beta/sim-fast"}'),
    ).toBeGreaterThan(2)
    expect(series.get('turnout_fallbacks_total{reason="server_error",route="breaker",target="beta/sim-fast"}')).toBe(6)
    const passedOver = series.get(
      'turnout_fallbacks_total{reason="breaker_open",route="breaker",target="beta/sim-fast"}',
    )!
    expect(passedOver).toBeGreaterThanOrEqual(2)
    expect(series.get('turnout_fallback_requests_total{route="breaker"}')).toBe(6 + passedOver)
  })

  it('says whose doing an error is', () => {
    const of = (route: string, blame: string, cause: string): number | undefined =>
      series.get(`turnout_request_errors_total{blame="${blame}",cause="${cause}",route="${route}"}`)
    expect(of('errors', 'client', 'bad_request')).toBe(3)
    expect(of('', 'client', 'invalid_api_key')).toBe(1)
    expect(of('', 'client', 'model_not_found')).toBe(1)
    expect(of('streams', 'upstream', 'cut')).toBe(3)
    expect(of('dead', 'upstream', 'reset')! + of('dead', 'upstream', 'no_target')!).toBe(8)
    expect(of('healthy', 'gateway', 'ledger_unavailable')).toBe(0)
    expect(of('fallback', 'upstream', 'overloaded')).toBe(0)
  })

  it('does not take a probe of the only target for a fallback', () => {
    const toItself = [...series].filter(
      ([name]) => name.startsWith('turnout_fallbacks_total') && name.includes('dead-alone'),
    )
    expect(toItself.length).toBeGreaterThan(0)
    expect(toItself.every(([, count]) => count === 0)).toBe(true)
  })

  it('counts what breakers went through', () => {
    const of = (from: string, to: string): number | undefined =>
      series.get(`turnout_breaker_transitions_total{from="${from}",to="${to}",target="alpha/dead-breaker"}`)
    expect([of('closed', 'open'), of('open', 'half_open'), of('half_open', 'closed')]).toEqual([1, 1, 1])
    expect(series.get('turnout_breaker_state{target="dead-alone",state="closed"}')).toBe(0)
    expect(series.get('turnout_target_consecutive_failures{target="dead-alone"}')).toBeGreaterThan(5)
  })

  it('counts broken streams, and clients that left', () => {
    expect(series.get('turnout_stream_faults_total{fault="cut",target="alpha/sim-torn"}')).toBe(3)
    expect(series.get('turnout_client_disconnects_total{phase="during_reply",route="slow"}')).toBe(1)
  })

  it('counts money by route, key and team, exactly as the ledger does', async () => {
    const counted = [...series].filter(([name]) => name.startsWith('turnout_request_cost_usd_total'))
    const byTarget = [...series].filter(([name]) => name.startsWith('turnout_cost_usd_total'))
    const sum = (list: [string, number][]): number => Math.round(list.reduce((total, [, usd]) => total + usd * 1e9, 0))
    expect(sum(counted)).toBe(sum(byTarget))
    const reader = openReader(scene.running.turnout.snapshot.ledger.file)
    const report = await reader.spend({ by: [] })
    await reader.close()
    expect(Number(report.total.cost)).toBe(sum(counted))
    expect(series.get('turnout_unpriced_attempts_total{target="beta/nobody-knows-the-price"}')).toBe(1)
    expect(series.get('turnout_key_requests_total{outcome="ok",key="blue",team="blues"}')).toBeGreaterThan(2)
  })

  it('measures the gaps between tokens', async () => {
    // Tokens come 20 ms apart; a busy machine hands over several at once, and sees fewer gaps.
    const of = (part: string): number => series.get(`turnout_inter_token_seconds_${part}{route="slow"}`)!
    for (let round = 0; round < 20 && of('count') < 3; round++) {
      await scenarios['slow streams']!(scene)
      series = await scene.scrape()
    }
    expect(of('count')).toBeGreaterThanOrEqual(3)
    expect(of('sum') / of('count')).toBeGreaterThan(0.005)
  })

  it('counts who went to the canary, and every change of it', () => {
    const of = (arm: string): number | undefined =>
      series.get(`turnout_rollout_requests_total{arm="${arm}",assignment="hash",rollout="canary:moved"}`)
    expect(of('canary')! + of('stable')!).toBe(12)
    expect(series.get('turnout_rollout_weight_ratio{rollout="canary:moved"}')).toBe(0)
  })

  it('counts swaps, and shows sockets, losses and the versions', () => {
    expect(series.get('turnout_config_swaps_total{result="swapped"}')).toBe(2)
    expect(series.get('turnout_config_swaps_total{result="refused"}')).toBe(1)
    expect(series.get('turnout_bypass')).toBe(0)
    const origin = scene.simulator.url
    expect(series.get(`turnout_upstream_connections{origin="${origin}",state="connected"}`)).toBeGreaterThan(0)
    expect(series.get('turnout_dropped_params_total{param="logit_bias",target="claude/sim-reasoning"}')).toBe(1)
    expect(series.get('turnout_ledger_commit_seconds_count')).toBeGreaterThan(10)
    expect(series.get('turnout_requests_in_flight')).toBe(0)
  })
})

describe('who may scrape', () => {
  const token = 'sk-test-scrape-0123456789'

  it('everybody, or whoever shows the token', async () => {
    const scene = await startScene((document) => {
      document.metrics = { token }
    })
    try {
      expect((await get(`${scene.url}/metrics`)).status).toBe(401)
      expect((await get(`${scene.url}/metrics`, { authorization: 'Bearer wrong' })).status).toBe(401)
      const { status, text } = await get(`${scene.url}/metrics`, { authorization: `Bearer ${token}` })
      expect(status).toBe(200)
      expect(text).toContain('turnout_build_info')
      // The page that names them without a key is `/status`.
      const names = /chat|claude|127\.0\.0\.1/
      const told = await get(`${scene.url}/status`)
      expect(JSON.parse(told.text)).toMatchObject({ status: 'ready', bypass: false, config: { version: 1 } })
      expect(told.text).not.toMatch(names)
      expect((await get(`${scene.url}/status`, { authorization: `Bearer ${token}` })).text).toMatch(names)
      // The document is shown to operators: without it.
      const shown = await scene.admin('GET', '/config')
      expect(shown.status).toBe(200)
      expect(shown.text).not.toContain(token)
    } finally {
      await scene.close()
    }
  })

  it('on a port of its own, which has nothing else, and then not on the main one', async () => {
    const scene = await startScene((document) => {
      document.metrics = { port: 0, token }
    })
    try {
      const { scrapeUrl } = scene.running.turnout
      expect(scrapeUrl).toBeDefined()
      expect((await get(`${scene.url}/metrics`)).status).toBe(404)
      expect((await get(`${scrapeUrl}/metrics`)).status).toBe(401)
      expect((await get(`${scrapeUrl}/metrics`, { authorization: `Bearer ${token}` })).status).toBe(200)
      expect((await get(`${scrapeUrl}/v1/models`)).status).toBe(404)
    } finally {
      await scene.close()
    }
  })

  it('nobody from an address that is shut out, whichever the port', async () => {
    const scene = await startScene((document) => {
      document.metrics = { port: 0, token }
      document.access = { deny: ['127.0.0.1'] }
    })
    try {
      const { status, text } = await get(`${scene.running.turnout.scrapeUrl}/metrics`, {
        authorization: `Bearer ${token}`,
      })
      expect([status, JSON.parse(text).error.code]).toEqual([403, 'address_not_allowed'])
    } finally {
      await scene.close()
    }
  })
})

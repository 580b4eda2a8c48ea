// For each alert: series with which it must fire, what it then says, and series just short of it.

export interface RuleCase {
  readonly alert: string
  /** In promtool's notation, a value a minute: `0+6x30` rises by 6 a minute for 30 minutes. */
  readonly fires: Readonly<Record<string, string>>
  /** Of what fires, beside those of the rule. */
  readonly labels: Readonly<Record<string, string>>
  /** `$value` as the annotations show it. */
  readonly value: string
  readonly quiet: Readonly<Record<string, string>>
  /** When to look; 30 minutes in unless given. */
  readonly at?: string
  /** More of the same, where a rule has several ways to fire or to be wrong. */
  readonly others?: readonly (
    | { readonly what: string; readonly quiet: Series }
    | { readonly what: string; readonly fires: Series; readonly value: string; readonly labels: Series }
  )[]
}

type Series = Readonly<Record<string, string>>

const chat = { job: 'turnout', route: 'chat' }
const here = { job: 'turnout', instance: 'gw:4000' }
const target = { job: 'turnout', target: 'openai/gpt-4.1-mini' }

const series = (name: string, labels: Readonly<Record<string, string>>): string =>
  `${name}{${Object.entries(labels)
    .map(([label, value]) => `${label}="${value}"`)
    .join(',')}}`

const requests = series('turnout_requests_total', { ...chat, ...target, status: '2xx', outcome: 'ok' })
const refused = series('turnout_requests_total', { ...chat, ...target, status: '4xx', outcome: 'refused' })
const refusedAtOnce = series('turnout_requests_total', { ...chat, target: '', status: '4xx', outcome: 'refused' })
const left = series('turnout_requests_total', { ...chat, ...target, status: 'none', outcome: 'client_disconnected' })
const errors = (blame: string): string =>
  series('turnout_request_errors_total', { ...chat, blame, cause: blame === 'client' ? 'bad_request' : 'server_error' })

const asked = series('turnout_requests_total', { ...here, ...chat, ...target, status: '5xx', outcome: 'refused' })
const failedCalls = series('turnout_upstream_attempts_total', { ...here, ...target, outcome: 'server_error' })

/** Requests that come to no route. */
const strays = (cause: string, perMinute: number): Record<string, string> => {
  const none = { job: 'turnout', route: '' }
  return {
    [series('turnout_requests_total', { ...none, target: '', status: '2xx', outcome: 'ok' })]: '0x60',
    [series('turnout_requests_total', { ...none, target: '', status: '4xx', outcome: 'refused' })]: `0+${perMinute}x60`,
    [series('turnout_request_errors_total', { ...none, blame: 'client', cause })]: `0+${perMinute}x60`,
  }
}

/** A histogram whose observations all lie between two bounds; the p95 is then 95 % of the way between them. */
const histogram = (
  name: string,
  labels: Readonly<Record<string, string>>,
  below: string,
  above: string,
): Record<string, string> => ({
  [series(`${name}_bucket`, { ...labels, le: below })]: '0x60',
  [series(`${name}_bucket`, { ...labels, le: above })]: '0+60x60',
  [series(`${name}_bucket`, { ...labels, le: '+Inf' })]: '0+60x60',
})

const durations = (below: string, above: string) =>
  histogram('turnout_request_duration_seconds', { ...chat, stream: 'false' }, below, above)

const mean = (seconds: number): Record<string, string> => ({
  [series('turnout_request_duration_seconds_sum', { ...chat, stream: 'false' })]: `0+${60 * seconds}x60`,
  [series('turnout_request_duration_seconds_count', { ...chat, stream: 'false' })]: '0+60x60',
})

/** An hour or more of steady spending. */
const spending = (usdPerMinute: number, minutes = 1500): Record<string, string> => ({
  [series('turnout_cost_usd_total', target)]: `0+${usdPerMinute}x${minutes}`,
})

const gauge = (name: string, labels: Readonly<Record<string, string>>, value: string): Record<string, string> => ({
  [series(name, labels)]: value,
})

/** A budget of 10 USD of which this share is spent. */
const budget = (window: string, seconds: number, rolling: string, used: string, limit = '10x600'): Series => ({
  ...gauge('turnout_budget_used_ratio', { ...here, budget: 'team' }, used),
  ...gauge('turnout_budget_limit_usd', { ...here, budget: 'team' }, limit),
  ...gauge('turnout_budget_window_seconds', { ...here, budget: 'team', window, rolling }, `${seconds}x600`),
})

/** Nothing for ten minutes, then one, then nothing more. */
const once = '0x10 1x60'

const share = (name: string): string =>
  series('turnout_requests_total', { ...chat, target: name, status: '2xx', outcome: 'ok' })

const cache = (hits: number, misses: number): Record<string, string> => ({
  [series('turnout_cache_requests_total', { ...chat, status: 'hit' })]: `0+${hits}x120`,
  [series('turnout_cache_requests_total', { ...chat, status: 'miss' })]: `0+${misses}x120`,
  // Neither are requests that ask the cache.
  [series('turnout_cache_requests_total', { ...chat, status: 'bypass' })]: '0+100x120',
  [series('turnout_cache_requests_total', { ...chat, status: 'refresh' })]: '0+100x120',
})

export const ruleCases: readonly RuleCase[] = [
  {
    alert: 'TurnoutDown',
    fires: gauge('up', here, '1x10 0x60'),
    labels: here,
    value: '0',
    quiet: gauge('up', here, '1x60'),
  },
  {
    alert: 'TurnoutErrorRateHigh',
    fires: { [requests]: '0+100x60', [errors('upstream')]: '0+6x60' },
    labels: chat,
    value: '6%',
    // Twice as many by the clients' own doing, and as many as the threshold by ours.
    quiet: { [requests]: '0+100x60', [errors('upstream')]: '0+5x60', [errors('client')]: '0+20x60' },
  },
  {
    alert: 'TurnoutErrorRateCritical',
    fires: { [requests]: '0+100x60', [errors('gateway')]: '0+11x60' },
    labels: chat,
    value: '11%',
    quiet: { [requests]: '0+100x60', [errors('upstream')]: '0+10x60' },
  },
  {
    alert: 'TurnoutSuccessLow',
    fires: { [requests]: '0+80x60', [refused]: '0+20x60' },
    labels: chat,
    value: '80%',
    // Clients that leave are no failure.
    quiet: { [requests]: '0+80x60', [refused]: '0+5x60', [left]: '0+15x60' },
    others: [
      {
        what: 'a name that no route has was never answered well since the start',
        fires: { [refused]: '0+60x60' },
        value: '0%',
        labels: chat,
      },
      {
        what: 'an app asks for a name that was taken away',
        fires: { [requests]: '0+80x60', ...strays('model_not_found', 20) },
        labels: { route: '(none)' },
        value: '80%',
      },
      { what: 'somebody tries keys', quiet: { [requests]: '0+80x60', ...strays('invalid_api_key', 5) } },
      {
        what: 'the same while a key that storms is blocked',
        fires: {
          [requests]: '0+80x60',
          ...strays('model_not_found', 20),
          ...strays('blocked', 1000),
          [series('turnout_requests_total', {
            job: 'turnout',
            route: '',
            target: '',
            status: '4xx',
            outcome: 'refused',
          })]: '0+1020x60',
        },
        labels: { route: '(none)' },
        value: '80%',
      },
      { what: 'a key that storms is blocked', quiet: { [requests]: '0+80x60', ...strays('blocked', 1000) } },
    ],
  },
  {
    alert: 'TurnoutLatencyAverageHigh',
    fires: mean(6),
    labels: chat,
    value: '6s',
    quiet: mean(4.9),
  },
  {
    alert: 'TurnoutLatencyP95High',
    fires: durations('5', '10'),
    labels: chat,
    value: '9.75s',
    quiet: durations('2.5', '5'),
  },
  {
    alert: 'TurnoutLatencyP95Critical',
    fires: durations('10', '20'),
    labels: chat,
    value: '19.5s',
    quiet: durations('5', '10'),
  },
  {
    alert: 'TurnoutFirstTokenSlow',
    fires: histogram('turnout_time_to_first_token_seconds', chat, '5', '10'),
    labels: chat,
    value: '9.75s',
    quiet: histogram('turnout_time_to_first_token_seconds', chat, '2.5', '5'),
  },
  {
    alert: 'TurnoutTargetShareHigh',
    fires: { [share('openai/gpt-4o')]: '0+20x60', [share('openai/gpt-4.1-mini')]: '0+80x60' },
    labels: { ...chat, target: 'openai/gpt-4o' },
    value: '20%',
    quiet: { [share('openai/gpt-4o')]: '0+9x60', [share('openai/gpt-4.1-mini')]: '0+91x60' },
  },
  {
    alert: 'TurnoutCostPerHourHigh',
    fires: spending(0.2),
    labels: { job: 'turnout' },
    value: '12.00',
    quiet: spending(0.16),
    at: '2h',
  },
  {
    alert: 'TurnoutCostPerHourCritical',
    fires: spending(1),
    labels: { job: 'turnout' },
    value: '60.00',
    quiet: spending(0.8),
    at: '2h',
  },
  {
    alert: 'TurnoutCostPerDayHigh',
    fires: spending(0.005),
    labels: { job: 'turnout' },
    value: '7.20',
    quiet: spending(0.003),
    at: '24h10m',
  },
  {
    alert: 'TurnoutCostPerDayCritical',
    fires: spending(0.1),
    labels: { job: 'turnout' },
    value: '144.00',
    quiet: spending(0.06),
    at: '24h10m',
  },
  {
    alert: 'TurnoutCostPerRequestHigh',
    fires: {
      [series('turnout_request_cost_usd_total', { ...chat, key: 'app', team: '' })]: '0+0.12x120',
      [requests]: '0+60x120',
    },
    labels: chat,
    value: '0.0020',
    quiet: {
      // As many calls again are the cache's own.
      [series('turnout_request_cost_usd_total', { ...chat, key: 'app', team: '' })]: '0+0.096x120',
      [requests]: '0+60x120',
      [series('turnout_cache_requests_total', { ...chat, status: 'refresh' })]: '0+60x120',
    },
    at: '2h',
  },
  {
    alert: 'TurnoutCostSpike',
    // A cent a minute for seven hours, then ten.
    fires: {
      [series('turnout_cost_usd_total', target)]: '0+0.01x419 4.29+0.1x120',
      ...gauge('process_start_time_seconds', here, '0x600'),
    },
    labels: { job: 'turnout' },
    value: '4',
    // The same in the first hours of a process that has no past to compare with.
    quiet: {
      [series('turnout_cost_usd_total', target)]: '0+0.01x419 4.29+0.1x120',
      ...gauge('process_start_time_seconds', here, '18000x600'),
    },
    at: '8h',
  },
  {
    alert: 'TurnoutCacheHitsLow',
    fires: cache(40, 60),
    labels: chat,
    value: '40%',
    quiet: cache(60, 40),
    at: '2h',
  },
  {
    alert: 'TurnoutCacheHitsVeryLow',
    fires: cache(10, 90),
    labels: chat,
    value: '10%',
    // Hardly anybody asks: three requests an hour say nothing.
    quiet: { ...cache(0, 0), [series('turnout_cache_requests_total', { ...chat, status: 'miss' })]: '0+0.05x120' },
    at: '2h',
  },
  {
    alert: 'TurnoutBudgetBurnsFast',
    // 0.5 % a minute is 30 % of a day in an hour: 7.2 times its share.
    fires: budget('day', 86_400, 'false', '0.1+0.005x240'),
    labels: { job: 'turnout', budget: 'team', window: 'day' },
    value: '7.2',
    // As fast until ten minutes ago.
    quiet: budget('day', 86_400, 'false', '0.1+0.005x110 0.65x60'),
    at: '2h',
    others: [
      {
        what: 'a month, 3 % of it in an hour',
        fires: budget('month', 2_592_000, 'false', '0.1+0.0005x240'),
        value: '21.6',
        labels: { window: 'month' },
      },
      { what: 'a month, as fast as matters of a day', quiet: budget('month', 2_592_000, 'false', '0.1+0.0003x240') },
      {
        what: 'a day, evenly, and the next one begins',
        quiet: budget('day', 86_400, 'false', '0.95+0.0007x60 0+0.0007x240'),
      },
      {
        what: 'an hour, all of it within half of it',
        quiet: budget('hour', 3_600, 'false', '0+0.033x30 1x30 0+0.033x30 1x120'),
      },
      {
        what: 'a rolling day, in which as much falls out as is spent',
        quiet: budget('day', 86_400, 'true', '0.9-0.004x30 0.78+0.004x30 0.9-0.004x30 0.78+0.004x60'),
      },
    ],
  },
  {
    alert: 'TurnoutBudgetBurnsFast',
    fires: budget('day', 86_400, 'false', '0.1x26 0.5x60'),
    labels: { job: 'turnout', budget: 'team', window: 'day' },
    value: '9.8',
    // The limit was raised two minutes before. 7.03 USD of 10 are 7.030000000000001 again, of 12 they are less: as if counting had begun anew.
    quiet: budget('day', 86_400, 'false', '0.7030000000000001x26 0.5858333333333333x60', '10x26 12x60'),
    others: [
      {
        what: 'a limit that is lowered to a half',
        quiet: budget('day', 86_400, 'false', '0.3x26 0.6x60', '10x26 5x60'),
      },
    ],
  },
  {
    alert: 'TurnoutBudgetBurns',
    // 0.18 % a minute is 65 % of a day in six hours.
    fires: budget('day', 86_400, 'false', '0.1+0.0018x600'),
    labels: { job: 'turnout', budget: 'team', window: 'day' },
    value: '2.6',
    quiet: budget('day', 86_400, 'false', '0.1+0.0013x600'),
    at: '8h',
    others: [
      {
        what: 'a week, 25 % of it in six hours',
        fires: budget('week', 604_800, 'false', '0+0.0007x600'),
        value: '7.1',
        labels: { window: 'week' },
      },
      { what: 'a week, as fast as matters of a day', quiet: budget('week', 604_800, 'false', '0+0.0004x600') },
      {
        what: 'a rolling week that fills',
        fires: budget('week', 604_800, 'true', '0+0.0007x600'),
        value: '7.1',
        labels: { window: 'week' },
      },
      { what: 'as fast until an hour ago', quiet: budget('day', 86_400, 'false', '0+0.002x420 0.84x180') },
    ],
  },
  {
    alert: 'TurnoutBudgetNearlySpent',
    fires: gauge('turnout_budget_used_ratio', { ...here, budget: 'team' }, '0.8x10 0.95x60'),
    labels: { job: 'turnout', budget: 'team' },
    value: '95%',
    quiet: gauge('turnout_budget_used_ratio', { ...here, budget: 'team' }, '0.8x10 0.9x60'),
  },
  {
    alert: 'TurnoutUnknownPrice',
    fires: gauge('turnout_unpriced_attempts_total', target, '0x20 1x60'),
    labels: target,
    value: '1',
    // An hour ago.
    quiet: gauge('turnout_unpriced_attempts_total', target, once),
    others: [
      {
        what: 'a model that no route names, called once',
        fires: gauge('turnout_unpriced_attempts_total', { ...here, ...target }, '_x24 1x60'),
        value: '1',
        labels: {},
      },
      {
        what: 'that call, twenty minutes later',
        quiet: gauge('turnout_unpriced_attempts_total', { ...here, ...target }, '_x9 1x60'),
      },
      {
        what: 'a restart, behind which nothing is called',
        quiet: gauge('turnout_unpriced_attempts_total', { ...here, ...target }, '5x20 0x60'),
      },
    ],
  },
  {
    alert: 'TurnoutBreakerOpen',
    // Between two openings it is half open for a while: that is no recovery.
    fires: {
      [series('turnout_breaker_state', { ...here, ...target, state: 'open' })]: '1x4 0x1 1x4 0x1 1x40',
      [series('turnout_breaker_state', { ...here, ...target, state: 'half_open' })]: '0x4 1x1 0x4 1x1 0x40',
      [series('turnout_breaker_state', { ...here, ...target, state: 'closed' })]: '0x60',
      [failedCalls]: '0x4 1x9 2x60',
    },
    labels: { ...here, ...target },
    value: '1',
    quiet: {
      [series('turnout_breaker_state', { ...here, ...target, state: 'open' })]: '0x24 1x2 0x40',
      [series('turnout_breaker_state', { ...here, ...target, state: 'half_open' })]: '0x60',
      [failedCalls]: '0x24 5x60',
      [series('turnout_breaker_state', { ...here, ...target, state: 'disabled' })]: '0x60',
    },
    others: [
      {
        what: 'a canary that was taken back, which nobody calls to close it',
        quiet: {
          [series('turnout_breaker_state', { ...here, ...target, state: 'open' })]: '0x60',
          [series('turnout_breaker_state', { ...here, ...target, state: 'half_open' })]: '1x60',
          [failedCalls]: '13x60',
        },
      },
      {
        what: 'one call an hour, which failed',
        fires: {
          [series('turnout_breaker_state', { ...here, ...target, state: 'open' })]: '0x4 1x4 0x60',
          [series('turnout_breaker_state', { ...here, ...target, state: 'half_open' })]: '1x4 0x4 1x60',
          [failedCalls]: '1x4 2x60',
        },
        value: '1',
        labels: {},
      },
      {
        what: 'open, however long nobody was let through',
        fires: {
          [series('turnout_breaker_state', { ...here, ...target, state: 'open' })]: '1x60',
          [failedCalls]: '13x60',
        },
        value: '1',
        labels: {},
      },
    ],
  },
  {
    alert: 'TurnoutNoHealthyTarget',
    fires: { ...gauge('turnout_route_healthy_targets', { ...here, ...chat }, '2x10 0x60'), [asked]: '0x10 1x60' },
    labels: { ...here, ...chat },
    value: '0',
    quiet: { ...gauge('turnout_route_healthy_targets', { ...here, ...chat }, '2x10 1x60'), [asked]: '0x10 1x60' },
    others: [
      {
        what: 'a route that nobody asks',
        quiet: { ...gauge('turnout_route_healthy_targets', { ...here, ...chat }, '0x60'), [asked]: '13x60' },
      },
    ],
  },
  {
    alert: 'TurnoutConsecutiveFailures',
    fires: {
      ...gauge('turnout_target_consecutive_failures', { ...here, ...target }, '0x10 6x60'),
      [failedCalls]: '0x10 6x60',
    },
    labels: { ...here, ...target },
    value: '6',
    quiet: {
      ...gauge('turnout_target_consecutive_failures', { ...here, ...target }, '0x10 5x60'),
      [failedCalls]: '0x10 5x60',
    },
    others: [
      {
        what: 'a target that was swapped out for hours, which nobody calls',
        quiet: {
          ...gauge('turnout_target_consecutive_failures', { ...here, ...target }, '6x60'),
          [failedCalls]: '13x60',
        },
      },
    ],
  },
  {
    alert: 'TurnoutFallbackShareHigh',
    fires: {
      [series('turnout_fallback_requests_total', chat)]: '0+12x60',
      [requests]: '0+60x60',
      // A storm of refusals hides none of it.
      [refusedAtOnce]: '0+600x60',
    },
    labels: chat,
    value: '20%',
    quiet: {
      [series('turnout_fallback_requests_total', chat)]: '0+6x60',
      [requests]: '0+60x60',
    },
  },
  {
    alert: 'TurnoutCanaryHarmed',
    fires: gauge(
      'turnout_rollout_transitions_total',
      { ...here, from: 'stepping', to: 'rolled_back', reason: 'guard' },
      '0x20 1x60',
    ),
    labels: { job: 'turnout', reason: 'guard' },
    value: '1',
    // Taken back by hand.
    quiet: gauge(
      'turnout_rollout_transitions_total',
      { ...here, from: 'stepping', to: 'rolled_back', reason: 'operator' },
      '0x20 1x60',
    ),
  },
  {
    alert: 'TurnoutStreamsBreak',
    fires: {
      [series('turnout_stream_faults_total', { ...target, fault: 'cut' })]: '0+3x60',
      [series('turnout_upstream_attempts_total', { ...target, outcome: 'ok' })]: '0+100x60',
    },
    labels: target,
    value: '3%',
    quiet: {
      [series('turnout_stream_faults_total', { ...target, fault: 'cut' })]: '0+2x60',
      [series('turnout_upstream_attempts_total', { ...target, outcome: 'ok' })]: '0+100x60',
    },
  },
  {
    alert: 'TurnoutMemoryHigh',
    fires: {
      ...gauge('process_resident_memory_bytes', here, '850x60'),
      ...gauge('turnout_memory_limit_bytes', here, '1000x60'),
    },
    labels: here,
    value: '85%',
    quiet: {
      ...gauge('process_resident_memory_bytes', here, '800x60'),
      ...gauge('turnout_memory_limit_bytes', here, '1000x60'),
    },
  },
  {
    alert: 'TurnoutMemoryCritical',
    fires: {
      ...gauge('process_resident_memory_bytes', here, '960x60'),
      ...gauge('turnout_memory_limit_bytes', here, '1000x60'),
    },
    labels: here,
    value: '96%',
    quiet: {
      ...gauge('process_resident_memory_bytes', here, '950x60'),
      ...gauge('turnout_memory_limit_bytes', here, '1000x60'),
    },
  },
  {
    alert: 'TurnoutEventLoopLag',
    fires: gauge('turnout_event_loop_lag_seconds', { ...here, quantile: '0.99' }, '0.2x60'),
    labels: { ...here, quantile: '0.99' },
    value: '200ms',
    // A single long pause is another quantile.
    quiet: {
      ...gauge('turnout_event_loop_lag_seconds', { ...here, quantile: '0.99' }, '0.1x60'),
      ...gauge('turnout_event_loop_lag_seconds', { ...here, quantile: '1' }, '3x60'),
    },
  },
  {
    alert: 'TurnoutLedgerFailing',
    fires: gauge('turnout_ledger_failures_total', { ...here, kind: 'full' }, '0+5x60'),
    labels: here,
    value: '25',
    quiet: gauge('turnout_ledger_failures_total', { ...here, kind: 'full' }, once),
  },
  {
    alert: 'TurnoutLedgerRowsWait',
    fires: gauge('turnout_ledger_kept_rows', here, '0x10 7x60'),
    labels: here,
    value: '7',
    quiet: gauge('turnout_ledger_kept_rows', here, '0x26 7x2 0x60'),
  },
  {
    alert: 'TurnoutLedgerRowsLost',
    fires: gauge('turnout_ledger_lost_total', here, once),
    labels: here,
    value: '1',
    quiet: gauge('turnout_ledger_lost_total', here, '3x60'),
  },
  {
    alert: 'TurnoutDiskLow',
    fires: {
      ...gauge('turnout_ledger_disk_free_bytes', here, '9x60'),
      ...gauge('turnout_ledger_disk_size_bytes', here, '100x60'),
    },
    labels: here,
    value: '9%',
    quiet: {
      ...gauge('turnout_ledger_disk_free_bytes', here, '10x60'),
      ...gauge('turnout_ledger_disk_size_bytes', here, '100x60'),
    },
  },
  {
    alert: 'TurnoutDiskCritical',
    fires: {
      ...gauge('turnout_ledger_disk_free_bytes', here, '1x60'),
      ...gauge('turnout_ledger_disk_size_bytes', here, '100x60'),
    },
    labels: here,
    value: '1%',
    quiet: {
      ...gauge('turnout_ledger_disk_free_bytes', here, '2x60'),
      ...gauge('turnout_ledger_disk_size_bytes', here, '100x60'),
    },
  },
  {
    alert: 'TurnoutConfigRefused',
    fires: gauge('turnout_config_swaps_total', { ...here, result: 'refused' }, '0x20 1x60'),
    labels: { ...here, result: 'refused' },
    value: '1',
    quiet: gauge('turnout_config_swaps_total', { ...here, result: 'swapped' }, '0x20 1x60'),
  },
  {
    alert: 'TurnoutBypassOn',
    fires: gauge('turnout_bypass', here, '0x10 1x60'),
    labels: here,
    value: '1',
    quiet: gauge('turnout_bypass', here, '0x20 1x60'),
  },
  {
    alert: 'TurnoutWebhookDead',
    fires: gauge('turnout_webhook_messages', { ...here, webhook: 'ops', state: 'dead' }, '0x10 2x60'),
    labels: { job: 'turnout', webhook: 'ops' },
    value: '2',
    quiet: gauge('turnout_webhook_messages', { ...here, webhook: 'ops', state: 'waiting' }, '0x10 2x60'),
  },
  {
    alert: 'TurnoutLogFailing',
    fires: gauge('turnout_log_failures_total', here, '0x20 4x60'),
    labels: here,
    value: '4',
    quiet: gauge('turnout_log_failures_total', here, '4x60'),
  },
]

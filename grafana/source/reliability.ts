// How targets fare, and what it takes to survive them: breakers, retries, fallbacks, broken streams, sockets, the ledger.
import {
  type Dashboard,
  quantile,
  rate,
  routeVariable,
  targetVariable,
  where,
  whereRoute,
  whereTarget,
} from './dashboard.ts'

export const reliability: Dashboard = {
  uid: 'turnout-reliability',
  title: 'Turnout / Reliability',
  description: 'Targets and their breakers, retries, fallbacks, broken streams, sockets, and the ledger.',
  variables: [routeVariable, targetVariable],
  sections: [
    {
      title: 'Targets',
      panels: [
        {
          title: 'Breakers',
          description:
            'Green: closed. Yellow: one probe at a time. Red: open, others serve. Blue: switched off by an operator. Red for long: the provider is down, or the key is refused (see attempts by outcome).',
          type: 'state-timeline',
          unit: 'none',
          queries: [
            {
              expr: `max by (target) (turnout_breaker_state{${whereTarget}, state="half_open"} * 1 or turnout_breaker_state{${whereTarget}, state="open"} * 2 or turnout_breaker_state{${whereTarget}, state="disabled"} * 3)`,
              legend: '{{target}}',
            },
          ],
          names: { 0: ['closed', 'green'], 1: ['half open', 'yellow'], 2: ['open', 'red'], 3: ['disabled', 'blue'] },
        },
        {
          title: 'Healthy targets',
          description:
            'Targets of each route that may be called. 0 is an outage of that route; 1 is one fault away from it.',
          unit: 'short',
          min: 0,
          decimals: 0,
          thresholds: ['red', [1, 'yellow'], [2, 'green']],
          queries: [{ expr: `min by (route) (turnout_route_healthy_targets{${whereRoute}})`, legend: '{{route}}' }],
        },
        {
          title: 'Changes of breakers',
          description:
            'Transitions in the last 5 minutes. One that opens and closes all the time: raise `breaker.failures`, or lower its share of traffic.',
          unit: 'short',
          queries: [
            {
              expr: `sum by (target, from, to) (increase(turnout_breaker_transitions_total{${whereTarget}}[5m])) > 0`,
              legend: '{{target}}: {{from}} to {{to}}',
            },
          ],
        },
        {
          title: 'Failures in a row',
          description:
            'Failed calls since the last good one. Above 5: the breaker opens or has; nothing of that target works.',
          unit: 'short',
          min: 0,
          thresholds: ['green', [5, 'red']],
          queries: [
            { expr: `max by (target) (turnout_target_consecutive_failures{${whereTarget}})`, legend: '{{target}}' },
          ],
        },
        {
          title: 'Targets of routes',
          description: 'How many there are, healthy or not. A route with one has no fallback.',
          type: 'bargauge',
          unit: 'short',
          decimals: 0,
          min: 0,
          thresholds: ['yellow', [2, 'green']],
          queries: [{ expr: `max by (route) (turnout_route_targets{${whereRoute}})`, legend: '{{route}}' }],
        },
        {
          title: 'Duration of upstream calls, p95',
          description: 'From the dispatch to the end, by target. One slow target on a route: put another first.',
          unit: 's',
          queries: [
            {
              expr: quantile(0.95, 'turnout_upstream_duration_seconds', whereTarget, ['target']),
              legend: '{{target}}',
            },
          ],
        },
      ],
    },
    {
      title: 'Survived',
      panels: [
        {
          title: 'Upstream calls by outcome',
          description:
            'Every attempt. rate_limited: spread the load or raise the quota. auth_failed, permission_denied, quota_exhausted: the account. Timeouts: the target, or limits that are too tight.',
          unit: 'reqps',
          stack: true,
          queries: [
            {
              expr: `${rate('turnout_upstream_attempts_total', whereTarget, ['target', 'outcome'])} > 0`,
              legend: '{{target}}: {{outcome}}',
            },
          ],
        },
        {
          title: 'Retries',
          description:
            'Calls to the same target again, by the fault before. Many: clients wait for them; add a target to the route.',
          unit: 'reqps',
          stack: true,
          queries: [
            {
              expr: `${rate('turnout_retries_total', whereTarget, ['target', 'reason'])} > 0`,
              legend: '{{target}}: {{reason}}',
            },
          ],
        },
        {
          title: 'Fallbacks',
          description:
            'Calls to another target than the first of the plan, by why. breaker_open: nobody waited for the broken one.',
          unit: 'reqps',
          stack: true,
          queries: [
            {
              expr: `${rate('turnout_fallbacks_total', whereRoute, ['route', 'target', 'reason'])} > 0`,
              legend: '{{route}} to {{target}}: {{reason}}',
            },
          ],
        },
        {
          title: 'Share of fallbacks',
          description:
            'Requests that went to another target than the first of the plan, of those that a target was asked for. Above 10 %: the first target is not what serves any more; cost and quality are those of another.',
          unit: 'percentunit',
          min: 0,
          thresholds: ['green', [0.1, 'red']],
          queries: [
            {
              expr: `${rate('turnout_fallback_requests_total', whereRoute, ['route'])} / ${rate('turnout_requests_total', `${whereRoute}, target!=""`, ['route'])}`,
              legend: '{{route}}',
            },
          ],
        },
        {
          title: 'Broken streams',
          description:
            'Streams that broke after content had been sent: the client sees an error frame. No fallback helps here; move the traffic.',
          unit: 'reqps',
          stack: true,
          queries: [
            {
              expr: `${rate('turnout_stream_faults_total', whereTarget, ['target', 'fault'])} > 0`,
              legend: '{{target}}: {{fault}}',
            },
          ],
        },
        {
          title: 'Parameters that were dropped',
          description:
            'What a target could not be told as it was meant. Unwanted: `strict: true` on the route refuses such requests.',
          unit: 'reqps',
          queries: [
            {
              expr: `${rate('turnout_dropped_params_total', whereTarget, ['target', 'param'])} > 0`,
              legend: '{{target}}: {{param}}',
            },
          ],
        },
        {
          title: 'Sockets to upstreams',
          description:
            'By origin: open, idle, busy, and calls that wait for a socket. `queued` above 0: raise `server.connectionsPerOrigin`, or the upstream accepts no more.',
          unit: 'short',
          queries: [
            {
              expr: `sum by (origin, state) (turnout_upstream_connections{${where}})`,
              legend: '{{origin}} {{state}}',
            },
          ],
        },
        {
          title: 'Refused configurations',
          description:
            'Changes of the configuration in the last hour. refused: what was meant to change has not; the log names each problem with its line.',
          unit: 'short',
          queries: [
            {
              expr: `sum by (instance, result) (increase(turnout_config_swaps_total{${where}}[1h]))`,
              legend: '{{instance}} {{result}}',
            },
          ],
        },
      ],
    },
    {
      title: 'Messages to others',
      panels: [
        {
          title: "Turnout's own alerts that fire",
          description:
            'Keys, teams, routes, targets or budgets for which an alert of the configuration fires. `turnout alerts` and docs/alerts.md say for which, and what was told.',
          unit: 'short',
          min: 0,
          thresholds: ['green', [1, 'red']],
          queries: [
            { expr: `max by (alert, severity) (turnout_alerts_firing{${where}})`, legend: '{{alert}} ({{severity}})' },
          ],
        },
        {
          title: 'What alerts have said',
          description:
            'Messages of the last hour, firing and resolved. One that does both all the time: raise its threshold or its cooldown.',
          unit: 'short',
          queries: [
            {
              expr: `sum by (alert, state) (increase(turnout_alert_messages_total{${where}}[1h]))`,
              legend: '{{alert}} {{state}}',
            },
          ],
        },
        {
          title: 'Deliveries to webhooks',
          description:
            'Attempts by webhook and outcome. failed: tried again later. dead: given up, the receiver was unreachable or refused for too long.',
          unit: 'reqps',
          queries: [
            {
              expr: rate('turnout_webhook_deliveries_total', where, ['webhook', 'outcome']),
              legend: '{{webhook}} {{outcome}}',
            },
          ],
        },
        {
          title: 'Messages that are not delivered',
          description:
            'waiting: they will be tried again. dead: nobody heard of them; repair the receiver and send them again (docs/admin.md, alerts and webhooks).',
          unit: 'short',
          thresholds: ['green', [1, 'yellow']],
          queries: [
            { expr: `max by (webhook, state) (turnout_webhook_messages{${where}})`, legend: '{{webhook}} {{state}}' },
          ],
        },
      ],
    },
    {
      title: 'Ledger and log',
      panels: [
        {
          title: 'Rows and commits',
          description:
            'Rows written, those of them that went through the journal, transactions that wrote them, and requests that were refused too often to have a row each. Rows without commits is what does not happen: one or the other stands still, look at failures.',
          unit: 'short',
          queries: [
            { expr: rate('turnout_ledger_entries_total', where, ['instance']), legend: '{{instance}} rows/s' },
            {
              expr: rate('turnout_ledger_journal_entries_total', where, ['instance']),
              legend: '{{instance}} journal rows/s',
            },
            { expr: rate('turnout_ledger_commits_total', where, ['instance']), legend: '{{instance}} commits/s' },
            {
              expr: rate('turnout_ledger_refusals_unwritten_total', where, ['instance']),
              legend: '{{instance}} refusals without a row/s',
            },
          ],
        },
        {
          title: 'Time of a commit',
          description:
            'From the arrival of the oldest row until it is durable; a request waits for two. Above 0.1 s: the disk is slow or shared.',
          unit: 's',
          thresholds: ['green', [0.1, 'red']],
          queries: [0.5, 0.99].map((of) => ({
            expr: quantile(of, 'turnout_ledger_commit_seconds', where, ['instance']),
            legend: `{{instance}} p${of * 100}`,
          })),
        },
        {
          title: 'Rows that wait',
          description:
            'To be made durable; (journal) for SQLite to take what the journal holds safely; (kept) in memory for the disk to work again. journal growing: end whoever holds the lock. kept above 0: lost if the process dies; make room.',
          unit: 'short',
          thresholds: ['green', [1000, 'yellow'], [10000, 'red']],
          queries: [
            { expr: `turnout_ledger_waiting_rows{${where}}`, legend: '{{instance}} waiting' },
            { expr: `turnout_ledger_journal_rows{${where}}`, legend: '{{instance}} journal' },
            { expr: `turnout_ledger_kept_rows{${where}}`, legend: '{{instance}} kept' },
          ],
        },
        {
          title: 'Trouble',
          description:
            'Rows not taken by kind, commits that met a lock, rows written late and rows given up, in the last hour. lost above 0: money without a row; full: make room on the disk.',
          unit: 'short',
          thresholds: ['green', [1, 'red']],
          queries: [
            {
              expr: `sum by (instance, kind) (increase(turnout_ledger_failures_total{${where}}[1h]))`,
              legend: '{{instance}} {{kind}}',
            },
            {
              expr: `sum by (instance) (increase(turnout_ledger_busy_total{${where}}[1h]))`,
              legend: '{{instance}} met a lock',
            },
            {
              expr: `sum by (instance) (increase(turnout_ledger_recovered_total{${where}}[1h]))`,
              legend: '{{instance}} recovered',
            },
            {
              expr: `sum by (instance) (increase(turnout_ledger_lost_total{${where}}[1h]))`,
              legend: '{{instance}} lost',
            },
          ],
        },
        {
          title: 'Disk of the ledger',
          description:
            'Free share of the disk. Below 2 % SQLite will soon refuse rows: shorten `ledger.retentionDays`, move the file, or enlarge the disk.',
          unit: 'percentunit',
          min: 0,
          max: 1,
          width: 8,
          thresholds: ['red', [0.02, 'yellow'], [0.1, 'green']],
          queries: [
            {
              expr: `turnout_ledger_disk_free_bytes{${where}} / turnout_ledger_disk_size_bytes{${where}}`,
              legend: '{{instance}}',
            },
          ],
        },
        {
          title: 'Size of the database',
          description:
            'With its write-ahead log. Grows with traffic until `ledger.retentionDays` have passed, and not after.',
          unit: 'bytes',
          width: 8,
          queries: [{ expr: `turnout_ledger_file_bytes{${where}}`, legend: '{{instance}}' }],
        },
        {
          title: 'Spans for the collector',
          description:
            'Only where `trace.otlp` is configured. failed: the collector is away or refuses. dropped: too many waited; traces stay in the database all the same.',
          unit: 'short',
          width: 24,
          height: 6,
          queries: [
            {
              expr: rate('turnout_trace_spans_total', where, ['instance', 'outcome']),
              legend: '{{instance}} {{outcome}}',
            },
          ],
        },
        {
          title: 'Orphans, and lines lost by the log',
          description:
            'Calls of a run that died, settled by estimate at the last start; failed writes and dropped lines of the log in an hour. Orphans: the process was killed. Log: its disk or pipe.',
          unit: 'short',
          width: 8,
          thresholds: ['green', [1, 'yellow']],
          queries: [
            { expr: `turnout_ledger_orphans{${where}}`, legend: '{{instance}} orphans' },
            {
              expr: `sum by (instance) (increase(turnout_log_failures_total{${where}}[1h]))`,
              legend: '{{instance}} log',
            },
            {
              expr: `sum by (instance) (increase(turnout_log_dropped_lines_total{${where}}[1h]))`,
              legend: '{{instance}} lines dropped',
            },
          ],
        },
      ],
    },
  ],
}

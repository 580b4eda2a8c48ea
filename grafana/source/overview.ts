// The first dashboard that somebody opens who was woken: what broke, since when, who is affected, how fast, where traffic goes.
import { type Dashboard, named, quantile, rate, routeVariable, where, whereRoute } from './dashboard.ts'

const errors = `turnout_request_errors_total`
const waited = `${whereRoute}, outcome!="client_disconnected"`

export const overview: Dashboard = {
  uid: 'turnout-overview',
  title: 'Turnout / Overview',
  description: 'What broke, since when, who is affected, how fast it is, where traffic goes. Start here.',
  variables: [routeVariable],
  sections: [
    {
      title: 'Now',
      panels: [
        {
          title: 'Requests',
          description:
            'Requests that ended a second. Zero although there should be traffic: look at TurnoutDown, and at the balancer in front.',
          type: 'stat',
          unit: 'reqps',
          queries: [{ expr: `sum(rate(turnout_requests_total{${whereRoute}}[$__rate_interval]))`, legend: 'requests' }],
        },
        {
          title: 'Errors',
          description:
            "Share of requests that end in an error which is not the client's doing nor a limit's. Red: read 'Errors by cause' below; the runbook has TurnoutErrorRateHigh.",
          type: 'stat',
          unit: 'percentunit',
          decimals: 2,
          queries: [
            {
              expr: `sum(rate(${errors}{${whereRoute}, blame=~"upstream|gateway"}[$__rate_interval])) / (sum(rate(turnout_requests_total{${whereRoute}}[$__rate_interval])) > 0)`,
              legend: 'errors',
            },
          ],
          thresholds: ['green', [0.05, 'yellow'], [0.1, 'red']],
        },
        {
          title: 'Success',
          description:
            'Share of requests whose client got its answer; clients that left are not counted. Red with few errors: refusals by limits, keys or validation, see below.',
          type: 'stat',
          unit: 'percentunit',
          decimals: 2,
          queries: [
            {
              expr: `sum(rate(turnout_requests_total{${whereRoute}, outcome="ok"}[$__rate_interval])) / (sum(rate(turnout_requests_total{${waited}}[$__rate_interval])) > 0)`,
              legend: 'success',
            },
          ],
          thresholds: ['red', [0.9, 'yellow'], [0.95, 'green']],
        },
        {
          title: 'Duration, p95',
          description:
            'One request in twenty takes longer; streams left out. Red: compare with the durations of upstreams under Reliability.',
          type: 'stat',
          unit: 's',
          queries: [
            {
              expr: `${quantile(0.95, 'turnout_request_duration_seconds', `${whereRoute}, stream="false"`, ['job'])} >= 0`,
              legend: 'p95',
            },
          ],
          thresholds: ['green', [5, 'yellow'], [10, 'red']],
        },
        {
          title: 'First token, p95',
          description:
            'One stream in twenty waits longer for its first token. Red: the target is slow or queues; its neighbours on the route may be faster.',
          type: 'stat',
          unit: 's',
          queries: [
            {
              expr: `${quantile(0.95, 'turnout_time_to_first_token_seconds', whereRoute, ['job'])} >= 0`,
              legend: 'p95',
            },
          ],
          thresholds: ['green', [5, 'yellow'], [10, 'red']],
        },
        {
          title: 'Money',
          description: 'USD in the last hour. Red: the Money dashboard says which target, key and route.',
          type: 'stat',
          unit: 'currencyUSD',
          queries: [{ expr: `sum(increase(turnout_cost_usd_total{${where}}[1h]))`, legend: 'last hour' }],
          thresholds: ['green', [10, 'yellow'], [50, 'red']],
        },
      ],
    },
    {
      title: 'What broke, and for whom',
      panels: [
        {
          title: 'Errors by cause',
          description:
            'Whose doing, and what. upstream: its page of status, or another target first on the route. gateway: the log has the error. limit: somebody reached a limit. client: bad requests, keys, names.',
          unit: 'reqps',
          stack: true,
          queries: [{ expr: `${rate(errors, whereRoute, ['blame', 'cause'])} > 0`, legend: '{{blame}}: {{cause}}' }],
        },
        {
          title: 'Errors by route',
          description:
            'Share of requests of a route that fail, whoever is to blame but the client. One route: its targets. All: Turnout, or the network.',
          unit: 'percentunit',
          min: 0,
          queries: [
            {
              expr: named(
                'route',
                `${rate(errors, `${whereRoute}, blame=~"upstream|gateway"`, ['route'])} / ${rate('turnout_requests_total', whereRoute, ['route'])}`,
              ),
              legend: '{{route}}',
            },
          ],
          thresholds: ['green', [0.05, 'yellow'], [0.1, 'red']],
        },
        {
          title: 'Who is affected',
          description: 'Requests by key that did not end well, a second. These are the apps and teams to tell.',
          unit: 'reqps',
          stack: true,
          queries: [
            {
              expr: named(
                'key',
                named(
                  'team',
                  `${rate('turnout_key_requests_total', `${where}, outcome=~"failed|partial|refused"`, ['key', 'team', 'outcome'])} > 0`,
                ),
              ),
              legend: '{{key}} ({{team}}): {{outcome}}',
            },
          ],
        },
        {
          title: 'Outcomes',
          description:
            'How requests end. partial: content was sent and then the upstream failed. refused: Turnout said no. client_disconnected: the client went away.',
          unit: 'reqps',
          stack: true,
          queries: [
            {
              expr: rate('turnout_requests_total', whereRoute, ['status', 'outcome']),
              legend: '{{status}} {{outcome}}',
            },
          ],
        },
        {
          title: 'Not let in',
          description:
            'Requests with a key or token that was not taken, by reason, the admin API included. Many of unknown: a key was rotated, or somebody guesses.',
          unit: 'reqps',
          stack: true,
          queries: [{ expr: `${rate('turnout_auth_failures_total', where, ['reason'])} > 0`, legend: '{{reason}}' }],
        },
        {
          title: 'Clients that leave',
          description:
            'Requests whose client went away, by whether something had been sent. Rising with the first token: they lose patience. Suddenly: a client with a timeout that is too short.',
          unit: 'reqps',
          queries: [
            {
              expr: `${rate('turnout_client_disconnects_total', whereRoute, ['route', 'phase'])} > 0`,
              legend: '{{route}} {{phase}}',
            },
          ],
        },
        {
          title: 'In flight',
          description:
            'Requests that have begun and not ended. A line that only rises: an upstream that hangs; its timeouts end them.',
          unit: 'short',
          queries: [{ expr: `sum by (instance) (turnout_requests_in_flight{${where}})`, legend: '{{instance}}' }],
        },
      ],
    },
    {
      title: 'Limits',
      panels: [
        {
          title: 'Refused by limits',
          description:
            'By what the limit is counted by, and what ran out: requests, tokens, concurrency. Wanted, unless its owner says otherwise: then raise that limit (docs/limits.md).',
          unit: 'reqps',
          stack: true,
          width: 8,
          queries: [
            {
              expr: `${rate('turnout_limit_refusals_total', where, ['scope', 'kind'])} > 0`,
              legend: '{{scope}}: {{kind}}',
            },
          ],
        },
        {
          title: 'Turned away at the door',
          description:
            'By a list of addresses, a block after wrong keys, or pages asked for too often. Many at once: somebody tries keys; docs/limits.md says how to see whom.',
          unit: 'reqps',
          stack: true,
          width: 8,
          queries: [{ expr: rate('turnout_door_refusals_total', where, ['reason']), legend: '{{reason}}' }],
        },
        {
          title: 'Waiting for their turn',
          description:
            'Requests that wait for room in a limit, keys, users, addresses that limits remember, and how many are blocked. Waiting for long: the limit is too small for its traffic.',
          unit: 'short',
          width: 8,
          queries: [
            { expr: `turnout_limit_waiting{${where}}`, legend: '{{instance}} waiting' },
            { expr: `turnout_limit_entities{${where}}`, legend: '{{instance}} remembered' },
            { expr: `sum by (kind) (turnout_blocks{${where}})`, legend: 'blocked: {{kind}}' },
          ],
        },
      ],
    },
    {
      title: 'How fast',
      panels: [
        {
          title: 'Duration',
          description:
            'Whole requests without streams. p99 far above p50: some prompts are long, or an upstream stalls.',
          unit: 's',
          queries: [0.5, 0.95, 0.99].map((of) => ({
            expr: named(
              'route',
              quantile(of, 'turnout_request_duration_seconds', `${whereRoute}, stream="false"`, ['route']),
            ),
            legend: `{{route}} p${of * 100}`,
          })),
        },
        {
          title: 'First token',
          description:
            'From the request to the first generated content of streams. Above 5 s people reload: put a faster target first.',
          unit: 's',
          thresholds: ['green', [5, 'red']],
          queries: [0.5, 0.95].map((of) => ({
            expr: named('route', quantile(of, 'turnout_time_to_first_token_seconds', whereRoute, ['route'])),
            legend: `{{route}} p${of * 100}`,
          })),
        },
        {
          title: 'Between tokens',
          description:
            'Time between two pieces of a stream. Above 0.25 s reading stutters: the upstream is overloaded.',
          unit: 's',
          queries: [0.5, 0.95].map((of) => ({
            expr: named('route', quantile(of, 'turnout_inter_token_seconds', whereRoute, ['route'])),
            legend: `{{route}} p${of * 100}`,
          })),
        },
        {
          title: "Turnout's own time",
          description:
            'What the gateway itself adds to a JSON reply. Above 5 ms: look at the event loop, the ledger and the CPU below.',
          unit: 's',
          thresholds: ['green', [0.005, 'yellow'], [0.025, 'red']],
          queries: [0.5, 0.99].map((of) => ({
            expr: quantile(of, 'turnout_overhead_seconds', where, ['instance']),
            legend: `{{instance}} p${of * 100}`,
          })),
        },
      ],
    },
    {
      title: 'Where traffic goes',
      panels: [
        {
          title: 'Requests by route',
          description:
            'What apps ask for. A route that vanishes: its app is down, or asks for another name (see model_not_found above).',
          unit: 'reqps',
          stack: true,
          queries: [
            { expr: named('route', rate('turnout_requests_total', whereRoute, ['route'])), legend: '{{route}}' },
          ],
        },
        {
          title: 'Requests by target',
          description: 'Who answers in the end. A target that takes over unasked: fallbacks, see Reliability.',
          unit: 'reqps',
          stack: true,
          queries: [
            { expr: rate('turnout_requests_total', `${whereRoute}, target!=""`, ['target']), legend: '{{target}}' },
          ],
        },
      ],
    },
    {
      title: 'The process',
      panels: [
        {
          title: 'Memory',
          description:
            'Resident memory as a share of the limit of the container or machine. Red: raise the limit, or look for very large requests in flight.',
          unit: 'percentunit',
          min: 0,
          max: 1,
          width: 8,
          thresholds: ['green', [0.8, 'yellow'], [0.95, 'red']],
          queries: [
            {
              expr: `process_resident_memory_bytes{${where}} / on (job, instance) turnout_memory_limit_bytes{${where}}`,
              legend: '{{instance}}',
            },
          ],
        },
        {
          title: 'Heap',
          description:
            'Memory of the JavaScript engine. `used` that rises for hours is a leak: take a heap snapshot before the restart.',
          unit: 'bytes',
          width: 8,
          queries: [
            { expr: `sum by (instance, part) (turnout_heap_bytes{${where}})`, legend: '{{instance}} {{part}}' },
          ],
        },
        {
          title: 'CPU',
          description:
            'Cores in use. One process uses one core and a little: near 1 it is full, start another replica.',
          unit: 'short',
          width: 8,
          thresholds: ['green', [0.8, 'yellow'], [1, 'red']],
          queries: [
            { expr: rate('process_cpu_seconds_total', where, ['instance', 'mode']), legend: '{{instance}} {{mode}}' },
          ],
        },
        {
          title: 'Event loop',
          description:
            'How late timers run. Above 0.1 s every request waits as long: too much traffic for one core, or huge bodies.',
          unit: 's',
          width: 8,
          thresholds: ['green', [0.1, 'red']],
          queries: [{ expr: `turnout_event_loop_lag_seconds{${where}}`, legend: '{{instance}} q{{quantile}}' }],
        },
        {
          title: 'Open files',
          description: 'Sockets and files. Near the limit of the process (ulimit -n) new connections fail.',
          unit: 'short',
          width: 8,
          queries: [{ expr: `process_open_fds{${where}}`, legend: '{{instance}}' }],
        },
        {
          title: 'Configuration',
          description:
            'Version in force. Replicas that differ for long: one of them could not read the new file, see its log.',
          unit: 'none',
          decimals: 0,
          width: 8,
          queries: [{ expr: `turnout_config_version{${where}}`, legend: '{{instance}}' }],
        },
        {
          title: 'Builds and uptime',
          description:
            'Seconds since the start, with what runs. A short one that nobody planned: it was killed, look at memory.',
          type: 'table',
          unit: 's',
          width: 16,
          height: 6,
          queries: [
            {
              expr: `(time() - process_start_time_seconds{${where}}) * on (job, instance) group_left (version, node) turnout_build_info{${where}}`,
              legend: '{{instance}}',
            },
          ],
        },
        {
          title: 'Bypass',
          description:
            'On: every request goes to the first target of its route, without fallback, policy, cache or rollout. Switch it off when what it was for is over.',
          type: 'stat',
          unit: 'none',
          width: 8,
          height: 6,
          queries: [{ expr: `max by (instance) (turnout_bypass{${where}})`, legend: '{{instance}}' }],
          names: { 0: ['off', 'green'], 1: ['on', 'red'] },
        },
      ],
    },
  ],
}

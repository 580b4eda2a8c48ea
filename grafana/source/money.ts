// What it costs: by model, key, team and route; tokens by class; what has no price.
import {
  type Dashboard,
  named,
  rate,
  routeVariable,
  targetVariable,
  where,
  whereRoute,
  whereTarget,
} from './dashboard.ts'

const spent = (counter: string, selector: string, by: readonly string[], range: string): string =>
  `sum by (${by.join(', ')}) (increase(${counter}{${selector}}[${range}]))`

export const money: Dashboard = {
  uid: 'turnout-money',
  title: 'Turnout / Money',
  description:
    'Spend by model, key, team and route, tokens by class, what cannot be priced. The ledger is the exact record; this is its picture.',
  variables: [routeVariable, targetVariable],
  sections: [
    {
      title: 'Sums',
      panels: [
        {
          title: 'Last hour',
          description: 'USD. Red: see below who asks for it, and lower what the key or route may.',
          type: 'stat',
          unit: 'currencyUSD',
          width: 6,
          queries: [{ expr: `sum(increase(turnout_cost_usd_total{${whereTarget}}[1h]))`, legend: 'last hour' }],
          thresholds: ['green', [10, 'yellow'], [50, 'red']],
        },
        {
          title: 'Last 24 hours',
          description: 'USD. Red: more than a day may cost by the shipped alert; set your own number there.',
          type: 'stat',
          unit: 'currencyUSD',
          width: 6,
          queries: [{ expr: `sum(increase(turnout_cost_usd_total{${whereTarget}}[1d]))`, legend: 'last day' }],
          thresholds: ['green', [50, 'yellow'], [100, 'red']],
        },
        {
          title: 'In the time shown',
          description: 'USD in the time range of this dashboard, as far as prices are known.',
          type: 'stat',
          unit: 'currencyUSD',
          width: 6,
          queries: [{ expr: `sum(increase(turnout_cost_usd_total{${whereTarget}}[$__range]))`, legend: 'spent' }],
        },
        {
          title: 'Calls without a price',
          description:
            'In the time shown. Above 0: their money is missing everywhere here; give the model a price under `prices`, or run `turnout prices show PROVIDER/MODEL`.',
          type: 'stat',
          unit: 'short',
          decimals: 0,
          width: 6,
          queries: [
            { expr: `sum(increase(turnout_unpriced_attempts_total{${whereTarget}}[$__range]))`, legend: 'unpriced' },
          ],
          thresholds: ['green', [1, 'red']],
        },
      ],
    },
    {
      title: 'Budgets',
      panels: [
        {
          title: 'Used of each budget',
          description:
            'Share of the limit that is spent, of whoever is nearest to it, and how much of its window is over: above that it is spent too fast. At 100 % a hard budget refuses: `turnout budgets` says whose, docs/budgets.md what to do.',
          unit: 'percentunit',
          min: 0,
          thresholds: ['green', [0.9, 'orange'], [1, 'red']],
          queries: [
            { expr: `max by (budget) (turnout_budget_used_ratio{${where}})`, legend: '{{budget}}' },
            {
              expr: `max by (budget) (turnout_budget_window_elapsed_ratio{${where}})`,
              legend: '{{budget}}, of its time',
            },
          ],
        },
        {
          title: 'Burn rate',
          description:
            'How many times as fast as its limit allows a budget is spent; at 1 it lasts until its window ends. Above 6 for an hour of a day, or 14.4 of a week or month, the alert fires: see by key and by route below who it is.',
          unit: 'suffix:x',
          min: 0,
          thresholds: ['green', [6, 'orange'], [14.4, 'red']],
          queries: [
            { expr: 'turnout:budget_burn:ratio1h{job=~"$job"}', legend: '{{budget}} ({{window}}), an hour' },
            { expr: 'turnout:budget_burn:ratio6h{job=~"$job"}', legend: '{{budget}} ({{window}}), six hours' },
          ],
        },
        {
          title: 'Spent, held and allowed',
          description:
            'USD, all that a budget counts by together; the limit is that of each of them. Much held and little spent: requests without a cap on their answers; set `max_tokens`, or `fit`.',
          unit: 'currencyUSD',
          queries: [
            { expr: `sum by (budget) (turnout_budget_spent_usd{${where}})`, legend: '{{budget}} spent' },
            { expr: `sum by (budget) (turnout_budget_reserved_usd{${where}})`, legend: '{{budget}} held' },
            { expr: `max by (budget) (turnout_budget_limit_usd{${where}})`, legend: '{{budget}} limit of each' },
          ],
        },
        {
          title: 'What budgets did',
          description:
            'Requests refused, sent to a cheaper route, given a cap. overrun: calls that cost more than was held for them; look into the log, a price or a cap is not what it seems.',
          unit: 'reqps',
          stack: true,
          queries: [
            {
              expr: rate('turnout_budget_actions_total', where, ['scope', 'action']),
              legend: '{{scope}}: {{action}}',
            },
          ],
        },
      ],
    },
    {
      title: 'Who and what',
      panels: [
        {
          title: 'By target',
          description:
            'USD an hour by provider and model. A target that should be the exception on top: look for fallbacks, or a changed route.',
          unit: 'currencyUSD',
          stack: true,
          queries: [
            { expr: `${rate('turnout_cost_usd_total', whereTarget, ['target'])} * 3600`, legend: '{{target}}' },
          ],
        },
        {
          title: 'By route',
          description: 'USD an hour by what apps ask for.',
          unit: 'currencyUSD',
          stack: true,
          queries: [
            {
              expr: named('route', `${rate('turnout_request_cost_usd_total', whereRoute, ['route'])} * 3600`),
              legend: '{{route}}',
            },
          ],
        },
        {
          title: 'By key',
          description:
            'USD an hour by key. One that leaps: a loop in an app, or a stolen key; give it a limit or switch it off.',
          unit: 'currencyUSD',
          stack: true,
          queries: [
            {
              expr: named('key', `${rate('turnout_request_cost_usd_total', whereRoute, ['key'])} * 3600`),
              legend: '{{key}}',
            },
          ],
        },
        {
          title: 'By team',
          description: 'USD in the time shown, by team.',
          type: 'bargauge',
          unit: 'currencyUSD',
          queries: [
            {
              expr: named('team', spent('turnout_request_cost_usd_total', whereRoute, ['team'], '$__range')),
              legend: '{{team}}',
            },
          ],
        },
        {
          title: 'Cost of a request',
          description:
            'USD for each request that reached a target, the refreshes of the cache among them, by route, over an hour. Rising without a change of the route: prompts grow, or the cache of the vendor no longer hits.',
          unit: 'currencyUSD',
          decimals: 5,
          queries: [
            {
              expr: `${spent('turnout_request_cost_usd_total', whereRoute, ['route'], '1h')} / sum by (route) (increase(turnout_requests_total{${whereRoute}, target!=""}[1h]) or increase(turnout_cache_requests_total{${whereRoute}, status="refresh"}[1h]))`,
              legend: '{{route}}',
            },
          ],
        },
        {
          title: 'Dearest keys and routes',
          description:
            'USD in the time shown, twenty lines. The ledger has the exact numbers: `turnout spend --by key,route`.',
          type: 'table',
          unit: 'currencyUSD',
          queries: [
            {
              expr: `topk(20, ${spent('turnout_request_cost_usd_total', whereRoute, ['key', 'team', 'route'], '$__range')})`,
              legend: '{{key}} {{team}} {{route}}',
            },
          ],
        },
      ],
    },
    {
      title: 'Tokens',
      panels: [
        {
          title: 'Tokens by class',
          description:
            'Tokens a second; the classes do not overlap. reasoning that leaps: an effort was raised. cache_write without cache_read: prompts change where they should not.',
          unit: 'short',
          stack: true,
          queries: [{ expr: `${rate('turnout_tokens_total', whereTarget, ['class'])} > 0`, legend: '{{class}}' }],
        },
        {
          title: "Prompt tokens read from the vendor's cache",
          description:
            'Share of prompt tokens at the lower price. A fall after a deployment: the beginning of the prompt has changed.',
          unit: 'percentunit',
          min: 0,
          max: 1,
          queries: [
            {
              expr: `sum by (target) (rate(turnout_tokens_total{${whereTarget}, class="cache_read"}[$__rate_interval])) / sum by (target) (rate(turnout_tokens_total{${whereTarget}, class=~"input|cache_.*"}[$__rate_interval]))`,
              legend: '{{target}}',
            },
          ],
        },
        {
          title: 'Tokens by target',
          description: 'Tokens a second of all classes.',
          unit: 'short',
          stack: true,
          queries: [{ expr: rate('turnout_tokens_total', whereTarget, ['target']), legend: '{{target}}' }],
        },
        {
          title: 'Calls without a price, by target',
          description: 'A second. Each of these targets needs a price: budgets do not count what has none.',
          unit: 'reqps',
          queries: [
            { expr: `${rate('turnout_unpriced_attempts_total', where, ['target'])} > 0`, legend: '{{target}}' },
          ],
        },
      ],
    },
    {
      title: 'Response cache',
      panels: [
        {
          title: 'Answered from the cache',
          description:
            'Share of the requests on routes with a cache that made no call of their own. Near 0: the requests differ in something, or are not deterministic; docs/cache.md says what counts.',
          unit: 'percentunit',
          min: 0,
          max: 1,
          queries: [
            {
              expr: `sum by (route) (rate(turnout_cache_requests_total{${whereRoute}, status=~"hit|stale|coalesced"}[$__rate_interval])) / sum by (route) (rate(turnout_cache_requests_total{${whereRoute}, status!="refresh"}[$__rate_interval]))`,
              legend: '{{route}}',
            },
          ],
        },
        {
          title: 'Saved by the cache',
          description: 'USD an hour that requests did not cost, by route, as far as prices are known.',
          unit: 'currencyUSD',
          stack: true,
          queries: [
            { expr: `${rate('turnout_cache_saved_usd_total', whereRoute, ['route'])} * 3600`, legend: '{{route}}' },
          ],
        },
        {
          title: 'What the cache did',
          description:
            'Requests a second by what the cache did. bypass that leads: apps ask with a temperature, see deterministicOnly. stale that leaps: targets fail.',
          unit: 'reqps',
          stack: true,
          queries: [{ expr: rate('turnout_cache_requests_total', whereRoute, ['status']), legend: '{{status}}' }],
        },
        {
          title: 'Answers taken in, and not',
          description:
            'A second. stored: new answers that are kept. Otherwise why one was not: truncated answers are not worth keeping, tool_calls needs toolCalls on the route.',
          unit: 'reqps',
          queries: [
            { expr: rate('turnout_cache_stored_total', whereRoute, ['route']), legend: 'stored {{route}}' },
            { expr: rate('turnout_cache_unkept_total', whereRoute, ['reason']), legend: '{{reason}}' },
          ],
        },
        {
          title: 'Memory of the cache',
          description: 'Bytes that answers take, by route, and all that they may take: cache.size.',
          unit: 'bytes',
          queries: [
            { expr: `sum by (route) (turnout_cache_bytes{${whereRoute}})`, legend: '{{route}}' },
            { expr: `max(turnout_cache_size_bytes{${where}})`, legend: 'size' },
          ],
        },
        {
          title: 'Answers in the cache',
          description:
            'Answers by route, and requests that wait for the call of another one. Many that wait: one slow target, asked the same by all.',
          unit: 'short',
          queries: [
            { expr: `sum by (route) (turnout_cache_entries{${whereRoute}})`, legend: '{{route}}' },
            { expr: `sum(turnout_cache_followers{${where}})`, legend: 'waiting' },
          ],
        },
        {
          title: 'Answers that left the cache',
          description: 'A second, by why. room: a larger cache.size would keep them longer.',
          unit: 'reqps',
          queries: [{ expr: rate('turnout_cache_removed_total', where, ['reason']), legend: '{{reason}}' }],
        },
        {
          title: 'Cache on disk',
          description: 'Bytes of the file that answers outlive the process in, and what it may take: cache.diskSize.',
          unit: 'bytes',
          queries: [
            { expr: `sum by (instance) (turnout_cache_disk_bytes{${where}})`, legend: '{{instance}}' },
            { expr: `max(turnout_cache_disk_size_bytes{${where}})`, legend: 'diskSize' },
          ],
        },
        {
          title: 'Answers to and from disk',
          description:
            'A second, by event. skipped: more came than the disk takes. failed, and a working below 1: the file cannot be written, see the log. damaged: something else wrote to it, or a power cut.',
          unit: 'short',
          queries: [
            { expr: rate('turnout_cache_disk_answers_total', where, ['event']), legend: '{{event}}' },
            { expr: `min(turnout_cache_disk_working{${where}})`, legend: 'working' },
            { expr: `sum(turnout_cache_disk_entries{${where}})`, legend: 'answers' },
          ],
        },
      ],
    },
  ],
}

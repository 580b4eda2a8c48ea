// Traffic on its way to another model: how much, since when, and how the two sides compare.
import { type Dashboard, rate, type Variable, where } from './dashboard.ts'

const rolloutVariable: Variable = {
  name: 'rollout',
  label: 'Rollout',
  query: 'label_values(turnout_rollout_info{job=~"$job"}, rollout)',
}
const whereRollout = `${where}, rollout=~"$rollout"`

/**
 * Leaves of a query by target those that have served a route with a chosen rollout: both sides, and what was fallen back to. And the canary
 * itself: one whose every call fails has served nobody.
 */
const ofRollouts = (query: string): string =>
  `(${query}) and on (target) ((sum by (route, target) (increase(turnout_requests_total{${where}}[1h])) > 0 and on (route) turnout_rollout_info{${whereRollout}}) or label_replace(turnout_rollout_info{${whereRollout}}, "target", "$1", "canary", "(.+)"))`

const attempts = 'turnout_upstream_attempts_total'

export const rollouts: Dashboard = {
  uid: 'turnout-rollouts',
  title: 'Turnout / Rollouts',
  description: 'Canaries: the weight now, the units that got one, every change, and both sides beside each other.',
  variables: [rolloutVariable],
  sections: [
    {
      title: 'Where they stand',
      panels: [
        {
          title: 'Weight',
          description:
            'Share of units that go to the canary now. To take it back at once: `turnout canary ROUTE 0`, or `turnout canary --all 0`.',
          type: 'stat',
          unit: 'percentunit',
          width: 8,
          height: 6,
          queries: [
            { expr: `max by (rollout) (turnout_rollout_weight_ratio{${whereRollout}})`, legend: '{{rollout}}' },
          ],
        },
        {
          title: 'State',
          description:
            'Route, phase, stable and canary side of each. rolled_back: it was taken back; `turnout canary ROUTE` says by whom and why.',
          type: 'table',
          unit: 'none',
          width: 16,
          height: 6,
          queries: [
            {
              expr: `max by (rollout, route, phase, stable, canary) (turnout_rollout_info{${whereRollout}})`,
              legend: '{{rollout}} {{phase}}',
            },
          ],
        },
        {
          title: 'Weight over time',
          description:
            'Steps up are progress. Replicas that differ for more than a second: one of them did not hear of the change.',
          unit: 'percentunit',
          min: 0,
          max: 1,
          queries: [{ expr: `turnout_rollout_weight_ratio{${whereRollout}}`, legend: '{{rollout}} at {{instance}}' }],
        },
        {
          title: 'Unchanged since',
          description:
            'Time since the last change of state. Days at a few percent: nobody decides; promote it or take it back.',
          unit: 's',
          queries: [
            { expr: `max by (rollout) (turnout_rollout_state_age_seconds{${whereRollout}})`, legend: '{{rollout}}' },
          ],
        },
      ],
    },
    {
      title: 'What they did',
      panels: [
        {
          title: 'Requests by side',
          description:
            'Requests a second by side, and by how they came there: by hash, by an operator, or pinned because the key may not use both.',
          unit: 'reqps',
          stack: true,
          queries: [
            {
              expr: rate('turnout_rollout_requests_total', whereRollout, ['rollout', 'arm', 'assignment']),
              legend: '{{rollout}} {{arm}} ({{assignment}})',
            },
          ],
        },
        {
          title: 'Share that the canary gets',
          description:
            'Of requests that were drawn. Far from the weight for long: a few units make most of the traffic, see docs/rollouts.md on units.',
          unit: 'percentunit',
          min: 0,
          max: 1,
          queries: [
            {
              expr: `sum by (rollout) (rate(turnout_rollout_requests_total{${whereRollout}, assignment="hash", arm="canary"}[$__rate_interval])) / sum by (rollout) (rate(turnout_rollout_requests_total{${whereRollout}, assignment="hash"}[$__rate_interval]))`,
              legend: '{{rollout}}',
            },
          ],
        },
        {
          title: 'Changes',
          description:
            'Changes of state in the last hour, by cause. guard, hard, slo: the canary was worse and was taken back by itself. budget: what it might cost to try it is used up.',
          unit: 'short',
          queries: [
            {
              expr: `sum by (from, to, reason) (increase(turnout_rollout_transitions_total{${where}}[1h])) > 0`,
              legend: '{{from}} to {{to}}: {{reason}}',
            },
          ],
        },
        {
          title: 'How fast aborts were in force',
          description:
            'Of the aborts of the last hour: from the decision until no request goes to the canary and those that waited for it are taken back. Above 10 ms the event loop is too busy.',
          unit: 's',
          min: 0,
          thresholds: ['green', [0.01, 'red']],
          queries: [
            {
              expr: `histogram_quantile(0.99, sum by (le) (increase(turnout_rollout_abort_propagation_seconds_bucket{${where}}[1h])))`,
              legend: 'slowest of a hundred',
            },
          ],
        },
      ],
    },
    {
      title: 'Guards',
      panels: [
        {
          title: 'Evidence of harm, as a part of its limit',
          description:
            'By guard: at 100 % it acts. It rises when bad events come on the canary more often than its share, and falls otherwise. What took a canary back stays for an hour.',
          unit: 'percentunit',
          thresholds: ['green', [1, 'red']],
          queries: [
            {
              expr: `max by (rollout, guard) (turnout_rollout_guard_log_evidence{${whereRollout}, direction="harm"} / turnout_rollout_guard_log_limit{${whereRollout}, direction="harm"})`,
              legend: '{{rollout}} {{guard}}',
            },
          ],
        },
        {
          title: 'Ratio of bad events, with its bounds',
          description:
            'How many times the rate of stable the canary has, by guard. The bounds hold at any time; those that are open are not drawn.',
          unit: 'short',
          min: 0,
          queries: [
            {
              expr: `max by (rollout, guard, bound) (turnout_rollout_guard_ratio{${whereRollout}})`,
              legend: '{{rollout}} {{guard}} {{bound}}',
            },
          ],
        },
        {
          title: 'Bad events',
          description:
            'Counted in the attempt that runs, by guard and side. Compare them with the share that the canary gets.',
          unit: 'short',
          min: 0,
          queries: [
            {
              expr: `sum by (rollout, guard, arm) (turnout_rollout_bad_events_total{${whereRollout}})`,
              legend: '{{rollout}} {{guard}} {{arm}}',
            },
          ],
        },
        {
          title: 'Exposed to the canary',
          description:
            'Users, conversations or keys that were assigned to the canary in the attempt that runs; requests where each is drawn alone.',
          unit: 'short',
          min: 0,
          queries: [
            { expr: `sum by (rollout) (turnout_rollout_units_exposed{${whereRollout}})`, legend: '{{rollout}}' },
          ],
        },
      ],
    },
    {
      title: 'Both sides beside each other',
      panels: [
        {
          title: 'Failed calls',
          description:
            'Share of upstream calls that end in a fault, of the targets of both sides. The canary above the stable side, and both have had many calls: take it back.',
          unit: 'percentunit',
          min: 0,
          queries: [
            {
              expr: ofRollouts(
                // A target that never failed has no series of failures, one that never succeeded none of successes.
                `1 - (${rate(attempts, `${where}, outcome=~"ok|cancelled"`, ['target'])} or ${rate(attempts, where, ['target'])} * 0) / ${rate(attempts, where, ['target'])}`,
              ),
              legend: '{{target}}',
            },
          ],
        },
        {
          title: 'Duration of calls, p95',
          description:
            'From dispatch to the end, of the targets of both sides. Answers of another length take another time: compare with tokens below.',
          unit: 's',
          queries: [
            {
              expr: ofRollouts(
                `histogram_quantile(0.95, sum by (target, le) (rate(turnout_upstream_duration_seconds_bucket{${where}}[$__rate_interval])))`,
              ),
              legend: '{{target}}',
            },
          ],
        },
        {
          title: 'Cost of a call',
          description:
            'USD for each upstream call, over an hour. Dearer than planned: more tokens, or another price; see both in the ledger.',
          unit: 'currencyUSD',
          decimals: 5,
          queries: [
            {
              expr: ofRollouts(
                `sum by (target) (increase(turnout_cost_usd_total{${where}}[1h])) / sum by (target) (increase(${attempts}{${where}}[1h]))`,
              ),
              legend: '{{target}}',
            },
          ],
        },
        {
          title: 'Tokens of an answer',
          description:
            'Output and reasoning tokens for each call that brought an answer, began to, or lost its client before, over an hour: many clients that leave a slow side make its answers look shorter. Much shorter answers of the canary may be refusals: read some.',
          unit: 'short',
          queries: [
            {
              expr: ofRollouts(
                `sum by (target) (increase(turnout_tokens_total{${where}, class=~"output|reasoning"}[1h])) / sum by (target) (increase(${attempts}{${where}, outcome=~"ok|cancelled"}[1h]) or increase(turnout_stream_faults_total{${where}}[1h]))`,
              ),
              legend: '{{target}}',
            },
          ],
        },
      ],
    },
  ],
}

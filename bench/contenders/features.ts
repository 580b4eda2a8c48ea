// Turnout's features as configuration: what "everything on" means, what "bare" means, and what a feature's cost is measured by.
import { benchKey } from './contender.ts'
import type { Config } from './turnout.ts'

export interface Feature {
  readonly name: string
  readonly title: string
  readonly on: (config: Config) => void
  /** Must switch it off where it is on by default; done for all that are not on. */
  readonly off?: (config: Config) => void
  /** Part of it counts by key, and does nothing where there are none. */
  readonly countsByKey?: true
}

/** Hard budgets take no calls without a price. */
const benchPrices = { 'bench-*': { input: 1, output: 4, maxOutput: 16_000 } }

/** Each entry is one line in `bench:features`. Add a feature here when it lands and all commands know it. */
export const features: readonly Feature[] = [
  {
    name: 'keys',
    title: 'client keys are checked',
    on: (config) => {
      config.keys = [
        { name: 'bench', key: benchKey, role: 'app' },
        ...Array.from({ length: 99 }, (_, i) => ({
          name: `other-${i}`,
          key: `sk-test-other-key-number-${i}`,
          role: 'app',
        })),
      ]
    },
    off: (config) => {
      delete config.keys
    },
  },
  {
    name: 'limits',
    title: 'requests, tokens and slots are limited for each key and address, and for all',
    countsByKey: true,
    on: (config) => {
      const most = 1_000_000_000
      config.limits = {
        key: { per: 'key', requests: most, tokens: most * 1000, concurrency: 1_000_000 },
        address: { per: 'ip', requests: most },
        all: { concurrency: 1_000_000 },
      }
    },
    off: (config) => {
      delete config.limits
    },
  },
  {
    name: 'alerts',
    title: 'four rules watch the spending, by key, route and target',
    countsByKey: true,
    on: (config) => {
      config.alerts = {
        hour: { kind: 'spend', per: 'key', usd: 1_000_000 },
        day: { kind: 'average', per: 'route', window: 'day', usd: 1_000 },
        share: { kind: 'share', route: 'bench-slow', percent: 100, minUsd: 1_000_000 },
        spike: { kind: 'spike', per: 'target', times: 1000, minUsd: 1_000_000 },
      }
    },
    off: (config) => {
      delete config.alerts
    },
  },
  {
    name: 'budgets',
    title: 'each call reserves its worst case of a budget for its key, its route and all, and is settled',
    countsByKey: true,
    on: (config) => {
      config.budgets = {
        key: { per: 'key', usd: 1_000_000, window: 'day' },
        route: { per: 'route', usd: 1_000_000, rolling: true },
        all: { usd: 1_000_000 },
      }
      config.prices = benchPrices
    },
    off: (config) => {
      delete config.budgets
      // With and without: what is measured is the budgets alone.
      config.prices = benchPrices
    },
  },
  {
    name: 'rollout',
    title:
      'a running rollout on every route: each request is drawn, judged by nine guards, and written down with its evidence',
    on: (config) => {
      for (const [route, target] of Object.entries(config.routes as Record<string, string>))
        config.routes[route] = {
          targets: [target],
          // The same upstream: what differs is the rollout alone.
          canary: { target: `${target.slice(0, target.indexOf('/'))}/bench-model-next`, percent: 5, unit: 'request' },
        }
    },
  },
  {
    name: 'cache',
    title: 'each answer is kept, and each request fetches a new one all the same: key, entry, and its place',
    on: (config) => {
      // Requests of the bench are all the same: without this they would share calls.
      const cache = { deterministicOnly: false, coalesce: false }
      for (const [route, block] of Object.entries(config.routes as Record<string, string | { targets: string[] }>))
        config.routes[route] = { ...(typeof block === 'string' ? { targets: [block] } : block), cache }
    },
  },
  {
    name: 'log',
    title: 'one log line per request, to a file',
    on: (config) => {
      config.log.level = 'info'
    },
    off: (config) => {
      config.log.level = 'silent'
    },
  },
  {
    name: 'trace',
    title: 'a trace of every request, kept in the database',
    on: (config) => {
      config.trace = { sample: 1 }
    },
    off: (config) => {
      config.trace = { enabled: false }
    },
  },
]

/** What is off unless somebody wants it: measured on top of everything, and no part of it. None has an `off`: that would undo a feature. */
export const extras: readonly Feature[] = [
  {
    // In place of all of them: the difference is what the rows of the other 99 % cost.
    name: 'trace-one-percent',
    title: 'ids for every request, one trace in a hundred kept',
    on: (config) => {
      config.trace = { sample: 0.01 }
    },
  },
  {
    // The ledger itself cannot be switched off: its default mode, `process`, is in every contender.
    name: 'ledger-relaxed',
    title: 'rows wait in memory for up to 50 ms instead of surviving a kill of the process',
    on: (config) => {
      config.ledger = { mode: 'relaxed' }
    },
  },
  {
    name: 'ledger-power',
    title: 'rows also survive a power cut: one fsync a transaction',
    on: (config) => {
      config.ledger = { mode: 'power' }
    },
  },
]

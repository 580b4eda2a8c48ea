// What /metrics says of budgets: their windows as the calendar has them, and nothing of what is spent before that is known.
import { expect, it } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { createBudgetKeeping } from '../src/gateway/budgetKeeping.ts'
import { showBudgets } from '../src/gateway/budgetTelling.ts'
import type { SpendRow } from '../src/state/budgets/rebuild.ts'
import { createMetrics, type Metrics } from '../src/telemetry/metrics.ts'
import { seriesOf } from './support/scene.ts'

const config = JSON.stringify({
  providers: { ollama: {} },
  budgets: {
    daily: { usd: 10, window: 'day', timezone: 'Europe/Berlin' },
    monthly: { usd: 100, window: 'month' },
    moving: { usd: 50, window: 'week', rolling: true },
    ever: { usd: 1000, window: 'lifetime' },
  },
})

it('shows how long a window is and how much of it is over, and what is spent when the past is known', async () => {
  const { snapshot } = parseConfig(config, { env: {}, version: 1 })
  // In Berlin that day has 25 hours, and 15 of them are over at 13:00 UTC: it began at 22:00 UTC.
  let now = Date.UTC(2026, 9, 25, 13)
  const reads: ((rows: SpendRow[]) => void)[] = []
  const metrics = createMetrics()
  const keeping = createBudgetKeeping({
    rates: () => {
      throw new Error('nothing is called here')
    },
    read: () => new Promise((resolve) => reads.push(resolve)),
    virtualKeys: () => [],
    told: () => {},
    acted: () => {},
    overran: () => {},
    failed: (error) => {
      throw error
    },
    now: () => now,
  })
  try {
    showBudgets(metrics, keeping)
    keeping.use(snapshot)
    const scrape = async (): Promise<Map<string, number>> => seriesOf((await metrics.expose()).body)
    const before = await scrape()
    expect(before.get('turnout_budget_window_seconds{budget="daily",window="day",rolling="false"}')).toBe(25 * 3600)
    expect(before.get('turnout_budget_window_elapsed_ratio{budget="daily"}')).toBe(15 / 25)
    expect(before.get('turnout_budget_window_seconds{budget="monthly",window="month",rolling="false"}')).toBe(
      31 * 86_400,
    )
    expect(before.get('turnout_budget_window_seconds{budget="moving",window="week",rolling="true"}')).toBe(7 * 86_400)
    const names = (series: Map<string, number>, start: string): string[] =>
      [...series.keys()].filter((name) => name.startsWith(start))
    expect(names(before, 'turnout_budget_window_seconds')).toHaveLength(3)
    expect(names(before, 'turnout_budget_window_elapsed_ratio')).toHaveLength(2)
    expect(names(before, 'turnout_budget_limit_usd')).toHaveLength(4)
    for (const part of ['spent_usd', 'reserved_usd', 'used_ratio'])
      expect(names(before, `turnout_budget_${part}`), part).toEqual([])

    for (const answer of reads) answer([{ at: now - 1_000, nano: 4_000_000_000 }])
    await keeping.known()
    const after = await scrape()
    expect(names(after, 'turnout_budget_used_ratio')).toHaveLength(4)
    expect(after.get('turnout_budget_used_ratio{budget="daily"}')).toBe(0.4)
    expect(after.get('turnout_budget_spent_usd{budget="ever"}')).toBe(4)

    now += 12 * 3_600_000
    const next = await scrape()
    expect(next.get('turnout_budget_used_ratio{budget="daily"}')).toBe(0)
    expect(next.get('turnout_budget_window_seconds{budget="daily",window="day",rolling="false"}')).toBe(24 * 3600)
    expect(next.get('turnout_budget_window_elapsed_ratio{budget="daily"}')).toBe(2 / 24)
    expect(next.get('turnout_budget_used_ratio{budget="monthly"}')).toBe(0.04)
  } finally {
    metrics.close()
  }
})

it('reads no more budgets than it shows, and the entities of each only for the figures that are made of them', () => {
  const budgets = Object.fromEntries(Array.from({ length: 1_100 }, (_, n) => [`b${n}`, { usd: 1 }]))
  const { snapshot } = parseConfig(JSON.stringify({ providers: { ollama: {} }, budgets }), { env: {}, version: 1 })
  const keeping = createBudgetKeeping({
    rates: () => {
      throw new Error('nothing is called here')
    },
    virtualKeys: () => [],
    told: () => {},
    acted: () => {},
    overran: () => {},
    failed: () => {},
  })
  keeping.use(snapshot)
  const readers = new Map<string, () => unknown[]>()
  let rows = 0
  let sums = 0
  showBudgets({ gauge: (key: string, read: () => unknown[]) => readers.set(key, read) } as unknown as Metrics, {
    totals: (most) =>
      keeping.totals(most).map((row) => {
        rows++
        return {
          ...row,
          isKnown: row.isKnown,
          get total() {
            sums++
            return row.total
          },
        }
      }),
  })
  for (const [key, read] of readers) {
    rows = 0
    sums = 0
    expect(read(), key).toHaveLength(1_000)
    expect([rows, sums], key).toEqual([
      1_000,
      ['budgetSpent', 'budgetReserved', 'budgetUsed'].includes(key) ? 1_000 : 0,
    ])
  }
})

it('forgets the budgets of keys that are gone although the configuration stays as it is, and no other', async () => {
  const { snapshot } = parseConfig(config, { env: {}, version: 1 })
  const keyOf = (name: string) => {
    const written = parseConfig(
      JSON.stringify({
        providers: { ollama: {} },
        keys: [{ name, key: `tk-${name}-0123456789`, budgets: { usd: 5 } }],
      }),
      { env: {}, version: 1 },
    )
    return [...written.snapshot.keys.values()][0]!
  }
  let keys = [keyOf('stays')]
  let reads = 0
  const keeping = createBudgetKeeping({
    rates: () => {
      throw new Error('nothing is called here')
    },
    read: async () => {
      reads++
      return [{ at: Date.now(), nano: 1_000_000_000, key: 'stays' }]
    },
    virtualKeys: () => keys,
    told: () => {},
    acted: () => {},
    overran: () => {},
    failed: (error) => {
      throw error
    },
  })
  keeping.use(snapshot)
  await keeping.known()
  const [stays] = keys
  for (let number = 0; number < 2_500; number++) {
    const key = keyOf(`job-${number}`)
    keys = [stays!, key]
    await keeping.gate.ready({ snapshot, key, route: undefined })
  }
  keys = [stays!]
  expect(keeping.size.budgets).toBeLessThan(1_010)
  const before = reads
  const states = await keeping.statesOf({ snapshot, key: stays, route: undefined, user: undefined, target: undefined })
  expect(states.find(({ name }) => name === 'key stays')).toMatchObject({ spent: 1_000_000_000 })
  expect(reads).toBe(before)
})

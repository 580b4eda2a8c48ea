// The micro-timings of budgets: what it costs an attempt to hold its worst case back, and to be settled to what it cost.
import { parseConfig } from '../src/config/load.ts'
import { dialects } from '../src/dialects/index.ts'
import { createBudgetKeeping } from '../src/gateway/budgetKeeping.ts'
import type { Attempt, Call } from '../src/gateway/call.ts'
import { laneFor } from '../src/gateway/lanes.ts'
import { createPriceBook } from '../src/pricing/book.ts'
import { loadLayers } from '../src/pricing/layers.ts'
import { createTokenCounter } from '../src/telemetry/tokens/counter.ts'
import { features } from './contenders/features.ts'
import type { Case } from './microCases.ts'
import { makeBody } from './wire.ts'

/** One attempt through the gate: the money held that it may cost at most, then booked what it did cost. */
const pass = (budgets: Record<string, unknown>): (() => void) => {
  const { snapshot } = parseConfig(
    JSON.stringify({
      providers: { up: { kind: 'openai', apiKey: 'sk-test-upstream-0000000000' } },
      routes: { chat: 'up/bench-small' },
      keys: [{ name: 'bench', key: 'sk-test-bench-0000000000000000' }],
      prices: { 'bench-*': { input: 1, output: 4, maxOutput: 16_000 } },
      budgets,
    }),
    { env: {}, version: 1 },
  )
  const layers = loadLayers({ config: { prices: snapshot.prices, version: '' }, dataDir: snapshot.dataDir }, () => {})
  const rates = { prices: createPriceBook(layers, () => 'openai'), tokens: createTokenCounter() }
  // As a busy gateway's: a second for every few thousand attempts.
  let count = 0
  const started = Date.now()
  const { gate } = createBudgetKeeping({
    rates: () => rates,
    virtualKeys: () => [],
    told: () => {},
    acted: () => {},
    overran: () => {},
    failed: () => {},
    now: () => started + Math.floor(count++ / 8),
  })
  const [key] = [...snapshot.keys.values()]
  const route = snapshot.routes.get('chat')!
  const target = route.targets[0]!
  const dialect = dialects.get('openai-chat')!
  const inspected = dialect.inbound!.inspect(makeBody('chat', 1024), { maxDepth: 128, maxMessages: 10_000 })
  const makeCall = (attempts: Attempt[]): Call =>
    ({ snapshot, key, route, inspected, dialect, attempts, req: { headers: {} } }) as unknown as Call
  const { lane } = laneFor(makeCall([]), target)
  const bill = { nanoUsd: 12_345 }
  return () => {
    const call = makeCall([])
    gate.ready(call)
    const held = gate.hold(call, target, lane)
    call.attempts.push({ held, bill } as unknown as Attempt)
    gate.settle(call)
  }
}

export const budgetCases = (): Case[] => {
  const config: { budgets?: Record<string, unknown>; prices?: unknown } = {}
  features.find(({ name }) => name === 'budgets')!.on(config as never)
  return [
    { name: 'budgets: none configured', work: pass({}) },
    { name: 'budgets: one for all', work: pass({ all: { usd: 1_000_000 } }) },
    { name: 'budgets: for each key by the day, for each route rolling, and for all', work: pass(config.budgets!) },
  ]
}

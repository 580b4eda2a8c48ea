// The micro-timings of what is seen of a request: all that its end counts and says, and the ids of its trace.
import { join } from 'node:path'
import { parseConfig } from '../src/config/load.ts'
import { dialects } from '../src/dialects/index.ts'
import type { Rates } from '../src/gateway/bill.ts'
import { noBooks } from '../src/gateway/books.ts'
import type { Call } from '../src/gateway/call.ts'
import { createSettle } from '../src/gateway/settle.ts'
import { keptTrace, traceHeaders } from '../src/gateway/tracing.ts'
import { createPriceBook } from '../src/pricing/book.ts'
import { loadLayers } from '../src/pricing/layers.ts'
import { createHealth } from '../src/state/health.ts'
import type { Step } from '../src/state/turn.ts'
import { printId } from '../src/store/ledgerId.ts'
import { createLatencies } from '../src/telemetry/latency.ts'
import { createLog } from '../src/telemetry/log.ts'
import { createMetrics } from '../src/telemetry/metrics.ts'
import { createRatios } from '../src/telemetry/tokens/ratios.ts'
import { beginTrace } from '../src/telemetry/trace/context.ts'
import { makeFolder } from './folders.ts'
import type { Case } from './microCases.ts'
import { makeBody } from './wire.ts'

export const settleCases = (): Case[] => {
  const { snapshot } = parseConfig(
    JSON.stringify({
      providers: { up: { kind: 'openai', apiKey: 'sk-test-upstream-0000000000' } },
      routes: { chat: 'up/gpt-4.1' },
      keys: [{ name: 'bench', key: 'sk-test-bench-0000000000000000' }],
    }),
    { env: {}, version: 1 },
  )
  const metrics = createMetrics()
  metrics.close()
  const folder = makeFolder('settle')
  const log = createLog({ level: 'info', file: join(folder, 'log.txt') })
  const silent = createLog({ level: 'silent', file: join(folder, 'none.txt') })
  const ratios = createRatios()
  const layers = loadLayers({ config: { prices: snapshot.prices, version: snapshot.hash }, dataDir: folder }, () => {})
  const rates: Rates = { prices: createPriceBook(layers, () => 'openai'), tokens: ratios }
  const parts = {
    // At once: what is timed is the settling of one call.
    turn: { at: (_: Step, run: () => void) => run(), reached: () => Promise.resolve() },
    latencies: createLatencies(),
    cached: () => {},
    crashed: (error: unknown) => {
      throw error
    },
    metrics,
    books: noBooks(),
    budgets: undefined,
    health: createHealth({ settings: () => snapshot.breaker }),
    rates: () => rates,
  }
  const said = createSettle({ ...parts, log })
  const unsaid = createSettle({ ...parts, log: silent })
  const { ask } = dialects
    .get('openai-chat')!
    .inbound!.inspect(makeBody('chat', 1024), { maxDepth: 128, maxMessages: 10_000 })
  const number = parts.books.nextId()
  const startedAt = performance.now()
  const usage = {
    input: 200,
    output: 90,
    cacheRead: 0,
    cacheWrite5m: 0,
    cacheWrite1h: 0,
    reasoning: 0,
    audioIn: 0,
    audioOut: 0,
  }
  const attempt = {
    n: 1,
    target: snapshot.routes.get('chat')!.targets[0]!,
    model: 'gpt-4.1',
    reason: 'first',
    lane: 'identity',
    losses: [],
    startedAt: startedAt + 0.2,
    endedAt: startedAt + 3.3,
    sent: true,
    status: 200,
    facts: { model: 'gpt-4.1-2025-04-14', finish: 'stop', usage, contentBytes: 360 },
  }
  const call = {
    number,
    id: printId(number),
    startedAt,
    snapshot,
    dialect: dialects.get('openai-chat'),
    req: { headers: {} },
    key: [...snapshot.keys.values()][0],
    inspected: { ask },
    route: snapshot.routes.get('chat'),
    trace: beginTrace(number, {}, 1),
    attempts: [attempt],
    queuedMs: 0,
    upstreamMs: 3.1,
    gone: false,
    status: 200,
    outcome: 'ok',
    admitted: true,
  } as unknown as Call
  const trace = (sample: number): void => {
    call.trace = beginTrace(number, {}, sample)
    traceHeaders(call, 1, [])
    keptTrace(call, startedAt + 3.5)
  }
  return [
    { name: 'the end of a request: bill, counters, line', work: () => said(call), rest: log.flush },
    { name: '  of it: without the line', work: () => unsaid(call) },
    { name: '  of it: learning bytes per token', work: () => ratios.learn('gpt-4.1', 1024, 200) },
    { name: 'trace of a request, sample 1: ids and headers', work: () => trace(1) },
    { name: 'trace of a request, sample 0.01', work: () => trace(0.01) },
  ]
}

// The end of a call: those that are over in one turn of the event loop are settled together, and none answers for another.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { dialects } from '../src/dialects/index.ts'
import { noBooks } from '../src/gateway/books.ts'
import type { Call } from '../src/gateway/call.ts'
import { createSettle, type Witnesses } from '../src/gateway/settle.ts'
import { createPriceBook } from '../src/pricing/book.ts'
import { loadLayers } from '../src/pricing/layers.ts'
import { createHealth } from '../src/state/health.ts'
import { createTurn } from '../src/state/turn.ts'
import { createLatencies } from '../src/telemetry/latency.ts'
import { createLog } from '../src/telemetry/log.ts'
import { createMetrics } from '../src/telemetry/metrics.ts'
import { createRatios } from '../src/telemetry/tokens/ratios.ts'

const { snapshot } = parseConfig(
  JSON.stringify({
    providers: { up: { kind: 'openai', apiKey: 'sk-test-upstream-0000000000' } },
    routes: { chat: 'up/gpt-4.1' },
  }),
  { env: {}, version: 1 },
)

const setUp = (more: Partial<Witnesses> = {}) => {
  const folder = mkdtempSync(join(tmpdir(), 'turnout-settle-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const layers = loadLayers({ config: { prices: {}, version: snapshot.hash }, dataDir: folder }, () => {})
  const rates = { prices: createPriceBook(layers, () => 'openai'), tokens: createRatios() }
  const metrics = createMetrics()
  metrics.close()
  const said: string[] = []
  const crashed: unknown[] = []
  const settle = createSettle({
    turn: createTurn(),
    metrics,
    log: {
      ...createLog({ level: 'silent', file: join(folder, 'log.txt') }),
      request: ({ id }) => said.push(`line ${id}`),
    },
    books: { ...noBooks(), settle: ({ id }) => void said.push(`row ${id}`) },
    budgets: undefined,
    health: createHealth({ settings: () => snapshot.breaker }),
    latencies: createLatencies(),
    rates: () => rates,
    cached: () => {},
    crashed: (error) => crashed.push(error),
    ...more,
  })
  return { settle, said, crashed, metrics }
}

const callOf = (id: string, more: Partial<Call> = {}): Call =>
  ({
    id,
    number: 64,
    startedAt: performance.now(),
    snapshot,
    dialect: dialects.get('openai-chat'),
    req: { headers: {} },
    res: { headersSent: false },
    route: snapshot.routes.get('chat'),
    attempts: [],
    queuedMs: 0,
    upstreamMs: 0,
    gone: false,
    status: 400,
    outcome: 'refused',
    admitted: true,
    ...more,
  }) as unknown as Call

test('each step is done for all of them before the next one', async () => {
  const { settle, said } = setUp()
  const settled = ['a', 'b', 'c'].map((id) => settle(callOf(id)))
  expect(said).toEqual([])
  await Promise.all(settled)
  expect(said).toEqual(['line a', 'line b', 'line c', 'row a', 'row b', 'row c'])
})

test('a fault of our own with one of them is told of, and all are written down', async () => {
  const { settle, said, crashed } = setUp({
    watched({ id }) {
      if (id === 'b') throw new Error('our own')
    },
  })
  await Promise.all(['a', 'b', 'c'].map((id) => settle(callOf(id))))
  expect(crashed).toEqual([new Error('our own')])
  expect(said.filter((line) => line.startsWith('row'))).toEqual(['row a', 'row b', 'row c'])
})

test('a row that cannot be made fails its own call alone', async () => {
  const rows: string[] = []
  const books: Witnesses['books'] = {
    ...noBooks(),
    settle({ id }) {
      if (id === 'b') throw new Error('no row')
      rows.push(id)
      return undefined
    },
  }
  const { settle, crashed } = setUp({ books })
  const settled = await Promise.allSettled(['a', 'b', 'c'].map((id) => settle(callOf(id))))
  expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(crashed).toEqual([new Error('no row')])
  expect(rows).toEqual(['a', 'c'])
})

test('what the books refuse reaches the call that it is of', async () => {
  const books: Witnesses['books'] = {
    ...noBooks(),
    settle: ({ id }) => (id === 'a' ? Promise.reject(new Error('no room')) : Promise.resolve()),
  }
  const { settle } = setUp({ books })
  const settled = await Promise.allSettled([settle(callOf('a')), settle(callOf('b'))])
  expect(settled).toEqual([
    { status: 'rejected', reason: new Error('no room') },
    { status: 'fulfilled', value: undefined },
  ])
})

test('who was stopped at the door is counted at once, and waited for by nobody', () => {
  const { settle, said } = setUp()
  expect(settle(callOf('a', { admitted: false }))).toBeUndefined()
  expect(said).toEqual(['line a'])
})

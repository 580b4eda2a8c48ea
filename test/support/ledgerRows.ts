// Makes ledger rows for tests, with only what a test cares about.
import { attemptId } from '../../src/store/ledgerId.ts'
import { type AttemptRow, type Intent, noTokens, type RequestRow, type Tokens } from '../../src/store/ledgerRow.ts'

export const intentOf = (request: number, n = 1, over: Partial<Intent> = {}): Intent => ({
  id: attemptId(request, n),
  route: 'chat',
  key: 'key-1',
  team: 'team-1',
  dialect: 'openai-chat',
  stream: false,
  config: 1,
  target: 'openai/gpt-4o',
  provider: 'openai',
  model: 'gpt-4o',
  lane: 'identity',
  reason: n === 1 ? 'first' : 'fallback',
  estimate: { inputTokens: 100, outputTokens: 50, cost: 750_000, priceSource: 'overlay', priceVersion: '1' },
  ...over,
})

export const requestRow = (id: number, over: Partial<RequestRow> = {}): RequestRow => ({
  id,
  route: 'chat',
  key: 'key-1',
  team: 'team-1',
  dialect: 'openai-chat',
  stream: false,
  config: 1,
  status: 200,
  outcome: 'ok',
  latencyMs: 812.345,
  firstTokenMs: 201.5,
  overheadMs: 0.321,
  ...over,
})

export const tokens = (over: Partial<Tokens> = {}): Tokens => ({ ...noTokens(), input: 1200, output: 340, ...over })

export const attemptRow = (request: number, n = 1, over: Partial<AttemptRow> = {}): AttemptRow => ({
  id: attemptId(request, n),
  target: 'openai/gpt-4o',
  provider: 'openai',
  model: 'gpt-4o',
  served: 'gpt-4o-2024-11-20',
  lane: 'identity',
  reason: n === 1 ? 'first' : 'fallback',
  status: 200,
  finish: 'stop',
  startedMs: 0.2,
  latencyMs: 811.9,
  firstTokenMs: 201.1,
  tokens: tokens(),
  estimated: false,
  priceSource: 'genai-prices',
  priceVersion: '0.1.8',
  cost: 6_400_000,
  ...over,
})

// What an operator forces on a target of another dialect, beside what the client asks for and what its budget leaves.
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { type Simulator, startSimulator } from '../src/simulator/index.ts'
import { ask, CHAT } from './support/chatBodies.ts'
import { type Exchange, post } from './support/exchange.ts'
import { bodiesOf, vendorsAt } from './support/hubVendors.ts'
import { type LedgerGateway, startLedgerGateway } from './support/ledgerGateway.ts'

type Json = Record<string, unknown>

const claude = (params: Json) => ({ provider: 'anthropic', model: 'claude-sonnet-4-5', params })
const gemini = (generationConfig: Json) => ({
  provider: 'gemini',
  model: 'gemini-2.5-flash',
  params: { generationConfig },
})
const poor = 'sk-test-poor-0123456789'
let simulator: Simulator
let books: LedgerGateway

beforeAll(async () => {
  simulator = await startSimulator({ keepBodies: true })
  books = await startLedgerGateway({
    providers: vendorsAt(simulator.url),
    prices: {
      'claude-sonnet-4-5': { input: 3, output: 15, maxOutput: 64_000 },
      'gemini-2.5-flash': { input: 0.3, output: 2.5, maxOutput: 65_536 },
    },
    targets: {
      capped: claude({ max_tokens: 3_000 }),
      short: claude({ max_tokens: 300 }),
      thinks: claude({ thinking: { type: 'enabled', budget_tokens: 2_000 } }),
      'thinks-little': claude({ thinking: { type: 'enabled', budget_tokens: 1_024 } }),
      cool: gemini({ temperature: 0 }),
      brief: gemini({ maxOutputTokens: 64 }),
      ponders: gemini({ thinkingConfig: { thinkingBudget: 20_000 } }),
    },
    routes: {
      capped: 'capped',
      short: 'short',
      thinks: ['thinks', 'thinks-little'],
      ponders: ['ponders', 'cool'],
      cool: 'cool',
      brief: 'brief',
    },
    keys: [
      { name: 'rich', key: 'sk-test-rich-0123456789' },
      { name: 'poor', key: poor, budgets: { usd: '0.025', fit: true } },
    ],
  })
})
afterAll(async () => {
  await books?.close()
  await simulator?.close()
})
beforeEach(() => simulator.reset())

const call = (model: string, more: Json = {}, key = 'sk-test-rich-0123456789'): Promise<Exchange> =>
  post(books.url + CHAT, { ...ask(model), max_tokens: undefined, ...more }, { authorization: `Bearer ${key}` })

const sent = (): Json => bodiesOf(simulator.calls).at(-1) as Json

it('thinking that the client asks for leaves an answer room within the cap of the operator', async () => {
  const reply = await call('capped', { reasoning_effort: 'high' })
  expect(reply.status, reply.text).toBe(200)
  expect(sent()).toMatchObject({ max_tokens: 3_000, thinking: { type: 'enabled', budget_tokens: 2_400 } })
  // A cap of the client's that counts for nothing decides nothing.
  const short = await call('short', { reasoning_effort: 'high', max_tokens: 20_000 })
  expect(short.status, short.text).toBe(200)
  expect(sent()).toMatchObject({ max_tokens: 300 })
  expect(sent().thinking).toBeUndefined()
  expect(short.headers['x-turnout-dropped-params']).toBe('reasoning_effort')
})

it('a budget sets no cap that is not above the thinking which the operator forces: the next target is asked', async () => {
  const reply = await call('thinks', {}, poor)
  expect(reply.status, reply.text).toBe(200)
  expect(reply.headers['x-turnout-target']).toBe('thinks-little')
  const cap = Number(reply.headers['x-turnout-max-tokens'])
  expect(cap).toBeGreaterThan(1_024)
  expect(cap).toBeLessThanOrEqual(2_000)
  expect(sent()).toMatchObject({ max_tokens: cap, thinking: { budget_tokens: 1_024 } })
})

it('nor one that the thinking forced on a Gemini would eat up', async () => {
  const reply = await call('ponders', {}, poor)
  expect([reply.status, reply.headers['x-turnout-target']], reply.text).toEqual([200, 'cool'])
  const rich = await call('ponders')
  expect([rich.status, rich.headers['x-turnout-target']]).toEqual([200, 'ponders'])
})

it('a budget caps an answer beside forced parameters of a block in which there is no cap', async () => {
  const reply = await call('cool', {}, poor)
  expect(reply.status, reply.text).toBe(200)
  const cap = Number(reply.headers['x-turnout-max-tokens'])
  expect(cap).toBeGreaterThan(16)
  expect(sent().generationConfig).toEqual({ temperature: 0, maxOutputTokens: cap })
  const brief = await call('brief', {}, poor)
  expect([brief.status, brief.headers['x-turnout-max-tokens']]).toEqual([200, undefined])
  expect(sent().generationConfig).toEqual({ maxOutputTokens: 64 })
})

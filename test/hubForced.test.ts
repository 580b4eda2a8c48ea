// Parameters that the operator forces on a target, beside what clients ask for: what goes out is a request that the vendor takes.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Simulator, startSimulator } from '../src/simulator/index.ts'
import { chat } from './support/chatClient.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { bodiesOf, expectVendorBodies, vendorsAt } from './support/hubVendors.ts'

type Json = Record<string, unknown>

let simulator: Simulator
let gateway: TestGateway

const claude = (params: Json, model = 'claude-sonnet-4-5'): Json => ({ provider: 'anthropic', model, params })

beforeAll(async () => {
  simulator = await startSimulator({ keepBodies: true })
  gateway = await startGateway({
    providers: vendorsAt(simulator.url),
    targets: {
      capped: claude({ max_tokens: 3000 }),
      short: claude({ max_tokens: 500 }),
      cool: claude({ temperature: 0 }),
      'cool-adaptive': claude({ temperature: 0 }, 'claude-sonnet-4-6'),
      narrow: claude({ top_p: 0.5 }),
      thinking: claude({ thinking: { type: 'enabled', budget_tokens: 2000 } }),
      'thinking-old': claude({ thinking: { type: 'enabled', budget_tokens: 2000 } }, 'claude-opus-4-1'),
      adaptive: claude({ thinking: { type: 'adaptive' } }, 'claude-sonnet-4-6'),
      easy: claude({ output_config: { effort: 'low' } }, 'claude-sonnet-4-6'),
      calling: claude({ tool_choice: { type: 'any' } }),
      'gemini-cool': {
        provider: 'gemini',
        model: 'gemini-2.5-flash',
        params: { generationConfig: { temperature: 0 } },
      },
    },
    routes: {
      ...Object.fromEntries(
        [
          ...['capped', 'short', 'cool', 'cool-adaptive', 'narrow', 'thinking', 'thinking-old', 'adaptive', 'easy'],
          'calling',
        ].map((id) => [id, [id]]),
      ),
      fitted: { targets: ['gemini-cool'], budgets: { usd: 0.002, fit: true } },
      'fitted-claude': { targets: ['anthropic/claude-sonnet-4-5'], budgets: { usd: 0.01, fit: true } },
    },
  })
})
afterAll(async () => {
  await gateway?.close()
  await simulator?.close()
})

const tool = { type: 'function', function: { name: 'f', parameters: { type: 'object', properties: {} } } }
const schema = { type: 'object', properties: { a: { type: 'string' } }, required: ['a'], additionalProperties: false }
const format = { type: 'json_schema', json_schema: { name: 'answer', schema } }

// The simulated vendor turns down what the real one does: a budget beyond the cap, a temperature while thinking, a forced call while thinking.
const cases: [model: string, client: Json, sent: Json, dropped: string[]][] = [
  [
    'capped',
    { reasoning_effort: 'high' },
    { max_tokens: 3000, thinking: { type: 'enabled', budget_tokens: 2400 } },
    [],
  ],
  // The client's own cap does not count, in either direction.
  ['capped', { reasoning_effort: 'low', max_tokens: 10 }, { thinking: { type: 'enabled', budget_tokens: 2048 } }, []],
  ['capped', { max_tokens: 10_000_000 }, { max_tokens: 3000 }, []],
  ['short', { reasoning_effort: 'low' }, { max_tokens: 500, thinking: undefined }, ['reasoning_effort']],
  ['cool', { reasoning_effort: 'low' }, { temperature: 0, thinking: undefined }, ['reasoning_effort']],
  ['cool-adaptive', { reasoning_effort: 'low' }, { temperature: 0, thinking: undefined }, ['reasoning_effort']],
  ['cool', { reasoning_effort: 'none' }, { temperature: 0, thinking: { type: 'disabled' } }, []],
  // This model takes one of the two.
  ['cool', { top_p: 0.9 }, { temperature: 0, top_p: undefined }, ['top_p']],
  ['cool', { top_p: 1 }, { temperature: 0, top_p: undefined }, []],
  ['narrow', { temperature: 0.3 }, { temperature: undefined, top_p: 0.5 }, ['temperature']],
  ['thinking', { temperature: 0.9 }, { temperature: undefined }, ['temperature']],
  ['thinking', { reasoning_effort: 'high' }, { thinking: { type: 'enabled', budget_tokens: 2000 } }, []],
  ['thinking', { tools: [tool], tool_choice: 'required' }, { tool_choice: { type: 'auto' } }, ['tool_choice']],
  [
    'thinking-old',
    { response_format: format },
    { tool_choice: { type: 'auto', disable_parallel_tool_use: true } },
    ['response_format'],
  ],
  // Neither stands in the other's way.
  ['adaptive', { tools: [tool], tool_choice: 'required' }, { tool_choice: { type: 'any' } }, []],
  ['adaptive', { reasoning_effort: 'low' }, { thinking: { type: 'adaptive' }, output_config: { effort: 'low' } }, []],
  ['adaptive', { reasoning_effort: 'none' }, { thinking: { type: 'adaptive' }, output_config: undefined }, []],
  ['adaptive', { temperature: 0.5 }, { temperature: undefined }, ['temperature']],
  // One parameter of a block leaves the others there.
  [
    'easy',
    { response_format: format },
    { output_config: { effort: 'low', format: { type: 'json_schema', schema } } },
    [],
  ],
  ['easy', { reasoning_effort: 'high' }, { thinking: { type: 'adaptive' }, output_config: { effort: 'low' } }, []],
  ['calling', { reasoning_effort: 'low', tools: [tool] }, { thinking: undefined }, ['reasoning_effort']],
]

describe('parameters of the target and of the client', () => {
  it.each(cases)('%s, asked with %j', async (model, client, sent, dropped) => {
    simulator.reset()
    const answer = await chat(gateway.url, { model, messages: [{ role: 'user', content: 'Hi' }], ...client })
    expect([answer.status, answer.error]).toEqual([200, undefined])
    expectVendorBodies(simulator.calls)
    const [body] = bodiesOf(simulator.calls)
    for (const [name, value] of Object.entries(sent)) expect(body[name], name).toEqual(value)
    expect(answer.dropped).toEqual(dropped)
    const strict = await chat(
      gateway.url,
      { model, messages: [{ role: 'user', content: 'Hi' }], ...client },
      { 'x-turnout-strict': 'true' },
    )
    expect(strict.status).toBe(dropped.length > 0 ? 400 : 200)
  })
})

describe('a budget that fits answers to what is left', () => {
  it('does so where the target has parameters of its own, but no cap', async () => {
    simulator.reset()
    const answer = await chat(gateway.url, { model: 'fitted', messages: [{ role: 'user', content: 'Hi' }] })
    expect([answer.status, answer.error]).toEqual([200, undefined])
    const { generationConfig } = bodiesOf(simulator.calls)[0]
    expect(generationConfig.temperature).toBe(0)
    expect(generationConfig.maxOutputTokens).toBeGreaterThan(0)
  })

  it('gives back what it held where the shorter answer leaves no room for the thinking that a strict client insists on', async () => {
    const ask = (headers: Record<string, string>) =>
      chat(
        gateway.url,
        { model: 'fitted-claude', reasoning_effort: 'low', messages: [{ role: 'user', content: 'Hi' }] },
        headers,
      )
    const strict = await ask({ 'x-turnout-strict': 'true' })
    expect([strict.status, strict.error?.param]).toEqual([400, 'reasoning_effort'])
    const other = await ask({})
    expect([other.status, other.error]).toEqual([200, undefined])
    expect(other.dropped).toEqual(['reasoning_effort'])
  })
})

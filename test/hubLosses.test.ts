// C18 through the whole gateway: whatever an OpenAI request can say, every family of models takes it (the simulator is as strict as its
// vendor), or it is told in header, ledger and metric what it was not told, or we refuse with the place; in strict mode losses are refused.
import OpenAI from 'openai'
import { zodResponseFormat } from 'openai/helpers/zod'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod'
import type { Loss } from '../src/dialects/chat.ts'
import { lossLabel } from '../src/dialects/loss.ts'
import { type Simulator, startSimulator } from '../src/simulator/index.ts'
import { ask, CHAT } from './support/chatBodies.ts'
import { chat } from './support/chatClient.ts'
import { get, post } from './support/exchange.ts'
import { matrix, models } from './support/hubMatrix.ts'
import { bodiesOf, expectVendorBodies, vendorsAt } from './support/hubVendors.ts'
import { type RecordedGateway, startRecordedGateway } from './support/recordedGateway.ts'

type Json = Record<string, unknown>

let simulator: Simulator
let gateway: RecordedGateway

beforeAll(async () => {
  simulator = await startSimulator({ keepBodies: true })
  gateway = await startRecordedGateway({
    providers: vendorsAt(simulator.url),
    routes: {
      both: ['anthropic/claude-opus-5', 'gemini/gemini-3-pro-preview'],
      hard: { targets: ['anthropic/claude-opus-5'], strict: true },
    },
    directModels: true,
  })
})
afterAll(async () => {
  await gateway?.close()
  await simulator?.close()
})

const targets = [
  ...models['anthropic-messages'].map((model) => `anthropic/${model}`),
  ...models.gemini.map((model) => `gemini/${model}`),
]
/** The matrix has signatures that nobody made, which their vendors do not take. */
const MADE_UP = /Invalid `(signature|data)` in|thought signature/

const namesOf = (losses: readonly Loss[]): string[] => [...new Set(losses.map(({ param }) => param))]

describe('C18 nothing is dropped silently', () => {
  it.each(targets)('%s', { timeout: 300_000 }, async (target) => {
    const counted = new Map<string, number>()
    let refusals = 0
    for (const { param, about, body } of matrix) {
      const at = `${param}, ${about}`
      const request = { ...body, model: target }
      simulator.reset()
      const answer = await chat(gateway.url, request)
      const requestId = String(answer.headers['x-request-id'])
      if (simulator.calls.length === 0) {
        // Refused before anything went out: with a place that starts with what the client wrote.
        expect([answer.status, at], at).toEqual([400, at])
        expect(answer.error, at).toMatchObject({ type: 'invalid_request_error', param: expect.stringMatching(/^\w+/) })
        expect((await gateway.rowsOf(requestId)).attempts).toEqual([])
        refusals++
        continue
      }
      if (answer.status !== 200) expect(`${answer.status} ${answer.error?.message}`, at).toMatch(MADE_UP)
      expectVendorBodies(simulator.calls)
      const { attempts } = await gateway.rowsOf(requestId)
      const losses = JSON.parse(attempts[0]!.losses ?? '[]') as Loss[]
      expect(answer.dropped, at).toEqual(namesOf(losses))
      for (const label of new Set(losses.map(lossLabel))) counted.set(label, (counted.get(label) ?? 0) + 1)

      simulator.reset()
      const strict = await chat(gateway.url, request, { 'x-turnout-strict': 'true' })
      if (losses.length === 0) expect(strict.status, at).toBe(answer.status)
      else {
        expect(strict.status, at).toBe(400)
        expect(strict.error, at).toMatchObject({
          code: 'unsupported_parameter',
          param: losses[0]!.param,
          metadata: { losses },
        })
        expect(simulator.calls).toHaveLength(0)
      }
    }
    expect(refusals).toBeGreaterThan(3)
    expect(counted.size).toBeGreaterThan(10)
    expect(await droppedBy(target)).toEqual(counted)
  })

  it('a parameter that a client made up is counted as "other", and named in full elsewhere', async () => {
    const target = 'anthropic/claude-made-up'
    const answer = await chat(gateway.url, ask(target, { 'x"y\n': 1, another_one: 2, seed: 3 }))
    expect(answer.status).toBe(200)
    expect(answer.dropped).toEqual(['seed', 'x"y%0A', 'another_one'])
    expect(await droppedBy(target)).toEqual(
      new Map([
        ['seed', 1],
        ['other', 1],
      ]),
    )
  })
})

/** `turnout_dropped_params_total` of a target, by parameter; those that were never dropped left out. */
async function droppedBy(target: string): Promise<Map<string, number>> {
  const { text } = await get(`${gateway.url}/metrics`)
  const lines = text.matchAll(/^turnout_dropped_params_total\{([^}]*)\} (\d+)$/gm)
  return new Map(
    [...lines]
      .filter(([, labels, count]) => labels!.includes(`target="${target}"`) && count !== '0')
      .map(([, labels, count]) => [/param="([^"]*)"/.exec(labels!)![1]!, Number(count)]),
  )
}

describe('strict', () => {
  it('a route can be strict', async () => {
    simulator.reset()
    const refused = await chat(gateway.url, ask('hard', { seed: 7, logit_bias: { 5: 1 } }))
    expect(refused.status).toBe(400)
    expect(refused.error).toMatchObject({
      code: 'unsupported_parameter',
      param: 'seed',
      message: "The target 'anthropic/claude-opus-5' cannot take: seed, logit_bias.",
    })
    expect(refused.headers['x-should-retry']).toBe('false')
    expect(simulator.calls).toHaveLength(0)
    expect((await chat(gateway.url, ask('hard', { max_tokens: 50 }))).status).toBe(200)
  })

  it('takes back the message that OpenAI’s SDK has parsed, and the next one', async () => {
    simulator.reset()
    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'any', maxRetries: 0 })
    const answer = z.object({ city: z.string() })
    const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Which city?' }]
    const response_format = zodResponseFormat(answer, 'answer')
    for (let turn = 0; turn < 2; turn++) {
      const { choices } = await client.chat.completions.parse({ model: 'hard', messages, response_format })
      const { message } = choices[0]!
      expect(message.parsed).toEqual({ city: expect.any(String) })
      messages.push(message, { role: 'user', content: 'And another?' })
    }
    expect(simulator.calls.map(({ status }) => status)).toEqual([200, 200])
  })

  it('a later target that can take it all is asked in its place', async () => {
    simulator.reset()
    const strict = { 'x-turnout-strict': 'true' }
    const answer = await chat(gateway.url, ask('both', { seed: 7 }), strict)
    expect([answer.status, answer.headers['x-turnout-target'], answer.dropped]).toEqual([
      200,
      'gemini/gemini-3-pro-preview',
      [],
    ])
    expect(bodiesOf(simulator.calls)).toMatchObject([{ generationConfig: { seed: 7 } }])
    const neither = await chat(gateway.url, ask('both', { seed: 7, logit_bias: { 5: 1 } }), strict)
    expect([neither.status, neither.error?.code]).toEqual([400, 'unsupported_parameter'])
  })
})

describe('x-turnout-echo', () => {
  const admin = { name: 'operator', key: 'tk-test-admin-0123456789', role: 'admin' }
  const app = { name: 'app', key: 'tk-test-app-0123456789' }
  const echoing = { 'x-turnout-echo': 'request' }
  const body = (model: string) => ask(model, { stream: true, max_tokens: 50, seed: 7, temperature: 0.5 })

  it('shows an operator what a target would be sent, and sends nothing', async () => {
    const locked = await startRecordedGateway({
      providers: vendorsAt(simulator.url),
      directModels: true,
      keys: [admin, app],
    })
    try {
      simulator.reset()
      const post_ = (model: string, { key }: { key: string }) =>
        post(locked.url + CHAT, body(model), { ...echoing, authorization: `Bearer ${key}` })
      const shown = await post_('anthropic/claude-sonnet-4-5', admin)
      expect([shown.status, shown.headers['content-type']]).toEqual([200, 'application/json'])
      expect(JSON.parse(shown.text)).toMatchObject({
        target: 'anthropic/claude-sonnet-4-5',
        lane: 'hub',
        method: 'POST',
        url: `${simulator.url}/v1/messages`,
        headers: { 'x-api-key': '***', 'anthropic-version': '2023-06-01', 'content-type': 'application/json' },
        body: {
          model: 'claude-sonnet-4-5',
          max_tokens: 50,
          temperature: 0.5,
          stream: true,
          messages: [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }],
        },
        losses: [{ param: 'seed', reason: 'unsupported' }],
      })
      const google = JSON.parse((await post_('gemini/gemini-2.5-flash', admin)).text)
      expect(google.url).toBe(`${simulator.url}/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse`)
      expect(google.headers).toMatchObject({ 'x-goog-api-key': '***' })
      expect(google.losses).toEqual([])
      for (const secret of ['sk-ant-test', 'sk-gem-test'])
        expect(shown.text + JSON.stringify(google)).not.toContain(secret)
      expect(simulator.calls).toHaveLength(0)
      expect((await locked.rowsOf(String(shown.headers['x-request-id']))).attempts).toEqual([])
    } finally {
      await locked.close()
    }
  })

  it('is no business of other keys: their request is simply answered', async () => {
    const locked = await startRecordedGateway({
      providers: vendorsAt(simulator.url),
      directModels: true,
      keys: [admin, app],
    })
    try {
      simulator.reset()
      const headers = { ...echoing, authorization: `Bearer ${app.key}` }
      const reply = await post(locked.url + CHAT, ask('anthropic/claude-sonnet-4-5'), headers)
      expect((JSON.parse(reply.text) as Json).object).toBe('chat.completion')
      expect(simulator.calls).toHaveLength(1)
      expect(simulator.calls[0]!.headerNames).not.toContain('x-turnout-echo')
    } finally {
      await locked.close()
    }
  })
})

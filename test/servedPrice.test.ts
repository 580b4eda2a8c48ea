// Whose price is paid when a reply names another model than was asked for: an alias, a deployment, one of the client's own list.
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { ask, CHAT, chunk, reply, usageChunk } from './support/chatBodies.ts'
import { post } from './support/exchange.ts'
import { type FakeUpstream, sendJson, sendSse, sseText, startFakeUpstream } from './support/fakeUpstream.ts'
import { startGateway } from './support/gateway.ts'

const usage = { prompt_tokens: 1_000, completion_tokens: 1_000, total_tokens: 2_000 }
let model: string
let upstream: FakeUpstream

beforeAll(async () => {
  upstream = await startFakeUpstream((_, res, raw) =>
    JSON.parse(raw.toString()).stream
      ? sendSse(res, sseText([chunk({ content: 'x' }, 'stop', { model }), { ...usageChunk, model, usage }]))
      : sendJson(res, 200, reply('x', {}, { model, usage })),
  )
})
afterAll(() => upstream?.close())

const listed = { openai: '0.0125', mistral: '0.008' }
const mine = { input: 1, output: 2 }

describe.each([false, true])('stream: %s', (stream) => {
  it.each<[string, string, string, string, object, string, object?]>([
    ['an alias has the price of what is behind it', 'openai', 'best', 'gpt-4o-2024-08-06', {}, listed.openai],
    ['unless it has its own', 'openai', 'best', 'gpt-4o-2024-08-06', { best: mine }, '0.003'],
    ['of one provider, too', 'openai', 'best', 'gpt-4o-2024-08-06', { 'p/best': mine }, '0.003'],
    [
      'as has one of the vendor itself',
      'mistral',
      'mistral-large-latest',
      'mistral-large-2411',
      { 'mistral-large-latest': mine },
      '0.003',
    ],
    ['which has the listed one else', 'mistral', 'mistral-large-latest', 'mistral-large-2411', {}, listed.mistral],
    ['a name beats a pattern', 'openai', 'best', 'gpt-4o', { best: mine, '*': { input: 9, output: 9 } }, '0.003'],
    ['on either side', 'openai', 'best', 'gpt-4o', { 'gpt-4o': mine, '*': { input: 9, output: 9 } }, '0.003'],
    [
      'of two names the served one is meant',
      'openai',
      'best',
      'gpt-4o',
      { 'gpt-4o': mine, best: { input: 9, output: 9 } },
      '0.003',
    ],
    ['a class that was corrected counts as set', 'openai', 'gpt-4o', 'gpt-4.1', { 'gpt-4o': { output: 20 } }, '0.0225'],
    ['half a price is none', 'openai', 'best', 'gpt-4o-2024-08-06', { best: { input: 1 } }, listed.openai],
    ['nor is that of a class', 'openai', 'best', 'gpt-4o-2024-08-06', { best: { cacheRead: 1 } }, listed.openai],
    [
      'what the client chose from is no alias',
      'openai',
      'best',
      'gpt-4o',
      { best: mine },
      listed.openai,
      { models: ['gpt-4o'] },
    ],
  ])('%s', async (_, kind, asked, served, prices, cost, more = {}) => {
    model = served
    const gateway = await startGateway({
      providers: { p: { kind, baseUrl: `${upstream.url}/v1`, apiKey: 'sk-test-01234' } },
      routes: { m: { targets: [`p/${asked}`] } },
      prices,
    })
    onTestFinished(() => gateway.close())
    const { status } = await post(gateway.url + CHAT, ask('m', { stream, ...more }))
    expect([status, gateway.lines[0]?.costNanoUsd]).toEqual([200, Number(cost) * 1e9])
  })
})

it('what a price does not cover is said once, with its name', async () => {
  let tier: unknown
  const vendor = await startFakeUpstream((_, res) => sendJson(res, 200, reply('x', {}, { usage, service_tier: tier })))
  onTestFinished(() => vendor.close())
  const gateway = await startGateway({
    providers: { p: { kind: 'openai', baseUrl: `${vendor.url}/v1`, apiKey: 'sk-test-01234' } },
    routes: { listed: 'p/gpt-4o', halved: 'p/half', unlisted: 'p/none' },
    prices: { half: { input: 1 } },
  })
  onTestFinished(() => gateway.close())
  const said = async (model: string, told: unknown): Promise<unknown[]> => {
    tier = told
    gateway.notes.length = 0
    for (let n = 0; n < 2; n++) expect((await post(gateway.url + CHAT, ask(model))).status).toBe(200)
    return gateway.notes.filter((note) => JSON.stringify(note).includes('"event":"prices"'))
  }
  const note = (target: string, cause: string): object => ({
    text: `calls of ${target} have an unknown cost: ${cause}, see prices`,
    facts: { event: 'prices', target },
  })
  expect(await said('listed', 'default')).toEqual([])
  expect(await said('listed', 'scale')).toEqual([
    note('p/gpt-4o', 'service tier scale without a factor (serviceTiers)'),
  ])
  expect(await said('listed', 'sk not a name')).toEqual([
    note('p/gpt-4o', 'service tier unknown without a factor (serviceTiers)'),
  ])
  expect(await said('halved', undefined)).toEqual([note('p/half', 'output tokens without a price')])
  // Of a model in no list `prices show` says all that there is to say.
  expect(await said('unlisted', 'scale')).toEqual([])
})

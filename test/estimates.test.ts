// What is booked where a vendor never tells: no more than text can be, base64 is text to nobody, and thoughts stay within their cap.
import { afterAll, beforeAll, beforeEach, expect, it, onTestFinished } from 'vitest'
import { ask, CHAT, chunk, reply } from './support/chatBodies.ts'
import { type Exchange, get, post } from './support/exchange.ts'
import { type FakeUpstream, sendJson, sendSse, sseText, startFakeUpstream } from './support/fakeUpstream.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'

type Json = Record<string, unknown>

/** What the vendor says of a whole answer; streams say nothing of usage: what is booked of one that breaks off is the same. */
let told: Json
let shown: string
let upstream: FakeUpstream
beforeAll(async () => {
  upstream = await startFakeUpstream((_, res, raw) =>
    JSON.parse(raw.toString()).stream
      ? sendSse(res, sseText([chunk({ content: shown }, 'stop')]))
      : sendJson(res, 200, reply('It is a train, and it moves.', {}, { usage: told })),
  )
})
beforeEach(() => {
  shown = 'It is a train.'
})
afterAll(() => upstream?.close())

const base64 = 'iVBORw0KGgoA'.repeat(80_000) // 960 KB
const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${base64}` } }
const file = { type: 'file', file: { filename: 'a.pdf', file_data: `data:application/pdf;base64,${base64}` } }
const audio = { type: 'input_audio', input_audio: { data: base64, format: 'mp3' } }

async function open(budgets: Json, prices: Json = { input: 1, output: 0 }): Promise<TestGateway> {
  const gateway = await startGateway({
    providers: { p: { kind: 'openai-compatible', baseUrl: upstream.url, streamUsage: 'never' } },
    prices: { m: { ...prices, maxOutput: 1_000, contextWindow: 100_000 } },
    routes: { chat: 'p/m' },
    budgets,
  })
  onTestFinished(() => gateway.close())
  return gateway
}

const send = (gateway: TestGateway, ...parts: unknown[]): Promise<Exchange> =>
  post(gateway.url + CHAT, {
    ...ask('chat', { stream: true, max_tokens: 50 }),
    messages: [{ role: 'user', content: [{ type: 'text', text: 'What is it?' }, ...parts] }],
  })

/** Prompt tokens that the request was booked at: one costs a millionth of a dollar. */
async function booked(gateway: TestGateway, ...parts: Json[]): Promise<number> {
  const { status, text } = await send(gateway, ...parts)
  expect(status, text).toBe(200)
  await gateway.settled(1)
  const { body } = await gateway.metrics.expose()
  return Math.round(Number(/^turnout_cost_usd_total\{target="p\/m"\} (\S+)$/m.exec(body)![1]) * 1e6)
}

it.each([
  ['an image', [image], 1_500, 1_700],
  ['two', [image, image], 3_000, 3_200],
  ['a file', [file], 30_000, 30_300],
  ['audio', [audio], 1_920, 2_200],
  ['more than the window holds', [file, file, file, file], 100_000, 100_000],
])('%s counts by what vendors count, not by its bytes', async (_, parts, least, most) => {
  const tokens = await booked(await open({}), ...parts)
  expect(tokens).toBeGreaterThanOrEqual(least)
  expect(tokens).toBeLessThanOrEqual(most)
})

it.each([
  ['an image', { image_url: 'https://example.com/a.png' }],
  ['an image in full', { image_url: { url: 'https://example.com/a.png' }, text: 'x' }],
  ['a film', { type: null, video_url: { url: 'https://example.com/a.mp4' } }],
  ['sound', { audio_url: 'https://example.com/a.mp3' }],
])('%s without a type, as vLLM takes it, is held for as one', async (_, part) => {
  const gateway = await open({ all: { usd: '0.01' } })
  expect((await send(gateway, part)).status).toBe(402)
  expect((await send(gateway, { text: 'words alone' })).status).toBe(200)
})

it('a bare text in the place of a part is none, whose letters would be looked at one by one for what it is', async () => {
  const gateway = await open({ all: { usd: '1000' } })
  expect((await send(gateway, 'x'.repeat(17_000_000))).status).toBe(200)
  expect((await send(gateway, ['a', 'list'])).status).toBe(200)
})

/** A place for an image holds fifty thousand tokens, what nobody can bound holds the whole window. */
it.each([
  ['https://example.com/a', 200],
  ['https://example.com/a.png?size=x.mp4', 200],
  ['data:image/png;base64,iVBORw0KGgo=', 200],
  ['https://www.youtube.com/watch?v=abc', 402],
  ['HTTPS://YOUTU.BE/abc', 402],
  ['https://example.com/a.MP4?x', 402],
  ['https://example.com/a.pdf', 402],
  ['https://generativelanguage.googleapis.com/v1beta/files/abc', 402],
  ['gs://bucket/film', 402],
  ['data:video/mp4;base64,AAAA', 402],
  ['data:image/*;base64,JVBERi0=', 402],
  ['data:;base64,JVBERi0=', 402],
])('%s in the place of an image is held for as what Google takes it for: %i', async (url, status) => {
  const gateway = await open({ all: { usd: '0.08' } })
  for (const image_url of [{ url }, url])
    expect((await send(gateway, { type: 'image_url', image_url })).status).toBe(status)
})

it('no budget is overshot by an image whose usage nobody tells', async () => {
  const gateway = await open({ all: { usd: '0.12' } })
  for (let n = 0; n < 3; n++) expect((await send(gateway, image)).status).toBe(200)
  await gateway.settled(3)
  expect(gateway.turnout.budgets.utilisation()[0]!.spent).toBeLessThan(6_000_000)
  const metrics = await get(`${gateway.url}/metrics`)
  expect(metrics.text).not.toMatch(/action="overrun"\} [1-9]/)
})

/** Whole answers that teach the gateway what this model's tokens are. */
async function teach(gateway: TestGateway, usage: Json, content: string): Promise<void> {
  told = usage
  for (let n = 0; n < 8; n++)
    await post(gateway.url + CHAT, { ...ask('chat', { max_tokens: 900 }), messages: [{ role: 'user', content }] })
  await gateway.settled(8)
}

const spent = (gateway: TestGateway): number => gateway.turnout.budgets.utilisation()[0]!.spent

it('what a vendor puts before each prompt by itself is not taken for the length of its tokens', async () => {
  const gateway = await open({ all: { usd: 9 } })
  // 700 tokens of 300 bytes: the instructions of the vendor's own are in it.
  await teach(gateway, { prompt_tokens: 700, completion_tokens: 4, total_tokens: 704 }, 'x'.repeat(220))
  const before = spent(gateway)
  const text = 'word '.repeat(12_000)
  expect((await send(gateway, { type: 'text', text })).status).toBe(200)
  await gateway.settled(9)
  const tokens = (spent(gateway) - before) / 1_000
  expect(tokens).toBeGreaterThan(10_000)
  expect(tokens).toBeLessThan(25_000)
})

it.each([
  [1, 'internationalisation, and more'],
  [2, 'Rindfleischetikettierung'],
  [100, 'extraordinary '.repeat(50)],
])(
  'an answer capped at %i tokens is not estimated beyond what was held for it, long as its words are',
  async (cap, words) => {
    shown = words
    const gateway = await open({ all: { usd: 9 } }, { input: 0, output: 1 })
    expect((await post(gateway.url + CHAT, ask('chat', { stream: true, max_tokens: cap }))).status).toBe(200)
    await gateway.settled(1)
    expect(spent(gateway) / 1_000).toBe(cap)
  },
)

it('an answer without a word is booked at its prompt alone', async () => {
  shown = ''
  const gateway = await open({ all: { usd: 9 } }, { input: 1, output: 1000 })
  await send(gateway)
  await gateway.settled(1)
  expect(spent(gateway)).toBeGreaterThan(0)
  expect(spent(gateway)).toBeLessThan(1_000_000)
})

it('thoughts that are not shown are estimated within the cap of the answer', async () => {
  const gateway = await open({ all: { usd: 9 } }, { input: 0, output: 1 })
  const usage = { prompt_tokens: 50, completion_tokens: 80, total_tokens: 130 }
  // 80 tokens for 28 bytes that are shown.
  await teach(gateway, { ...usage, completion_tokens_details: { reasoning_tokens: 70 } }, 'x'.repeat(100))
  const before = spent(gateway)
  shown = 'word '.repeat(30)
  expect((await send(gateway)).status).toBe(200)
  await gateway.settled(9)
  expect((spent(gateway) - before) / 1_000).toBe(50)
  // Of a server that passes over the cap what was shown is believed.
  shown = 'word '.repeat(400)
  expect((await send(gateway)).status).toBe(200)
  await gateway.settled(10)
  expect((spent(gateway) - before) / 1_000 - 50).toBe(500)
})

it('an answer that is translated counts by its bytes, as one that is not', async () => {
  shown = '東京から京都まで新幹線で行きます。'.repeat(20)
  const frames = [
    { type: 'message_start', message: { id: 'm', type: 'message', role: 'assistant', model: 'm', content: [] } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: shown } },
  ]
  const vendor = await startFakeUpstream((_, res) =>
    sendSse(res, frames.map((frame) => `event: ${frame.type}\ndata: ${JSON.stringify(frame)}\n\n`).join('')),
  )
  onTestFinished(() => vendor.close())
  const gateway = await startGateway({
    providers: {
      p: { kind: 'openai-compatible', baseUrl: upstream.url, streamUsage: 'never' },
      a: { kind: 'anthropic', baseUrl: vendor.url, apiKey: 'sk-test-01234' },
    },
    prices: { m: { input: 0, output: 1, maxOutput: 10_000 } },
    routes: { same: 'p/m', translated: 'a/m' },
    budgets: { each: { per: 'route', usd: 9 } },
  })
  onTestFinished(() => gateway.close())
  for (const route of ['same', 'translated'])
    expect((await post(gateway.url + CHAT, ask(route, { stream: true }))).text).toContain(shown)
  await gateway.settled(2)
  const [same, translated] = gateway.turnout.budgets.utilisation().map((budget) => budget.spent)
  expect(same).toBeGreaterThan(200_000)
  expect(translated).toBe(same)
})

it('what a vendor runs beside the answer teaches nothing of how long texts are', async () => {
  const own = { type: 'message', input_tokens: 20, output_tokens: 9 }
  const usage = { ...own, iterations: [{ ...own, type: 'compaction', input_tokens: 30, output_tokens: 60 }, own] }
  const content = [{ type: 'text', text: 'It is a train, and it moves.' }]
  const message = { id: 'm', type: 'message', role: 'assistant', model: 'm', content, stop_reason: 'end_turn', usage }
  const vendor = await startFakeUpstream((_, res) => sendJson(res, 200, message))
  onTestFinished(() => vendor.close())
  const gateway = await startGateway({
    providers: { p: { kind: 'anthropic', baseUrl: vendor.url, apiKey: 'sk-test-01234' } },
    routes: { chat: 'p/m' },
  })
  onTestFinished(() => gateway.close())
  const count = async () =>
    (await post(`${gateway.url}/v1/tokens/count`, { model: 'chat', input: 'x'.repeat(360) })).text
  const before = await count()
  for (let n = 0; n < 5; n++) expect((await post(gateway.url + CHAT, ask('chat'))).status).toBe(200)
  await gateway.settled(5)
  expect(await count()).toEqual(before)
})

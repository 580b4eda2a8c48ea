// What a prompt with pictures, files or audio is booked at where its vendor never tells: base64 is text to nobody.
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { ask, CHAT, chunk } from './support/chatBodies.ts'
import { type Exchange, get, post } from './support/exchange.ts'
import { type FakeUpstream, sendSse, sseText, startFakeUpstream } from './support/fakeUpstream.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'

type Json = Record<string, unknown>

let upstream: FakeUpstream
beforeAll(async () => {
  // A stream that ends well and says nothing of usage: what is booked of one that breaks off is the same.
  upstream = await startFakeUpstream((_, res) => sendSse(res, sseText([chunk({ content: 'It is a train.' }, 'stop')])))
})
afterAll(() => upstream?.close())

const base64 = 'iVBORw0KGgoA'.repeat(80_000) // 960 KB
const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${base64}` } }
const file = { type: 'file', file: { filename: 'a.pdf', file_data: `data:application/pdf;base64,${base64}` } }
const audio = { type: 'input_audio', input_audio: { data: base64, format: 'mp3' } }

async function open(budgets: Json): Promise<TestGateway> {
  const gateway = await startGateway({
    providers: { p: { kind: 'openai-compatible', baseUrl: upstream.url, streamUsage: 'never' } },
    prices: { m: { input: 1, output: 0, maxOutput: 1_000, contextWindow: 100_000 } },
    routes: { chat: 'p/m' },
    budgets,
  })
  onTestFinished(() => gateway.close())
  return gateway
}

const send = (gateway: TestGateway, ...parts: Json[]): Promise<Exchange> =>
  post(gateway.url + CHAT, {
    ...ask('chat', { stream: true, max_tokens: 50 }),
    messages: [{ role: 'user', content: [{ type: 'text', text: 'What is it?' }, ...parts] }],
  })

/** Prompt tokens that the request was booked at: one costs a millionth of a dollar. */
async function booked(gateway: TestGateway, ...parts: Json[]): Promise<number> {
  const reply = await send(gateway, ...parts)
  expect(reply.status, reply.text).toBe(200)
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

it('no budget is overshot by an image whose usage nobody tells', async () => {
  const gateway = await open({ all: { usd: '0.12' } })
  for (let n = 0; n < 3; n++) expect((await send(gateway, image)).status).toBe(200)
  await gateway.settled(3)
  expect(gateway.turnout.budgets.utilisation()[0]!.spent).toBeLessThan(6_000_000)
  const metrics = await get(`${gateway.url}/metrics`)
  expect(metrics.text).not.toMatch(/action="overrun"\} [1-9]/)
})

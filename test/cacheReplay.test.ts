// Answers out of the cache, as clients read them: the official SDK, and every recorded reply against its original.
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { markOf, speak, startCacheGateway } from './support/cacheGateway.ts'
import { CHAT, chunk, finishChunk, roleChunk, usageChunk } from './support/chatBodies.ts'
import { eventsOf, post } from './support/exchange.ts'
import { type FakeUpstream, sendSse, sseText, startFakeUpstream } from './support/fakeUpstream.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { kindOf, loadReplay, type RecordedRow } from './support/recordedChat.ts'
import { hasShared, needsShared, sharedPath } from './support/shared.ts'

it('the official SDK reads hits: documents, streams, and each made of the other', async () => {
  const { gateway, upstream } = await startCacheGateway(
    true,
    speak(() => 'read by a client'),
  )
  const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'sk-test-sdk', maxRetries: 0 })
  for (const [seed, first] of [
    [1, 'json'],
    [2, 'stream'],
  ] as const) {
    const ask = { model: 'm', seed, messages: [{ role: 'user' as const, content: 'hi' }] }
    const whole = async (): Promise<string> => {
      const { choices, usage, id } = await client.chat.completions.create(ask)
      expect(usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 })
      expect(id).toMatch(/^chatcmpl-/)
      return choices[0]!.message.content!
    }
    const streamed = async (): Promise<string> => {
      const stream = client.chat.completions.stream({ ...ask, stream_options: { include_usage: true } })
      const { choices, usage } = await stream.finalChatCompletion()
      expect(usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 })
      expect(choices[0]!.finish_reason).toBe('stop')
      return choices[0]!.message.content!
    }
    const turns = first === 'json' ? [whole, whole, streamed, streamed] : [streamed, streamed, whole, whole]
    for (const turn of turns) expect(await turn()).toBe('read by a client')
  }
  expect(upstream.requests).toHaveLength(2)
  expect(gateway.lines.map(({ cache }) => cache)).toEqual(['miss', 'hit', 'hit', 'hit', 'miss', 'hit', 'hit', 'hit'])
})

it('a document made of a stream has all that the model gave a custom tool', async () => {
  const piece = (call: object) => chunk({ tool_calls: [{ index: 0, ...call }] })
  const { chat } = await startCacheGateway({ toolCalls: true }, (_, res) =>
    sendSse(
      res,
      sseText([
        roleChunk,
        piece({ id: 'call_1', type: 'custom', custom: { name: 'run', input: '' } }),
        piece({ custom: { input: 'print(' } }),
        piece({ custom: { input: '42)' } }),
        finishChunk('tool_calls'),
      ]),
    ),
  )
  const asked = { tools: [{ type: 'custom', custom: { name: 'run' } }] }
  await chat({ ...asked, stream: true })
  const whole = await chat(asked)
  expect(markOf(whole)).toBe('hit; reason=reframed')
  expect(JSON.parse(whole.text).choices[0].message.tool_calls).toEqual([
    { id: 'call_1', type: 'custom', custom: { name: 'run', input: 'print(42)' } },
  ])
})

it.each([
  ['with', 'without', { stream_options: { include_usage: true } }, {}],
  ['without', 'with', {}, { stream_options: { include_usage: true } }],
])("a stream %s usage keeps a vendor's own words where it was bought %s", async (_, __, second, first) => {
  const { upstream, chat } = await startCacheGateway(true, (_, res) =>
    sendSse(res, sseText([roleChunk, chunk({ reasoning: 'hm' }), chunk({ content: 'so' }), finishChunk(), usageChunk])),
  )
  for (const [n, functions] of [{}, { functions: [{ name: 'f' }] }].entries()) {
    await chat({ stream: true, ...functions, ...first })
    const hit = await chat({ stream: true, ...functions, ...second })
    expect(markOf(hit)).toBe('hit; reason=reframed')
    const told = eventsOf(hit.text)
    expect(told.map(({ choices }) => choices[0]?.delta.reasoning ?? '').join('')).toBe('hm')
    expect(told.filter(({ usage }) => usage).map(({ usage }) => usage.total_tokens)).toEqual(
      'stream_options' in second ? [5] : [],
    )
    expect(hit.text).toMatch(/data: \[DONE\]\n\n$/)
    expect(new Set(told.map(({ id }) => id))).toEqual(new Set([`chatcmpl-${hit.headers['x-request-id']}`]))
    expect(upstream.requests).toHaveLength(n + 1)
  }
})

/** What a client gets of a recording out of the cache has to be what it got before, less the id. */
const withoutIds = (text: string, ids: readonly string[]): string =>
  ids.reduce((rest, id) => rest.replaceAll(JSON.stringify(id), '"ID"'), text)

const idsOf = (text: string): string[] => [
  ...new Set(
    [...text.matchAll(/"id"\s*:\s*("(?:[^"\\]|\\.)*")/g)].map(([, id]) => JSON.parse(id!) as string).filter(Boolean),
  ),
]

describe.skipIf(!hasShared)(`recorded replies${needsShared}`, () => {
  let rows: RecordedRow[]
  let next: RecordedRow
  let upstream: FakeUpstream
  let gateway: TestGateway
  beforeAll(async () => {
    const { load } = await loadReplay()
    rows = load(
      [sharedPath('recordings', 'openai-chat.ndjson')],
      ({ request, response }) => response.status === 200 && !response.base64 && /"messages"/.test(request.body ?? ''),
    )
    upstream = await startFakeUpstream((_, res) => {
      res.writeHead(200, { 'content-type': next.response.headers['content-type'] ?? 'application/json' })
      res.end(next.response.body)
    })
    const kinds = [...new Set(rows.map(kindOf))]
    gateway = await startGateway({
      providers: Object.fromEntries(
        kinds.map((kind) => [`p-${kind}`, { kind, baseUrl: `${upstream.url}/v1`, apiKey: 'sk-test-0123456789' }]),
      ),
      routes: Object.fromEntries(
        kinds.map((kind) => [
          kind,
          { targets: [`p-${kind}/m`], toolArguments: 'pass', cache: { deterministicOnly: false, toolCalls: true } },
        ]),
      ),
      cache: { size: '256MB' },
    })
  }, 300_000)
  afterAll(async () => {
    await gateway?.close()
    await upstream?.close()
  })

  it('are replayed equal to what was sent before, but for the id, and say the same in the other framing', async () => {
    const hits = { document: 0, stream: 0, reframed: 0, own: 0 }
    for (const [number, row] of rows.entries()) {
      next = row
      // Some were asked the same: each has an answer of its own here.
      const asked = { ...JSON.parse(row.request.body), model: kindOf(row), seed: number }
      const url = gateway.url + CHAT
      const first = await post(url, asked)
      if (markOf(first) !== 'miss' || first.text.includes('"error"')) continue
      const again = await post(url, asked)
      if (markOf(again) !== 'hit') continue
      hits[asked.stream ? 'stream' : 'document']++
      const mine = `chatcmpl-${again.headers['x-request-id']}`
      const vendors = idsOf(first.text)
      expect(withoutIds(again.text, [mine, ...vendors]), row.source).toBe(withoutIds(first.text, vendors))
      expect(again.headers['content-type'], row.source).toBe(first.headers['content-type'])
      const { stream_options: _, ...rest } = asked
      const other = await post(url, { ...rest, stream: !asked.stream })
      // The deprecated `functions` have a form of their own: such an answer is replayed in its own framing alone.
      if (asked.functions) {
        expect(markOf(other), row.source).toBe('miss')
        hits.own++
        continue
      }
      expect(markOf(other), row.source).toBe('hit; reason=reframed')
      expect(textOf(other.text), row.source).toBe(textOf(first.text))
      hits.reframed++
    }
    expect(hits.document).toBeGreaterThan(60)
    expect(hits.stream).toBeGreaterThan(20)
    expect(hits.reframed).toBe(hits.document + hits.stream - hits.own)
  }, 300_000)
})

/** The text of the first choice, of a document or of a stream. */
function textOf(text: string): string {
  // biome-ignore lint/suspicious/noExplicitAny: wire objects are read freely
  const written = (content: any): string =>
    typeof content === 'string' ? content : (content ?? []).map((part: { text?: string }) => part.text ?? '').join('')
  if (text.trimStart().startsWith('{')) return written(JSON.parse(text).choices[0].message.content)
  return [...text.matchAll(/^data: ?(\{.*)$/gm)]
    .map(([, data]) => JSON.parse(data!))
    .map(({ choices }) => written(choices?.find((each: { index: number }) => each.index === 0)?.delta?.content))
    .join('')
}

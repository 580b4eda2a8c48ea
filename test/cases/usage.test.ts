// C19, C21 to C24: what vendors count is what the ledger holds, token for token and class for class, and what it costs.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { type Script, type Simulator, startSimulator } from '../../src/simulator/index.ts'
import type { StoredAttempt, StoredRequest } from '../../src/store/requestRead.ts'
import { ask, CHAT, chunk, chunks, event, finishChunk, roleChunk, usageChunk } from '../support/chatBodies.ts'
import { buildTurnout } from '../support/crash/build.ts'
import { runCli, startServer } from '../support/crash/server.ts'
import { type Exchange, eventsOf, get, post } from '../support/exchange.ts'
import { piecesOf, sendJson, sendSse, startFakeUpstream } from '../support/fakeUpstream.ts'
import { upstreamAt } from '../support/gateway.ts'
import { appKey, bearer, type LedgerGateway, startLedgerGateway } from '../support/ledgerGateway.ts'

type Json = Record<string, unknown>
type UsageOverride = NonNullable<Script['usage']>

/** USD per million tokens, every class at a price of its own: what lands in a wrong class shows in the cost. */
const prices = {
  input: 1,
  cacheRead: 0.1,
  cacheWrite5m: 1.25,
  cacheWrite1h: 2,
  output: 5,
  reasoning: 6,
  audioIn: 7,
  audioOut: 8,
}
/** Nano-USD a token, in the ledger's words. */
const nano = {
  input: 1000,
  cache_read: 100,
  cache_write_5m: 1250,
  cache_write_1h: 2000,
  output: 5000,
  reasoning: 6000,
  audio_in: 7000,
  audio_out: 8000,
}
type Classes = Record<keyof typeof nano, number>
const classNames = Object.keys(nano) as (keyof typeof nano)[]
const classes = (some: Partial<Classes>): Classes => ({
  ...(Object.fromEntries(classNames.map((name) => [name, 0])) as Classes),
  ...some,
})
const costOf = (tokens: Classes): number => classNames.reduce((sum, name) => sum + tokens[name] * nano[name], 0)
const classesOf = (row: StoredAttempt): Classes =>
  Object.fromEntries(classNames.map((name) => [name, row[name]])) as Classes

async function openBooks(config: Json): Promise<LedgerGateway> {
  const books = await startLedgerGateway({ prices: { '*': prices }, ...config })
  onTestFinished(() => books.close())
  return books
}

const chat = (books: LedgerGateway, body: Json): Promise<Exchange> => post(books.url + CHAT, body, bearer(appKey))

/** The upstream calls on record, when so many requests are. */
async function attemptsOf(books: LedgerGateway, requests: number): Promise<StoredAttempt[]> {
  await books.gateway.settled(requests)
  await books.ledger.flush()
  return books.store.db.prepare('SELECT * FROM attempts ORDER BY id').all() as StoredAttempt[]
}

const includeUsage = { stream: true, stream_options: { include_usage: true } }
const ways: [string, Json][] = [
  ['JSON', {}],
  ['a stream', { stream: true }],
  ['a stream with its usage', includeUsage],
]

describe('C19 usage wherever a vendor puts it', () => {
  const counted = { prompt_tokens: 40, completion_tokens: 9, total_tokens: 49 }
  const soFar = (n: number): Json => ({ usage: { prompt_tokens: 40, completion_tokens: n, total_tokens: 40 + n } })
  const streams: [string, Json[]][] = [
    ['in a chunk of its own', [...chunks('one', 'two'), { ...usageChunk, usage: counted }]],
    ['on the finish chunk', [roleChunk, chunk({ content: 'one' }), { ...finishChunk(), usage: counted }]],
    ['on the last content chunk', [roleChunk, chunk({ content: 'one' }, null, { usage: counted }), finishChunk()]],
    [
      'on every chunk, growing',
      [
        { ...roleChunk, ...soFar(0) },
        chunk({ content: 'one' }, null, soFar(3)),
        chunk({ content: 'two' }, null, soFar(6)),
        { ...finishChunk(), ...soFar(9) },
      ],
    ],
    [
      'in the choice that has ended (Moonshot)',
      [
        roleChunk,
        chunk({ content: 'one' }),
        { ...finishChunk(), choices: [{ index: 0, delta: {}, finish_reason: 'stop', usage: counted }] },
      ],
    ],
    ['twice', [...chunks('one'), { ...usageChunk, usage: counted }, { ...usageChunk, usage: counted }]],
    [
      'on the finish chunk, and once more in full',
      [roleChunk, chunk({ content: 'one' }), { ...finishChunk(), ...soFar(7) }, { ...usageChunk, usage: counted }],
    ],
    [
      'with null before and after it',
      [
        roleChunk,
        chunk({ content: 'one' }, null, { usage: null }),
        { ...finishChunk(), usage: counted },
        { ...usageChunk, usage: null },
      ],
    ],
  ]
  for (const pieces of [undefined, 7]) {
    it.each(streams)(
      `C19 %s, ${pieces ?? 'all'} bytes at a time: the last count, once, and no estimate`,
      async (_, sent) => {
        const upstream = await startFakeUpstream((_req, res) =>
          sendSse(res, sent.map(event).join('') + event('[DONE]'), pieces ? { pieces } : {}),
        )
        onTestFinished(() => upstream.close())
        const books = await openBooks({ providers: { p: upstreamAt(upstream.url) }, routes: { m: 'p/m' } })
        expect((await chat(books, ask('m', { stream: true }))).text).toContain('[DONE]')
        expect((await chat(books, ask('m', includeUsage))).text).toContain('[DONE]')
        const rows = await attemptsOf(books, 2)
        for (const row of rows) {
          expect(classesOf(row)).toEqual(classes({ input: 40, output: 9 }))
          expect([row.estimated, row.cost]).toEqual([0, 40 * 1000 + 9 * 5000])
        }
        expect(rows).toHaveLength(2)
      },
    )
  }

  it('C19 of several choices of which the first alone came to tell its own (Moonshot) the rest is estimated', async () => {
    const first = { index: 0, delta: {}, finish_reason: 'stop', usage: counted }
    const sent = [roleChunk, chunk({ content: 'one' }), { ...finishChunk(), choices: [first] }]
    let ending = ''
    const upstream = await startFakeUpstream((_req, res) => sendSse(res, sent.map(event).join('') + ending))
    onTestFinished(() => upstream.close())
    const books = await openBooks({ providers: { p: upstreamAt(upstream.url) }, routes: { m: 'p/m' } })
    expect((await chat(books, ask('m', { stream: true, n: 2 }))).text).toContain('"error"')
    // Who answers once, and says that this is all, has told all.
    ending = event('[DONE]')
    expect((await chat(books, ask('m', { stream: true, n: 2 }))).text).toContain('[DONE]')
    sent.push({
      ...chunk({ content: 'x'.repeat(4_000) }),
      choices: [{ index: 1, delta: { content: 'x'.repeat(4_000) } }],
    })
    ending = ''
    expect((await chat(books, ask('m', { stream: true, n: 2 }))).text).toContain('"error"')
    const [cut, whole, long] = await attemptsOf(books, 3)
    expect([cut, whole]).toMatchObject([
      { estimated: 1, fault: 'cut', output: 9 },
      { estimated: 0, fault: '', output: 9 },
    ])
    expect(long).toMatchObject({ estimated: 1, fault: 'cut', input: 40 })
    expect(long!.output).toBeGreaterThan(200)
  })

  it('C24 more tokens than a bill has room for have no cost, and the log says why', async () => {
    const usage = { prompt_tokens: 1e15, completion_tokens: 1, total_tokens: 1e15 + 1 }
    const upstream = await startFakeUpstream((_req, res) =>
      sendSse(res, [...chunks('one'), { ...usageChunk, usage }].map(event).join('') + event('[DONE]')),
    )
    onTestFinished(() => upstream.close())
    const books = await openBooks({ providers: { p: upstreamAt(upstream.url) }, routes: { m: 'p/m' } })
    await chat(books, ask('m', includeUsage))
    expect((await attemptsOf(books, 1))[0]).toMatchObject({ cost: null, input: 1e15, output: 1 })
    expect(books.gateway.notes).toContainEqual({
      text: 'calls of p/m have an unknown cost: its vendor tells of more tokens than a bill has room for',
      facts: { event: 'prices', target: 'p/m' },
    })
  })

  it('C19 of several choices that each tell their own (Moonshot) all answers count, and the prompt once', async () => {
    const own = (index: number, completion_tokens: number): Json => ({
      index,
      delta: {},
      finish_reason: 'stop',
      usage: { prompt_tokens: 40, completion_tokens, total_tokens: 40 + completion_tokens },
    })
    const said = (index: number): Json => ({ index, delta: { content: 'one' }, finish_reason: null })
    const upstream = await startFakeUpstream((_req, res) =>
      sendSse(
        res,
        [[said(0)], [said(1)], [own(1, 3)], [own(1, 4)], [own(0, 5)]]
          .map((choices) => event({ ...roleChunk, choices }))
          .join('') + event('[DONE]'),
      ),
    )
    onTestFinished(() => upstream.close())
    const books = await openBooks({ providers: { p: upstreamAt(upstream.url) }, routes: { m: 'p/m' } })
    await chat(books, ask('m', { stream: true, n: 2 }))
    const [row] = await attemptsOf(books, 1)
    expect(row).toMatchObject({ estimated: 0, input: 40, output: 9 })
  })

  it('C19 without any usage there is an estimate, marked as one; with one it is not added', async () => {
    const words = Array.from({ length: 200 }, () => 'signal ')
    let usage: Json[] = []
    const upstream = await startFakeUpstream((_req, res) =>
      sendSse(res, [...chunks(...words), ...usage].map(event).join('') + event('[DONE]')),
    )
    onTestFinished(() => upstream.close())
    const books = await openBooks({ providers: { p: upstreamAt(upstream.url) }, routes: { m: 'p/m' } })
    await chat(books, ask('m', { stream: true }))
    usage = [{ ...usageChunk, usage: counted }]
    await chat(books, ask('m', { stream: true }))
    const [guessed, told] = await attemptsOf(books, 2)
    expect(guessed!.estimated).toBe(1)
    expect(guessed!.output).toBeGreaterThan(100)
    expect(told).toMatchObject({ estimated: 0, input: 40, output: 9 })
  })

  it('C19 a prompt of zero before an answer with text is no count of the prompt, and the answer is as told', async () => {
    const uncounted = { usage: { prompt_tokens: 0, completion_tokens: 9, total_tokens: 9 } }
    const spoken = { ...uncounted, choices: [{ index: 0, message: { content: 'signal' }, finish_reason: 'stop' }] }
    const upstream = await startFakeUpstream((_req, res, body) => {
      if ((JSON.parse(String(body)) as Json).stream)
        sendSse(res, [...chunks('signal'), { ...usageChunk, ...uncounted }].map(event).join('') + event('[DONE]'))
      else sendJson(res, 200, spoken)
    })
    onTestFinished(() => upstream.close())
    const books = await openBooks({ providers: { p: upstreamAt(upstream.url) }, routes: { m: 'p/m' } })
    for (const more of [{}, { stream: true }]) await chat(books, ask('m', more))
    for (const row of await attemptsOf(books, 2)) {
      expect(row).toMatchObject({ estimated: 1, output: 9 })
      expect(row.input).toBeGreaterThan(0)
    }
  })

  it('C19 zeros for an answer with text are no count; for one without they are', async () => {
    const zeros = { usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 } }
    const filtered = { ...zeros, choices: [{ index: 0, message: { content: '' }, finish_reason: 'content_filter' }] }
    const spoken = { ...zeros, choices: [{ index: 0, message: { content: 'signal' }, finish_reason: 'stop' }] }
    const upstream = await startFakeUpstream((_req, res, body) => {
      const { stream, seed } = JSON.parse(String(body)) as Json
      if (stream) sendSse(res, [...chunks('signal'), { ...usageChunk, ...zeros }].map(event).join('') + event('[DONE]'))
      else sendJson(res, 200, seed === 1 ? filtered : spoken)
    })
    onTestFinished(() => upstream.close())
    const books = await openBooks({ providers: { p: upstreamAt(upstream.url) }, routes: { m: 'p/m' } })
    for (const more of [{}, { stream: true }, { seed: 1 }]) await chat(books, ask('m', more))
    const [document, streamed, nothing] = await attemptsOf(books, 3)
    for (const row of [document!, streamed!]) {
      expect(row.estimated).toBe(1)
      expect(Math.min(row.input, row.output, row.cost!)).toBeGreaterThan(0)
    }
    expect(nothing).toMatchObject({ estimated: 0, input: 0, output: 0, cost: 0 })
  })

  it('C19 a stream that broke after it had told a usage is billed by that', async () => {
    const upstream = await startFakeUpstream(async (_req, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      for (const piece of piecesOf([roleChunk, chunk({ content: 'one' }, null, soFar(5))].map(event).join(''), 5000))
        res.write(piece)
      res.write(event({ error: { message: 'overloaded', code: 'overloaded', type: 'server_error' } }))
      res.end()
    })
    onTestFinished(() => upstream.close())
    const books = await openBooks({ providers: { p: upstreamAt(upstream.url) }, routes: { m: 'p/m' } })
    expect((await chat(books, ask('m', { stream: true }))).text).not.toContain('[DONE]')
    const [row] = await attemptsOf(books, 1)
    // Marked all the same: it counts what had come by then, and the vendor may charge more.
    expect(row).toMatchObject({ estimated: 1, input: 40, output: 5, cost: 40 * 1000 + 5 * 5000 })
  })
})

it.each([false, true])(
  'C22 what Anthropic reads and writes to shorten a conversation is paid for, too (stream: %s)',
  async (stream) => {
    const none = { cache_creation_input_tokens: 0, cache_read_input_tokens: 0 }
    const own = { input_tokens: 612, output_tokens: 2819, ...none }
    const pass = {
      type: 'compaction',
      input_tokens: 385,
      output_tokens: 522,
      ...none,
      cache_creation_input_tokens: 60_000,
    }
    const usage = { ...own, iterations: [pass, { type: 'message', ...own }] }
    const message = {
      id: 'm',
      type: 'message',
      role: 'assistant',
      model: 'm',
      content: [{ type: 'text', text: 'yes' }],
    }
    const events: Json[] = [
      {
        type: 'message_start',
        message: { ...message, content: [], usage: { input_tokens: 60_385, output_tokens: 5 } },
      },
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'yes' } },
      { type: 'content_block_stop', index: 0 },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage },
      { type: 'message_stop' },
    ]
    const upstream = await startFakeUpstream((_req, res) =>
      stream
        ? sendSse(res, events.map(event).join(''))
        : sendJson(res, 200, { ...message, stop_reason: 'end_turn', usage }),
    )
    onTestFinished(() => upstream.close())
    const compacting = { context_management: { edits: [{ type: 'compact_20260112' }] } }
    const books = await openBooks({
      providers: { p: { kind: 'anthropic', apiKey: 'sk-0123456789abcdef', baseUrl: upstream.url } },
      targets: { long: { provider: 'p', model: 'm', params: compacting } },
      routes: { m: 'long' },
      budgets: { soft: { usd: 1, hard: false } },
    })
    const reply = await chat(books, ask('m', { stream }))
    expect(reply.status).toBe(200)
    // The answer's cap bounds no pass that comes before it.
    expect(reply.headers['x-turnout-budget-unbounded']).toBe('true')
    const [row] = await attemptsOf(books, 1)
    const paid = classes({ input: 612 + 385, cache_write_5m: 60_000, output: 2819 + 522 })
    expect(classesOf(row!)).toEqual(paid)
    expect([row!.estimated, row!.cost]).toEqual([0, costOf(paid)])
  },
)

describe.each([false, true])('C22 passes that Anthropic bills by themselves (stream: %s)', (stream) => {
  const pass = (type: string, input: number, output: number, model?: string): Json => ({
    type,
    ...(model && { model }),
    input_tokens: input,
    output_tokens: output,
    cache_read_input_tokens: 0,
    cache_creation_input_tokens: 0,
  })
  // Twice as dear when its prompt has more than 200 tokens; the other model has a price of its own.
  const listed = {
    mine: { input: 1, output: 5, tiers: [{ above: 200, input: 2, output: 10 }] },
    dear: { input: 10, output: 50 },
  }

  it.each<[string, Json[], [number, number], Json, number | null]>([
    [
      'a long prompt that is shortened makes the short one no dearer',
      [pass('compaction', 1000, 100), pass('message', 90, 10)],
      [90, 10],
      { input: 1090, output: 110 },
      1000 * 2000 + 100 * 10_000 + 90 * 1000 + 10 * 5000,
    ],
    [
      'prompts of passes that are long together are short ones, and an advisor costs what its model costs',
      [pass('message', 120, 10), pass('advisor_message', 300, 20, 'dear'), pass('message', 150, 5)],
      [270, 15],
      { input: 570, output: 35 },
      270 * 1000 + 15 * 5000 + 300 * 10_000 + 20 * 50_000,
    ],
    [
      'what was asked of a model before another took over is paid for',
      [pass('message', 40, 0, 'dear'), pass('fallback_message', 42, 26, 'mine')],
      [42, 26],
      { input: 82, output: 26 },
      40 * 10_000 + 42 * 1000 + 26 * 5000,
    ],
    [
      'an advisor without a price makes the cost unknown',
      [pass('message', 120, 10), pass('advisor_message', 300, 20, 'new')],
      [120, 10],
      { input: 420, output: 30 },
      null,
    ],
  ])('%s', async (_, iterations, [input, output], tokens, cost) => {
    const usage = { input_tokens: input, output_tokens: output, iterations }
    const message = {
      id: 'm',
      type: 'message',
      role: 'assistant',
      model: 'mine',
      content: [{ type: 'text', text: 'y' }],
    }
    const start = { ...message, content: [], usage: { input_tokens: 1, output_tokens: 1 } }
    const events: Json[] = [
      { type: 'message_start', message: start },
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: 'y' } },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage },
      { type: 'message_stop' },
    ]
    const upstream = await startFakeUpstream((_req, res) =>
      stream
        ? sendSse(res, events.map(event).join(''))
        : sendJson(res, 200, { ...message, stop_reason: 'end_turn', usage }),
    )
    onTestFinished(() => upstream.close())
    const books = await openBooks({
      prices: listed,
      providers: { p: { kind: 'anthropic', apiKey: 'sk-0123456789abcdef', baseUrl: upstream.url } },
      routes: { m: 'p/mine' },
    })
    const reply = await chat(books, ask('m', { stream, stream_options: stream ? { include_usage: true } : undefined }))
    // A client counts as the vendor's own clients do.
    expect(reply.text).toContain(`"prompt_tokens":${input},"completion_tokens":${output}`)
    const [row] = await attemptsOf(books, 1)
    expect(row).toMatchObject({ ...tokens, cost, estimated: 0 })
  })
})

const ranMine = async (prices: Json, usage: Json): Promise<Awaited<ReturnType<typeof openBooks>>> => {
  const content = [{ type: 'text', text: 'y' }]
  const message = { id: 'm', type: 'message', role: 'assistant', model: 'mine', content, stop_reason: 'end_turn' }
  const upstream = await startFakeUpstream((_req, res) => sendJson(res, 200, { ...message, usage }))
  onTestFinished(() => upstream.close())
  const books = await openBooks({
    prices,
    providers: { p: { kind: 'anthropic', apiKey: 'sk-0123456789abcdef', baseUrl: upstream.url } },
    routes: { m: 'p/mine' },
  })
  await chat(books, ask('m'))
  return books
}
const ran = (type: string, model?: string): Json => ({ type, model, input_tokens: 10, output_tokens: 1 })
const usual = { input: 1, output: 1 }

it.each([
  ['', usual],
  // Finer than a double's sums are.
  [', and the finest prices', { input: '1.0000001', output: '1.0000001' }],
])('C22 what each request costs is charged once, however many passes it took%s', async (_, rates) => {
  const mine = { ...rates, perRequest: '0.01', webSearch: '0.02' }
  const books = await ranMine(
    { mine, dear: { ...rates, perRequest: '0.5' } },
    {
      input_tokens: 20,
      output_tokens: 2,
      server_tool_use: { web_search_requests: 1 },
      iterations: [ran('message'), ran('advisor_message', 'dear'), ran('message')],
    },
  )
  expect((await attemptsOf(books, 1))[0]).toMatchObject({ cost: 33 * 1000 + 1e7 + 2e7 })
})

it('C22 the log names a model without a price that ran beside the one that answered', async () => {
  const usage = (model: string): Json => ({
    input_tokens: 10,
    output_tokens: 1,
    iterations: [ran('message'), ran('advisor_message', model)],
  })
  const half = { input: 1 }
  for (const [model, cause] of [
    ['new', 'tokens of new without a price'],
    ['no name', 'tokens of another model without a price'],
    ['half', 'output tokens of half without a price'],
  ] as const) {
    const books = await ranMine({ mine: usual, half }, usage(model))
    expect((await attemptsOf(books, 1))[0]).toMatchObject({ cost: null, price_source: 'config' })
    expect(books.gateway.notes).toContainEqual({
      text: `calls of p/mine have an unknown cost: ${cause}, see prices`,
      facts: { event: 'prices', target: 'p/mine' },
    })
  }
})

describe.each([false, true])('C22 what Anthropic charges on top of a tier (stream: %s)', (stream) => {
  const prices = { m: { input: 1, output: 5, webSearch: 0.01, serviceTiers: { us: 1.1, fast: 6 } } }
  const plain = 100 * 1000 + 10 * 5000

  it.each<[string, Json, number | null]>([
    ['nothing, wherever it was made', { inference_geo: 'global', speed: 'standard', service_tier: 'standard' }, plain],
    ['nothing by a model that tells no place', { inference_geo: 'not_available', service_tier: null }, plain],
    ['for the US alone', { inference_geo: 'us', service_tier: 'standard' }, plain * 1.1],
    ['for speed, too', { inference_geo: 'us', speed: 'fast' }, plain * 6.6],
    [
      'for each search, wherever it was made',
      { server_tool_use: { web_search_requests: 2 }, inference_geo: 'us' },
      plain * 1.1 + 2e7,
    ],
    ['for a place without a price', { inference_geo: 'moon', service_tier: 'standard' }, null],
    ['for a contract without one', { inference_geo: 'us', service_tier: 'priority' }, null],
  ])('%s', async (_, told, cost) => {
    const usage = { input_tokens: 100, output_tokens: 10, ...told }
    const content = [{ type: 'text', text: 'y' }]
    const message = { id: 'm', type: 'message', role: 'assistant', model: 'm', content, stop_reason: 'end_turn', usage }
    const events: Json[] = [
      { type: 'message_start', message: { ...message, content: [], stop_reason: null } },
      { type: 'content_block_start', index: 0, content_block: content[0]! },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 10 } },
      { type: 'message_stop' },
    ]
    const upstream = await startFakeUpstream((_req, res) =>
      stream ? sendSse(res, events.map(event).join('')) : sendJson(res, 200, message),
    )
    onTestFinished(() => upstream.close())
    const books = await openBooks({
      prices,
      providers: { p: { kind: 'anthropic', apiKey: 'sk-0123456789abcdef', baseUrl: upstream.url } },
      routes: { m: 'p/m' },
    })
    const { text } = await chat(books, ask('m', { stream }))
    expect(text).not.toMatch(/\+|moon/)
    expect((await attemptsOf(books, 1))[0]).toMatchObject({ cost, input: 100, output: 10 })
  })
})

it('C22 a budget holds for the speed that a target asks for', async () => {
  const books = await openBooks({
    prices: { m: { input: 1, output: 5, serviceTiers: { fast: 6 } } },
    providers: { p: { kind: 'anthropic', apiKey: 'sk-0123456789abcdef', baseUrl: 'http://127.0.0.1:1' } },
    targets: { quick: { provider: 'p', model: 'm', params: { speed: 'fast' } } },
    routes: { slow: 'p/m', quick: 'quick' },
    budgets: { all: { usd: 0.02 } },
  })
  // 1,000 tokens at 5 USD a million, or at 30. Nobody answers, which costs nothing.
  const statuses = ['slow', 'quick'].map(async (route) => (await chat(books, ask(route, { max_tokens: 1000 }))).status)
  expect(await Promise.all(statuses)).toEqual([502, 402])
})

describe('vendors of three dialects', () => {
  let vendor: Simulator

  beforeAll(async () => {
    vendor = await startSimulator()
  })
  afterAll(() => vendor.close())

  const providers = (): Json => ({
    openai: upstreamAt(vendor.url),
    anthropic: { kind: 'anthropic', baseUrl: vendor.url, apiKey: 'sk-test-upstream-0123456789' },
    gemini: { kind: 'gemini', baseUrl: vendor.url, apiKey: 'sk-test-upstream-0123456789' },
  })
  const told = (usage: UsageOverride): void => vendor.script('counted', { usage, tokens: 8 })
  const maxTokens = { max_tokens: 100 }

  const cases: [string, string, UsageOverride, Partial<Classes>][] = [
    [
      'C22 openai: cached and written are part of the prompt',
      'openai',
      { promptTokens: 1000, cachedTokens: 300, cacheWriteTokens: 200, completionTokens: 50, reasoningTokens: 0 },
      { input: 500, cache_read: 300, cache_write_5m: 200, output: 50 },
    ],
    [
      'C22 anthropic: beside the prompt, by their time to live',
      'anthropic',
      {
        promptTokens: 1000,
        cachedTokens: 300,
        cacheWriteTokens: 200,
        cacheWrite1hTokens: 150,
        completionTokens: 50,
        reasoningTokens: 0,
      },
      { input: 500, cache_read: 300, cache_write_5m: 50, cache_write_1h: 150, output: 50 },
    ],
    [
      'C22 gemini: cached is part of the prompt',
      'gemini',
      { promptTokens: 1000, cachedTokens: 300, completionTokens: 50, reasoningTokens: 0 },
      { input: 700, cache_read: 300, output: 50 },
    ],
    [
      'C22 a prompt that is all cache',
      'anthropic',
      { promptTokens: 900, cachedTokens: 900, completionTokens: 5 },
      { cache_read: 900, output: 5 },
    ],
    [
      'C23 openai: reasoning and audio are part of the completion',
      'openai',
      { promptTokens: 100, audioInTokens: 30, completionTokens: 80, reasoningTokens: 20, audioOutTokens: 45 },
      { input: 70, audio_in: 30, output: 15, reasoning: 20, audio_out: 45 },
    ],
    [
      'C23 anthropic: thinking is part of the output',
      'anthropic',
      { promptTokens: 100, completionTokens: 80, reasoningTokens: 60 },
      { input: 100, output: 20, reasoning: 60 },
    ],
    [
      'C23 gemini: thoughts stand beside the candidates, and are counted',
      'gemini',
      { promptTokens: 100, completionTokens: 380, reasoningTokens: 300 },
      { input: 100, output: 80, reasoning: 300 },
    ],
    [
      'C23 gemini: audio by modality',
      'gemini',
      { promptTokens: 100, audioInTokens: 30, completionTokens: 80, reasoningTokens: 0, audioOutTokens: 45 },
      { input: 70, audio_in: 30, output: 35, audio_out: 45 },
    ],
  ]
  it.each(cases)('%s; JSON, streams and streams with usage agree', async (_, provider, usage, expected) => {
    told(usage)
    const books = await openBooks({ providers: providers(), routes: { m: `${provider}/counted` } })
    for (const [, more] of ways) expect((await chat(books, ask('m', { ...maxTokens, ...more }))).status).toBe(200)
    const rows = await attemptsOf(books, ways.length)
    rows.forEach((row, at) => {
      expect([ways[at]![0], classesOf(row)]).toEqual([ways[at]![0], classes(expected)])
      expect([row.estimated, row.cost]).toEqual([0, costOf(classes(expected))])
    })
    const { promptTokens = 0, completionTokens = 0 } = usage
    // They partition prompt and output: nothing is counted twice, nothing is left out.
    const requests = books.store.db.prepare('SELECT * FROM requests').all() as StoredRequest[]
    expect(requests.map((row) => [row.tokens_in, row.tokens_out])).toEqual(
      ways.map(() => [promptTokens, completionTokens]),
    )
    expect(await books.reader.verify()).toMatchObject({ ok: true })
  })

  it('C22 without prices of its own the vendor’s list says what each class costs', async () => {
    vendor.script('claude-sonnet-4-5', {
      tokens: 8,
      usage: {
        promptTokens: 1000,
        cachedTokens: 300,
        cacheWriteTokens: 200,
        cacheWrite1hTokens: 150,
        completionTokens: 50,
      },
    })
    const books = await openBooks({ prices: {}, providers: providers(), routes: { m: 'anthropic/claude-sonnet-4-5' } })
    await chat(books, ask('m', maxTokens))
    await chat(books, ask('m', { ...maxTokens, stream: true }))
    // USD per million: prompt 3, read 0.30, written for five minutes 3.75 and for an hour 6, answer 15.
    const cost = 500 * 3000 + 300 * 300 + 50 * 3750 + 150 * 6000 + 50 * 15_000
    expect((await attemptsOf(books, 2)).map((row) => [row.cost, row.price_source !== ''])).toEqual([
      [cost, true],
      [cost, true],
    ])
  })

  it.each([
    [
      'openai',
      {
        promptTokens: 1000,
        cachedTokens: 300,
        cacheWriteTokens: 200,
        audioInTokens: 40,
        completionTokens: 90,
        reasoningTokens: 25,
        audioOutTokens: 30,
      },
    ],
    [
      'anthropic',
      {
        promptTokens: 1000,
        cachedTokens: 300,
        cacheWriteTokens: 200,
        cacheWrite1hTokens: 150,
        completionTokens: 90,
        reasoningTokens: 25,
      },
    ],
    ['gemini', { promptTokens: 1000, cachedTokens: 300, completionTokens: 90, reasoningTokens: 25 }],
  ] as [string, UsageOverride][])(
    'C21 chained behind itself, before %s: both count and charge the same',
    async (provider, usage) => {
      told(usage)
      const inner = await openBooks({ providers: providers(), routes: { counted: `${provider}/counted` } })
      const outer = await openBooks({
        providers: { inner: upstreamAt(inner.url, { apiKey: appKey }) },
        routes: { m: 'inner/counted' },
      })
      const seen: Json[] = []
      for (const [, more] of ways) {
        const { text } = await chat(outer, ask('m', { ...maxTokens, ...more }))
        if (more.stream === undefined) seen.push(JSON.parse(text).usage)
        else seen.push(...eventsOf(text).flatMap((one) => (one.usage ? [one.usage] : [])))
      }
      // The client is told the same, too, where it asked: in the JSON and in one of the two streams.
      expect(seen.map(({ prompt_tokens, completion_tokens }) => [prompt_tokens, completion_tokens])).toEqual([
        [1000, 90],
        [1000, 90],
      ])
      const [far, near] = [await attemptsOf(inner, ways.length), await attemptsOf(outer, ways.length)]
      expect(near.map(classesOf)).toEqual(far.map(classesOf))
      expect(near.map(({ cost, estimated }) => [cost, estimated])).toEqual(far.map(({ cost }) => [cost, 0]))
      expect(new Set(far.map(({ cost }) => cost)).size).toBe(1)
      expect(far[0]!.cost).toBeGreaterThan(0)
    },
  )
})

describe('C24 a price that nobody knows', () => {
  it('C24 is null in the row and the report, counted in a metric and told in a header; never 0', async () => {
    const upstream = await startFakeUpstream(async (_req, res, body) => {
      if (JSON.parse(body.toString()).stream)
        return sendSse(res, [...chunks('one'), usageChunk].map(event).join('') + event('[DONE]'))
      sendJson(res, 200, {
        id: 'x',
        object: 'chat.completion',
        created: 1,
        model: 'unheard-of',
        choices: [{ index: 0, message: { role: 'assistant', content: 'hi' }, finish_reason: 'stop' }],
        usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
      })
    })
    onTestFinished(() => upstream.close())
    const books = await openBooks({
      prices: {},
      providers: { p: upstreamAt(upstream.url) },
      routes: { m: 'p/unheard-of' },
    })
    const json = await chat(books, ask('m'))
    expect(json.headers['x-turnout-cost']).toBe('unknown')
    expect(json.headers['x-turnout-cost-usd']).toBeUndefined()
    await chat(books, ask('m', { stream: true }))
    const rows = await attemptsOf(books, 2)
    expect(rows.map(({ cost, price_source, input, output }) => [cost, price_source, input, output])).toEqual([
      [null, '', 3, 2],
      [null, '', 3, 2],
    ])
    expect(books.store.db.prepare('SELECT cost FROM requests').pluck().all()).toEqual([null, null])
    expect((await books.reader.spend({ by: ['model'] })).lines).toMatchObject([{ requests: 2, unpriced: 2, cost: 0n }])
    const page = (await get(`${books.url}/metrics`)).text
    expect(page).toMatch(/^turnout_unpriced_attempts_total\{target="p\/unheard-of"\} 2$/m)
    expect(page).toMatch(/^turnout_cost_usd_total\{target="p\/unheard-of"\} 0$/m)
  })

  it('C24 a list with a nonsense in it does not replace the last good one: the next start charges by that', {
    timeout: 300_000,
  }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'turnout-prices-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    const vendor = await startSimulator({
      scripts: { 'model-7': { usage: { promptTokens: 10, completionTokens: 4 }, tokens: 4 } },
    })
    onTestFinished(() => vendor.close())
    const build = buildTurnout()
    const config = join(folder, 'turnout.yaml')
    writeFileSync(
      config,
      JSON.stringify({
        server: { port: 0 },
        dataDir: folder,
        providers: { groq: upstreamAt(vendor.url, { kind: 'groq' }) },
        routes: { m: 'groq/model-7' },
      }),
    )
    const list = (more: Json): string => {
      const model = (n: number): Json => ({
        litellm_provider: 'groq',
        mode: 'chat',
        input_cost_per_token: 1e-6 * n,
        output_cost_per_token: 2e-6 * n,
      })
      const models = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`groq/model-${n}`, model(n)]))
      const file = join(folder, 'list.json')
      writeFileSync(file, JSON.stringify({ ...models, ...more }))
      return file
    }
    const refresh = (file: string) => runCli(build, ['prices', 'refresh', file, '--data-dir', folder], folder)
    expect(await refresh(list({}))).toMatchObject({ code: 0 })
    const refused = await refresh(
      list({
        'groq/model-7': { litellm_provider: 'groq', mode: 'chat', input_cost_per_token: -1, output_cost_per_token: 0 },
      }),
    )
    expect(refused.code).toBe(1)
    expect(refused.err + refused.out).toContain('model-7')

    const server = await startServer({ build, config, folder })
    onTestFinished(() => server.kill())
    const { headers, status } = await post(server.url + CHAT, ask('m'))
    // 10 at 7 and 4 at 14 USD per million.
    expect([status, headers['x-turnout-cost-usd']]).toEqual([200, '0.000126'])
  })
})

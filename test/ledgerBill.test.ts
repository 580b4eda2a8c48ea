// The whole way of the money: the sum of the ledger is the sum of its rows is the vendor's bill, over a mixed load.
import { once } from 'node:events'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { formatUsd } from '../src/pricing/decimal.ts'
import type { Call } from '../src/simulator/call.ts'
import { parseId } from '../src/store/ledgerId.ts'
import type { StoredAttempt, StoredRequest } from '../src/store/requestRead.ts'
import { type Exchange, eventsOf, get, post, send } from './support/exchange.ts'
import { upstreamAt } from './support/gateway.ts'
import {
  appKey,
  bearer,
  billOf,
  type LedgerGateway,
  simulatedPrices,
  startLedgerGateway,
} from './support/ledgerGateway.ts'

let books: LedgerGateway

beforeEach(async () => {
  books = await startLedgerGateway(
    {
      routes: {
        down: ['sim/sim-error-503', 'sim/sim-fast'],
        refused: { targets: ['sim/sim-error-429', 'sim/sim-reset', 'sim/sim-cached'] },
        marked: { targets: ['sim/sim-fast'], usageCost: true },
        unpriced: ['sim/unheard-of'],
        garbled: ['sim/sim-garbage-json', 'sim/sim-fast'],
      },
    },
    {
      simulator: {
        scripts: {
          'sim-abort': { tokens: 400, tokensPerSecond: 40 },
          'sim-abort-json': { tokens: 40, firstTokenMs: 30_000 },
          'sim-silent': { usageMode: 'never', tokens: 200 },
        },
      },
    },
  )
})

afterEach(() => books.close())

const ask = (model: string, more: Record<string, unknown> = {}) => ({
  model,
  messages: [{ role: 'user', content: 'Tell me of trains.' }],
  ...more,
})

const chat = (model: string, more: Record<string, unknown> = {}, headers: Record<string, string> = {}) =>
  post(`${books.url}/v1/chat/completions`, ask(model, more), { ...bearer(appKey), ...headers })

/** Goes away once the first piece has come, or for JSON once the vendor has the request. */
async function abort(model: string, stream: boolean): Promise<void> {
  const sent = send('POST', `${books.url}/v1/chat/completions`, ask(model, { stream }), bearer(appKey))
  if (stream) await once(await sent.response, 'data')
  else await books.simulator.waitFor((call) => `sim/${call.model}` === model && call.outcome === 'running')
  sent.request.destroy()
  await sent.done
}

interface Rows {
  requests: StoredRequest[]
  attempts: StoredAttempt[]
}

async function readRows(count: number): Promise<Rows> {
  await books.gateway.settled(count)
  await books.ledger.flush()
  const requests = books.store.db.prepare('SELECT * FROM requests ORDER BY id').all() as StoredRequest[]
  const attempts = books.store.db.prepare('SELECT * FROM attempts ORDER BY id').all() as StoredAttempt[]
  return { requests, attempts }
}

const callsOf = (...models: string[]): Call[] => books.simulator.calls.filter(({ model }) => models.includes(model))
const costOf = (rows: readonly { cost: number | null }[]): bigint =>
  rows.reduce((sum, { cost }) => sum + BigInt(cost ?? 0), 0n)

/** Tokens of attempts in the vendor's own terms. */
function tokensOf(attempts: readonly StoredAttempt[]) {
  const sum = (pick: (row: StoredAttempt) => number) => attempts.reduce((all, row) => all + pick(row), 0)
  return {
    prompt: sum((row) => row.input + row.cache_read + row.cache_write_5m + row.cache_write_1h + row.audio_in),
    cached: sum((row) => row.cache_read),
    completion: sum((row) => row.output + row.reasoning + row.audio_out),
    reasoning: sum((row) => row.reasoning),
  }
}

function billedOf(calls: readonly Call[]) {
  const sum = (pick: (call: Call) => number) => calls.reduce((all, call) => all + pick(call), 0)
  return {
    prompt: sum((call) => call.promptTokens),
    cached: sum((call) => call.cachedTokens),
    completion: sum((call) => call.completionTokens),
    reasoning: sum((call) => call.reasoningTokens),
  }
}

it("sum of the ledger = sum of its rows = the vendor's bill, over JSON, streams, errors, fallbacks and aborts", async () => {
  const exact = [
    'sim-fast',
    'sim-tools',
    'sim-reasoning',
    'sim-cached',
    'sim-usage-always',
    'sim-usage-on-choices',
    'sim-length',
    'sim-crlf',
  ]
  const includeUsage = { stream_options: { include_usage: true } }
  const jobs: (() => Promise<unknown>)[] = []
  for (const model of exact) {
    jobs.push(
      () => chat(`sim/${model}`),
      () => chat(`sim/${model}`, { stream: true }),
      () => chat(`sim/${model}`, { stream: true, ...includeUsage }),
    )
  }
  for (let n = 0; n < 6; n++)
    jobs.push(
      () => chat('down'),
      () => chat('refused', { stream: n % 2 === 0 }),
    )
  // Their tokens are ours to estimate: no usage came, or the client left before it did.
  jobs.push(
    () => chat('sim/sim-silent'),
    () => chat('sim/sim-silent', { stream: true }),
    () => chat('sim/sim-mid-stream-error', { stream: true }),
    () => chat('sim/sim-cut', { stream: true }),
    () => abort('sim/sim-abort', true),
    () => abort('sim/sim-abort', true),
    () => abort('sim/sim-abort-json', false),
    () => chat('sim/sim-error-400'),
    () => chat('no-such-model'),
  )
  // Eight at a time, in an order that mixes the kinds.
  const order = jobs.map((job, at) => ({ job, place: (at * 17) % 53 })).sort((a, b) => a.place - b.place)
  const clients = Array.from({ length: 8 }, async () => {
    for (let next = order.pop(); next; next = order.pop()) await next.job()
  })
  await Promise.all(clients)
  const { requests, attempts } = await readRows(jobs.length)
  expect(requests).toHaveLength(jobs.length)
  // No call of the vendor's without its row, and no row without a call.
  expect(attempts).toHaveLength(books.simulator.calls.length)

  const of = (...models: string[]) => attempts.filter(({ model }) => models.includes(model))
  for (const model of exact) {
    expect([model, tokensOf(of(model))]).toEqual([model, billedOf(callsOf(model))])
    expect([model, costOf(of(model))]).toEqual([model, billOf(callsOf(model))])
    expect(of(model).filter(({ estimated }) => estimated)).toEqual([])
  }
  expect(billedOf(callsOf('sim-cached')).cached).toBeGreaterThan(0)
  expect(billedOf(callsOf('sim-reasoning')).reasoning).toBeGreaterThan(0)

  const guessed = ['sim-silent', 'sim-mid-stream-error', 'sim-cut', 'sim-abort', 'sim-abort-json', 'sim-reset']
  for (const model of guessed)
    expect([model, of(model).map((row) => row.estimated)]).toEqual([model, of(model).map(() => 1)])
  // The vendor refused these: nothing was generated, nothing is owed.
  const free = ['sim-error-503', 'sim-error-429', 'sim-error-400']
  expect([...tokensSum(of(...free)), costOf(of(...free))]).toEqual([0, 0, 0n])
  expect(new Set(attempts.map(({ model }) => model))).toEqual(new Set([...exact, ...guessed, ...free]))

  const total = costOf(attempts)
  expect(total).toBe(billOf(callsOf(...exact)) + costOf(of(...guessed)))
  expect(costOf(requests)).toBe(total)
  for (const by of ['day', 'model', 'key', 'team', 'route', 'provider'] as const) {
    const report = await books.reader.spend({ by: [by] })
    expect([by, report.total.cost, report.total.unpriced]).toEqual([by, total, 0])
    expect([by, report.lines.reduce((sum, { cost }) => sum + cost, 0n)]).toEqual([by, total])
  }
  expect(await books.reader.verify()).toMatchObject({ ok: true, open: 0, cost: total })
  expect(books.ledger.stats).toMatchObject({ kept: 0, lost: 0 })
  const page = (await get(`${books.url}/metrics`)).text
  const metric = [...page.matchAll(/^turnout_cost_usd_total\{target="[^"]+"\} (\S+)$/gm)]
  const dollars = metric.reduce((sum, [, value]) => sum + Number(value), 0)
  expect(dollars).toBeCloseTo(Number(total) / 1e9, 12)
  const fast = new RegExp(
    `^turnout_tokens_total\\{class="output",target="sim/sim-fast"\\} ${tokensOf(of('sim-fast')).completion}$`,
    'm',
  )
  expect(page).toMatch(fast)
})

const tokensSum = (attempts: readonly StoredAttempt[]): number[] => {
  const { prompt, completion } = tokensOf(attempts)
  return [prompt, completion]
}

it("C19 usage on a chunk with choices, or on every chunk: the vendor's number, once, and no estimate beside it", async () => {
  for (const model of ['sim-usage-on-choices', 'sim-usage-always']) {
    await chat(`sim/${model}`, { stream: true })
    await chat(`sim/${model}`, { stream: true, stream_options: { include_usage: true } })
  }
  const { attempts } = await readRows(4)
  expect(attempts.map(({ estimated }) => estimated)).toEqual([0, 0, 0, 0])
  expect(tokensOf(attempts)).toEqual(billedOf(books.simulator.calls))
  expect(costOf(attempts)).toBe(billOf(books.simulator.calls))
})

it('the time that a stream takes is no work of ours: rows have it of documents alone, as log and metrics do', async () => {
  await chat('sim/sim-slow', { max_tokens: 5 })
  await chat('sim/sim-slow', { max_tokens: 5, stream: true })
  const { requests } = await readRows(2)
  const [document, stream] = [0, 1].map((framing) => requests.find((row) => row.stream === framing)!)
  expect(document!.overhead_us).toBeGreaterThan(0)
  expect(document!.overhead_us).toBeLessThan(document!.latency_us! / 2)
  expect(stream!.overhead_us).toBeNull()
  expect(books.gateway.lines.map(({ overheadMs }) => overheadMs === undefined)).toEqual([false, true])
})

it('C21 a gateway behind a gateway counts the same, and both the same as the vendor', async () => {
  const front = await startLedgerGateway({
    providers: { back: upstreamAt(books.url, { apiKey: appKey }) },
    prices: { '*sim-*': simulatedPrices['sim-*'] },
  })
  try {
    const through = (model: string, more = {}) =>
      post(`${front.url}/v1/chat/completions`, ask(`back/sim/${model}`, more), bearer(appKey))
    for (const model of ['sim-fast', 'sim-cached', 'sim-reasoning', 'sim-usage-on-choices']) {
      for (const more of [{}, { stream: true }, { stream: true, stream_options: { include_usage: true } }])
        expect((await through(model, more)).status).toBe(200)
    }
    const behind = (await readRows(12)).attempts
    await front.gateway.settled(12)
    await front.ledger.flush()
    const before = front.store.db.prepare('SELECT * FROM attempts ORDER BY id').all() as StoredAttempt[]
    const billed = billedOf(books.simulator.calls)
    expect([tokensOf(before), tokensOf(behind)]).toEqual([billed, billed])
    expect([costOf(before), costOf(behind)]).toEqual(Array(2).fill(billOf(books.simulator.calls)))
    expect([...before, ...behind].filter(({ estimated }) => estimated)).toEqual([])
  } finally {
    await front.close()
  }
})

it('C26 an aborted stream is billed for about what was delivered, once, and marked as estimated', async () => {
  for (let n = 0; n < 4; n++) await abort('sim/sim-abort', true)
  const { requests, attempts } = await readRows(4)
  await books.simulator.waitFor(({ n, outcome }) => n === 4 && outcome !== 'running')
  const calls = callsOf('sim-abort')
  expect(calls.map(({ outcome }) => outcome)).toEqual(Array(4).fill('aborted'))
  expect(requests.map(({ outcome, status }) => [outcome, status])).toEqual(Array(4).fill(['client_disconnected', 0]))
  attempts.forEach((row, at) => {
    const { promptTokens } = calls[at]!
    expect(row).toMatchObject({ estimated: 1, fault: '' })
    expect(row.output).toBeGreaterThan(0)
    // Far from the 400 tokens that the whole answer would have had.
    expect(row.output).toBeLessThan(200)
    expect(row.input).toBeGreaterThan(promptTokens / 4)
    expect(row.cost).toBe(row.input * 400 + row.output * 1600)
  })
})

it('the log line of a request has the tokens and the cost of all its calls, as its row has', async () => {
  const exchange = await chat('garbled')
  expect(exchange.status).toBe(200)
  const { attempts } = await readRows(1)
  expect(attempts.filter(({ input }) => input > 0).length).toBe(2)
  const { prompt, completion } = tokensOf(attempts)
  expect(books.gateway.lines[0]).toMatchObject({
    inputTokens: prompt,
    outputTokens: completion,
    costNanoUsd: Number(costOf(attempts)),
  })
})

it('an estimate of a stream without usage is near what the vendor counted', async () => {
  await chat('sim/sim-silent', { stream: true })
  const { attempts } = await readRows(1)
  expect(attempts[0]!.estimated).toBe(1)
  expect(attempts[0]!.output / 200).toBeGreaterThan(0.4)
  expect(attempts[0]!.output / 200).toBeLessThan(2.5)
})

describe('the cost in a reply', () => {
  const stored = async (exchange: Exchange, count: number): Promise<StoredRequest> => {
    await readRows(count)
    return (await books.reader.request(parseId(String(exchange.headers['x-request-id']))!))!.request
  }

  it('JSON: x-turnout-cost-usd is the exact cost of all attempts, and nothing is in the body', async () => {
    const exchange = await chat('down')
    const { cost } = await stored(exchange, 1)
    expect(exchange.headers['x-turnout-cost-usd']).toBe(formatUsd(cost!))
    expect(exchange.headers['x-turnout-cost-usd']).toBe(formatUsd(billOf(callsOf('sim-fast'))))
    expect(exchange.headers['x-turnout-cost']).toBeUndefined()
    expect(JSON.parse(exchange.text).usage.cost).toBeUndefined()
  })

  it('C24 an unknown price: x-turnout-cost is `unknown`, the usage says null, the row is NULL', async () => {
    const exchange = await chat('unpriced', {}, { 'x-turnout-usage': 'cost' })
    expect(exchange.headers['x-turnout-cost']).toBe('unknown')
    expect(exchange.headers['x-turnout-cost-usd']).toBeUndefined()
    expect(JSON.parse(exchange.text).usage).toMatchObject({
      cost: null,
      cost_details: { currency: 'USD', attempts: 1 },
    })
    expect((await stored(exchange, 1)).cost).toBeNull()
    const page = (await get(`${books.url}/metrics`)).text
    expect(page).toMatch(/^turnout_unpriced_attempts_total\{target="sim\/unheard-of"\} 1$/m)
    expect(page).toMatch(/^turnout_cost_usd_total\{target="sim\/unheard-of"\} 0$/m)
  })

  // 508: a gateway behind this one found itself in a circle, and asked nobody.
  it.each([
    ['C24 a call that was refused costs nothing, also at an unknown price', 503],
    ['C24 nor does one that went in a circle', 508],
  ])('%s', async (_, status) => {
    books.simulator.script('unheard-of', { fault: { kind: 'status', status } })
    const exchange = await chat('unpriced')
    expect(exchange.status).toBe(status)
    expect(await stored(exchange, 1)).toMatchObject({ cost: 0, outcome: 'failed', estimated: 0 })
  })

  it.each([
    ['x-turnout-usage: cost', 'sim/sim-fast', { 'x-turnout-usage': 'cost' }],
    ['usageCost of the route', 'marked', {}],
  ])('%s puts it into the usage of JSON and of streams', async (_, model, headers) => {
    const json = await chat(model, {}, headers)
    const usage = JSON.parse(json.text).usage
    const row = await stored(json, 1)
    expect(json.text).toContain(`"cost":${formatUsd(row.cost!)}`)
    expect(usage.cost_details).toMatchObject({ currency: 'USD', price_source: 'config', attempts: 1 })

    const stream = await chat(model, { stream: true, stream_options: { include_usage: true } }, headers)
    const events = eventsOf(stream.text)
    const streamed = await stored(stream, 2)
    expect(events.filter((event) => event.usage)).toHaveLength(1)
    expect(events.at(-1).usage.cost).toBe(Number(formatUsd(streamed.cost!)))
    expect(stream.text.trimEnd().endsWith('data: [DONE]')).toBe(true)
    expect(stream.headers['x-turnout-cost-usd']).toBeUndefined()
  })

  it('the header asks for the usage of a stream too; a route does not send chunks that a client did not ask for', async () => {
    const asked = await chat('sim/sim-fast', { stream: true }, { 'x-turnout-usage': 'cost' })
    const { cost } = await stored(asked, 1)
    expect(eventsOf(asked.text).at(-1)).toMatchObject({ choices: [], usage: { cost: Number(formatUsd(cost!)) } })
    expect((await chat('marked', { stream: true })).text).not.toMatch(/usage|cost/)
  })

  it('C20 without being asked a stream holds neither usage nor cost, and is on record all the same', async () => {
    const stream = await chat('sim/sim-fast', { stream: true })
    expect(stream.text).not.toMatch(/usage|cost/)
    expect((await stored(stream, 1)).cost).toBe(Number(billOf(callsOf('sim-fast'))))
  })
})

// What a hit and a shared call take of limits and of budgets: a request each, and no money but that of whoever pays.
import { expect, it, onTestFinished } from 'vitest'
import { markOf, startCacheGateway } from './support/cacheGateway.ts'
import { ask, CHAT } from './support/chatBodies.ts'
import { type Exchange, get, post } from './support/exchange.ts'
import { appKey, bearer, billOf, type LedgerGateway, otherKey, startLedgerGateway } from './support/ledgerGateway.ts'
import { makeClock } from './support/limitClock.ts'

type Json = Record<string, unknown>

/** Longest answer that each request asks for: what it holds of a budget is little more than this costs. */
const MOST = 1000
/** Room for one of them, before it is paid for and not after. */
const usd = '0.00166'
/** Room for one, also with what a stream adds to its body, and not for two. */
const wider = '0.002'

async function open(config: Json): Promise<LedgerGateway> {
  const books = await startLedgerGateway(
    { routes: { m: { targets: ['sim/sim-held'], cache: true } }, ...config },
    { simulator: { scripts: { 'sim-held': { tokens: 25, headersDelayMs: 200 } } } },
  )
  onTestFinished(() => books.close())
  return books
}

const chat = (books: LedgerGateway, more: Json = {}, key = appKey): Promise<Exchange> =>
  post(books.url + CHAT, { ...ask('m'), temperature: 0, max_tokens: MOST, ...more }, bearer(key))

it('a hit is a request to limits of requests, whatever it saves', async () => {
  const clock = makeClock()
  const limited = await startCacheGateway(true, undefined, { limits: { all: { requests: 3 } } }, { clock })
  const marks: string[] = []
  for (let n = 0; n < 3; n++) marks.push(markOf(await limited.chat()))
  expect(marks).toEqual(['miss', 'hit', 'hit'])
  const refused = await limited.chat()
  expect([refused.status, JSON.parse(refused.text).error.code]).toEqual([429, 'rate_limit_exceeded'])
  expect(limited.upstream.requests).toHaveLength(1)
})

it('a hit takes no tokens of limits: what it holds for a moment comes back whole', async () => {
  const clock = makeClock()
  const tokens = 5000
  const it = await startCacheGateway(true, undefined, { limits: { all: { tokens } } }, { clock })
  const left = async (): Promise<number> => {
    const page = JSON.parse((await get(`${it.gateway.url}/v1/limits?model=m`)).text)
    return page.limits.find(({ kind }: { kind: string }) => kind === 'tokens').remaining
  }
  await it.chat({ max_tokens: MOST })
  const afterFirst = await left()
  expect(afterFirst).toBeLessThan(tokens)
  for (let n = 0; n < 20; n++) expect(markOf(await it.chat({ max_tokens: MOST }))).toBe('hit')
  await it.gateway.settled(21)
  expect(await left()).toBe(afterFirst)
})

it('a hit neither costs nor holds money: it is given when the budget is used up', async () => {
  const books = await open({ budgets: { key: { per: 'key', usd, window: 'lifetime' } } })
  expect(markOf(await chat(books))).toBe('miss')
  const spent = Number(billOf(books.simulator.calls))
  expect((await chat(books, { seed: 2 })).status).toBe(402)
  for (const stream of [false, true]) {
    const hit = await chat(books, { stream })
    expect([hit.status, hit.headers['x-turnout-cache']]).toEqual([200, expect.stringMatching(/^hit/)])
  }
  await books.gateway.settled(4)
  expect(books.gateway.turnout.budgets.utilisation()).toMatchObject([{ spent, reserved: 0 }])
  // Whoever has money left pays for its own.
  expect(markOf(await chat(books, {}, otherKey))).toBe('miss')
})

it.each([false, true])(
  'of a hundred that share a call one pays, and holds money for one (stream: %s)',
  async (stream) => {
    const books = await open({ budgets: { all: { usd: wider, window: 'lifetime' } } })
    const asked = Array.from({ length: 100 }, () => chat(books, { stream }))
    const held = await firstReservation(books)
    const replies = await Promise.all(asked)
    expect(replies.map(({ status }) => status)).toEqual(Array(100).fill(200))
    expect(held).toBeGreaterThan(MOST * 1600)
    expect(held).toBeLessThan(1.1 * MOST * 1600)
    expect(books.simulator.calls).toHaveLength(1)
    await books.gateway.settled(100)
    const spent = Number(billOf(books.simulator.calls))
    expect(books.gateway.turnout.budgets.utilisation()).toMatchObject([{ spent, reserved: 0 }])
    expect(replies.filter(({ headers }) => String(headers['x-turnout-cache']).startsWith('miss'))).toHaveLength(1)
  },
)

it('where there is no money for the call, all who wait for it are told so, and nobody is asked', async () => {
  const books = await open({ budgets: { all: { usd: '0.0001', window: 'lifetime' } } })
  const replies = await Promise.all(Array.from({ length: 30 }, (_, n) => chat(books, { stream: n % 2 === 1 })))
  expect(replies.map(({ status }) => status)).toEqual(Array(30).fill(402))
  expect(books.simulator.calls).toEqual([])
  await books.gateway.settled(30)
  expect(books.gateway.turnout.budgets.utilisation()).toMatchObject([{ spent: 0, reserved: 0 }])
})

/** What is held once something is. */
async function firstReservation({ gateway }: LedgerGateway): Promise<number> {
  for (;;) {
    const [state] = gateway.turnout.budgets.utilisation()
    if (state && state.reserved > 0) return state.reserved
    await new Promise((resolve) => setImmediate(resolve))
  }
}

it('what the cache fetches anew is paid on its own route or not at all, where a budget names a cheaper one', async () => {
  const cache = { ttl: '100ms', staleWhileRevalidate: '1h' }
  const books = await open({
    routes: {
      m: { targets: ['sim/sim-held'], cache, budgets: { usd, window: 'lifetime', onExhausted: 'route:cheap' } },
      cheap: ['sim/sim-fast'],
    },
  })
  expect(markOf(await chat(books))).toBe('miss')
  await new Promise((resolve) => setTimeout(resolve, 110))
  expect(markOf(await chat(books))).toBe('stale; reason=revalidating')
  expect((await books.gateway.settled(3)).filter(({ cache: status }) => status === 'refresh')).toMatchObject([
    { route: 'm', outcome: 'refused', refusal: 'budget_exceeded', attempts: 0 },
  ])
  expect(books.simulator.calls).toHaveLength(1)
  const degraded = await chat(books, { seed: 1 })
  expect(degraded.headers['x-turnout-degraded-from']).toBe('m')
})

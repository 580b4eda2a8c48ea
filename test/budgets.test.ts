// Budgets on the journey: what is held, what is booked, what is refused, and which other way a request may take.
import { describe, expect, it, onTestFinished } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { createBudgetKeeping } from '../src/gateway/budgetKeeping.ts'
import { listBudgets } from '../src/http/admin/budgets.ts'
import type { AdminDeps } from '../src/http/admin/route.ts'
import { formatUsd } from '../src/pricing/decimal.ts'
import type { BudgetState } from '../src/state/budgets/budget.ts'
import { clearOf, hour } from './support/calendar.ts'
import { ask, CHAT } from './support/chatBodies.ts'
import { type Exchange, get, post } from './support/exchange.ts'
import { upstreamAt } from './support/gateway.ts'
import {
  adminKey,
  appKey,
  bearer,
  billOf,
  type LedgerGateway,
  otherKey,
  startLedgerGateway,
} from './support/ledgerGateway.ts'

type Json = Record<string, unknown>

async function open(config: Json, options: Parameters<typeof startLedgerGateway>[1] = {}): Promise<LedgerGateway> {
  const books = await startLedgerGateway(config, options)
  onTestFinished(() => books.close())
  return books
}

const call = (
  books: LedgerGateway,
  body: Json = {},
  headers: Record<string, string> = bearer(appKey),
): Promise<Exchange> => post(books.url + CHAT, { ...ask('sim/sim-tokens-10'), max_tokens: 20, ...body }, headers)

const errorOf = (reply: Exchange): Json => (JSON.parse(reply.text) as { error: Json }).error

const stateOf = (books: LedgerGateway, name: string): BudgetState[] =>
  books.gateway.turnout.budgets.utilisation().filter((state) => state.name === name)

/** What the metric of them says: by action and scope, how often. */
async function actionsOf({ gateway }: LedgerGateway): Promise<Record<string, number>> {
  const { body } = await gateway.metrics.expose()
  const found = body.matchAll(/^turnout_budget_actions_total\{scope="(\w+)",action="(\w+)"\} ([1-9]\d*)$/gm)
  return Object.fromEntries([...found].map(([, scope, action, times]) => [`${action} ${scope}`, Number(times)]))
}

/** What the request may cost at most by the simulated prices: every byte a token, and the cap. */
const worstOf = (body: Json, maxTokens: number): number =>
  Buffer.byteLength(JSON.stringify(body)) * 400 + maxTokens * 1600

describe('what is held and booked', () => {
  it('holds the worst case while a call runs and books what it cost when it has ended', async () => {
    const books = await open(
      { budgets: { all: { usd: 1 } } },
      { simulator: { scripts: { 'sim-waits': { headersDelayMs: 2_000, tokens: 10 } } } },
    )
    const body = { ...ask('sim/sim-waits'), max_tokens: 20 }
    const running = post(books.url + CHAT, body, bearer(appKey))
    await books.simulator.waitFor(({ model }) => model === 'sim-waits')
    const [held] = stateOf(books, 'all')
    const sent = { ...body, model: 'sim-waits' }
    expect(held).toMatchObject({ spent: 0, hard: true, limit: 1_000_000_000, scope: 'everything', entity: '' })
    expect(held!.reserved).toBeGreaterThanOrEqual(worstOf(sent, 20))
    expect(held!.reserved).toBeLessThanOrEqual(worstOf(body, 20))
    expect((await running).status).toBe(200)
    const cost = Number(billOf(books.simulator.calls))
    expect(stateOf(books, 'all')).toMatchObject([{ spent: cost, reserved: 0 }])
    expect((await running).headers['x-turnout-cost-usd']).toBe((cost / 1e9).toString())
  })

  it('counts a budget for each of those that it counts by', async () => {
    const books = await open({
      budgets: {
        'by-key': { per: 'key', usd: 1 },
        'by-team-and-route': { per: ['team', 'route'], usd: 1 },
        'by-target': { per: 'target', usd: 1 },
        'only-data': { only: { team: 'data' }, usd: 1 },
      },
      routes: { chat: { targets: ['sim/sim-tokens-10'], budgets: { usd: 2 } } },
      teams: { shop: { budgets: { usd: 3 } } },
    })
    await call(books, { model: 'chat' })
    await call(books, { model: 'chat' })
    await call(books, { model: 'chat' }, bearer(otherKey))
    const each = Number(billOf(books.simulator.calls)) / 3
    const found = Object.fromEntries(
      books.gateway.turnout.budgets.utilisation().map(({ name, entity, spent }) => [`${name}: ${entity}`, spent]),
    )
    expect(found).toEqual({
      'by-key: web': each * 2,
      'by-key: batch': each,
      'by-team-and-route: shop/chat': each * 2,
      'by-team-and-route: data/chat': each,
      'by-target: sim/sim-tokens-10': each * 3,
      'only-data: data': each,
      'route chat: chat': each * 3,
      'team shop: shop': each * 2,
    })
  })

  it('books all that a call has cost, and counts that it was more than was held for it', async () => {
    const books = await open(
      { budgets: { all: { usd: 1 }, each: { per: 'key', usd: 1 } } },
      { simulator: { scripts: { 'sim-tokens-10': { tokens: 10, usage: { completionTokens: 5_000 } } } } },
    )
    expect((await call(books)).status).toBe(200)
    expect(stateOf(books, 'all')).toMatchObject([{ spent: Number(billOf(books.simulator.calls)), reserved: 0 }])
    expect(await actionsOf(books)).toEqual({ 'overrun everything': 1, 'overrun key': 1 })
  })

  it('gives back what failed calls held, and books what they cost', async () => {
    const books = await open({
      budgets: { all: { usd: 1 } },
      routes: { chat: { targets: ['sim/sim-error-503', 'sim/sim-cut', 'sim/sim-tokens-10'] } },
    })
    expect((await call(books, { model: 'chat' })).status).toBe(200)
    const [state] = stateOf(books, 'all')
    const { cost } = books.store.db.prepare('SELECT sum(cost) AS cost FROM attempt').get() as { cost: number }
    expect(state).toMatchObject({ spent: cost, reserved: 0 })
  })

  it('says what soft budgets would have refused, and refuses nothing', async () => {
    const books = await open({ budgets: { soft: { usd: '0.000001', hard: false } } })
    const reply = await call(books)
    expect(reply.status).toBe(200)
    expect(reply.headers['x-turnout-budget-exceeded']).toBe('soft')
    expect(stateOf(books, 'soft')[0]!.spent).toBeGreaterThan(1_000)
    const told = books.gateway.notes.filter((note) => JSON.stringify(note).includes('"budget":"soft"'))
    expect(told).toHaveLength(1)
  })

  it('costs nothing where no budget is configured', async () => {
    const books = await open({})
    const reply = await call(books)
    expect(reply.status).toBe(200)
    expect(books.gateway.turnout.budgets.size).toEqual({ budgets: 0, accounts: 0, reserved: 0 })
  })
})

describe('what is refused', () => {
  it('says whose budget has no room, what is spent of it and when it resets', async () => {
    const books = await open({ budgets: { 'web-daily': { per: 'key', usd: '0.0001', window: 'day' } } })
    const replies: Exchange[] = []
    while (replies.at(-1)?.status !== 402 && replies.length < 10) replies.push(await call(books))
    const refused = replies.at(-1)!
    expect(refused.status).toBe(402)
    expect(refused.headers['x-should-retry']).toBe('false')
    expect(refused.headers['x-turnout-error']).toBe('budget_exceeded')
    const error = errorOf(refused) as { code: string; message: string; metadata: Json }
    const spent = Number(billOf(books.simulator.calls)) / 1e9
    const midnight = new Date()
    midnight.setUTCHours(24, 0, 0, 0)
    expect(error.code).toBe('budget_exceeded')
    expect(error.metadata).toMatchObject({
      budget: 'web-daily',
      scope: 'key',
      reason: 'exhausted',
      limit_usd: '0.0001',
      spent_usd: String(spent),
      reserved_usd: '0',
      window: 'day',
      reset: midnight.toISOString(),
    })
    expect(error.message).toContain(`It resets at ${midnight.toISOString()}.`)
    // Nobody was asked for what was refused.
    expect(books.simulator.calls).toHaveLength(replies.length - 1)
    expect((await call(books, {}, bearer(otherKey))).status).toBe(200)
    const { body } = await books.gateway.metrics.expose()
    expect(body).toContain('turnout_budget_actions_total{scope="key",action="refused"} 1')
    expect(body).toContain('turnout_budget_limit_usd{budget="web-daily"} 0.0001')
  })

  it('is that of a team which has the only budget, and nothing of others', async () => {
    const books = await open({ teams: { shop: { budgets: { usd: '0.0001' } } } })
    const tooLong = { max_tokens: 1_000_000 }
    expect(errorOf(await call(books, tooLong)).metadata).toMatchObject({ budget: 'team shop', reason: 'too_large' })
    expect((await call(books, tooLong, bearer(otherKey))).status).toBe(200)
  })

  it('says that a call would not fit an untouched budget', async () => {
    const books = await open({ budgets: { all: { usd: '0.0001' } } })
    const error = errorOf(await call(books, { max_tokens: 1_000_000 }))
    expect(error.metadata).toMatchObject({ reason: 'too_large', reset: null, spent_usd: '0' })
  })

  it('refuses what has no known bound, unless it is told to warn', async () => {
    const config = { directModels: true, budgets: { all: { usd: 1 } } }
    const strict = await open(config)
    const error = errorOf(await call(strict, { model: 'sim/no-such-price' }))
    expect(error).toMatchObject({ code: 'budget_exceeded', metadata: { reason: 'unknown_price', needed_usd: null } })
    // A search at the vendor is billed by the call.
    const searching = await call(strict, { web_search_options: {} })
    expect(errorOf(searching)).toMatchObject({ metadata: { reason: 'unknown_price' } })
    expect(strict.simulator.calls).toHaveLength(0)

    const lenient = await open({ ...config, budgets: { all: { usd: 1, onUnknownPrice: 'warn' } } })
    const reply = await call(lenient, { model: 'sim/no-such-price' })
    expect(reply.status).toBe(200)
    expect(reply.headers['x-turnout-budget-unbounded']).toBe('true')
  })

  it.each(['refuse', 'warn'])(
    'says of a cap that no number holds that it is too large, not that its price is unknown (%s)',
    async (onUnknownPrice) => {
      const books = await open({
        budgets: { all: { usd: 9_000_000, onUnknownPrice }, watched: { usd: 1, hard: false } },
      })
      for (const body of [
        { max_tokens: 1e20 },
        { max_tokens: 1e15 },
        { max_tokens: Number.MAX_SAFE_INTEGER + 2 },
        { n: 1e20 },
      ]) {
        const reply = await call(books, body)
        expect(reply.status, JSON.stringify(body)).toBe(402)
        const { message, metadata } = errorOf(reply)
        expect(metadata).toMatchObject({ reason: 'too_large', needed_usd: null, reserved_usd: '0' })
        expect(message).toBe(
          "The budget 'all' of all requests is $9000000.0000, and this request may cost more than any budget can be: ask for a shorter answer with a cap on its tokens.",
        )
      }
      expect(books.simulator.calls).toHaveLength(0)
      expect((await call(books)).status).toBe(200)
    },
  )

  it('lets such a cap pass where only a soft budget counts it, which then holds nothing', async () => {
    const books = await open({ budgets: { watched: { usd: 1, hard: false } } })
    const reply = await call(books, { max_tokens: 1e20 })
    // The vendor has its own opinion of it.
    expect([reply.status, reply.headers['x-turnout-attempts'], books.simulator.calls.length]).toEqual([400, '1', 1])
    expect(reply.headers['x-turnout-budget-unbounded']).toBe('true')
    expect(stateOf(books, 'watched')[0]).toMatchObject({ reserved: 0, spent: 0 })
  })

  it('counts forced parameters and the number of answers', async () => {
    const books = await open({
      budgets: { all: { usd: '0.0005' } },
      targets: { forced: { provider: 'sim', model: 'sim-fast', params: { max_tokens: 4_000 } } },
      routes: { forced: { targets: ['forced'] } },
    })
    expect((await call(books, { model: 'sim/sim-fast', max_tokens: 100 })).status).toBe(200)
    expect((await call(books, { model: 'forced', max_tokens: 100 })).status).toBe(402)
    expect((await call(books, { model: 'sim/sim-fast', max_tokens: 100, n: 10 })).status).toBe(402)
    expect((await call(books, { model: 'sim/sim-fast', max_tokens: 10, max_completion_tokens: 4_000 })).status).toBe(
      402,
    )
  })
})

describe('other ways', () => {
  const dear = { 'sim-dear*': { input: 400, output: 1600 }, 'sim-*': { input: 0.4, cacheRead: 0.1, output: 1.6 } }

  it('goes on to the next target where one is too dear', async () => {
    const books = await open({
      prices: dear,
      budgets: { all: { usd: '0.01' } },
      routes: { chat: { targets: ['sim/sim-dear', 'sim/sim-tokens-10'] } },
    })
    const reply = await call(books, { model: 'chat' })
    expect(reply.status).toBe(200)
    expect(reply.headers['x-turnout-target']).toBe('sim/sim-tokens-10')
    expect(reply.headers['x-turnout-attempts']).toBe('1')
  })

  const routes = {
    best: { targets: ['sim/sim-dear'], budgets: { usd: '0.01', onExhausted: 'route:good' } },
    good: { targets: ['sim/sim-dear-too'], budgets: { usd: '0.01', onExhausted: 'route:plain' } },
    plain: { targets: ['sim/sim-tokens-10'] },
    circle: { targets: ['sim/sim-dear'], budgets: { usd: '0.01', onExhausted: 'route:back' } },
    back: { targets: ['sim/sim-dear'], budgets: { usd: '0.01', onExhausted: 'route:circle' } },
  }

  it('takes the route that a budget names in its place, step by step', async () => {
    const books = await open({ prices: dear, routes })
    const reply = await call(books, { model: 'best' })
    expect(reply.status).toBe(200)
    expect(reply.headers['x-turnout-degraded-from']).toBe('best')
    expect(reply.headers['x-turnout-target']).toBe('sim/sim-tokens-10')
    expect(books.gateway.lines.at(-1)).toMatchObject({ route: 'plain', model: 'best' })
    expect((await call(books, { model: 'good', stream: true })).status).toBe(200)
    const { body } = await books.gateway.metrics.expose()
    expect(body).toContain('turnout_budget_actions_total{scope="route",action="degraded"} 3')
    expect(body).not.toMatch(/action="refused"\} [1-9]/)
    // The route that answers asked its first target.
    expect(body).not.toMatch(/turnout_fallbacks_total\{.*\} [1-9]/)
  })

  it('takes it where the first target has failed and the second is too dear: who answers there is no fallback either', async () => {
    const books = await open(
      {
        prices: dear,
        routes: {
          best: { targets: ['sim/sim-ill', 'sim/sim-dear'], budgets: { usd: '0.01', onExhausted: 'route:plain' } },
          plain: { targets: ['sim/sim-tokens-10'] },
          shut: { targets: ['sim/sim-ill', 'sim/sim-dear'], budgets: { usd: '0.01', onExhausted: 'route:second' } },
          second: { targets: ['sim/sim-off', 'sim/sim-tokens-10'] },
        },
      },
      { simulator: { scripts: { 'sim-ill': { fault: { kind: 'status', status: 503 } } } } },
    )
    const reply = await call(books, { model: 'best' })
    expect([reply.status, reply.headers['x-turnout-degraded-from']]).toEqual([200, 'best'])
    await books.ledger.flush()
    const attempts = books.store.db.prepare('SELECT reason FROM attempts ORDER BY id').pluck().all()
    expect(attempts).toEqual(['first', 'first'])
    const before = await books.gateway.metrics.expose()
    expect(before.body).not.toMatch(/turnout_fallback(s|_requests)_total\{.*\} [1-9]/)
    // One behind a breaker is one, there too.
    books.gateway.turnout.health.disable('sim/sim-off', 'test')
    expect((await call(books, { model: 'shut' })).status).toBe(200)
    const { body } = await books.gateway.metrics.expose()
    expect(body.match(/^turnout_fallbacks_total\{.*\} [1-9]/gm)).toEqual([
      expect.stringContaining('{reason="breaker_open",route="second",target="sim/sim-tokens-10"} 1'),
    ])
  })

  it('takes it without the further models of a client, which are routes of ours and no matter of the vendor', async () => {
    const books = await open(
      {
        prices: dear,
        keys: [
          { name: 'app', key: appKey },
          { name: 'narrow', key: otherKey, models: ['sim/sim-dear', 'sim/sim-dear-too', 'sim/sim-tokens-10'] },
        ],
        budgets: { all: { usd: 1 } },
        routes: { ...routes, best: { ...routes.best, clientModels: true } },
      },
      { simulator: { keepBodies: true } },
    )
    for (const key of [appKey, otherKey]) {
      const reply = await call(books, { model: 'best', models: ['good'] }, bearer(key))
      expect([reply.status, reply.headers['x-turnout-target']]).toEqual([200, 'sim/sim-tokens-10'])
      expect(JSON.parse(books.simulator.calls.at(-1)!.body!.toString())).not.toHaveProperty('models')
    }
  })

  it('is refused for want of money where the cheaper route does not take the models that a client names', async () => {
    const books = await open({ prices: dear, routes: { ...routes, good: { ...routes.good, clientModels: true } } })
    for (const models of [['nobody'], 'plain']) {
      const reply = await call(books, { model: 'best', models })
      expect([reply.status, reply.headers['x-turnout-degraded-from']]).toEqual([402, undefined])
      expect(books.gateway.lines.at(-1)).toMatchObject({ route: 'best' })
    }
  })

  it('does not run in circles', async () => {
    const books = await open({ prices: dear, routes })
    const reply = await call(books, { model: 'circle' })
    expect(reply.status).toBe(402)
    expect(errorOf(reply).metadata).toMatchObject({ budget: 'route back' })
  })

  it('takes no route that the key may not ask for', async () => {
    const books = await open({ prices: dear, routes })
    const { secret } = await books.keyring.create({ name: 'limited', routes: ['best'], disabled: false })
    const reply = await call(books, { model: 'best' }, bearer(secret))
    expect(reply.status).toBe(402)
    expect(errorOf(reply).metadata).toMatchObject({ budget: 'route best' })
  })

  it('takes no route of which the key may use no model', async () => {
    const books = await open({ prices: dear, routes })
    const { secret } = await books.keyring.create({ name: 'limited', models: ['sim/sim-dear*'], disabled: false })
    const reply = await call(books, { model: 'good' }, bearer(secret))
    expect([reply.status, reply.headers['x-turnout-degraded-from']]).toEqual([402, undefined])
    expect(errorOf(reply).metadata).toMatchObject({ budget: 'route good' })
    expect(books.gateway.lines.at(-1)).toMatchObject({ route: 'good' })
    // The step before it is taken, and says what it costs there.
    expect(errorOf(await call(books, { model: 'best' }, bearer(secret))).metadata).toMatchObject({
      budget: 'route good',
    })
  })

  it('caps an answer without a cap so that it fits the rest, in the words of each vendor', async () => {
    const books = await open(
      // On the target that is first, also where the next would have room for a whole answer.
      {
        budgets: { all: { usd: '0.001', fit: true } },
        routes: { chat: ['sim/sim-endless', 'sim/sim-free'] },
        prices: { 'sim-free': { input: 0, output: 0 }, 'sim-*': { input: 0.4, output: 1.6 } },
      },
      { simulator: { keepBodies: true, scripts: { 'sim-endless': { tokens: 5_000 } } } },
    )
    const reply = await call(books, { model: 'chat', max_tokens: undefined })
    const cap = Number(reply.headers['x-turnout-max-tokens'])
    expect([reply.status, reply.headers['x-turnout-target']]).toEqual([200, 'sim/sim-endless'])
    expect(cap).toBeGreaterThan(100)
    expect(JSON.parse(String(books.simulator.calls[0]!.body))).toMatchObject({ max_completion_tokens: cap })
    const usage = (JSON.parse(reply.text) as { usage: { completion_tokens: number } }).usage
    expect(usage.completion_tokens).toBeLessThanOrEqual(cap)
    const [state] = stateOf(books, 'all')
    expect(state!.spent).toBeLessThanOrEqual(state!.limit)
    // A cap of the client's own is its own.
    const capped = await call(books, { model: 'chat', max_tokens: 100_000 })
    expect([capped.status, capped.headers['x-turnout-target']]).toEqual([200, 'sim/sim-free'])
    const alone = { 'x-turnout-fallback': 'off', ...bearer(appKey) }
    expect((await call(books, { model: 'chat', max_tokens: 100_000 }, alone)).status).toBe(402)
    expect(await actionsOf(books)).toEqual({ 'fitted everything': 1, 'refused everything': 1 })
  })

  it.each<[string, Json, Json, number]>([
    ['has no room for all of it', {}, { usd: '0.0015' }, 402],
    ['has room', {}, { usd: 1 }, 200],
    ['is soft', { maxOutput: undefined }, { usd: 1, hard: false }, 200],
    ['takes no unknown price', { maxOutput: undefined }, { usd: 1 }, 402],
    ['warns of an unknown price', { maxOutput: undefined }, { usd: 1, onUnknownPrice: 'warn' }, 200],
  ])('asks a budget that wants no answer cut, too: one that %s', async (_, price, whole, status) => {
    const books = await open({
      prices: { 'sim-tokens-10': { input: 0.4, output: 1.6, maxOutput: 1000, ...price } },
      budgets: { short: { usd: '0.001', fit: true }, whole },
    })
    const reply = await call(books, { max_tokens: undefined })
    expect([reply.status, reply.headers['x-turnout-max-tokens'] !== undefined]).toEqual([status, status === 200])
  })

  it('caps an answer that may be of any length no higher than most models take', async () => {
    const prices = { 'sim-tokens-10': { input: 0.4, output: 1.6 } }
    const books = await open({ prices, budgets: { all: { usd: 1, fit: true } } })
    const reply = await call(books, { max_tokens: undefined })
    expect([reply.status, reply.headers['x-turnout-max-tokens']]).toEqual([200, '8192'])
  })

  it('holds what a cap of ours adds to the body, too', async () => {
    const books = await open(
      { budgets: { all: { usd: '0.001', fit: true } } },
      { simulator: { keepBodies: true, scripts: { 'sim-waits': { headersDelayMs: 2_000, tokens: 10 } } } },
    )
    const running = call(books, { ...ask('sim/sim-waits'), max_tokens: undefined })
    const sent = await books.simulator.waitFor(({ model }) => model === 'sim-waits')
    const cap = (JSON.parse(String(sent.body)) as { max_completion_tokens: number }).max_completion_tokens
    const [held] = stateOf(books, 'all')
    expect(held!.reserved).toBeGreaterThanOrEqual(Buffer.byteLength(String(sent.body)) * 400 + cap * 1600)
    expect(held!.reserved).toBeLessThanOrEqual(held!.limit)
    expect((await running).status).toBe(200)
  })
})

describe('alerts on budgets', () => {
  it('fire when a share of the limit is reached', async () => {
    const budgets = { all: { usd: '0.0002' } }
    const books = await open({ budgets, alerts: { near: { kind: 'budget', at: [50], severity: 'critical' } } })
    const firing = async (): Promise<string | undefined> =>
      /turnout_alerts_firing\{alert="near",severity="critical"\} (\d)/.exec(
        (await books.gateway.metrics.expose()).body,
      )?.[1]
    await call(books)
    expect(await firing()).toBe('0')
    while (stateOf(books, 'all')[0]!.spent < 100_000) expect((await call(books)).status).toBe(200)
    expect(await firing()).toBe('1')
  })
})

describe('configurations come and go', () => {
  const swap = (books: LedgerGateway, config: Json): void => {
    const document = {
      providers: { sim: upstreamAt(books.simulator.url) },
      prices: { 'sim-*': { input: 0.4, cacheRead: 0.1, output: 1.6 } },
      directModels: true,
      keys: [{ name: 'web', key: appKey, team: 'shop' }],
      ...config,
    }
    const env = {}
    books.gateway.turnout.swap(parseConfig(JSON.stringify(document), { env, version: 2 }).snapshot)
  }

  it('keeps what was spent, and lets a raised limit hold at once', async () => {
    const books = await open({ budgets: { all: { usd: '0.0001' } } })
    while ((await call(books)).status === 200);
    const [before] = stateOf(books, 'all')
    swap(books, { budgets: { all: { usd: '0.0002', onExhausted: 'refuse' } } })
    expect(stateOf(books, 'all')).toEqual([{ ...before, limit: 200_000 }])
    expect((await call(books)).status).toBe(200)
  })

  it('tells a caller and the operator nothing of a new budget before its past is known', async () => {
    await clearOf(hour, 60_000)
    const books = await open({})
    for (let i = 0; i < 3; i++) expect((await call(books)).status).toBe(200)
    const spent = { spent_usd: formatUsd(Number(billOf(books.simulator.calls))) }
    const ask = async (path: string, key: string): Promise<Json> =>
      JSON.parse((await get(books.url + path, bearer(key))).text) as Json
    const keys = [
      { name: 'ops', key: adminKey, role: 'admin' },
      { name: 'web', key: appKey },
    ]
    swap(books, { keys, budgets: { late: { per: 'key', usd: 1, window: 'hour' } } })
    expect(await ask('/v1/limits', appKey)).toMatchObject({ budgets: [{ budget: 'late', ...spent }] })

    const { key, secret } = await books.keyring.create({ name: 'app', role: 'app', disabled: false })
    expect((await call(books, {}, bearer(secret))).status).toBe(200)
    const { spent: one } = stateOf(books, 'late').find(({ entity }) => entity === 'app')!
    await books.keyring.change(key.id, { budgets: [{ usd: '0.01' }] })
    const seen = { budget: 'key app', spent_usd: formatUsd(one) }
    expect(await ask('/admin/budgets?budget=key%20app', adminKey)).toMatchObject({ data: [seen] })
  })

  it('lets requests go between its looks at the budgets of thousands of keys', async () => {
    const keys = Array.from({ length: 1_100 }, (_, n) => ({
      name: `k${n}`,
      key: `tk-of-many-${n}-`.padEnd(20, 'x'),
      budgets: { usd: 1 + n },
    }))
    const { snapshot } = parseConfig(JSON.stringify({ providers: { ollama: {} }, keys }), { env: {}, version: 1 })
    const budgets = createBudgetKeeping({
      rates: () => {
        throw new Error('nothing is called here')
      },
      read: async () => keys.map(({ name }) => ({ at: Date.now(), nano: 1_000, key: name })),
      virtualKeys: () => [],
      told: () => {},
      acted: () => {},
      overran: () => {},
      failed: () => {},
    })
    budgets.use(snapshot)
    let inOneTurn = 0
    let most = 0
    const deps = {
      budgets: {
        known: () => budgets.known(),
        *eachState() {
          for (const state of budgets.eachState()) {
            if (inOneTurn++ === 0)
              setImmediate(() => {
                most = Math.max(most, inOneTurn)
                inOneTurn = 0
              })
            yield state
          }
        },
      },
    } as unknown as AdminDeps
    const answer = await listBudgets.answer({ query: { entity: 'k7', limit: 10 }, deps } as never)
    expect(answer).toMatchObject({ json: { data: [{ entity: 'k7', limit_usd: '8' }], has_more: false } })
    expect(most).toBeLessThanOrEqual(101)
  })

  it('knows of a new budget what was spent before it', async () => {
    await clearOf(hour, 60_000)
    const books = await open({})
    for (let i = 0; i < 3; i++) expect((await call(books)).status).toBe(200)
    const spent = Number(billOf(books.simulator.calls))
    swap(books, {
      budgets: { late: { per: 'key', usd: '0.0001', window: 'hour' }, dated: { usd: 1, rolling: true, window: 'day' } },
    })
    expect((await call(books, { max_tokens: 200 })).status).toBe(402)
    expect(stateOf(books, 'late')).toMatchObject([{ entity: 'web', spent, reserved: 0 }])
    expect(stateOf(books, 'dated')).toMatchObject([{ spent, reserved: 0 }])
  })
})

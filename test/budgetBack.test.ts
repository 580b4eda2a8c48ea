// A budget that was taken away and comes back knows what was spent without it, and one that stays forgets nothing that runs.
import { expect, it, onTestFinished } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { createBudgetKeeping } from '../src/gateway/budgetKeeping.ts'
import type { BudgetState } from '../src/state/budgets/budget.ts'
import { createBudgets } from '../src/state/budgets/budgets.ts'
import type { SpendRow } from '../src/state/budgets/rebuild.ts'
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
  simulatedPrices,
  startLedgerGateway,
} from './support/ledgerGateway.ts'

async function open(config: Record<string, unknown>): Promise<LedgerGateway> {
  const scripts = { 'sim-waits': { headersDelayMs: 2_000, tokens: 10 } }
  const books = await startLedgerGateway(config, { simulator: { scripts } })
  onTestFinished(() => books.close())
  return books
}

const call = (books: LedgerGateway, key = appKey, model = 'sim/sim-tokens-10'): Promise<Exchange> =>
  post(books.url + CHAT, { ...ask(model), max_tokens: 20 }, bearer(key))

const stateOf = (books: LedgerGateway, name: string): BudgetState[] =>
  books.gateway.turnout.budgets.utilisation().filter((state) => state.name === name)

function swap(books: LedgerGateway, config: Record<string, unknown>): void {
  const document = {
    providers: { sim: upstreamAt(books.simulator.url) },
    prices: simulatedPrices,
    directModels: true,
    keys: [{ name: 'web', key: appKey, team: 'shop' }],
    ...config,
  }
  books.gateway.turnout.swap(parseConfig(JSON.stringify(document), { env: {}, version: 2 }).snapshot)
}

it('that of a key made at run time', async () => {
  const books = await open({})
  const budgets = [{ usd: '0.0001', window: 'lifetime' }]
  const { key, secret } = await books.keyring.create({ name: 'app', role: 'app', disabled: false, budgets })
  expect((await call(books, secret)).status).toBe(200)
  await books.keyring.change(key.id, { budgets: undefined })
  for (let i = 0; i < 5; i++) expect((await call(books, secret)).status).toBe(200)
  await books.keyring.change(key.id, { budgets })
  expect((await call(books, secret)).status).toBe(402)
  const spent = Number(billOf(books.simulator.calls))
  expect(spent).toBeGreaterThan(100_000)
  expect(stateOf(books, 'key app')).toMatchObject([{ spent, reserved: 0 }])
})

it('also where somebody else has had the name meanwhile', async () => {
  const books = await open({})
  const budgets = [{ usd: '0.0001', window: 'lifetime' }]
  const facts = { name: 'app', role: 'app', disabled: false } as const
  const first = await books.keyring.create({ ...facts, budgets })
  expect((await call(books, first.secret)).status).toBe(200)
  await books.keyring.change(first.key.id, { name: 'other' })
  const second = await books.keyring.create(facts)
  for (let i = 0; i < 5; i++) expect((await call(books, second.secret)).status).toBe(200)
  await books.keyring.remove(second.key.id)
  await books.keyring.change(first.key.id, { name: 'app' })
  expect((await call(books, first.secret)).status).toBe(402)
})

it('and that of a configuration, whatever runs when it goes and when it comes', async () => {
  await clearOf(hour, 60_000)
  const budgets = {
    all: { usd: '0.0001', window: 'lifetime' },
    dated: { per: 'key', usd: 1, window: 'hour', rolling: true },
  }
  const books = await open({ budgets })
  const early = call(books, appKey, 'sim/sim-waits')
  await books.simulator.waitFor(({ model }) => model === 'sim-waits')
  const [{ reserved: one }] = stateOf(books, 'all') as [BudgetState]
  swap(books, {})
  for (let i = 0; i < 6; i++) expect((await call(books)).status).toBe(200)
  const meanwhile = Number(billOf(books.simulator.calls.filter(({ outcome }) => outcome !== 'running')))
  swap(books, {
    budgets,
    keys: [
      { name: 'ops', key: adminKey, role: 'admin' },
      { name: 'web', key: appKey },
    ],
  })
  await books.gateway.turnout.budgets.known()
  // What is under way is held still.
  for (const name of ['all', 'dated']) expect(stateOf(books, name)).toMatchObject([{ spent: meanwhile, reserved: one }])
  expect((await early).status).toBe(200)
  const spent = Number(billOf(books.simulator.calls))
  for (const name of ['all', 'dated']) expect(stateOf(books, name)).toMatchObject([{ spent, reserved: 0 }])
  expect((await call(books)).status).toBe(402)
  const told = JSON.parse((await get(`${books.url}/admin/budgets?budget=all`, bearer(adminKey))).text)
  expect(told.data[0]).toMatchObject({ spent_usd: String(spent / 1e9), reserved_usd: '0' })
})

it('what a call without a bound costs counts, though its budget was looked over when nothing else was in it', () => {
  for (const rolling of [false, true]) {
    const settings = parseConfig(
      JSON.stringify({
        providers: { ollama: {} },
        budgets: { mine: { per: 'key', usd: 1, window: 'hour', rolling, onUnknownPrice: 'warn' } },
      }),
      { env: {}, version: 1 },
    ).snapshot.budgets[0]!
    const budgets = createBudgets({ now: () => Date.UTC(2026, 0, 1) })
    const one = [{ setting: settings, entity: 'web' }]
    const verdict = budgets.reserve(one, null)
    if (!verdict.ok) throw new Error('there is room')
    budgets.prune([settings])
    budgets.settle(verdict.reservation, 700)
    expect(budgets.states(one)).toMatchObject([{ spent: 700, reserved: 0 }])
    expect([...budgets.entities(settings)]).toMatchObject([{ entity: 'web', spent: 700 }])
  }
})

it('also one that goes and comes back while its past is read: that was read too early', async () => {
  const of = (budgets: object) =>
    parseConfig(JSON.stringify({ providers: { ollama: {} }, budgets }), { env: {}, version: 1 }).snapshot
  const reads: ((rows: readonly SpendRow[]) => void)[] = []
  const nobody = (): never => {
    throw new Error('nobody spends here')
  }
  const keeping = createBudgetKeeping({
    read: () => new Promise((resolve) => void reads.push(resolve)),
    virtualKeys: () => [],
    rates: nobody,
    told: nobody,
    acted: nobody,
    overran: nobody,
    failed: nobody,
  })
  const budgets = { all: { usd: 1, window: 'lifetime' } }
  keeping.use(of(budgets))
  const first = keeping.known()
  keeping.use(of({}))
  keeping.use(of(budgets))
  expect(reads).toHaveLength(2)
  reads[0]!([{ at: 0, nano: 100 }])
  reads[1]!([{ at: 0, nano: 400 }])
  await Promise.all([first, keeping.known()])
  expect(keeping.totals(100)).toMatchObject([{ total: { spent: 400 }, isKnown: true }])
})

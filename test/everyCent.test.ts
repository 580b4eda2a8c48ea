// Every cent where features meet: random traffic while prices, budgets and keys change, against the invoice that the vendors keep.
import { once } from 'node:events'
import { expect, it, onTestFinished } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import type { StoredAttempt, StoredRequest } from '../src/store/requestRead.ts'
import { ask, CHAT } from './support/chatBodies.ts'
import { drawOf } from './support/draws.ts'
import { send } from './support/exchange.ts'
import { type Charged, startInvoicingVendor } from './support/invoicingVendor.ts'
import { appKey, bearer, otherKey, startLedgerGateway } from './support/ledgerGateway.ts'

const REQUESTS = 120
const AT_ONCE = 8

type Prices = Record<keyof Charged, number>

/** Nano-USD a token, others in each version. */
const pricesOf = (version: number): Prices => ({
  input: 1_000 + version,
  cacheRead: 100 + version,
  cacheWrite5m: 1_250 + version,
  cacheWrite1h: 2_000 + version,
  output: 4_000 + version,
  reasoning: 5_000 + version,
})

const costOf = (charged: Charged, prices: Prices): number =>
  (Object.keys(prices) as (keyof Charged)[]).reduce((sum, name) => sum + charged[name] * prices[name], 0)

const sumOf = (attempts: readonly StoredAttempt[]): number => attempts.reduce((sum, { cost }) => sum + (cost ?? 0), 0)

const wide = { usd: 1_000, onUnknownPrice: 'warn' }
const going = { going: { ...wide, window: 'lifetime' }, 'going-key': { ...wide, per: 'key', rolling: true } }

it.each([1, 2, 3])(
  'the ledger, budgets, reports and metrics say what the vendors charge (seed %i)',
  async (seed) => {
    const draw = drawOf(seed)
    const pick = <Item>(list: readonly Item[]): Item => list[Math.floor(draw() * list.length)]!
    const vendor = await startInvoicingVendor(drawOf(seed + 1_000))
    onTestFinished(() => vendor.close())

    const base = (version: number, withGoing: boolean): Record<string, unknown> => {
      const price = Object.fromEntries(Object.entries(pricesOf(version)).map(([name, nano]) => [name, nano / 1_000]))
      // `alias` has no price of its own, so that its calls have no bound and are paid for by what answers.
      const models = ['good', 'broken-a', 'broken-b', 'real'].map((model) => [model, { ...price, maxOutput: 1_000 }])
      const cache = { deterministicOnly: false, scope: 'global' }
      return {
        providers: {
          openai: { apiKey: 'sk-0123456789abcdef', baseUrl: `${vendor.url}/openai/v1` },
          anthropic: { apiKey: 'sk-0123456789abcdef', baseUrl: `${vendor.url}/anthropic` },
          gemini: { apiKey: 'sk-0123456789abcdef', baseUrl: `${vendor.url}/gemini/v1beta` },
        },
        prices: Object.fromEntries(models),
        keys: [
          { name: 'web', key: appKey, team: 'shop' },
          { name: 'batch', key: otherKey, team: 'data' },
        ],
        breaker: { failures: 1e6, volume: 1e6 },
        retries: { attempts: 2, baseDelay: 1, maxDelay: 1, budget: 1 },
        routes: {
          openai: ['openai/good'],
          anthropic: ['anthropic/good'],
          gemini: ['gemini/good'],
          chain: ['anthropic/broken-a', 'openai/broken-b', 'gemini/good'],
          last: ['gemini/broken-a', 'openai/broken-a'],
          alias: ['openai/alias'],
          cached: { targets: ['anthropic/good', 'openai/good'], cache: { ...cache, ttl: '1s' } },
          small: { targets: ['openai/good'], budgets: { usd: '0.3', window: 'lifetime', onExhausted: 'route:gemini' } },
        },
        budgets: {
          all: { ...wide, window: 'lifetime' },
          'by-key': { ...wide, per: 'key', window: 'lifetime' },
          'by-route': { ...wide, per: 'route', rolling: true },
          'by-target': { ...wide, per: 'target', window: 'lifetime' },
          ...(withGoing ? going : {}),
        },
      }
    }

    let version = 1
    const books = await startLedgerGateway(base(version, true))
    onTestFinished(() => books.close())
    const swap = (withGoing: boolean): void => {
      const document = JSON.stringify(base(++version, withGoing))
      books.gateway.turnout.swap(parseConfig(document, { env: {}, version }).snapshot)
    }
    const budgets = [{ usd: 500, window: 'lifetime', onUnknownPrice: 'warn' }]
    const { key, secret } = await books.keyring.create({ name: 'app', role: 'app', disabled: false, budgets })

    async function oneRequest(number: number): Promise<void> {
      const model = pick(['openai', 'anthropic', 'gemini', 'chain', 'last', 'alias', 'cached', 'small'])
      const stream = draw() < 0.5
      const content = model === 'cached' ? `question ${Math.floor(draw() * 3)}` : `question ${number}, and only this`
      const body = { ...ask(model), stream, messages: [{ role: 'user', content }], max_tokens: 200 }
      const leaves = stream && draw() < 0.2
      const sent = send('POST', books.url + CHAT, body, bearer(pick([appKey, otherKey, secret])))
      if (leaves) {
        const reply = await sent.response.catch(() => undefined)
        if (reply && !reply.complete) await Promise.race([once(reply, 'data'), once(reply, 'close')])
        sent.request.destroy()
      }
      await sent.done
    }

    // What goes may go at any time; it comes back when nothing runs, because calls are charged to the budgets that they were admitted with.
    for (let begun = 0, round = 0; begun < REQUESTS; round++) {
      const running = new Set<Promise<void>>()
      for (let i = 0; i < REQUESTS / 4; i++, begun++) {
        const one = oneRequest(begun).finally(() => running.delete(one))
        running.add(one)
        if (i === 10 && round % 2 === 0) swap(false)
        if (i === 20 && round % 2 === 0) await books.keyring.change(key.id, { budgets: undefined })
        if (running.size >= AT_ONCE) await Promise.race(running)
      }
      await Promise.all(running)
      await books.gateway.settled(begun)
      if (round % 2 === 0) continue
      await books.keyring.change(key.id, { budgets })
      swap(true)
    }
    // One more, so that the key's budget is looked up.
    await send('POST', books.url + CHAT, ask('openai'), bearer(secret)).done
    expect(books.gateway.turnout.budgets.size.reserved).toBe(0)
    await books.ledger.flush()

    const requests = books.store.db.prepare('SELECT * FROM requests').all() as StoredRequest[]
    const attempts = books.store.db.prepare('SELECT * FROM attempts').all() as StoredAttempt[]
    const byId = new Map(requests.map((request) => [request.id, request]))
    const open = new Map(vendor.lines.map((line) => [`${line.target} ${tuple(line.charged)}`, line]))
    let exact = 0
    for (const attempt of attempts) {
      if (attempt.estimated || attempt.cost === 0) continue
      const line = `${attempt.target} ${tupleOf(attempt)}`
      const { charged } = open.get(line) ?? {}
      expect(charged, JSON.stringify(attempt)).toBeDefined()
      open.delete(line)
      expect(attempt.cost, line).toBe(costOf(charged!, pricesOf(byId.get(attempt.request)!.config)))
      exact++
    }
    // What was told to the end and is no row as it was told: its client had left by then.
    const left = requests.filter(({ outcome }) => outcome === 'client_disconnected').length
    expect([...open.values()].filter(({ told }) => told).length).toBeLessThanOrEqual(left)
    expect(exact).toBeGreaterThan(REQUESTS / 3)

    const states = books.gateway.turnout.budgets.utilisation()
    const spentOf = (budget: string, entity: string): number =>
      states.find((state) => state.name === budget && state.entity === entity)?.spent ?? 0
    const of = (field: 'key' | 'route', name: string) => (attempt: StoredAttempt) =>
      byId.get(attempt.request)![field] === name
    for (const budget of ['all', 'going']) expect(spentOf(budget, ''), budget).toBe(sumOf(attempts))
    for (const name of ['web', 'batch', 'app']) {
      const spent = sumOf(attempts.filter(of('key', name)))
      for (const budget of ['by-key', 'going-key']) expect(spentOf(budget, name), `${budget} ${name}`).toBe(spent)
      if (name === 'app') expect(spentOf('key app', 'app')).toBe(spent)
    }
    for (const { route } of requests)
      expect(spentOf('by-route', route!), route!).toBe(sumOf(attempts.filter(of('route', route!))))
    for (const { target } of attempts)
      expect(spentOf('by-target', target), target).toBe(sumOf(attempts.filter((attempt) => attempt.target === target)))
    expect(spentOf('route small', 'small')).toBeLessThanOrEqual(300_000_000)

    expect((await books.reader.verify()).problems).toEqual([])
    const metrics = (await books.gateway.metrics.expose()).body
    const total = [...metrics.matchAll(/^turnout_cost_usd_total\{.*\} (\S+)$/gm)].reduce(
      (sum, [, usd]) => sum + Number(usd),
      0,
    )
    expect(Math.round(total * 1e9)).toBe(sumOf(attempts))
  },
  30_000,
)

const tuple = (charged: Charged): string =>
  [
    charged.input,
    charged.cacheRead,
    charged.cacheWrite5m,
    charged.cacheWrite1h,
    charged.output,
    charged.reasoning,
  ].join()

const tupleOf = (row: StoredAttempt): string =>
  [row.input, row.cache_read, row.cache_write_5m, row.cache_write_1h, row.output, row.reasoning].join()

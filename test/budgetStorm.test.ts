// Case C28 at full width: 500 clients at once against a budget of a few requests, with everything that can happen to a request.
import { Agent, request } from 'node:http'
import { describe, expect, it, onTestFinished } from 'vitest'
import { ask, CHAT } from './support/chatBodies.ts'
import { appKey, bearer, billOf, type LedgerGateway, otherKey, startLedgerGateway } from './support/ledgerGateway.ts'

const CLIENTS = 500

/** mulberry32: the same seed gives the same storm. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

const scripts = {
  well: { tokens: 30 },
  slow: { tokens: 30, headersDelayMs: 30 },
  steady: { tokens: 40, tokensPerSecond: 400 },
  down: { fault: { kind: 'status', status: 503 } },
  flaky: { tokens: 30, fault: { kind: 'status', status: 500, rate: 0.5 } },
  cut: { tokens: 30, fault: { kind: 'cut', afterTokens: 8 } },
  late: { tokens: 30, fault: { kind: 'midStreamError', status: 529, afterTokens: 8 } },
  reset: { tokens: 30, fault: { kind: 'reset' } },
} as const

const routes = {
  plain: ['sim/sim-well'],
  slow: ['sim/sim-slow'],
  steady: ['sim/sim-steady'],
  failover: ['sim/sim-down', 'sim/sim-well'],
  retried: ['sim/sim-flaky'],
  broken: ['sim/sim-cut', 'sim/sim-well'],
  late: ['sim/sim-late', 'sim/sim-slow'],
  reset: ['sim/sim-reset', 'sim/sim-well'],
}

async function open(budgets: Record<string, unknown>): Promise<LedgerGateway> {
  const books = await startLedgerGateway(
    {
      budgets,
      routes: Object.fromEntries(Object.entries(routes).map(([name, targets]) => [name, { targets }])),
      retries: { attempts: 3, baseDelay: 1, maxDelay: 5, budget: 1 },
      breaker: { failures: 100_000, volume: 100_000 },
      server: { connectionsPerOrigin: 600 },
    },
    {
      simulator: {
        scripts: Object.fromEntries(Object.entries(scripts).map(([name, script]) => [`sim-${name}`, script])),
      },
    },
  )
  onTestFinished(() => books.close())
  return books
}

interface Ended {
  status: number
  aborted: boolean
}

/** Sends a request and leaves it after `patience` milliseconds, if it is still there. */
function client(
  books: LedgerGateway,
  agent: Agent,
  body: object,
  key: string,
  patience: number | undefined,
): Promise<Ended> {
  return new Promise((resolve) => {
    let aborted = false
    let status = 0
    const sent = request(books.url + CHAT, {
      method: 'POST',
      agent,
      headers: { 'content-type': 'application/json', ...bearer(key) },
    })
    const timer =
      patience === undefined
        ? undefined
        : setTimeout(() => {
            aborted = true
            sent.destroy()
          }, patience)
    const end = (): void => {
      clearTimeout(timer)
      resolve({ status, aborted })
    }
    sent.on('error', end)
    sent.on('response', (reply) => {
      status = reply.statusCode ?? 0
      reply.resume()
      reply.on('error', end)
      reply.on('close', end)
    })
    sent.end(JSON.stringify(body))
  })
}

/** All clients at once, each with a draw of its own. */
async function storm(
  books: LedgerGateway,
  seed: number,
  names: readonly string[],
  abortShare: number,
): Promise<Ended[]> {
  const random = randomOf(seed)
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS })
  const draws = Array.from({ length: CLIENTS }, () => ({
    body: {
      ...ask(names[Math.floor(random() * names.length)]),
      stream: random() < 0.5,
      max_tokens: 30 + Math.floor(random() * 60),
      user: `user-${Math.floor(random() * 5)}`,
    },
    key: random() < 0.5 ? appKey : otherKey,
    patience: random() < abortShare ? Math.floor(random() * 80) : undefined,
  }))
  const ended = await Promise.all(draws.map(({ body, key, patience }) => client(books, agent, body, key, patience)))
  agent.destroy()
  await books.gateway.settled(ended.filter(({ status }) => status > 0).length)
  return ended
}

const spentOf = (books: LedgerGateway, where = '1'): number =>
  (
    books.store.db.prepare(`SELECT coalesce(sum(cost), 0) AS cost FROM requests WHERE ${where}`).get() as {
      cost: number
    }
  ).cost

const LIMIT = 1_500_000
const usd = String(LIMIT / 1e9)

/** Nothing is held any more, in any budget. */
async function allReturned(books: LedgerGateway): Promise<void> {
  // A client that left is settled when the gateway has noticed.
  await expect.poll(() => books.gateway.turnout.budgets.size.reserved, { timeout: 60_000 }).toBe(0)
  await books.ledger.flush()
}

describe('500 clients at once against one budget', () => {
  it.each([1, 2, 3])('never spend more than it, whatever happens to them (seed %i)', async (seed) => {
    const books = await open({
      all: { usd, window: 'lifetime' },
      each: { per: 'key', usd: String((LIMIT * 0.6) / 1e9), window: 'lifetime' },
      user: { per: ['key', 'user'], usd: String((LIMIT * 0.2) / 1e9), window: 'lifetime' },
    })
    const ended = await storm(books, seed, Object.keys(routes), 0.2)
    await allReturned(books)
    const statuses = new Set(ended.map(({ status }) => status))
    expect(statuses).toContain(200)
    expect(statuses).toContain(402)
    expect(ended.some(({ aborted }) => aborted)).toBe(true)
    const spent = spentOf(books)
    expect(spent).toBeGreaterThan(0)
    expect(spent).toBeLessThanOrEqual(LIMIT)
    const states = books.gateway.turnout.budgets.utilisation()
    for (const { spent: part, limit, reserved } of states) {
      expect(part).toBeLessThanOrEqual(limit)
      expect(reserved).toBe(0)
    }
    // What budgets count is what the ledger says.
    expect(states.find(({ name }) => name === 'all')!.spent).toBe(spent)
    for (const key of ['web', 'batch']) {
      const counted = states.find(({ name, entity }) => name === 'each' && entity === key)?.spent ?? 0
      expect(counted).toBe(spentOf(books, `key = '${key}'`))
    }
  })

  it.each([4, 5])('are never charged more by the vendor, and come close to it (seed %i)', async (seed) => {
    const books = await open({ all: { usd, window: 'lifetime' } })
    await storm(books, seed, ['plain', 'slow', 'steady', 'failover'], 0)
    // One after the other until there is no room: what was held for the others is free again.
    const agent = new Agent({ keepAlive: true })
    const small = { ...ask('plain'), max_tokens: 30 }
    let last = 200
    for (let n = 0; last === 200 && n < 200; n++) last = (await client(books, agent, small, appKey, undefined)).status
    agent.destroy()
    expect(last).toBe(402)
    await allReturned(books)
    const charged = Number(billOf(books.simulator.calls))
    expect(charged).toBeLessThanOrEqual(LIMIT)
    expect(spentOf(books)).toBe(charged)
    expect(charged).toBeGreaterThan(LIMIT - (400 * (Buffer.byteLength(JSON.stringify(small)) + 50) + 30 * 1600))
  })
})

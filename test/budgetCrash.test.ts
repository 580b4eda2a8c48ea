// Case C28 across the death of the process: what was spent before a kill -9 is spent after it, also what nobody could write down.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startSimulator } from '../src/simulator/index.ts'
import { loadDriver } from '../src/store/driver.ts'
import { ask, CHAT } from './support/chatBodies.ts'
import { buildTurnout } from './support/crash/build.ts'
import { type Server, startServer } from './support/crash/server.ts'
import { get } from './support/exchange.ts'
import { upstreamAt } from './support/gateway.ts'
import { appKey, bearer, billOf, simulatedPrices } from './support/ledgerGateway.ts'

/** Each kill books up to 50 calls at the most that they might have cost: a third of it in all rounds. */
const LIMIT = 24_000_000
const adminKey = 'sk-test-admin-key-0123456789'

const scripts = {
  'sim-well': { tokens: 30 },
  'sim-steady': { tokens: 60, tokensPerSecond: 300 },
  'sim-slow': { tokens: 20, headersDelayMs: 60 },
  'sim-large': { tokens: 400 },
  'sim-down': { fault: { kind: 'status', status: 503 } },
} as const

/** Sends a request; resolves to its status, 0 where the connection broke before one came. */
function send(url: string, agent: Agent, body: object): Promise<number> {
  return new Promise((resolve) => {
    const sent = request(url + CHAT, {
      method: 'POST',
      agent,
      headers: { 'content-type': 'application/json', ...bearer(appKey) },
    })
    let status = 0
    sent.on('error', () => resolve(status))
    sent.on('response', (reply) => {
      status = reply.statusCode ?? 0
      reply.resume()
      reply.on('error', () => resolve(status))
      reply.on('close', () => resolve(status))
    })
    sent.end(JSON.stringify(body))
  })
}

/** What the gateway says of its budgets. */
const spentBy = async (server: Server, budget: string): Promise<number> => {
  const { text } = await get(`${server.url}/metrics`, bearer(adminKey))
  const found = new RegExp(`turnout_budget_spent_usd\\{budget="${budget}"\\} (\\S+)`).exec(text)
  return Math.round(Number(found?.[1]) * 1e9)
}

describe('a hard budget', () => {
  it('holds although the process is killed three times in full flight', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'turnout-budget-'))
    const simulator = await startSimulator({ scripts })
    const config = join(folder, 'turnout.yaml')
    const file = join(folder, 'turnout.db')
    writeFileSync(
      config,
      JSON.stringify({
        server: { port: 0 },
        log: { level: 'error' },
        dataDir: folder,
        providers: { sim: upstreamAt(simulator.url) },
        prices: simulatedPrices,
        breaker: { failures: 1_000_000, volume: 1_000_000, percent: 100 },
        keys: [
          { name: 'web', key: appKey },
          { name: 'ops', key: adminKey, role: 'admin' },
        ],
        routes: {
          plain: 'sim/sim-well',
          large: 'sim/sim-large',
          steady: 'sim/sim-steady',
          slow: 'sim/sim-slow',
          failover: ['sim/sim-down', 'sim/sim-well'],
        },
        budgets: {
          all: { usd: String(LIMIT / 1e9), window: 'month', timezone: 'Europe/Berlin' },
          each: { per: ['key', 'route'], usd: '1', rolling: true, window: 'day' },
        },
      }),
    )
    const build = buildTurnout()
    const agent = new Agent({ keepAlive: true, maxSockets: 50 })
    let server: Server | undefined
    onTestFinished(async () => {
      await server?.kill()
      agent.destroy()
      await simulator.close()
      rmSync(folder, { recursive: true, force: true })
    })
    const names = ['plain', 'steady', 'slow', 'failover']
    for (let round = 0; round < 3; round++) {
      server = await startServer({ build, config, folder })
      const { url } = server
      let open = true
      // Each client asks again as soon as it has its answer, as long as the process lives.
      const clients = Array.from({ length: 50 }, async (_, i) => {
        for (let n = 0; open && n < 6; n++)
          await send(url, agent, { ...ask(names[(i + n) % 4]), stream: i % 2 === 0, max_tokens: 64 })
      })
      await simulator.waitFor(({ model, outcome }) => model === 'sim-steady' && outcome === 'running', 30_000)
      await pause(30 + 40 * round)
      await server.kill()
      open = false
      await Promise.all(clients)
      server = undefined
    }
    server = await startServer({ build, config, folder })
    // The gateway knows again what the ledger knows; until there is no room left.
    let status = 200
    for (let n = 0; status === 200 && n < 90; n++)
      status = await send(server.url, agent, { ...ask('large'), max_tokens: 400 })
    expect(status).toBe(402)
    const counted = await spentBy(server, 'all')
    expect(await spentBy(server, 'each')).toBe(counted)
    await server.stop()
    server = undefined
    const db = new (loadDriver())(file, { readonly: true })
    const { spent, lost } = db
      .prepare(`SELECT sum(cost) AS spent, sum(fault = 'interrupted') AS lost FROM attempts`)
      .get() as { spent: number; lost: number }
    db.close()
    expect(lost).toBeGreaterThan(0)
    expect(counted).toBe(spent)
    expect(spent).toBeLessThanOrEqual(LIMIT)
    // The vendor's own count, of calls that were cut off in the middle, too.
    expect(simulator.totals().requests).toBeLessThan(1_000)
    expect(Number(billOf(simulator.calls))).toBeLessThanOrEqual(spent)
  }, 300_000)
})

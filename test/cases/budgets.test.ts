// Cases C28, C30 and C31: budgets under concurrency, refusals that say why, and spending that goes to the key.
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { clearOf, hour } from '../support/calendar.ts'
import { ask, CHAT } from '../support/chatBodies.ts'
import { type Exchange, get, post } from '../support/exchange.ts'
import { appKey, bearer, billOf, type LedgerGateway, otherKey, startLedgerGateway } from '../support/ledgerGateway.ts'

type Json = Record<string, unknown>

async function open(config: Json): Promise<LedgerGateway> {
  const scripts = { 'sim-held': { tokens: 25, headersDelayMs: 20 } }
  const books = await startLedgerGateway(config, { simulator: { scripts } })
  onTestFinished(() => books.close())
  return books
}

const chat = (books: LedgerGateway, more: Json = {}, key = appKey): Promise<Exchange> =>
  post(books.url + CHAT, { ...ask('sim/sim-held'), max_tokens: 25, ...more }, bearer(key))

describe('C28 500 requests at once against a budget of k requests', () => {
  it.each([1, 3, 20])('k = %i: never more than the budget', async (k) => {
    // What one of them holds: its bytes and its cap.
    const sent = { ...ask('sim-held'), max_tokens: 25, stream: true, stream_options: { include_usage: true } }
    const worst = (Buffer.byteLength(JSON.stringify(sent)) + 4) * 400 + 25 * 1600
    const limit = worst * k
    const books = await open({ budgets: { all: { usd: (limit / 1e9).toFixed(9), window: 'lifetime' } } })
    const replies = await Promise.all(Array.from({ length: 500 }, (_, n) => chat(books, { stream: n % 2 === 1 })))
    const answered = replies.filter(({ status }) => status === 200)
    expect(answered.length).toBeGreaterThanOrEqual(1)
    expect(replies.filter(({ status }) => status === 402)).toHaveLength(500 - answered.length)
    const charged = Number(billOf(books.simulator.calls))
    expect(charged).toBeLessThanOrEqual(limit)
    expect(books.simulator.calls).toHaveLength(answered.length)
    await books.gateway.settled(500)
    expect(books.gateway.turnout.budgets.utilisation()).toMatchObject([{ spent: charged, reserved: 0, limit }])
  })
})

// Two of a test's requests are to be in the same hour.
beforeEach(() => clearOf(hour, 60_000))

describe('C30 no implicit budget, and a refusal that names scope, limit, spending and reset', () => {
  it('refuses nothing for money unless a budget says so', async () => {
    const books = await open({})
    expect(books.gateway.turnout.budgets.utilisation()).toEqual([])
    expect((await chat(books, { max_tokens: 1_000_000_000 })).status).toBe(200)
    expect((await chat(books, { model: 'sim/no-such-price' })).status).toBe(200)
  })

  it.each([
    ['key', { per: 'key' }],
    ['team', { per: 'team' }],
    ['user', { per: 'user' }],
    ['route', { per: 'route' }],
    ['target', { per: 'target' }],
    ['everything', {}],
  ])('counted by %s', async (scope, of) => {
    const books = await open({ budgets: { small: { ...of, usd: '0.00012', window: 'hour' } } })
    const first = await chat(books, { user: 'ann' })
    expect(first.status).toBe(200)
    const reply = await chat(books, { user: 'ann' })
    expect(reply.status).toBe(402)
    const { error } = JSON.parse(reply.text) as { error: { code: string; message: string; metadata: Json } }
    const reset = new Date(Math.ceil(Date.now() / hour) * hour).toISOString()
    const spent = (Number(billOf(books.simulator.calls)) / 1e9).toString()
    expect(error.metadata).toMatchObject({ budget: 'small', scope, limit_usd: '0.00012', spent_usd: spent, reset })
    expect(error.message).toContain(`It resets at ${reset}.`)
    // The caller can see the same before it asks.
    const told = JSON.parse((await get(`${books.url}/v1/limits?model=sim/sim-held&user=ann`, bearer(appKey))).text) as {
      budgets: Json[]
    }
    if (scope !== 'target')
      expect(told.budgets).toMatchObject([{ budget: 'small', scope, limit_usd: '0.00012', spent_usd: spent }])
  })
})

describe('C31 spending goes to the key; a user is one dimension more', () => {
  it('counts what many users spend for the one key', async () => {
    const books = await open({
      budgets: { key: { per: 'key', usd: '0.0005' }, user: { per: ['key', 'user'], usd: 1 } },
    })
    let refused: Exchange | undefined
    for (let n = 0; refused === undefined && n < 40; n++) {
      const reply = await chat(books, { user: `user-${n}` })
      if (reply.status !== 200) refused = reply
    }
    // Another user's name is no way around the key's budget, nor is none.
    expect(refused?.status).toBe(402)
    expect((await chat(books, { user: 'somebody-new' })).status).toBe(402)
    expect((await chat(books)).status).toBe(402)
    const states = books.gateway.turnout.budgets.utilisation()
    const spent = Number(billOf(books.simulator.calls))
    expect(states.find(({ name }) => name === 'key')).toMatchObject({ entity: 'web', spent })
    const users = states.filter(({ name }) => name === 'user')
    expect(users.length).toBeGreaterThan(1)
    expect(users.reduce((sum, { spent: part }) => sum + part, 0)).toBe(spent)
    // Users are known by their hash, and the same name under another key is somebody else.
    for (const { entity } of users) expect(entity).toMatch(/^web\/u_[\w-]{22}$/)
    expect((await chat(books, { user: 'user-0' }, otherKey)).status).toBe(200)
    expect(
      books.gateway.turnout.budgets.utilisation().filter(({ entity }) => entity.startsWith('batch/')),
    ).toHaveLength(1)
  })
})

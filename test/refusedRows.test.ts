// A storm of refusals fills no disk: so many rows a second for each key, the rest is counted, and nothing that cost money is left out.
import { describe, expect, it, onTestFinished } from 'vitest'
import { createRefusedRows, type RefusedCall } from '../src/gateway/refusedRows.ts'
import { ask, CHAT } from './support/chatBodies.ts'
import { get, post } from './support/exchange.ts'
import { appKey, bearer, type LedgerGateway, otherKey, startLedgerGateway } from './support/ledgerGateway.ts'

const call = (key: string | undefined, more: object = {}, perSecond = 3): RefusedCall =>
  ({
    key: key === undefined ? undefined : { name: key },
    attempts: [],
    assigned: undefined,
    snapshot: { ledger: { refusalsPerSecond: perSecond } },
    ...more,
  }) as unknown as RefusedCall

describe('refused requests that have a row', () => {
  it('are so many a second for each key, and as many again in the next', () => {
    const refusals = createRefusedRows(() => {})
    const kept = (key: string | undefined, now: number): number =>
      Array.from({ length: 10 }, () => refusals.keeps(call(key), now)).filter(Boolean).length
    expect([kept('a', 5_000), kept('a', 5_999), kept('b', 5_999), kept(undefined, 5_999)]).toEqual([3, 0, 3, 3])
    expect([kept('a', 6_000), kept('b', 6_500)]).toEqual([3, 3])
    expect(refusals.dropped).toBe(60 - 15)
  })

  it('are all where 0 is configured, and all that have cost something or are evidence of a rollout', () => {
    const refusals = createRefusedRows(() => {})
    for (let n = 0; n < 50; n++) {
      expect(refusals.keeps(call('a', {}, 0), 0)).toBe(true)
      expect(refusals.keeps(call('a', { attempts: [{}] }), 0)).toBe(true)
      expect(refusals.keeps(call('a', { assigned: {} }), 0)).toBe(true)
    }
    expect(refusals.dropped).toBe(0)
  })

  it('are told of once a minute, with how many have no row', () => {
    const told: unknown[] = []
    const refusals = createRefusedRows((...words) => told.push(words))
    const storm = (now: number, count: number): void => {
      for (let n = 0; n < count; n++) refusals.keeps(call('a'), now)
    }
    storm(1_000, 13)
    storm(30_000, 23)
    expect(told).toEqual([['a', 1, 3]])
    storm(61_000, 4)
    expect(told.slice(1)).toEqual([['a', 9 + 20 + 1, 3]])
  })

  it('stay bounded in memory under keys that come and go', () => {
    const refusals = createRefusedRows(() => {})
    for (let n = 0; n < 100_000; n++) expect(refusals.keeps(call(`key-${n}`), n)).toBe(true)
    expect(refusals.dropped).toBe(0)
  })
})

describe('a storm', () => {
  const perSecond = 5
  async function open(ledger: object): Promise<LedgerGateway> {
    const books = await startLedgerGateway({ ledger, limits: { each: { per: 'key', requests: 1, window: '1h' } } })
    onTestFinished(() => books.close())
    return books
  }
  const chat = (books: LedgerGateway, key = appKey) => post(books.url + CHAT, ask('sim/sim-fast'), bearer(key))
  const rowsOf = async (books: LedgerGateway, where: string): Promise<number> => {
    await books.ledger.flush()
    return books.store.db.prepare(`SELECT count(*) FROM requests WHERE ${where}`).pluck().get() as number
  }
  const unwritten = async (books: LedgerGateway): Promise<number> =>
    Number(/^turnout_ledger_refusals_unwritten_total (\d+)$/m.exec((await get(`${books.url}/metrics`)).text)?.[1])

  it('of 429s writes no more than that, says so in metrics and log, and keeps every row that cost money', async () => {
    const books = await open({ refusalsPerSecond: perSecond })
    expect((await chat(books)).status).toBe(200)
    const begin = performance.now()
    const replies = await Promise.all(Array.from({ length: 200 }, () => chat(books)))
    expect(replies.map(({ status }) => status)).toEqual(Array(200).fill(429))
    await books.gateway.settled(201)
    const seconds = Math.floor((performance.now() - begin) / 1000) + 2
    // The other key is no part of it.
    expect((await chat(books, otherKey)).status).toBe(200)
    expect((await chat(books, otherKey)).status).toBe(429)
    await books.gateway.settled(203)
    const rows = await rowsOf(books, "outcome = 'refused' AND key = 'web'")
    expect(rows).toBeGreaterThanOrEqual(1)
    expect(rows).toBeLessThanOrEqual(perSecond * seconds)
    expect(await unwritten(books)).toBe(200 - rows)
    expect(await rowsOf(books, "outcome = 'refused' AND key = 'batch'")).toBe(1)
    expect(await rowsOf(books, "outcome = 'ok'")).toBe(2)
    expect(await books.reader.verify()).toMatchObject({ ok: true, problems: [] })
    // Each has its line in the log and its place in the counts all the same.
    const { text } = await get(`${books.url}/metrics`)
    expect(text).toMatch(/^turnout_key_requests_total\{outcome="refused",key="web",team="shop"\} 200$/m)
    if (rows < 200)
      expect(books.gateway.notes).toContainEqual(
        expect.objectContaining({ facts: expect.objectContaining({ event: 'refusals', key: 'web' }) }),
      )
  })

  it('of 429s writes all of them where the operator wants that', async () => {
    const books = await open({ refusalsPerSecond: 0 })
    await chat(books)
    await Promise.all(Array.from({ length: 60 }, () => chat(books)))
    await books.gateway.settled(61)
    expect(await rowsOf(books, "outcome = 'refused'")).toBe(60)
    expect(await unwritten(books)).toBe(0)
  })

  it('of wrong keys writes nothing: strangers are counted alone', async () => {
    const books = await startLedgerGateway({ access: { failuresPerMinute: 0 } })
    onTestFinished(() => books.close())
    const replies = await Promise.all(
      Array.from({ length: 60 }, (_, n) => chat(books, `sk-test-wrong-${n}-0123456789`)),
    )
    expect(replies.map(({ status }) => status)).toEqual(Array(60).fill(401))
    expect(await rowsOf(books, '1')).toBe(0)
    expect((await get(`${books.url}/metrics`)).text).toMatch(/^turnout_auth_failures_total\{reason="unknown"\} 60$/m)
  })
})

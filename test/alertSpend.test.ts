// What alerts read of the ledger at the start: the same money and the same requests as its reports, step by step.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { post } from './support/exchange.ts'
import { appKey, bearer, type LedgerGateway, otherKey, startLedgerGateway } from './support/ledgerGateway.ts'

let books: LedgerGateway
let from: number
let to: number

beforeAll(async () => {
  books = await startLedgerGateway({
    routes: { chat: 'sim/sim-text', shaky: ['broken', 'sim/sim-fast'] },
    targets: { broken: { provider: 'sim', model: 'sim-error-503', breaker: { failures: 1000 } } },
  })
  from = Date.now()
  const ask = (model: string, key: string, more: object = {}) =>
    post(
      `${books.url}/v1/chat/completions`,
      { model, messages: [{ role: 'user', content: 'Say hello' }], ...more },
      bearer(key),
    )
  for (let n = 0; n < 5; n++) await ask('chat', appKey)
  for (let n = 0; n < 3; n++) await ask('shaky', otherKey, { stream: n % 2 === 0 })
  await ask('no-such-model', appKey)
  await books.ledger.flush()
  to = Date.now() + 1
})
afterAll(() => books.close())

const sumOf = (rows: readonly { nano: number; requests: number }[]) =>
  rows.reduce((sum, { nano, requests }) => ({ nano: sum.nano + nano, requests: sum.requests + requests }), {
    nano: 0,
    requests: 0,
  })

describe('readAlertSpend', () => {
  it('adds up to the reports, however it is told apart: every call at its cost, every request once', async () => {
    const { total } = await books.reader.spend({ by: [] })
    for (const by of [[], ['key'], ['target'], ['key', 'team', 'route', 'target']] as const) {
      for (const step of [1, 1000, 3_600_000]) {
        const rows = await books.reader.alertSpend({ from, to, step, by })
        // One was refused before any call: it is none.
        expect(sumOf(rows), `${by} ${step}`).toEqual({ nano: Number(total.cost), requests: total.requests - 1 })
      }
    }
  })

  it('tells calls from requests: a request counts for its last target', async () => {
    const rows = await books.reader.alertSpend({ from, to, step: 3_600_000, by: ['key', 'team', 'route', 'target'] })
    const of = (name: string) => rows.filter(({ target }) => target === name)
    expect(sumOf(of('broken'))).toEqual({ nano: 0, requests: 0 })
    expect(sumOf(of('sim/sim-fast'))).toMatchObject({ requests: 3 })
    expect(of('sim/sim-fast')[0]).toMatchObject({ key: 'batch', team: 'data', route: 'shaky' })
    expect(sumOf(of('sim/sim-text'))).toMatchObject({ requests: 5 })
  })

  it('reads what arrived in a stretch of time, in the order of time', async () => {
    const rows = await books.reader.alertSpend({ from, to, step: 1, by: [] })
    const moments = rows.map(({ at }) => at)
    expect(moments).toEqual(moments.toSorted((a, b) => a - b))
    expect(moments.every((at) => at >= from && at < to)).toBe(true)
    const [third] = moments.slice(2)
    const [before, after] = await Promise.all([
      books.reader.alertSpend({ from, to: third!, step: 1, by: [] }),
      books.reader.alertSpend({ from: third!, to, step: 1, by: [] }),
    ])
    expect([...before, ...after]).toEqual(rows)
    expect(await books.reader.alertSpend({ from: to, to: to + 1000, step: 1, by: [] })).toEqual([])
  })

  it('knows since when anything is on record', async () => {
    const first = await books.reader.firstRecord()
    expect(first).toBeGreaterThanOrEqual(from)
    expect(first).toBeLessThan(to)
  })
})

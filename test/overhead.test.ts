// What is called Turnout's own time: no wait for a retry, for the client's body, or for what a vendor streams is part of it.
import { once } from 'node:events'
import { request } from 'node:http'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ask, CHAT } from './support/chatBodies.ts'
import { post } from './support/exchange.ts'
import { appKey, bearer, type LedgerGateway, startLedgerGateway } from './support/ledgerGateway.ts'

const WAIT_MS = 1000

let books: LedgerGateway
beforeAll(async () => {
  books = await startLedgerGateway(
    {
      keys: [{ name: 'app', key: appKey }],
      retries: { attempts: 2, maxDelay: '5s' },
      routes: { busy: 'sim/busy', gone: 'sim/gone', calm: 'sim/sim-fast', slow: 'sim/slow' },
    },
    {
      simulator: {
        scripts: {
          busy: { fault: { kind: 'status', status: 429, retryAfter: WAIT_MS / 1000, times: 1 } },
          gone: { fault: { kind: 'status', status: 429, retryAfter: 4, times: 1 } },
          slow: { firstTokenMs: 10, tokensPerSecond: 40, tokens: 20 },
        },
      },
    },
  )
})
afterAll(() => books?.close())

const ownMs = (headers: Record<string, unknown>): number => Number(headers['x-turnout-overhead-ms'])

it('has no wait for a retry in it', async () => {
  const { status, headers, endMs } = await post(books.url + CHAT, ask('busy'), bearer(appKey))
  expect([status, headers['x-turnout-attempts']]).toEqual([200, '2'])
  expect(endMs).toBeGreaterThanOrEqual(WAIT_MS - 5)
  expect(endMs - ownMs(headers)).toBeGreaterThanOrEqual(WAIT_MS - 5)
})

it('has no wait for the body in it', async () => {
  const body = Buffer.from(JSON.stringify(ask('calm')))
  const headers = { 'content-type': 'application/json', 'content-length': body.length, ...bearer(appKey) }
  const begin = performance.now()
  const sent = request(books.url + CHAT, { method: 'POST', agent: false, headers })
  sent.write(body.subarray(0, 9))
  await new Promise((resolve) => setTimeout(resolve, WAIT_MS))
  sent.end(body.subarray(9))
  const [reply] = await once(sent, 'response')
  reply.resume()
  expect(reply.statusCode).toBe(200)
  // The connection and the headers came first: a little of the wait was over before the gateway knew of it.
  expect(performance.now() - begin - ownMs(reply.headers)).toBeGreaterThanOrEqual(WAIT_MS / 2)
})

it.each([
  ['its body', 'calm', 9],
  ['a retry', 'gone', undefined],
])('has no wait for %s in it either where the client leaves meanwhile', async (_, model, part) => {
  const body = Buffer.from(JSON.stringify(ask(model)))
  const headers = { 'content-type': 'application/json', 'content-length': body.length, ...bearer(appKey) }
  const before = books.gateway.lines.length
  const sent = request(books.url + CHAT, { method: 'POST', agent: false, headers })
  sent.on('error', () => {})
  sent.write(body.subarray(0, part))
  await new Promise((resolve) => setTimeout(resolve, WAIT_MS))
  sent.destroy()
  const line = (await books.gateway.settled(before + 1)).at(-1)!
  expect(line).toMatchObject({ outcome: 'client_disconnected', attempts: part === undefined ? 1 : 0 })
  expect(line.durationMs).toBeGreaterThanOrEqual(WAIT_MS / 2)
  expect(line.overheadMs).toBeLessThan(WAIT_MS / 2)
})

it('is not known of a stream, whose row has none', async () => {
  await post(books.url + CHAT, ask('slow', { stream: true }), bearer(appKey))
  await post(books.url + CHAT, ask('calm'), bearer(appKey))
  await books.ledger.flush()
  const rows = books.store.db.prepare("SELECT overhead_us FROM requests WHERE route = 'slow'").pluck().all()
  expect(rows).toEqual([null])
  const whole = books.store.db.prepare("SELECT overhead_us FROM requests WHERE route = 'calm'").pluck().all()
  expect(whole).toEqual([expect.any(Number), expect.any(Number)])
})

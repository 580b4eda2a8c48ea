// The line for a socket of an upstream: in order, given up by whoever leaves, and free of charge for who never had one.
import { afterEach, beforeEach, expect, it } from 'vitest'
import { CHAT } from './support/chatBodies.ts'
import { type Sent, send } from './support/exchange.ts'
import { appKey, bearer, type LedgerGateway, simulatedPrices, startLedgerGateway } from './support/ledgerGateway.ts'

let books: LedgerGateway
beforeEach(async () => {
  books = await startLedgerGateway({
    server: { connectionsPerOrigin: 1 },
    keys: [{ name: 'app', key: appKey }],
    prices: simulatedPrices,
    routes: {
      held: { targets: ['sim/sim-stall-mid-stream'], timeouts: { idle: '10m' } },
      next: { targets: ['sim/sim-fast'], timeouts: { total: '10m' } },
      hasty: { targets: ['sim/sim-fast'], timeouts: { total: '300ms' } },
    },
  })
})
afterEach(() => books.close())

const chat = (model: string, more: Record<string, unknown> = {}): Sent =>
  send(
    'POST',
    books.url + CHAT,
    { model, messages: [{ role: 'user', content: 'Which track?' }], ...more },
    bearer(appKey),
  )

/** Takes the only socket, for as long as the client of it stays. */
async function occupy(): Promise<Sent> {
  const sent = chat('held', { stream: true })
  sent.done.catch(() => {})
  // To be listened for at once: the bytes may come with the headers.
  await new Promise<void>((resolve) => {
    sent.request.once('response', (response) => response.once('data', () => resolve()))
  })
  return sent
}

const pool = async (): Promise<{ running: number; queued: number }> => {
  const { text } = await send('GET', `${books.url}/status`).done
  const [{ running, queued }] = JSON.parse(text).pools
  return { running, queued }
}

it('holds nothing of those who have left it, and they have cost nothing', async () => {
  const holder = await occupy()
  const waiting = Array.from({ length: 20 }, () => chat('next'))
  for (const { done } of waiting) done.catch(() => {})
  await expect.poll(pool).toEqual({ running: 1, queued: 20 })
  for (const { request } of waiting) request.destroy()
  await books.gateway.settled(20)
  expect(await pool()).toEqual({ running: 1, queued: 0 })
  holder.request.destroy()
  await books.gateway.settled(21)
  expect(books.simulator.calls.map(({ model }) => model)).toEqual(['sim-stall-mid-stream'])
  await books.ledger.flush()
  const rows = books.store.db.prepare("SELECT outcome, cost FROM requests WHERE route = 'next'").all()
  expect(rows).toEqual(Array.from({ length: 20 }, () => ({ outcome: 'client_disconnected', cost: 0 })))
})

it('lets all through in the order in which they came, when the socket is free', async () => {
  const holder = await occupy()
  const waiting: Sent[] = []
  for (let n = 0; n < 5; n++) {
    waiting.push(chat('next', { user: `user-${n}` }))
    await expect.poll(pool).toEqual({ running: 1, queued: n + 1 })
  }
  waiting[2]!.request.destroy()
  waiting[2]!.done.catch(() => {})
  await expect.poll(pool).toEqual({ running: 1, queued: 4 })
  holder.request.destroy()
  const replies = await Promise.all(waiting.filter((_, n) => n !== 2).map(({ done }) => done))
  expect(replies.map(({ status }) => status)).toEqual([200, 200, 200, 200])
  await books.gateway.settled(6)
  await books.ledger.flush()
  const users = books.store.db
    .prepare("SELECT user FROM requests WHERE outcome = 'ok' ORDER BY at + latency_us / 1000.0")
    .pluck()
    .all()
  expect(users).toEqual([0, 1, 3, 4].map((n) => books.hash(`user-${n}`)))
  expect(await pool()).toMatchObject({ queued: 0 })
})

it('holds nothing of those whose time is over either', async () => {
  const holder = await occupy()
  const { status, text } = await chat('hasty').done
  expect([status, JSON.parse(text).error.code]).toEqual([504, 'total_timeout'])
  expect(await pool()).toEqual({ running: 1, queued: 0 })
  holder.request.destroy()
  await books.gateway.settled(2)
  await books.ledger.flush()
  expect(books.store.db.prepare("SELECT cost FROM requests WHERE route = 'hasty'").pluck().get()).toBe(0)
})

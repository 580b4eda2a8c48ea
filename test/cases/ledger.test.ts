// C25 to C27, C54 and C57: rows of our own making, one for each request and each call, whatever clients, vendors and time do to them.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startSimulator } from '../../src/simulator/index.ts'
import { loadDriver } from '../../src/store/driver.ts'
import { type LedgerOptions, openLedger } from '../../src/store/ledger.ts'
import { firstIdOf, parseId } from '../../src/store/ledgerId.ts'
import { migrate, packageMigrations, readMigrations } from '../../src/store/migrate.ts'
import { openStore } from '../../src/store/open.ts'
import type { StoredAttempt, StoredRequest } from '../../src/store/requestRead.ts'
import { verifyLedger } from '../../src/store/verify.ts'
import {
  ask,
  CHAT,
  chunk,
  chunks,
  DONE,
  event,
  finishChunk,
  reply,
  roleChunk,
  usageChunk,
} from '../support/chatBodies.ts'
import { type Build, buildTurnout, copyBuild } from '../support/crash/build.ts'
import { lockDatabase } from '../support/crash/dbLock.ts'
import { openPlace } from '../support/crash/place.ts'
import { spawnServer, startServer } from '../support/crash/server.ts'
import { type Exchange, get, post, type Sent, send } from '../support/exchange.ts'
import {
  cut,
  type FakeUpstream,
  type Handler,
  openSse,
  sendJson,
  sendSse,
  stall,
  startFakeUpstream,
} from '../support/fakeUpstream.ts'
import { upstreamAt } from '../support/gateway.ts'
import { appKey, bearer, type LedgerGateway, startLedgerGateway } from '../support/ledgerGateway.ts'
import { attemptRow, requestRow } from '../support/ledgerRows.ts'

type Json = Record<string, unknown>

const prices = { '*': { input: 1, output: 5 } }

async function openUpstream(handler: Handler): Promise<FakeUpstream> {
  const upstream = await startFakeUpstream(handler)
  onTestFinished(() => upstream.close())
  return upstream
}

async function openBooks(
  upstream: FakeUpstream,
  config: Json = {},
  ledger: LedgerOptions = {},
): Promise<LedgerGateway> {
  const places = { providers: { p: upstreamAt(upstream.url) }, routes: { m: 'p/m' } }
  const books = await startLedgerGateway({ prices, ...places, ...config }, { ledger })
  onTestFinished(() => books.close())
  return books
}

const chat = (books: LedgerGateway, body: Json): Promise<Exchange> => post(books.url + CHAT, body, bearer(appKey))
const begin = (books: LedgerGateway, body: Json): Sent => send('POST', books.url + CHAT, body, bearer(appKey))

async function rowsOf(
  books: LedgerGateway,
  count: number,
): Promise<{ requests: StoredRequest[]; attempts: StoredAttempt[] }> {
  await books.gateway.settled(count)
  await books.ledger.flush()
  const requests = books.store.db.prepare('SELECT * FROM requests ORDER BY id').all() as StoredRequest[]
  const attempts = books.store.db.prepare('SELECT * FROM attempts ORDER BY id').all() as StoredAttempt[]
  return { requests, attempts }
}

describe('C25 the key of a row is ours', () => {
  it.each<[string, Json]>([
    ['empty', { id: '' }],
    ['always the same', { id: 'chatcmpl-1' }],
    ['null', { id: null }],
    ['missing', { id: undefined }],
    ['no text', { id: 7 }],
  ])(
    'C25 a vendor whose ids are %s: a row for each request, found by the id that its client was told',
    async (_, more) => {
      const upstream = await openUpstream(async (_req, res, body) => {
        if (!JSON.parse(body.toString()).stream) return sendJson(res, 200, reply('hello', {}, more))
        await sendSse(res, [...chunks('one'), usageChunk].map((one) => event({ ...one, ...more })).join('') + DONE)
      })
      const books = await openBooks(upstream)
      const seen = await Promise.all(
        Array.from({ length: 12 }, (_, n) => chat(books, ask('m', { stream: n % 2 === 0 }))),
      )
      expect(seen.map(({ status }) => status)).toEqual(Array(12).fill(200))
      const { requests, attempts } = await rowsOf(books, 12)
      expect(attempts).toHaveLength(12)
      const told = seen.map(({ headers }) => parseId(String(headers['x-request-id'])))
      expect(new Set(told).size).toBe(12)
      expect(requests.map(({ id }) => id).sort()).toEqual(told.sort())
      for (const { id } of requests) expect((await books.reader.request(id))?.attempts).toHaveLength(1)
      expect(await books.reader.verify()).toMatchObject({ ok: true, requests: 12 })
    },
  )
})

describe('C26 a client that leaves', () => {
  const pieces = [roleChunk, chunk({ content: 'signal '.repeat(40) })].map(event).join('')

  interface Phase {
    stream: boolean
    answer: (res: ServerResponse) => void | Promise<void>
    /** Resolves when the moment to leave has come. */
    moment: (sent: Sent, upstream: FakeUpstream) => Promise<unknown>
    /** Whether the vendor had generated something that it charges for. */
    produced: boolean
  }
  // To be listened for at once: the bytes may come with the headers.
  const firstBytes = (sent: Sent): Promise<void> =>
    new Promise((resolve) => {
      sent.request.once('response', (response) => response.once('data', () => resolve()))
    })
  const asked = (_: Sent, upstream: FakeUpstream) => upstream.waitFor(() => true)
  const phases: Record<string, Phase> = {
    'before the headers of a stream': { stream: true, answer: stall, moment: asked, produced: false },
    'before the headers of a whole reply': { stream: false, answer: stall, moment: asked, produced: false },
    'before the first token': {
      stream: true,
      answer: (res) => {
        openSse(res)
        res.write(event(roleChunk))
        return stall(res)
      },
      moment: asked,
      produced: false,
    },
    'in the middle of a stream': {
      stream: true,
      answer: (res) => {
        openSse(res)
        res.write(pieces)
        return stall(res)
      },
      moment: firstBytes,
      produced: true,
    },
    'in the middle of a whole reply': {
      stream: false,
      answer: (res) => {
        res.writeHead(200, { 'content-type': 'application/json' })
        res.write('{"id":"x","choices":[')
        return stall(res)
      },
      moment: asked,
      produced: false,
    },
  }
  it.each(Object.entries(phases))(
    'C26 %s: the vendor is stopped, one row says so, the slot is free',
    async (_, phase) => {
      let answer = phase.answer
      const upstream = await openUpstream((_req, res) => answer(res))
      // One socket to the vendor: who comes next gets through only when it is free.
      const books = await openBooks(upstream, { server: { connectionsPerOrigin: 1 } })
      const sent = begin(books, ask('m', { stream: phase.stream }))
      await phase.moment(sent, upstream)
      sent.request.destroy()
      await upstream.waitFor(({ done }) => done)
      expect(upstream.requests[0]!.closedEarly).toBe(true)
      answer = (res) => sendJson(res, 200, reply())
      expect((await chat(books, ask('m'))).status).toBe(200)

      const { requests, attempts } = await rowsOf(books, 2)
      expect(requests.map(({ outcome, status, attempts: n }) => [outcome, status, n])).toEqual([
        ['client_disconnected', 0, 1],
        ['ok', 200, 1],
      ])
      const [row] = attempts
      expect([row!.fault, row!.estimated]).toEqual(['', 1])
      // The prompt was read in any case; of the answer what came of it, about 80 tokens of text.
      expect(row!.input).toBeGreaterThan(0)
      if (phase.produced) expect(Math.abs(row!.output - 80)).toBeLessThan(60)
      else expect(row!.output).toBe(0)
      expect(row!.cost).toBe(row!.input * 1000 + row!.output * 5000)
      expect(books.store.db.prepare('SELECT count(*) FROM attempts').pluck().get()).toBe(2)
      expect(books.gateway.metrics.inFlight).toBe(0)
      expect(await books.reader.verify()).toMatchObject({ ok: true, open: 0 })
    },
  )

  it('C26 while its call waits to be announced: no vendor is asked, nothing is charged', async () => {
    const upstream = await openUpstream((_req, res) => sendJson(res, 200, reply()))
    // A mode without the journal: its rows wait for the database.
    const books = await openBooks(upstream, {}, { mode: 'power' })
    const lock = await lockDatabase(books.file)
    onTestFinished(() => lock.close())
    const sent = begin(books, ask('m'))
    while (books.ledger.stats.busy === 0) await turn()
    sent.request.destroy()
    await sent.done
    // The gateway learns of it before it answers what comes after.
    for (let n = 0; n < 3; n++) await get(`${books.url}/metrics`)
    lock.release()
    const { requests, attempts } = await rowsOf(books, 1)
    expect(upstream.requests).toHaveLength(0)
    expect(requests).toMatchObject([
      { outcome: 'client_disconnected', status: 0, cost: 0, tokens_in: 0, tokens_out: 0 },
    ])
    expect(attempts.map(({ cost, input, output }) => [cost, input, output])).toEqual([[0, 0, 0]])
    expect(await books.reader.verify()).toMatchObject({ ok: true, open: 0 })
  })

  it('C26 between the finish and the end, while the row is being written: charged in full, once', async () => {
    const upstream = await openUpstream(async (_req, res) => {
      openSse(res)
      res.write(pieces)
      await finish
      res.end(
        [finishChunk(), { ...usageChunk, usage: { prompt_tokens: 9, completion_tokens: 80, total_tokens: 89 } }]
          .map(event)
          .join('') + DONE,
      )
    })
    let goOn = (): void => {}
    const finish = new Promise<void>((resolve) => {
      goOn = resolve
    })
    const books = await openBooks(upstream, {}, { mode: 'power' })
    const sent = begin(books, ask('m', { stream: true }))
    await firstBytes(sent)
    const lock = await lockDatabase(books.file)
    onTestFinished(() => lock.close())
    goOn()
    while (books.ledger.stats.busy === 0) await turn()
    sent.request.destroy()
    expect((await sent.done).text).not.toContain('[DONE]')
    lock.release()
    const { requests, attempts } = await rowsOf(books, 1)
    expect(requests).toHaveLength(1)
    expect(attempts.map(({ estimated, input, output, cost }) => [estimated, input, output, cost])).toEqual([
      [0, 9, 80, 9 * 1000 + 80 * 5000],
    ])
    expect(books.gateway.metrics.inFlight).toBe(0)
  })
})

describe('C27 every leg is on record', () => {
  const config = {
    providers: {},
    routes: { m: { targets: ['a/first', 'b/second'], retries: { attempts: 3, baseDelay: '5ms', budget: 1 } } },
  }

  it.each([false, true])(
    'C27 a fallback and a retry, stream %s: three rows with their reasons, faults and costs',
    async (stream) => {
      const upstream = await openUpstream(async (_req, res, body, n) => {
        const { model } = JSON.parse(body.toString()) as { model: string }
        // It had worked for a while when it broke: that is charged for, too.
        if (model === 'first') {
          res.writeHead(200, { 'content-type': 'application/json', 'content-length': 5000 })
          res.write('{"id":"x","choices":[{"mess')
          return cut(res)
        }
        if (n === 2) return sendJson(res, 503, { error: { message: 'overloaded' } })
        if (stream) return sendSse(res, [...chunks('one'), usageChunk].map(event).join('') + DONE)
        sendJson(res, 200, reply())
      })
      const books = await openBooks(upstream, {
        ...config,
        providers: { a: upstreamAt(upstream.url), b: upstreamAt(upstream.url) },
      })
      const { status, headers } = await chat(books, ask('m', { stream }))
      expect([status, headers['x-turnout-attempts']]).toEqual([200, '3'])
      const { requests, attempts } = await rowsOf(books, 1)
      expect(
        attempts.map(({ n, target, reason, status: got, estimated }) => [n, target, reason, got, estimated]),
      ).toEqual([
        [1, 'a/first', 'first', 200, 1],
        [2, 'b/second', 'fallback', 503, 0],
        [3, 'b/second', 'retry', 200, 0],
      ])
      const [first, second, third] = attempts
      expect([first!.fault === '', second!.fault, third!.fault]).toEqual([false, 'overloaded', ''])
      expect(first!.cost).toBe(first!.input * 1000)
      expect(first!.input).toBeGreaterThan(0)
      expect([second!.cost, third!.cost]).toEqual([0, 3 * 1000 + 2 * 5000])
      expect(requests).toMatchObject([{ outcome: 'ok', attempts: 3, cost: first!.cost! + third!.cost!, estimated: 1 }])
      expect(await books.reader.verify()).toMatchObject({ ok: true, attempts: 3 })
    },
  )

  it('C27 all legs of a request that failed, too', async () => {
    const upstream = await openUpstream((_req, res) => sendJson(res, 503, { error: { message: 'overloaded' } }))
    const books = await openBooks(upstream, {
      ...config,
      providers: { a: upstreamAt(upstream.url), b: upstreamAt(upstream.url) },
    })
    expect((await chat(books, ask('m'))).status).toBe(503)
    const { requests, attempts } = await rowsOf(books, 1)
    expect(attempts.map(({ reason, fault }) => [reason, fault])).toEqual([
      ['first', 'overloaded'],
      ['fallback', 'overloaded'],
      ['retry', 'overloaded'],
      ['retry', 'overloaded'],
    ])
    expect(upstream.requests).toHaveLength(4)
    expect(requests).toMatchObject([{ outcome: 'failed', status: 503, attempts: 4, cost: 0 }])
  })
})

describe('C54 migrations of the whole program', () => {
  async function openFolder(): Promise<{ folder: string; file: string; config: string }> {
    const folder = mkdtempSync(join(tmpdir(), 'turnout-migrated-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    const vendor = await startSimulator()
    onTestFinished(() => vendor.close())
    const config = join(folder, 'turnout.yaml')
    writeFileSync(
      config,
      JSON.stringify({
        server: { port: 0 },
        dataDir: folder,
        providers: { sim: upstreamAt(vendor.url) },
        routes: { m: 'sim/sim-fast' },
      }),
    )
    return { folder, file: join(folder, 'turnout.db'), config }
  }

  const query = (file: string, sql: string): unknown[] => {
    const Database = loadDriver()
    const db = new Database(file, { readonly: true })
    try {
      return db.prepare(sql).all()
    } finally {
      db.close()
    }
  }

  async function serveOnce(build: Build, { folder, config }: { folder: string; config: string }): Promise<void> {
    const server = await startServer({ build, folder, config })
    expect((await post(server.url + CHAT, ask('m'))).status).toBe(200)
    await server.stop()
  }

  it('C54 a database of every earlier version is brought up to date and served from, and keeps what was in it', {
    timeout: 300_000,
  }, async () => {
    const all = readMigrations(packageMigrations)
    const build = buildTurnout()
    for (let version = 1; version < all.length; version++) {
      const place = await openFolder()
      const Database = loadDriver()
      const old = new Database(place.file)
      old.pragma('journal_mode = WAL')
      migrate(old, place.file, all, 1, version)
      old.exec(
        "INSERT INTO instance (id, pid, host, version, started_at, heartbeat_at) VALUES ('old', 1, 'h', 'v', 1, 1)",
      )
      old.close()
      await serveOnce(build, place)
      expect(query(place.file, 'SELECT number FROM migration')).toHaveLength(all.length)
      expect(query(place.file, "SELECT version FROM instance WHERE id = 'old'")).toEqual([{ version: 'v' }])
      expect(query(place.file, 'SELECT outcome FROM requests')).toEqual([{ outcome: 'ok' }])
    }
  })

  it('C54 one that fails is rolled back, the program refuses to start and says why, and the earlier program goes on', {
    timeout: 300_000,
  }, async () => {
    const good = buildTurnout()
    const place = await openFolder()
    await serveOnce(good, place)
    const schema = query(place.file, 'SELECT type, name, sql FROM sqlite_schema ORDER BY name')
    const bad = copyBuild(good)
    onTestFinished(() => bad.remove())
    const name = `${String(readMigrations(packageMigrations).length + 1).padStart(4, '0')}_broken.sql`
    writeFileSync(
      join(bad.folder, 'migrations', name),
      'CREATE TABLE half (a INTEGER);\nDELETE FROM request;\nINSERT INTO nowhere VALUES (1);\n',
    )
    const refused = spawnServer({ build: bad, ...place })
    await expect(refused.listening).rejects.toThrow(new RegExp(`ended with 1: .*${name}.*nowhere`, 's'))
    await refused.kill()
    expect(query(place.file, 'SELECT type, name, sql FROM sqlite_schema ORDER BY name')).toEqual(schema)
    expect(query(place.file, 'SELECT outcome FROM requests')).toHaveLength(1)
    await serveOnce(good, place)
    expect(query(place.file, 'SELECT outcome FROM requests')).toHaveLength(2)
  })
})

describe('C57 retention beside traffic', () => {
  it('C57 a start with a hundred days of old rows deletes them in small steps, and no request waits for it', {
    timeout: 300_000,
  }, async () => {
    const place = await openPlace({ ledger: { retentionDays: 30 } })
    onTestFinished(() => place.close())
    const store = openStore({ file: place.file })
    const ledger = openLedger(store)
    const day = 86_400_000
    const oldest = 12_000
    for (let n = 0; n < oldest; n++) {
      const id = firstIdOf(Date.now() - (31 + (n % 70) + 1) * day) + n * 64
      void ledger.settle(requestRow(id), [attemptRow(id)])
    }
    await ledger.close()
    store.close()

    await place.start()
    const Database = loadDriver()
    const reader = new Database(place.file, { readonly: true })
    onTestFinished(() => void reader.close())
    const count = reader.prepare('SELECT count(*) FROM request WHERE id < ?').pluck()
    const seen = new Set<number>()
    let over = false
    const clients = Array.from({ length: 4 }, async (_, n) => {
      while (!over && place.sightings.length < 800) expect((await place.ask('quick', n % 2 === 0)).seen).toBe('whole')
    })
    for (let left = oldest; left > 0; ) {
      left = count.get(firstIdOf(Date.now() - 31 * day)) as number
      seen.add(left)
      await turn()
    }
    over = true
    await Promise.all(clients)
    // Seen from outside there are only whole steps of two hundred requests, and many of them.
    expect([...seen].filter((left) => left % 200 !== 0)).toEqual([])
    expect(seen.size).toBeGreaterThan(10)
    expect(place.sightings.length).toBeGreaterThan(10)
    const rows = reader.prepare('SELECT count(*) FROM request').pluck()
    // What went through the journal is in the file a moment later.
    await expect.poll(() => rows.get(), { timeout: 60_000 }).toBe(place.sightings.length)
    expect(reader.prepare('SELECT sum(requests) FROM rollup').pluck().get()).toBe(oldest + place.sightings.length)
    expect(verifyLedger(reader)).toMatchObject({ ok: true, requests: place.sightings.length })
    expect(place.compare()).toMatchObject({ wrong: [], rows: place.sightings.length })
  })
})

// C53: a locked database and a full one neither stop the event loop nor lose what was settled.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadDriver, type Sqlite } from '../src/store/driver.ts'
import { classifyFailure } from '../src/store/failure.ts'
import { type Ledger, type LedgerOptions, openLedger } from '../src/store/ledger.ts'
import { dayOf, firstIdOf, firstKeptId } from '../src/store/ledgerId.ts'
import type { LedgerError } from '../src/store/ledgerRow.ts'
import { openStore, type Store } from '../src/store/open.ts'
import { openReader } from '../src/store/reader.ts'
import { verifyLedger } from '../src/store/verify.ts'
import { attemptRow, intentOf, requestRow } from './support/ledgerRows.ts'

let folder: string
let store: Store
let other: Sqlite
let ledger: Ledger
const troubles: { code: string; count: number }[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-trouble-'))
  store = openStore({ file: join(folder, 'turnout.db') })
  const Database = loadDriver()
  other = new Database(store.file)
  troubles.length = 0
})

afterEach(async () => {
  if (other.inTransaction) other.exec('ROLLBACK')
  other.close()
  await ledger.close()
  store.close()
  rmSync(folder, { recursive: true, force: true })
})

function open(options: LedgerOptions = {}): void {
  ledger = openLedger(store, { onTrouble: ({ code }, count) => void troubles.push({ code, count }), ...options })
}

const count = (table: string): number => store.db.prepare(`SELECT count(*) FROM ${table}`).pluck().get() as number
const outcomeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'done',
    (error: LedgerError) => (error.kept ? `${error.code}, kept` : error.code),
  )

async function oneRequest(): Promise<void> {
  const id = ledger.nextRequestId()
  await ledger.intend(intentOf(id))
  await pause(1)
  await ledger.settle(requestRow(id), [attemptRow(id)])
}

describe('C53 a locked database', () => {
  it('C53 a second of lock under load delays, but freezes and loses nothing', async () => {
    open()
    const load = Array.from({ length: 20 }, async () => {
      const end = performance.now() + 1500
      let made = 0
      for (; performance.now() < end; made++) await oneRequest()
      return made
    })
    await pause(200)
    other.exec('BEGIN IMMEDIATE')
    const delay = monitorEventLoopDelay({ resolution: 5 })
    delay.enable()
    const settledBefore = count('request')
    await pause(1000)
    expect(count('request')).toBe(settledBefore)
    delay.disable()
    other.exec('ROLLBACK')
    const made = (await Promise.all(load)).reduce((sum, one) => sum + one, 0)
    await ledger.flush()
    expect(ledger.stats.busy).toBeGreaterThan(0)
    expect(ledger.stats.failures.locked).toBe(0)
    expect(count('request')).toBe(made)
    expect(verifyLedger(store.db)).toMatchObject({ ok: true, requests: made })
    // A busy wait of the driver would show as one stall of a second.
    expect(delay.max / 1e6).toBeLessThan(900)
  })

  it('C53 a lock longer than the patience refuses intents, keeps settled rows in the journal, and writes them afterwards', async () => {
    open({ lockTimeout: 100 })
    const [settled, early, refused] = [ledger.nextRequestId(), ledger.nextRequestId(), ledger.nextRequestId()]
    await ledger.intend(intentOf(settled))
    other.exec('BEGIN IMMEDIATE')
    // A short lock delays nobody: the journal takes the rows.
    expect(await outcomeOf(ledger.intend(intentOf(early)))).toBe('done')
    await expect.poll(() => ledger.stats.failures.locked, { timeout: 10_000 }).toBe(1)
    expect(troubles).toEqual([{ code: 'locked', count: 1 }])
    const outcomes = [ledger.settle(requestRow(settled), [attemptRow(settled)]), ledger.intend(intentOf(refused))]
    expect(await Promise.all(outcomes.map(outcomeOf))).toEqual(['done', 'locked'])
    expect(ledger.trouble?.code).toBe('locked')
    expect(ledger.stats.behind()).toBe(2)
    expect(count('request')).toBe(0)
    other.exec('ROLLBACK')
    await expect.poll(() => ledger.stats.behind(), { timeout: 10_000 }).toBe(0)
    expect(ledger.trouble).toBeUndefined()
    expect(store.db.prepare('SELECT id FROM request').pluck().all()).toEqual([settled])
    expect(store.db.prepare('SELECT id FROM intent WHERE id > ?').pluck().all(refused)).toEqual([])
    await ledger.settle(requestRow(early), [attemptRow(early)])
    // And the next one goes through at once.
    await oneRequest()
    await ledger.flush()
    expect(ledger.stats).toMatchObject({ kept: 0, lost: 0 })
    expect(verifyLedger(store.db)).toMatchObject({ ok: true, requests: 3 })
  })

  it('C53 who does not wait for the database is in no trouble by its lock', async () => {
    open({ mode: 'relaxed', lockTimeout: 20 })
    other.exec('BEGIN IMMEDIATE')
    await ledger.intend(intentOf(ledger.nextRequestId()))
    await expect.poll(() => ledger.stats.failures.locked, { timeout: 10_000 }).toBeGreaterThan(0)
    expect(await outcomeOf(ledger.intend(intentOf(ledger.nextRequestId())))).toBe('done')
    expect(ledger.trouble).toBeUndefined()
    other.exec('ROLLBACK')
  })

  it('C53 a checkpoint that meets a lock is no row that was refused', async () => {
    open()
    await oneRequest()
    await ledger.flush()
    other.exec('BEGIN IMMEDIATE')
    expect(await ledger.keeper.checkpoint()).toMatchObject({ frames: expect.any(Number) })
    other.exec('ROLLBACK')
    await ledger.flush()
    expect(Object.values(ledger.stats.failures).filter((count) => count > 0)).toEqual([])
  })

  it('C53 what SQLite does not take until the end waits in the journal for the next start', async () => {
    open({ lockTimeout: 20 })
    const id = ledger.nextRequestId()
    other.exec('BEGIN IMMEDIATE')
    expect(await outcomeOf(ledger.settle(requestRow(id), [attemptRow(id)]))).toBe('done')
    await ledger.close()
    expect(ledger.stats).toMatchObject({ lost: 0, kept: 0 })
    other.exec('ROLLBACK')
    expect(count('request')).toBe(0)
    open()
    expect(ledger.stats.recovered).toBe(1)
    expect(verifyLedger(store.db)).toMatchObject({ ok: true, requests: 1 })
  })
})

describe('C53 a full disk', () => {
  it('C53 refuses with a type, keeps settled rows, goes on by itself when there is room', async () => {
    open()
    const pages = store.db.pragma('page_count', { simple: true }) as number
    store.db.pragma(`max_page_count = ${pages + 2}`)
    const outcomes: string[] = []
    for (let i = 0; i < 300; i++) {
      const id = ledger.nextRequestId()
      const intent = await outcomeOf(ledger.intend(intentOf(id, 1, { user: `u_${i}` })))
      // As with `serve`: the call is made although it could not be announced.
      outcomes.push(intent, await outcomeOf(ledger.settle(requestRow(id, { user: `u_${i}` }), [attemptRow(id)])))
    }
    expect(new Set(outcomes)).toEqual(new Set(['done', 'full, kept', 'full']))
    const kept = outcomes.filter((outcome) => outcome === 'full, kept').length
    expect(ledger.stats).toMatchObject({ kept, lost: 0 })
    expect([troubles[0]?.code, ledger.trouble?.code]).toEqual(['full', 'full'])
    // Loud, but not a line per row.
    expect(troubles.length).toBeLessThan(20)
    store.db.pragma('max_page_count = 1073741823')
    await expect.poll(() => ledger.stats.kept, { timeout: 60_000 }).toBe(0)
    await ledger.flush()
    expect(ledger.stats.recovered).toBe(kept)
    expect(ledger.trouble).toBeUndefined()
    expect(count('request')).toBe(300)
    expect(verifyLedger(store.db)).toMatchObject({ ok: true, requests: 300 })
  })
})

describe('the thread that keeps the database small', () => {
  it('says what kind of trouble it met, as the writer does', async () => {
    open()
    await oneRequest()
    await ledger.flush()
    other.exec('BEGIN IMMEDIATE')
    const failure = await ledger.keeper.erase('u_somebody').catch((error: unknown) => error)
    other.exec('ROLLBACK')
    expect(failure).toMatchObject({ code: 'SQLITE_BUSY', message: 'database is locked' })
    expect(classifyFailure(failure).code).toBe('locked')
  })
})

describe('readers of this process', () => {
  it('find the row of a reply that went out before its commit', async () => {
    open({ mode: 'relaxed' })
    const reader = openReader(store.file, ledger.bringIn)
    for (let made = 1; made <= 3; made++) {
      await oneRequest()
      expect((await reader.requests()).rows).toHaveLength(made)
    }
    // One that is erased right after its reply does not come back.
    const id = ledger.nextRequestId()
    await ledger.settle(requestRow(id, { user: 'u_gone' }), [attemptRow(id)])
    expect(await ledger.keeper.erase('u_gone')).toBe(1)
    await reader.close()
  })

  it('find what was kept in memory as soon as there is room; until then no user is erased', async () => {
    open({ mode: 'power' })
    const reader = openReader(store.file, ledger.bringIn)
    store.db.pragma(`max_page_count = ${store.db.pragma('page_count', { simple: true })}`)
    const id = ledger.nextRequestId()
    const tags = { long: 'x'.repeat(60_000) }
    const settled = ledger.settle(requestRow(id, { user: 'u_kept', tags }), [attemptRow(id)])
    expect(await outcomeOf(settled)).toBe('full, kept')
    expect(await ledger.bringIn()).toBe(false)
    await expect(ledger.keeper.erase('u_kept')).rejects.toThrow('cannot be written yet')
    store.db.pragma('max_page_count = 1073741823')
    expect((await reader.requests()).rows).toHaveLength(1)
    expect(await ledger.keeper.erase('u_kept')).toBe(1)
    await reader.close()
  })
})

describe('C57 retention and erasure', () => {
  const day = 86_400_000

  it('C57 deletes in bounded steps beside live traffic, keeps the daily sums, and verify agrees', async () => {
    // Ids hold their time: these rows are ten days old.
    const past = Date.now() - 10 * day
    open()
    const settle = (id: number): Promise<void> => ledger.settle(requestRow(id), [attemptRow(id), attemptRow(id, 2)])
    const old: Promise<void>[] = []
    for (let i = 0; i < 2500; i++) {
      const id = firstIdOf(past + i * 10)
      old.push(settle(id))
    }
    await Promise.all(old)
    const sum = store.db.prepare('SELECT sum(cost), sum(requests) FROM rollup').get()

    let steps = 0
    let last = count('request')
    const live: Promise<void>[] = []
    const watch = setInterval(() => {
      const rest = count('request')
      if (rest < last) steps++
      last = rest
      live.push(oneRequest())
    }, 1)
    const deleted = await ledger.keeper.retain(firstKeptId(5, Date.now()), {
      batch: 100,
    })
    clearInterval(watch)
    await Promise.all(live)
    await ledger.flush()
    expect(deleted).toBe(2500)
    expect(steps).toBeGreaterThan(3)
    expect(count('request')).toBe(live.length)
    expect(count('attempt')).toBe(live.length)
    const after = store.db
      .prepare('SELECT sum(cost), sum(requests) FROM rollup WHERE day <= ?')
      .get(dayOf(firstIdOf(past + day)))
    expect(after).toEqual(sum)
    expect(verifyLedger(store.db)).toMatchObject({ ok: true, requests: live.length })
  })

  it('C57 retention stops between steps when it is told to', async () => {
    open()
    for (let i = 0; i < 300; i++) await oneRequest()
    await ledger.flush()
    const stop = new AbortController()
    stop.abort()
    expect(await ledger.keeper.retain(Number.MAX_SAFE_INTEGER, { batch: 100, signal: stop.signal })).toBe(100)
    expect(count('request')).toBe(200)
  })

  it('a user is taken out of all rows, and of no other', async () => {
    open()
    const settled: Promise<void>[] = []
    for (let i = 0; i < 900; i++) {
      const id = ledger.nextRequestId()
      settled.push(
        ledger.settle(requestRow(id, { user: i % 3 === 0 ? 'u_a' : 'u_b', tags: { mail: 'a' } }), [attemptRow(id)]),
      )
    }
    await Promise.all(settled)
    expect(await ledger.keeper.erase('u_a')).toBe(300)
    const rows = store.db
      .prepare('SELECT user, count(*) AS n, count(tags) AS tags FROM request GROUP BY user ORDER BY user')
      .all()
    expect(rows).toEqual([
      { user: null, n: 300, tags: 0 },
      { user: 'u_b', n: 600, tags: 600 },
    ])
    expect(verifyLedger(store.db)).toMatchObject({ ok: true, requests: 900 })
  })
})

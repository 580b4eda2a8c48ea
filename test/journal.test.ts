// The ledger's journal: what is appended comes back once, what was cut short or is of another time does not.
import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Entry } from '../src/store/batch.ts'
import { loadDriver, StoreError } from '../src/store/driver.ts'
import { hasRecords, journalFile, openJournal, readJournal } from '../src/store/journal.ts'
import { readJournalPlace } from '../src/store/journalPlace.ts'
import { type Ledger, openLedger } from '../src/store/ledger.ts'
import { bringInLeftovers, catchUp } from '../src/store/leftovers.ts'
import { packageMigrations, readMigrations } from '../src/store/migrate.ts'
import { openStore, type Store } from '../src/store/open.ts'
import { openReader } from '../src/store/reader.ts'
import { restoreFrom } from '../src/store/restore.ts'
import { readBetween } from '../src/store/rolloutRows.ts'
import { verifyLedger } from '../src/store/verify.ts'
import { attemptRow, intentOf, requestRow } from './support/ledgerRows.ts'
import { leaveOlderRun, olderFacts } from './support/olderRun.ts'

let folder: string
let file: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-journal-'))
  file = join(folder, 'turnout.db')
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

const beat = (at: number): Entry => ({ kind: 'heartbeat', at })
const start = { epoch: 0, offset: 0 }
const read = (from = start) => [...readJournal(journalFile(file), from)].map(({ entries }) => entries)
function damageOf(from = start): number {
  const damage = { bytes: 0 }
  for (const _ of readJournal(journalFile(file), from, damage));
  return damage.bytes
}

describe('the file', () => {
  it('gives back each record in order, and from a place on only what is behind it', () => {
    const journal = openJournal(journalFile(file), 0)
    const settle: Entry = {
      kind: 'settle',
      request: requestRow(64, { tags: { city: 'Zürich 🚂' } }),
      attempts: [attemptRow(64)],
    }
    journal.append([{ kind: 'intent', intent: intentOf(64) }, settle])
    const { place } = journal
    journal.append([beat(1)])
    expect(read()).toEqual([[{ kind: 'intent', intent: intentOf(64) }, settle], [beat(1)]])
    expect(read(place)).toEqual([[beat(1)]])
    expect(read(journal.place)).toEqual([])
    expect(statSync(journalFile(file)).mode & 0o777).toBe(0o600)
    journal.close(true)
    expect(existsSync(journalFile(file))).toBe(false)
    expect(read()).toEqual([])
  })

  it('ends before a last record that was cut short or damaged, wherever that is', () => {
    const journal = openJournal(journalFile(file), 0)
    journal.append([beat(1)])
    const { offset } = journal.place
    journal.append([beat(2), beat(3)])
    journal.close(false)
    const whole = readFileSync(journalFile(file))
    for (let length = offset; length < whole.length; length++) {
      truncateSync(journalFile(file), length)
      expect(read()).toEqual([[beat(1)]])
      expect(damageOf()).toBe(0)
    }
    for (let at = offset; at < whole.length; at++) {
      const damaged = Buffer.from(whole)
      damaged[at]! ^= 0x10
      writeFileSync(journalFile(file), damaged)
      expect(read()).toEqual([[beat(1)]])
    }
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(40), whole.subarray(0, 15)]) {
      writeFileSync(journalFile(file), bytes)
      expect(read()).toEqual([])
    }
  })

  it('loses to a bad byte the record that it is in, and none behind it', () => {
    const journal = openJournal(journalFile(file), 0)
    journal.append([beat(1)])
    const { offset } = journal.place
    journal.append([beat(2)])
    const end = journal.place.offset
    journal.append([beat(3), beat(4)])
    journal.append([beat(5)])
    journal.close(false)
    const whole = readFileSync(journalFile(file))
    for (let at = 0; at < end; at++) {
      const damaged = Buffer.from(whole)
      damaged[at]! ^= 0x10
      writeFileSync(journalFile(file), damaged)
      const first = at < 16 || at >= offset ? [[beat(1)]] : []
      const second = at < offset ? [[beat(2)]] : []
      expect(read(), `byte ${at}`).toEqual([...first, ...second, [beat(3), beat(4)], [beat(5)]])
      expect(damageOf(), `byte ${at}`).toBeGreaterThan(0)
    }
    writeFileSync(journalFile(file), whole)
    expect(damageOf()).toBe(0)
  })

  it('takes nothing of an epoch that was ended, nor of one that was brought in', () => {
    const journal = openJournal(journalFile(file), 4)
    journal.append([beat(1)])
    const old = readFileSync(journalFile(file)).subarray(16)
    expect(read({ epoch: 6, offset: 0 })).toEqual([])
    journal.restart()
    expect(journal.place).toEqual({ epoch: 6, offset: 16 })
    // What would be left where a file cannot be cut.
    appendFileSync(journalFile(file), old)
    expect(read({ epoch: 5, offset: 60 })).toEqual([])
    expect(damageOf({ epoch: 5, offset: 60 })).toBe(0)
    journal.append([beat(2)])
    expect(read({ epoch: 5, offset: 60 })).toEqual([[beat(2)]])
    journal.close(false)
  })
})

describe('a journal that cannot be opened', () => {
  it.each(['process', 'power'] as const)('is told in plain words at the start, mode %s', (mode) => {
    const store = openStore({ file })
    mkdirSync(journalFile(file))
    try {
      expect(() => openLedger(store, { mode })).toThrow(StoreError)
      expect(() => openLedger(store, { mode })).toThrow(`The journal ${journalFile(file)} `)
    } finally {
      store.close()
    }
  })

  it('is told in plain words when the database has no room for what it holds', () => {
    const journal = openJournal(journalFile(file), 0)
    journal.append([{ kind: 'settle', request: requestRow(64), attempts: [attemptRow(64, 1, { served: 'x' })] }])
    journal.close(false)
    const store = openStore({ file })
    const trouble = 'CREATE TRIGGER full BEFORE INSERT ON request BEGIN SELECT sqlite_full(); END'
    store.db.function('sqlite_full', () => {
      throw Object.assign(new Error('disk I/O error'), { code: 'SQLITE_IOERR' })
    })
    store.db.exec(trouble)
    try {
      expect(() => openLedger(store)).toThrow(`The journal ${journalFile(file)} `)
      expect(read()).toHaveLength(1)
      store.db.exec('DROP TRIGGER full')
      expect(openLedger(store).stats.recovered).toBe(1)
    } finally {
      store.close()
    }
  })
})

describe('a journal with a bad byte in it', () => {
  const rowOf = (id: number): Entry => ({ kind: 'settle', request: requestRow(id), attempts: [attemptRow(id)] })

  beforeEach(() => {
    openStore({ file }).close()
    const journal = openJournal(journalFile(file), 0)
    for (const id of [64, 128, 192]) journal.append([rowOf(id)])
    journal.close(false)
    const bytes = readFileSync(journalFile(file))
    bytes[bytes.length >> 1]! ^= 1
    writeFileSync(journalFile(file), bytes)
  })

  const keptOf = (): string[] => readdirSync(folder).filter((name) => name.includes('.journal.damaged-'))
  const idsOf = (store: Store): unknown[] => store.db.prepare('SELECT id FROM request ORDER BY id').pluck().all()

  it('gives the start all other rows, and is kept', async () => {
    const store = openStore({ file })
    const ledger = openLedger(store)
    try {
      expect(idsOf(store)).toEqual([64, 192])
      const [kept] = keptOf()
      expect(ledger.stats.damagedJournal).toMatchObject({ kept: join(folder, kept!), bytes: expect.any(Number) })
    } finally {
      await ledger.close()
      store.close()
    }
    const again = openStore({ file })
    const next = openLedger(again)
    expect(next.stats.damagedJournal).toBeUndefined()
    await next.close()
    again.close()
    expect(keptOf()).toHaveLength(1)
  })

  it.each([
    ['the next start', 'INSERT ON request WHEN new.id = 256'],
    ['who only reads', 'INSERT ON request WHEN new.id = 256'],
    // Nothing behind the damage got in: it is seen a second time.
    ['a start after one that wrote nothing', 'INSERT ON request WHEN new.id = 192'],
  ])('is kept once, and told of, also where a start has failed behind the damage: %s', async (who, where) => {
    // The last record goes behind one that is sound.
    const bytes = readFileSync(journalFile(file))
    const other = openJournal(join(folder, 'other'), 0)
    other.append([rowOf(256)])
    other.close(false)
    writeFileSync(journalFile(file), Buffer.concat([bytes, readFileSync(join(folder, 'other')).subarray(16)]))
    const damaged = readFileSync(journalFile(file))

    const store = openStore({ file })
    store.db.function('sqlite_full', () => {
      throw Object.assign(new Error('disk I/O error'), { code: 'SQLITE_IOERR' })
    })
    store.db.exec(`CREATE TRIGGER full BEFORE ${where} BEGIN SELECT sqlite_full(); END`)
    expect(() => openLedger(store)).toThrow('cannot be brought into the database')
    store.db.exec('DROP TRIGGER full')
    store.close()

    const told: string[] = []
    if (who === 'who only reads') expect(await catchUp(file, (text) => void told.push(text))).toBe(true)
    const next = openStore({ file })
    const ledger = openLedger(next)
    try {
      expect(idsOf(next)).toEqual([64, 192, 256])
      const kept = keptOf()
      expect(kept).toHaveLength(1)
      expect(readFileSync(join(folder, kept[0]!))).toEqual(damaged)
      const { damagedJournal } = ledger.stats
      expect(damagedJournal?.bytes ?? Number(/ was damaged: (\d+) bytes/.exec(told[0]!)![1])).toBe(
        damageOfFile(damaged),
      )
    } finally {
      await ledger.close()
      next.close()
    }
    expect(readFileSync(join(folder, keptOf()[0]!))).toEqual(damaged)
  })

  function damageOfFile(bytes: Buffer): number {
    const path = join(folder, 'again')
    writeFileSync(path, bytes)
    const damage = { bytes: 0 }
    for (const _ of readJournal(path, start, damage));
    expect(damage.bytes).toBeGreaterThan(0)
    return damage.bytes
  }

  it('gives them to who only reads, too, who is told of it', async () => {
    const told: string[] = []
    expect(await catchUp(file, (text) => void told.push(text))).toBe(true)
    expect(told).toEqual([expect.stringContaining(`It is kept as ${join(folder, keptOf()[0]!)}`)])
    const reader = openStore({ file, readonly: true })
    expect(idsOf(reader)).toEqual([64, 192])
    reader.close()
  })
})

it('what a dead run of an older program left waits for the start: who only reads does not change the schema', async () => {
  leaveOlderRun(file)
  const told: string[] = []
  expect(await catchUp(file, (text) => void told.push(text))).toBe(false)
  expect(told).toEqual([expect.stringContaining('the next start brings them in')])
  expect(read()).toHaveLength(1)
  const migrating: number[] = []
  const store = openStore({ file, migrating: (from, to) => void migrating.push(from, to) })
  const ledger = openLedger(store)
  const { length } = readMigrations(packageMigrations)
  expect(migrating).toEqual([length - 1, length])
  expect(ledger.stats.recovered).toBe(1)
  const [said] = [...readBetween(store.db, olderFacts.rolloutId, olderFacts.attempt, 0, 1000)]
  expect(said).toEqual({
    ...{ id: 64, revision: 3, arrival: 9, unit: undefined, firstAttempt: 'ok' },
    record: { epoch: 2_900_000, ppm: 50_000, canary: true, seen: 511, bad: 4, shares: undefined },
  })
  expect(store.db.prepare('SELECT rollout, served_arm FROM requests').get()).toEqual({
    rollout: 'my move',
    served_arm: 'canary',
  })
  await ledger.close()
  store.close()
})

it('what a live run of an older program has not written yet is waited for', async () => {
  const store = openStore({ file })
  // As far as anybody can see: the older program itself is not here to write.
  store.db.prepare('DELETE FROM migration WHERE number = ?').run(readMigrations(packageMigrations).length)
  const ledger = openLedger(store, { smallCommits: 0 })
  const Database = loadDriver()
  const other = new Database(file)
  try {
    other.exec('BEGIN IMMEDIATE')
    for (let i = 0; i < 5; i++) {
      const id = ledger.nextRequestId()
      await ledger.settle(requestRow(id), [attemptRow(id)])
    }
    const told: string[] = []
    const caught = catchUp(file, (text) => void told.push(text))
    other.exec('ROLLBACK')
    expect(await caught).toBe(true)
    expect(told).toEqual([])
    expect(store.db.prepare('SELECT count(*) FROM request').pluck().get()).toBe(5)
  } finally {
    other.close()
    await ledger.close()
    store.close()
  }
})

describe('a ledger that goes through it', () => {
  let store: Store
  let ledger: Ledger

  beforeEach(() => {
    store = openStore({ file })
    ledger = openLedger(store, { smallCommits: 0 })
  })

  afterEach(async () => {
    await ledger.close()
    store.close()
  })

  const count = (): number => store.db.prepare('SELECT count(*) FROM request').pluck().get() as number
  async function makeRequests(number: number, user = 'u_a'): Promise<void> {
    for (let i = 0; i < number; i++) {
      const id = ledger.nextRequestId()
      await ledger.intend(intentOf(id, 1, { user }))
      await ledger.settle(requestRow(id, { user }), [attemptRow(id)])
    }
  }

  it('has each row once in SQLite a moment later, in far fewer transactions', async () => {
    for (let group = 0; group < 30; group++) {
      // Ten in one turn are one record, and so in one transaction however slow this machine is.
      const ids = Array.from({ length: 10 }, () => ledger.nextRequestId())
      await Promise.all(ids.map((id) => ledger.settle(requestRow(id), [attemptRow(id)])))
    }
    await expect.poll(count, { timeout: 10_000 }).toBe(300)
    expect(ledger.stats.journaled).toBeGreaterThan(200)
    expect(ledger.stats.commits).toBeLessThan(100)
    expect(verifyLedger(store.db)).toMatchObject({ ok: true, requests: 300, open: 0 })
    expect(read(readJournalPlace(store.db))).toEqual([])
  })

  it('shows a reader of this process every settled row', async () => {
    const reader = openReader(file, ledger.bringIn)
    for (let i = 1; i <= 5; i++) {
      await makeRequests(1)
      expect((await reader.requests()).rows).toHaveLength(i)
    }
    await reader.close()
  })

  it('makes a reader of this process wait while another program or thread holds the database', async () => {
    const reader = openReader(file, ledger.bringIn)
    await reader.requests()
    const Database = loadDriver()
    const other = new Database(file)
    other.exec('BEGIN IMMEDIATE')
    await makeRequests(3)
    expect(ledger.stats.behind()).toBeGreaterThanOrEqual(3)
    const ready = ledger.bringIn()
    expect(ready).not.toBe(true)
    const page = reader.requests()
    other.exec('ROLLBACK')
    expect((await page).rows).toHaveLength(3)
    expect(await ready).toBe(true)

    // For two seconds; a budget begins with all that was spent or not at all.
    other.exec('BEGIN IMMEDIATE')
    await makeRequests(1)
    const [shown, budget] = await Promise.allSettled([
      reader.requests(),
      reader.budgetSpend({ from: 0, by: [], slice: 0 } as never),
    ])
    expect(shown).toMatchObject({ status: 'fulfilled', value: { rows: { length: 3 } } })
    expect(budget).toMatchObject({ status: 'rejected', reason: { message: expect.stringContaining('last rows') } })
    const late = reader.requests()
    await reader.close()
    other.exec('ROLLBACK')
    other.close()
    await expect(late).rejects.toThrow('the reader is closed')
  })

  it('makes a reader of another process wait for what was durable when it came', async () => {
    const Database = loadDriver()
    const other = new Database(file)
    other.exec('BEGIN IMMEDIATE')
    await makeRequests(3)
    expect(count()).toBe(0)
    const caught = catchUp(file)
    other.exec('ROLLBACK')
    expect(await caught).toBe(true)
    expect(count()).toBe(3)
    // Nothing to wait for.
    expect(await catchUp(file)).toBe(true)

    other.exec('BEGIN IMMEDIATE')
    await makeRequests(1)
    const dead = join(folder, 'dead')
    expect(spawnSync('sh', ['-c', `mkdir ${dead} && cp ${file}* ${dead} && rm ${dead}/*.lock`]).status).toBe(0)
    const copy = join(dead, 'turnout.db')
    // A gateway that starts there, and dies before it has brought anything in.
    const starting = new Database(`${copy}.lock`)
    starting.exec('BEGIN EXCLUSIVE')
    const [inTime, afterDeath] = [catchUp(file), catchUp(copy)]
    starting.close()
    expect(await inTime).toBe(false)
    expect(await afterDeath).toBe(true)
    const reader = openStore({ file: copy, readonly: true })
    expect(reader.db.prepare('SELECT count(*) FROM request').pluck().get()).toBe(4)
    reader.close()
    other.exec('ROLLBACK')
    other.close()
  })

  it('leaves no trace of an erased user in the file', async () => {
    await makeRequests(20, 'u_forgotten')
    expect(readFileSync(journalFile(file), 'latin1')).toContain('u_forgotten')
    expect(await ledger.keeper.erase('u_forgotten')).toBe(20)
    expect(readFileSync(journalFile(file), 'latin1')).not.toContain('u_forgotten')
    expect(store.db.prepare("SELECT count(*) FROM request WHERE user = 'u_forgotten'").pluck().get()).toBe(0)
  })

  it('is removed by a clean end, and begins anew when it has grown', async () => {
    const tags = { long: 'x'.repeat(60_000) }
    for (let i = 0; i < 80; i++) {
      const id = ledger.nextRequestId()
      await ledger.settle(requestRow(id, { tags }), [attemptRow(id)])
      if (i % 10 === 9) await ledger.flush()
    }
    expect(statSync(journalFile(file)).size).toBeLessThan(4_200_000)
    expect(count()).toBe(80)
    await ledger.close()
    expect(existsSync(journalFile(file))).toBe(false)
  })

  it('is brought in for who reads the ledger of a dead run, and moved away by a restore', async () => {
    await makeRequests(1)
    await ledger.flush()
    const copy = await openBackup()
    const before = readJournalPlace(store.db)
    await makeRequests(10)
    // As a kill leaves it: the file with rows that SQLite does not have.
    const left = readFileSync(journalFile(file))
    expect(read(before)).toHaveLength(20)
    await ledger.close()
    store.db.prepare('DELETE FROM request WHERE id > (SELECT min(id) FROM request)').run()
    store.db.prepare('DELETE FROM attempt WHERE id > (SELECT min(id) FROM attempt)').run()
    store.db.prepare("UPDATE ledger_mark SET value = ? WHERE mark = 'journal_offset'").run(before.offset)
    writeFileSync(journalFile(file), left)
    // A gateway that runs does it by itself.
    bringInLeftovers(file)
    expect(count()).toBe(1)
    store.close()
    bringInLeftovers(file)
    expect(hasRecords(journalFile(file))).toBe(false)
    store = openStore({ file })
    expect(count()).toBe(11)
    store.close()

    writeFileSync(journalFile(file), left)
    restoreFrom(copy, file)
    expect(existsSync(journalFile(file))).toBe(false)
    store = openStore({ file })
    ledger = openLedger(store)
    expect(count()).toBe(1)
    expect(ledger.stats.recovered).toBe(0)
  })

  it('brings in what a dead run left without passing for a run: its open calls stay in flight, its last sign stays known', async () => {
    const [settled, open] = [ledger.nextRequestId(), ledger.nextRequestId()]
    await ledger.settle(requestRow(settled), [attemptRow(settled)])
    await ledger.intend(intentOf(open))
    const dead = join(folder, 'dead')
    expect(spawnSync('sh', ['-c', `mkdir ${dead} && cp ${file}* ${dead}`]).status).toBe(0)
    const copy = join(dead, 'turnout.db')
    const at = Date.now() + 5000
    appendTo(copy, [beat(at)])
    bringInLeftovers(copy)
    const reader = openStore({ file: copy, readonly: true })
    expect(verifyLedger(reader.db)).toMatchObject({ ok: true, requests: 1, open: 1 })
    expect(
      reader.db.prepare('SELECT max(heartbeat_at), count(*), count(stopped_at) FROM instance').raw().get(),
    ).toEqual([at, 1, 0])
    reader.close()
  })

  it('needs no right to write where nothing is left to bring in', async () => {
    await makeRequests(3)
    await ledger.flush()
    expect(hasRecords(journalFile(file))).toBe(true)
    const copy = join(folder, 'copy.db')
    expect(
      spawnSync('sh', ['-c', `for e in '' -wal -journal .journal; do cp ${file}$e ${copy}$e; done; true`]).status,
    ).toBe(0)
    // Where this is a folder no lock can be taken.
    mkdirSync(`${copy}.lock`)
    bringInLeftovers(copy)
  })

  it('is wiped before a user is erased, however long another program holds the database', async () => {
    const Database = loadDriver()
    const other = new Database(file)
    await makeRequests(3, 'u_forgotten')
    await ledger.flush()
    other.exec('BEGIN IMMEDIATE')
    const id = ledger.nextRequestId()
    await ledger.settle(requestRow(id, { user: 'u_forgotten' }), [attemptRow(id)])
    const erased = ledger.keeper.erase('u_forgotten')
    // Its thread waits for the lock as the journal does, and may get it first.
    await expect.poll(() => ledger.stats.busy, { timeout: 10_000 }).toBeGreaterThan(0)
    other.exec('ROLLBACK')
    other.close()
    expect(await erased).toBe(4)
    await ledger.flush()
    expect(store.db.prepare("SELECT count(*) FROM request WHERE user = 'u_forgotten'").pluck().get()).toBe(0)
    expect(readFileSync(journalFile(file), 'latin1')).not.toContain('u_forgotten')
  })

  it('says so when a user cannot be erased because SQLite takes nothing', async () => {
    await makeRequests(1, 'u_forgotten')
    await ledger.flush()
    store.db.pragma(`max_page_count = ${store.db.pragma('page_count', { simple: true })}`)
    const id = ledger.nextRequestId()
    const tags = { long: 'x'.repeat(60_000) }
    await ledger.settle(requestRow(id, { user: 'u_forgotten', tags }), [attemptRow(id)])
    await expect(ledger.keeper.erase('u_forgotten')).rejects.toMatchObject({ code: 'full' })
    store.db.pragma('max_page_count = 1073741823')
  })

  it('touches no file any more when it is closed', async () => {
    await makeRequests(1)
    const before = openSync(join(folder, 'before'), 'w+')
    closeSync(before)
    await ledger.close()
    // Gets the number that the journal's file had.
    const files = Array.from({ length: 8 }, (_, n) => openSync(join(folder, `other-${n}`), 'w+'))
    ledger.bringIn()
    await ledger.keeper.erase('u_a').catch(() => {})
    for (const fd of files) {
      expect(fstatSync(fd).size).toBe(0)
      closeSync(fd)
    }
  })

  it('refuses a row that SQLite would refuse later, when nobody waits for it any more', async () => {
    const id = ledger.nextRequestId()
    for (const [request, attempt] of [
      [{ config: 1.5 }, {}],
      [{}, { status: 200.5 }],
      [{ cache: { status: 'hit', age: 0.5, saved: 1 } }, {}],
    ] as const)
      await expect(ledger.settle(requestRow(id, request), [attemptRow(id, 1, attempt)])).rejects.toMatchObject({
        code: 'invalid',
      })
    await expect(ledger.intend(intentOf(id, 1, { config: Number.NaN }))).rejects.toMatchObject({ code: 'invalid' })
    expect(ledger.stats).toMatchObject({ journaled: 0, lost: 0 })
  })

  it('is worked off in short transactions after a long lock', async () => {
    const Database = loadDriver()
    const other = new Database(file)
    other.exec('BEGIN IMMEDIATE')
    const ids = Array.from({ length: 3000 }, () => ledger.nextRequestId())
    await Promise.all(ids.map((id) => ledger.settle(requestRow(id), [attemptRow(id)])))
    expect(ledger.stats.behind()).toBe(3000)
    const before = { ...ledger.stats }
    other.exec('ROLLBACK')
    other.close()
    await expect.poll(() => ledger.stats.behind(), { timeout: 20_000 }).toBe(0)
    // About 250 each, some of which were there before.
    expect(ledger.stats.commits - before.commits).toBeGreaterThanOrEqual(6)
    expect(count()).toBe(3000)
    expect(read(readJournalPlace(store.db))).toEqual([])
    expect(verifyLedger(store.db)).toMatchObject({ ok: true, requests: 3000 })
  })

  /** As a run would append that dies right after. */
  function appendTo(database: string, entries: Entry[]): void {
    const journal = openJournal(join(folder, 'one'), 0)
    journal.append(entries)
    journal.close(false)
    const record = readFileSync(join(folder, 'one')).subarray(16)
    expect(readFileSync(journalFile(database)).readDoubleLE(8)).toBe(1)
    appendFileSync(journalFile(database), record)
  }

  async function openBackup(): Promise<string> {
    const reader = openReader(file)
    const to = join(folder, 'copy.db')
    await reader.backup(to)
    await reader.close()
    return to
  }
})

// A database that is taken away under a running ledger: no row is lost in silence, and no call is made that nobody could record.
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { backupTo } from '../src/store/backup.ts'
import { driverPackage, loadDriver } from '../src/store/driver.ts'
import { journalFile } from '../src/store/journal.ts'
import { makeKeeper } from '../src/store/keeper.ts'
import { type Ledger, openLedger } from '../src/store/ledger.ts'
import { firstIdOf } from '../src/store/ledgerId.ts'
import { catchUp } from '../src/store/leftovers.ts'
import { readHolder } from '../src/store/lock.ts'
import { openStore, type Store } from '../src/store/open.ts'
import { openReader } from '../src/store/reader.ts'
import { makeRescue } from '../src/store/rescue.ts'
import { restoreFrom } from '../src/store/restore.ts'
import { verifyLedger } from '../src/store/verify.ts'
import { attemptRow, intentOf, requestRow } from './support/ledgerRows.ts'

let folder: string
let file: string
let store: Store
let ledger: Ledger
let troubles: string[]

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  folder = mkdtempSync(join(tmpdir(), 'turnout-rescue-'))
  file = join(folder, 'turnout.db')
  store = openStore({ file })
  troubles = []
  ledger = openLedger(store, { onTrouble: ({ message }) => void troubles.push(message) })
})

afterEach(async () => {
  await ledger.close()
  store.close()
  vi.useRealTimers()
  rmSync(folder, { recursive: true, force: true })
})

async function begin(): Promise<number> {
  const id = ledger.nextRequestId()
  await ledger.intend(intentOf(id))
  return id
}
const end = (id: number): Promise<void> => ledger.settle(requestRow(id), [attemptRow(id)])
const rescued = (): string[] =>
  existsSync(folder) ? readdirSync(folder).filter((name) => /\.rescued-[^.]*$/.test(name)) : []

/** A heartbeat is when the ledger looks. */
async function noticed(): Promise<void> {
  vi.advanceTimersByTime(5000)
  await expect.poll(rescued, { timeout: 10_000 }).toHaveLength(1)
  await expect.poll(() => troubles.length, { timeout: 10_000 }).toBeGreaterThan(0)
}

const ways: [how: string, take: () => void][] = [
  [
    'removed',
    () => {
      for (const ending of ['', '-wal', '-shm']) rmSync(file + ending, { force: true })
    },
  ],
  ['removed with its folder', () => rmSync(folder, { recursive: true })],
  ['moved away', () => renameSync(file, join(folder, 'elsewhere.db'))],
  [
    'replaced by another',
    () => {
      writeFileSync(`${file}.new`, 'another file')
      renameSync(`${file}.new`, file)
    },
  ],
  ['robbed of its log', () => rmSync(`${file}-wal`)],
]

/** Twenty rows, and their file under another name, which it returns; the gateway knows of it. */
async function movedAway(): Promise<string> {
  const away = join(folder, 'elsewhere.db')
  await rows(20)
  renameSync(file, away)
  await noticed()
  return away
}

/** Name of the log that was moved aside. */
const waitingLog = (): string => readdirSync(folder).find((name) => /\.log-of-[\d-]+$/.test(name))!

it.each(ways)('is noticed when it is %s: new calls are refused, and what it holds is saved', async (_, take) => {
  await end(await begin())
  const running = await begin()
  take()
  await noticed()
  expect(troubles.at(-1)).toContain(`saved to ${join(folder, rescued()[0]!)}`)
  await expect(begin()).rejects.toMatchObject({ code: 'io', message: expect.stringContaining('removed or replaced') })

  await end(running)
  await ledger.close()
  store.close()
  const [copy] = rescued()
  rmSync(`${file}-wal`, { force: true })
  expect(restoreFrom(join(folder, copy!), file).requests).toBe(2)
  const next = openStore({ file })
  try {
    expect(verifyLedger(next.db)).toMatchObject({ ok: true, requests: 2, open: 0 })
  } finally {
    next.close()
  }
})

/** What the next process finds: rows, when the file is sound. */
function found(path: string): unknown {
  const next = openStore({ file: path })
  try {
    expect(next.db.pragma('integrity_check(1)')).toEqual([{ integrity_check: 'ok' }])
    return next.db.prepare('SELECT count(*) FROM request').pluck().get()
  } finally {
    next.close()
  }
}

async function rows(number: number): Promise<void> {
  for (let i = 0; i < number; i++) await end(await begin())
}

/** The files as a kill leaves them now. Copied by another process: this one would drop SQLite's locks by closing them. */
function killed(): string {
  const dead = join(folder, 'dead')
  expect(spawnSync('sh', ['-c', `mkdir ${dead} && cp ${file}* ${dead} && rm ${dead}/*.lock`]).status).toBe(0)
  return join(dead, 'turnout.db')
}

it('leaves a backup that was put in its place as it is, for who is killed and for who stops', async () => {
  await rows(300)
  await ledger.flush()
  const backup = join(folder, 'backup.db')
  await backupTo(store.db, backup)
  store.db.pragma('wal_checkpoint(TRUNCATE)')
  await rows(500)
  const running = await begin()
  renameSync(backup, file)
  await noticed()
  expect(found(killed())).toBe(300)
  await end(running)
  await ledger.close()
  store.close()
  expect(found(file)).toBe(300)
  expect(restoreFrom(join(folder, rescued()[0]!), file).requests).toBe(801)
  expect(found(file)).toBe(801)
})

it('loses no row of a file that was moved away and comes back, before the stop or after it', async () => {
  const away = join(folder, 'elsewhere.db')
  await rows(100)
  const running = await begin()
  renameSync(file, away)
  await noticed()
  await end(running)
  expect(existsSync(`${file}-wal`)).toBe(false)
  renameSync(away, file)
  vi.advanceTimersByTime(5000)
  await expect.poll(() => begin().then(end, () => 'refused'), { timeout: 10_000 }).toBeUndefined()
  await ledger.flush()
  expect(found(killed())).toBe(102)

  renameSync(file, away)
  await ledger.close()
  store.close()
  // Another file meets no log of the one before, and leaves the one that waits for it alone.
  expect(found(file)).toBe(0)
  for (const ending of ['', '-wal', '-shm']) rmSync(file + ending, { force: true })
  renameSync(away, file)
  const reader = openStore({ file, readonly: true })
  expect(reader.db.prepare('SELECT count(*) FROM request').pluck().get()).toBe(102)
  reader.close()
  expect(found(file)).toBe(102)
})

it('takes its log back from where a reader has looked before it: an empty one is in the way', async () => {
  const away = await movedAway()
  const log = waitingLog()
  renameSync(away, file)
  // Ours say that it is not there yet, in place of reading what has no last rows.
  expect(() => openStore({ file, readonly: true })).toThrow(/puts back within seconds: try again/)
  const other = spawnSync(
    process.execPath,
    ['-e', `new (require('${driverPackage()}'))(process.argv[1], { readonly: true }).pragma('user_version')`, file],
    { encoding: 'utf8' },
  )
  expect([other.status, other.stderr]).toEqual([0, ''])
  expect(readFileSync(`${file}-wal`).length).toBe(0)
  vi.advanceTimersByTime(5000)
  await expect.poll(() => begin().then(end, () => 'refused'), { timeout: 10_000 }).toBeUndefined()
  expect(existsSync(join(folder, log))).toBe(false)
  await ledger.flush()
  expect(found(killed())).toBe(21)
})

it('is not opened with the log of another beside it, which would be undone later; the copy can be restored', async () => {
  const away = await movedAway()
  await ledger.close()
  store.close()
  // As another gateway leaves it that began anew in its place, and was killed.
  const log = readFileSync(join(folder, waitingLog()))
  writeFileSync(`${file}-wal`, log)
  renameSync(away, file)
  for (const readonly of [false, true])
    expect(() => openStore({ file, readonly })).toThrow(/^Two logs claim the database .*turnout\.db: its own waits as /)
  expect(restoreFrom(join(folder, rescued()[0]!), file).requests).toBe(20)
  expect(found(file)).toBe(20)
})

it('keeps its own log with it when a copy is restored over it, and that of the other apart', async () => {
  const away = await movedAway()
  await ledger.close()
  store.close()
  // Another gateway begins anew in its place, and is killed.
  const other = openStore({ file: join(folder, 'other.db') })
  for (let n = 0; n < 500; n++) other.db.exec(`CREATE TABLE t${n} (x)`)
  copyFileSync(`${other.file}-wal`, `${file}-wal`)
  const log = readFileSync(`${file}-wal`)
  other.close()
  renameSync(away, file)
  const { kept } = restoreFrom(join(folder, rescued()[0]!), file)
  expect(found(file)).toBe(20)
  expect(found(kept!)).toBe(20)
  const others = readdirSync(folder).filter((name) => name.includes('.log-of-'))
  expect(others).toEqual([expect.stringMatching(/^turnout\.db\.log-of-another-/)])
  expect(readFileSync(join(folder, others[0]!)).equals(log)).toBe(true)
})

it('takes its journal along: its rows come into no other database, and into its own when that is back', async () => {
  await ledger.close()
  ledger = openLedger(store, { smallCommits: 0, onTrouble: ({ message }) => void troubles.push(message) })
  const own = join(folder, 'own.db')
  const other = openStore({ file: join(folder, 'other.db') })
  other.close()
  await end(await begin())
  renameSync(file, own)
  await noticed()
  renameSync(other.file, file)
  const log = waitingLog()
  expect(existsSync(journalFile(file))).toBe(false)
  const journal = readFileSync(join(folder, `${log}.journal`))
  expect(journal.length).toBeGreaterThan(16)
  const reader = killed()
  expect(await catchUp(reader)).toBe(true)
  expect(found(reader)).toBe(0)

  await ledger.close()
  store.close()
  for (const ending of ['', '-wal', '-shm']) rmSync(file + ending, { force: true })
  renameSync(own, file)
  expect(await catchUp(file)).toBe(true)
  expect(found(file)).toBe(1)
  expect(readdirSync(folder).filter((name) => name.includes('.log-of-'))).toEqual([])
})

it('leaves its journal where it is when its log is moved along with the file, and may come back so', async () => {
  await end(await begin())
  for (const ending of ['', '-wal', '-shm']) renameSync(file + ending, join(folder, `elsewhere.db${ending}`))
  await noticed()
  expect(existsSync(journalFile(file))).toBe(true)
  for (const ending of ['', '-wal', '-shm']) renameSync(join(folder, `elsewhere.db${ending}`), file + ending)
  vi.advanceTimersByTime(5000)
  await expect.poll(() => begin().then(end, () => 'refused'), { timeout: 10_000 }).toBeUndefined()
  expect(existsSync(journalFile(file))).toBe(true)
})

it('takes nothing from a second gateway that has begun anew where its folder was removed', async () => {
  await rows(3)
  rmSync(folder, { recursive: true })
  const next = openStore({ file })
  const second = openLedger(next, { smallCommits: 0 })
  try {
    await ledger.close()
    store.close()
    expect(readHolder(file)?.instance).toBe(next.instance)
    const id = second.nextRequestId()
    await second.intend(intentOf(id))
    await second.settle(requestRow(id), [attemptRow(id)])
    // Only the journal has it, which a kill must not take.
    const dead = killed()
    expect(await catchUp(dead)).toBe(true)
    expect(found(dead)).toBe(1)
  } finally {
    await second.close()
    next.close()
  }
  expect([existsSync(journalFile(file)), readHolder(file)]).toEqual([false, undefined])
})

it('has its index back, too, where file and log were moved away without it', async () => {
  await rows(3)
  const inode = statSync(`${file}-shm`).ino
  for (const ending of ['', '-wal']) renameSync(file + ending, join(folder, `elsewhere.db${ending}`))
  await noticed()
  for (const ending of ['', '-wal']) renameSync(join(folder, `elsewhere.db${ending}`), file + ending)
  vi.advanceTimersByTime(5000)
  await expect.poll(() => begin().then(end, () => 'refused'), { timeout: 10_000 }).toBeUndefined()
  // Another process that reads has to meet the marks of this one there: what it reads is written over otherwise.
  expect(statSync(`${file}-shm`).ino).toBe(inode)
})

it('is not mistaken for another that stands in its place when reading and upkeep begin', async () => {
  await rows(3)
  await ledger.flush()
  const reader = openReader(file)
  const upkeep = makeKeeper(file)
  const own = join(folder, 'own.db')
  const backup = join(folder, 'backup.db')
  await backupTo(store.db, backup)
  await rows(2)
  renameSync(file, own)
  renameSync(backup, file)
  try {
    await noticed()
    const replaced = /turnout\.db was removed or replaced while it is in use/
    await expect(reader.requests()).rejects.toThrow(replaced)
    await expect(upkeep.retain(firstIdOf(Date.now() + 1000))).rejects.toThrow(replaced)
    expect(found(killed())).toBe(3)
    renameSync(own, file)
    vi.advanceTimersByTime(5000)
    await expect.poll(() => begin().then(end, () => 'refused'), { timeout: 10_000 }).toBeUndefined()
    expect((await reader.requests()).rows).toHaveLength(6)
    expect(await upkeep.retain(firstIdOf(Date.now() + 1000))).toBe(6)
  } finally {
    await reader.close()
    await upkeep.close()
  }
})

it.each([
  ['removed', () => rmSync(journalFile(file))],
  [
    'replaced by another',
    () => {
      writeFileSync(`${file}.new`, 'what nobody knows anything about')
      renameSync(`${file}.new`, journalFile(file))
    },
  ],
])('begins its journal anew when that is %s: a kill loses no row that waits for the database', async (_, take) => {
  await ledger.close()
  ledger = openLedger(store, { smallCommits: 0, onTrouble: ({ message }) => void troubles.push(message) })
  await end(await begin())
  take()
  const lock = loadDriver()
  const held = new lock(file)
  // Nothing comes into the database, but what the journal has is kept.
  held.exec('BEGIN IMMEDIATE')
  await end(await begin())
  vi.advanceTimersByTime(5000)
  await expect
    .poll(() => troubles.filter((text) => /^The journal .*turnout\.db\.journal was removed or replaced /.test(text)))
    .toHaveLength(1)
  await end(await begin())
  const dead = killed()
  held.exec('ROLLBACK')
  held.close()
  expect(await catchUp(dead)).toBe(true)
  expect(found(dead)).toBe(3)
  // It is moved aside with the log as before.
  renameSync(file, join(folder, 'elsewhere.db'))
  await noticed()
  expect(existsSync(journalFile(file))).toBe(false)
})

it('takes its lock again where somebody has removed it, and makes no more calls where another writer was faster', async () => {
  await rows(1)
  rmSync(`${file}.lock`)
  vi.advanceTimersByTime(5000)
  await expect.poll(() => existsSync(`${file}.lock`)).toBe(true)
  await end(await begin())
  expect(troubles).toEqual([])
  expect(() => openStore({ file })).toThrow(/already in use by process/)

  rmSync(`${file}.lock`)
  const other = openStore({ file })
  vi.advanceTimersByTime(5000)
  await expect
    .poll(() => troubles.at(-1))
    .toMatch(/^The lock of .*turnout\.db was removed while it is in use\. .* in use by/)
  await expect(begin()).rejects.toMatchObject({ code: 'io' })
  other.close()
  vi.advanceTimersByTime(5000)
  await expect.poll(() => begin().then(end, () => 'refused')).toBeUndefined()
  expect(rescued()).toEqual([])
})

it('says what was taken away', async () => {
  await rows(1)
  rmSync(`${file}-wal`)
  await noticed()
  expect(troubles.at(-1)).toMatch(/^The log .*turnout\.db-wal of the database was removed or replaced /)
})

it('keeps the log of a database that cannot be saved, and says where', async () => {
  await rows(20)
  await ledger.flush()
  vi.spyOn(store.db, 'backup').mockRejectedValue(new Error('no space left'))
  rmSync(file)
  vi.advanceTimersByTime(5000)
  await expect
    .poll(() => troubles.at(-1), { timeout: 10_000 })
    .toMatch(/no space left\)\. The log with its last rows is /)
  const log = / The log with its last rows is (.*)\.$/.exec(troubles.at(-1)!)![1]!
  expect(readFileSync(log).length).toBeGreaterThan(20_000)
  expect(existsSync(`${file}-wal`)).toBe(false)
})

it('is copied when that is noticed and at the end; in between rarely, and the more so the longer a copy takes', async () => {
  let time = 0
  let took = 100
  const copies = vi.spyOn(store.db, 'backup')
  const { backup } = loadDriver().prototype
  copies.mockImplementation((to: string) => {
    time += took
    return backup.call(store.db, to)
  })
  const rescue = makeRescue(
    store.db,
    file,
    Date.now,
    () => {},
    () => time,
  )
  const copiesAt = async (at: number): Promise<number> => {
    time = at
    // As each refused call does.
    await end(ledger.nextRequestId())
    await ledger.flush()
    await rescue.look()
    return copies.mock.calls.length
  }
  renameSync(file, join(folder, 'elsewhere.db'))
  expect(await copiesAt(0)).toBe(1)
  for (let at = 5000; at < 60_000; at += 5000) expect(await copiesAt(at)).toBe(1)
  took = 10_000
  expect(await copiesAt(60_100)).toBe(2)
  expect(await copiesAt(70_100 + 199_000)).toBe(2)
  expect(await copiesAt(70_100 + 200_000)).toBe(3)
  await end(ledger.nextRequestId())
  await ledger.flush()
  await rescue.close()
  expect(copies).toHaveBeenCalledTimes(4)
})

it('is copied again where the copy is removed as well, by whoever clears the folder twice', async () => {
  await rows(3)
  for (let time = 0; time < 2; time++) {
    rmSync(folder, { recursive: true })
    await noticed()
  }
  rmSync(folder, { recursive: true })
  await ledger.close()
  store.close()
  expect(restoreFrom(join(folder, rescued()[0]!), file).requests).toBe(3)
})

it('is saved by a stop that comes before anybody has looked', async () => {
  await end(await begin())
  ways[0]![1]()
  await ledger.close()
  expect(rescued()).toHaveLength(1)
})

it('takes calls again where the file is back in its place', async () => {
  const away = join(folder, 'elsewhere.db')
  renameSync(file, away)
  await noticed()
  renameSync(away, file)
  vi.advanceTimersByTime(5000)
  await expect.poll(() => begin().then(end, () => 'refused'), { timeout: 10_000 }).toBeUndefined()
})

it('does nothing of the kind while all is in its place', async () => {
  await end(await begin())
  vi.advanceTimersByTime(20_000)
  await ledger.close()
  expect(rescued()).toEqual([])
  expect(troubles).toEqual([])
})

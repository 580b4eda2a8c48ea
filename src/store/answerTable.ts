// The SQLite file that keeps copies of the response cache's answers: opened, bounded, written, read back, each in one short step.
import { hash } from 'node:crypto'
import { chmodSync, closeSync, openSync, rmSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { makeFolder } from '../makeFolder.ts'
import { loadDriver, type Sqlite, type Statement } from './driver.ts'

/** One answer as it lies in the file, without its bytes. Times are Unix milliseconds. */
export interface AnswerHead {
  readonly key: string
  readonly route: string
  readonly target: string
  /** The installation's hash of the end user whose request bought it. */
  readonly owner: string | null
  readonly storedAt: number
  /** From then on it is of no use to anybody. */
  readonly deadAt: number
  /** What else there is to know of it, as JSON. */
  readonly facts: string
}

export interface AnswerRow extends AnswerHead {
  readonly body: Uint8Array
}

/** Which answers: all that fit everything that is said. */
export interface AnswerFilter {
  readonly route?: string | undefined
  readonly key?: string | undefined
  readonly target?: string | undefined
  readonly owner?: string | undefined
}

/** Answers in the order in which they came, and how to ask for more. */
export interface AnswerPage {
  readonly rows: readonly AnswerRow[]
  /** Answers that were not what had been written; they are gone. */
  readonly damaged: number
  /** Undefined at the end. */
  readonly after: number | undefined
}

export interface AnswerTable {
  /**
   * Takes the answers in, in place of those with the same keys; the oldest go where there is no room. Returns how many were taken in: one
   * that fills a quarter of the file is not.
   */
  write(rows: readonly AnswerRow[]): number
  /** Takes answers out of the file, their bytes included. Returns how many there were. */
  remove(filter: AnswerFilter): number
  /** Takes out what nobody may be given any more, and gives free pages back to the disk. Returns how many there were. */
  sweep(now: number): number
  /** Where to begin reading so that the latest answers fit in `room` bytes with `each` bytes on top of every one of them. */
  begin(room: number, each: number, now: number): number
  page(after: number, now: number): AnswerPage
  /** Another bound, in bytes. */
  resize(size: number): void
  readonly entries: number
  readonly bytes: number
  /** Somebody took the file away, or put another one in its place. */
  readonly lost: boolean
  close(): void
}

/** Grows when an answer is laid out in another way: a file with another number is begun anew. */
const FORMAT = 1
const PAGE = 4096
/** Bytes of answers in one page of reading. */
const PAGE_BYTES = 256 * 1024
const PAGE_ROWS = 64
const EVICT_STEP = 16

/** Trouble that another file of the same name will not have. */
export class DamagedFile extends Error {}

/** The files of the database `file`. */
export const filesOf = (file: string): string[] => ['', '-journal', '-wal', '-shm'].map((end) => file + end)

/** Deletes the file. Nothing happens where there is none. */
export function deleteAnswers(file: string): void {
  for (const name of filesOf(file)) rmSync(name, { force: true })
}

/** @throws DamagedFile when the file is no sound table of answers; other errors when it cannot be opened, or another process has it */
export function openAnswers(file: string, size: number): AnswerTable {
  makeFolder(dirname(file))
  // Before there is anything in it: answers are nobody's business but the gateway's.
  closeSync(openSync(file, 'a', 0o600))
  chmodSync(file, 0o600)
  const Database = loadDriver()
  const db = new Database(file, { timeout: 0 })
  try {
    prepareFile(db)
    return makeTable(db, file, size)
  } catch (error) {
    db.close()
    throw explain(error)
  }
}

function prepareFile(db: Sqlite): void {
  // One process has it, which is known at once when another one tries.
  db.pragma('locking_mode = EXCLUSIVE')
  db.pragma('auto_vacuum = INCREMENTAL')
  // A rollback journal moves new pages once and a log twice. Neither it nor the file is forced to disk, so that the ledger's own writes
  // never wait behind these: a kill loses nothing by that, and after a power cut the sums tell what is damaged.
  db.pragma('journal_mode = TRUNCATE')
  db.pragma('synchronous = OFF')
  db.pragma('secure_delete = ON')
  db.pragma('cache_size = -2048')
  db.exec('BEGIN EXCLUSIVE')
  const format = db.pragma('user_version', { simple: true }) as number
  const tables = db.prepare('SELECT count(*) FROM sqlite_master').pluck().get() as number
  if (format !== FORMAT) {
    if (format !== 0 || tables > 0) throw new DamagedFile(`it has format ${format} and not ${FORMAT}`)
    db.exec(
      'CREATE TABLE answer (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, route TEXT NOT NULL, target TEXT NOT NULL, owner TEXT, ' +
        'stored_at INTEGER NOT NULL, dead_at INTEGER NOT NULL, facts TEXT NOT NULL, sum BLOB NOT NULL, body BLOB NOT NULL)',
    )
    db.exec('CREATE INDEX answer_dead ON answer (dead_at)')
    db.pragma(`user_version = ${FORMAT}`)
  }
  db.exec('COMMIT')
}

interface StoredRow extends Omit<AnswerRow, 'body'> {
  readonly id: number
  readonly sum: Buffer
  readonly body: Buffer
}

function makeTable(db: Sqlite, file: string, size: number): AnswerTable {
  let limit = 0
  let entries = db.prepare('SELECT count(*) FROM answer').pluck().get() as number
  const { ino } = statSync(file)
  const statements = {
    forget: db.prepare('DELETE FROM answer WHERE key = ?'),
    insert: db.prepare(
      'INSERT INTO answer (key, route, target, owner, stored_at, dead_at, facts, sum, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
    ),
    evict: db.prepare('DELETE FROM answer WHERE id IN (SELECT id FROM answer ORDER BY id LIMIT ?)'),
    expire: db.prepare('DELETE FROM answer WHERE id IN (SELECT id FROM answer WHERE dead_at <= ? LIMIT 1000)'),
    sizes: db.prepare('SELECT id, length(body) AS length FROM answer WHERE dead_at > ? ORDER BY id DESC'),
    read: db.prepare(
      'SELECT id, key, route, target, owner, stored_at AS storedAt, dead_at AS deadAt, facts, sum, body FROM answer WHERE id > ? AND dead_at > ? ORDER BY id',
    ),
    drop: db.prepare('DELETE FROM answer WHERE id = ?'),
  }
  const pragma = (name: string): number => db.pragma(name, { simple: true }) as number
  const run = (statement: Statement, ...values: unknown[]): number => {
    const { changes } = statement.run(...values)
    entries -= changes
    return changes
  }

  /** Deletes the oldest until so many bytes are free within the bound. */
  function makeRoom(bytes: number): void {
    for (;;) {
      const used = (pragma('page_count') - pragma('freelist_count')) * PAGE
      if (used + bytes <= limit || run(statements.evict, EVICT_STEP) === 0) return
    }
  }

  function resize(next: number): void {
    limit = Math.max(next, 16 * PAGE)
    db.transaction(() => makeRoom(0)).immediate()
    giveBack()
    // The engine itself refuses to grow beyond it. What a smaller bound leaves over is given back with what is deleted.
    db.pragma(`max_page_count = ${Math.floor(limit / PAGE)}`)
  }

  /** Free pages go back to the disk. */
  const giveBack = (): void => void db.pragma('incremental_vacuum')

  const takeIn = db.transaction((rows: readonly AnswerRow[]) => {
    makeRoom(rows.reduce((sum, row) => sum + spaceOf(row), 0))
    for (const row of rows) {
      run(statements.forget, row.key)
      const { key, route, target, owner, storedAt, deadAt, facts, body } = row
      statements.insert.run(key, route, target, owner, storedAt, deadAt, facts, sumOf(row), body)
      entries++
    }
  })

  /** All or none. */
  function takeInWhole(rows: readonly AnswerRow[]): void {
    const before = entries
    try {
      takeIn.immediate(rows)
    } catch (error) {
      entries = before
      throw error
    }
  }

  resize(size)
  return {
    write(all) {
      const rows = all.filter((row) => spaceOf(row) <= limit / 4)
      for (const part of partsOf(rows, limit / 2)) {
        try {
          takeInWhole(part)
        } catch (error) {
          if (!isFull(error)) throw error
          // More than it was reckoned to take, or the disk is full: pages of older answers are there in any case.
          db.transaction(() => makeRoom(limit / 2)).immediate()
          takeInWhole(part)
        }
      }
      return rows.length
    },
    remove(filter) {
      const names = (['route', 'key', 'target', 'owner'] as const).filter((name) => filter[name] !== undefined)
      const where = names.map((name) => `${name} = ?`).join(' AND ')
      const statement = db.prepare(`DELETE FROM answer WHERE ${where || '1'}`)
      const removed = run(statement, ...names.map((name) => filter[name]))
      giveBack()
      return removed
    },
    sweep(now) {
      let swept = 0
      for (let step = 1000; step === 1000; swept += step) step = run(statements.expire, now)
      if (swept > 0) giveBack()
      return swept
    },
    begin(room, each, now) {
      let first = Number.MAX_SAFE_INTEGER
      for (const { id, length } of statements.sizes.iterate(now) as Iterable<{ id: number; length: number }>) {
        room -= length + each
        if (room < 0) break
        first = id
      }
      return first - 1
    },
    page(after, now) {
      const rows: AnswerRow[] = []
      const bad: number[] = []
      let bytes = 0
      let last: number | undefined
      for (const { id, sum, ...row } of statements.read.iterate(after, now) as Iterable<StoredRow>) {
        if (isSound(row, sum)) rows.push(row)
        else bad.push(id)
        bytes += row.body?.length ?? 0
        if (rows.length + bad.length === PAGE_ROWS || bytes >= PAGE_BYTES) {
          last = id
          break
        }
      }
      for (const id of bad) run(statements.drop, id)
      return { rows, damaged: bad.length, after: last }
    },
    resize,
    get entries() {
      return entries
    },
    get bytes() {
      return pragma('page_count') * PAGE
    },
    get lost() {
      const there = statSync(file, { throwIfNoEntry: false })
      return there?.ino !== ino
    },
    close: () => void db.close(),
  }
}

/** Bytes that an answer takes in the file, about. What does not fit beside others takes pages of its own. */
function spaceOf({ body, facts }: AnswerRow): number {
  const bytes = body.length + facts.length + 320
  return bytes > PAGE / 4 ? Math.ceil(bytes / (PAGE - 4) + 1) * PAGE : bytes * 1.25
}

/** In their order, as many at a time as take no more than `most` bytes: all at once may be more than a small file holds. */
function partsOf(rows: readonly AnswerRow[], most: number): AnswerRow[][] {
  const parts: AnswerRow[][] = []
  let left = 0
  for (const row of rows) {
    const bytes = spaceOf(row)
    if (parts.length === 0 || bytes > left) {
      parts.push([])
      left = most
    }
    parts.at(-1)!.push(row)
    left -= bytes
  }
  return parts
}

/** Over everything: what is read is what was written, or it is nothing. */
function sumOf({ key, route, target, owner, storedAt, deadAt, facts, body }: AnswerRow): Buffer {
  const head = hash('sha256', JSON.stringify([key, route, target, owner, storedAt, deadAt, facts]), 'hex')
  return hash('sha256', Buffer.concat([Buffer.from(head), body]), 'buffer').subarray(0, 16)
}

/** A damaged row may hold anything, whatever its column says. */
const isSound = (row: AnswerRow, sum: Buffer): boolean =>
  Buffer.isBuffer(sum) && Buffer.isBuffer(row.body) && sum.equals(sumOf(row))

const codeOf = (error: unknown): string => String((error as { code?: unknown }).code ?? '')

const isFull = (error: unknown): boolean => codeOf(error) === 'SQLITE_FULL'

/** Damage is told apart from trouble that a new file would have, too. */
export function explain(error: unknown): unknown {
  const code = codeOf(error)
  if (!code.startsWith('SQLITE_CORRUPT') && code !== 'SQLITE_NOTADB' && code !== 'SQLITE_ERROR') return error
  return new DamagedFile((error as Error).message)
}
